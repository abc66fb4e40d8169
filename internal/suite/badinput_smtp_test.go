package suite

import (
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	smtpHello   = "220 " + me + " ESMTP\r\n"
	smtpBye     = "221 " + me + "\r\n"
	smtpOK      = "250 ok\r\n"
	smtpGo      = "354 go ahead\r\n"
	smtpQueued  = "250 queued\r\n"
	smtpSyntax  = "555 syntax error (#5.5.4)\r\n"
	smtpNoMail  = "503 MAIL first (#5.5.1)\r\n"
	smtpNoRcpt  = "503 RCPT first (#5.5.1)\r\n"
	smtpBareLF  = "451 See https://cr.yp.to/docs/smtplf.html.\r\n"
	smtpLoop    = "554 too many hops, this message is looping (#5.4.6)\r\n"
	smtpTooBig  = "552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
	smtpNoSpace = "421 out of memory (#4.3.0)\r\n"

	smtpMail = "MAIL FROM:<far@away.example>\r\nRCPT TO:<joe@" + me + ">\r\nDATA\r\n"
	smtpQuit = "QUIT\r\n"
)

// What a client may send, what it is told, and, where that is taken, what the
// message looks like in the Maildir.
var strangeClients = []struct {
	name      string
	databytes string
	input     string
	replies   string // after the greeting
	mail      string // "" if nothing is taken
}{
	{"sender of 900 bytes", "", "MAIL FROM:<" + long(900, "") + ">\r\nDATA\r\n" + smtpQuit, smtpSyntax + smtpNoMail + smtpBye, ""},
	{"recipient of 900 bytes", "", "MAIL FROM:<>\r\nRCPT TO:<" + long(900, "@"+me) + ">\r\nDATA\r\n" + smtpQuit,
		smtpOK + smtpSyntax + smtpNoRcpt + smtpBye, ""},
	{"addresses of 899 bytes", "", "MAIL FROM:<" + long(899, "@away.example") + ">\r\nRCPT TO:<joe-" + long(895, "@"+me) + ">\r\nDATA\r\nlong\r\n.\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "long\n"},
	{"address of a megabyte", "", "MAIL FROM:<" + long(1<<20, "") + ">\r\n", smtpNoSpace, ""},
	{"line without an end", "", strings.Repeat("x", 1<<20), smtpNoSpace, ""},

	{"NUL", "", smtpMail + "a\x00b\x00\r\n\x00\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "a\x00b\x00\n\x00\n"},
	{"NUL in an address", "", "MAIL FROM:<a\x00b@c>\r\nRCPT TO:<joe@" + me + "\x00@away.example>\r\nDATA\r\nnul\r\n.\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "nul\n"},
	{"bytes above 127", "", smtpMail + "\x80\xff\xfe\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "\x80\xff\xfe\n"},

	{"bare LF", "", smtpMail + "a\nb\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpBareLF, ""},
	{"bare LF at once", "", smtpMail + "\n", smtpOK + smtpOK + smtpGo + smtpBareLF, ""},
	{"end by bare LF", "", smtpMail + "a\n.\n" + smtpMail, smtpOK + smtpOK + smtpGo + smtpBareLF, ""},
	{"end by LF dot CR LF", "", smtpMail + "a\r\n\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpBareLF, ""},
	{"end by CR LF dot LF", "", smtpMail + "a\r\n.\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpBareLF, ""},
	{"lone CR", "", smtpMail + "a\rb\r\r\n\r\r\r\n.\rc\r\n.\r\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "a\rb\r\n\r\r\n.\rc\n.\r\n"},
	{"end by CR dot CR", "", smtpMail + "a\r.\rQUIT\r\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "a\r.\rQUIT\r\n"},

	{"line of a megabyte", "", smtpMail + strings.Repeat("x", 1<<20) + "\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, strings.Repeat("x", 1<<20) + "\n"},
	{"header line of a megabyte", "", smtpMail + "Subject: " + strings.Repeat("y", 1<<20) + "\r\n\r\n.\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, "Subject: " + strings.Repeat("y", 1<<20) + "\n\n"},

	{"a hundred hops", "", smtpMail + strings.Repeat("Received: x\r\n", 60) + strings.Repeat("DELIVERED-to: x\r\n", 40) + "\r\n.\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpLoop + smtpBye, ""},
	{"ninety-nine hops", "", smtpMail + strings.Repeat("Received: x\r\n", 99) + "\r\nReceived: x\r\n.\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, strings.Repeat("Received: x\n", 99) + "\nReceived: x\n"},

	{"databytes", "10", smtpMail + "..3456789\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye, ".3456789\n"},
	{"databytes and one", "10", smtpMail + "1234567890\r\n.\r\n" + smtpQuit, smtpOK + smtpOK + smtpGo + smtpTooBig + smtpBye, ""},
	{"a megabyte over databytes", "10", smtpMail + strings.Repeat("x\r\n", 1<<19) + ".\r\nNOOP\r\n" + smtpQuit,
		smtpOK + smtpOK + smtpGo + smtpTooBig + smtpOK + smtpBye, ""},
}

// long is an address of n bytes.
func long(n int, domain string) string { return strings.Repeat("x", n-len(domain)) + domain }

func TestBadInputSMTP(t *testing.T) {
	s := install(t)
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	port := s.smtpd()
	var want []string
	for _, c := range strangeClients {
		s.control("databytes", c.databytes)
		before, state := s.queued(), nothing
		if c.mail != "" {
			state = entered
			want = append(want, c.mail)
		}
		if got := talk(t, port, c.input); got != smtpHello+c.replies {
			t.Errorf("%s: the replies are %q, want %q", c.name, got, smtpHello+c.replies)
		}
		if got := s.added(before); got != state {
			t.Errorf("%s: in the queue is %q, want %q", c.name, got, state)
		}
	}
	left := s.tooLong(t, &want)
	// What was taken arrives as it was sent.
	s.start()
	s.settled(len(want))
	var got []string
	for _, message := range s.mail("u/joe/Maildir") {
		got = append(got, body(t, message, " with SMTP; "))
	}
	for i := range got {
		_, got[i], _ = strings.Cut(got[i], "\n")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		for i := range got {
			got[i] = tail(got[i], 100)
		}
		t.Errorf("%d messages arrived, want %d; they are %q", len(got), len(want), got)
	}
	s.keeps(left...)
}

// tooLong sends addresses that become too long only behind RELAYCLIENT, where
// qmail-queue refuses them. It returns what stays in the queue.
func (s *suite) tooLong(t *testing.T, want *[]string) []string {
	const suffix = "@" + me
	port := s.smtpd("RELAYCLIENT=" + strings.Repeat("y", 200-len(suffix)) + suffix)
	before := s.queued()
	for _, c := range []struct {
		local int
		reply string
		state string
	}{
		{802, smtpQueued, entered},
		{803, "554 envelope address too long for qq (#5.1.3)\r\n", refused},
	} {
		before := s.queued()
		input := "MAIL FROM:<>\r\nRCPT TO:<joe-" + long(c.local-4, "") + ">\r\nDATA\r\nsuffix\r\n.\r\n" + smtpQuit
		if got, want := talk(t, port, input), smtpHello+smtpOK+smtpOK+smtpGo+c.reply+smtpBye; got != want {
			t.Errorf("%d bytes and 200: the replies are %q, want %q", c.local, got, want)
		}
		if got := s.added(before); got != c.state {
			t.Errorf("%d bytes and 200: in the queue is %q, want %q", c.local, got, c.state)
		}
	}
	*want = append(*want, "suffix\n")
	var left []string
	for _, file := range s.queued() {
		number := path.Base(file)
		if !slices.Contains(before, file) && !slices.Contains(s.queued(), "todo/"+number) {
			left = append(left, file)
		}
	}
	return left
}

// A client that goes away at any point of a session has queued what was
// acknowledged to it, or would have been, and nothing else.
func TestBadInputDisconnect(t *testing.T) {
	s := install(t)
	port := s.smtpd()
	const text = "Subject: x\r\n\r\n.dot\r\n"
	session := "EHLO away.example\r\nMAIL FROM:<far@away.example> SIZE=9\r\nRCPT TO:<joe@" + me + ">\r\nDATA\r\n" + text + ".\r\nRSET\r\n" + smtpQuit
	complete := strings.Index(session, ".\r\nRSET") + 3
	want := 0
	for n := range len(session) + 1 {
		before, state := s.queued(), nothing
		if n >= complete {
			state = entered
			want++
		}
		replies := talk(t, port, session[:n])
		if got := s.added(before); got != state || strings.Contains(replies, smtpQueued) != (state == entered) {
			t.Errorf("after %q and no more: in the queue is %q, want %q; the replies are %q", tail(session[:n], 20), got, state, replies)
		}
	}
	// The same by a reset, where nobody reads the replies. No one can tell whether a
	// message that is complete will be taken.
	var at []int
	for n := 0; n < complete-1; n += 9 {
		at = append(at, n)
	}
	before := s.queued()
	for _, n := range append(at, complete-1) {
		conn := dial(t, port)
		io.WriteString(conn, session[:n])
		conn.SetLinger(0)
		conn.Close()
	}
	eventually(t, "the sessions to end", func() bool { return s.inHand("qmail-smtpd")+s.inHand("qmail-queue") == 0 })
	if got := s.added(before); got != nothing {
		t.Errorf("after resets in the queue is %q", got)
	}
	s.start()
	s.settled(want)
	if got := len(s.mail("u/joe/Maildir")); got != want {
		t.Errorf("%d messages arrived, want %d", got, want)
	}
	s.keeps()
}

// A client that falls silent, in the middle of whatever it may be, is told so and
// has queued nothing.
func TestBadInputSilence(t *testing.T) {
	s := install(t)
	s.control("timeoutsmtpd", "1\n")
	port := s.smtpd()
	points := []string{"", "H", "HELO x", "HELO x\r", "HELO x\r\nMAIL FROM:<a@", "MAIL FROM:<a@b>\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<joe@" + me + ">",
		strings.TrimSuffix(smtpMail, "\n"), smtpMail, smtpMail + "Sub", smtpMail + "Subject: x\r", smtpMail + "Subject: x\r\n\r\n",
		smtpMail + "x\r\n.", smtpMail + "x\r\n.\r", smtpMail + strings.Repeat("x", 1<<20), "RSET\r\nNOO"}
	var all sync.WaitGroup
	for _, point := range points {
		all.Go(func() {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(deadline))
			io.WriteString(conn, point)
			if out, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(out), "\r\n451 timeout (#4.4.2)\r\n") {
				t.Errorf("after %q the server says %q, %v", tail(point, 40), out, err)
			}
		})
	}
	all.Wait()
	s.keeps()
}

// Two hundred clients that say nothing more do not keep another one out.
func TestBadInputCrowd(t *testing.T) {
	s := install(t)
	args := []string{"-c", "250", s.path("bin/qmail-smtpd")}
	if root {
		args = append([]string{"-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles")}, args...)
	}
	port := s.tcpserver(args)
	const silent = 200
	var crowd []*net.TCPConn
	for range silent { // each is served, and has a message under way, before the next
		conn := dial(t, port)
		io.WriteString(conn, smtpMail+"half a mess")
		var b []byte
		for !strings.HasSuffix(string(b), smtpGo) {
			b = append(b, 0)
			if _, err := io.ReadFull(conn, b[len(b)-1:]); err != nil {
				t.Fatalf("one of the crowd is told %q, %v", b, err)
			}
		}
		crowd = append(crowd, conn)
	}
	s.start()
	if got := talk(t, port, smtpMail+"from the one\r\n.\r\n"+smtpQuit); !strings.Contains(got, smtpQueued) {
		t.Errorf("the one is told %q", got)
	}
	s.settled(1)
	if got := s.mail("u/joe/Maildir"); len(got) != 1 || !strings.HasSuffix(got[0], "from the one\n") {
		t.Errorf("the mail is %q", got)
	}
	for _, conn := range crowd {
		conn.Close()
	}
	s.keeps()
}
