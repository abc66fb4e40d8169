package qmqpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/netstring"
	"quail/internal/prog"
)

// quick is a client that has little patience, at the port of the servers.
func quick(port uint16) client {
	return client{time.Now, port, 5 * time.Second, 5 * time.Second}
}

// server listens at an address and answers packages.
type server struct {
	net.Listener
	answer string

	mu   sync.Mutex
	most int // bytes of a package, behind which it hangs up; 0 is all
	got  []string
}

// serve starts servers at addresses of the loopback device, all at one port.
func serve(t testing.TB, answers map[string]string) (port uint16, servers map[string]*server) {
	t.Helper()
	for range 20 {
		if port, servers = tryServe(t, answers); servers != nil {
			break
		}
	}
	if servers == nil {
		t.Fatal("no port that is free at all addresses")
	}
	for _, s := range servers {
		t.Cleanup(func() { s.Close() })
		go s.run()
	}
	return port, servers
}

func tryServe(t testing.TB, answers map[string]string) (port uint16, servers map[string]*server) {
	servers = map[string]*server{}
	for address, answer := range answers {
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
		if err != nil {
			for _, s := range servers {
				s.Close()
			}
			return 0, nil
		}
		port = l.Addr().(*net.TCPAddr).AddrPort().Port()
		servers[address] = &server{Listener: l, answer: answer}
	}
	return port, servers
}

func (s *server) run() {
	for {
		c, err := s.Accept()
		if err != nil {
			return
		}
		s.converse(c)
	}
}

// converse takes what is sent until it is a package, and answers.
func (s *server) converse(c net.Conn) {
	defer c.Close()
	var all bytes.Buffer
	in := io.TeeReader(c, &all)
	s.mu.Lock()
	most := s.most
	s.mu.Unlock()
	if most > 0 {
		in = io.LimitReader(in, int64(most))
	}
	r, err := netstring.Open(bytewise{in})
	if err == nil {
		err = r.Close()
	}
	s.mu.Lock()
	s.got = append(s.got, all.String())
	s.mu.Unlock()
	if err == nil {
		io.WriteString(c, s.answer)
	}
}

// bytewise reads no byte too many.
type bytewise struct{ io.Reader }

func (r bytewise) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

func (s *server) hangUpAfter(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = bytes
}

// heard returns what a server has got.
func (s *server) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// call runs the client with a list of servers.
func call(t testing.TB, c client, servers, message, addresses string) (status int) {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(filepath.Join(conf.Home, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf.Home, "control/qmqpservers"), []byte(servers), 0o644); err != nil {
		t.Fatal(err)
	}
	p, complaints := process(t, message, addresses)
	status = p.Do(c.run)
	if b, _ := os.ReadFile(complaints); len(b) > 0 {
		t.Errorf("it said %q", b)
	}
	return status
}

func process(t testing.TB, message, addresses string) (p *prog.Process, complaints string) {
	t.Helper()
	complaints = filepath.Join(t.TempDir(), "complaints")
	stderr, err := os.Create(complaints)
	if err != nil {
		t.Fatal(err)
	}
	p = &prog.Process{Name: "qmail-queue", Stdin: pipe(t, message), Stdout: pipe(t, addresses), Stderr: stderr,
		UID: os.Getuid(), Now: time.Now}
	t.Cleanup(func() {
		for _, f := range []*os.File{p.Stdin, p.Stdout, p.Stderr} {
			f.Close()
		}
	})
	return p, complaints
}

// pipe returns a pipe that text comes out of.
func pipe(t testing.TB, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		io.WriteString(w, text)
		w.Close()
	}()
	return r
}

// scene is a conversation from testdata/qmtp/qmqpc.scenes.
type scene struct {
	title, list       string
	listed            bool
	servers, sent     map[string]string
	message, envelope string
	status            int
}

func scenes(t *testing.T) (all []*scene) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/qmtp/qmqpc.scenes")
	if err != nil {
		t.Fatal(err)
	}
	var s *scene
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		first, quoted, _ := strings.Cut(rest, " ")
		switch word {
		case "", "#":
			continue
		case "scene":
			s = &scene{title: rest, servers: map[string]string{}, sent: map[string]string{}}
			all = append(all, s)
			continue
		case "status":
			s.status, err = strconv.Atoi(rest)
		case "message":
			s.message, err = strconv.Unquote(rest)
		case "envelope":
			s.envelope, err = strconv.Unquote(rest)
		case "control":
			s.list, err = strconv.Unquote(quoted)
			s.listed = true
		case "server":
			s.servers[first], err = strconv.Unquote(quoted)
		case "sent":
			s.sent[first], err = strconv.Unquote(quoted)
		default:
			t.Fatalf("what is %q?", line)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return all
}

// differing are the scenes that we play otherwise, and how.
var differing = map[string]func(*scene){
	"first refuses for now":   func(s *scene) { s.status, s.sent["127.0.0.2"] = 0, s.sent["127.0.0.1"] },
	"answer cut":              func(s *scene) { s.status = 74 },
	"answer cut before comma": func(s *scene) { s.status = 74 },
	"address of 1003":         func(s *scene) { s.status, s.sent = 11, nil },
}

func TestScenes(t *testing.T) {
	for _, s := range scenes(t) {
		if change := differing[s.title]; change != nil {
			change(s)
		}
		port, servers := serve(t, s.servers)
		var status int
		if s.listed {
			status = call(t, quick(port), s.list, s.message, s.envelope)
		} else {
			conf.Home = t.TempDir()
			p, _ := process(t, s.message, s.envelope)
			status = p.Do(quick(port).run)
		}
		if status != s.status {
			t.Errorf("%s: exited with %d, not %d", s.title, status, s.status)
		}
		for address, server := range servers {
			var want []string
			if sent, any := s.sent[address]; any {
				want = []string{sent}
			}
			if got := server.heard(); !slices.Equal(got, want) {
				t.Errorf("%s: %s got %q, not %q", s.title, address, got, want)
			}
		}
	}
}

const (
	good  = "5:Kgood,"
	hello = "Fa\x00Tb\x00\x00"
)

// An answer of which a byte is missing is none: the message may be queued, or not.
func TestAnswerCutAnywhere(t *testing.T) {
	for _, answer := range []string{good, "5:Dnope,", "5:Znope,"} {
		for n := range answer {
			port, servers := serve(t, map[string]string{"127.0.0.1": answer[:n], "127.0.0.2": good})
			if status := call(t, quick(port), "127.0.0.1\n127.0.0.2\n", "x\n", hello); status != envelope.StatusBroken {
				t.Errorf("answer %q: exited with %d", answer[:n], status)
			}
			if got := servers["127.0.0.2"].heard(); len(got) != 0 {
				t.Errorf("answer %q: another server was asked, which may have queued the message again", answer[:n])
			}
		}
	}
}

// A server that leaves before it has all has not taken the message, and says nothing that
// would be believed.
func TestPackageCutAnywhere(t *testing.T) {
	const whole = "12:2:x\n,1:a,1:b,,"
	for n := 1; n < len(whole); n++ {
		port, servers := serve(t, map[string]string{"127.0.0.1": good})
		servers["127.0.0.1"].hangUpAfter(n)
		if status := call(t, quick(port), "127.0.0.1\n", "x\n", hello); status != envelope.StatusBroken {
			t.Errorf("after %d bytes: exited with %d", n, status)
		}
	}
}

// One that leaves while there is much to come is passed over.
func TestServerLeaves(t *testing.T) {
	port, servers := serve(t, map[string]string{"127.0.0.1": good, "127.0.0.2": good})
	servers["127.0.0.1"].hangUpAfter(1000)
	message := strings.Repeat("0123456789abcde\n", 1<<20)
	if status := call(t, quick(port), "127.0.0.1\n127.0.0.2\n", message, hello); status != 0 {
		t.Errorf("exited with %d", status)
	}
	want := netstring.Format(netstring.Format(message) + "1:a,1:b,")
	if got := servers["127.0.0.2"].heard(); len(got) != 1 || got[0] != want {
		t.Errorf("the other server got %d packages", len(got))
	}
}

// An envelope that a caller does not complete is how it takes the message back.
func TestEnvelopeCutAnywhere(t *testing.T) {
	port, servers := serve(t, map[string]string{"127.0.0.1": good})
	for n := range hello {
		if status := call(t, quick(port), "127.0.0.1\n", "x\n", hello[:n]); status != envelope.StatusFormat {
			t.Errorf("cut after %d bytes: exited with %d", n, status)
		}
	}
	if got := servers["127.0.0.1"].heard(); len(got) != 0 {
		t.Errorf("the server got %q", got)
	}
}

// A server that says nothing is not waited for without end, nor is one asked after it.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := quick(l.Addr().(*net.TCPAddr).AddrPort().Port())
	c.each = 50 * time.Millisecond
	if status := call(t, c, "127.0.0.1\n127.0.0.2\n", "x\n", hello); status != envelope.StatusBroken {
		t.Errorf("exited with %d", status)
	}
}

// A message that does not fit into memory leaves no file behind.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, spoolMemory - 1, spoolMemory, spoolMemory + 1, 3*spoolMemory + 17} {
		text := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		m := mail{text: spool{dir: dir}}
		if status := m.read(struct{ io.Reader }{bytes.NewReader(text)}, strings.NewReader(hello)); status != 0 {
			t.Fatalf("%d bytes: %d", size, status)
		}
		var out bytes.Buffer
		if err := m.send(&out); err != nil {
			t.Fatal(err)
		}
		if want := netstring.Format(netstring.Format(string(text)) + "1:a,1:b,"); out.String()+"," != want {
			t.Errorf("a message of %d bytes was sent as one of %d", size, out.Len())
		}
		if cap(m.text.memory) > 2*spoolMemory {
			t.Errorf("%d bytes of memory for %d", cap(m.text.memory), size)
		}
		m.text.close()
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
	m := mail{text: spool{dir: filepath.Join(dir, "absent")}}
	if status := m.read(strings.NewReader(strings.Repeat("x", spoolMemory+1)), strings.NewReader(hello)); status != envelope.StatusWrite {
		t.Errorf("without room: %d", status)
	}
}

func TestServers(t *testing.T) {
	got := servers([]string{"127.0.0.1", "10.0.0.2:628", "10.0.0.3 # main", "host", " 10.0.0.4", "10.0.0", "1.2.3.400",
		"::1", "::ffff:10.0.0.5", "fe80::1%eth0", "2001:db8::zz"})
	if want := "[127.0.0.1 10.0.0.2 10.0.0.3 ::1 10.0.0.5]"; fmt.Sprint(got) != want {
		t.Errorf("servers are %v, want %s", got, want)
	}
}

func TestIPv6(t *testing.T) {
	port, servers := serve(t, map[string]string{"::1": good})
	if status := call(t, quick(port), "::1\n", "x\n", hello); status != 0 || len(servers["::1"].heard()) != 1 {
		t.Errorf("exited with %d", status)
	}
}

func TestNotSetUID(t *testing.T) {
	conf.Home = t.TempDir()
	p, _ := process(t, "", "")
	p.UID++
	if status := p.Do(Run); status != prog.StatusTemporary {
		t.Errorf("exited with %d", status)
	}
}

func TestNoHome(t *testing.T) {
	conf.Home = filepath.Join(t.TempDir(), "absent")
	p, _ := process(t, "", "")
	if status := p.Do(Run); status != envelope.StatusHome {
		t.Errorf("exited with %d", status)
	}
}

// failing is a caller whose disk is broken.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func TestUnreadable(t *testing.T) {
	var m mail
	if status := m.read(failing{}, strings.NewReader(hello)); status != envelope.StatusRead {
		t.Errorf("message: %d", status)
	}
	if status := m.read(strings.NewReader(""), failing{}); status != envelope.StatusRead {
		t.Errorf("envelope: %d", status)
	}
}

// FuzzAnswer: only a whole netstring says that the message is queued.
func FuzzAnswer(f *testing.F) {
	f.Add(good)
	f.Add("1:K")
	f.Add("1:Z,")
	f.Fuzz(func(t *testing.T, in string) {
		status, over := answer(strings.NewReader(in))
		if (status == 0 || status == envelope.StatusRejected) && !strings.Contains(in, ",") || over == (status == envelope.StatusDeferred) {
			t.Errorf("%q is %d, %v", in, status, over)
		}
		text, err := netstring.Open(strings.NewReader(in))
		whole := err == nil && text.Left() > 0 && text.Left() <= maxAnswer && text.Close() == nil
		if !whole && status != envelope.StatusBroken {
			t.Errorf("%q, which is no netstring, is %d", in, status)
		}
	})
}

// FuzzMail: what a caller gives is sent as it is, or not at all.
func FuzzMail(f *testing.F) {
	f.Add("x\n", hello)
	f.Add("", "F\x00T\x00\x00")
	f.Add("", "Fa\x00Fb\x00\x00")
	f.Fuzz(func(t *testing.T, message, addresses string) {
		m := mail{text: spool{dir: t.TempDir()}}
		defer m.text.close()
		if m.read(strings.NewReader(message), strings.NewReader(addresses)) != 0 {
			return
		}
		var out bytes.Buffer
		if err := m.send(&out); err != nil {
			t.Fatal(err)
		}
		out.WriteByte(',')
		pack, err := netstring.Open(&out)
		if err != nil {
			t.Fatal(err)
		}
		next := func() string {
			r, err := netstring.Open(pack)
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := r.Text(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		if got := next(); got != message {
			t.Errorf("message %q sent as %q", message, got)
		}
		back := "F" + next() + "\x00"
		for pack.Left() > 0 {
			back += "T" + next() + "\x00"
		}
		if back += "\x00"; !strings.HasPrefix(addresses, back) {
			t.Errorf("envelope %q sent as %q", addresses, back)
		}
	})
}
