package smtpd

import (
	"strings"
	"testing"
)

// submission is the environment of a session for submission.
var submission = peer.With("SUBMISSION", "")

func TestSubmission(t *testing.T) { each(t, testSubmission) }

func testSubmission(t *testing.T, m manner) {
	withAll(t, files{"rcpthosts": absent, "badmailfrom": "joe-bad@mx.example\n", "idhost": "id.example\n"})
	log := logged(t)
	c := m.greeted(t, submission.With("RELAYCLIENT", ".suffix"), true)
	// A right by address is no login.
	c.want("MAIL FROM:<joe@mx.example>", "530 ")
	c.want("RCPT TO:<x@here.example>", "503 ")
	c.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
	c.want("MAIL FROM:<ann@mx.example>", "553 sorry, you may not send mail as that address (#5.7.1)\r\n")
	c.want("RCPT TO:<x@evil.example>", "503 ")
	c.want("MAIL FROM:<joe-bad@mx.example>", "250 ")
	c.want("RCPT TO:<x@evil.example>", "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n")
	c.want("MAIL FROM:<Joe-work@mx.example>", "250 ")
	c.want("RCPT TO:<x@evil.example>", "250 ")
	c.want("RCPT TO:<x@here.example>", "250 ")
	c.want("DATA", "354 ")
	c.want("Subject: s\r\n\r\nt\r\n.", "250 ")
	message, envelope := queuedFiles()
	_, message, _ = strings.Cut(undated(message), "; DATE\n")
	want := "Subject: s\nFrom: <Joe-work@mx.example>\nDate: DATE\nMessage-ID: <"
	if !strings.HasPrefix(message, want) || !strings.HasSuffix(message, ".4711.1.qmail@id.example>\n\nt\n") {
		t.Errorf("queued %q", message)
	}
	if envelope != "FJoe-work@mx.example\x00Tx@evil.example\x00Tx@here.example\x00\x00" {
		t.Errorf("envelope %q", envelope)
	}
	c.want("QUIT", bye)
	const logs = "refused sender=<joe@mx.example>: the client has not logged in\n" +
		"logged in login=joe mechanism=PLAIN TLSv1.3\n" +
		"refused sender=<ann@mx.example> login=joe: control/senderlogins does not give that sender to the login\n" +
		"refused sender=<joe-bad@mx.example> recipient=<x@evil.example> login=joe: control/badmailfrom has the sender\n"
	if got := log(); got != logs {
		t.Errorf("logged\n%s, want\n%s", got, logs)
	}
}

// A complete message is queued as it came.
func TestSubmittedComplete(t *testing.T) { each(t, testSubmittedComplete) }

func testSubmittedComplete(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	in := "AUTH PLAIN " + plain("joe", "secret") + "\r\nMAIL FROM:<joe@mx.example>\r\nRCPT TO:<x@y>\r\nDATA\r\n" +
		"Message-ID: <1@c>\r\nDATE: x\r\nfrom: y\r\n\r\n..\r\n\r\nDate:\r\n.\r\nQUIT\r\n"
	for _, piece := range []int{1, 100000} {
		out, status := m.converse(t, submission, in, piece)
		message, _ := queuedFiles()
		_, text, _ := strings.Cut(undated(message), " with ESMTPA; DATE\n")
		if want := "Message-ID: <1@c>\nDATE: x\nfrom: y\n\n.\n\nDate:\n"; text != want || status != 0 {
			t.Errorf("in pieces of %d: told %q, queued %q", piece, out, message)
		}
	}
}

// What is beyond the limits waits at the client, who hears why.
func TestLimits(t *testing.T) { each(t, testLimits) }

func testLimits(t *testing.T, m manner) {
	for _, env := range [][]string{{"SUBMISSION="}, nil} {
		withAll(t, files{"plaintextauth": "1\n"})
		log := logged(t)
		c := m.greeted(t, append(peer, env...), false)
		c.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
		c.want("MAIL FROM:<joe@mx.example>", "250 ")
		for range 11 {
			c.want("RCPT TO:<x@y>", "250 ")
		}
		c.want("DATA", "452 joe has sent ? too much (#4.7.1)\r\n")
		c.want("RSET", "250 ")
		if got := log(); !strings.HasSuffix(got, "refused sender=<joe@mx.example> login=joe: joe has sent ? too much\n") {
			t.Errorf("logged %q", got)
		}
	}
}

func TestMaySend(t *testing.T) {
	home(t, files{"me": "me.example\n", "locals": "Local.example\n",
		"senderlogins": "Sales@net.example:joe, Ann\n@all.example:joe\nlist:joe\nempty@net.example:\nann@me.example:joe\n"}, 0)
	a, err := (&kept[*accounts]{}).get(process(nil, nil, nil), accountFiles[:], readAccounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		login, sender string
		want          bool
	}{
		{"joe", "", true}, // a receipt, which nobody else is blamed for
		{"joe", "joe@me.example", true},
		{"Joe", "JOE@local.EXAMPLE", true},
		{"joe", "joe-list@me.example", true},
		{"joe", "joex@me.example", false},
		{"joe", "jo@me.example", false},
		{"joe", "joe@other.example", false},
		{"joe", "joe@sub.me.example", false},
		{"joe", "joe", false}, // becomes one at envnoathost
		{"joe", "joe@", false},
		{"joe", "x@evil.example@me.example", false},
		{"joe", "joe@evil.example@me.example", false},
		{"joe", "sales@NET.example", true},
		{"ANN", "sales@net.example", true},
		{"bob", "sales@net.example", false},
		{"an", "sales@net.example", false},
		{"joe, ann", "sales@net.example", false},
		{"", "empty@net.example", false},
		{"", "-x@me.example", false},
		{"joe", "any@all.example", true},
		{"joe", "any@sub.all.example", false},
		{"joe", "list", true},
		{"joe", "ann@me.example", true},
		{"joe@all.example", "joe@all.example", true},
		{"joe@other.example", "joe@other.example", true},
		{"joe@other.example", "joe-x@other.example", true},
		{"joe@other.example", "joe@me.example", false},
		{"joe@other.example", "ann@other.example", false},
		{"@other.example", "x@other.example", false},
		{"joe@", "joe@", true}, // and nobody else's
	} {
		if got := a.maySend(c.login, c.sender); got != c.want {
			t.Errorf("%q may send as %q: %v, want %v", c.login, c.sender, got, c.want)
		}
	}
}

// With senderlogins everybody who logs in is bound, elsewhere only who submits.
func TestBound(t *testing.T) { each(t, testBound) }

func testBound(t *testing.T, m manner) {
	for _, c := range []struct {
		file, want string
	}{{absent, "250 "}, {"", "553 "}} {
		withAll(t, files{"plaintextauth": "1\n", "senderlogins": c.file})
		at := m.greeted(t, peer, false)
		at.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
		at.want("MAIL FROM:<a@b.example>", c.want)
		at.want("MAIL FROM:<>", "250 ")
	}
}
