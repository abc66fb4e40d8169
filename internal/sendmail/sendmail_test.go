package sendmail

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

// TestMain lets the test binary be the program itself, in the home that its only
// purpose is to be tested in.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "sendmail", "mailq", "newaliases":
		conf.Home = os.Getenv("HOME")
		prog.Main("sendmail", Program{}.Run)
	}
	os.Exit(m.Run())
}

// process returns a process called name, and where its standard error goes.
func process(t *testing.T, name string, env prog.Env, args ...string) (*prog.Process, func() string) {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stderr.Close() })
	return &prog.Process{Name: name, Args: args, Env: env, Stderr: stderr}, func() string {
		b, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

var namedEnv = prog.Env{"A=b", "QMAILNAME=q", "MAILNAME=m", "NAME=n", "QMAILHOST=qh", "MAILHOST=mh", "QMAILUSER=qu", "USER=u"}

func TestBecomes(t *testing.T) {
	conf.Home = t.TempDir()
	plain := prog.Env{"A=b"}
	session := prog.Env{"A=b", "RELAYCLIENT=", "DATABYTES=0", "PROTO=TCP", "TCPLOCALIP=127.0.0.1", "TCPLOCALHOST=localhost",
		"TCPREMOTEIP=127.0.0.1", "TCPREMOTEHOST=localhost", "TCPREMOTEINFO=sendmail-bs"}
	served := prog.Env{"PROTO=TCP6", "TCPREMOTEIP=::1"}
	for _, c := range []struct {
		name string
		env  prog.Env
		args []string

		want    []string
		wantEnv prog.Env
	}{
		{"sendmail", plain, nil, []string{"bin/qmail-inject", "-a", "--"}, plain},
		{"sendmail", plain, []string{"a", "-t"}, []string{"bin/qmail-inject", "-a", "--", "a", "-t"}, plain},
		{"sendmail", plain, []string{"-t", "a"}, []string{"bin/qmail-inject", "-H", "--", "a"}, plain},
		{"sendmail", plain, []string{"-i", "--", "-t"}, []string{"bin/qmail-inject", "-a", "--", "-t"}, plain},
		{"sendmail", plain, []string{"-"}, []string{"bin/qmail-inject", "-a", "--", "-"}, plain},
		{"sendmail", plain, []string{"-vimx", "-oi", "-oem", "-o", "x", "-em", "-px", "-B8BITMIME", "-E7", "-Jzq", "-bm", "a"},
			[]string{"bin/qmail-inject", "-a", "--", "a"}, plain},
		{"sendmail", plain, []string{"-Etf", "a"}, []string{"bin/qmail-inject", "-a", "--", "a"}, plain},
		{"sendmail", plain, []string{"-FJ R", "-F", "K"}, []string{"bin/qmail-inject", "-a", "--"}, prog.Env{"A=b", "MAILNAME=K"}},
		{"sendmail", namedEnv, []string{"-fx y@h@d"}, []string{"bin/qmail-inject", "-a", "-f", "x y@h@d", "--"},
			prog.Env{"A=b", "USER=u", "QMAILUSER=x y@h", "QMAILHOST=d"}},
		{"sendmail", namedEnv, []string{"-froot", "-Flost"}, []string{"bin/qmail-inject", "-a", "-f", "root", "--"},
			prog.Env{"A=b", "USER=u", "QMAILUSER=root"}},
		{"sendmail", plain, []string{"-tf", "", "a"}, []string{"bin/qmail-inject", "-H", "-f", "", "--", "a"}, prog.Env{"A=b", "QMAILUSER="}},
		{"sendmail", plain, []string{"-bp", "-q"}, []string{"bin/qmail-qread"}, plain},
		{"sendmail", plain, []string{"-bpx"}, []string{"bin/qmail-qread"}, plain},
		{"sendmail", plain, []string{"-bs", "-q"}, []string{"bin/qmail-smtpd"}, session},
		{"sendmail", served, []string{"-bs"}, []string{"bin/qmail-smtpd"}, served},
		{"mailq", plain, []string{"-t", "a"}, []string{"bin/qmail-qread"}, plain},
		{"mailq", served, []string{"-bs"}, []string{"bin/qmail-smtpd"}, served},
		{"newaliases", plain, nil, []string{"bin/newaliases"}, plain},
		{"newaliases", plain, []string{"-bp"}, []string{"bin/qmail-qread"}, plain},
		{"exim", plain, nil, []string{"bin/qmail-inject", "-a", "--"}, plain},
	} {
		p, stderr := process(t, c.name, c.env, c.args...)
		err := Program{}.Run(p)
		var become *prog.Become
		if !errors.As(err, &become) {
			t.Errorf("%s %q: %v, %s", c.name, c.args, err, stderr())
			continue
		}
		slices.Sort(become.Env)
		slices.Sort(c.wantEnv)
		if !slices.Equal(become.Args, c.want) || !slices.Equal(become.Env, c.wantEnv) || become.Dir != conf.Home {
			t.Errorf("%s %q: becomes %q with %q in %s, want %q with %q", c.name, c.args, become.Args, become.Env, become.Dir, c.want, c.wantEnv)
		}
	}
}

// What qmail-inject does is done here only if bin/qmail-inject says that it is of the
// same build.
func TestInjectsItself(t *testing.T) {
	conf.Home = t.TempDir()
	const mark = "\nmark\n"
	if err := os.Mkdir(filepath.Join(conf.Home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		mode       os.FileMode
		mark       string
		itself     bool
	}{
		{"the same build", "program" + mark, 0o755, mark, true},
		{"nothing but the mark", mark, 0o755, mark, true},
		{"another build", "program\nmark2\n", 0o755, mark, false},
		{"more after the mark", "program" + mark + "x", 0o755, mark, false},
		{"not executable", "program" + mark, 0o644, mark, false},
		{"shorter than the mark", "k\n", 0o755, mark, false},
		{"empty", "", 0o755, mark, false},
		{"not built by make", "program" + mark, 0o755, "", false},
	} {
		path := filepath.Join(conf.Home, "bin/qmail-inject")
		os.Remove(path)
		if err := os.WriteFile(path, []byte(c.file), c.mode); err != nil {
			t.Fatal(err)
		}
		p, stderr := process(t, "sendmail", namedEnv, "-fj@h", "-t", "r")
		var got *prog.Process
		err := Program{Mark: c.mark, Inject: func(p *prog.Process) error { got = p; return nil }}.Run(p)
		var become *prog.Become
		if executes := errors.As(err, &become); executes == c.itself || (got != nil) != c.itself {
			t.Errorf("%s: %v, %v, %s", c.name, got, err, stderr())
			continue
		}
		if c.itself && (got.Name != "qmail-inject" || got.Dir != conf.Home || got.Env.Get("QMAILHOST") != "h" ||
			!slices.Equal(got.Args, []string{"-H", "-f", "j@h", "--", "r"})) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	conf.Home = t.TempDir()
	const usage = "sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n"
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"sendmail", []string{"-q"}, "sendmail: illegal option -- q\n" + usage},
		{"sendmail", []string{"-N", "never", "a"}, "sendmail: illegal option -- N\n" + usage},
		{"sendmail", []string{"-xyz"}, "sendmail: illegal option -- y\n" + usage},
		{"sendmail", []string{"-bd"}, usage},
		{"sendmail", []string{"-b", ""}, usage},
		{"sendmail", []string{"-f"}, "sendmail: option requires an argument -- f\n" + usage},
		{"sendmail", []string{"-o"}, "sendmail: option requires an argument -- o\n" + usage},
		{"mailq", []string{"-q"}, "mailq: illegal option -- q\n" + usage},
	} {
		p, stderr := process(t, c.name, nil, c.args...)
		if status := p.Do(Program{}.Run); status != 100 || stderr() != c.want {
			t.Errorf("%s %q: status %d, %q, want %q", c.name, c.args, status, stderr(), c.want)
		}
	}
}

func TestNoHome(t *testing.T) {
	conf.Home = filepath.Join(t.TempDir(), "absent")
	p, stderr := process(t, "mailq", nil, "-z")
	if status := p.Do(Program{}.Run); status != 111 || stderr() != "sendmail: fatal: unable to switch to qmail home directory\n" {
		t.Errorf("status %d, %q", status, stderr())
	}
}

// As processes: what is executed gets the arguments and the home as its directory,
// and what is missing is named.
func TestExecutes(t *testing.T) {
	home := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\npwd\nprintf '<%s>' \"$@\"\ncat\nexit 7\n"
	if err := os.WriteFile(filepath.Join(home, "bin/qmail-inject"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		want   string
	}{
		{"sendmail", []string{"-f", "s", "a b"}, 7, home + "\n<-a><-f><s><--><a b>text"},
		{"mailq", nil, 111, "sendmail: fatal: unable to run qmail-qread\n"},
		{"sendmail", []string{"-bs"}, 111, "sendmail: fatal: unable to run qmail-smtpd\n"},
	} {
		link := filepath.Join(t.TempDir(), c.name)
		if err := os.Symlink(self, link); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(link, c.args...)
		cmd.Env = []string{"HOME=" + home, "PATH=/bin:/usr/bin"}
		cmd.Stdin = strings.NewReader("text")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run() // the status says more than the error
		if status := cmd.ProcessState.ExitCode(); status != c.status || out.String() != c.want {
			t.Errorf("%s %q: status %d, %q, want %d, %q", c.name, c.args, status, out.String(), c.status, c.want)
		}
	}
}
