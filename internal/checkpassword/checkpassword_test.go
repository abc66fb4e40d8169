package checkpassword

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/checkpw"
	"quail/internal/conf"
	"quail/internal/mailauth"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// TestMain lets the test binary be checkpassword, with files of its own.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "checkpassword" {
		use(os.Getenv("CHECKPASSWORD_FILES"))
		prog.Main("checkpassword", Run, prog.Input(checkpw.Descriptor))
	}
	os.Exit(m.Run())
}

// use makes the program read the files of a directory.
func use(dir string) {
	conf.Home = dir
	passwdFile, shadowFile, shellsFile = dir+"/passwd", dir+"/shadow", dir+"/shells"
}

const password = "open sesame"

// crypt has the system's own library hash a password.
func crypt(t testing.TB, password, setting string) string {
	t.Helper()
	out, err := exec.Command("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, setting).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// settings are how a host may hash passwords, cheaply.
var settings = []string{
	"$6$abcdefgh$", "$6$rounds=1000$abcdefghijklmnop$", "$6$x$", "$5$abcdefgh$", "$5$rounds=1234$abcdefgh$", "$1$abcdefgh$",
	"$2a$04$abcdefghijklmnopqrstuu", "$2b$04$abcdefghijklmnopqrstuu", "$2y$04$abcdefghijklmnopqrstuu",
	"$y$j75$F5Jx5fExrKuPp53xLKQ..1$", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$",
}

// What crypt(3) made, is checked as crypt(3) does.
func TestMatches(t *testing.T) {
	long := strings.Repeat("0123456789", 20)
	for _, setting := range settings {
		words := []string{password, "", "pässwörd", "\xff\xfe", long[:72], long}
		if strings.HasPrefix(setting, "$y$j9T") {
			words = words[:1] // the usual one, and slow
		}
		for _, word := range words {
			hash := crypt(t, word, setting)
			if !known(hash) {
				t.Fatalf("%q is not taken for a hash", hash)
			}
			for _, sent := range []string{word, word + "x"} {
				want := crypt(t, sent, hash) == hash
				if got, err := matches(hash, sent); got != want || err != nil {
					t.Errorf("%q of %q matches %q: %v, %v, want %v", hash, word, sent, got, err, want)
				}
			}
		}
	}
	for _, option := range []string{"-6", "-5", "-1"} {
		out, err := exec.Command("openssl", "passwd", option, password).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := matches(strings.TrimSpace(string(out)), password); !got || err != nil {
			t.Errorf("%q: %v, %v", out, got, err)
		}
	}
	for _, hash := range []string{"", "*", "!", "!!", "x", "$7$CU..../....abcdefgh$bDM", crypt(t, password, "ab")} {
		if known(hash) {
			t.Errorf("%q is taken for a hash", hash)
		}
	}
}

// home makes a directory with accounts and returns it. Its logins are joe, who shares
// the name with an account, sue@example.net, who has one, and tim, who has none.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // the program looks at them as somebody else
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hash := crypt(t, password, "$6$rounds=1000$abcdefgh$")
	var passwd, shadow strings.Builder
	id := max(os.Geteuid(), 12345)
	if os.Geteuid() != 0 {
		id = os.Geteuid()
	}
	for _, a := range []struct{ name, shadow, uid, home, shell string }{
		{"root", hash + ":20000:0:99999:7:::", "0", "/", "/bin/sh"},
		{"joe", hash + ":20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"ann", hash + ":20000:0:99999:7:::", "", dir, ""},
		{"bob", hash + ":::::::", "", dir, "/bin/sh"},
		{"nologin", hash + ":20000:0:99999:7:::", "", dir, "/usr/sbin/nologin"},
		{"other", hash + ":20000:0:99999:7:::", "", dir, "/bin/other"},
		{"locked", "!" + hash + ":20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"star", "*:20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"nopassword", ":20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"expired", hash + ":20000:0:99999:7::20400:", "", dir, "/bin/sh"},
		{"ending", hash + ":20000:0:99999:7::20401:", "", dir, "/bin/sh"},
		{"old", hash + ":20000:0:399:7:::", "", dir, "/bin/sh"},
		{"aging", hash + ":20000:0:400:7:::", "", dir, "/bin/sh"},
		{"change", hash + ":0:0:99999:7:::", "", dir, "/bin/sh"},
		{"strange", "$7$CU..../....abcdefgh$bDM:20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"broken", "$6$x:20000:0:99999:7:::", "", dir, "/bin/sh"},
		{"number", hash + ":x:0:99999:7:::", "", dir, "/bin/sh"},
		{"homeless", hash + ":20000:0:99999:7:::", "", "", "/bin/sh"},
		{"away", hash + ":20000:0:99999:7:::", "", "/nowhere", "/bin/sh"},
		{"+nis", hash + ":20000:0:99999:7:::", "", dir, "/bin/sh"},
	} {
		if a.uid == "" {
			a.uid = strconv.Itoa(id)
		}
		fmt.Fprintf(&passwd, "%s:x:%s:%d::%s:%s\n", a.name, a.uid, id, a.home, a.shell)
		fmt.Fprintf(&shadow, "%s:%s\n", a.name, a.shadow)
	}
	fmt.Fprintf(&passwd, "inpasswd:%s:%d:%d::%s:/bin/sh\nnoshadow:x:%d:%d::%s:/bin/sh\nshort:x\nbad:x:x:1::/:\n", hash, id, id, dir, id, id, dir)
	for name, text := range map[string]string{"passwd": passwd.String(), "shadow": shadow.String(), "shells": "# shells\n/bin/sh\n/usr/sbin/nologin\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	use(dir)
	t.Cleanup(func() { use("/nonexistent") })
	return dir
}

// logins makes users/mailauth.
func logins(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir+"/users", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ login, account, secret string }{
		{"joe", "", "mail word"}, {"sue@example.net", "joe", ""}, {"tim", "", ""}, {"rob", "root", ""}, {"eve", "expired", ""}, {"dan", "star", ""},
	} {
		e, err := mailauth.New(c.login, "mail word", [2][16]byte{{1}, {2}})
		if err != nil {
			t.Fatal(err)
		}
		e.Account, e.Secret = c.account, c.secret
		err = mailauth.Edit(dir+"/"+mailauth.Path, c.login, os.Geteuid(), os.Getegid(), [32]byte{1}, func(*mailauth.Entry) (*mailauth.Entry, error) { return &e, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// login runs the program up to where it turns into another one.
func login(t *testing.T, name, password, timestamp string) (a account, status int, says string) {
	t.Helper()
	var said bytes.Buffer
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &prog.Process{Name: "checkpassword", Args: []string{"true"}, Stderr: w, Now: func() time.Time { return time.Unix(20400*86400+3600, 0).UTC() }}
	c := &check{p: p, name: name, password: password, timestamp: timestamp}
	status = p.Do(func(*prog.Process) (err error) {
		a, err = c.account()
		return err
	})
	w.Close()
	said.ReadFrom(r)
	r.Close()
	return a, status, said.String()
}

func TestHost(t *testing.T) {
	home(t)
	for _, c := range []struct {
		name   string
		status int
		says   string // with the right password
		always bool   // and with a wrong one
	}{
		{"joe", 0, "", false},
		{"ann", 0, "", false},
		{"bob", 0, "", false},
		{"inpasswd", 0, "", false},
		{"ending", 0, "", false},
		{"aging", 0, "", false},
		{"away", 0, "", false}, // found out when the program is to be run
		{"root", 1, "its user id is 0", false},
		{"nologin", 1, `nobody can log in with its shell "/usr/sbin/nologin"`, false},
		{"other", 1, `nobody can log in with its shell "/bin/other"`, false},
		{"expired", 1, "it has expired", false},
		{"old", 1, "the password has expired", false},
		{"change", 1, "must be changed", false},
		{"homeless", 1, "home directory", false},
		{"locked", 1, "", false},
		{"star", 1, "", false},
		{"nopassword", 1, "", false},
		{"strange", 1, "not known here", true},
		{"broken", 111, "unable to read the hash", true},
		{"number", 111, `account "number": malformed number`, true},
		{"noshadow", 1, "", false},
		{"short", 1, "", false},
		{"bad", 1, "", false},
		{"nobody", 1, "", false},
		{"", 1, "", false},
		{"+nis", 1, "", false},
		{"joe:x", 1, "", false},
		{"joe\n", 1, "", false},
	} {
		a, status, says := login(t, c.name, password, "<1@h>")
		if status != c.status || !strings.Contains(says, c.says) || c.says == "" && says != "" || status == 0 && (a.name != c.name || a.uid == 0 || a.shell == "") {
			t.Errorf("%q: status %d, account %+v, says %q; want %d, %q", c.name, status, a, says, c.status, c.says)
		}
		for _, wrong := range []string{"", password + "x", "!", "*", "x"} {
			if _, status, says := login(t, c.name, wrong, ""); status == 0 || c.status != 111 && status != 1 || !c.always && says != "" {
				t.Errorf("%q with %q: status %d, says %q", c.name, wrong, status, says)
			}
		}
	}
}

func TestMail(t *testing.T) {
	dir := home(t)
	logins(t, dir)
	for _, c := range []struct {
		name, password string
		account        string // "" if refused
		says           string
	}{
		{"joe", "mail word", "joe", ""},
		{"joe", password, "", ""}, // the file decides
		{"ann", password, "ann", ""},
		{"ann", "mail word", "", ""},
		{"sue@example.net", "mail word", "joe", ""},
		{"sue", "mail word", "", ""},
		{"dan", "mail word", "star", ""}, // no password of the host's, and none needed
		{"tim", "mail word", "", `login "tim" has no mailbox: there is no account "tim"`},
		{"rob", "mail word", "", `login "rob" has no mailbox: its user id is 0`},
		{"eve", "mail word", "", `login "eve" has no mailbox: it has expired`},
		{"tim", "x", "", ""},
		{"", "", "", ""},
	} {
		a, status, says := login(t, c.name, c.password, "<1@h>")
		if a.name != c.account || (status == 0) != (c.account != "") || status != 0 && status != 1 || !strings.Contains(says, c.says) || c.says == "" && says != "" {
			t.Errorf("%q with %q: account %q, status %d, says %q", c.name, c.password, a.name, status, says)
		}
	}
	// Challenges and responses, by the one who has a secret.
	apop := func(challenge string) string {
		out, err := exec.Command("sh", "-c", `printf %s "$0" | openssl md5 -r | cut -c 1-32`, challenge+"mail word").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for _, c := range []struct {
		name, response, challenge string
		right                     bool
	}{
		{"joe", apop("<1@h>"), "<1@h>", true},
		{"joe", strings.ToUpper(apop("<1@h>")), "<1@h>", true},
		{"joe", sasl.CRAM("mail word", "<1@h>"), "<1@h>", true},
		{"joe", apop("<1@h>"), "<2@h>", false},
		{"joe", sasl.CRAM("mail word", "<1@h>"), "<2@h>", false},
		{"joe", apop(""), "", false},
		{"joe", sasl.CRAM("mail word", ""), "", false},
		{"sue@example.net", apop("<1@h>"), "<1@h>", false},
	} {
		if _, status, _ := login(t, c.name, c.response, c.challenge); (status == 0) != c.right || status > 1 {
			t.Errorf("%q, response %q to %q: status %d", c.name, c.response, c.challenge, status)
		}
	}
	// A file that cannot be read decides nothing.
	if err := os.Remove(dir + "/" + mailauth.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/"+mailauth.Path, []byte("joe:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, status, says := login(t, "joe", password, ""); status != 111 || !strings.Contains(says, "mailauth") {
		t.Errorf("with a broken file: status %d, says %q", status, says)
	}
}

// The program as popup runs it, to its end.
func TestRun(t *testing.T) {
	dir := home(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	record := string(checkpw.Record("bob", password, "<1@h>"))
	program := []string{"sh", "-c", `echo $USER $HOME $SHELL $(pwd) $(id -u) $(id -g); exit 7; : <&3`}
	uid, gid := strconv.Itoa(max(os.Geteuid(), 12345)), strconv.Itoa(max(os.Geteuid(), 12345))
	if os.Geteuid() != 0 {
		uid, gid = strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid())
	}
	want := fmt.Sprintf("bob %s /bin/sh %s %s %s\n", dir, dir, uid, gid)
	for _, c := range []struct {
		what   string
		args   []string
		record string
		status int
		stdout string
	}{
		{"right", program, record, 7, want},
		{"more than the record", program, record + "more", 7, want},
		{"wrong", program, string(checkpw.Record("bob", "x", "<1@h>")), 1, ""},
		{"no record", program, "", 2, ""},
		{"half a record", program, strings.TrimSuffix(record, "\x00"), 2, ""},
		{"longest record", program, record + strings.Repeat("x", checkpw.MaxRecord-len(record)), 7, want},
		{"record too long", program, record + strings.Repeat("x", checkpw.MaxRecord-len(record)+1), 1, ""},
		{"no program", nil, record, 2, ""},
		{"nothing to run", []string{"/nonexistent"}, record, 111, ""},
		{"no home directory", program, string(checkpw.Record("away", password, "")), 111, ""},
		{"true", []string{"true"}, record, 0, ""},
		{"descriptor 3 is gone", []string{"sh", "-c", "(: <&3) 2>/dev/null && echo open; exit 0"}, record, 0, ""},
	} {
		for _, file := range []bool{false, true} {
			from := descriptor(t, c.record, file)
			cmd := exec.Cmd{Path: self, Args: append([]string{"checkpassword"}, c.args...), ExtraFiles: []*os.File{from},
				Env: []string{"PATH=/usr/bin:/bin", "CHECKPASSWORD_FILES=" + dir}}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			from.Close()
			var exit *exec.ExitError
			if status := cmd.ProcessState.ExitCode(); err != nil && !errors.As(err, &exit) || status != c.status || stdout.String() != c.stdout {
				t.Errorf("%s, file %v: status %d, %q, says %q; want %d, %q", c.what, file, status, stdout.String(), stderr.String(), c.status, c.stdout)
			}
			if c.status == 1 && stderr.Len() > 0 {
				t.Errorf("%s: says %q", c.what, stderr.String())
			}
		}
	}
	cmd := exec.Cmd{Path: self, Args: append([]string{"checkpassword"}, program...), Env: []string{"CHECKPASSWORD_FILES=" + dir}}
	if cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("without descriptor 3: %v", cmd.ProcessState)
	}
}

// descriptor returns where a record can be read, in a pipe or a file.
func descriptor(t *testing.T, record string, file bool) *os.File {
	t.Helper()
	if file {
		name := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(name, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString(record) // less than a pipe holds
	w.Close()
	return r
}

// Root's groups are not left behind.
func TestGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root has groups to leave behind: this is tested as root")
		return
	}
	dir := home(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from := descriptor(t, string(checkpw.Record("bob", password, "")), false)
	defer from.Close()
	cmd := exec.Cmd{Path: self, Args: []string{"checkpassword", "id", "-G"}, ExtraFiles: []*os.File{from},
		Env:         []string{"PATH=/usr/bin:/bin", "CHECKPASSWORD_FILES=" + dir},
		SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4711}}}}
	out, err := cmd.Output()
	if err != nil || string(out) != "12345\n" {
		t.Errorf("groups %q, %v", out, err)
	}
}

// FuzzLogin: with any passwd and shadow, who gets in is somebody there, not root, and has
// the password.
func FuzzLogin(f *testing.F) {
	hash := crypt(f, password, "$1$abcdefgh$")
	f.Add("joe:x:1:1::/:/bin/sh\n", "joe:"+hash+":1::::::\n", "joe", password)
	f.Add("joe:"+hash+":0:1::/:/bin/sh\n", "", "joe", password)
	f.Add("joe:x:1:1::/:", "joe::1::::::\n", "joe", "")
	f.Fuzz(func(t *testing.T, passwd, shadow, name, password string) {
		if strings.Contains(shadow, "$6$") || strings.Contains(shadow+passwd, "$y$") || strings.Contains(shadow+passwd, "$2") || strings.Contains(shadow+passwd, "rounds=") {
			return // as slow as it says
		}
		dir := t.TempDir()
		for file, text := range map[string]string{"passwd": passwd, "shadow": shadow, "shells": "/bin/sh\n"} {
			if err := os.WriteFile(dir+"/"+file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		use(dir)
		a, err := hostAccount(name, password, 20000)
		if err != nil || !a.right {
			return
		}
		right, _ := matches(strings.Split(strings.TrimSpace(shadow), ":")[min(1, strings.Count(shadow, ":"))], password)
		if a.refusal == "" && (a.uid == 0 || a.name != name || !strings.Contains(passwd, name+":")) || !right && !strings.Contains(passwd+shadow, "$") {
			t.Errorf("%+v", a)
		}
	})
}
