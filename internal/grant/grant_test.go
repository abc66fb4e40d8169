package grant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// TestMain lets the test binary be each of the programs that need a process of their own.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "relay-ctrl-chdir":
		prog.Main("relay-ctrl-chdir", Chdir)
	case "relay-ctrl-allow":
		prog.Main("relay-ctrl-allow", Allow)
	case "relay-ctrl-send":
		prog.Main("relay-ctrl-send", Send)
	case "relay-ctrl-udp":
		prog.Main("relay-ctrl-udp", Receive(func(directory string) error {
			if _, err := os.ReadDir(directory); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "ready")
			return nil
		}))
	}
	os.Exit(m.Run())
}

// named returns the test binary under another name.
func named(t *testing.T, name string) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func process() *prog.Process {
	return &prog.Process{Name: "relay-ctrl-x", PID: 7, Now: func() time.Time { return time.Now().UTC() }}
}

// call runs a program as process 7 in dir, and returns the environment of the one that it
// becomes, if it does, its status, and what it says.
func call(t *testing.T, run func(*prog.Process) error, dir string, env prog.Env, args ...string) (next prog.Env, status int, said string) {
	t.Helper()
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p := process()
	p.Args, p.Env, p.Dir, p.Stderr = args, env, dir, stderr
	err = p.Call(run)
	var become *prog.Become
	if errors.As(err, &become) {
		if !slices.Equal(become.Args, args) || become.Dir != "" {
			t.Errorf("it becomes %q in %q", become.Args, become.Dir)
		}
		next, err = become.Env, nil
	}
	status = p.Conclude(err)
	text, err := os.ReadFile(stderr.Name())
	if err != nil {
		t.Fatal(err)
	}
	return next, status, string(text)
}

// entry makes one of an age.
func entry(t *testing.T, path, contents string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := errors.Join(os.WriteFile(path, []byte(contents), 0o644), os.Chtimes(path, at, at)); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	opened, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	entry(t, dir+"/192.0.2.1", "USER=joe\x00DOMAIN=x.y\x00PATH=/tmp\x00", 0)
	entry(t, dir+"/2001:db8::1", "", 10*time.Minute)
	entry(t, dir+"/192.0.2.2", "USER=a\nb\xff\x00", 0)
	entry(t, dir+"/.hidden", "USER=joe\x00", 0)
	if err := errors.Join(os.Symlink("192.0.2.1", dir+"/192.0.2.8"), unix.Mkfifo(dir+"/192.0.2.9", 0o644)); err != nil {
		t.Fatal(err)
	}
	dirEnv, byFD := "RELAY_CTRL_DIR="+dir, fmt.Sprintf("RELAY_CTRL_DIR_FD=%d", opened.Fd())
	const talk, x = "RELAY_CTRL_LOG_IPS=", "relay-ctrl-x[7]: "
	for _, c := range []struct {
		env  string // by commas, TCPREMOTEIP first
		want string // what is new in the environment
		says string
	}{
		{"192.0.2.1," + dirEnv, "RELAYCLIENT= USER=joe DOMAIN=x.y", ""},
		{"::ffff:192.0.2.1," + byFD + ",RELAY_CTRL_DIR=/nonexistent," + talk + ",RELAY_CTRL_LOG_ENV=", "RELAYCLIENT= USER=joe DOMAIN=x.y",
			x + "IP 192.0.2.1 found, setting $RELAYCLIENT\n" + x + "Setting USER=joe\n" + x + "Setting DOMAIN=x.y\n"},
		{"2001:db8:0::1,RELAY_CTRL_RELAYCLIENT=@fix," + dirEnv, "RELAYCLIENT=@fix", ""},
		{"2001:db8::1,RELAY_CTRL_EXPIRY=500x," + dirEnv + "," + talk, "", x + "Expired IP 2001:db8::1 found, removing\n"},
		{"2001:db8::1," + byFD + "," + talk, "", x + "IP 2001:db8::1 not found\n"}, // it was removed
		{"192.0.2.2,RELAY_CTRL_EXPIRY=-5,RELAY_CTRL_LOG_ENV=," + dirEnv, "RELAYCLIENT= USER=a\nb\xff", x + "Setting USER=a?b?\n"},
		{"192.0.2.1,RELAYCLIENT=@own," + dirEnv + "," + talk, "", x + "$RELAYCLIENT already set, not checking IP\n"},
		{"192.0.2.3," + dirEnv, "", ""},
		{"192.0.2.8," + dirEnv, "", x + "Warning: Could not open IP file '192.0.2.8': Too many levels of symbolic links\n"},
		{"192.0.2.9," + dirEnv, "", x + "Warning: Could not open IP file '192.0.2.9': Not a regular file\n"},
		{".hidden," + dirEnv, "", x + "Warning: $TCPREMOTEIP is not an IP address, not checking IP\n"},
		{"../x," + dirEnv + ",MSG_NO_PROGRAM=", "", "Warning: $TCPREMOTEIP is not an IP address, not checking IP\n"},
		{"192.0.2.1", "", x + "Warning: $RELAY_CTRL_DIR is not set\n"},
		{"192.0.2.1,RELAY_CTRL_DIR=/nonexistent", "", x + "Warning: Could not change directory to '/nonexistent': No such file or directory\n"},
		{"192.0.2.1,RELAY_CTRL_DIR=" + dir + "/192.0.2.1", "", x + "Warning: Could not change directory to '" + dir + "/192.0.2.1': Not a directory\n"},
		{"192.0.2.1,RELAY_CTRL_DIR_FD=," + dirEnv, "", x + "Warning: Invalid value for $RELAY_CTRL_DIR_FD\n"},
		{"192.0.2.1,RELAY_CTRL_DIR_FD=-100," + dirEnv, "", x + "Warning: Invalid value for $RELAY_CTRL_DIR_FD\n"},
		{"192.0.2.1,RELAY_CTRL_DIR_FD=77777," + dirEnv, "", x + "Warning: Could not chdir to FD 77777: Bad file descriptor\n"},
		{"192.0.2.1,RELAY_CTRL_DIR_FD=2," + dirEnv, "", x + "Warning: Could not chdir to FD 2: Not a directory\n"},
		{"192.0.2.1,RELAY_CTRL_DIR=" + filepath.Base(dir), "RELAYCLIENT= USER=joe DOMAIN=x.y", ""},
	} {
		env := prog.Env(strings.Split("TCPREMOTEIP="+c.env, ","))
		next, status, said := call(t, Check, filepath.Dir(dir), slices.Clone(env), "smtpd", "x")
		if got := strings.Join(next[min(len(env), len(next)):], " "); got != c.want || !slices.Equal(next[:len(env)], env) || status != 0 || said != c.says {
			t.Errorf("%s: status %d, new are %q, said %q; want %q, %q", c.env, status, got, said, c.want, c.says)
		}
	}
	if _, _, said := call(t, Check, dir, prog.Env{dirEnv}, "smtpd"); said != x+"Warning: $TCPREMOTEIP not set, not checking IP\n" {
		t.Errorf("without an address it says %q", said)
	}
	if _, status, said := call(t, Check, dir, nil); status != 1 || !strings.Contains(said, "Fatal: usage: ") {
		t.Errorf("without a program: %d, %q", status, said)
	}
}

var draft = regexp.MustCompile(`\.\d+\.\d+:7`)

func TestAllow(t *testing.T) {
	dir := t.TempDir()
	dirEnv := "RELAY_CTRL_DIR=" + dir
	const x = "relay-ctrl-x[7]: "
	for _, c := range []struct {
		env      string // by commas, TCPREMOTEIP first
		name     string // of the entry
		contents string
		status   int
		says     string
	}{
		{"192.0.2.1,USER=joe,DOMAIN=x.y," + dirEnv, "192.0.2.1", "USER=joe\x00DOMAIN=x.y\x00", 0, ""},
		{"::ffff:192.0.2.2," + dirEnv, "192.0.2.2", "", 0, ""},
		{"2001:DB8::2,USER=joe," + dirEnv, "2001:db8::2", "USER=joe\x00", 0, ""},
		{"192.0.2.3,AUTHUSER=x,AUTHARGV0=y," + dirEnv, "", "", 0, ""},
		{"192.0.2.3,AUTHUSER=x,AUTHARGV0=y,AUTHENTICATED=," + dirEnv, "", "", 0, ""},
		{"192.0.2.3,AUTHUSER=x,AUTHARGV0=y,AUTHENTICATED=joe," + dirEnv, "192.0.2.3", "", 0, ""},
		{"192.0.2.4,AUTHUSER=x," + dirEnv, "192.0.2.4", "", 0, ""},
		{"192.0.2.5", "", "", 0, x + "Warning: $RELAY_CTRL_DIR is not set.\n"},
		{"192.0.2.5,RELAY_CTRL_DIR_FD=2", "", "", 0, x + "Warning: $RELAY_CTRL_DIR is not set.\n"},
		{"192.0.2.5,RELAY_CTRL_DIR=/nonexistent", "", "", 0, x + "Warning: Could not change directory to '/nonexistent': No such file or directory\n"},
		{"192.0.2.5,RELAY_CTRL_DIR=/proc", "", "", 0, x + "Warning: Could not open '.#' for writing: No such file or directory\n"},
		{"," + dirEnv, "", "", 111, x + "Fatal: Must be run from tcp-env or tcpserver.\n"},
		{"../x," + dirEnv, "", "", 111, x + "Fatal: Must be run from tcp-env or tcpserver.\n"},
	} {
		next, status, said := call(t, Allow, "/", strings.Split("TCPREMOTEIP="+c.env, ","), "pop3d")
		if said = draft.ReplaceAllString(said, ".#"); status != c.status || said != c.says || (next == nil) != (status != 0) {
			t.Errorf("%s: status %d, said %q, want %d, %q", c.env, status, said, c.status, c.says)
		}
		entries, _ := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			contents, err := os.ReadFile(filepath.Join(dir, e.Name()))
			fi, statErr := e.Info()
			if err != nil || statErr != nil || string(contents) != c.contents || fi.Mode() != 0o600 {
				t.Errorf("%s: %s, mode %v, holds %q, %v", c.env, e.Name(), fi.Mode(), contents, err)
			}
			names = append(names, e.Name())
			os.Remove(filepath.Join(dir, e.Name()))
		}
		if got := strings.Join(names, " "); got != c.name {
			t.Errorf("%s: entries are %q, want %q", c.env, got, c.name)
		}
	}
	if _, status, said := call(t, Allow, "/", prog.Env{dirEnv}); status != 111 {
		t.Errorf("without an address: %d, %q", status, said)
	}
}

func TestAge(t *testing.T) {
	dir := t.TempDir()
	entry(t, dir+"/192.0.2.1", "", 16*time.Minute)
	entry(t, dir+"/192.0.2.2", "", 14*time.Minute)
	for _, c := range []struct {
		env    string
		left   int
		status int
		says   string
	}{
		{"RELAY_CTRL_DIR=" + dir, 1, 0, ""},
		{"RELAY_CTRL_EXPIRY=800,RELAY_CTRL_DIR=" + dir, 0, 0, ""},
		{"", 0, 1, "relay-ctrl-x: Fatal: $RELAY_CTRL_DIR is not set.\n"},
		{"MSG_NO_PROGRAM=1,RELAY_CTRL_DIR=/nonexistent", 0, 1, "Fatal: Could not open directory '/nonexistent': No such file or directory\n"},
	} {
		_, status, said := call(t, Age, "/", strings.Split(c.env, ","))
		if left, _ := os.ReadDir(dir); len(left) != c.left || status != c.status || said != c.says {
			t.Errorf("%s: %d left, status %d, said %q", c.env, len(left), status, said)
		}
	}
}

// The descriptor has a high number below the limit, whatever is open already; Allow uses
// it, with an umask that would close the file to others, and hands it to nobody.
func TestChdir(t *testing.T) {
	dir := t.TempDir()
	chdir, allow := named(t, "relay-ctrl-chdir"), named(t, "relay-ctrl-allow")
	for _, c := range []struct{ script, want string }{
		{`ulimit -Sn 64; ulimit -Hn 64; exec $CHDIR sh -c 'echo $RELAY_CTRL_DIR_FD; readlink /proc/self/fd/$RELAY_CTRL_DIR_FD'`, "63\n" + dir + "\n"},
		{`exec $CHDIR $CHDIR sh -c 'echo $RELAY_CTRL_DIR_FD; readlink /proc/self/fd/1022 /proc/self/fd/1023'`, "1022\n" + dir + "\n" + dir + "\n"},
		{`umask 077; cd /; TCPREMOTEIP=::1 exec $CHDIR $ALLOW sh -c 'readlink /proc/self/fd/$RELAY_CTRL_DIR_FD; umask; pwd; stat -c %a $RELAY_CTRL_DIR/::1'`, "0077\n/\n666\n"},
		{`$CHDIR 2>&1 | sed 's/[0-9]//g'`, "relay-ctrl-chdir[]: Fatal: usage: relay-ctrl-chdir program [ arg ... ]\n"},
		{`export MSG_NO_PROGRAM=; RELAY_CTRL_DIR=/dev/null; $CHDIR x 2>&1; RELAY_CTRL_DIR=/nonexistent; $CHDIR x 2>&1; unset RELAY_CTRL_DIR; $CHDIR x 2>&1; echo $?`,
			"Fatal: '/dev/null' is not a directory\nFatal: Could not open dir '/nonexistent': No such file or directory\nFatal: $RELAY_CTRL_DIR is not set.\n111\n"},
	} {
		cmd := exec.Command("bash", "-c", "ulimit -Sn 2000 || :\n"+c.script)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "RELAY_CTRL_DIR=" + dir, "CHDIR=" + chdir, "ALLOW=" + allow}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if _, exited := err.(*exec.ExitError); err != nil && !exited || string(out) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.script, out, err, c.want)
		}
	}
}

// started is a program in the background whose descriptor 2 is read.
type started struct {
	*exec.Cmd
	says io.ReadCloser
}

func start(t *testing.T, stdout io.Writer, env []string, path string, args ...string) started {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout = append(env, "PATH=/usr/bin:/bin"), stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		r.Close()
	})
	return started{cmd, r}
}

// await reads up to text.
func (s started) await(t *testing.T, text string) {
	t.Helper()
	var heard []byte
	for b := make([]byte, 1); !bytes.HasSuffix(heard, []byte(text)); heard = append(heard, b[0]) {
		if _, err := s.says.Read(b); err != nil {
			t.Fatalf("waiting for %q: %q, %v", text, heard, err)
		}
	}
}
