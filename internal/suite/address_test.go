package suite

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What qmail-send and qmail-local make of addresses, from the envelope to the
// mailbox or to the other host.

// enter puts a message into the queue with an envelope of just these addresses.
func (s *suite) enter(sender string, recipients []string, message string) {
	s.t.Helper()
	envelope := "F" + sender + "\x00"
	for _, r := range recipients {
		envelope += "T" + r + "\x00"
	}
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	go func() {
		w.WriteString(envelope + "\x00")
		w.Close()
	}()
	defer s.queuesByHand()()
	cmd := exec.Command(s.path("bin/qmail-queue"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(message), r, os.Stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("qmail-queue: %v", err)
	}
}

func TestRewriting(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", ":"+far.route()+"\n")
	s.control("envnoathost", "Virt.example\n")
	s.control("percenthack", "hack.example\nhack2.example\n")
	s.control("virtualdomains", `virt.example:joe-wrong
virt.example:joe-virt
.virt.example:joe-sub
not.virt.example:
one@full.example:joe-full
full.example:joe-dom
one@me.example:joe-never
`)
	for _, list := range []string{"virt", "sub"} {
		s.joe(".qmail-"+list+"-default", "./Maildir/\n", 0o644)
	}
	s.joe(".qmail-full-default", "|echo no; echo; echo entry; exit 100\n", 0o644)
	s.joe(".qmail-dom-default", "|echo no; exit 100\n", 0o644)
	s.maildir("u/joe/bounces")
	s.joe(".qmail-bounces", "./bounces/\n", 0o644)
	recipients := map[string]string{ // as given and as in the log
		"Any.One@Virt.example":                           "local joe-virt-Any.One@Virt.example",
		"noat":                                           "local joe-virt-noat@Virt.example",
		"x@deep.down.virt.example":                       "local joe-sub-x@deep.down.virt.example",
		"x@not.VIRT.example":                             "remote x@not.VIRT.example",
		"one@full.example":                               "local joe-full-one@full.example",
		"two@Full.example":                               "local joe-dom-two@Full.example",
		"x@sub.full.example":                             "remote x@sub.full.example",
		"joe%me.example@hack.example":                    "local joe@me.example",
		"joe%virt.example%HACK2.example@Hack.example":    "local joe-virt-joe@virt.example",
		"plain@hack.example":                             "remote plain@hack.example",
		"not%a.hack@elsewhere.example":                   "remote not%a.hack@elsewhere.example",
		"ONE@ME.example":                                 "local ONE@ME.example",
		"\"quoted local\" part@with@ats@far.example":     "remote \"quoted local\" part@with@ats@far.example",
		"joe%virt.example@hack.example@literal.[1.2.3.4": "remote joe%virt.example@hack.example@literal.[1.2.3.4",
	}
	var given []string
	for r := range recipients {
		given = append(given, r)
	}
	s.start()
	s.enter("joe-bounces@"+me, given, "Subject: rewritten\n\nbody\n")
	s.settled(2)
	log := s.logged()
	for r, want := range recipients {
		if !strings.Contains(log, " to "+safeAddress(want)+"\n") {
			t.Errorf("%q was not delivered to %s", r, want)
		}
	}
	if n := strings.Count(log, "starting delivery "); n != len(recipients)+1 {
		t.Errorf("%d deliveries, want %d", n, len(recipients)+1)
	}
	mail := s.mail("u/joe/Maildir")
	for _, to := range []string{"joe-virt-Any.One@Virt.example", "joe-sub-x@deep.down.virt.example", "joe@me.example", "joe-virt-joe@virt.example", "joe-virt-noat@Virt.example"} {
		find(t, mail, "Return-Path: <joe-bounces@me.example>\nDelivered-To: "+to+"\n")
	}
	// The bounce names addresses as the sender knows them, but for one that was
	// virtual by itself.
	bounces := s.mail("u/joe/bounces")
	if len(bounces) != 1 {
		t.Fatalf("%d bounces", len(bounces))
	}
	for _, paragraph := range []string{
		"\n\n<two@Full.example>:\nno\n\n",
		"\n\n<joe-full-one@full.example>:\nno\n/entry\n\n",
		"\n\n<ONE@ME.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n",
	} {
		if !strings.Contains(bounces[0], paragraph) {
			t.Errorf("the bounce has no paragraph %q:\n%s", paragraph, bounces[0])
		}
	}
	var sent []string
	for _, m := range far.taken() {
		sent = append(sent, m.to...)
	}
	for _, want := range []string{"<x@not.VIRT.example>", `<"\"quoted local\" part@with@ats"@far.example>`} {
		if !strings.Contains(strings.Join(sent, "\n"), want) {
			t.Errorf("%s is not among what the other host was told: %q", want, sent)
		}
	}
}

// safeAddress is an address as the log shows it, after local or remote.
func safeAddress(s string) string {
	kind, address, _ := strings.Cut(s, " ")
	return kind + " " + safe(address)
}

// A list with an owner, and one whose bounces tell which subscriber they are about.
func TestLists(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	bad := serve(t, script{"RCPT": "550 unknown"})
	s.control("smtproutes", fmt.Sprintf("far.example:%s\nbad.example:%s\n", far.route(), bad.route()))
	members := "&sub@far.example\n&joe-sub@" + me + "\nGone@Bad.example\n"
	s.joe(".qmail-plain", members, 0o644)
	s.joe(".qmail-plain-owner", "./owner/\n", 0o644)
	s.joe(".qmail-verp", "+list\n"+members, 0o644)
	s.joe(".qmail-verp-owner", "./owner/\n", 0o644)
	s.joe(".qmail-verp-owner-default", "|echo \"$DEFAULT\" >>defaults\n./owner/\n", 0o644)
	s.joe(".qmail-none", members, 0o644)
	s.joe(".qmail-sub", "./Maildir/\n", 0o644)
	s.maildir("u/joe/owner")
	s.maildir("u/joe/sender")
	s.joe(".qmail-sender", "./sender/\n", 0o644)
	s.start()
	for _, list := range []string{"plain", "Verp", "none"} {
		s.inject("joe-sender@"+me, "joe-"+list+"@"+me, "Subject: to "+list+"\n\n")
	}
	s.settled(9) // the messages, what the lists forward, and three bounces
	for list, from := range map[string]string{
		"plain": "joe-plain-owner@me.example",
		"Verp":  "joe-Verp-owner-joe-sub=me.example@me.example",
		"none":  "joe-sender@me.example",
	} {
		got := find(t, s.mail("u/joe/Maildir"), "\nSubject: to "+list+"\n")
		want := "Return-Path: <" + from + ">\nDelivered-To: joe-sub@me.example\nReceived: "
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "\nDelivered-To: joe-"+list+"@me.example\n") {
			t.Errorf("%s: the subscriber here got\n%s", list, got)
		}
		sender := strings.ReplaceAll(from, "joe-sub=me.example", "sub=far.example")
		n := 0
		for _, m := range far.taken() {
			if m.from == "<"+sender+">" && m.to[0] == "<sub@far.example>" && strings.Contains(m.text, "\nSubject: to "+list+"\n") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: the subscriber elsewhere got %d messages from %s", list, n, sender)
		}
	}
	if !strings.Contains(s.logged(), " from <joe-Verp-owner-@me.example-@[]> ") {
		t.Error("the log has no sender of a list with addresses for each subscriber")
	}
	for _, c := range []struct{ dir, to string }{
		{"owner", "joe-plain-owner@me.example"},
		{"owner", "joe-Verp-owner-@me.example"}, // ours is one bounce for all of a message's recipients
		{"sender", "joe-sender@me.example"},
	} {
		bounce := find(t, s.mail("u/joe/"+c.dir), "Delivered-To: "+c.to+"\n")
		if !strings.HasPrefix(bounce, "Return-Path: <>\n") || !strings.Contains(bounce, "\n<Gone@Bad.example>:\n") {
			t.Errorf("%s got\n%s", c.to, bounce)
		}
	}
	// The copy inside the bounce has the sender without the mark.
	find(t, s.mail("u/joe/owner"), "\n\nReturn-Path: <joe-Verp-owner-@me.example>\n")
	s.inject("", "joe-Verp-owner-Gone=Bad.example@"+me, "Subject: somebody else's bounce\n\n")
	s.settled(10)
	if b, _ := os.ReadFile(s.path("u/joe/defaults")); string(b) != "\nGone=Bad.example\n" {
		t.Errorf("DEFAULT was %q", b)
	}
}
