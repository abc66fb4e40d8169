package suite

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Deliveries to other hosts, as they show through the whole chain: in the log, in
// bounces, and in what is tried again.

const died = "Connected to 127.0.0.1 but connection died. (#4.4.2)\n"

// dialogues are hosts that do not do what they should, and a few that do it oddly.
var dialogues = []struct {
	name   string
	script script
	result string // the log's word
	text   string // of the report
}{
	{"good", nil, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},

	{"greet-gone", script{"greeting": hangUp}, "deferral", died},
	{"greet-silent", script{"greeting": silence}, "deferral", died},
	{"greet-slow", script{"greeting": slowly + "220 I am up and running by now really"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
	{"greet-lines", script{"greeting": "220-far\r\n220-away\r\n220 ESMTP"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
	{"greet-421", script{"greeting": "421 busy"}, "deferral", "Connected to 127.0.0.1 but greeting failed.\nRemote host said: 421 busy\n"},
	// What a server says of itself is never the end of a message.
	{"greet-554", script{"greeting": "554-no\r\n554 service"}, "deferral", "Connected to 127.0.0.1 but greeting failed.\nRemote host said: 554-no\n554 service\n"},
	{"greet-nonsense", script{"greeting": "what?"}, "deferral", "Connected to 127.0.0.1 but greeting failed.\nRemote host said: what?\n"},

	{"ehlo-gone", script{"EHLO": hangUp}, "deferral", died},
	{"ehlo-silent", script{"EHLO": silence}, "deferral", died},
	{"ehlo-502", script{"EHLO": "502 what is that"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
	{"ehlo-nonsense", script{"EHLO": "what?"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
	{"helo-gone", script{"EHLO": "502 no", "HELO": hangUp}, "deferral", died},
	{"helo-550", script{"EHLO": "502 no", "HELO": "550 who are you"}, "deferral", "Connected to 127.0.0.1 but my name was rejected.\nRemote host said: 550 who are you\n"},

	{"mail-gone", script{"MAIL": hangUp}, "deferral", died},
	{"mail-silent", script{"MAIL": silence}, "deferral", died},
	{"mail-451", script{"MAIL": "451 later"}, "deferral", "Connected to 127.0.0.1 but sender was rejected.\nRemote host said: 451 later\n"},
	{"mail-550", script{"MAIL": "550-not\r\n550 you"}, "failure", "Connected to 127.0.0.1 but sender was rejected.\nRemote host said: 550-not\n550 you\n"},
	{"mail-nonsense", script{"MAIL": "what?"}, "failure", "Connected to 127.0.0.1 but sender was rejected.\nRemote host said: what?\n"},
	{"mail-short", script{"MAIL": "?"}, "deferral", died}, // the reply goes on after three bytes

	{"rcpt-gone", script{"RCPT": hangUp}, "deferral", died},
	{"rcpt-silent", script{"RCPT": silence}, "deferral", died},
	{"rcpt-450", script{"RCPT": "450 greylisted"}, "deferral", "127.0.0.1 does not like recipient.\nRemote host said: 450 greylisted\nGiving up on 127.0.0.1.\n"},
	{"rcpt-550", script{"RCPT": "550-no such\r\n550-user\r\n550 here"}, "failure", "127.0.0.1 does not like recipient.\nRemote host said: 550-no such\n550-user\n550 here\nGiving up on 127.0.0.1.\n"},
	{"rcpt-nonsense", script{"RCPT": "what?"}, "failure", "127.0.0.1 does not like recipient.\nRemote host said: what?\nGiving up on 127.0.0.1.\n"},

	{"data-gone", script{"DATA": hangUp}, "deferral", died},
	{"data-silent", script{"DATA": silence}, "deferral", died},
	{"data-lines", script{"DATA": "354-go\r\n354 ahead"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
	{"data-451", script{"DATA": "451 no space"}, "deferral", "127.0.0.1 failed on DATA command.\nRemote host said: 451 no space\n"},
	{"data-554", script{"DATA": "554 no thanks"}, "failure", "127.0.0.1 failed on DATA command.\nRemote host said: 554 no thanks\n"},
	{"data-nonsense", script{"DATA": "what?"}, "failure", "127.0.0.1 failed on DATA command.\nRemote host said: what?\n"},

	{"dot-gone", script{"dot": hangUp}, "deferral", "Connected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"},
	{"dot-silent", script{"dot": silence}, "deferral", "Connected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"},
	{"dot-slow", script{"dot": slowly + "250 well well well well well well well taken"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 well well well well well well well taken\n"},
	{"dot-lines", script{"dot": "250-taken\r\n250 as 1"}, "success", "127.0.0.1 accepted message.\nRemote host said: 250-taken\n250 as 1\n"},
	{"dot-452", script{"dot": "452 disk full"}, "deferral", "127.0.0.1 failed after I sent the message.\nRemote host said: 452 disk full\n"},
	{"dot-554", script{"dot": "554 spam"}, "failure", "127.0.0.1 failed after I sent the message.\nRemote host said: 554 spam\n"},
	{"dot-nonsense", script{"dot": "what?"}, "failure", "127.0.0.1 failed after I sent the message.\nRemote host said: what?\n"},

	{"quit-gone", script{"QUIT": hangUp}, "success", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"},
}

func TestRemoteDialogues(t *testing.T) {
	s := install(t)
	s.control("timeoutremote", "2\n")
	s.control("concurrencyremote", "100\n")
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	hosts := map[string]*host{}
	var routes strings.Builder
	for _, d := range dialogues {
		h := serve(t, d.script)
		hosts[d.name] = h
		fmt.Fprintf(&routes, "%s.example:%s\n", d.name, h.route())
	}
	s.control("smtproutes", routes.String())
	send := s.start()
	failures, deferrals := 0, 0
	for _, d := range dialogues {
		s.inject("joe-"+d.name+"@"+me, "You@"+d.name+".example", "Subject: to "+d.name+"\n\n.dot\n")
		switch d.result {
		case "failure":
			failures++
		case "deferral":
			deferrals++
		}
	}
	eventually(t, "all deliveries to end", func() bool {
		return len(s.outcomes()) >= len(dialogues)+failures
	})
	for _, d := range dialogues {
		want := d.result + ": " + safe(d.text)
		if got := s.outcomes()["You@"+d.name+".example"]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: the log says %q, want %q", d.name, got, want)
		}
	}
	s.settled(len(dialogues) - deferrals + failures)
	bounces := s.mail("u/joe/Maildir")
	if len(bounces) != failures {
		t.Errorf("%d bounces came, want %d", len(bounces), failures)
	}
	for _, d := range dialogues {
		if d.result != "failure" {
			continue
		}
		bounce := find(t, bounces, "Delivered-To: joe-"+d.name+"@"+me+"\n")
		paragraph := "\n\n<You@" + d.name + ".example>:\n" + d.text + "\n--- Below this line is a copy of the message.\n\nReturn-Path: <joe-" + d.name + "@" + me + ">\n"
		if !strings.Contains(bounce, paragraph) || !strings.HasSuffix(bounce, "\nSubject: to "+d.name+"\n\n.dot\n") {
			t.Errorf("%s: the bounce is\n%s\nwithout\n%s", d.name, bounce, paragraph)
		}
	}
	// What was deferred is all there still, and arrives once the host is well.
	for _, h := range hosts {
		h.recover()
	}
	send.Process.Signal(syscall.SIGALRM)
	s.settled(len(dialogues) + failures)
	for _, d := range dialogues {
		mail := hosts[d.name].taken()
		if d.result == "failure" {
			if len(mail) != 0 {
				t.Errorf("%s took a message that it had refused", d.name)
			}
			continue
		}
		if len(mail) != 1 || mail[0].from != "<joe-"+d.name+"@"+me+">" || len(mail[0].to) != 1 || mail[0].to[0] != "<You@"+d.name+".example>" ||
			!strings.HasSuffix(mail[0].text, "\nSubject: to "+d.name+"\n\n.dot\n") {
			t.Errorf("%s took %q", d.name, mail)
		}
	}
	s.empty()
}

// Lines of qmail-send's. What a program says that crashes may stand before one.
var (
	reStart = regexp.MustCompile(`(?m)starting delivery (\d+): msg \d+ to (?:local|remote) (.*)$`)
	reEnd   = regexp.MustCompile(`(?m)delivery (\d+): ((?:success|failure|deferral|report mangled).*)$`)
)

// outcomes returns what the log says of the ended deliveries to each recipient.
func (s *suite) outcomes() map[string][]string {
	log := s.logged()
	recipients := map[string]string{}
	for _, m := range reStart.FindAllStringSubmatch(log, -1) {
		recipients[m[1]] = m[2]
	}
	out := map[string][]string{}
	for _, m := range reEnd.FindAllStringSubmatch(log, -1) {
		out[recipients[m[1]]] = append(out[recipients[m[1]]], m[2])
	}
	return out
}

// outcome waits for the n-th delivery to a recipient to end, and returns how.
func (s *suite) outcome(recipient string, n int) string {
	s.t.Helper()
	var got []string
	eventually(s.t, fmt.Sprintf("delivery %d to %s", n, recipient), func() bool {
		got = s.outcomes()[recipient]
		return len(got) >= n
	})
	return got[n-1]
}

// safe is a text as the log shows it.
func safe(text string) string {
	b := []byte(text)
	for i, c := range b {
		switch {
		case c == '\n':
			b[i] = '/'
		case c < 33 || c > 126 || c == '%':
			b[i] = '_'
		}
	}
	return string(b)
}

// find returns the one message that contains a text.
func find(t testing.TB, mail []string, contains string) string {
	t.Helper()
	found := ""
	for _, m := range mail {
		if strings.Contains(m, contains) {
			if found != "" {
				t.Errorf("two messages contain %q", contains)
			}
			found = m
		}
	}
	if found == "" {
		t.Errorf("no message contains %q", contains)
	}
	return found
}

// The log of deliveries to other hosts, line for line, with one retry by SIGALRM.
func TestRemoteLog(t *testing.T) {
	s := install(t)
	well, ill := serve(t, nil), serve(t, script{"RCPT": "450 try again"})
	bad := serve(t, script{"RCPT": "550 unknown"})
	s.control("smtproutes", fmt.Sprintf("well.example:%s\nill.example:%s\nbad.example:%s\n", well.route(), ill.route(), bad.route()))
	send := s.start()
	const sender = "joe@" + me
	s.inject(sender, "a%b@Well.example", "Subject: 1\n\n")
	s.settled(1)
	s.inject(sender, "x@bad.example", "Subject: 2\n\n")
	s.settled(3)
	s.inject(sender, "x@ill.example", "Subject: 3\n\n")
	s.wait("delivery 4: deferral: ")
	s.wait("delivery 4: deferral: 127.0.0.1_does_not_like_recipient./Remote_host_said:_450_try_again/Giving_up_on_127.0.0.1./\nstatus: local 0/10 remote 0/20\n")
	ill.recover()
	send.Process.Signal(syscall.SIGALRM)
	s.settled(4)
	want := `status: local 0/10 remote 0/20
new msg #
info msg #: bytes # from <joe@me.example> qp # uid #
starting delivery 1: msg # to remote a_b@Well.example
status: local 0/10 remote 1/20
delivery 1: success: 127.0.0.1_accepted_message./Remote_host_said:_250_taken/
status: local 0/10 remote 0/20
end msg #
new msg #
info msg #: bytes # from <joe@me.example> qp # uid #
starting delivery 2: msg # to remote x@bad.example
status: local 0/10 remote 1/20
delivery 2: failure: 127.0.0.1_does_not_like_recipient./Remote_host_said:_550_unknown/Giving_up_on_127.0.0.1./
status: local 0/10 remote 0/20
bounce msg # qp #
end msg #
new msg #
info msg #: bytes # from <> qp # uid #
starting delivery 3: msg # to local joe@me.example
status: local 1/10 remote 0/20
delivery 3: success: did_1+0+0/
status: local 0/10 remote 0/20
end msg #
new msg #
info msg #: bytes # from <joe@me.example> qp # uid #
starting delivery 4: msg # to remote x@ill.example
status: local 0/10 remote 1/20
delivery 4: deferral: 127.0.0.1_does_not_like_recipient./Remote_host_said:_450_try_again/Giving_up_on_127.0.0.1./
status: local 0/10 remote 0/20
starting delivery 5: msg # to remote x@ill.example
status: local 0/10 remote 1/20
delivery 5: success: 127.0.0.1_accepted_message./Remote_host_said:_250_taken/
status: local 0/10 remote 0/20
end msg #
`
	if got := mask(s.logged()); got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
	s.inject(sender, "a@well.example", "Subject: 5\n\n")
	s.settled(5)
	// Warm, the second message may have gone by the connection of the first.
	if n := well.met(); len(well.taken()) != 2 || n > 2 || *cold && n != 2 {
		t.Errorf("the host that is well has met %d clients and taken %d messages, want 2", n, len(well.taken()))
	}
}
