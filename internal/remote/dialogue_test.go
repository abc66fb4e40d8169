package remote

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Beginnings that many dialogues share, each up to the reply that matters.
var (
	hello = script{">220 hi\r\n", "HELO", ">250 me\r\n"}
	mail1 = then(hello, "<MAIL FROM:<a@b>\r\n")
	rcpt1 = then(mail1, ">250 sender\r\n", "<RCPT TO:<c@d>\r\n")
	data1 = then(rcpt1, ">250 recipient\r\n", "<DATA\r\n")
	text1 = then(data1, ">354 go\r\n", "<hi\r\n.\r\n")
)

func then(s script, steps ...string) script { return append(append(script{}, s...), steps...) }

// Reports that many dialogues end in.
const (
	died       = "ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\x00"
	dup        = "ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\x00"
	noGreeting = "ZConnected to 127.0.0.1 but greeting failed.\n"
	noSender   = "Connected to 127.0.0.1 but sender was rejected.\n"
	dislikes   = "127.0.0.1 does not like recipient.\n"
	givesUp    = "DGiving up on 127.0.0.1.\n\x00"
	noData     = "127.0.0.1 failed on DATA command.\n"
	noText     = "127.0.0.1 failed after I sent the message.\n"
	ok         = "K127.0.0.1 accepted message.\n"
	said       = "Remote host said: "
)

var huge = strings.Repeat("x", 100_000)

// dialogues are conversations with servers that know HELO only. What is reported
// is what the original reports, byte for byte: each was played to it, see golden.
var dialogues = []struct {
	name   string
	server script
	want   string
}{
	{"all well", then(text1, ">250 ok 1\r\n"), "r\x00" + ok + said + "250 ok 1\n\x00"},
	{"lines of many", script{
		">220-one\r\n220-two\r\n220 three\r\n", "HELO", ">250-a\r\n250 b\r\n", "<MAIL FROM:<a@b>\r\n", ">250-\r\n250 \r\n",
		"<RCPT TO:<c@d>\r\n", ">250-x\r\n250 y\r\n", "<DATA\r\n", ">354-x\r\n354 y\r\n", "<hi\r\n.\r\n", ">250-1\r\n250-2\r\n250 3\r\n",
	}, "r\x00" + ok + said + "250-1\n250-2\n250 3\n\x00"},
	{"bare LF", script{
		">220 hi\n", "HELO", ">250\n", "<MAIL FROM:<a@b>\r\n", ">250\n", "<RCPT TO:<c@d>\r\n", ">250 \n", "<DATA\r\n", ">354\n", "<hi\r\n.\r\n", ">250 ok\n",
	}, "r\x00" + ok + said + "250 ok\n\x00"},
	{"replies in pieces", then(script{">22", ">0 h", ">i\r", ">\n"}, text1[1:]...).and(">2", ">5", ">0-\r\n2", ">50 ok", ">\r\n"), "r\x00" + ok + said + "250-\n250 ok\n\x00"},

	{"greeting 421", script{">421 busy\r\n"}, noGreeting + said + "421 busy\n\x00"},
	{"greeting 554", script{">554 go away\r\n"}, noGreeting + said + "554 go away\n\x00"},
	{"greeting 221", script{">221 hi\r\n"}, noGreeting + said + "221 hi\n\x00"},
	{"greeting 250", script{">250 hi\r\n"}, noGreeting + said + "250 hi\n\x00"},
	{"greeting of many lines", script{">554-go\r\n554-far\r\n554 away\r\n"}, noGreeting + said + "554-go\n554-far\n554 away\n\x00"},
	{"greeting last code differs", script{">554-go\r\n220 away\r\n"}, noGreeting + said + "554-go\n220 away\n\x00"},
	{"greeting garbage", script{">hello, world\r\n"}, noGreeting + said + "hello, world\n\x00"},
	{"greeting empty lines", script{">\r\n\r\n\r\n\r\n"}, noGreeting + said + "\n\n\x00"},
	{"greeting with NUL and high bytes", script{">554 \x00\xff\t\r\r\n"}, noGreeting + said + "554 ?\xff\t\n\x00"},
	{"greeting CR only then LF", script{">554 a\rb\n"}, noGreeting + said + "554 ab\n\x00"},
	{"greeting huge", script{">554 " + huge + "\r\n"}, noGreeting + said + "554 " + huge[:4996] + "\x00"},
	{"greeting huge in lines", script{">" + strings.Repeat("554-xxxxx\r\n", 9000) + "554 end\r\n"}, noGreeting + said + strings.Repeat("554-xxxxx\n", 500) + "\x00"},
	{"greeting digits beyond 9", script{">22: x\r\n"}, noGreeting + said + "22: x\n\x00"},
	{"greeting 21:", script{">21: is 220\r\n", "HELO", ">250\r\n", "<MAIL FROM:<a@b>\r\n", ">550 no\r\n"}, "D" + noSender + said + "550 no\n\x00"},
	{"no greeting", script{"CLOSE"}, died},
	{"greeting cut", script{">220 hi", "CLOSE"}, died},
	{"greeting cut after a line", script{">220-hi\r\n22", "CLOSE"}, died},
	{"greeting silent", script{"SILENCE"}, died},
	{"greeting never ends", script{">220 hi", "SILENCE"}, died},

	{"HELO 550", then(hello[:2], ">550 who?\r\n"), "ZConnected to 127.0.0.1 but my name was rejected.\n" + said + "550 who?\n\x00"},
	{"HELO 450", then(hello[:2], ">450 who?\r\n"), "ZConnected to 127.0.0.1 but my name was rejected.\n" + said + "450 who?\n\x00"},
	{"HELO 220", then(hello[:2], ">220 hi\r\n"), "ZConnected to 127.0.0.1 but my name was rejected.\n" + said + "220 hi\n\x00"},
	{"HELO closed", then(hello[:2], "CLOSE"), died},
	{"HELO silent", then(hello[:2], "SILENCE"), died},

	{"MAIL 550", then(mail1, ">550 no\r\n"), "D" + noSender + said + "550 no\n\x00"},
	{"MAIL 450", then(mail1, ">450-no\r\n450 no\r\n"), "Z" + noSender + said + "450-no\n450 no\n\x00"},
	{"MAIL 999", then(mail1, ">999 no\r\n"), "D" + noSender + said + "999 no\n\x00"},
	{"MAIL 399", then(mail1, ">399 well\r\n", "<RCPT TO:<c@d>\r\n", ">250\r\n", "<DATA\r\n", ">451 no\r\n"), "r\x00Z" + noData + said + "451 no\n\x00"},
	{"MAIL garbage", then(mail1, ">no way\r\n"), "D" + noSender + said + "no way\n\x00"},
	{"MAIL below digits", then(mail1, ">/99 \r\n"), "D" + noSender + said + "/99 \n\x00"},
	{"MAIL spaces", then(mail1, ">   hm\r\n"), "D" + noSender + said + "   hm\n\x00"},
	{"MAIL code cut by LF", then(mail1, ">25\n\n", "<RCPT TO:<c@d>\r\n", ">55\n\n"), "h" + dislikes + said + "55\n\n\x00" + givesUp},
	{"MAIL closed", then(mail1, "CLOSE"), died},
	{"MAIL reset", then(mail1, "RESET"), died},

	{"RCPT 550", then(rcpt1, ">550 no\r\n"), "h" + dislikes + said + "550 no\n\x00" + givesUp},
	{"RCPT 450", then(rcpt1, ">450 no\r\n"), "s" + dislikes + said + "450 no\n\x00" + givesUp},
	{"RCPT 354", then(rcpt1, ">354 \r\n", "<DATA\r\n", ">554 no\r\n"), "r\x00D" + noData + said + "554 no\n\x00"},
	{"RCPT 100", then(rcpt1, ">100 \r\n", "<DATA\r\n", ">554 no\r\n"), "r\x00D" + noData + said + "554 no\n\x00"},
	{"RCPT huge", then(rcpt1, ">550-"+huge+"\r\n550 x\r\n"), "h" + dislikes + said + "550-" + huge[:4996] + "\x00" + givesUp},
	{"RCPT NUL", then(rcpt1, ">550 \x00\x00\r\n"), "h" + dislikes + said + "550 ??\n\x00" + givesUp},
	{"RCPT closed", then(rcpt1, "CLOSE"), died},
	{"RCPT cut", then(rcpt1, ">550", "CLOSE"), died},

	{"DATA 550", then(data1, ">550 no\r\n"), "r\x00D" + noData + said + "550 no\n\x00"},
	{"DATA 450", then(data1, ">450 no\r\n"), "r\x00Z" + noData + said + "450 no\n\x00"},
	{"DATA 250", then(data1, ">250 well\r\n", "<hi\r\n.\r\n", ">250 ok\r\n"), "r\x00" + ok + said + "250 ok\n\x00"},
	{"DATA garbage", then(data1, ">what\r\n"), "r\x00D" + noData + said + "what\n\x00"},
	{"DATA closed", then(data1, "CLOSE"), "r\x00" + died},
	{"DATA silent", then(data1, "SILENCE"), "r\x00" + died},

	{"dot 250 of two lines", then(text1, ">250-ok\r\n250 qp 1\r\n"), "r\x00" + ok + said + "250-ok\n250 qp 1\n\x00"},
	{"dot 354", then(text1, ">354 more\r\n"), "r\x00" + ok + said + "354 more\n\x00"},
	{"dot 450", then(text1, ">450 full\r\n"), "r\x00Z" + noText + said + "450 full\n\x00"},
	{"dot 550", then(text1, ">550 spam\r\n"), "r\x00D" + noText + said + "550 spam\n\x00"},
	{"dot garbage", then(text1, ">:-)\r\n"), "r\x00D" + noText + said + ":-)\n\x00"},
	{"dot huge", then(text1, ">250 "+huge+"\r\n"), "r\x00" + ok + said + "250 " + huge[:4996] + "\x00"},
	{"dot closed", then(text1, "CLOSE"), "r\x00" + dup},
	{"dot reset", then(text1, "RESET"), "r\x00" + dup},
	{"dot silent", then(text1, "SILENCE"), "r\x00" + dup},
	{"dot cut", then(text1, ">250 o", "CLOSE"), "r\x00" + dup},
	{"dot early", then(text1[:len(text1)-1], ">250 ok\r\n", "<hi\r\n.\r\n"), "r\x00" + ok + said + "250 ok\n\x00"},
}

func (s script) and(steps ...string) script { return then(s, steps...) }

// golden reads what the original reported, by the name of the dialogue.
func golden(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../testdata/remote/reports")
	if err != nil {
		t.Fatal(err)
	}
	reports := make(map[string]string)
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		name, report, _ := strings.Cut(line, "\t")
		if name, err = strconv.Unquote(name); err != nil {
			t.Fatal(err)
		}
		if reports[name], err = strconv.Unquote(report); err != nil {
			t.Fatal(err)
		}
	}
	return reports
}

func TestGolden(t *testing.T) {
	original := golden(t)
	for _, c := range dialogues {
		if original[c.name] != c.want {
			t.Errorf("%s: want %.300q, but the original reports %.300q", c.name, c.want, original[c.name])
		}
	}
	for i, c := range recipients {
		if name := fmt.Sprintf("recipients %d", i); original[name] != c.want {
			t.Errorf("%s: want %q, but the original reports %q", name, c.want, original[name])
		}
	}
	if len(original) != len(dialogues)+len(recipients) {
		t.Errorf("%d dialogues were played to the original, %d are here", len(original), len(dialogues)+len(recipients))
	}
}

func TestDialogues(t *testing.T) {
	for _, c := range dialogues {
		t.Run(c.name, func(t *testing.T) {
			if got := talk(t, c.server, "hi\n", "a@b", "c@d"); got != c.want {
				t.Errorf("reports\n%.300q, want\n%.300q", got, c.want)
			}
		})
	}
}

// recipients are dialogues about who gets the mail: servers that know HELO only,
// and the original's words.
var recipients = []struct {
	sender string
	to     []string
	server script
	want   string
}{
	{"a@b", []string{"c@d", "e@f", "g@h", "i@j"}, then(rcpt1,
		">550 no\r\n", "<RCPT TO:<e@f>\r\n", ">250 ok\r\n", "<RCPT TO:<g@h>\r\n", ">450 later\r\n", "<RCPT TO:<i@j>\r\n", ">251 ok\r\n",
		"<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 done\r\n"),
		"h" + dislikes + said + "550 no\n\x00r\x00s" + dislikes + said + "450 later\n\x00r\x00" + ok + said + "250 done\n\x00"},
	{"a@b", []string{"c@d", "e@f"}, then(rcpt1, ">450 a\r\n", "<RCPT TO:<e@f>\r\n", ">550 b\r\n"),
		"s" + dislikes + said + "450 a\n\x00h" + dislikes + said + "550 b\n\x00" + givesUp},
	{"a@b", []string{"c@d", "e@f"}, then(rcpt1, ">250 a\r\n", "<RCPT TO:<e@f>\r\n", "CLOSE"), "r\x00" + died},
	{"a@b", []string{"c@d", "e@f"}, then(rcpt1, ">550 a\r\n", "<RCPT TO:<e@f>\r\n", "CLOSE"), "h" + dislikes + said + "550 a\n\x00" + died},

	// How addresses are written.
	{"", []string{"c"}, then(hello, "<MAIL FROM:<>\r\n", ">250\r\n", "<RCPT TO:<c>\r\n", ">550\r\n"), "h" + dislikes + said + "550\n\x00" + givesUp},
	{"@b", []string{`a"b\ c@D`}, then(hello, "<MAIL FROM:<\"\"@b>\r\n", ">250\r\n", `<RCPT TO:<"a\"b\\ c"@D>`+"\r\n", ">550\r\n"), "h" + dislikes + said + "550\n\x00" + givesUp},
	{"A.B@C@d", []string{"x..y@", "Ä@ö"}, then(hello, "<MAIL FROM:<\"A.B@C\"@d>\r\n", ">250\r\n", `<RCPT TO:<"x..y"@>`+"\r\n", ">550\r\n", "<RCPT TO:<\"Ä\"@ö>\r\n", ">550\r\n"),
		"h" + dislikes + said + "550\n\x00h" + dislikes + said + "550\n\x00" + givesUp},
	{"a b", []string{"<>"}, then(hello, "<MAIL FROM:<a b>\r\n", ">250\r\n", "<RCPT TO:<<>>\r\n", ">550\r\n"), "h" + dislikes + said + "550\n\x00" + givesUp},
}

func TestRecipients(t *testing.T) {
	for _, c := range recipients {
		got := talk(t, c.server, "hi\n", append([]string{c.sender}, c.to...)...)
		if got != c.want {
			t.Errorf("from %q to %q: reports\n%q, want\n%q", c.sender, c.to, got, c.want)
		}
	}
}

// texts are messages as stored and as sent. The original sends the same.
var texts = []struct{ message, sent string }{
	{"", ".\r\n"},
	{"\n", "\r\n.\r\n"},
	{".\n", "..\r\n.\r\n"},
	{"..\n.a\n", "...\r\n..a\r\n.\r\n"},
	{"a\r\nb\n", "a\r\nb\r\n.\r\n"},
	{"a\rb\n", "a\r\nb\r\n.\r\n"},
	{"b\r\r\n", "b\r\n\r\r\n.\r\n"},
	{"a\r\r\rb\n", "a\r\n\r\r\nb\r\n.\r\n"},
	{"a\r", "a\r\n.\r\n"},
	{"\x00\xff\n", "\x00\xff\r\n.\r\n"},
	{strings.Repeat("x", 70_000) + "\n", strings.Repeat("x", 70_000) + "\r\n.\r\n"},
	{strings.Repeat(".\n", 40_000), strings.Repeat("..\r\n", 40_000) + ".\r\n"},
}

// smuggled are messages that the original lets end the text early, or nearly: the
// text must go on to its end, whatever the server takes for a line end.
var smuggled = []struct{ message, sent string }{
	{"a\r.\nMAIL FROM:<x>\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"},
	{"a\r.\r\nMAIL FROM:<x>\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"},
	{"a\n.\r\nb\n", "a\r\n..\r\nb\r\n.\r\n"},
	{"a\n.\rb\n", "a\r\n..\r\nb\r\n.\r\n"},
	{"\r.\r", "\r\n..\r\n.\r\n"},
}

func TestTexts(t *testing.T) {
	for _, c := range append(texts, smuggled...) {
		server := then(data1, ">354 go\r\n", "<"+c.sent, ">250 ok\r\n")
		want := "r\x00" + ok + said + "250 ok\n\x00"
		if got := talk(t, server, c.message, "a@b", "c@d"); got != want {
			t.Errorf("%.40q: reports %q, want %q", c.message, got, want)
		}
	}
}

// Without its last line end a message cannot be sent, and the connection ends
// without a dot: what had been sent can be no message.
func TestPartialLine(t *testing.T) {
	for _, message := range []string{"x", "a\nb", "a\r\nb", "a\n.", "a\rb", strings.Repeat("line\n", 20_000) + "b"} {
		server := then(data1, ">354 go\r\n", "SILENCE")
		want := "r\x00DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\x00"
		if got := talk(t, server, message, "a@b", "c@d"); got != want {
			t.Errorf("%.20q: reports %q, want %q", message, got, want)
		}
	}
}

// A server that hangs up in the middle of a large message has not got it.
func TestDropInText(t *testing.T) {
	server := then(data1, ">354 go\r\n", "RESET")
	if got, want := talk(t, server, strings.Repeat("line\n", 4_000_000), "a@b", "c@d"), "r\x00"+died; got != want {
		t.Errorf("reports %q, want %q", got, want)
	}
}

// extended are dialogues with servers that know EHLO. The message is "hi\n".
var extended = []struct {
	name   string
	to     []string
	server script
	want   string
}{
	{"no extensions", []string{"c@d"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250 me\r\n", "<MAIL FROM:<a@b>\r\n", ">250\r\n", "<RCPT TO:<c@d>\r\n", ">250\r\n",
		"<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 ok\r\n"}, "r\x00" + ok + said + "250 ok\n\x00"},
	{"pipelined", []string{"c@d", "e@f", "g@h"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250-8BITMIME\r\n250 pipelining\r\n",
		"<MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\n", ">250 a\r\n550 b\r\n250 c\r\n450 d\r\n",
		"<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 ok\r\n"},
		"h" + dislikes + said + "550 b\n\x00r\x00s" + dislikes + said + "450 d\n\x00" + ok + said + "250 ok\n\x00"},
	{"pipelined, sender refused", []string{"c@d", "e@f"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 PIPELINING\r\n",
		"<MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n", ">550 no\r\n", "<QUIT\r\n", "EOF", "CLOSE"},
		"D" + noSender + said + "550 no\n\x00"},
	{"pipelined, all refused", []string{"c@d", "e@f"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 PIPELINING\r\n",
		"<MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n", ">250 a\r\n550 b\r\n450 c\r\n"},
		"h" + dislikes + said + "550 b\n\x00s" + dislikes + said + "450 c\n\x00" + givesUp},
	{"pipelined, closed", []string{"c@d", "e@f"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 PIPELINING\r\n",
		"<MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n", ">250 a\r\n550 b\r\n25", "CLOSE"},
		"h" + dislikes + said + "550 b\n\x00" + died},
	{"size", []string{"c@d"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 SIZE 1000\r\n",
		"<MAIL FROM:<a@b> SIZE=3\r\n", ">552 too big\r\n"}, "D" + noSender + said + "552 too big\n\x00"},
	{"names that only look alike", []string{"c@d"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250-PIPELINING SIZE\r\n250-PIPELININGS\r\n250-XSIZE\r\n550-SIZE\r\n250-\r\n250 X PIPELINING\r\n",
		"<MAIL FROM:<a@b>\r\n", ">550 no\r\n"}, "D" + noSender + said + "550 no\n\x00"},
	{"EHLO answered 4xx", []string{"c@d"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">421 PIPELINING\r\n", "<HELO me.test\r\n", ">421 bye\r\n"},
		"ZConnected to 127.0.0.1 but my name was rejected.\n" + said + "421 bye\n\x00"},
	{"EHLO closed", []string{"c@d"}, script{">220 hi\r\n", "<EHLO me.test\r\n", "CLOSE"}, died},
	{"gone before QUIT", []string{"c@d"}, script{
		">220 hi\r\n", "<EHLO me.test\r\n", ">250 me\r\n", "<MAIL FROM:<a@b>\r\n", ">250\r\n", "<RCPT TO:<c@d>\r\n", ">250\r\n",
		"<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 ok\r\n", "CLOSE"}, "r\x00" + ok + said + "250 ok\n\x00"},
}

func TestExtended(t *testing.T) {
	for _, c := range extended {
		t.Run(c.name, func(t *testing.T) {
			if got := talk(t, c.server, "hi\n", append([]string{"a@b"}, c.to...)...); got != c.want {
				t.Errorf("reports\n%q, want\n%q", got, c.want)
			}
		})
	}
}

// Hundreds of recipients are sent in groups, so that a server which does not read
// on before its replies are read cannot block; no recipient and no order is lost.
func TestManyRecipients(t *testing.T) {
	const n = 120
	args := []string{"a@b"}
	server := script{">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 PIPELINING\r\n"}
	group, replies, want := "<MAIL FROM:<a@b>\r\n", ">250 sender\r\n", ""
	for i := range n {
		args = append(args, fmt.Sprintf("r%d@d", i))
		group += fmt.Sprintf("RCPT TO:<r%d@d>\r\n", i)
		if i%2 == 0 {
			replies += "250 ok\r\n"
			want += "r\x00"
		} else {
			replies += fmt.Sprintf("550 not %d\r\n", i)
			want += fmt.Sprintf("h%s%s550 not %d\n\x00", dislikes, said, i)
		}
		if c := strings.Count(group, "\r\n"); c == batch || i == n-1 {
			server = append(server, group, replies)
			group, replies = "<", ">"
		}
	}
	server = append(server, "<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 ok\r\n")
	want += ok + said + "250 ok\n\x00"
	if got := talk(t, server, "hi\n", args...); got != want {
		t.Errorf("reports\n%q, want\n%q", got, want)
	}
}
