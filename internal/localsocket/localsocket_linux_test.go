package localsocket

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socket returns a short name for a socket.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listenAt(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestCall(t *testing.T) {
	path := socket(t)
	l := listenAt(t, path)
	for _, many := range []bool{false, true} {
		c, err := Dial(path, many)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := Accept(l)
		if err != nil || s.UID != os.Geteuid() {
			t.Fatalf("caller %d, %v, want %d", s.UID, err, os.Geteuid())
		}
		defer s.Close()
		if Arrived(s.File) {
			t.Error("something has arrived that was not sent")
		}
		if !Quiet(s.File) {
			t.Error("not quiet")
		}
		if _, err := io.WriteString(c, "ab"); err != nil {
			t.Fatal(err)
		}
		if !Await(s.File) || !Arrived(s.File) {
			t.Error("what was sent does not arrive")
		}
		if Quiet(s.File) {
			t.Error("quiet, with something to read")
		}
		b := make([]byte, 9)
		if n, err := s.Read(b); string(b[:n]) != "ab" || err != nil {
			t.Errorf("read %q, %v: something was taken before", b[:n], err)
		}
		s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if Await(s.File) {
			t.Error("the deadline brought something")
		}
		c.Close()
		s.SetReadDeadline(time.Time{})
		if Await(s.File) {
			t.Error("who has hung up will send something")
		}
		if Quiet(s.File) {
			t.Error("quiet, but gone")
		}
	}
}

func TestMode(t *testing.T) {
	path := socket(t)
	old := unix.Umask(0o77)
	defer unix.Umask(old)
	listenAt(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Mode() != os.ModeSocket|0o666 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

// What a process that died has left is replaced, and callers are never without one or
// the other.
func TestReplaced(t *testing.T) {
	path := socket(t)
	old := listenAt(t, path)
	old.Close()
	if _, err := Dial(path, true); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listenAt(t, path)
	c, err := Dial(path, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestNobody(t *testing.T) {
	path := socket(t)
	if _, err := Dial(path, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(path, false); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a file: %v", err)
	}
}

func TestWaiting(t *testing.T) {
	path := socket(t)
	l := listenAt(t, path)
	if _, err := Waiting(l); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody waits: %v", err)
	}
	c, err := Dial(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A deadline in the past ends Accept, and keeps nobody from taking who waits.
	l.SetReadDeadline(time.Unix(1, 0))
	if _, err := Accept(l); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	s, err := Waiting(l)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A listener that comes from a parent blocks, until it is made usable here.
func TestInherited(t *testing.T) {
	path := socket(t)
	parents := listenAt(t, path)
	unix.SetNonblock(int(parents.Fd()), false)
	l, err := Inherited(parents)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := Accept(l); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Connections of neither end pass to programs that are run.
func TestCloseOnExec(t *testing.T) {
	path := socket(t)
	l := listenAt(t, path)
	c, err := Dial(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := Accept(l)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, f := range []*os.File{l, c, s.File} {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %#x, %v", f.Name(), flags, err)
		}
	}
}

func TestPair(t *testing.T) {
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("our end knows no deadline: %v", err)
	}
	if flags, err := unix.FcntlInt(theirs.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("their end: flags %#x, %v", flags, err)
	}
	for _, f := range []*os.File{ours, theirs} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: flags %#x, %v", f.Name(), flags, err)
		}
	}
	theirs.Close()
	ours.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after they hung up: %v", err)
	}
}
