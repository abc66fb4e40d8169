package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// How qmail-send manages the queue: what it rereads, when it gives up, and how it
// stops.

func TestReread(t *testing.T) {
	s := install(t)
	s.excuse(declined, "control/ itself is changed")
	far := serve(t, nil)
	s.control("smtproutes", ":"+far.route()+"\n")
	s.joe(".qmail-v-x", "./Maildir/\n", 0o644)
	send := s.start()
	recipients := []string{"joe@new.example", "x@virt.example"}
	s.enter("joe@"+me, recipients, "\n")
	s.settled(1)
	if n := far.recipients(); n != 2 {
		t.Fatalf("%d messages went to the other host before there was a change, want 2", n)
	}
	// Both files or none: one cannot be read.
	s.control("locals", me+"\nnew.example\n")
	s.mkdir("control/virtualdomains", 0o755, 0, 0)
	send.Process.Signal(syscall.SIGHUP)
	s.wait("\nalert: unable to reread control/virtualdomains\n")
	s.enter("joe@"+me, recipients, "\n")
	s.settled(2)
	if n := far.recipients(); n != 4 {
		t.Fatalf("%d messages went to the other host after half a change, want 4", n)
	}
	if err := os.Remove(s.path("control/virtualdomains")); err != nil {
		t.Fatal(err)
	}
	s.control("virtualdomains", "virt.example:joe-v\n")
	send.Process.Signal(syscall.SIGHUP)
	s.enter("joe@"+me, recipients, "\n")
	s.settled(3)
	mail := s.mail("u/joe/Maildir")
	if len(mail) != 2 {
		t.Fatalf("%d messages came here after the change, want 2", len(mail))
	}
	find(t, mail, "Delivered-To: joe@new.example\n")
	find(t, mail, "Delivered-To: joe-v-x@virt.example\n")
}

// A message that has been in the queue too long gets one more attempt.
func TestLifetime(t *testing.T) {
	for _, lifetime := range []string{"0", "1"} {
		s := install(t)
		ill := serve(t, script{"MAIL": "451 later"})
		s.control("smtproutes", ":"+ill.route()+"\n")
		s.control("queuelifetime", lifetime+"\n")
		send := s.start()
		s.inject("joe@"+me, "you@ill.example", "Subject: old\n\n")
		s.outcome("you@ill.example", 1)
		last := func() string {
			all := s.outcomes()["you@ill.example"]
			return all[len(all)-1]
		}
		eventually(t, "the message to be too old", func() bool {
			send.Process.Signal(syscall.SIGALRM)
			return strings.HasPrefix(last(), "failure: ")
		})
		text := "Connected to 127.0.0.1 but sender was rejected.\nRemote host said: 451 later\n"
		gone := "I'm not going to try again; this message has been in the queue too long.\n"
		if want := "failure: " + safe(text+gone); last() != want {
			t.Errorf("lifetime %s: the last attempt was a %s, want %s", lifetime, last(), want)
		}
		s.settled(2)
		find(t, s.mail("u/joe/Maildir"), "\n\n<you@ill.example>:\n"+text+gone+"\n--- Below")
		send.stop()
	}
}

func TestDoubleAndTripleBounces(t *testing.T) {
	s := install(t)
	s.control("doublebounceto", "joe-double\n")
	s.control("doublebouncehost", "localhost\n")
	s.control("bouncefrom", "robot with \"a name\"\n")
	s.control("bouncehost", "bounces.example\n")
	s.joe(".qmail-double", "./Maildir/\n", 0o644)
	s.start()
	s.inject("", "joe-nobody@"+me, "Subject: bounce\n\nlost\n")
	s.settled(2)
	mail := s.mail("u/joe/Maildir")
	if len(mail) != 1 {
		t.Fatalf("%d double bounces came", len(mail))
	}
	got := mask(mail[0])
	from := "; DATE -0000\nDate: DATE -0000\nFrom: \"robot with \\\"a name\\\"\"@bounces.example\nTo: joe-double@localhost\nSubject: failure notice\n\n" +
		"Hi. This is the qmail-send program at bounces.example.\n" +
		"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n" +
		"<joe-nobody@me.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n" +
		"--- Below this line is the original bounce.\n\nReturn-Path: <>\nReceived: "
	if !strings.HasPrefix(got, "Return-Path: <#@[]>\nDelivered-To: joe-double@localhost\nReceived: ") || !strings.Contains(got, from) || !strings.HasSuffix(got, "\nSubject: bounce\n\nlost\n") {
		t.Errorf("the double bounce is\n%s\nwithout\n%s", got, from)
	}
	// When that cannot be delivered either, nobody is told.
	s.joe(".qmail-double", "|echo full; exit 100\n", 0o644)
	s.inject("", "joe-nobody@"+me, "Subject: bounce\n\n")
	s.settled(4)
	if got := mask(s.logged()); !strings.HasSuffix(got, `
info msg #: bytes # from <#@[]> qp # uid #
starting delivery 4: msg # to local joe-double@localhost
status: local 1/10 remote 0/20
delivery 4: failure: full/
status: local 0/10 remote 0/20
triple bounce: discarding bounce/`+lastID(s.logged())+`
end msg #
`) {
		t.Errorf("the log ends in\n%s", tail(got, 800))
	}
	s.empty()
}

// lastID returns the number of the message that the log mentions last.
func lastID(log string) string {
	id := log[strings.LastIndex(log, " msg ")+5:]
	return strings.TrimSpace(id)
}

// With no deliveries allowed local mail stays where it is, while the rest goes on.
func TestConcurrencyZero(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", ":"+far.route()+"\n")
	s.control("concurrencylocal", "0\n")
	s.control("concurrencyremote", "300\n") // more than the spawner takes
	send := s.start()
	s.inject("x@far.example", "joe@"+me, "Subject: held\n\n")
	s.wait("info msg ")
	s.inject("x@far.example", "you@far.example", "Subject: not held\n\n")
	s.settled(1)
	if log := s.logged(); strings.Contains(log, " to local ") || !strings.HasPrefix(log, "status: local 0/0 remote 0/120\n") {
		t.Errorf("the log is\n%s", log)
	}
	send.stop()
	s.control("concurrencylocal", "1\n")
	s.start()
	s.settled(2)
	find(t, s.mail("u/joe/Maildir"), "\nSubject: held\n")
}

// TERM starts nothing more and waits for what has been started.
func TestTermWaits(t *testing.T) {
	s := install(t)
	ill := serve(t, script{"RCPT": "450 later"})
	s.control("smtproutes", ":"+ill.route()+"\n")
	s.joe(".qmail-wait-default", "|cat go-$DEFAULT\n./Maildir/\n", 0o644)
	for _, name := range []string{"1", "2"} {
		path := s.path("u/joe/go-" + name)
		if err := unix.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	send := s.start()
	s.inject("x@"+me, "you@ill.example", "Subject: later\n\n")
	s.outcome("you@ill.example", 1)
	s.inject("x@"+me, "joe-wait-1@"+me, "Subject: one\n\n")
	s.inject("x@"+me, "joe-wait-2@"+me, "Subject: two\n\n")
	s.wait(" to local joe-wait-2@")
	s.wait(" to local joe-wait-1@")
	send.Process.Signal(syscall.SIGTERM)
	let := func(name string) { // opening waits for the delivery's program
		if err := os.WriteFile(s.path("u/joe/go-"+name), []byte("went "+name+"\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
	let("1")
	if got := s.outcome("joe-wait-1@"+me, 1); got != "success: went_1/did_1+0+1/" {
		t.Errorf("the first delivery was a %s", got)
	}
	s.inject("x@"+me, "joe@"+me, "Subject: too late\n\n")
	select {
	case <-send.done:
		t.Fatal("qmail-send did not wait")
	default:
	}
	let("2")
	<-send.done
	if log := mask(s.logged()); !strings.HasSuffix(log, ": success: went_2/did_1+0+1/\nstatus: local 0/10 remote 0/20 exitasap\nend msg #\nstatus: exiting\n") {
		t.Errorf("the log ends in\n%s", tail(log, 500))
	}
	// What is to be tried again is on disk with its time: (0 to 3 seconds old, then
	// 20 more)² after its birth.
	remote, _ := filepath.Glob(s.path("queue/remote/*/*"))
	info, _ := filepath.Glob(s.path("queue/info/*/*"))
	var next, birth time.Time
	for _, name := range remote {
		next = mtime(t, name)
		for _, i := range info {
			if filepath.Base(i) == filepath.Base(name) {
				birth = mtime(t, i)
			}
		}
	}
	if d := next.Unix() - birth.Unix(); len(remote) != 1 || d != 400 && d != 441 {
		t.Errorf("%v is to be tried %d seconds after its birth", remote, d)
	}
	ill.recover()
	s.start()
	s.settled(3)
	if got := fmt.Sprint(len(s.mail("u/joe/Maildir")), ill.met()); got != "3 1" {
		t.Errorf("after the restart: messages here, clients there: %s, want 3 and 1", got)
	}
}

func mtime(t testing.TB, path string) time.Time {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.ModTime()
}
