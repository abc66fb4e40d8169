package remote

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"quail/internal/prog"
)

// Whatever a server sends, a reply ends at a line end, not before its last line
// and not after it; no more than a bound of it is kept, and of that every byte but
// CR; and a report can show it without ending early.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 hi\r\n", "250-a\r\n250 b\r\n250 next\r\n", "25\n\n", "\n\n\n\n", "250-\n\n\n\n-\nx", "554 \x00\r\r\n", "250", "250-" + huge[:maxReply] + "\n250 x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		in := bufio.NewReader(bytes.NewReader(sent))
		r, err := readReply(in)
		if err != nil {
			if len(r.text) > 0 {
				t.Errorf("a reply cut short is kept: %q", r.text)
			}
			return
		}
		rest := new(bytes.Buffer)
		if _, err := rest.ReadFrom(in); err != nil {
			t.Fatal(err)
		}
		taken := sent[:len(sent)-rest.Len()]
		if len(taken) < 4 || taken[len(taken)-1] != '\n' {
			t.Errorf("took %q of %q", taken, sent)
		}
		want := bytes.ReplaceAll(taken, []byte{'\r'}, nil)
		want = want[:min(len(want), maxReply)]
		if !bytes.Equal(r.text, want) {
			t.Errorf("kept %q of %q", r.text, taken)
		}
		if said := r.said(); strings.ContainsAny(said, "\x00\r") || len(said) > maxReply+len("Remote host said: ") {
			t.Errorf("shown as %q", said)
		}
		if again, err := readReply(bufio.NewReader(bytes.NewReader(taken))); err != nil || again.code != r.code {
			t.Errorf("%q read again: %d, %v, was %d", taken, again.code, err, r.code)
		}
		if d := taken[:3]; isDigits(d) && r.code != uint64(d[0]-'0')*100+uint64(d[1]-'0')*10+uint64(d[2]-'0') {
			t.Errorf("code of %q is %d", taken, r.code)
		}
		r.offers("pipelining")
	})
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// reports is the form of what qmail-remote says about two recipients.
var reports = regexp.MustCompile(`^(?s)((r|[hs][^\x00]+\n)\x00){0,2}[KZD][^\x00]+\n\x00$`)

// Whatever a server says, and whenever, the reports keep their form, and K is said
// only if a recipient was accepted and the whole text was sent.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"220 hi\r\n250 me\r\n250 a\r\n250 b\r\n550 c\r\n354 go\r\n250 ok\r\n",
		"220 hi\r\n250-me\r\n250-PIPELINING\r\n250 SIZE\r\n250 a\r\n450 b\r\n550 c\r\n354 go\r\n250 ok\r\n",
		"220 hi\r\n500 what\r\n250 me\r\n550 a\r\n",
		"554 \x00\r\n",
		"",
	} {
		f.Add([]byte(s))
	}
	name := filepath.Join(f.TempDir(), "message")
	if err := os.WriteFile(name, []byte("a\r.\r\nb\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	const text = "DATA\r\na\r\n..\r\nb\r\n.\r\n"
	f.Fuzz(func(t *testing.T, says []byte) {
		client, server := net.Pipe()
		go func() {
			server.Write(says)
			server.Close()
		}()
		heard := &tap{Conn: client}
		message, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer message.Close()
		m := newMail(&prog.Process{Args: []string{"x.test", "a@b", "c@d", "e@f"}, Stdin: message})
		s := newSession(heard, "me.test", time.Minute, time.Now)
		v, err := s.greet()
		switch {
		case err != nil:
			m.end(s.died())
		case v != "":
			m.end(v)
		default:
			s.carry(newTransaction([]*mail{m}, false), time.Now)
		}
		client.Close()
		v = m.verdict
		all := m.reports.String() + string(v) + "\x00"
		if !reports.MatchString(all) {
			t.Errorf("reports %q", all)
		}
		accepted := strings.HasPrefix(all, "r\x00") || strings.Contains(all, "\x00r\x00")
		if v[0] == 'K' && (!accepted || !strings.Contains(heard.sent.String(), text)) {
			t.Errorf("reports %q after sending %q", all, heard.sent.String())
		}
		if !accepted && strings.Contains(heard.sent.String(), "DATA\r\n") {
			t.Errorf("sent DATA for nobody: %q", all)
		}
	})
}

// tap takes what the client writes without ever making it wait.
type tap struct {
	net.Conn
	sent bytes.Buffer
}

func (c *tap) Write(b []byte) (int, error) { return c.sent.Write(b) }
