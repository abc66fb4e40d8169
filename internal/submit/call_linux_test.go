package submit

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/submission"
)

// told is what a stand-in for qmail-queued was told, and by how many reads.
type told struct {
	message, envelope string
	reads             int
}

// serve listens at the home's socket and answers each caller with answer, after the
// envelope or, if it is to be early, at once; with no answer it hangs up.
func serve(t *testing.T, answer string, early bool) <-chan told {
	t.Helper()
	home := conf.Home
	if err := os.MkdirAll(filepath.Join(home, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := localsocket.Listen(filepath.Join(home, submission.Path), 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := make(chan told, 10)
	go func() {
		for {
			c, err := localsocket.Accept(l)
			if err != nil {
				return
			}
			var got told
			if !early {
				r := submission.NewReader(bufio.NewReaderSize(counting{c, &got.reads}, 8192))
				m, _ := io.ReadAll(r.Message())
				var e strings.Builder
				envelope.Transfer(&e, bufio.NewReader(r.Envelope()))
				got.message, got.envelope = string(m), e.String()
			}
			io.WriteString(c, answer)
			c.Close()
			out <- got
		}
	}()
	return out
}

type counting struct {
	r io.Reader
	n *int
}

func (c counting) Read(b []byte) (int, error) {
	*c.n++
	return c.r.Read(b)
}

// caller is program with a real user id that is the effective one.
func caller(t *testing.T, script string) *prog.Process {
	p, home := program(t, script)
	p.UID = os.Geteuid()
	short, err := os.MkdirTemp("", "home") // a socket's name has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	if err := os.Rename(filepath.Join(home, "bin"), filepath.Join(short, "bin")); err != nil {
		t.Fatal(err)
	}
	conf.Home = short
	return p
}

const crash = "kill -9 $$"

func TestCall(t *testing.T) {
	for _, warm := range []bool{false, true} {
		p := caller(t, crash)
		p.Warm = warm
		heard := serve(t, string(submission.Answer{Number: 5<<22 | 7}.Append(nil)), false)
		if !(*Client)(nil).Ready(p) {
			t.Error("not ready")
		}
		<-heard
		m, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("0123456789abcde\n", 256)
		for line := range strings.Lines(text) {
			m.WriteString(line)
		}
		m.From("a@b")
		m.To("c@d")
		if r := m.Close(); !r.OK() || m.QP != 5<<22|7 {
			t.Errorf("result %q, qp %d", r, m.QP)
		}
		if got := <-heard; got != (told{text, "Fa@b\x00Tc@d\x00", 1}) {
			t.Errorf("told %.20q…, %q by %d reads, want one", got.message, got.envelope, got.reads)
		}
	}
}

func TestLargeMessage(t *testing.T) {
	p := caller(t, crash)
	heard := serve(t, string(submission.Answer{}.Append(nil)), false)
	text := strings.Repeat("0123456789abcde\n", 1<<16)
	m, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteString(text[:100001])
	m.WriteString(text[100001:])
	m.From("a@b")
	m.To("c@d")
	if r := m.Close(); !r.OK() {
		t.Errorf("result %q", r)
	}
	if got := <-heard; got.message != text {
		t.Errorf("told %d bytes of %d", len(got.message), len(text))
	}
}

func TestAnswers(t *testing.T) {
	status := func(raw int) string { return string(submission.Answer{Status: raw, Number: 1}.Append(nil)) }
	for _, c := range []struct {
		answer string
		early  bool
		want   envelope.Result
	}{
		{status(53 << 8), false, "Zqq write error or disk full (#4.3.0)"},
		{status(53 << 8), true, "Zqq write error or disk full (#4.3.0)"},
		{status(11 << 8), false, "Denvelope address too long for qq (#5.1.3)"},
		{status(9), false, envelope.TextCrashed},
		{"", false, envelope.TextCrashed},
		{"", true, envelope.TextCrashed},
		{"\x00\x00\x00\x00\x00", false, envelope.TextCrashed},
		{"\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00", false, envelope.TextCrashed},
	} {
		p := caller(t, "exit 71")
		heard := serve(t, c.answer, c.early)
		m, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		m.WriteString(strings.Repeat("x", 100))
		if c.early { // what it says, it says before it has read everything
			m.WriteString(strings.Repeat("x", 3*bufferSize))
			<-heard
			m.WriteString(strings.Repeat("x", 3*bufferSize))
		}
		m.From("a@b")
		m.To("c@d")
		if got := m.Close(); got != c.want {
			t.Errorf("answer %q (early %v): %q, want %q", c.answer, c.early, got, c.want)
		}
	}
}

// Without anybody at the socket qmail-queue is run, as ever; what must not run
// anything says that trying again may help.
func TestNobodyListens(t *testing.T) {
	for name, prepare := range map[string]func(){
		"no directory": func() {},
		"no socket":    func() { os.Mkdir(filepath.Join(conf.Home, "run"), 0o755) },
		"a file": func() {
			os.Mkdir(filepath.Join(conf.Home, "run"), 0o755)
			os.WriteFile(filepath.Join(conf.Home, submission.Path), nil, 0o600)
		},
	} {
		p := caller(t, "cat >message; cat <&1 >envelope")
		prepare()
		for _, warm := range []bool{false, true} {
			p.Warm = warm
			if (*Client)(nil).Ready(p) {
				t.Errorf("%s: ready", name)
			}
			if r := send(t, p); !r.OK() {
				t.Errorf("%s, warm %v: %q", name, warm, r)
			}
			for file, want := range map[string]string{"message": "text\n", "envelope": "Fa@b\x00Tc@d\x00T\x00\x00"} {
				if got, _ := os.ReadFile(filepath.Join(conf.Home, file)); string(got) != want {
					t.Errorf("%s: %s is %q", name, file, got)
				}
			}
			p.Walled = true
			if r := send(t, p); r != "Zqq temporary problem (#4.3.0)" {
				t.Errorf("%s, walled: %q", name, r)
			}
			p.Walled = false
		}
	}
}

// $QMAILQUEUE wins; and so does qmail-queue where the kernel would name another user
// than the real one.
func TestNotForTheSocket(t *testing.T) {
	p := caller(t, "exit 71")
	serve(t, string(submission.Answer{}.Append(nil)), false)
	if r := send(t, p); !r.OK() {
		t.Fatalf("the socket: %q", r)
	}
	for name, change := range map[string]func(*prog.Process){
		"QMAILQUEUE":   func(p *prog.Process) { p.Env = p.Env.With("QMAILQUEUE", "bin/qmail-queue") },
		"another user": func(p *prog.Process) { p.UID++ },
	} {
		q := *p
		change(&q)
		if (*Client)(nil).Ready(&q) {
			t.Errorf("%s: ready", name)
		}
		if r := send(t, &q); r != envelope.Explain(71, "") {
			t.Errorf("%s: %q", name, r)
		}
		q.Walled = true
		if r := send(t, &q); r != "Zqq temporary problem (#4.3.0)" {
			t.Errorf("%s, walled: %q", name, r)
		}
	}
}

// A message whose beginning waited here while qmail-queued was started anew is not
// lost by that.
func TestHungUpBeforeTheBeginning(t *testing.T) {
	p := caller(t, "exit 71")
	heard := serve(t, "", true)
	m, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	<-heard
	os.Remove(filepath.Join(conf.Home, submission.Path))
	m.WriteString("text\n")
	m.From("a@b")
	m.To("c@d")
	if r := m.Close(); r != envelope.Explain(71, "") {
		t.Errorf("%q", r)
	}
}

// In a warm process connections wait for the next message, until they turn out to be
// closed; then another one is made, and nobody notices.
func TestClient(t *testing.T) {
	p := caller(t, "exit 71")
	p.Warm = true
	heard := serve(t, string(submission.Answer{}.Append(nil)), false) // closes after each
	var c Client
	if !c.Ready(p) || len(c.idle) != 1 {
		t.Fatalf("%d connections wait", len(c.idle))
	}
	for range 3 {
		m, err := c.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		m.From("a@b")
		m.To("c@d")
		if r := m.Close(); !r.OK() || len(c.idle) != 1 {
			t.Fatalf("%q, %d connections wait", r, len(c.idle))
		}
		<-heard // it is closed now
	}
	if !c.Ready(p) || len(c.idle) != 1 || !localsocket.Quiet(c.idle[0]) {
		t.Error("ready with a connection that is closed")
	}
	os.Remove(filepath.Join(conf.Home, submission.Path))
	c.drop()
	if c.Ready(p) {
		t.Error("ready without anybody there")
	}
	for range keep + 3 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		c.put(r)
	}
	if len(c.idle) != keep {
		t.Errorf("%d connections are kept", len(c.idle))
	}
	c.drop()
}

// A message that is given up is cut short, before or after some of it has been sent.
func TestFailHangsUp(t *testing.T) {
	for _, n := range []int{0, 10, 2 * bufferSize} {
		p := caller(t, crash)
		heard := serve(t, string(submission.Answer{}.Append(nil)), false)
		m, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		m.WriteString(strings.Repeat("x", n))
		m.Fail()
		m.From("a@b")
		m.To("c@d")
		if r := m.Close(); r != envelope.TextRead {
			t.Errorf("%d bytes: %q", n, r)
		}
		if got := <-heard; got.envelope != "" {
			t.Errorf("%d bytes: the envelope %q was sent", n, got.envelope)
		}
	}
}

// Nothing that comes as an answer but a status of 0, whole, is taken for success.
func FuzzAnswer(f *testing.F) {
	f.Add(submission.Answer{}.Append(nil))
	f.Add(submission.Answer{Status: 53 << 8}.Append(nil))
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() { w.Write(in); w.Close() }()
		m := &Message{p: new(prog.Process), call: r}
		a, err := submission.ParseAnswer(in[:min(len(in), submission.AnswerSize)])
		if got := m.answer(); got.OK() != (err == nil && a.Status == 0) {
			t.Errorf("%x: %q", in, got)
		}
	})
}
