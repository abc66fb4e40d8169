package authd

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/authclient"
	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/sasl"
)

const greets = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\nMECH\tSCRAM-SHA-256-PLUS\nMECH\tlogin\nMECH\tNTLM\nSPID\t5\nCUID\t1\nCOOKIE\tabc\nDONE\n"

// standIn plays Dovecot: to each line of an exchange it says what answer returns, and
// hangs up if that is "".
func standIn(t *testing.T, path, greeting string, answer func(line string) string) {
	t.Helper()
	l, err := localsocket.Listen(path, 0o600)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := localsocket.Accept(l)
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, greeting)
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if strings.HasPrefix(line, "VERSION") || strings.HasPrefix(line, "CPID") {
						continue
					}
					said := answer(strings.TrimSuffix(line, "\n"))
					if said == "" {
						return
					}
					io.WriteString(c, said)
				}
			}()
		}
	}()
}

func dovecotBackend(sv *server) backend { return newDovecot(sv.p, conf.Home+"/d") }

func TestDovecotAnswers(t *testing.T) {
	resp := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		answer string
		want   authwire.Answer
		log    string
	}{
		"yes":              {"OK\t1\tuser=joe@x\tnologin\n", authwire.Answer{Kind: authclient.Yes, Login: "joe@x"}, ""},
		"escaped":          {"OK\t1\tuser=a\x01tb\x011\n", authwire.Answer{Kind: authclient.Yes, Login: "a\tb\x01"}, ""},
		"with more":        {"OK\t1\tuser=joe\tresp=" + resp("v=x") + "\n", authwire.Answer{Kind: authclient.Yes, Login: "joe", Data: []byte("v=x")}, ""},
		"a challenge":      {"CONT\t1\t" + resp("more") + "\n", authwire.Answer{Kind: authclient.Challenge, Data: []byte("more")}, ""},
		"empty challenge":  {"CONT\t1\t\n", authwire.Answer{Kind: authclient.Challenge, Data: []byte{}}, ""},
		"no":               {"FAIL\t1\tuser=joe\n", authwire.Answer{Kind: authclient.No, Text: "user name or password is wrong"}, `wrong: "joe" from`},
		"disabled":         {"FAIL\t1\tuser=joe\tcode=user_disabled\n", authwire.Answer{Kind: authclient.No, Text: "user name or password is wrong"}, `wrong: "joe" from`},
		"later":            {"FAIL\t1\tuser=joe\ttemp\tcode=temp_fail\treason=down\n", authwire.Answer{}, `temporary failure: "down"`},
		"later, by code":   {"FAIL\t1\tcode=temp_fail\n", authwire.Answer{}, "temporary failure\n"},
		"hangs up":         {"", authwire.Answer{}, "ask Dovecot: EOF"},
		"nobody":           {"OK\t1\n", authwire.Answer{}, "not in the protocol"},
		"empty user":       {"OK\t1\tuser=\n", authwire.Answer{}, "not in the protocol"},
		"for another":      {"OK\t2\tuser=joe\n", authwire.Answer{}, "not in the protocol"},
		"for none":         {"OK\n", authwire.Answer{}, "not in the protocol"},
		"something else":   {"YES\t1\tuser=joe\n", authwire.Answer{}, "not in the protocol"},
		"no base64":        {"CONT\t1\t?\n", authwire.Answer{}, "not in the protocol"},
		"no base64 at end": {"OK\t1\tuser=joe\tresp=?\n", authwire.Answer{}, "not in the protocol"},
		"endless":          {"OK\t1\tuser=" + strings.Repeat("x", maxLine) + "\n", authwire.Answer{}, "not in the protocol"},
	} {
		s := serve(t, nil, dovecotBackend)
		var mu sync.Mutex
		var asked []string
		standIn(t, filepath.Join(conf.Home, "d"), greets, func(line string) string {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, line)
			return c.answer
		})
		want := c.want
		if want.Kind == 0 {
			want = authwire.Answer{Kind: authclient.Later, Text: "unable to check passwords now"}
		}
		a, err := s.client().Begin(secure, "PLAIN", []byte("\x00joe\x00x"))
		if err != nil || fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", want) || (a.Data == nil) != (want.Data == nil) {
			t.Errorf("%s: %+v, %v, want %+v", name, a, err, want)
		}
		if log := s.logged(); !strings.Contains(log, c.log) || c.log == "" && log != "" {
			t.Errorf("%s: logged %q", name, log)
		}
		mu.Lock()
		const line = "AUTH\t1\tPLAIN\tservice=submission\tnologin\tno-penalty\tfinal-resp-ok\tsecured\tlip=192.0.2.25\trip=192.0.2.1\tresp=AGpvZQB4"
		if len(asked) == 0 || asked[0] != line || len(asked) > 1 && asked[1] != "CANCEL\t1" {
			t.Errorf("%s: asked %q", name, asked)
		}
		mu.Unlock()
	}
}

// An exchange of several messages; and one without TLS, from nobody knows where.
func TestDovecotExchange(t *testing.T) {
	s := serve(t, nil, dovecotBackend)
	cancelled := make(chan bool, 1)
	standIn(t, filepath.Join(conf.Home, "d"), greets, func(line string) string {
		if line == "CANCEL\t1" {
			cancelled <- true
		}
		return map[string]string{
			"AUTH\t1\tSCRAM-SHA-256\tservice=smtp\tnologin\tno-penalty\tfinal-resp-ok": "CONT\t1\t\n",
			"CONT\t1\taGVsbG8=": "CONT\t1\tYWdhaW4=\n",
			"CONT\t1\t":         "OK\t1\tuser=joe\n",
		}[line]
	})
	c := s.client()
	if names, err := c.Mechanisms(secure); strings.Join(names, " ") != "SCRAM-SHA-256 PLAIN LOGIN" || err != nil {
		t.Errorf("offered %q, %v", names, err)
	}
	a, err := c.Begin(authwire.Request{Service: "smtp"}, "SCRAM-SHA-256", nil)
	for _, response := range []string{"hello", ""} {
		if a.Kind != authclient.Challenge || err != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		a, err = c.Continue([]byte(response))
	}
	if a.Kind != authclient.Yes || a.Login != "joe" || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	// One that is cut is cancelled there.
	if a, err := c.Begin(authwire.Request{Service: "smtp"}, "SCRAM-SHA-256", nil); a.Kind != authclient.Challenge || err != nil {
		t.Fatalf("%+v, %v", a, err)
	}
	c.Close()
	select {
	case <-cancelled:
	case <-time.After(20 * time.Second):
		t.Error("an exchange that was cut goes on")
	}
}

// Without Dovecot, or with something else in its place, nothing is offered; and when it
// is there, it is called without further ado.
func TestDovecotGone(t *testing.T) {
	s := serve(t, nil, dovecotBackend)
	c := s.client()
	path := filepath.Join(conf.Home, "d")
	for _, greeting := range []string{"absent", "VERSION\t2\t0\nDONE\n", "VERSION\n", "hello\n" + strings.Repeat("\n", maxLines), strings.Repeat("x", maxLine+1)} {
		if greeting != "absent" {
			standIn(t, path, greeting, func(string) string { return "" })
		}
		if names, err := c.Mechanisms(secure); len(names) > 0 || err == nil {
			t.Errorf("%.20q: offered %q, %v", greeting, names, err)
		}
		if a, err := c.Begin(secure, "PLAIN", nil); a.Kind != authclient.Later || err != nil {
			t.Errorf("%.20q: %+v, %v", greeting, a, err)
		}
	}
	standIn(t, path, greets, func(string) string { return "OK\t1\tuser=joe\n" })
	if a, err := c.Begin(secure, "PLAIN", []byte("x")); a.Kind != authclient.Yes || err != nil {
		t.Errorf("at last: %+v, %v", a, err)
	}
}

// Only a line that begins with OK, is about our request and names somebody is a yes; and
// whatever is escaped is itself again.
func FuzzDovecot(f *testing.F) {
	for _, line := range []string{"OK\t1\tuser=joe\tresp=dj14\n", "CONT\t1\taGVsbG8=\n", "FAIL\t1\ttemp\n", greets} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := unescape(escape(text)); got != text || strings.ContainsAny(escape(text), "\t\r\n\x00") {
			t.Errorf("%q becomes %q", text, got)
		}
		if names, err := greeting(bufio.NewReaderSize(strings.NewReader(text), maxLine)); err == nil && !strings.Contains(text, "DONE") {
			t.Errorf("%q offers %q", text, names)
		}
		c := &dovecotExchange{d: newDovecot(&prog.Process{}, "")}
		verb, args, err := readLine(bufio.NewReaderSize(strings.NewReader(text), maxLine))
		if err != nil {
			return
		}
		challenge, done, err := c.answer(verb, args)
		if done != (c.login != "") || done && (err != nil || !strings.HasPrefix(text, "OK\t1\t") || !strings.Contains(text, "\tuser=")) {
			t.Errorf("%q is a yes", text)
		}
		if len(challenge) > authwire.MaxData || err == sasl.ErrWrong && verb != "FAIL" {
			t.Errorf("%q: %d bytes, %v", text, len(challenge), err)
		}
	})
}
