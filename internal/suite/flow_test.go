package suite

import (
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The first thing a mail system has to do: what comes by SMTP and what a local
// program sends lands in a Maildir, and the log tells it as qmail's does.
func TestLocalDelivery(t *testing.T) {
	s := install(t)
	s.start()
	port := s.smtpd()
	if err := smtp.SendMail(fmt.Sprintf("127.0.0.1:%d", port), nil, "far@away.example", []string{"joe@" + me},
		[]byte("Subject: by smtp\r\n\r\n.dot\r\n")); err != nil {
		t.Fatal(err)
	}
	s.settled(1)
	s.inject("local@"+me, "Joe-Ext@"+me, "Subject: by sendmail\n\nbody\n")
	s.settled(2)
	want := strings.Join([]string{
		"status: local 0/10 remote 0/20",
		"new msg #",
		"info msg #: bytes # from <far@away.example> qp # uid #",
		"starting delivery 1: msg # to local joe@me.example",
		"status: local 1/10 remote 0/20",
		"delivery 1: success: did_1+0+0/",
		"status: local 0/10 remote 0/20",
		"end msg #",
		"new msg #",
		"info msg #: bytes # from <local@me.example> qp # uid #",
		"starting delivery 2: msg # to local Joe-Ext@me.example",
		"status: local 1/10 remote 0/20",
		"delivery 2: failure: Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/",
		"status: local 0/10 remote 0/20",
		"bounce msg # qp #",
		"end msg #",
	}, "\n")
	if got := mask(s.logged()); !strings.HasPrefix(got, want+"\n") {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
	mail := s.mail("u/joe/Maildir")
	if len(mail) != 1 {
		t.Fatalf("%d messages arrived, want 1", len(mail))
	}
	wantMail := "Return-Path: <far@away.example>\nDelivered-To: joe@me.example\n" +
		"Received: (qmail # invoked from network); DATE -0000\n" +
		"Received: from unknown (HELO localhost) (127.0.0.1)\n  by 0 with SMTP; DATE -0000\n" +
		"Subject: by smtp\n\n.dot\n"
	if !root { // everybody is one user, and alias is asked for first
		wantMail = strings.Replace(wantMail, "from network", "by alias", 1)
	}
	if got := mask(mail[0]); got != wantMail {
		t.Errorf("the message is\n%q, want\n%q", got, wantMail)
	}
	// local@me.example cannot be given the bounce either; postmaster gets it, who is
	// forwarded to root, whose mail is in alias's Maildir.
	s.settled(5)
	double := s.mail("alias/Maildir")
	if len(double) != 1 || !strings.Contains(double[0], "the bounce bounced!") || !strings.HasPrefix(double[0], "Return-Path: <#@[]>\nDelivered-To: root@me.example\n") {
		t.Errorf("the double bounce is %q", double)
	}
	s.empty()
}

// Each program runs under its own user, and the files they make belong to whom
// the spec says.
func TestIdentities(t *testing.T) {
	s := install(t)
	s.start()
	want := map[string]string{"qmail-send": "qmails", "qmail-lspawn": "root", "qmail-rspawn": "qmailr", "qmail-clean": "qmailq"}
	for program, user := range want {
		uid := account(t, "passwd", user)
		if !root {
			uid = fmt.Sprint(os.Getuid())
		}
		if got := uidOf(t, program); got != uid {
			t.Errorf("%s runs as %s, want %s (%s)", program, got, uid, user)
		}
	}
	s.joe(".qmail", "|id -u >uid; id -g >gid; id -G >groups; umask >umask; pwd >pwd\n./Maildir/\n", 0o644)
	s.inject("x@"+me, "joe@"+me, "Subject: who\n\n")
	s.settled(1)
	for file, want := range map[string]string{
		"uid": fmt.Sprint(joeUID), "gid": fmt.Sprint(joeGID), "umask": "0077", "pwd": s.path("u/joe"),
	} {
		b, err := os.ReadFile(s.path("u/joe/" + file))
		if err != nil || strings.TrimSpace(string(b)) != want {
			t.Errorf("in the delivery %s is %q, %v, want %s", file, b, err, want)
		}
	}
	if root {
		if b, _ := os.ReadFile(s.path("u/joe/groups")); strings.TrimSpace(string(b)) != fmt.Sprint(joeGID) {
			t.Errorf("the delivery has groups %q, want the one", b)
		}
	}
}

// uidOf returns the effective uid of the process that runs a program of the home.
func uidOf(t *testing.T, program string) string {
	t.Helper()
	for pid, name := range running() {
		if name == program {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				continue
			}
			_, rest, _ := strings.Cut(string(b), "\nUid:\t")
			return strings.Fields(rest)[1]
		}
	}
	t.Fatalf("%s does not run", program)
	return ""
}

// running lists the processes that run programs of the suite's home.
func running() map[int]string {
	out := map[int]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || filepath.Dir(strings.TrimSuffix(exe, " (deleted)")) != filepath.Join(home, "bin") {
			continue
		}
		var pid int
		fmt.Sscanf(link, "/proc/%d/", &pid)
		out[pid] = filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
	}
	return out
}

// endAll kills the programs of the home and returns which they were.
func endAll() (were []string) {
	for pid, name := range running() {
		were = append(were, fmt.Sprintf("%s (%d)", name, pid))
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return were
}

// TERM ends everything that qmail-start has started.
func TestStop(t *testing.T) {
	s := install(t)
	p := s.start()
	p.Process.Signal(syscall.SIGTERM)
	<-p.done
	if !strings.HasSuffix(s.logged(), "status: exiting\n") {
		t.Errorf("the log ends in %q", tail(s.logged(), 200))
	}
	eventually(t, "all programs to go", func() bool { return len(running()) == 0 })
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("qmail-send exited with %d", code)
	}
}

// A second qmail-send must not run on the same queue.
func TestOnlyOne(t *testing.T) {
	s := install(t)
	s.start()
	second := s.spawn(s.log, nil, "bin/qmail-start", "./Maildir/")
	<-second.done
	s.wait("alert: cannot start: qmail-send is already running\n")
	if code := second.ProcessState.ExitCode(); code != 111 {
		t.Errorf("the second exited with %d, want 111", code)
	}
}
