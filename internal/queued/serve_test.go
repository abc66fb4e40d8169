package queued

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/submission"
)

// callAs makes the test binary a caller: it sends what it reads, in hexadecimal from
// its environment, to the socket named there and prints the answer.
const callAs = "QUAIL_TEST_CALL"

func TestMain(m *testing.M) {
	if what := os.Getenv(callAs); what != "" {
		path, bytes, _ := strings.Cut(what, " ")
		b, _ := hex.DecodeString(bytes)
		c, err := localsocket.Dial(path, false)
		if err == nil {
			_, err = c.Write(b)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		answer, _ := io.ReadAll(io.LimitReader(c, submission.AnswerSize))
		os.Stdout.Write(answer)
		return
	}
	os.Exit(m.Run())
}

// house is a queue with a server, in this process.
type house struct {
	t        testing.TB
	sv       *server
	dir      queue.Dir
	socket   string
	listener *os.File
	ended    chan error
}

// open makes a queue and serves it until the test ends; with changes the server before.
func open(t testing.TB, now func() time.Time, with ...func(*server)) *house {
	t.Helper()
	home, err := os.MkdirTemp("", "queued") // short: a socket's name has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	os.Chmod(home, 0o755)
	h := &house{t: t, dir: queue.In(home), socket: home + "/socket", ended: make(chan error, 1)}
	dirs := append([]queue.Name{"pid", "intd", "todo", "lock"}, queue.Splits("mess")...)
	for _, d := range dirs {
		if err := os.MkdirAll(h.dir.Path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []*string{&conf.UserAlias, &conf.UserDaemon, &conf.UserSend} {
		old := *user
		*user = "bin" // somebody whom every host has and who never calls
		t.Cleanup(func() { *user = old })
	}
	p := &prog.Process{Name: "qmail-queued", Stderr: os.Stderr, PID: 77, Now: now}
	if h.sv, err = newServer(p, h.dir); err != nil {
		t.Fatal(err)
	}
	if h.listener, err = localsocket.Listen(h.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, change := range with {
		change(h.sv)
	}
	go func() {
		err := h.sv.accept(h.listener)
		h.listener.Close()
		h.sv.open.Wait()
		h.ended <- err
	}()
	t.Cleanup(h.close)
	return h
}

// close stops the server and waits for it, the first time.
func (h *house) close() {
	h.sv.stop(h.listener)
	select {
	case err := <-h.ended:
		if err != nil {
			h.t.Error(err)
		}
		h.ended <- nil
	case <-time.After(20 * time.Second):
		h.t.Error("the server does not end")
		h.ended <- nil
	}
}

func (h *house) call() *os.File {
	h.t.Helper()
	c, err := localsocket.Dial(h.socket, true)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	h.t.Cleanup(func() { c.Close() })
	return c
}

// send sends bytes and does not care whether they are wanted.
func (h *house) send(c *os.File, s string) { io.WriteString(c, s) }

// answer reads an answer; the status is -1 if there is none.
func (h *house) answer(c *os.File) (status, number int) {
	h.t.Helper()
	var b [submission.AnswerSize]byte
	n, err := io.ReadFull(c, b[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.t.Fatal("no answer, and the connection stays")
	}
	a, err := submission.ParseAnswer(b[:n])
	if err != nil {
		return -1, 0
	}
	return a.Status >> 8, a.Number
}

// idle waits until no job is under way and no connection open.
func (h *house) idle() {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h.sv.slots.mu.Lock()
		open := h.sv.slots.open
		h.sv.slots.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%d connections stay", open)
		}
	}
}

// files lists what is in the queue, numbers left out.
func (h *house) files() string {
	var out []string
	filepath.WalkDir(string(h.dir), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			out = append(out, strings.Split(strings.TrimPrefix(path, string(h.dir)+"/"), "/")[0])
		}
		return nil
	})
	sort.Strings(out)
	return strings.Join(out, " ")
}

// read returns the contents of the only file in a directory.
func (h *house) read(glob string) string {
	h.t.Helper()
	names, _ := filepath.Glob(h.dir.Path(queue.Name(glob)))
	if len(names) != 1 {
		h.t.Fatalf("%s: %q", glob, names)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// frame returns one frame.
func frame(kind byte, s string) string {
	return string([]byte{kind, byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))}) + s
}

var (
	good = frame('M', "Subject: x\n") + frame('M', "\nbody\x00\xff") + frame('E', "Fa@b\x00Tc@") + frame('E', "d\x00\x00")
	at   = time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC)
)

func TestMessage(t *testing.T) {
	h := open(t, time.Now)
	c := h.call()
	for sequence := 1; sequence <= 3; sequence++ {
		h.send(c, good)
		if status, number := h.answer(c); status != 0 || number != sequence<<22|77 {
			t.Fatalf("message %d: status %d, number %d", sequence, status, number)
		}
	}
	if got := h.files(); got != "intd intd intd mess mess mess todo todo todo" {
		t.Errorf("files %q", got)
	}
}

// The caller is whom the kernel says it is, and gets the trace line of qmail-queue.
func TestCallers(t *testing.T) {
	words := map[int]string{os.Getuid(): fmt.Sprintf("by uid %d", os.Getuid())}
	if os.Getuid() == 0 {
		words[12345] = "by uid 12345"
		words[1] = "for bounce"
	}
	for uid, who := range words {
		h := open(t, time.Now, func(sv *server) { sv.words = map[int]string{1: "for bounce"} })
		os.Chmod(filepath.Dir(h.socket), 0o755)
		cmd := exec.Command(copyOfTest(t))
		cmd.Env = []string{callAs + "=" + h.socket + " " + hex.EncodeToString([]byte(good))}
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		}
		out, err := cmd.Output()
		if a, perr := submission.ParseAnswer(out); err != nil || perr != nil || a.Status != 0 {
			t.Fatalf("uid %d: answer %q, %v", uid, out, err)
		}
		if got, want := h.read("todo/*"), fmt.Sprintf("u%d\x00p%d\x00Fa@b\x00Tc@d\x00", uid, 1<<22|77); got != want {
			t.Errorf("uid %d: todo %q, want %q", uid, got, want)
		}
		if got, want := h.read("mess/*/*"), fmt.Sprintf("Received: (qmail %d invoked %s); ", 1<<22|77, who); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "Subject: x\n\nbody\x00\xff") {
			t.Errorf("uid %d: mess %q, want %q first", uid, got, want)
		}
	}
}

// copyOfTest puts this program where every user can run it.
func copyOfTest(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "caller")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(dir+"/caller", b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/caller"
}

// Who hangs up before the envelope is complete leaves nothing behind, wherever that
// is; who hangs up after it has queued a message.
func TestCutAnywhere(t *testing.T) {
	h := open(t, time.Now)
	for n := range len(good) {
		c := h.call()
		h.send(c, good[:n])
		c.Close()
	}
	h.close()
	if got := h.files(); got != "" {
		t.Errorf("what was cut short left %s", got)
	}
	h = open(t, time.Now)
	c := h.call()
	h.send(c, good)
	c.Close()
	h.close()
	if got := h.files(); got != "intd mess todo" {
		t.Errorf("a complete message left %q", got)
	}
}

// The statuses and leavings of qmail-queue, and then the connection is over.
func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 1003)
	big := frame('M', strings.Repeat("x", 1<<20))
	for _, c := range []struct {
		name, in string
		status   int
		left     string
	}{
		{"long address", frame('M', "x") + frame('E', "F"+long+"\x00\x00"), 11, "intd mess"},
		{"wrong record", frame('M', "x") + frame('E', "X\x00\x00"), 91, "intd mess"},
		{"no frame", "GET / HTTP/1.0\r\n\r\n", 54, ""},
		{"empty frame", "M\x00\x00\x00" + good, 54, ""},
		{"message in the envelope", frame('E', "Fa\x00") + frame('M', "x") + frame('E', "\x00"), 54, ""},
		{"a frame of type 0", frame('E', "Fa\x00") + frame(0, "x"), 54, ""},
		{"refused early", frame('E', "X") + strings.Repeat(big, 4), 91, "intd mess"},
	} {
		h := open(t, time.Now)
		conn := h.call()
		h.send(conn, c.in)
		if status, number := h.answer(conn); status != c.status || number != 1<<22|77 {
			t.Errorf("%s: status %d, number %d, want status %d", c.name, status, number, c.status)
		}
		if status, _ := h.answer(conn); status != -1 {
			t.Errorf("%s: the connection goes on", c.name)
		}
		if got := h.files(); got != c.left {
			t.Errorf("%s: left %q, want %q", c.name, got, c.left)
		}
	}
}

// A message without end finds the disk full before its end.
func TestWriteError(t *testing.T) {
	h := open(t, time.Now)
	if err := os.RemoveAll(h.dir.Path("intd")); err != nil {
		t.Fatal(err)
	}
	c := h.call()
	h.send(c, good)
	if status, _ := h.answer(c); status != 65 {
		t.Errorf("status %d, want 65", status)
	}
}

// Bytes after the envelope, or a second message before the first one's answer.
func TestTooMuch(t *testing.T) {
	for _, more := range []string{good, "M", frame('E', "Tmore\x00")} {
		h := open(t, time.Now)
		c := h.call()
		h.send(c, good+more)
		if status, _ := h.answer(c); status != 0 {
			t.Errorf("status %d", status)
		}
		if status, _ := h.answer(c); status != -1 {
			t.Errorf("what came too early (%q) was answered", more)
		}
		if got := h.files(); got != "intd mess todo" {
			t.Errorf("files %q", got)
		}
	}
}

// A client that stops holds its job for no longer than Death.
func TestDeath(t *testing.T) {
	// A clock by which deadlines come at once.
	h := open(t, func() time.Time { return time.Now().Add(200*time.Millisecond - queue.Death) })
	for _, in := range []string{good[:3], good[:10], good[:len(good)-1]} {
		c := h.call()
		h.send(c, in)
		if status, _ := h.answer(c); status != 52 {
			t.Errorf("after %d bytes and the deadline: status %d, want 52", len(in), status)
		}
	}
	if got := h.files(); strings.Contains(got, "todo") {
		t.Errorf("files %q", got)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("as a test") }

func TestPanic(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	h := open(t, time.Now, func(sv *server) { sv.p.Stderr = null })
	if status := h.sv.enter(queue.Submission{Message: panicking{}, Start: at}); status != 81 {
		t.Errorf("status %d, want 81", status)
	}
	c := h.call()
	h.send(c, good)
	if status, _ := h.answer(c); status != 0 {
		t.Errorf("the next job: status %d", status)
	}
}

// Told to stop, the server finishes what it has and what has come, and no more.
func TestStop(t *testing.T) {
	h := open(t, time.Now)
	idle, used, half := h.call(), h.call(), h.call()
	h.send(used, good)
	if status, _ := h.answer(used); status != 0 {
		t.Fatal(status)
	}
	h.send(half, good[:20])
	for began := 0; began < 2; time.Sleep(time.Millisecond) {
		h.sv.mu.Lock()
		began = h.sv.began
		h.sv.mu.Unlock()
	}
	stopped := make(chan bool)
	go func() { h.close(); close(stopped) }()
	for _, c := range []*os.File{idle, used} {
		if status, _ := h.answer(c); status != -1 {
			t.Errorf("an idle connection was answered: %d", status)
		}
	}
	select {
	case <-stopped:
		t.Error("a message in hand was dropped")
	default:
	}
	h.send(half, good[20:])
	if status, _ := h.answer(half); status != 0 {
		t.Errorf("a message in hand: status %d", status)
	}
	<-stopped
	if _, err := localsocket.Dial(h.socket, true); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("somebody still listens: %v", err)
	}
}

// A caller who has no more jobs waits, and others do not wait for him.
func TestCapped(t *testing.T) {
	h := open(t, time.Now, func(sv *server) {
		sv.slots.trusted = map[int]bool{}
		sv.slots.jobs = 20 // two for each
	})
	uid := os.Getuid()
	var held []*os.File
	for range 5 {
		c := h.call()
		h.send(c, good[:20])
		held = append(held, c)
	}
	for waited := 0; waited < 3; time.Sleep(time.Millisecond) {
		h.sv.slots.mu.Lock()
		waited = h.sv.slots.waited
		h.sv.slots.mu.Unlock()
	}
	other := uid + 1
	if !h.sv.slots.connect(other) {
		t.Fatal("another user was not let in")
	}
	h.sv.slots.begin(other) // would wait for ever
	h.sv.slots.end(other)
	h.sv.slots.disconnect(other)
	for _, c := range held {
		h.send(c, good[20:])
	}
	for i, c := range held {
		if status, _ := h.answer(c); status != 0 {
			t.Errorf("message %d, after waiting: status %d", i, status)
		}
	}
}

// Descriptors that a stranger sends along are not taken.
func TestDescriptorsAreDropped(t *testing.T) {
	h := open(t, time.Now)
	before, _ := os.ReadDir("/proc/self/fd")
	c := h.call()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(func(fd uintptr) bool {
		err = unix.Sendmsg(int(fd), []byte(good), unix.UnixRights(0, 1, 2), nil, 0)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := h.answer(c); status != 0 {
		t.Errorf("status %d", status)
	}
	after, _ := os.ReadDir("/proc/self/fd")
	if got := len(after) - len(before); got > 3 { // both ends of the connection, and one to spare
		t.Errorf("%d more descriptors than before", got)
	}
}

// Whatever a stranger sends, the server lives on, answers or hangs up, and puts into
// todo nothing that was not a complete envelope.
func FuzzServer(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(good[:20]))
	f.Add([]byte(good + good))
	f.Add([]byte("M\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h := open(t, time.Now)
		c := h.call()
		h.send(c, string(in))
		raw, _ := c.SyscallConn()
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
		status, _ := h.answer(c)
		c.Close()
		h.idle()
		if queued := strings.Contains(h.files(), "todo"); queued != (status == 0) {
			t.Errorf("%q: status %d, files %q", in, status, h.files())
		}
	})
}

// BenchmarkMessages takes messages of 4 KiB from 20 connections, both ends in this
// process.
func BenchmarkMessages(b *testing.B) {
	h := open(b, time.Now)
	message := frame('M', "Subject: x\n\n"+strings.Repeat("0123456789abcde\n", 256)) + frame('E', "Fa@b\x00Tc@d\x00\x00")
	b.SetParallelism(20 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		c := h.call()
		for pb.Next() {
			h.send(c, message)
			if status, _ := h.answer(c); status != 0 {
				b.Errorf("status %d", status)
			}
		}
	})
	n := h.sv.syncs.Counts()
	b.ReportMetric(float64(n.Syncs)/float64(b.N), "syncs/op")
}
