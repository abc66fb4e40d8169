package ucspi

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

const long = time.Minute

// ends makes the two ends of a stream, whose descriptors block or not.
type ends func(t *testing.T) (server, client *os.File)

func socket(nonblock bool) ends {
	return func(t *testing.T) (*os.File, *os.File) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		syscall.SetNonblock(fds[0], nonblock)
		server, client := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
		t.Cleanup(func() { server.Close(); client.Close() })
		return server, client
	}
}

// flags returns the mode of a descriptor without changing it, as os.File.Fd might.
func flags(t *testing.T, f *os.File) (mode int) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { mode, err = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return mode
}

func newConn(t *testing.T, p *prog.Process, timeout time.Duration) *Conn {
	t.Helper()
	c, err := NewConn(p, timeout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConn(t *testing.T) {
	for name, make := range map[string]ends{"blocking": socket(false), "not blocking": socket(true)} {
		t.Run(name, func(t *testing.T) {
			server, client := make(t)
			before := flags(t, server)
			c := newConn(t, &prog.Process{Stdin: server, Stdout: server}, long)

			// More than a socket holds, both ways at once.
			text := bytes.Repeat([]byte("0123456789abcdef"), 100000)
			go client.Write(text)
			if got, err := io.ReadAll(io.LimitReader(c, int64(len(text)))); !bytes.Equal(got, text) || err != nil {
				t.Errorf("read %d bytes, %v, want %d", len(got), err, len(text))
			}
			back := readAll(client, len(text))
			if n, err := c.Write(text); n != len(text) || err != nil {
				t.Errorf("wrote %d, %v, want %d", n, err, len(text))
			}
			if got := <-back; !bytes.Equal(got, text) {
				t.Errorf("the client read %d bytes, want %d", len(got), len(text))
			}
			if after := flags(t, server); after != before {
				t.Errorf("mode of the descriptor was %#x, is %#x", before, after)
			}
			client.Close()
			if n, err := c.Read([]byte("x")); n != 0 || err != io.EOF {
				t.Errorf("at the end: read %d, %v", n, err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("write to nobody: %v", err)
			}
		})
	}
}

func readAll(f *os.File, n int) <-chan []byte {
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(f, int64(n)))
		done <- b
	}()
	return done
}

func TestConnTimeouts(t *testing.T) {
	for name, make := range map[string]ends{"blocking": socket(false), "not blocking": socket(true)} {
		t.Run(name, func(t *testing.T) {
			server, client := make(t)
			c := newConn(t, &prog.Process{Stdin: server, Stdout: server}, 20*time.Millisecond)
			start := time.Now()
			if n, err := c.Read([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("nothing to read: %d, %v", n, err)
			}
			if took := time.Since(start); took < 20*time.Millisecond {
				t.Errorf("gave up after %v", took)
			}
			// Nobody reads, so that at some byte there is no more room.
			if _, err := c.Write([]byte(strings.Repeat("x", 10<<20))); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("no room to write: %v", err)
			}
			// A timeout is that of one wait: the next one is a new one.
			client.Write([]byte("late"))
			b := [10]byte{}
			if n, err := c.Read(b[:]); string(b[:n]) != "late" || err != nil {
				t.Errorf("after a timeout: read %q, %v", b[:n], err)
			}
		})
	}
}

// Input that waits already is read even if no time is left for waiting.
func TestConnNoTime(t *testing.T) {
	server, client := socket(false)(t)
	client.Write([]byte("x"))
	c := newConn(t, &prog.Process{Stdin: server, Stdout: server}, 0)
	if n, err := c.Read(make([]byte, 5)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestConnFilesAndPipes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "session")
	if err := os.WriteFile(name, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	c := newConn(t, &prog.Process{Stdin: in, Stdout: w}, long)
	if _, err := io.Copy(c, c); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, err := io.ReadAll(r); string(got) != "from a file" || err != nil {
		t.Errorf("copied %q, %v", got, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := newConn(t, &prog.Process{Stdin: w, Stdout: in}, long).Write([]byte("x")); !errors.Is(err, syscall.EBADF) {
		t.Errorf("write to a file that is open for reading: %v", err)
	}
	wrong := newConn(t, &prog.Process{Stdin: openDir(t), Stdout: in}, long)
	if _, err := wrong.Read(make([]byte, 1)); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("read from a directory: %v", err)
	}
}

func openDir(t *testing.T) *os.File {
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A peer that takes its bytes slowly but steadily is never cut off: the timeout
// is that of a step.
func TestConnSlowReader(t *testing.T) {
	server, client := socket(false)(t)
	c := newConn(t, &prog.Process{Stdin: server, Stdout: server}, 300*time.Millisecond)
	text := bytes.Repeat([]byte("x"), 1<<20)
	go func() {
		b := make([]byte, 1<<16)
		for {
			time.Sleep(30 * time.Millisecond)
			if _, err := client.Read(b); err != nil {
				return
			}
		}
	}()
	if n, err := c.Write(text); n != len(text) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
}

// The limit of the whole connection holds where each wait is short, and also where there
// is never any: bytes that are there are not taken either.
func TestConnLimit(t *testing.T) {
	for name, make := range map[string]ends{"blocking": socket(false), "not blocking": socket(true)} {
		t.Run(name, func(t *testing.T) {
			server, client := make(t)
			c := newConn(t, &prog.Process{Stdin: server, Stdout: server}, long)
			client.WriteString("ab")
			c.Limit(time.Minute)
			if n, err := c.Read(append([]byte(nil), 0)); n != 1 || err != nil {
				t.Errorf("read %d bytes in time, %v", n, err)
			}
			c.Limit(time.Nanosecond)
			for c.within(long) >= 0 {
				time.Sleep(time.Microsecond)
			}
			if n, err := c.Read(append([]byte(nil), 0)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read %d bytes, %v, after the limit", n, err)
			}
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("wrote %d bytes, %v, after the limit", n, err)
			}
		})
	}
}
