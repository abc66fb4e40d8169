package nowait

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// blocking returns a file for the same end of a pipe as programs are given it.
func blocking(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(fd), "end of a pipe")
	t.Cleanup(func() { out.Close() })
	return out
}

// A call that would have to wait says so.
func TestWouldWait(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := NewFile(fds[0]), NewFile(fds[1])
	defer a.Close()
	defer b.Close()
	buf := make([]byte, 1<<16)
	if _, err := Read(fds[0], buf); err != unix.EAGAIN {
		t.Errorf("Read: %v", err)
	}
	if _, err := Peek(fds[0], buf); err != unix.EAGAIN {
		t.Errorf("Peek: %v", err)
	}
	if _, _, _, err := Receive(fds[0], buf, nil); err != unix.EAGAIN {
		t.Errorf("Receive: %v", err)
	}
	for err = nil; err == nil; {
		_, err = Write(fds[1], buf)
	}
	if err != unix.EAGAIN || Send(fds[1], buf, nil) != unix.EAGAIN {
		t.Errorf("Write: %v", err)
	}
	if n, err := Peek(fds[0], buf[:3]); n != 3 || err != nil {
		t.Errorf("Peek: %d, %v", n, err)
	}
	if n, err := Read(fds[0], nil); n != 0 || err != nil {
		t.Errorf("Read of nothing: %d, %v", n, err)
	}
	a.Close()
	if _, err := Write(fds[1], buf); err != unix.EPIPE {
		t.Errorf("Write to nobody: %v", err)
	}
	if _, err := Read(-1, buf); err != unix.EBADF {
		t.Errorf("Read of no descriptor: %v", err)
	}
}

// Packets come whole, with the descriptors that were sent with them.
func TestPackets(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		defer unix.Close(fd)
	}
	r, w := pipe(t)
	if err := Send(fds[0], []byte("a packet"), unix.UnixRights(int(w.Fd()))); err != nil {
		t.Fatal(err)
	}
	if err := Send(fds[0], []byte("another"), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	buf, control := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, err := Receive(fds[1], buf, control)
	if string(buf[:n]) != "a packet" || flags&unix.MSG_TRUNC != 0 || err != nil {
		t.Fatalf("%q, flags %x, %v", buf[:n], flags, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	rights, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(rights) != 1 {
		t.Fatalf("descriptors %v, %v", rights, err)
	}
	unix.Write(rights[0], []byte("through it"))
	unix.Close(rights[0])
	if got, _ := io.ReadAll(r); string(got) != "through it" {
		t.Errorf("what came with the packet leads to %q", got)
	}
	n, oobn, flags, err = Receive(fds[1], buf[:4], nil)
	if string(buf[:n]) != "anot" || oobn != 0 || flags&unix.MSG_TRUNC == 0 || err != nil {
		t.Errorf("cut: %q, %d, flags %x, %v", buf[:n], oobn, flags, err)
	}
}

// What these calls say of files is what the library says.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	plain, link := filepath.Join(dir, "plain"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(plain, []byte("text"), 0o640), os.Symlink("plain", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, link, dir, filepath.Join(dir, "none"), plain + "/x", "", "a\x00b", strings.Repeat("x", 5000)} {
		var got, want unix.Stat_t
		err, wantErr := Stat(path, &got), unix.Stat(path, &want)
		if err != wantErr || got != want {
			t.Errorf("Stat(%.20q): %v, want %v", path, err, wantErr)
		}
		fd, err := Open(path, unix.O_RDONLY)
		wantFD, wantErr := unix.Open(path, unix.O_RDONLY, 0)
		if err != wantErr {
			t.Errorf("Open(%.20q): %v, want %v", path, err, wantErr)
		}
		if err != nil {
			continue
		}
		unix.Close(wantFD)
		var here unix.Stat_t
		if err := Fstat(fd, &here); err != nil || here.Ino != want.Ino {
			t.Errorf("Fstat(%.20q): %v", path, err)
		}
		if flags, err := Fcntl(fd, unix.F_GETFD, 0); flags != unix.FD_CLOEXEC || err != nil {
			t.Errorf("Fcntl: %d, %v", flags, err)
		}
		NewFile(fd).Close()
		if err := Fstat(fd, &here); err != unix.EBADF {
			t.Errorf("a closed file: %v", err)
		}
	}
	for _, err := range []error{nil, unix.ENOENT} {
		if got := Unlink(link); got != err {
			t.Errorf("Unlink: %v, want %v", got, err)
		}
	}
	if err := Unlink("a\x00b"); err != unix.EINVAL {
		t.Errorf("Unlink of a name with a NUL: %v", err)
	}
}

// A file is closed once, however often that is asked for: its number may be another's.
func TestFileOnce(t *testing.T) {
	r, _ := pipe(t)
	fd, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFile(fd)
	if f.Fd() != uintptr(fd) {
		t.Errorf("descriptor %d, want %d", f.Fd(), fd)
	}
	f.Close()
	if err := unix.Dup3(int(r.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("another file of that number: %v", err)
	}
	unix.Close(fd)
	if int(f.Fd()) != -1 {
		t.Errorf("a closed file has descriptor %d", f.Fd())
	}
}

// A connection blocks, is closed on exec, and comes with the address of who has called.
func TestAccept(t *testing.T) {
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		raw, err := l.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if _, _, err := Accept(int(fd)); err != unix.EAGAIN {
				t.Errorf("%s: nobody: %v", network, err)
			}
		})
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		raw.Read(func(fd uintptr) bool {
			conn, from, err := Accept(int(fd))
			if err == unix.EAGAIN {
				return false
			}
			if err != nil {
				t.Error(err)
				return true
			}
			defer NewFile(conn).Close()
			if err := Void(conn, unix.SOL_SOCKET, -1); err == nil {
				t.Error("an option that is not there can be set")
			}
			var got netip.AddrPort
			switch from := from.(type) {
			case *syscall.SockaddrInet4:
				got = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
			case *syscall.SockaddrInet6:
				got = netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port))
			}
			if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); got != want {
				t.Errorf("%s: from %v, want %v", network, got, want)
			}
			mode, _ := Fcntl(conn, unix.F_GETFL, 0)
			kept, _ := Fcntl(conn, unix.F_GETFD, 0)
			if mode&unix.O_NONBLOCK != 0 || kept != unix.FD_CLOEXEC {
				t.Errorf("%s: mode %o, flags %d", network, mode, kept)
			}
			return true
		})
	}
}

// A stream of a pipe waits for both directions and sees the end; one of a file reads it.
func TestStream(t *testing.T) {
	in, out := pipe(t)
	given := blocking(t, out)
	r, err := NewStream(blocking(t, in))
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewStream(given)
	if err != nil {
		t.Fatal(err)
	}
	given.Close()
	text := bytes.Repeat([]byte("more than a pipe holds "), 20000)
	written := make(chan error)
	go func() {
		n, err := w.Write(text)
		if n != len(text) && err == nil {
			err = io.ErrShortWrite
		}
		w.f.Close()
		written <- err
	}()
	out.Close()
	for _, end := range []*Stream{r, w} {
		if end.raw == nil {
			t.Error("the runtime does not wait")
		}
	}
	var got []byte
	b := make([]byte, 1000)
	for err = nil; err == nil; {
		var n int
		n, err = r.Read(b)
		got = append(got, b[:n]...)
	}
	if err != io.EOF || !bytes.Equal(got, text) {
		t.Errorf("%d bytes, then %v", len(got), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	name := filepath.Join(t.TempDir(), "file")
	os.WriteFile(name, []byte("text"), 0o600)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := NewStream(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); string(got) != "text" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := NewStream(nil); err == nil {
		t.Error("no file, no error")
	}
}

// Who closes a stream tells whoever waits for it.
func TestStreamClosed(t *testing.T) {
	in, _ := pipe(t)
	s, err := NewStream(in)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		waiting <- err
	}()
	s.f.Close()
	if err := <-waiting; err == nil || err == io.EOF {
		t.Errorf("%v", err)
	}
}

// All is written to a file that blocks, also if its reader is a goroutine of this process,
// and the garbage collector comes in between.
func TestBlocking(t *testing.T) {
	r, out := pipe(t)
	w := blocking(t, out)
	out.Close()
	text := strings.Repeat("more than a pipe holds ", 20000)
	go func() {
		Blocking{w}.Write([]byte(text))
		w.Close()
	}()
	if got, err := io.ReadAll(r); string(got) != text || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := (Blocking{w}).Write([]byte("x")); err == nil {
		t.Errorf("to a closed file: %v", err)
	}
	if _, err := (Blocking{}).Write([]byte("x")); err == nil {
		t.Error("to no file: no error")
	}
}

// The end of a file is seen as soon as it is closed, and no descriptors pile up.
func TestCloser(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c := Closer{Null: null}
	highest := 0
	for range 10 * together {
		r, w := pipe(t)
		highest = max(highest, int(w.Fd()))
		c.Close(w)
		r.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("closed, and then %v", err)
		}
		c.Close(r)
		if len(c.closed) >= together {
			t.Fatalf("%d files wait to be closed", len(c.closed))
		}
	}
	if highest > int(null.Fd())+2*together+8 {
		t.Errorf("descriptor %d was in use", highest)
	}
	r, w := pipe(t)
	w.Close()
	c.Close(w)
	if before := len(c.closed); before > 0 && c.closed[before-1] == w {
		t.Error("a closed file is closed again")
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v", err)
	}
}
