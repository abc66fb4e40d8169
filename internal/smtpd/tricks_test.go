package smtpd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/conf"
)

// tricks are recipients by which hosts have been made to relay. None may get to a host
// other than this: it is refused, or it is a mailbox at a domain in rcpthosts whatever
// else its name says, or it has no domain at all.
var tricks = []struct {
	path  string // of RCPT
	stays string // the recipient that is queued; "" where it is refused
}{
	{"<x@evil.example>", ""},
	{"<X@EVIL.Example>", ""},
	{"x@evil.example", ""},
	{" <x@evil.example> ", ""},
	{"<x@evil.example", ""},
	{"<<x@evil.example>>", ""},
	{"<x@evil.example>@here.example", ""},
	{"<x@evil.example><x@here.example>", ""},
	{"here.example <x@evil.example>", ""},
	{"<x@here.example> <x@evil.example>", "x@here.example"},
	{"<x@evil.example> NOTIFY=NEVER ORCPT=rfc822;x@here.example", ""},

	// Percent, bang, and more than one at.
	{"<x%evil.example@here.example>", "x%evil.example@here.example"},
	{"<x%evil.example%here.example@evil.example>", ""},
	{"<x%evil.example>", "x%evil.example"},
	{"<x%evil.example@>", ""},
	{"<evil.example!x@here.example>", "evil.example!x@here.example"},
	{"<here.example!x@evil.example>", ""},
	{"<evil.example!x>", "evil.example!x"},
	{"<x@evil.example@here.example>", "x@evil.example@here.example"},
	{"<x@here.example@evil.example>", ""},
	{"<x%here.example@evil.example>", ""},
	{"<@here.example@evil.example>", ""},
	{"<x@evil.example,x@here.example>", "x@evil.example,x@here.example"},
	{"<x@here.example,x@evil.example>", ""},
	{"<x@here.example x@evil.example>", ""},
	{"<x@here.example;evil.example>", ""},

	// Quoted.
	{`<"x@evil.example">`, ""},
	{`<"x@evil.example"@here.example>`, "x@evil.example@here.example"},
	{`<"x@here.example"@evil.example>`, ""},
	{`<"x"@evil.example>`, ""},
	{`<x@"evil.example">`, ""},
	{`<x@evil\.example>`, ""},
	{`<x\@evil.example>`, ""},
	{`<"x%evil.example"@here.example>`, "x%evil.example@here.example"},
	{`<"x@evil.example>"@here.example>`, "x@evil.example>@here.example"},
	{`<"x@here.example>"@evil.example>`, ""},
	{`"<x@here.example>" <x@evil.example>`, "x@here.example"},
	{`<"x@evil.example`, ""},
	{`<x@here.example(@evil.example)>`, ""},
	{`<x@evil.example(@here.example)>`, ""},

	// Source routes.
	{"<@here.example:x@evil.example>", ""},
	{"<@here.example,@evil.example:x@evil.example>", ""},
	{"<@evil.example:x@here.example>", "x@here.example"},
	{"<@here.example:@here.example:x@evil.example>", ""},
	{"@here.example:x@evil.example", ""},
	{"<@here.example>", ""},
	{"<@evil.example>", ""},

	// Addresses of hosts, this one among them: what is at this host is at localiphost.
	{"<x@[192.0.2.77]>", ""},
	{"<x@192.0.2.77>", ""},
	{"<x@[IPv6:2001:db8::77]>", ""},
	{"<x@[127.0.0.1]>", "x@here.example"},
	{"<x@[IPv6:::1]>", "x@here.example"},
	{"<x@[ipv6:0:0:0:0:0:0:0:1]>", "x@here.example"},
	{"<x%evil.example@[127.0.0.1]>", "x%evil.example@here.example"},
	{"<x@evil.example@[127.0.0.1]>", "x@evil.example@here.example"},
	{"<x@127.0.0.1>", ""},
	{"<x@[::1]>", ""},
	{"<x@[IPv6:127.0.0.1]>", ""},
	{"<x@[IPv6:::ffff:192.0.2.77]>", ""},
	{"<x@[127.0.0.1].evil.example>", ""},
	{"<x@[127.0.0.257]>", ""},
	{"<x@[127.1]>", ""},
	{"<x@2130706433>", ""},
	{"<x@[2130706433]>", ""},
	{"<x@0x7f000001>", ""},
	{"<x@#2130706433>", ""},
	{"<x@[evil.example]>", ""},
	{"<x@[here.example]>", ""},
	{"<x@localhost>", ""},

	// Domains that look like one of this host's.
	{"<x@evil.example.>", ""},
	{"<x@here.example.>", ""},
	{"<x@here.example..>", ""},
	{"<x@.here.example>", ""},
	{"<x@sub.here.example>", ""},
	{"<x@evilhere.example>", ""},
	{"<x@here.example.evil.example>", ""},
	{"<x@evil.example.here.example>", ""},
	{"<x@sub.example>", ""},
	{"<x@evil.sub.example>", "x@evil.sub.example"},
	{"<x@evilsub.example>", ""},
	{"<x@HERE.example>", "x@HERE.example"},
	{"<x@mixed.EXAMPLE>", "x@mixed.EXAMPLE"},
	{"<x@here.example >", ""},
	{"<x@ here.example>", ""},
	{"<x@here.example\t>", ""},
	{"<x@here.ex\xd0\xb0mple>", ""},                              // a Cyrillic a
	{"<x@h\xc3\xa8re.example>", ""},                              // an accent
	{"<x@here\xe3\x80\x82example>", ""},                          // an ideographic full stop
	{"<x@\xef\xbd\x88ere.example>", ""},                          // a wide h
	{"<x@here.ex\xc2\xadample>", ""},                             // a soft hyphen
	{"<x@xn--hre-5ma.example>", ""},                              //
	{"<x@HERE.EXAMP\xc4\xbfE>", ""},                              // a capital that is none of ASCII's
	{"<x@here.example\xe2\x80\x8b>", ""},                         // a space of no width
	{"<x@here.example\xff>", ""},                                 // nothing at all
	{"<x@mi\xe1\xba\x8bed.example>", ""},                         //
	{"<x\xef\xbc\xa0evil.example>", "x\xef\xbc\xa0evil.example"}, // a wide at
	{"<x\xef\xbc\xa0here.example@evil.example>", ""},

	// None, and names that are not at a host.
	{"<>", ""},
	{"", ""},
	{"<", ""},
	{"@", ""},
	{"<@>", ""},
	{"<x@>", ""},
	{"x", "x"},
	{"<evil.example>", "evil.example"},
	{"<|/bin/sh>", "|/bin/sh"},
	{"</dev/null>", "/dev/null"},
	{"<:include:/etc/passwd>", ":include:/etc/passwd"},
}

// queuedFor returns the recipients that reached the queue, and how many messages did.
func queuedFor(t *testing.T) (recipients []string, messages int) {
	t.Helper()
	path := filepath.Join(conf.Home, "envelopes")
	b, _ := os.ReadFile(path)
	os.Remove(path)
	for _, e := range strings.SplitAfter(string(b), "\x00\x00") {
		if !strings.HasSuffix(e, "\x00\x00") {
			continue
		}
		messages++
		for _, record := range strings.Split(e, "\x00") {
			if to, ok := strings.CutPrefix(record, "T"); ok {
				recipients = append(recipients, to)
			}
		}
	}
	return recipients, messages
}

// keepEnvelopes has the queue of the home keep all that it is given.
func keepEnvelopes(t *testing.T) {
	t.Helper()
	script := "#!/bin/sh\ncat >message; cat <&1 >>envelopes\n"
	if err := os.WriteFile(filepath.Join(conf.Home, "bin/qmail-queue"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// With every state of rcpthosts each recipient is tried alone, and then all of them
// together behind MAIL, in one piece as by a client that pipelines.
func TestTricks(t *testing.T) { both(t, testTricks) }

func testTricks(t *testing.T, m manner) {
	for name, c := range map[string]struct {
		special files
		serves  bool // what is listed in rcpthosts
	}{
		"present": {nil, true},
		"empty":   {files{"rcpthosts": ""}, false},
		"missing": {files{"rcpthosts": absent}, false},
	} {
		t.Run(name, func(t *testing.T) {
			special := files{"localiphost": "here.example\n"}
			for file, contents := range c.special {
				special[file] = contents
			}
			home(t, special, 0)
			keepEnvelopes(t)
			in, want, recipients := sender, hi+ok, []string(nil)
			for _, trick := range tricks {
				in += "RCPT TO:" + trick.path + "\r\n"
				refused := trick.stays == "" && !isNobody(trick.path)
				if !c.serves && strings.Contains(trick.stays, "@") {
					refused = true
				}
				if refused {
					want += notHere
					continue
				}
				want += ok
				recipients = append(recipients, trick.stays)
			}
			out, status := m.converse(t, peer, in+"DATA\r\nx\r\n.\r\nQUIT\r\n", 1<<20)
			if status != 0 || !strings.HasPrefix(out, want) {
				told, wanted := strings.SplitAfter(strings.TrimPrefix(out, hi+ok), "\n"), strings.SplitAfter(strings.TrimPrefix(want, hi+ok), "\n")
				for i, trick := range tricks {
					if told[i] != wanted[i] {
						t.Errorf("RCPT TO:%s: told %q, want %q", trick.path, told[i], wanted[i])
					}
				}
			}
			got, messages := queuedFor(t)
			if messages != 1 || strings.Join(got, "\n") != strings.Join(recipients, "\n") {
				t.Errorf("%d messages, for\n%q, want\n%q", messages, got, recipients)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		home(t, files{"rcpthosts": absent}, 0)
		keepEnvelopes(t)
		if err := os.Mkdir(filepath.Join(conf.Home, "control/rcpthosts"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, trick := range tricks {
			out, status := m.converse(t, peer, sender+"RCPT TO:"+trick.path+"\r\n"+send, 1<<20)
			if want := "421 unable to read controls (#4.3.0)\r\n"; out != want || status != 1 {
				t.Errorf("RCPT TO:%s: told %q, status %d", trick.path, out, status)
			}
		}
		if got, messages := queuedFor(t); messages != 0 {
			t.Errorf("%d messages are queued, for %q", messages, got)
		}
	})
}

// isNobody reports whether a path is that of no address, which is accepted and goes to
// nobody but this host's own envnoathost.
func isNobody(path string) bool { return parsePath("TO:"+path) == "" }

// smuggled is a second message that a client has behind what may look like the end of
// the first one.
const smuggled = "MAIL FROM:<forged@here.example>\r\nRCPT TO:<victim@here.example>\r\nDATA\r\nsmuggled\r\n.\r\n"

// What may look like the end of a message, to this host or to the one before it.
var ends = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r.\n", "\n.\r", "\n\n.\n\n", "\n\n.\r\n", "\r\n.\n\n",
	"\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n.\x00\r\n", "\r\n\x00.\r\n", "\r\n. \r\n", "\r\n .\r\n", "\r\n..\r\n", "\r\n.\r\x00\n",
	"\x85.\x85", "\xe2\x80\xa8.\xe2\x80\xa8", "\x0b.\x0b", "\r\n.\x0c\r\n", "\n.\r\r\n", "\r\n\r.\r\n", "\r\n.\r.\r\n",
}

// The end of a message is CR LF . CR LF and nothing else: with all else there is one
// message or none, and never a second one out of the text of the first.
func TestSmuggling(t *testing.T) { both(t, testSmuggling) }

func testSmuggling(t *testing.T, m manner) {
	home(t, nil, 0)
	keepEnvelopes(t)
	for _, end := range ends {
		for _, piece := range []int{1, 1 << 20} {
			in := transaction + "DATA\r\nSubject: s\r\n\r\ntext" + end + smuggled + "QUIT\r\n"
			out, status := m.converse(t, peer, in, piece)
			recipients, messages := queuedFor(t)
			bare := strings.Contains(strings.ReplaceAll(end, "\r\n", ""), "\n")
			switch {
			case bare && (messages != 0 || status != 1 || !strings.HasSuffix(out, bareLF)):
				t.Errorf("%q: %d messages, told %q, want that a bare LF ends the session", end, messages, out)
			case !bare && (messages != 1 || strings.Join(recipients, ",") != "x@here.example" || strings.Count(out, "354 ") != 1):
				t.Errorf("%q: %d messages for %q, told %q, want one", end, messages, recipients, out)
			}
		}
	}
}

// A line of a command ends with LF, and with CR only before that: what others may take
// for two commands is one.
func TestSmuggledCommands(t *testing.T) { both(t, testSmuggledCommands) }

func testSmuggledCommands(t *testing.T, m manner) {
	home(t, nil, 0)
	keepEnvelopes(t)
	for _, c := range []struct{ in, out string }{
		{"NOOP\rRCPT TO:<x@evil.example>\r\n", unknown},
		{"NOOP \rRCPT TO:<x@evil.example>\r\n", ok},
		{sender + "RCPT TO:<x@here.example>\rRCPT TO:<x@evil.example>\r\n", ok + ok},
		{sender + "RCPT TO:<x@here.example\r>\r\n", ok + notHere},
		{sender + "RCPT TO:<x@here.example\x00@evil.example>\r\n", ok + ok},
		{sender + "RCPT TO:<x@evil.example\x00@here.example>\r\n", ok + notHere},
		{sender + "RCPT\tTO:<x@here.example>\r\n", ok + unknown},
		{sender + "RCPT TO:<x@here.example>\x85RCPT TO:<x@evil.example>\r\n", ok + ok},
		{"MAIL FROM:<a@b.example>\nRCPT TO:<x@evil.example>\n", ok + notHere},
		{"HELO x\r\nHELO RCPT TO:<x@evil.example>\r\n", welcome + welcome},
	} {
		out, status := m.converse(t, peer, c.in+"QUIT\r\n", 1<<20)
		if want := hi + c.out + bye; out != want || status != 0 {
			t.Errorf("%q: told %q, want %q", c.in, out, want)
		}
	}
	// What comes in one piece with a message is a command after its end and not before.
	in := transaction + "DATA\r\nRCPT TO:<x@evil.example>\r\n.\r\nRCPT TO:<x@here.example>\r\nDATA\r\nQUIT\r\n"
	out, _ := m.converse(t, peer, in, 1<<20)
	if recipients, messages := queuedFor(t); messages != 1 || strings.Join(recipients, ",") != "x@here.example" || !strings.HasSuffix(out, mailFirst+mailFirst+bye) {
		t.Errorf("%d messages for %q, told %q", messages, recipients, out)
	}
}
