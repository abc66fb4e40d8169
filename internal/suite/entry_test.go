package suite

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// How mail comes in: by SMTP under rules, by sendmail and its other names, and
// through a filter in the place of qmail-queue.

// smtpdByRules runs qmail-smtpd under rules for tcprules and returns its port.
func (s *suite) smtpdByRules(rules string) int {
	s.t.Helper()
	args := []string{"-x", s.compileRules("tcp.smtp", rules)}
	if root {
		args = append(args, "-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"))
	}
	return s.tcpserver(append(args, s.path("bin/qmail-smtpd")))
}

// compileRules puts rules in force and returns their database.
func (s *suite) compileRules(name, rules string) (cdb string) {
	s.t.Helper()
	cdb = s.path(name + ".cdb")
	cmd := exec.Command(s.path("bin/tcprules"), cdb, cdb+".tmp")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("tcprules: %v\n%s", err, out)
	}
	return cdb
}

// submit sends a message by SMTP from one of the loopback addresses.
func submit(t testing.TB, from string, port int, sender, recipient, message string) error {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * deadline))
	client, err := smtp.NewClient(conn, me)
	if err == nil {
		err = session(client, sender, recipient, message)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nobody answers %s, nor hangs up: %v", conn.LocalAddr(), err)
	}
	return err
}

// session sends one message.
func session(client *smtp.Client, sender, recipient, message string) error {
	if err := client.Hello("client.example"); err != nil {
		return err
	}
	if err := client.Mail(sender); err != nil {
		return err
	}
	if err := client.Rcpt(recipient); err != nil {
		return err
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(message, "\n", "\r\n"))); err != nil {
		return err
	}
	return w.Close()
}

// refusals checks what clients at several addresses are told.
func refusals(t *testing.T, port int, rows []submission) {
	t.Helper()
	for _, r := range rows {
		got := "taken"
		if err := submit(t, r.from, port, "far@away.example", r.recipient, r.message); err != nil {
			got = err.Error()
			if e, ok := err.(*textproto.Error); ok {
				got = fmt.Sprint(e.Code, " ", e.Msg)
			}
		}
		if got != r.want {
			t.Errorf("%s to %s, %d bytes: %s, want %s", r.from, r.recipient, len(r.message), got, r.want)
		}
	}
}

type submission struct{ from, recipient, message, want string }

func TestRelay(t *testing.T) {
	s := install(t)
	far, fix := serve(t, nil), serve(t, nil)
	s.control("rcpthosts", me+"\n.inside.example\n")
	s.control("smtproutes", fmt.Sprintf("far.example:%s\nfix.example:%s\n", far.route(), fix.route()))
	s.start()
	port := s.smtpdByRules("127.0.0.1:allow\n127.0.0.2:allow,RELAYCLIENT=\"\"\n127.0.0.3:allow,RELAYCLIENT=\"@fix.example\"\n:deny\n")
	const message, no = "Subject: relay\n\n", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
	refusals(t, port, []submission{
		{"127.0.0.1", "joe@" + me, message, "taken"},
		{"127.0.0.1", "you@far.example", message, no},
		{"127.0.0.1", "you%far.example@inside.example", message, no},
		{"127.0.0.2", "you@far.example", message, "taken"},
		{"127.0.0.3", "you@far.example", message, "taken"},
		{"127.0.0.4", "joe@" + me, message, "EOF"},
	})
	s.settled(3)
	if mail := far.taken(); len(mail) != 1 || mail[0].to[0] != "<you@far.example>" {
		t.Errorf("relayed: %q", mail)
	}
	if mail := fix.taken(); len(mail) != 1 || mail[0].to[0] != `<"you@far.example"@fix.example>` {
		t.Errorf("relayed with a changed address: %q", mail)
	}
}

func TestDatabytes(t *testing.T) {
	s := install(t)
	s.control("databytes", "1000\n")
	s.start()
	port := s.smtpdByRules("127.0.0.1:allow\n127.0.0.2:allow,DATABYTES=\"0\"\n127.0.0.3:allow,DATABYTES=\"20\"\n")
	const no = "552 sorry, that message size exceeds my databytes limit (#5.3.4)"
	text := func(n int) string { return "\n" + strings.Repeat("x", n-2) + "\n" }
	refusals(t, port, []submission{
		{"127.0.0.1", "joe@" + me, text(1000), "taken"},
		{"127.0.0.1", "joe@" + me, text(1001), no},
		{"127.0.0.2", "joe@" + me, text(100000), "taken"},
		{"127.0.0.3", "joe@" + me, text(20), "taken"},
		{"127.0.0.3", "joe@" + me, text(21), no},
	})
	s.settled(3)
	s.empty()
}

// A filter in the place of qmail-queue, which can say why it refuses.
func TestQueueFilter(t *testing.T) {
	s := install(t)
	s.excuse(declined, "$QMAILQUEUE is for a process of its own")
	s.excuse(queuing, "the filter does")
	s.write("bin/filter", `#!/bin/sh
message=$(cat)
case $message in
*forbidden*) printf 'Dwe have seen this before (#5.7.1)' >&6; exit 82 ;;
*busy*) printf 'Zcome back later (#4.3.0)' >&6; exit 82 ;;
*silent*) exit 31 ;;
*crash*) kill -9 $$ ;;
esac
{ echo 'X-Filtered: yes'; printf '%s\n' "$message"; } | bin/qmail-queue
`)
	if err := os.Chmod(s.path("bin/filter"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.start()
	port := s.smtpdByRules(`:allow,QMAILQUEUE="bin/filter"` + "\n")
	to := "joe@" + me
	refusals(t, port, []submission{
		{"127.0.0.1", to, "Subject: forbidden\n\n", "554 we have seen this before (#5.7.1)"},
		{"127.0.0.1", to, "Subject: busy\n\n", "451 come back later (#4.3.0)"},
		{"127.0.0.1", to, "Subject: silent\n\n", "554 mail server permanently rejected message (#5.3.0)"},
		{"127.0.0.1", to, "Subject: crash\n\n", "451 qq crashed (#4.3.0)"},
		{"127.0.0.1", to, "Subject: fine\n\nbody\n", "taken"},
	})
	filter := "QMAILQUEUE=" + s.path("bin/filter")
	for subject, want := range map[string]string{
		"forbidden": "qmail-inject: fatal: we have seen this before (#5.7.1)\n100",
		"busy":      "qmail-inject: fatal: come back later (#4.3.0)\n111",
	} {
		out, status := s.sh("Subject: "+subject+"\n\n", "exec sendmail "+to, filter)
		if got := fmt.Sprint(out, status); got != want {
			t.Errorf("sendmail: %q, want %q", got, want)
		}
	}
	s.settled(1)
	mail := s.mail("u/joe/Maildir")
	if len(mail) != 1 || !strings.Contains(mail[0], "\nX-Filtered: yes\nReceived: from unknown (HELO client.example) (127.0.0.1)\n") || !strings.HasSuffix(mail[0], "\nSubject: fine\n\nbody\n") {
		t.Errorf("what came through is %q", mail)
	}
}

func TestSendmail(t *testing.T) {
	s := install(t)
	for _, name := range []string{"to", "cc", "bcc", "arg", "bs"} {
		s.joe(".qmail-"+name, "./Maildir/\n", 0o644)
	}
	s.start()
	message := "To: Joe To <joe-to@me.example>\nCc: joe-cc@me.example\nBcc: joe-bcc@me.example\nSubject: by sendmail\n\n.\nbody\n"
	if out, status := s.sh(message, "exec sendmail -oi -t -F 'A Name' joe-arg@"+me, "USER=joe-to"); out != "" || status != 0 {
		t.Errorf("sendmail -t: %q, %d", out, status)
	}
	s.settled(1)
	mail := s.mail("u/joe/Maildir")
	for _, to := range []string{"to", "cc", "bcc", "arg"} {
		got := find(t, mail, "Return-Path: <joe-to@me.example>\nDelivered-To: joe-"+to+"@me.example\n")
		if strings.Contains(got, "Bcc") || !strings.Contains(got, "\nFrom: \"A Name\" <joe-to@me.example>\nTo: Joe To <joe-to@me.example>\nCc: joe-cc@me.example\nSubject: by sendmail\n\n.\nbody\n") {
			t.Errorf("%s got\n%s", to, got)
		}
	}

	dialogue := "EHLO client.example\r\nMAIL FROM:<x@away.example>\r\nRCPT TO:<joe-bs@me.example>\r\nRCPT TO:<joe-nobody@elsewhere.invalid>\r\nRSET\r\n" +
		"MAIL FROM:<x@away.example>\r\nRCPT TO:<joe-bs@me.example>\r\nDATA\r\nSubject: by bs\r\n\r\n..\r\n.\r\nQUIT\r\n"
	out, status := s.sh(dialogue, "exec sendmail -bs")
	out = regexp.MustCompile(`\d+ qp \d+`).ReplaceAllString(out, "#")
	want := "220 me.example ESMTP\r\n250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 flushed\r\n" +
		"250 ok\r\n250 ok\r\n354 go ahead\r\n250 ok #\r\n221 me.example\r\n"
	if out != want || status != 0 {
		t.Errorf("sendmail -bs said %q and exited with %d, want %q", out, status, want)
	}
	s.settled(2)
	if got := mask(find(t, s.mail("u/joe/Maildir"), "Delivered-To: joe-bs@me.example\n")); !strings.Contains(got, "\nReceived: from localhost (HELO client.example) (sendmail-bs@127.0.0.1)\n  by localhost with SMTP; DATE -0000\nSubject: by bs\n\n.\n") {
		t.Errorf("sendmail -bs delivered\n%s", got)
	}
}

// What is in the queue, as the administrator sees it.
func TestShowQueue(t *testing.T) {
	s := install(t)
	ill := serve(t, script{"greeting": "421 busy"})
	s.control("smtproutes", ":"+ill.route()+"\n")
	s.joe(".qmail-later", "|exit 111\n", 0o644)
	s.joe(".qmail-no", "|exit 100\n", 0o644)
	if got := must(t, s.path("bin/qmail-qread")); got != "" {
		t.Errorf("of an empty queue qmail-qread says %q", got)
	}
	send := s.start()
	s.enter("Sender@"+me, []string{"joe@" + me, "joe-later@" + me, "you@far.example", "joe-no@" + me}, "Subject: stuck\n\n")
	for _, r := range []string{"joe@" + me, "joe-later@" + me, "you@far.example", "joe-no@" + me} {
		s.outcome(r, 1)
	}
	eventually(t, "the last status", func() bool {
		return strings.HasSuffix(s.logged(), "status: local 0/10 remote 0/20\n")
	})
	infos, _ := filepath.Glob(s.path("queue/info/*/*"))
	if len(infos) != 1 {
		t.Fatalf("%d messages in the queue", len(infos))
	}
	id := filepath.Base(infos[0])
	messes, _ := filepath.Glob(s.path("queue/mess/*/" + id))
	fi, err := os.Stat(messes[0])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s GMT  #%s  %d  <Sender@me.example>  bouncing\n  done\tlocal\tjoe@me.example\n\tlocal\tjoe-later@me.example\n  done\tlocal\tjoe-no@me.example\n\tremote\tyou@far.example\n",
		mtime(t, infos[0]).UTC().Format("2 Jan 2006 15:04:05"), id, fi.Size())
	for _, program := range []string{"bin/qmail-qread", "bin/mailq"} {
		if got := must(t, s.path(program)); got != want {
			t.Errorf("%s says\n%s\nwant\n%s", program, got, want)
		}
	}
	count := func(messages, todo int) {
		t.Helper()
		want := fmt.Sprintf("messages in queue: %d\nmessages in queue but not yet preprocessed: %d\n", messages, todo)
		if got := must(t, s.path("bin/qmail-qstat")); got != want {
			t.Errorf("qmail-qstat says %q, want %q", got, want)
		}
	}
	count(1, 0)
	send.stop()
	s.enter("", []string{"joe@" + me}, "\n")
	count(2, 1)
	if got := must(t, s.path("bin/qmail-qread")); got != want {
		t.Errorf("with a message that is not preprocessed yet qmail-qread says\n%s", got)
	}
}
