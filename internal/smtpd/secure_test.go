package smtpd

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
)

// After STARTTLS nothing counts that was said before, and there is no second one.
func TestStartTLS(t *testing.T) { each(t, testStartTLS) }

func testStartTLS(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	c := m.greeted(t, peer, false)
	c.want("EHLO forged.example", "250-mx.example\r\n")
	c.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
	c.want("STARTTLS now", "501 ")
	c.want("MAIL FROM:<a@b.example>", "250 ")
	c.want("STARTTLS", "503 ")
	c.want("RSET", "250 ")
	c.want("starttls", "220 ")
	c.secure()
	if offers := c.offers(); has(offers, "STARTTLS") || !has(offers, "AUTH") {
		t.Errorf("under TLS there is %q", offers)
	}
	c.want("STARTTLS", "503 ")
	c.want("MAIL FROM:<a@b.example>", "250 ")
	c.want("RCPT TO:<x@evil.example>", "553 ")
	c.want("RCPT TO:<x@here.example>", "250 ")
	c.want("DATA", "354 ")
	c.want("t\r\n.", "250 ")
	message, _ := queuedFiles()
	want := "Received: from peer.example (HELO c.example) (192.0.2.9)\n  by mx.example with ESMTPS (TLSv1.3 TLS_AES_128_GCM_SHA256); DATE\nt\n"
	if undated(message) != want {
		t.Errorf("queued %q, want %q", message, want)
	}
	c.want("QUIT", bye)
	if _, err := io.ReadAll(c.conn); err != nil {
		t.Errorf("the end of the session: %v", err)
	}
	if got := <-c.status; got != 0 {
		t.Errorf("status %d", got)
	}
	// HELO is forgotten as well.
	c = m.greeted(t, peer, false)
	c.want("HELO forged.example", "250 ")
	c.want("STARTTLS", "220 ")
	c.secure()
	c.want(strings.TrimSuffix(transaction, "\r\n"), "250 ")
	c.reply()
	c.want("DATA", "354 ")
	c.want(".", "250 ")
	if message, _ := queuedFiles(); strings.Contains(message, "forged") {
		t.Errorf("queued %q", message)
	}
}

// What comes along with STARTTLS in the clear is never taken for the client's.
func TestInjection(t *testing.T) { each(t, testInjection) }

func testInjection(t *testing.T, m manner) {
	withAll(t, nil)
	log := logged(t)
	for _, more := range []string{"\r\n", "N", "MAIL FROM:<evil@b.example>\r\n", "\x16\x03\x01"} {
		c := m.greeted(t, peer, false)
		before := log()
		io.WriteString(c.conn, "EHLO x\r\nSTARTTLS\r\n"+more)
		c.reply()
		if got := c.reply(); !strings.HasPrefix(got, "554 ") {
			t.Errorf("with %q behind it STARTTLS is answered %q", more, got)
		}
		if got := c.reply(); got != "" || <-c.status != 1 {
			t.Errorf("%q: then told %q", more, got)
		}
		if got := strings.TrimPrefix(log(), before); got != "STARTTLS with more behind it in the clear: hung up\n" {
			t.Errorf("logged %q", got)
		}
	}
	// What comes a moment later is no TLS either, and no command.
	c := m.greeted(t, peer, false)
	c.want("STARTTLS", "220 ")
	io.WriteString(c.conn, "MAIL FROM:<evil@b.example>\r\nRCPT TO:<x@here.example>\r\nDATA\r\n.\r\nQUIT\r\n")
	if got, _ := io.ReadAll(c.conn); strings.Contains(string(got), "250") || <-c.status != 1 {
		t.Errorf("in the clear after STARTTLS: told %q", got)
	}
	if _, envelope := queuedFiles(); envelope != "" {
		t.Errorf("queued for %q", envelope)
	}
}

// With SMTPS everything is under TLS; with FORCETLS there is nothing to be had without.
func TestForced(t *testing.T) { each(t, testForced) }

func testForced(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	log := logged(t)
	c := m.client(t, peer.With("SMTPS", ""))
	c.secure()
	if got := c.reply(); got != hi {
		t.Errorf("greeted with %q", got)
	}
	if offers := c.offers(); has(offers, "STARTTLS") {
		t.Errorf("offered %q", offers)
	}
	c.want("QUIT", bye)

	c = m.greeted(t, peer.With("FORCETLS", "1"), false)
	for _, line := range []string{"MAIL FROM:<a@b.example>", "AUTH PLAIN " + plain("joe", "secret"), "AUTH CRAM-MD5"} {
		c.want(line, "530 ")
	}
	c.want("RCPT TO:<x@here.example>", "503 ")
	c.want("STARTTLS", "220 ")
	c.secure()
	c.want("MAIL FROM:<a@b.example>", "250 ")
	c.want("RSET", "250 ")
	c.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
	m.greeted(t, peer.With("FORCETLS", "0"), false).want("MAIL FROM:<a@b.example>", "250 ")

	// A client in the clear where TLS is wanted from the first byte.
	c = m.client(t, peer.With("SMTPS", ""))
	io.WriteString(c.conn, "EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
	if got, _ := io.ReadAll(c.conn); strings.Contains(string(got), "250") || <-c.status != 1 {
		t.Errorf("told %q", got)
	}
	if got := log(); !strings.HasSuffix(got, "TLS failed: tls: first record does not look like a TLS handshake\n") {
		t.Errorf("logged %q", got)
	}
}

// Old versions of the protocol are refused.
func TestVersions(t *testing.T) { each(t, testVersions) }

func testVersions(t *testing.T, m manner) {
	withAll(t, nil)
	for version, works := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := m.greeted(t, peer, false)
		c.want("STARTTLS", "220 ")
		conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err := conn.Handshake(); (err == nil) != works {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		c.conn.Close()
		<-c.status
	}
}

// Without qmail-keys there is no STARTTLS; where it goes meanwhile that is for now.
func TestNoKeys(t *testing.T) { each(t, testNoKeys) }

func testNoKeys(t *testing.T, m manner) {
	clock = func() time.Time { return time.Now().UTC() }
	t.Cleanup(func() { clock = standing })
	home(t, nil, 0)
	log := logged(t)
	if got := strings.Join(m.greeted(t, peer, false).offers(), ","); got != "PIPELINING,8BITMIME" {
		t.Errorf("offered %s", got)
	}
	c := m.client(t, peer.With("SMTPS", ""))
	if got := c.reply(); got != "" || <-c.status != 1 {
		t.Errorf("with SMTPS told %q", got)
	}
	if got := log(); !strings.HasPrefix(got, "TLS failed: ") {
		t.Errorf("logged %q", got)
	}
}

// What is sent in many records, and in one, is the same.
func TestRecords(t *testing.T) { each(t, testRecords) }

func testRecords(t *testing.T, m manner) {
	withAll(t, nil)
	text := strings.Repeat("a line of some length\r\n", 5000)
	for _, piece := range []int{3, 1 << 20} {
		if piece == 3 {
			text = text[:3000-3000%23]
		}
		c := m.greeted(t, peer, true)
		in := "EHLO peer.example\r\n" + transaction + "DATA\r\n" + text + ".\r\nNOOP\r\nQUIT\r\n"
		go func() {
			for len(in) > 0 {
				n := min(piece, len(in))
				if _, err := io.WriteString(c.conn, in[:n]); err != nil {
					return
				}
				in = in[n:]
			}
		}()
		out, err := io.ReadAll(c.in)
		if !strings.HasSuffix(string(out), "\r\n"+ok+bye) || err != nil || <-c.status != 0 {
			t.Errorf("in pieces of %d: told %.300q, %v", piece, out, err)
		}
		if message, _ := queuedFiles(); !strings.HasSuffix(message, "; "+strings.ReplaceAll(text, "\r", "")) && !strings.HasSuffix(message, strings.ReplaceAll(text, "\r", "")) {
			t.Errorf("in pieces of %d: %d bytes are queued", piece, len(message))
		}
	}
}

// A client that takes its time, under TLS or within AUTH, is waited for, and not for ever.
func TestSilence(t *testing.T) { each(t, testSilence) }

func testSilence(t *testing.T, m manner) {
	withAll(t, files{"timeoutsmtpd": "2\n"})
	secure, exchange := m.greeted(t, peer, true), m.greeted(t, peer, false)
	exchange.want("AUTH CRAM-MD5", "334 ")
	time.Sleep(300 * time.Millisecond) // long enough for a warm process to leave the session alone
	secure.want("NOOP", "250 ")
	for _, c := range []*client{secure, exchange} {
		if got := c.reply(); got != "451 timeout (#4.4.2)\r\n" || <-c.status != 1 {
			t.Errorf("told %q", got)
		}
	}
}

// Control files that cannot be read end the session, also those of logins.
func TestUnreadableAccounts(t *testing.T) { each(t, testUnreadableAccounts) }

func testUnreadableAccounts(t *testing.T, m manner) {
	for _, name := range accountFiles[1:] {
		withAll(t, files{"smtpgreeting": "mx.example\n", "localiphost": "mx.example\n"})
		path := filepath.Join(conf.Home, "control", name)
		os.Remove(path)
		if name == "me" {
			continue // without it there is no session
		}
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		m.greeted(t, peer, false).want("EHLO x", "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n421 unable to read controls (#4.3.0)")
	}
}
