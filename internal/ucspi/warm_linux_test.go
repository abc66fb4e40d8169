package ucspi

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// warmConn returns the connection of a warm job, whose descriptors block until then.
func warmConn(t *testing.T, timeout time.Duration) (c *Conn, client *os.File) {
	t.Helper()
	server, client := socket(false)(t)
	c = newConn(t, &prog.Process{Stdin: server, Stdout: server, Warm: true}, timeout)
	t.Cleanup(c.Close)
	if !c.in.runtime || !c.out.runtime {
		t.Fatal("the runtime does not wait for it")
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the job can still use its own file: %v", err)
	}
	return c, client
}

// A warm job's connection works as any, and after Close nothing of it is left.
func TestWarmConn(t *testing.T) {
	c, client := warmConn(t, long)
	client.WriteString("hello")
	b := make([]byte, 10)
	if n, err := c.Read(b); string(b[:n]) != "hello" || err != nil {
		t.Errorf("read %q, %v", b[:n], err)
	}
	back := readAll(client, 1<<20)
	if n, err := c.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if got := <-back; len(got) != 1<<20 {
		t.Errorf("the client read %d bytes", len(got))
	}
	c.Close()
	if n, err := client.Read(b); n != 0 || err != io.EOF {
		t.Errorf("after Close the client reads %d, %v", n, err)
	}
}

func TestWarmConnTimeouts(t *testing.T) {
	c, client := warmConn(t, 20*time.Millisecond)
	for range 2 { // the one before does not count
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("nothing to read: %d, %v", n, err)
		}
		if _, err := c.Write(make([]byte, 10<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no room to write: %v", err)
		}
	}
	client.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to nobody: %v", err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read from nobody: %d, %v", n, err)
	}
}

// A wait with a limit of its own leaves the others theirs.
func TestWithin(t *testing.T) {
	c, client := warmConn(t, long)
	if n, err := c.ReadWithin(&counter{}, 10*time.Millisecond); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nothing to read: %d, %v", n, err)
	}
	if _, err := c.WriteWithin(make([]byte, 10<<20), 10*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no room to write: %v", err)
	}
	client.WriteString("x")
	if n, err := c.Read(make([]byte, 5)); n != 1 || err != nil || c.Timeout() != long {
		t.Errorf("read %d, %v, timeout %v", n, err, c.Timeout())
	}
}

// Pipes and files may be others' too: they go on blocking.
func TestWarmConnLeavesPipes(t *testing.T) {
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	defer w.Close()
	c := newConn(t, &prog.Process{Stdin: r, Stdout: w, Warm: true}, long)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 5)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if flags(t, r)&unix.O_NONBLOCK != 0 || flags(t, w)&unix.O_NONBLOCK != 0 {
		t.Error("pipes do not block any more")
	}
}

// counter is memory that counts how often it is out.
type counter struct {
	b   [8]byte
	out atomic.Int32
}

func (m *counter) Borrow() []byte { m.out.Add(1); return m.b[:] }
func (m *counter) Return()        { m.out.Add(-1) }

// Nothing is borrowed while a client is waited for.
func TestReadTo(t *testing.T) {
	c, client := warmConn(t, long)
	m := &counter{}
	read := make(chan int)
	go func() {
		n, _ := c.ReadTo(m)
		read <- n
	}()
	for m.out.Load() != 0 { // it tries at first
		time.Sleep(time.Millisecond)
	}
	client.WriteString("hello")
	if n := <-read; n != 5 || m.out.Load() != 1 {
		t.Errorf("read %d, %d out", n, m.out.Load())
	}
	m.Return()
	client.Close()
	if n, err := c.ReadTo(m); n != 0 || err != io.EOF || m.out.Load() != 0 {
		t.Errorf("at the end: %d, %v, %d out", n, err, m.out.Load())
	}
}

// Each guest is called once: when there is something, when the client has gone, or
// when it is late; and what was there before it came counts.
func TestLounge(t *testing.T) {
	l := &Lounge{}
	for _, c := range []struct {
		name    string
		before  bool
		act     func(*os.File)
		timeout time.Duration
		late    bool
	}{
		{"something comes", false, func(c *os.File) { c.WriteString("x") }, long, false},
		{"something is there", true, func(c *os.File) { c.WriteString("x") }, long, false},
		{"the client goes", false, func(c *os.File) { c.Close() }, long, false},
		{"the client is gone", true, func(c *os.File) { c.Close() }, long, false},
		{"nothing comes", false, func(*os.File) {}, 10 * time.Millisecond, true},
	} {
		conn, client := warmConn(t, long)
		if c.before {
			c.act(client)
		}
		called := make(chan bool, 2)
		if !l.Wait(conn, c.timeout, func(late bool) { called <- late }) {
			t.Fatalf("%s: there is no room", c.name)
		}
		if !c.before {
			c.act(client)
		}
		if got := <-called; got != c.late {
			t.Errorf("%s: called with %t", c.name, got)
		}
		// Nobody is called for what comes after: there is nobody any more.
		client.WriteString("more")
		l.mu.Lock()
		if len(l.guests) != 0 || len(called) != 0 {
			t.Errorf("%s: %d guests are left, %d further calls", c.name, len(l.guests), len(called))
		}
		l.mu.Unlock()
	}
}

// A guest that leaves its place to another takes no call for it along, though the
// socket lives on in another process, as a parent's does.
func TestLoungeAgain(t *testing.T) {
	l := &Lounge{}
	server, client := socket(false)(t)
	for range 100 {
		var parent int
		raw, _ := server.SyscallConn()
		raw.Control(func(fd uintptr) { parent, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
		held := os.NewFile(uintptr(parent), "the parent's")
		c := newConn(t, &prog.Process{Stdin: server, Stdout: server, Warm: true}, long)
		called := make(chan bool, 1)
		l.Wait(c, long, func(late bool) { called <- late })
		client.WriteString("x")
		if <-called {
			t.Fatal("late")
		}
		if n, err := c.Read(make([]byte, 5)); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		c.Close()
		server = held
	}
	server.Close()
}
