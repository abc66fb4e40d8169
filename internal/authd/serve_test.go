package authd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/authclient"
	"quail/internal/authwire"
	"quail/internal/checkpw"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/localsocket"
	"quail/internal/mailauth"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// service is a server at a socket of its own.
type service struct {
	*server
	t    *testing.T
	path string
	log  *os.File
}

// serve starts a server whose home has these files; backend is made when that is so.
func serve(t *testing.T, files map[string]string, backend func(*server) backend) *service {
	t.Helper()
	home, err := os.MkdirTemp("", "auth") // a socket's name has 107 bytes
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	conf.Home = home
	for name, text := range files {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600))
	}
	log, err := os.Create(filepath.Join(home, "log"))
	check(t, err)
	t.Cleanup(func() { log.Close() })
	listener, err := localsocket.Listen(filepath.Join(home, "s"), 0o600)
	check(t, err)
	p := &prog.Process{Stdin: listener, Stderr: log, PID: 42, Now: func() time.Time { return time.Now().UTC() }}
	sv := newServer(p, control.In(home))
	sv.backend = backend(sv)
	go sv.take(false)
	return &service{sv, t, filepath.Join(home, "s"), log}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *service) client() *authclient.Client {
	c := authclient.Dial(s.p, s.path)
	s.t.Cleanup(c.Close)
	return c
}

// logged returns what the server has said.
func (s *service) logged() string {
	text, err := os.ReadFile(s.log.Name())
	check(s.t, err)
	return string(text)
}

// login goes through an exchange as a mail program does.
func login(t *testing.T, c *authclient.Client, r authwire.Request, mechanism, user, password string) authclient.Answer {
	t.Helper()
	o := sasl.ClientOptions{Host: "mx.example", TLS: true, Random: [32]byte{1}}
	if strings.HasSuffix(mechanism, "-PLUS") {
		o.Bindings = r.Bindings // others would say that they were not offered that
	}
	_, client, err := sasl.NewClient([]string{mechanism}, user, password, o)
	check(t, err)
	response, err := client.Next(nil)
	check(t, err)
	a, err := c.Begin(r, mechanism, response)
	check(t, err)
	for a.Kind == authclient.Challenge {
		if response, err = client.Next(a.Data); err != nil {
			t.Fatalf("%s: a challenge of %q: %v", mechanism, a.Data, err)
		}
		a, err = c.Continue(response)
		check(t, err)
	}
	if a.Kind == authclient.Yes && a.Data != nil {
		if _, err := client.Next(a.Data); err != nil {
			t.Errorf("%s: the server has not proven itself: %v", mechanism, err)
		}
	}
	return a
}

var (
	secure = authwire.Request{Service: "submission", IP: "192.0.2.1", Local: "192.0.2.25", TLS: true,
		Bindings: []sasl.Binding{{Type: "tls-exporter", Data: bytes.Repeat([]byte{7}, 32)}}}
	clear_ = authwire.Request{Service: "smtp", IP: "192.0.2.1"}
)

// from is a request from another address.
func from(r authwire.Request, n int) authwire.Request {
	r.IP = fmt.Sprintf("198.51.100.%d", n)
	return r
}

// mailUsers returns users/mailauth with joe, and sue, who has a secret.
func mailUsers(t *testing.T) string {
	t.Helper()
	joe, err := mailauth.New("joe@x", "right", [2][16]byte{{1}, {2}})
	check(t, err)
	sue, err := mailauth.New("sue", "right", [2][16]byte{{3}, {4}})
	check(t, err)
	sue.Secret = "right"
	lines := []string{joe.String()}
	for i := range sasl.Mechanisms() { // wrong answers about one account are dear
		sam := sue
		sam.Login = fmt.Sprint("sam", i)
		lines = append(lines, sam.String())
	}
	return strings.Join(append(lines, sue.String()), "\n") + "\n"
}

func mailBackend(t *testing.T) func(*server) backend {
	return func(sv *server) backend {
		b, err := newMailusers(sv)
		check(t, err)
		return b
	}
}

func TestMailauth(t *testing.T) {
	s := serve(t, map[string]string{mailauth.Path: mailUsers(t), "control/me": "mx.example\n"}, mailBackend(t))
	var under sync.WaitGroup
	for i, mechanism := range sasl.Mechanisms() {
		if a := login(t, s.client(), secure, mechanism, "sue", "right"); a.Kind != authclient.Yes || a.Login != "sue" {
			t.Errorf("%s: %+v", mechanism, a)
		}
		under.Go(func() { // each waits a second
			c, sam := s.client(), fmt.Sprint("sam", i)
			if a := login(t, c, from(secure, i), mechanism, sam, "wrong"); a.Kind != authclient.No || a.Text == "" || a.Login != "" {
				t.Errorf("%s with a wrong password: %+v", mechanism, a)
			}
			if a := login(t, c, from(secure, i), mechanism, sam, "right"); a.Kind != authclient.Yes {
				t.Errorf("%s, then with the right one: %+v", mechanism, a)
			}
		})
	}
	under.Wait()
	if log := s.logged(); strings.Count(log, `qmail-authd: wrong: "sam`) != len(sasl.Mechanisms()) || strings.Contains(log, "warning") {
		t.Errorf("logged %q", log)
	}
}

func TestOffers(t *testing.T) {
	for name, c := range map[string]struct{ users, clear, tls string }{
		"no file":      {"", "", ""},
		"emptied":      {"-", "", ""}, // all were offered, and none could be used
		"no secrets":   {strings.Split(mailUsers(t), "\n")[0] + "\n", "SCRAM-SHA-256 SCRAM-SHA-1", "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"},
		"with secrets": {mailUsers(t), "SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5", strings.Join(sasl.Mechanisms(), " ")},
	} {
		files := map[string]string{"users/x": ""}
		if c.users != "" {
			files[mailauth.Path] = strings.TrimPrefix(c.users, "-")
		}
		s := serve(t, files, mailBackend(t))
		for _, v := range []struct {
			r    authwire.Request
			want string
		}{{clear_, c.clear}, {secure, c.tls}} {
			if got, err := s.client().Mechanisms(v.r); strings.Join(got, " ") != v.want || err != nil {
				t.Errorf("%s: offered %q, %v, want %q", name, got, err, v.want)
			}
		}
	}
}

// asker is a caller who asks what he likes, all on one connection.
type asker struct {
	conn *os.File
	in   *bufio.Reader
}

func (s *service) asker() *asker {
	s.t.Helper()
	conn, err := localsocket.Dial(s.path, true)
	check(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &asker{conn, bufio.NewReader(conn)}
}

func (a *asker) ask(q authwire.Question) (authwire.Answer, error) {
	if _, err := a.conn.Write(q.Append(nil)); err != nil {
		return authwire.Answer{}, err
	}
	return authwire.ReadAnswer(a.in)
}

func (a *asker) Begin(r authwire.Request, mechanism string, initial []byte) (authwire.Answer, error) {
	return a.ask(authwire.Question{Verb: authwire.Begin, Request: r, Mechanism: mechanism, Data: initial})
}

func (a *asker) Continue(response []byte) (authwire.Answer, error) {
	return a.ask(authwire.Question{Verb: authwire.Continue, Data: response})
}

// What is not in order has an answer and leaves everything as it was.
func TestDisorder(t *testing.T) {
	s := serve(t, map[string]string{mailauth.Path: mailUsers(t)}, mailBackend(t))
	c := s.asker()
	for _, step := range []struct {
		name string
		do   func() (authclient.Answer, error)
		want authwire.Kind
	}{
		{"passwords in the clear", func() (authclient.Answer, error) { return c.Begin(clear_, "PLAIN", nil) }, authclient.BadFormat},
		{"no such mechanism", func() (authclient.Answer, error) { return c.Begin(secure, "NTLM", nil) }, authclient.BadFormat},
		{"bound to nothing", func() (authclient.Answer, error) { return c.Begin(clear_, "SCRAM-SHA-256-PLUS", nil) }, authclient.BadFormat},
		{"nothing has begun", func() (authclient.Answer, error) { return c.Continue([]byte("x")) }, authclient.BadFormat},
		{"a beginning", func() (authclient.Answer, error) { return c.Begin(secure, "LOGIN", nil) }, authclient.Challenge},
		{"another one", func() (authclient.Answer, error) { return c.Begin(secure, "PLAIN", nil) }, authclient.Challenge},
		{"no PLAIN", func() (authclient.Answer, error) { return c.Continue([]byte("x")) }, authclient.BadFormat},
		{"over", func() (authclient.Answer, error) { return c.Continue([]byte("\x00sue\x00right")) }, authclient.BadFormat},
		{"empty", func() (authclient.Answer, error) { return c.Begin(secure, "PLAIN", []byte{}) }, authclient.BadFormat},
		{"for somebody else", func() (authclient.Answer, error) { return c.Begin(secure, "PLAIN", []byte("joe@x\x00sue\x00right")) }, authclient.No},
		{"with plaintextauth", func() (authclient.Answer, error) {
			r := from(clear_, 1)
			r.PlainOK = true
			return c.Begin(r, "PLAIN", []byte("sue\x00sue\x00right"))
		}, authclient.Yes},
		{"long", func() (authclient.Answer, error) { return c.Begin(secure, "PLAIN", make([]byte, authwire.MaxData)) }, authclient.BadFormat},
	} {
		if a, err := step.do(); a.Kind != step.want || err != nil {
			t.Errorf("%s: %+v, %v, want %c", step.name, a, err, step.want)
		}
	}
	if a, err := c.Begin(secure, "PLAIN", make([]byte, authwire.MaxData+1)); err == nil {
		t.Errorf("too long: %+v, %v", a, err)
	}
	if a := login(t, s.client(), from(secure, 2), "PLAIN", "sue", "right"); a.Kind != authclient.Yes {
		t.Errorf("after all that: %+v", a)
	}
}

// A caller who sends what is no question, or half of one, is hung up on, and others are
// served meanwhile.
func TestGarbage(t *testing.T) {
	s := serve(t, map[string]string{mailauth.Path: mailUsers(t)}, mailBackend(t))
	half, err := localsocket.Dial(s.path, true)
	check(t, err)
	defer half.Close()
	_, err = half.WriteString("100:B")
	check(t, err)
	for _, text := range []string{"GET / HTTP/1.0\r\n\r\n", "3:Zxx,", "999999999:", strings.Repeat("\x00", 1<<16)} {
		c, err := localsocket.Dial(s.path, true)
		check(t, err)
		c.WriteString(text) // it may be hung up on before all has been sent
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.20q: read %d bytes, %v", text, n, err)
		}
		c.Close()
	}
	if a := login(t, s.client(), secure, "PLAIN", "sue", "right"); a.Kind != authclient.Yes {
		t.Errorf("meanwhile: %+v", a)
	}
	// Who hangs up in the middle of an exchange is forgotten.
	for range 3 * atOnce {
		c := s.client()
		if a, err := c.Begin(secure, "SCRAM-SHA-256", []byte("n,,n=sue,r=abc")); a.Kind != authclient.Challenge || err != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		c.Close()
	}
	if a := login(t, s.client(), secure, "SCRAM-SHA-256", "sue", "right"); a.Kind != authclient.Yes {
		t.Errorf("after many that were cut: %+v", a)
	}
}

// Who comes when there are too many is hung up on, and the next one is not.
func TestTooMany(t *testing.T) {
	s := serve(t, nil, func(*server) backend { return broken{} })
	slots := make(chan struct{}, 1)
	slots <- struct{}{}
	for _, full := range []bool{true, false} {
		ours, theirs, err := localsocket.Pair()
		check(t, err)
		if !full {
			<-slots
		}
		s.hear(theirs, slots)
		ours.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := ours.Read(make([]byte, 1)); (err == io.EOF) != full {
			t.Errorf("full %v: %v", full, err)
		}
		ours.Close()
	}
	if log := s.logged(); !strings.Contains(log, "too many connections") {
		t.Errorf("logged %q", log)
	}
}

// broken is a backend with a bug.
type broken struct{}

func (broken) mechanisms() ([]string, error) { return []string{"SCRAM-SHA-256"}, nil }
func (broken) begin(string, authwire.Request, *try) (exchange, error) {
	panic("a bug")
}

func TestPanic(t *testing.T) {
	s := serve(t, nil, func(*server) backend { return broken{} })
	c := s.client()
	for range 2 {
		if a, err := c.Begin(secure, "SCRAM-SHA-256", nil); a.Kind != authclient.Later || err != nil {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if log := s.logged(); strings.Count(log, "a bug") != 1 { // said once a minute
		t.Errorf("logged %q", log)
	}
}

func TestSpending(t *testing.T) {
	s := serve(t, map[string]string{"control/submissionlimits": "*:1:5\n"}, func(*server) backend { return broken{} })
	c := s.client()
	if a, err := c.Spend(secure, "joe", 1, 5); a.Kind != authclient.Yes || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := c.Spend(secure, "joe", 1, 0); a.Kind != authclient.Later || !strings.HasPrefix(a.Text, "limit of messages an hour for joe is 1; ") || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	check(t, os.WriteFile(filepath.Join(string(s.dir), "submissionlimits"), []byte("nothing\n"), 0o600))
	if a, err := c.Spend(secure, "joe", 1, 0); a.Kind != authclient.Later || a.Text != "unable to read limits" || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if log := s.logged(); !strings.Contains(log, "warning: malformed line in control/submissionlimits: nothing\n") {
		t.Errorf("logged %q", log)
	}
}

// programBackend plays the half that runs the program: it answers by what it is given.
func programBackend(t *testing.T, verdict func(record string) checkpw.Outcome) func(*server) backend {
	return func(sv *server) backend {
		theirs, ours, err := localsocket.Pair()
		check(t, err)
		t.Cleanup(func() { theirs.Close() })
		r, err := newRunning(sv, ours)
		check(t, err)
		go r.hear()
		go func() {
			for {
				o, err := checkpw.ReadOrder(theirs)
				if err != nil {
					return
				}
				go func() {
					if v := verdict(string(o.Record)); v != 0 {
						theirs.Write(checkpw.Verdict{Number: o.Number, Outcome: v}.Append(nil))
					}
				}()
			}
		}()
		return r
	}
}

func TestProgram(t *testing.T) {
	var mu sync.Mutex
	var records []string
	s := serve(t, map[string]string{"control/me": "mx.example\n"}, programBackend(t, func(record string) checkpw.Outcome {
		mu.Lock()
		records = append(records, record)
		mu.Unlock()
		switch {
		case strings.HasPrefix(record, "joe\x00right\x00<42."):
			return checkpw.Right
		case strings.HasPrefix(record, "later\x00"):
			return checkpw.Later
		case strings.HasPrefix(record, "cram\x00"):
			parts := strings.Split(record, "\x00")
			if sasl.CRAM("right", parts[2]) == parts[1] {
				return checkpw.Right
			}
		}
		return checkpw.Wrong
	}))
	if names, err := s.client().Mechanisms(secure); strings.Join(names, " ") != "CRAM-MD5 PLAIN LOGIN" || err != nil {
		t.Errorf("offered %q, %v", names, err)
	}
	var under sync.WaitGroup
	for i, c := range []struct {
		mechanism, user, password string
		want                      authwire.Kind
	}{
		{"PLAIN", "joe", "right", authclient.Yes},
		{"LOGIN", "joe", "right", authclient.Yes},
		{"CRAM-MD5", "cram", "right", authclient.Yes},
		{"CRAM-MD5", "cram", "wrong", authclient.No},
		{"PLAIN", "later", "right", authclient.Later},
		{"PLAIN", strings.Repeat("j", 200), strings.Repeat("p", 300), authclient.No},
	} {
		under.Go(func() { // those that are wrong wait
			if a := login(t, s.client(), from(secure, i), c.mechanism, c.user, c.password); a.Kind != c.want || a.Kind == authclient.Yes && a.Login != c.user {
				t.Errorf("%s %.10s %.10s: %+v, want %c", c.mechanism, c.user, c.password, a, c.want)
			}
		})
	}
	under.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(records) != 5 {
		t.Errorf("%d records were passed on: one is too long", len(records))
	}
	for _, record := range records {
		if !strings.HasSuffix(record, "@mx.example>\x00") {
			t.Errorf("a record is %q", record)
		}
	}
}

// When the half that runs the program is gone, so is this one.
func TestOtherHalfGone(t *testing.T) {
	theirs, ours, err := localsocket.Pair()
	check(t, err)
	r, err := newRunning(&server{}, ours)
	check(t, err)
	theirs.Close()
	if err := r.hear(); err != nil {
		t.Errorf("it hears %v", err)
	}
	theirs, ours, err = localsocket.Pair()
	check(t, err)
	defer theirs.Close()
	r, err = newRunning(&server{}, ours)
	check(t, err)
	io.WriteString(theirs, "\x00\x00\x00\x01?")
	if err := r.hear(); err == nil {
		t.Error("what is no verdict is taken for one")
	}
}
