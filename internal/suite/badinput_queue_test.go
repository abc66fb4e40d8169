package suite

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// queue runs qmail-queue on a message and the bytes of an envelope, and returns
// its exit status.
func (s *suite) queue(message io.Reader, envelope string) int {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	go func() {
		io.WriteString(w, envelope)
		w.Close()
	}()
	defer s.queuesByHand()()
	cmd := exec.Command(s.path("bin/qmail-queue"))
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = message, r, &said
	cmd.Run()
	if said.Len() > 0 {
		s.t.Errorf("qmail-queue says %q; it never prints anything", said.String())
	}
	return cmd.ProcessState.ExitCode()
}

func TestBadInputEnvelope(t *testing.T) {
	s := install(t)
	good := "Ffar@away.example\x00Tjoe@" + me + "\x00Tjoe-x@" + me + "\x00\x00"
	type row struct {
		envelope string
		status   int
		state    string
	}
	var rows []row
	for n := range good {
		rows = append(rows, row{good[:n], 54, nothing})
	}
	rows = append(rows,
		row{good, 0, entered},
		row{good + "Tnobody@" + me + "\x00junk", 0, entered}, // what follows the end is not read
		row{"F" + long(1002, "") + "\x00Tjoe@" + me + "\x00\x00", 0, entered},
		row{"F\x00Tjoe-" + long(998, "@"+me) + "\x00\x00", 0, entered},
		row{"F" + long(1003, "") + "\x00Tjoe@" + me + "\x00\x00", 11, refused},
		row{"F\x00Tjoe@" + me + "\x00T" + long(1003, "@"+me) + "\x00\x00", 11, refused},
		row{"F\x00T" + long(1<<20, "@"+me), 11, refused}, // not even its end is waited for
		row{"Tjoe@" + me + "\x00\x00", 91, refused},
		row{"\x00", 91, refused},
		row{"Fa@b\x00Fa@b\x00\x00", 91, refused},
		row{"Fa@b\x00Dc@d\x00\x00", 91, refused},
		row{"u0\x00p1\x00" + good, 91, refused},
	)
	var left []string
	for _, c := range rows {
		before := s.queued()
		if got := s.queue(strings.NewReader("Subject: x\n\n"), c.envelope); got != c.status {
			t.Errorf("envelope %q: status %d, want %d", tail(c.envelope, 60), got, c.status)
		}
		if got := s.added(before); got != c.state {
			t.Errorf("envelope %q: in the queue is %q, want %q", tail(c.envelope, 60), got, c.state)
		}
		for _, file := range s.queued() {
			if c.state == refused && !slices.Contains(before, file) {
				left = append(left, file)
			}
		}
	}
	// A message that cannot be read.
	dir, err := os.Open(s.path("queue"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	before := s.queued()
	if status := s.queue(dir, good); status != 54 || s.added(before) != nothing {
		t.Errorf("with a directory as the message: status %d, in the queue is %q", status, s.added(before))
	}
	s.joe(".qmail-x", "", 0o644)
	s.joe(".qmail-default", "", 0o644)
	s.start()
	s.settled(4)
	if got := len(s.mail("u/joe/Maildir")); got != 6 {
		t.Errorf("%d copies arrived, want 6", got)
	}
	s.keeps(left...)
}

// A program that hands in a message and dies, or is killed, in the middle of it has
// queued nothing.
func TestBadInputKilledSender(t *testing.T) {
	s := install(t)
	for _, command := range []string{"sendmail -t", "qmail-inject", "forward joe@" + me} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		argv := []string{"sh", "-c", "exec " + s.path("bin/") + "/" + command}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = r
		cmd.Env = []string{"PATH=/usr/bin:/bin", "NEWSENDER=a@b", "DTLINE=Delivered-To: x\n"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		fmt.Fprintf(w, "To: joe@%s\nFrom: a@b\n\n%s", me, strings.Repeat("half\n", 40000))
		eventually(t, "the message to be under way", func() bool { return strings.HasPrefix(s.added(nil), "mess") })
		cmd.Process.Kill()
		cmd.Wait()
		w.Close()
		eventually(t, "nothing to be left of "+command, func() bool { return len(s.queued()) == 0 })
	}
}

// peaks watches the memory of all programs of the home: the most that any process
// of each name has had in use, in bytes.
type peaks struct {
	mu     sync.Mutex
	most   map[string]int
	ending chan bool
	ended  sync.WaitGroup
}

func watchMemory(t *testing.T) *peaks {
	p := &peaks{most: map[string]int{}, ending: make(chan bool)}
	p.ended.Go(func() {
		for {
			p.look()
			select {
			case <-p.ending:
				return
			case <-time.After(5 * time.Millisecond): // how closely to look
			}
		}
	})
	t.Cleanup(func() {
		close(p.ending)
		p.ended.Wait()
	})
	return p
}

func (p *peaks) look() {
	for pid, program := range running() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, _ := strings.Cut(string(b), "\nVmHWM:")
		if f := strings.Fields(rest); len(f) > 0 {
			kilobytes, _ := strconv.Atoi(f[0])
			p.mu.Lock()
			p.most[program] = max(p.most[program], kilobytes<<10)
			p.mu.Unlock()
		}
	}
}

// check compares, and forgets what was seen.
func (p *peaks) check(t *testing.T, what string, limit int, programs ...string) {
	t.Helper()
	p.look()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, program := range programs {
		if got := p.most[program]; got == 0 || got > limit {
			t.Errorf("%s: %s uses %d bytes of memory, want more than none and at most %d", what, program, got, limit)
		}
	}
	p.most = map[string]int{}
}

// What the programs need does not depend on what they are sent.
func TestBadInputMemory(t *testing.T) {
	const size, limit = 200 << 20, 32 << 20
	s := install(t)
	var sink counter
	s.control("smtproutes", "far.example:"+sink.listen(t)+"\n")
	s.joe(".qmail", "|cat >/dev/null\n|forward joe-mbox@"+me+" you@far.example\n./Maildir/\n", 0o644)
	s.joe(".qmail-mbox", "./Mailbox\n", 0o644)
	watch := watchMemory(t)
	s.start()

	// One line of 200 MB, through everything.
	conn := dial(t, s.smtpd())
	io.WriteString(conn, smtpMail)
	block := bytes.Repeat([]byte("x"), 1<<20)
	for range size / len(block) {
		if _, err := conn.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(conn, "\r\n.\r\n"+smtpQuit)
	if replies, err := io.ReadAll(conn); !strings.Contains(string(replies), "\r\n250 ok ") {
		t.Fatalf("the replies are %q, %v", replies, err)
	}
	s.settled(2)
	watch.check(t, "200 MB", limit, "qmail-smtpd", s.queuer(), "qmail-send", "qmail-lspawn", "qmail-rspawn", "qmail-clean",
		"qmail-local", "forward", "qmail-remote", "tcpserver")
	if got := sink.total(); got < size {
		t.Errorf("%d bytes arrived at the other host, want %d", got, size)
	}
	for _, pattern := range []string{"Maildir/new/*", "Mailbox"} {
		names, _ := filepath.Glob(s.path("u/joe/" + pattern))
		var st syscall.Stat_t
		if len(names) != 1 || syscall.Stat(names[0], &st) != nil || st.Size < size {
			t.Errorf("%s is %v with %d bytes, want one of %d", pattern, names, st.Size, size)
		}
		for _, name := range names {
			os.Remove(name)
		}
	}

	// The same by hand; the header is kept in memory, up to a limit.
	s.joe(".qmail", "|cat >/dev/null\n", 0o644)
	s.byHand(0, "To: joe@"+me+"\n\n", size, block)
	s.settled(3)
	// Not qmail-local: it hands the message to cat as a descriptor, and may be gone
	// before anybody looks.
	watch.check(t, "200 MB", limit, "qmail-inject", s.queuer())
	s.byHand(100, "To: joe@"+me+"\nSubject: ", size, block)
	watch.check(t, "a header of 200 MB", 8*limit, "qmail-inject")

	// As many recipients as the server takes.
	conn = dial(t, s.smtpd())
	go func() {
		io.WriteString(conn, "MAIL FROM:<>\r\n")
		line := "RCPT TO:<" + long(890, "@"+me) + ">\r\n"
		for range 100 {
			io.WriteString(conn, strings.Repeat(line, 100))
		}
		conn.CloseWrite()
	}()
	replies, err := io.ReadAll(conn)
	if ok, full := strings.Count(string(replies), "250 ok"), strings.Count(string(replies), "452 too many recipients (#4.5.3)"); ok+full != 10001 || full == 0 {
		t.Errorf("%d recipients are taken and %d refused, %v; want 10000", ok-1, full, err)
	}
	watch.check(t, "10000 long recipients", limit, "qmail-smtpd")
	s.keeps()
}

// byHand gives qmail-inject a message that begins with head and goes on with size
// bytes more.
func (s *suite) byHand(status int, head string, size int, block []byte) {
	s.t.Helper()
	cmd := exec.Command(s.path("bin/qmail-inject"))
	cmd.Env = []string{"PATH=/bin", "USER=joe"}
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	io.WriteString(in, head)
	for range size / len(block) {
		if _, err := in.Write(block); err != nil {
			break // it has heard enough
		}
	}
	in.Close()
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("qmail-inject: status %d, want %d; it says %q", got, status, said.String())
	}
}

// counter is an SMTP server that only counts what it is sent.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) listen(t *testing.T) (route string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port)
}

func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *counter) serve(conn net.Conn) {
	defer conn.Close()
	io.WriteString(conn, "220 far.example\r\n")
	buf, last := make([]byte, 1<<16), ""
	inData := false
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.n += n
		c.mu.Unlock()
		if last += string(buf[max(0, n-64):n]); len(last) > 64 {
			last = last[len(last)-64:]
		}
		switch {
		case inData && strings.HasSuffix(last, "\r\n.\r\n"):
			inData = false
			io.WriteString(conn, "250 taken\r\n")
		case !inData && strings.HasSuffix(last, "DATA\r\n"):
			inData, last = true, ""
			io.WriteString(conn, "354 go ahead\r\n")
		case !inData && strings.HasSuffix(last, "\r\n"):
			io.WriteString(conn, "250 ok\r\n")
		}
	}
}
