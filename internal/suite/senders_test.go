package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Programs of others that send by our sendmail, read our Maildirs, or run a list below
// our .qmail files.

// byNobody runs a program as a user of the host's with that HOME.
func byNobody(t *testing.T, dir, input string, argv ...string) {
	t.Helper()
	args := ordinary(append([]string{"env", "-i", "HOME=" + dir, "USER=nobody", "PATH=/usr/bin:/bin", "TERM=dumb", "LC_ALL=C"}, argv...)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", argv[0], err, out)
	}
}

// desk returns a directory that nobody may write.
func (s *suite) desk() string {
	s.mkdir("desk", 0o777, 0, 0)
	return s.path("desk")
}

// git send-email runs sendmail with -i and the recipients, once a patch, and mutt with
// -oem, -oi and -f.
func TestGitSendEmail(t *testing.T) {
	program, ok := tool(t, "git-send-email")
	if !ok {
		return
	}
	s := install(t)
	s.start()
	dir := s.desk()
	for i := range 2 {
		s.write(fmt.Sprintf("desk/%d.patch", i), fmt.Sprintf("From %040d Mon Sep 17 00:00:00 2001\nFrom: Ann <ann@away.example>\nDate: Sun, 22 Nov 2026 08:00:00 +0000\n"+
			"Subject: [PATCH %d/2] by git\n\nFrom here on.\n.\n---\n a | 1 +\n\n-- \n2.39\n", i, i+1))
	}
	library := filepath.Join(filepath.Dir(filepath.Dir(program)), "root/usr/share/perl5")
	byNobody(t, dir, "", "env", "GITPERLLIB="+library+":/usr/share/perl5", "EMAIL=ann@away.example", program, "--quiet", "--confirm=never", "--no-validate", "--from=Ann <ann@away.example>",
		"--sendmail-cmd="+s.path("bin/sendmail"), "--envelope-sender=ann@away.example", "--to=joe@"+me, "0.patch", "1.patch")
	s.settled(2)
	for i := range 2 {
		got := find(t, s.mail("u/joe/Maildir"), fmt.Sprintf("\nSubject: [PATCH %d/2] by git\n", i+1))
		if !strings.HasPrefix(got, "Return-Path: <ann@away.example>\n") || !strings.Contains(got, "\n\nFrom here on.\n.\n---\n") {
			t.Errorf("patch %d arrives as\n%s", i, got)
		}
	}
}

func TestMutt(t *testing.T) {
	mutt, ok := tool(t, "mutt")
	if !ok {
		return
	}
	s := install(t)
	s.start()
	dir := s.desk()
	s.write("desk/muttrc", fmt.Sprintf("set sendmail=%q\nset use_envelope_from=yes\nset from=\"ann@away.example\"\nset copy=no\nset use_domain=no\n", s.path("bin/sendmail")+" -oem -oi"))
	s.write("desk/attached", "attached\n")
	byNobody(t, dir, "a line\n.\n", mutt, "-n", "-F", "muttrc", "-s", "by mutt", "-a", "attached", "--", "joe@"+me)
	s.settled(1)
	got := find(t, s.mail("u/joe/Maildir"), "\nSubject: by mutt\n")
	if !strings.HasPrefix(got, "Return-Path: <ann@away.example>\n") || !strings.Contains(got, "\n\na line\n.\n\n--") || !strings.Contains(got, "\nattached\n") {
		t.Errorf("it arrives as\n%s", got)
	}
	// It reads the Maildir, and leaves what it has shown in cur.
	s.joe("muttrc", "set quit=yes\nset delete=yes\nset move=no\nset wait_key=no\nset confirmcreate=no\nset folder=Maildir\n", 0o644)
	args := []string{"env", "-i", "HOME=" + s.path("u/joe"), "USER=joe", "TERM=vt100", "PATH=/usr/bin:/bin", "timeout", "30", "script", "-qec",
		mutt + " -n -F muttrc -f Maildir -e 'push <display-message><exit><quit>'", "/dev/null"}
	if root {
		args = append([]string{"setpriv", "--reuid", strconv.Itoa(joeUID), "--regid", strconv.Itoa(joeGID), "--clear-groups"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.path("u/joe")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "by mutt") {
		t.Errorf("mutt on the Maildir: %v\n%s", err, out)
	}
	if cur, _ := filepath.Glob(s.path("u/joe/Maildir/cur/*:2,S")); len(cur) != 1 || len(s.mail("u/joe/Maildir")) != 0 {
		t.Errorf("what was read is not in cur: %q", cur)
	}
}

// A list that numbers its messages and sends each subscriber one of his own, by SMTP,
// from an address that names him: what bounces comes back to it and is told apart.
func TestMlmmj(t *testing.T) {
	receive, ok := tool(t, "mlmmj-receive")
	if !ok {
		return
	}
	s := install(t)
	list := s.path("u/joe/club")
	s.joe(".qmail-club", "|"+receive+" -F -L "+list+"\n", 0o644)
	s.joe(".qmail-club-default", "|"+receive+" -F -L "+list+"\n", 0o644)
	s.joe(".qmail-reader", "./Maildir/\n", 0o644)
	port := s.smtpd("RELAYCLIENT=")
	s.mailingList("u/joe/club", port, "joe-reader@"+me, "joe-gone@"+me)
	s.start()
	s.inject("joe-reader@"+me, "joe-club@"+me, "From: joe-reader@"+me+"\nTo: joe-club@"+me+"\nSubject: to the club\n\nHello.\n")
	verp := func(user string) string { return "joe-club-bounces-1-" + user + "=" + me + "@" + me }
	bounce := filepath.Join(list, "bounce", "joe-gone="+me)
	eventually(t, "the bounce to be noted", func() bool { _, err := os.Stat(bounce); return err == nil })
	got := find(t, s.mail("u/joe/Maildir"), "\nSubject: to the club\n")
	if !strings.HasPrefix(got, "Return-Path: <"+verp("joe-reader")+">\nDelivered-To: joe-reader@"+me+"\n") {
		t.Errorf("the reader has\n%s", got)
	}
	if text, err := os.ReadFile(bounce); err != nil || !strings.HasPrefix(string(text), "1:") {
		t.Errorf("the list has noted %q, %v", text, err)
	}
	if others, _ := filepath.Glob(filepath.Join(list, "bounce", "*reader*")); others != nil {
		t.Errorf("the list has noted bounces of somebody who reads it: %q", others)
	}
	s.empty()
}

// mailingList makes a list as mlmmj-make-ml does, which sends by that port.
func (s *suite) mailingList(rel string, port int, subscribers ...string) {
	for _, dir := range []string{"", "incoming", "queue", "queue/discarded", "archive", "text", "subconf", "unsubconf", "bounce",
		"control", "moderation", "subscribers.d", "digesters.d", "requeue", "nomailsubs.d"} {
		s.mkdir(filepath.Join(rel, dir), 0o755, joeUID, joeGID)
	}
	for name, text := range map[string]string{
		"index": "", "control/listaddress": "joe-club@" + me + "\n", "control/owner": "joe@" + me + "\n", "control/delimiter": "-\n",
		"control/relayhost": "127.0.0.1\n", "control/smtpport": strconv.Itoa(port) + "\n",
		"subscribers.d/j": strings.Join(subscribers, "\n") + "\n",
	} {
		s.joe(strings.TrimPrefix(rel, "u/joe/")+"/"+name, text, 0o644)
	}
}
