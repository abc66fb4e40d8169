package suite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The directory of those who have logged in, as it should not be: no login fails and no
// session waits because of it, and nobody relays who has not logged in.

// do runs a shell command as joe, who has the directory by its descriptor alone, for a
// client, and returns what is said.
func (l logins) do(client, command string) string {
	l.s.t.Helper()
	args := append([]string{l.s.path("bin/relay-ctrl-chdir")}, strings.Fields(asJoe())...)
	cmd := exec.Command(args[0], append(args[1:], "sh", "-c", command)...)
	cmd.Env = append(l.env(), "PATH="+l.s.path("bin")+":/usr/bin:/bin", "TCPREMOTEIP="+client, "USER=joe", "DOMAIN=x.y", "MSG_NO_PROGRAM=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		l.s.t.Fatal(err)
	}
	defer time.AfterFunc(deadline, func() { cmd.Process.Kill() }).Stop()
	if err := cmd.Wait(); err != nil {
		fmt.Fprintln(&out, err)
	}
	return regexp.MustCompile(`\.\d+\.\d+:\d+`).ReplaceAllString(out.String(), ".#")
}

// What a login is followed by, and what a client is.
const (
	logsIn = "relay-ctrl-allow echo served"
	asks   = `relay-ctrl-check sh -c 'echo "${RELAYCLIENT-refused}$USER"'`
	mayNot = "refusedjoe\n"
	may    = "joe\n"
)

// says wants a command to say something.
func (l logins) says(when, client, command, want string) {
	l.s.t.Helper()
	if got := l.do(client, command); got != want {
		l.s.t.Errorf("%s, %s: %q, want %q", when, command, got, want)
	}
}

func TestRelayCtrlGone(t *testing.T) {
	if !asRoot(t, "makes a directory that its users cannot reach") {
		return
	}
	s := install(t)
	l := s.logins()
	const client = "192.0.2.7"
	l.says("at first", client, asks, mayNot)
	l.says("at first", client, logsIn, "served\n")
	l.says("after a login", client, asks, may)
	if err := os.Chmod(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.says("not writable", "192.0.2.8", logsIn, "Warning: Could not open '.#' for writing: Permission denied\nserved\n")
	l.says("not writable", client, asks, may)
	if err := os.Chmod(l.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.says("closed", client, asks, "Warning: Could not open IP file '192.0.2.7': Permission denied\n"+mayNot)
	// Removed under the feet of who has it open.
	const gone = "Warning: Could not chdir to FD 1023: No such file or directory\n"
	if err := os.Chmod(l.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.path("bin/relay-ctrl-chdir"), "sh", "-c", "rm -r $RELAY_CTRL_DIR; "+logsIn+"; "+asks)
	cmd.Env = append(l.env(), "PATH="+s.path("bin")+":/usr/bin:/bin", "TCPREMOTEIP="+client, "USER=joe", "MSG_NO_PROGRAM=")
	if out, err := cmd.CombinedOutput(); string(out) != gone+"served\n"+gone+mayNot || err != nil {
		t.Errorf("while it goes: %q, %v", out, err)
	}
	l.says("gone", client, "true", "Fatal: Could not open dir '"+l.dir+"': No such file or directory\nexit status 111\n")
}

// A disk that has no room, or no inode, keeps nobody from his mail.
func TestRelayCtrlFull(t *testing.T) {
	if !asRoot(t, noMounts) {
		return
	}
	s := install(t)
	ownMounts(t)
	l := s.logins()
	d := s.smallDisk("spool/allow", "size=64k,nr_inodes=100")
	const client = "192.0.2.7"
	l.says("with room", client, logsIn, "served\n")
	d.leave(0)
	l.says("without room", "192.0.2.8", logsIn, "Warning: Could not write to '192.0.2.8': No space left on device\nserved\n")
	l.says("without room", "192.0.2.8", asks, mayNot)
	l.says("without room", client, asks, may)
	d.leaveNames(0)
	l.says("without inodes", "192.0.2.8", logsIn, "Warning: Could not open '.#' for writing: No space left on device\nserved\n")
	l.says("without inodes", client, asks, may)
	d.free()
	l.says("with room again", "192.0.2.8", logsIn, "served\n")
	l.says("with room again", "192.0.2.8", asks, may)
	if left, _ := filepath.Glob(l.dir + "/.*"); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// What users have put into the place of an entry does not hold up the process that checks
// for everybody, leads nowhere, and says nothing about programs.
func TestRelayCtrlEntries(t *testing.T) {
	if !asRoot(t, "makes a directory that its users cannot reach") {
		return
	}
	s := install(t)
	s.start()
	l := s.logins()
	l.behind()
	port := s.tcpserver(l.smtpChain(), append(l.env(), "MSG_NO_PROGRAM=")...)
	entry := filepath.Join(l.dir, "127.0.0.1")
	outside := s.path("spool/outside")
	s.write("spool/outside", "USER=joe\x00")
	for _, c := range []struct {
		what string
		make func() error
		want string
		says string
	}{
		{"a link out of the directory", func() error { return os.Symlink(outside, entry) }, noRelay, "Too many levels of symbolic links"},
		{"a FIFO", func() error { return unix.Mkfifo(entry, 0o666) }, noRelay, "Not a regular file"},
		{"a directory", func() error { return os.Mkdir(entry, 0o777) }, noRelay, "Not a regular file"},
		{"a file that is closed", func() error { return os.WriteFile(entry, nil, 0) }, noRelay, "Permission denied"},
		{"garbage", func() error { return os.WriteFile(entry, bytes.Repeat([]byte("\xff=\x00\n"), 1<<18), 0o644) }, "", ""},
		// With any of these in force the session would run cold.
		{"orders", func() error {
			return os.WriteFile(entry, []byte("QMAILQUEUE=/bin/false\x00PATH=/tmp\x00TCPREMOTEIP=x\x00"), 0o644)
		}, "", ""},
	} {
		if err := errors.Join(os.RemoveAll(entry), c.make()); err != nil {
			t.Fatal(err)
		}
		line := []byte("Warning: Could not open IP file '127.0.0.1': " + c.says + "\n")
		before := bytes.Count(s.said(), line)
		if got := relays(t, local(t, port)); got != c.want {
			t.Errorf("with %s the client is told %q, want %q", c.what, got, c.want)
		}
		if c.says != "" && bytes.Count(s.said(), line) != before+1 {
			t.Errorf("with %s it is not said %q", c.what, line)
		}
		// A new login puts things right.
		l.says("with "+c.what, "127.0.0.2", logsIn, "served\n")
	}
}

// A check takes as long as ever where there are a million entries, since it does not look
// at the others; their age is seen to in a while.
func TestRelayCtrlMillion(t *testing.T) {
	if !asRoot(t, noMounts) {
		return
	}
	strace, ok := tool(t, "strace")
	if !ok {
		return
	}
	s := install(t)
	ownMounts(t)
	l := s.logins()
	s.smallDisk("spool/allow", "size=16m,nr_inodes=0")
	entries, old := 1_000_000, 10_000
	if *cold { // nothing is different then, and to make them takes most of the time
		entries, old = 20_000, 1_000
	}
	// Second names of a file: one that is fresh, and one that is not.
	fresh, stale := filepath.Join(l.dir, "fresh"), filepath.Join(l.dir, "stale")
	long := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(fresh, nil, 0o666), os.WriteFile(stale, nil, 0o666), os.Chtimes(stale, long, long)); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	at, name := int(dir.Fd()), func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	for i := range entries {
		file := "fresh"
		if i < old {
			file = "stale"
		}
		if err := unix.Linkat(at, file, at, name(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	trace := filepath.Join(t.TempDir(), "trace")
	begun := time.Now()
	l.says("among many", name(entries-1), asks, may)
	checked := time.Since(begun)
	cmd := exec.Command(strace, "-f", "-e", "trace=getdents64,openat", "-o", trace, s.path("bin/relay-ctrl-check"), "true")
	cmd.Env = append(l.env(), "TCPREMOTEIP=10.0.0.1", "PATH=/usr/bin:/bin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v, %s", err, out)
	}
	if b, err := os.ReadFile(trace); err != nil || bytes.Contains(b, []byte("getdents64")) || !bytes.Contains(b, []byte("/10.0.0.1")) {
		t.Errorf("it lists directories: %v, %s", err, b)
	}
	begun = time.Now()
	cmd = exec.Command(s.path("bin/relay-ctrl-age"))
	cmd.Env = l.env()
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("relay-ctrl-age: %v, %s", err, out)
	}
	t.Logf("of %d entries one was found in %v, and %d removed in %v", entries, checked, old, time.Since(begun))
	left, err := os.ReadDir(l.dir)
	if want := entries - old; err != nil || len(left) != want+1 { // one was expired, and one is the fresh file itself
		t.Errorf("left are %d entries, want %d: %v", len(left), want+1, err)
	}
}
