package passwd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/mailauth"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// TestMain lets the test binary be qmail-passwd, with a home of its own.
func TestMain(m *testing.M) {
	conf.UserPasswd, conf.GroupQmail = "daemon", "daemon" // every host has these
	if os.Geteuid() != 0 {
		conf.UserPasswd, conf.GroupQmail = names()
	}
	if filepath.Base(os.Args[0]) == "qmail-passwd" {
		conf.Home = os.Getenv("PASSWD_HOME")
		prog.Main("qmail-passwd", Run, prog.Umask(0o77))
	}
	os.Exit(m.Run())
}

// names returns those of the user that the tests run as.
func names() (user, group string) {
	var out [2]string
	for i, option := range []string{"-un", "-gn"} {
		b, err := exec.Command("id", option).Output()
		if err != nil {
			panic(err)
		}
		out[i] = strings.TrimSpace(string(b))
	}
	return out[0], out[1]
}

// home makes one and returns it with the file.
func home(t *testing.T) (dir string, f *mailauth.File) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(dir+"/users", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := mailauth.Open(dir + "/" + mailauth.Path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, f
}

// command returns one that is qmail-passwd in that home.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &exec.Cmd{Path: self, Args: append([]string{"qmail-passwd"}, args...), Env: []string{"PATH=/usr/bin:/bin", "PASSWD_HOME=" + dir}}
}

func TestPasswd(t *testing.T) {
	dir, f := home(t)
	const secrets = "CRAM-MD5, DIGEST-MD5 and APOP"
	for _, c := range []struct {
		args   string
		stdin  string
		status int
		stdout string // part of it
		stderr string
		login  string // and what it has then
		word   string // its password, "" if there is no login
		secret string
		unix   string
	}{
		{"joe", "sesame\n", 0, "", "", "joe", "sesame", "", ""},
		{"joe", "simsim", 0, "", "", "joe", "simsim", "", ""},
		{"-s joe", "sesame\nmore\n", 0, secrets, "", "joe", "sesame", "sesame", ""},
		{"-u daemon joe", "sesame\n", 0, "not kept any more: no " + secrets, "", "joe", "sesame", "", "daemon"},
		{"-s joe", "simsim\n", 0, secrets, "", "joe", "simsim", "simsim", "daemon"},
		{"sue@example.net", "pass word \n", 0, "", "", "sue@example.net", "pass word ", "", ""},
		{"joe", "", 100, "", "fatal: there is no password on standard input\n", "joe", "simsim", "simsim", "daemon"},
		{"joe", "\n", 100, "", "fatal: the password must have", "joe", "simsim", "simsim", "daemon"},
		{"joe", "a\rb\n", 100, "", "fatal: the password must have", "joe", "simsim", "simsim", "daemon"},
		{"joe", strings.Repeat("x", 256) + "\n", 100, "", "fatal: the password must have", "joe", "simsim", "simsim", "daemon"},
		{"joe", strings.Repeat("x", 5000) + "\n", 100, "", "fatal: the password must have", "joe", "simsim", "simsim", "daemon"},
		{"jo:e", "sesame\n", 100, "", `fatal: "jo:e" cannot be a login`, "", "", "", ""},
		{"-u root joe", "sesame\n", 100, "", `fatal: account "root" has user id 0`, "joe", "simsim", "simsim", "daemon"},
		{"-u no-such-account joe", "sesame\n", 111, "", "fatal: unable to find user no-such-account\n", "joe", "simsim", "simsim", "daemon"},
		{"-d tim", "", 100, "", `fatal: there is no login "tim"`, "joe", "simsim", "simsim", "daemon"},
		{"-d joe", "", 0, "", "", "joe", "", "", ""},
		{"", "", 100, "", "usage: qmail-passwd [ -s ]", "", "", "", ""},
		{"joe sue", "", 100, "", "usage: qmail-passwd [ -s ]", "", "", "", ""},
		{"-d -s joe", "", 100, "", "usage: qmail-passwd [ -s ]", "", "", "", ""},
		{"-x joe", "", 100, "", "illegal option -- x", "", "", "", ""},
	} {
		cmd := command(t, dir, strings.Fields(c.args)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &stdout, &stderr
		cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != c.status || !strings.Contains(stdout.String(), c.stdout) || c.stdout == "" && stdout.Len() > 0 ||
			!strings.Contains(stderr.String(), c.stderr) || c.stderr == "" && stderr.Len() > 0 {
			t.Errorf("%q with %.20q: status %d, says %q and %q; want %d, %q and %q", c.args, c.stdin, status, stdout.String(), stderr.String(), c.status, c.stdout, c.stderr)
		}
		if c.login == "" {
			continue
		}
		e, known, err := f.Lookup(c.login)
		if err != nil || known != (c.word != "") {
			t.Errorf("%q: %s: known %v, %v", c.args, c.login, known, err)
			continue
		}
		if !known {
			continue
		}
		right1, _ := e.SHA1.Matches(sasl.SHA1, c.word)
		right2, _ := e.SHA256.Matches(sasl.SHA256, c.word)
		if !right1 || !right2 || e.Secret != c.secret || e.Account != c.unix {
			t.Errorf("%q: %s has secret %q, account %q; the password %q matches: %v, %v", c.args, c.login, e.Secret, e.Account, c.word, right1, right2)
		}
	}
	path := dir + "/" + mailauth.Path
	if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte("simsim")) {
		t.Errorf("the file tells a password: %q, %v", b, err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); fi.Mode() != 0o400 || os.Geteuid() == 0 && st.Uid == 0 {
		t.Errorf("mode %v, owner %d", fi.Mode(), st.Uid)
	}
	if names, _ := filepath.Glob(dir + "/users/*"); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

// Two entries in a row have nothing in common, though the password is the same.
func TestSalt(t *testing.T) {
	dir, f := home(t)
	salts := map[string]bool{}
	for _, login := range []string{"joe", "sue", "joe"} {
		cmd := command(t, dir, login)
		cmd.Stdin = strings.NewReader("sesame\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v, %s", err, out)
		}
		e, _, err := f.Lookup(login)
		if err != nil {
			t.Fatal(err)
		}
		salts[string(e.SHA1.Salt)], salts[string(e.SHA256.Salt)] = true, true
	}
	if len(salts) != 6 {
		t.Errorf("%d salts for 3 passwords", len(salts))
	}
}

// terminal opens a pair of a terminal and whoever sits at it.
func terminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	n, err1 := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	err2 := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	tty, err3 := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	t.Cleanup(func() { tty.Close() })
	return person, tty
}

// until reads from the terminal up to a question.
func until(t *testing.T, person *os.File, question string) string {
	t.Helper()
	var seen []byte
	for !bytes.HasSuffix(seen, []byte(question)) {
		ready := []unix.PollFd{{Fd: int32(person.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 10_000); n != 1 || err != nil && err != unix.EINTR {
			t.Fatalf("qmail-passwd does not say %q, but %q: %v", question, seen, err)
		}
		b := make([]byte, 1)
		if _, err := person.Read(b); err != nil {
			t.Fatalf("after %q: %v", seen, err)
		}
		seen = append(seen, b...)
	}
	return string(seen)
}

// At a terminal the password is asked for twice and not shown.
func TestTerminal(t *testing.T) {
	for _, c := range []struct {
		what          string
		first, second string // as typed
		status        int
		says          string
		word          string
	}{
		{"the same twice", "sesame\r", "sesame\r", 0, "", "sesame"},
		{"corrected while typing", "sesamx\x7fe\r", "sesame\r", 0, "", "sesame"},
		{"two different ones", "sesame\r", "Sesame\r", 100, "the two passwords differ", ""},
		{"interrupted", "sesa\x03", "", 111, "interrupted", ""},
		{"the end of input", "\x04", "", 100, "there is no password", ""},
		{"nothing", "\r", "\r", 100, "must have", ""},
	} {
		dir, f := home(t)
		person, tty := terminal(t)
		before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t, dir, "joe")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		watch := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		shown := until(t, person, "Password for joe: ")
		person.WriteString(c.first)
		if c.second != "" {
			shown += until(t, person, "Again: ")
			person.WriteString(c.second)
		}
		cmd.Wait()
		watch.Stop()
		after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%s: the terminal is left as %+v, %v, was %+v", c.what, after, err, before)
		}
		if c.says != "" {
			shown += until(t, person, c.says)
		}
		if status := cmd.ProcessState.ExitCode(); status != c.status || strings.Contains(shown, "esa") {
			t.Errorf("%s: status %d, shown %q", c.what, status, shown)
		}
		e, known, err := f.Lookup("joe")
		if c.word == "" && known || c.word != "" && !known {
			t.Errorf("%s: known %v, %v", c.what, known, err)
		}
		if right, _ := e.SHA256.Matches(sasl.SHA256, c.word); known && !right {
			t.Errorf("%s: the password is not %q", c.what, c.word)
		}
	}
}
