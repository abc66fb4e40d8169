package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quail/internal/durable"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/users"
)

// Where accounts are listed and who else knows some. Variables so that tests can
// point at their own.
var (
	PasswdFile   = "/etc/passwd"
	NsswitchFile = "/etc/nsswitch.conf"
	Patience     = 30 * time.Second // with one answer of the name service
)

// Known is the accounts of this host. It answers what getpwnam would. A static program has no getpwnam: it reads
// /etc/passwd itself, and where accounts come from elsewhere too it asks getent,
// which is part of every system that has a name service switch.
//
// Differs from qmail: of a lookup that fails only a clear "not found" counts as
// that. For qmail-getpw in C every failure but one did.
type Known struct {
	P *prog.Process
	// FilesOnly makes it run no program: where getent would have to be asked, the
	// answer is ErrElsewhere.
	FilesOnly bool

	loaded  bool
	passwd  []byte
	sources sources
}

// sources is what nsswitch.conf says about accounts.
type sources struct {
	fileFirst bool // what /etc/passwd has, it decides
	others    bool // what it does not have may be elsewhere
}

// ErrElsewhere says that an account may be known to somebody who was not asked.
var ErrElsewhere = errors.New("nsswitch.conf names other sources of accounts, and getent was not to be run")

// account returns the account called name, without Dash and Ext. An error means that
// it cannot be known now whether there is one.
func (k *Known) account(name string) (account users.Assignment, ok bool, err error) {
	if err := k.load(); err != nil {
		return users.Assignment{}, false, err
	}
	// No account is called so, and getent would take the second for an option.
	if name == "" || name[0] == '-' {
		return users.Assignment{}, false, nil
	}
	if k.sources.fileFirst || !k.sources.others {
		if account, ok, err = inPasswd(k.passwd, name); ok || err != nil {
			return account, ok, err
		}
	}
	if !k.sources.others {
		return users.Assignment{}, false, nil
	}
	if k.FilesOnly {
		return users.Assignment{}, false, ErrElsewhere
	}
	return k.getent(name)
}

// load reads the two files, once.
func (k *Known) load() (err error) {
	if k.loaded {
		return nil
	}
	if k.passwd, err = readFile(PasswdFile); err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	nsswitch, err := readFile(NsswitchFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read sources of accounts: %w", err)
	}
	k.sources = parseSources(string(nsswitch), func() bool { return hasCompatLines(k.passwd) })
	k.loaded = true
	return nil
}

// readFile is os.ReadFile with half of its system calls. It is for each delivery anew:
// accounts come and go while qmail-getpw is kept warm.
func readFile(name string) ([]byte, error) {
	f, err := durable.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, max(fi.Size(), 0)+bytes.MinRead))
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// parseSources reads the line "passwd: SOURCE [ACTION] SOURCE …" of nsswitch.conf.
// Without one, /etc/passwd is all there is.
func parseSources(nsswitch string, compatLines func() bool) sources {
	s := sources{fileFirst: true}
	for line := range strings.Lines(nsswitch) {
		line, _, _ = strings.Cut(line, "#")
		database, list, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(database) != "passwd" {
			continue
		}
		names := sourceNames(list)
		s.fileFirst = len(names) == 0 || names[0] == "files" || names[0] == "compat"
		for _, name := range names {
			switch name {
			case "files", "systemd": // systemd's own accounts get no mail
			case "compat":
				// There, /etc/passwd itself can refer to NIS, and exclude names from it.
				refers := compatLines()
				s.others = s.others || refers
				s.fileFirst = s.fileFirst && !refers
			default:
				s.others = true
			}
		}
		return s
	}
	return s
}

// sourceNames returns the names in a list of sources, without the actions in
// brackets, which may contain blanks.
func sourceNames(list string) []string {
	var names strings.Builder
	for list != "" {
		before, action, _ := strings.Cut(list, "[")
		names.WriteString(before + " ")
		_, list, _ = strings.Cut(action, "]")
	}
	return strings.Fields(names.String())
}

// hasCompatLines reports whether lines of passwd refer to NIS: "+name", "-name".
func hasCompatLines(passwd []byte) bool {
	return slices.ContainsFunc(strings.Split(string(passwd), "\n"), isCompatLine)
}

func isCompatLine(line string) bool {
	return line != "" && (line[0] == '+' || line[0] == '-')
}

// inPasswd finds the first line of passwd for name.
func inPasswd(passwd []byte, name string) (users.Assignment, bool, error) {
	for line := range strings.Lines(string(passwd)) {
		// Divide the line first: a stranger's name may hold a colon.
		if found, _, _ := strings.Cut(line, ":"); found == name && !isCompatLine(line) {
			account, err := parseAccount(line)
			return account, err == nil, err
		}
	}
	return users.Assignment{}, false, nil
}

// parseAccount reads the line "name:password:uid:gid:gecos:home:shell".
//
// Differs from qmail: a line that is there but makes no sense is an error, so that
// its owner's mail waits. The C library passes over it, and alias gets the mail.
func parseAccount(line string) (users.Assignment, error) {
	f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
	if len(f) < 6 {
		return users.Assignment{}, fmt.Errorf("account %q: %d fields", f[0], len(f))
	}
	uid, err := users.ParseID(f[2])
	if err != nil {
		return users.Assignment{}, fmt.Errorf("account %q: %w", f[0], err)
	}
	gid, err := users.ParseID(f[3])
	if err != nil {
		return users.Assignment{}, fmt.Errorf("account %q: %w", f[0], err)
	}
	return users.Assignment{User: f[0], UID: uid, GID: gid, Home: f[5]}, nil
}

// getent asks the name service for name.
func (k *Known) getent(name string) (users.Assignment, bool, error) {
	line, status, err := k.runGetent(name)
	switch {
	case err != nil:
		return users.Assignment{}, false, fmt.Errorf("run getent passwd %q: %w", name, err)
	case status.Crashed():
		return users.Assignment{}, false, fmt.Errorf("getent passwd %q crashed or took too long", name)
	case status.Code() == 2:
		return users.Assignment{}, false, nil
	case !status.OK():
		return users.Assignment{}, false, fmt.Errorf("getent passwd %q: exit status %d", name, status.Code())
	}
	account, err := parseAccount(line)
	if err != nil {
		return users.Assignment{}, false, err
	}
	// getent takes a number for a user id, and a stranger may write to 1000@host.
	// Otherwise the service may have a spelling of its own for the name.
	if _, err := strconv.ParseUint(name, 10, 64); !errors.Is(err, strconv.ErrSyntax) && account.User != name {
		return users.Assignment{}, false, nil
	}
	return account, true, nil
}

// runGetent returns the first line that getent prints, and how it ended.
func (k *Known) runGetent(name string) (line string, status proc.Status, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", status, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return "", status, err
	}
	defer r.Close()
	child, err := proc.Command{
		Args:  []string{"getent", "passwd", name},
		Env:   k.P.Env,
		Dir:   "/",
		Stdin: null, Stdout: w, Stderr: k.P.Stderr,
	}.Start()
	w.Close()
	if err != nil {
		return "", status, err
	}
	timer := time.AfterFunc(Patience, func() { child.Signal(syscall.SIGKILL) })
	output, err := io.ReadAll(io.LimitReader(r, 65536))
	r.Close() // one that says more than that must not wait for us
	status, waitErr := child.Wait()
	timer.Stop()
	line, _, _ = strings.Cut(string(output), "\n")
	return line, status, errors.Join(err, waitErr)
}
