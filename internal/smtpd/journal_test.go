package smtpd

import (
	"os"
	"strings"
	"testing"
)

// Each refusal is told in the log, so that it cannot be taken for another line.
func TestJournal(t *testing.T) { both(t, testJournal) }

func testJournal(t *testing.T, m manner) {
	home(t, files{"badmailfrom": "@bad.example\n"}, 0)
	for _, c := range []struct{ env, in, want string }{
		{"", transaction + "RCPT TO:<y@Evil.example>\r\n",
			"refused sender=<a@b.example> recipient=<y@Evil.example>: neither rcpthosts nor morercpthosts.cdb has Evil.example\n"},
		{"", "MAIL FROM:<>\r\nRCPT TO:<y@[1.2.3.4]>\r\n",
			"refused sender=<> recipient=<y@[1.2.3.4]>: neither rcpthosts nor morercpthosts.cdb has [1.2.3.4]\n"},
		{"", "MAIL FROM:<x@bad.example>\r\nRCPT TO:<y@here.example>\r\n",
			"refused sender=<x@bad.example> recipient=<y@here.example>: control/badmailfrom has the sender\n"},
		{"", "MAIL FROM:<\"a> login=root <\"@b>\r\nRCPT TO:<\"\x1b[2J\x9b b\"@c d>\r\n",
			"refused sender=<a??login?root??@b> recipient=<?[2J??b@c?d>: neither rcpthosts nor morercpthosts.cdb has c?d\n"},
		{"", "MAIL FROM:<" + strings.Repeat("x", 300) + "@b>\r\nRCPT TO:<y@" + strings.Repeat("z", 300) + ">\r\n",
			"refused sender=<" + strings.Repeat("x", 200) + "...> recipient=<y@" + strings.Repeat("z", 198) + "...>: neither rcpthosts nor morercpthosts.cdb has " + strings.Repeat("z", 200) + "...\n"},
		// USER is somebody who has started tcpserver, then: nothing is known of the client.
		{"USER=root,DOMAIN=d e", transaction + "RCPT TO:<y@evil.example>\r\n",
			"refused sender=<a@b.example> recipient=<y@evil.example>: neither rcpthosts nor morercpthosts.cdb has evil.example\n"},
		// Rights of those who have read their mail before.
		{"RELAYCLIENT=", sender + "RCPT TO:<x@y>\r\n" + send, ""},
		{"RELAYCLIENT=,USER=joe,DOMAIN=me.example", sender + "RCPT TO:<x@y>\r\nRCPT TO:<x@z>\r\n" + send,
			"relayed sender=<a@b.example> recipients=2 qp=PID user=joe domain=me.example\n"},
		{"RELAYCLIENT=,DOMAIN=d e", sender + "RCPT TO:<x@y>\r\n" + send,
			"relayed sender=<a@b.example> recipients=1 qp=PID domain=d?e\n"},
		{"USER=joe", transaction + send, ""},
	} {
		log := logged(t)
		env := peer
		for _, v := range strings.Split(c.env, ",") {
			name, value, _ := strings.Cut(v, "=")
			env = env.With(name, value)
		}
		out, _ := m.converse(t, env, c.in, 1000)
		queuedFiles()
		got := log()
		if _, qp, ok := strings.Cut(out, " qp "); ok {
			got = strings.ReplaceAll(got, "qp="+qp[:strings.IndexByte(qp, '\r')]+" ", "qp=PID ")
		}
		if got != c.want {
			t.Errorf("%q with %q: logged\n%q, want\n%q", c.in, c.env, got, c.want)
		}
	}
}

// A session cannot fill the log.
func TestJournalEnds(t *testing.T) { both(t, testJournalEnds) }

func testJournalEnds(t *testing.T, m manner) {
	home(t, nil, 0)
	log := logged(t)
	m.converse(t, peer, sender+strings.Repeat("RCPT TO:<x@evil.example>\r\n", 100), 1000)
	lines := strings.SplitAfter(log(), "\n")
	if len(lines) != maxNotes+1 || lines[maxNotes-1] != "no more of this session is logged\n" {
		t.Errorf("%d lines, the last is %q", len(lines)-1, lines[len(lines)-2])
	}
}

// The client does not see the log where an inetd gives it descriptor 2.
func TestJournalOfInetd(t *testing.T) {
	home(t, nil, 0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	say.WriteString(sender + "RCPT TO:<x@evil.example>\r\nQUIT\r\n")
	say.Close()
	p := process(in, w, peer)
	p.Stderr = w
	if status := p.Do(Program()); status != 0 {
		t.Errorf("status %d", status)
	}
	w.Close()
	b := make([]byte, 4096)
	n, _ := r.Read(b)
	if got, want := string(b[:n]), hi+ok+notHere+bye; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func FuzzShown(f *testing.F) {
	f.Add("a@b \x1b")
	f.Fuzz(func(t *testing.T, s string) {
		got := shown(s)
		if len(got) > maxShown+3 || strings.ContainsAny(got, " <>=\n") || strings.ContainsFunc(got, func(r rune) bool { return r < '!' || r > '~' }) {
			t.Errorf("%q is shown as %q", s, got)
		}
	})
}
