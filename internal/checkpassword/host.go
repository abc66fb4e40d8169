package checkpassword

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Where accounts are listed. Variables so that tests can point at their own.
var (
	passwdFile = "/etc/passwd"
	shadowFile = "/etc/shadow"
	shellsFile = "/etc/shells"
)

// account is one of this host's, a line of passwd(5).
type account struct {
	name, hash  string
	uid, gid    int
	home, shell string
}

// defaultShell is what an empty field stands for.
const defaultShell = "/bin/sh"

// findAccount looks for an account in /etc/passwd. Those that a name service alone knows
// are not found: programs of the name service are not for root with a stranger's name.
func findAccount(name string) (a account, ok bool, err error) {
	err = eachLine(passwdFile, func(fields []string) bool {
		if len(fields) < 7 || fields[0] != name || name == "" || name[0] == '+' || name[0] == '-' {
			return true
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 31)
		gid, err2 := strconv.ParseUint(fields[3], 10, 31)
		if ok = err1 == nil && err2 == nil; ok {
			a = account{name: name, hash: fields[1], uid: int(uid), gid: int(gid), home: fields[5], shell: fields[6]}
		}
		return false
	})
	if a.shell == "" {
		a.shell = defaultShell
	}
	return a, ok, err
}

// eachLine divides the lines of a file at colons, until f has seen enough.
func eachLine(path string, f func(fields []string) (more bool)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() && f(strings.Split(lines.Text(), ":")) {
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read accounts: %s: %w", path, err)
	}
	return nil
}

// shadow is a line of shadow(5). Days are counted from 1970; -1 is no limit.
type shadow struct {
	hash          string
	changed, most int64 // when the password was set; after how many days it expires
	end           int64 // of the account
}

// parseShadow reads the fields that follow the name.
func parseShadow(fields []string) (s shadow, err error) {
	if len(fields) < 9 {
		return s, errors.New("malformed line")
	}
	s.hash = fields[1]
	for at, to := range map[int]*int64{2: &s.changed, 4: &s.most, 7: &s.end} {
		*to = -1
		if fields[at] == "" {
			continue
		}
		if *to, err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return s, errors.New("malformed number")
		}
	}
	return s, nil
}

// expired says why a password is not to be taken though it is right: login would ask for
// a new one then, which mail cannot do. "" if it is to be.
func (s shadow) expired(today int64) string {
	switch {
	case s.changed == 0:
		return "the password must be changed first"
	case s.changed > 0 && s.most >= 0 && today-s.changed > s.most:
		return "the password has expired"
	}
	return ""
}

// refused says why nobody may log in to an account, by whatever means, "" if they may.
func (a account) refused(today int64) (string, error) {
	s, ok, err := findShadow(a.name)
	switch {
	case err != nil:
		return "", err
	case a.uid == 0:
		return "its user id is 0", nil
	case a.home == "" || a.home[0] != '/':
		return "it has no home directory", nil
	case ok && s.end >= 0 && today >= s.end:
		return "it has expired", nil
	}
	return "", nil
}

// findShadow looks for the account's line in /etc/shadow.
func findShadow(name string) (s shadow, ok bool, err error) {
	var broken error
	err = eachLine(shadowFile, func(fields []string) bool {
		if fields[0] != name {
			return true
		}
		ok = true
		if s, broken = parseShadow(fields); broken != nil {
			broken = fmt.Errorf("read accounts: %s: account %q: %w", shadowFile, name, broken)
		}
		return false
	})
	return s, ok, errors.Join(err, broken)
}

// attempt is what came of a name and a password.
type attempt struct {
	account
	right   bool
	refusal string // why not even the right password will do
}

// hostAccount checks a password by the host's own accounts. One is hashed whatever the
// name.
func hostAccount(name, password string, today int64) (t attempt, err error) {
	a, ok, err := findAccount(name)
	if err != nil {
		return t, err
	}
	s := shadow{hash: a.hash, changed: -1, end: -1}
	if a.hash == "x" {
		if s, ok, err = findShadow(name); err != nil {
			return t, err
		}
	}
	// Nothing that could be typed: no password, a locked one, one of another kind.
	if usable := known(s.hash); !ok || !usable {
		if ok && s.hash != "" && s.hash[0] == '$' {
			t.refusal = "the password is hashed in a way that is not known here: set it anew with passwd(1)"
		}
		ok = false
		if s.hash, err = anyHash(); err != nil {
			return t, err
		}
	}
	right, err := matches(s.hash, password)
	if err != nil {
		return t, fmt.Errorf("account %q: %w", name, err)
	}
	if !right || !ok {
		return t, nil
	}
	t.account, t.right, t.refusal = a, true, s.expired(today)
	if t.refusal == "" {
		t.refusal, err = a.refused(today)
	}
	if t.refusal == "" && err == nil {
		t.refusal, err = refusedShell(a.shell)
	}
	return t, err
}

// fallbackHash is hashed against where the host has no password at all.
const fallbackHash = "$6$rounds=5000$nobodyhasthis$"

// anyHash returns the first hash of a password in /etc/shadow, so that it takes as long
// to refuse a name that does not exist as one that does.
func anyHash() (hash string, err error) {
	hash = fallbackHash + strings.Repeat(".", 86)
	err = eachLine(shadowFile, func(fields []string) bool {
		if len(fields) > 1 && known(fields[1]) {
			hash = fields[1]
			return false
		}
		return true
	})
	return hash, err
}

// refusedShell says why nobody can log in with this shell: /etc/shells does not have it, or
// it is one of those that only say so. Without that file the shells are those of
// getusershell(3).
func refusedShell(shell string) (string, error) {
	shells := []string{"/bin/sh", "/bin/csh"}
	b, err := os.ReadFile(shellsFile)
	switch {
	case err == nil:
		shells = strings.Split(string(b), "\n")
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read shells: %w", err)
	}
	named := slices.ContainsFunc(shells, func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 0 && words[0] == shell
	})
	if base := filepath.Base(shell); !named || base == "nologin" || base == "false" {
		return fmt.Sprintf("nobody can log in with its shell %q", shell), nil
	}
	return "", nil
}
