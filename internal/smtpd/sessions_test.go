package smtpd

import (
	"strings"

	"quail/internal/prog"
)

// What many clients say.
const (
	helo        = "HELO c.example\r\n"
	transaction = "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@here.example>\r\n"
	sender      = "MAIL FROM:<a@b.example>\r\n"
	send        = "DATA\r\ns\r\n\r\nt\r\n.\r\nQUIT\r\n"
)

// What many are told.
const (
	hi        = "220 mx.example ESMTP\r\n"
	bye       = "221 mx.example\r\n"
	ok        = "250 ok\r\n"
	goAhead   = "354 go ahead\r\n"
	queued    = "250 ok TIME qp PID\r\n"
	notHere   = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
	badFrom   = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
	unknown   = "502 unimplemented (#5.5.1)\r\n"
	syntax    = "555 syntax error (#5.5.4)\r\n"
	bareLF    = "451 See https://cr.yp.to/docs/smtplf.html.\r\n"
	mailFirst = "503 MAIL first (#5.5.1)\r\n"
	rcptFirst = "503 RCPT first (#5.5.1)\r\n"
	looping   = "554 too many hops, this message is looping (#5.4.6)\r\n"
	tooLarge  = "552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
	welcome   = "250 mx.example\r\n"
	trace     = "Received: from peer.example (192.0.2.9)\n  by mx.example with SMTP; DATE\n"
	traceHelo = "Received: from peer.example (HELO c.example) (192.0.2.9)\n  by mx.example with SMTP; DATE\n"
)

// sessions are whole sessions, as the C program holds them with the same control
// files and the same client. Where Quail differs the row says so.
var sessions = []sessionTest{

	// What is said before and after a message.

	{
		name:   "nothing",
		in:     "",
		out:    hi,
		status: 1,
	},
	{
		name: "quit",
		in:   "QUIT\r\n",
		out:  hi + bye,
	},
	{
		name:   "half a line",
		in:     "QUIT",
		out:    hi,
		status: 1,
	},
	{
		name: "help noop vrfy",
		in:   "HELP\r\nNOOP\r\nVRFY joe\r\nQUIT\r\n",
		out: hi + "214 notqmail home page: https://notqmail.org\r\n" + ok + "252 send some mail, i'll try my best\r\n" +
			bye,
	},
	{
		name: "unimplemented",
		in:   "EXPN a\r\nAUTH PLAIN\r\nSTARTTLS\r\n\r\nFOO\r\nMAILX\r\nQUIT\r\n",
		out:  hi + strings.Repeat(unknown, 6) + bye,
	},
	{
		name: "case of verbs",
		in:   "nOoP\r\nrSeT x y\r\nqUiT\r\n",
		out:  hi + ok + "250 flushed\r\n" + bye,
	},
	{
		name: "LF ends a command",
		in:   "NOOP\nRSET\nQUIT\n",
		out:  hi + ok + "250 flushed\r\n" + bye,
	},
	{
		name: "one CR is dropped",
		in:   "NOOP\r\r\nNOOP \r\r\nQUIT\r\r\nQUIT\r\n",
		out:  hi + unknown + ok + unknown + bye,
	},
	{
		name: "tab is no separator",
		in:   "NOOP\tx\r\nNOOP  x\r\n NOOP\r\nQUIT\r\n",
		out:  hi + unknown + ok + unknown + bye,
	},
	{
		name: "NUL ends a line",
		in:   "NOOP\x00garbage\r\nNO\x00OP\r\n\x00NOOP\r\nQUIT\x00 x\r\n",
		out:  hi + ok + unknown + unknown + bye,
	},
	{
		name:     "NUL in address",
		in:       sender + "RCPT TO:<x\x00y@evil.example>\r\nRCPT TO:<x@here.example\x00>\r\n" + send,
		out:      hi + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Tx\x00Tx@here.example\x00\x00",
	},
	{
		name: "ehlo",
		in:   "EHLO c.example\r\nQUIT\r\n",
		out:  hi + "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + bye,
	},
	{
		name:    "greeting",
		control: files{"smtpgreeting": "I am, ok? \t\nsecond\n"},
		in:      "EHLO x\r\nHELO x\r\nQUIT\r\n",
		out:     "220 I am, ok? ESMTP\r\n250-I am, ok?\r\n250-PIPELINING\r\n250 8BITMIME\r\n250 I am, ok?\r\n221 I am, ok?\r\n",
	},
	{
		name:    "empty greeting",
		control: files{"smtpgreeting": ""},
		in:      "QUIT\r\n",
		out:     "220  ESMTP\r\n221 \r\n",
	},
	{
		name:    "greeting without LF",
		control: files{"smtpgreeting": "g"},
		in:      "QUIT\r\n",
		out:     "220 g ESMTP\r\n221 g\r\n",
	},
	{
		name:    "no me",
		control: files{"me": absent},
		in:      "QUIT\r\n",
		out:     "421 unable to read controls (#4.3.0)\r\n",
		status:  1,
	},
	{
		name:    "no me but greeting",
		control: files{"me": absent, "smtpgreeting": "g\n"},
		in:      "QUIT\r\n",
		out:     "220 g ESMTP\r\n221 g\r\n",
	},
	{
		name: "order",
		in: "DATA\r\nRCPT TO:<x@here.example>\r\nMAIL FROM:<a@b>\r\nDATA\r\nRSET\r\nRCPT TO:<x@here.example>\r\n" +
			"DATA\r\nQUIT\r\n",
		out: hi + mailFirst + mailFirst + ok + rcptFirst + "250 flushed\r\n" + mailFirst + mailFirst + bye,
	},
	{
		name: "helo forgets",
		in: transaction + "HELO x\r\nDATA\r\nRCPT TO:<x@here.example>\r\n" + transaction +
			"EHLO x\r\nDATA\r\nQUIT\r\n",
		out: hi + ok + ok + welcome + mailFirst + mailFirst + ok + ok +
			"250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + mailFirst + bye,
	},
	{
		name: "rset forgets",
		in:   transaction + "RSET\r\nDATA\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n",
		out:  hi + ok + ok + "250 flushed\r\n" + mailFirst + ok + rcptFirst + bye,
	},
	{
		name:     "second MAIL replaces",
		in:       transaction + "MAIL FROM:<c@d>\r\nDATA\r\nRCPT TO:<y@here.example>\r\nDATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + ok + ok + ok + rcptFirst + ok + goAhead + queued + bye,
		message:  trace + "m\n",
		envelope: "Fc@d\x00Ty@here.example\x00\x00",
	},
	{
		name:     "bad MAIL keeps the transaction",
		in:       transaction + "MAIL FROM:<" + strings.Repeat("a", 900) + ">\r\nDATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + ok + ok + syntax + goAhead + queued + bye,
		message:  trace + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "bad RCPT keeps the transaction",
		in:       transaction + "RCPT TO:<" + strings.Repeat("a", 900) + ">\r\nDATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + ok + ok + syntax + goAhead + queued + bye,
		message:  trace + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "transaction is over after DATA",
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nDATA\r\nRCPT TO:<x@here.example>\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + mailFirst + mailFirst + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "pipelined, with text",
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "two messages",
		in: helo + transaction +
			"DATA\r\nm\r\n.\r\nMAIL FROM:<2@b>\r\nRCPT TO:<2@here.example>\r\nDATA\r\nsecond\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "second\n",
		envelope: "F2@b\x00T2@here.example\x00\x00",
	},
	{
		name:   "end inside DATA",
		in:     helo + transaction + "DATA\r\nm\r\n",
		out:    hi + welcome + ok + ok + goAhead,
		status: 1,
	},
	{
		name:   "end right after DATA",
		in:     helo + transaction + "DATA\r\n",
		out:    hi + welcome + ok + ok + goAhead,
		status: 1,
	},
	{
		name:     "end after the dot",
		in:       helo + transaction + "DATA\r\nm\r\n.\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
		status:   1,
	},
	{
		name: "mail parameters",
		in: "MAIL FROM:<a@b> SIZE=99999999999 BODY=8BITMIME FOO\r\nRCPT TO:<x@here.example> NOTIFY=NEVER\r\n" +
			"RCPT TO:<y@here.example>junk\r\n" + send,
		out:      hi + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b\x00Tx@here.example\x00Ty@here.example\x00\x00",
	},

	// How addresses are read out of MAIL and RCPT.

	{
		name: "no brackets",
		in: "MAIL FROM: a@b SIZE=1\r\nRCPT TO:x@here.example\r\nRCPT TO: y@here.example more\r\n" +
			"RCPT TO:   z@here.example\r\n" + send,
		out:      hi + ok + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b\x00Tx@here.example\x00Ty@here.example\x00Tz@here.example\x00\x00",
	},
	{
		name:     "no colon",
		in:       "MAIL\r\nRCPT x@evil.example\r\nRCPT TO\r\nRCPT \r\n" + send,
		out:      hi + ok + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "F\x00T\x00T\x00T\x00\x00",
	},
	{
		name:     "missing end",
		in:       sender + "RCPT TO:<x@here.example\r\nRCPT TO:<\"x@here.example>\r\nRCPT TO:<x@here.example\\\r\n" + send,
		out:      hi + ok + ok + notHere + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "empty recipient",
		in:       sender + "RCPT TO:<>\r\nRCPT TO:<\"\">\r\n" + send,
		out:      hi + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00T\x00T\x00\x00",
	},
	{
		name: "postmaster",
		in: sender + "RCPT TO:<postmaster>\r\nRCPT TO:<x@>\r\nRCPT TO:<@>\r\nRCPT TO:<a@b@here.example>\r\n" +
			"RCPT TO:<a@here.example@evil.example>\r\n" + send,
		out:      hi + ok + ok + notHere + ok + ok + notHere + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Tpostmaster\x00T\x00Ta@b@here.example\x00\x00",
	},
	{
		name: "quotes",
		in: sender +
			"RCPT TO:<\"a b\"@here.example>\r\nRCPT TO:<\"a>b\"@here.example>\r\nRCPT TO:<a\\>b@here.example>\r\n" +
			"RCPT TO:<\"a\\\"b\"@here.example>\r\nRCPT TO:<a\\\\b@here.example>\r\n" +
			"RCPT TO:\"a b\"@here.example x\r\nRCPT TO:<\"x@evil.example\"@here.example>\r\n" +
			"RCPT TO:<x@\"here.example\">\r\n" + send,
		out:      hi + strings.Repeat(ok, 9) + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta b@here.example\x00Ta>b@here.example\x00Ta>b@here.example\x00Ta\"b@here.example\x00Ta\\b@here.example\x00Ta b@here.example\x00Tx@evil.example@here.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "source route",
		in: "MAIL FROM:<@r:a@b>\r\nRCPT TO:<@a,@b:x@here.example>\r\nRCPT TO:<@a>\r\n" +
			"RCPT TO:@a:y@here.example\r\nRCPT TO:< @a:z@here.example>\r\nRCPT TO:<@\"a:b\":q@here.example>\r\n" +
			send,
		out:      hi + strings.Repeat(ok, 5) + notHere + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b\x00Tx@here.example\x00T\x00Ty@here.example\x00T @a:z@here.example\x00\x00",
	},
	{
		name: "spaces inside",
		in: sender + "RCPT TO:< x@here.example >\r\nRCPT TO:<x @here.example>\r\n" +
			"RCPT TO:<x@here.example> <y@evil.example>\r\nRCPT TO:a:<x@here.example>\r\n" +
			"RCPT TO <x@here.example>\r\nRCPT <x@here.example>\r\n" + send,
		out:      hi + ok + notHere + strings.Repeat(ok, 5) + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Tx @here.example\x00Tx@here.example\x00Tx@here.example\x00Tx@here.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "brackets twice",
		in: sender + "RCPT TO:<<x@here.example>>\r\nRCPT TO:x<y@here.example>\r\nRCPT TO:>x@here.example<\r\n" +
			"RCPT TO:<x@here.example>:<z@evil.example>\r\n" + send,
		out:      hi + strings.Repeat(ok, 5) + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00T<x@here.example\x00Ty@here.example\x00T\x00Tx@here.example\x00\x00",
	},
	{
		name: "8 bit and CR",
		in: "MAIL FROM:<\x01\x7f@\x80>\r\nRCPT TO:<\xe4\xff@here.example>\r\nRCPT TO:<a\rb@here.example>\r\n" +
			"RCPT TO:<x@here.example>\r\r\nRCPT TO:x@here.example\r\r\n" + send,
		out:      hi + ok + ok + ok + ok + notHere + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "F\x01\x7f@\x80\x00T\xe4\xff@here.example\x00Ta\rb@here.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "length 897",
		in:       sender + "RCPT TO:<" + strings.Repeat("a", 884) + "@here.example>\r\n" + send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00T" + strings.Repeat("a", 884) + "@here.example\x00\x00",
	},
	{
		name:     "length 898",
		in:       sender + "RCPT TO:<" + strings.Repeat("a", 885) + "@here.example>\r\n" + send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00T" + strings.Repeat("a", 885) + "@here.example\x00\x00",
	},
	{
		name:   "length 899",
		in:     "MAIL FROM:<" + strings.Repeat("s", 899) + ">\r\nRCPT TO:<" + strings.Repeat("a", 886) + "@here.example>\r\nDATA\r\nQUIT\r\n",
		out:    hi + ok + ok + goAhead,
		status: 1,
	},
	{
		name: "length 900",
		in:   "MAIL FROM:<" + strings.Repeat("s", 900) + ">\r\nRCPT TO:<" + strings.Repeat("a", 887) + "@here.example>\r\nDATA\r\nQUIT\r\n",
		out:  hi + syntax + mailFirst + mailFirst + bye,
	},
	{
		name: "length is counted unquoted",
		in: "MAIL FROM:<@" + strings.Repeat("r", 2000) + ":a@b>\r\nRCPT TO:<\"" + strings.Repeat("\\a", 886) + "\"@here.example>\r\n" +
			send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b\x00T" + strings.Repeat("a", 886) + "@here.example\x00\x00",
	},

	// Whose mail is taken, and for whom.

	{
		name: "rcpthosts",
		in: sender + "RCPT TO:<a@HERE.example>\r\nRCPT TO:<a@x.here.example>\r\nRCPT TO:<a@b.sub.example>\r\n" +
			"RCPT TO:<a@c.b.SUB.example>\r\nRCPT TO:<a@sub.example>\r\nRCPT TO:<a@xsub.example>\r\n" +
			"RCPT TO:<a@mixed.EXAMPLE>\r\nRCPT TO:<a@here.example.>\r\nRCPT TO:<a@evil.example>\r\n" +
			"RCPT TO:<a%evil.example@here.example>\r\nRCPT TO:<evil.example!a>\r\n" + send,
		out: hi + ok + ok + notHere + ok + ok + notHere + notHere + ok + notHere + notHere + ok + ok + goAhead +
			queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@HERE.example\x00Ta@b.sub.example\x00Ta@c.b.SUB.example\x00Ta@mixed.EXAMPLE\x00Ta%evil.example@here.example\x00Tevil.example!a\x00\x00",
	},
	{
		name:     "empty rcpthosts",
		control:  files{"rcpthosts": ""},
		in:       sender + "RCPT TO:<a@here.example>\r\nRCPT TO:<a>\r\n" + send,
		out:      hi + ok + notHere + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta\x00\x00",
	},
	{
		name:     "comments in rcpthosts",
		control:  files{"rcpthosts": "#c\n b\nd \t\n\n d"},
		in:       sender + "RCPT TO:<a@b>\r\nRCPT TO:<a@#c>\r\nRCPT TO:<a@d>\r\nRCPT TO:<a@ d>\r\n" + send,
		out:      hi + ok + notHere + notHere + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@d\x00Ta@ d\x00\x00",
	},
	{
		name:     "relayclient",
		env:      prog.Env{"RELAYCLIENT="},
		in:       sender + "RCPT TO:<a@evil.example>\r\nRCPT TO:<b>\r\nRCPT TO:<>\r\n" + send,
		out:      hi + ok + ok + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@evil.example\x00Tb\x00T\x00\x00",
	},
	{
		name: "relayclient appends",
		env:  prog.Env{"RELAYCLIENT=.via@gate"},
		in: sender +
			"RCPT TO:<a@evil.example>\r\nRCPT TO:<b>\r\nRCPT TO:<>\r\nRCPT TO:<" + strings.Repeat("a", 899) + ">\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out:      hi + strings.Repeat(ok, 5) + syntax + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@evil.example.via@gate\x00Tb.via@gate\x00T.via@gate\x00T" + strings.Repeat("a", 899) + ".via@gate\x00\x00",
	},
	{
		name:     "relayclient without rcpthosts",
		control:  files{"rcpthosts": absent},
		env:      prog.Env{"RELAYCLIENT="},
		in:       sender + "RCPT TO:<a@evil.example>\r\n" + send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@evil.example\x00\x00",
	},
	{
		name:    "badmailfrom <bad@a.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<bad@a.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom <BAD@A.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<BAD@A.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom <good@a.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<good@a.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out:      hi + ok + ok + notHere + syntax + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fgood@a.example\x00Tx@here.example\x00\x00",
	},
	{
		name:    "badmailfrom <x@worse.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<x@worse.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom <x@y@WORSE.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<x@y@WORSE.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom <x@sub.worse.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<x@sub.worse.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out:      hi + ok + ok + notHere + syntax + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fx@sub.worse.example\x00Tx@here.example\x00\x00",
	},
	{
		name:    "badmailfrom <>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out:      hi + ok + ok + notHere + syntax + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "F\x00Tx@here.example\x00\x00",
	},
	{
		name:    "badmailfrom <plain>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<plain>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom <@c>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<@c>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out:      hi + ok + ok + notHere + syntax + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "F\x00Tx@here.example\x00\x00",
	},
	{
		name:    "badmailfrom <\"bad\"@a.example>",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in: "MAIL FROM:<\"bad\"@a.example>\r\nRCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCPT TO:<" + strings.Repeat("a", 900) + ">\r\n" +
			send,
		out: hi + ok + badFrom + badFrom + syntax + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:    "badmailfrom and relayclient",
		control: files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		env:     prog.Env{"RELAYCLIENT="},
		in:      "MAIL FROM:<bad@a.example>\r\nRCPT TO:<x@here.example>\r\n" + send,
		out:     hi + ok + badFrom + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:     "badmailfrom is forgotten",
		control:  files{"badmailfrom": "bad@a.example\n@worse.example\n#@c\nplain\n"},
		in:       "MAIL FROM:<bad@a.example>\r\nRCPT TO:<x@here.example>\r\n" + transaction + send,
		out:      hi + ok + badFrom + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:    "localiphost",
		control: files{"localiphost": "home.example\n", "rcpthosts": "home.example\n"},
		in: "MAIL FROM:<s@[127.0.0.1]>\r\nRCPT TO:<a@[127.0.0.1]>\r\nRCPT TO:<a@[0.0.0.0]>\r\n" +
			"RCPT TO:<a@[192.0.2.77]>\r\nRCPT TO:<a@[127.0.0.1]x>\r\nRCPT TO:<a@[127.0.0.1>\r\n" +
			"RCPT TO:<a@127.0.0.1>\r\nRCPT TO:<a@[127.1]>\r\nRCPT TO:<a@[127.0.0.1.]>\r\n" +
			"RCPT TO:<a@[127.0.0.1]@home.example>\r\nRCPT TO:<a@b@[127.0.0.1]>\r\nRCPT TO:<a@[]>\r\n" +
			"RCPT TO:<a@[127.0.0.1 ]>\r\n" + send,
		out:      hi + ok + ok + ok + strings.Repeat(notHere, 6) + ok + ok + notHere + notHere + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fs@home.example\x00Ta@home.example\x00Ta@home.example\x00Ta@[127.0.0.1]@home.example\x00Ta@b@home.example\x00\x00",
	},
	{
		// Differs from qmail: it takes all but the third.
		name:    "localiphost odd numbers",
		control: files{"localiphost": "home.example\n", "rcpthosts": "home.example\n"},
		in: sender + "RCPT TO:<a@[127.0.0.01]>\r\nRCPT TO:<a@[383.0.0.1]>\r\nRCPT TO:<a@[127.0..1]>\r\n" +
			"RCPT TO:<a@[127.0.0.00000000000000000001]>\r\n" + send,
		out: hi + ok + notHere + notHere + notHere + notHere + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},
	{
		name:     "localiphost is me",
		control:  files{"rcpthosts": "mx.example"},
		in:       sender + "RCPT TO:<a@[127.0.0.1]>\r\n" + send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@mx.example\x00\x00",
	},
	{
		name:     "localiphost empty",
		control:  files{"localiphost": ""},
		env:      prog.Env{"RELAYCLIENT="},
		in:       sender + "RCPT TO:<a@[127.0.0.1]>\r\n" + send,
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@\x00\x00",
	},
	{
		name:     "no localiphost",
		control:  files{"me": absent, "smtpgreeting": "g"},
		env:      prog.Env{"RELAYCLIENT="},
		in:       sender + "RCPT TO:<a@[127.0.0.1]>\r\n" + send,
		out:      "220 g ESMTP\r\n" + ok + ok + goAhead + queued + "221 g\r\n",
		message:  trace + "s\n\nt\n",
		envelope: "Fa@b.example\x00Ta@[127.0.0.1]\x00\x00",
	},
	{
		name:    "localiphost and badmailfrom",
		control: files{"badmailfrom": "bad@home.example", "localiphost": "home.example\n", "rcpthosts": "home.example\n"},
		in:      "MAIL FROM:<bad@[127.0.0.1]>\r\nRCPT TO:<a@home.example>\r\n" + send,
		out:     hi + ok + badFrom + rcptFirst + unknown + unknown + unknown + unknown + bye,
	},

	// What a message may be, and what is stored of it.

	{
		name:     "dots",
		in:       helo + transaction + "DATA\r\n..\r\n...\r\n.x\r\nx.\r\n. \r\n..x\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + ".\n..\nx\nx.\n \n.x\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "empty message",
		in:       helo + transaction + "DATA\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "one empty line",
		in:       helo + transaction + "DATA\r\n\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "CR",
		in: helo + transaction +
			"DATA\r\na\rb\r\nc\r\r\n\r\r\nd\r\r\re\r\n.\rx\r\n.\r\r\n.\r.\r\n..\r\r\n\r.\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "a\rb\nc\r\n\r\nd\r\r\re\n.\rx\n.\r\n.\r.\n.\r\n\r.\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "NUL and 8 bit",
		in:       helo + transaction + "DATA\r\na\x00b\xff\r\n\x00\r\n.\x00\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "a\x00b\xff\n\x00\n\x00\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:   "bare LF 0",
		in:     helo + transaction + "DATA\r\n\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 1",
		in:     helo + transaction + "DATA\r\na\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 2",
		in:     helo + transaction + "DATA\r\na\r\n\nb\r\n.\r\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 3",
		in:     helo + transaction + "DATA\r\na\r\n.\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 4",
		in:     helo + transaction + "DATA\r\na\r\n.\nQUIT\r\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 5",
		in:     helo + transaction + "DATA\r\na\r\n.x\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 6",
		in:     helo + transaction + "DATA\r\na\r\n.\r\r\n.\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:   "bare LF 7",
		in:     helo + transaction + "DATA\r\nh: x\r\n\r\nb\nc\r\n.\r\nQUIT\r\n",
		out:    hi + welcome + ok + ok + goAhead + bareLF,
		status: 1,
	},
	{
		name:     "bare LF 8",
		in:       helo + transaction + "DATA\r\na\r\n.\r\n\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + unknown + bye,
		message:  traceHelo + "a\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "long line",
		in: helo + transaction +
			"DATA\r\n" + strings.Repeat("x", 20000) + "\r\n." + strings.Repeat("y", 20000) + "\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("x", 20000) + "\n" + strings.Repeat("y", 20000) + "\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "large message",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\n0123456789012345678901234567890123456789012345678901234567890123456789", 3000) + "\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("0123456789012345678901234567890123456789012345678901234567890123456789\n", 3000),
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "commands inside text",
		in:       helo + transaction + "DATA\r\nQUIT\r\nRSET\r\nMAIL FROM:<x>\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "QUIT\nRSET\nMAIL FROM:<x>\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "hops 98",
		in:       helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 98) + "\r\n\r\nb\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("Received: x\n", 98) + "\nb\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "hops 99",
		in:       helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n\r\nb\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("Received: x\n", 99) + "\nb\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "hops 100",
		in:   helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 100) + "\r\n\r\nb\r\n.\r\nQUIT\r\n",
		out:  hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name: "hops 101",
		in:   helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 101) + "\r\n\r\nb\r\n.\r\nQUIT\r\n",
		out:  hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name: "hops of both kinds",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nReceived: x", 50) + strings.Repeat("\r\ndelivered-To: x", 50) + "\r\n.\r\nQUIT\r\n",
		out: hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name: "hops in odd case",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nrEcEiVeD", 50) + strings.Repeat("\r\nDELIVEREDx", 50) + "\r\n\r\n.\r\nQUIT\r\n",
		out: hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name: "hops after the header",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n" + strings.Repeat("\r\nReceived: x", 10) + "\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("Received: x\n", 99) + strings.Repeat("\nReceived: x", 10) + "\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "hops after a line of CR",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n\r" + strings.Repeat("\r\nReceived: x", 10) + "\r\n.\r\nQUIT\r\n",
		out: hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name: "hops after a stuffed dot",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n..\r\n.\rx\r\nReceived: x\r\n.\r\nQUIT\r\n",
		out: hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name:     "hops that begin with a dot",
		in:       helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n.Received: x\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("Received: x\n", 100),
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "hops that are none",
		in: helo + transaction +
			"DATA" + strings.Repeat("\r\nReceived: x", 99) + "\r\n Received: x\r\nReceive: x\r\nDelivere\r\nX-Received: y\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + strings.Repeat("Received: x\n", 99) + " Received: x\nReceive: x\nDelivere\nX-Received: y\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes '10'",
		control:  files{"databytes": "10"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes '11'",
		control:  files{"databytes": "11"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes '12'",
		control:  files{"databytes": "12"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes '0'",
		control:  files{"databytes": "0"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes 'x'",
		control:  files{"databytes": "x"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes ' 5'",
		control:  files{"databytes": " 5"},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "databytes ''",
		control:  files{"databytes": ""},
		in:       helo + transaction + "DATA\r\n12345\r\n..89\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n.89\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:    "databytes 5 empty line",
		control: files{"databytes": "5"},
		in:      helo + transaction + "DATA\r\n\r\n\r\n\r\n\r\n\r\n\r\n.\r\nQUIT\r\n",
		out:     hi + welcome + ok + ok + goAhead + tooLarge + bye,
	},
	{
		name:     "DATABYTES overrides",
		control:  files{"databytes": "1"},
		env:      prog.Env{"DATABYTES=6"},
		in:       helo + transaction + "DATA\r\n12345\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "DATABYTES not a number",
		control:  files{"databytes": "1"},
		env:      prog.Env{"DATABYTES=none"},
		in:       helo + transaction + "DATA\r\n12345\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "12345\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "DATABYTES exceeded",
		env:  prog.Env{"DATABYTES=5x"},
		in:   helo + transaction + "DATA\r\n12345\r\n.\r\nQUIT\r\n",
		out:  hi + welcome + ok + ok + goAhead + tooLarge + bye,
	},
	{
		name:    "databytes and hops",
		control: files{"databytes": "5"},
		in:      helo + transaction + "DATA" + strings.Repeat("\r\nReceived: x", 100) + "\r\n.\r\nQUIT\r\n",
		out:     hi + welcome + ok + ok + goAhead + looping + bye,
	},
	{
		name:    "databytes exceeded, then more",
		control: files{"databytes": "5"},
		in: helo + transaction + "DATA" + strings.Repeat("\r\n123456", 100) + "\r\n.\r\n" + transaction +
			"DATA\r\nx\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + tooLarge + ok + ok + goAhead + queued + bye,
		message:  traceHelo + "x\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},

	// The Received line.

	{
		name:     "no helo",
		in:       transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + ok + ok + goAhead + queued + bye,
		message:  trace + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "helo is the host",
		in:       "HELO PEER.Example\r\n" + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  trace + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "helo empty",
		in:       "HELO\r\n" + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from peer.example (HELO ) (192.0.2.9)\n  by mx.example with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "helo odd",
		in:       "EHLO a(b)\xe4 [1.2.3.4]<x>_-\r\n" + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + ok + ok + goAhead + queued + bye,
		message:  "Received: from peer.example (HELO a?b???[1.2.3.4]?x??-) (192.0.2.9)\n  by mx.example with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "helo twice",
		in:       "HELO one\r\nEHLO two\r\n" + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + ok + ok + goAhead + queued + bye,
		message:  "Received: from peer.example (HELO two) (192.0.2.9)\n  by mx.example with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "info",
		env:      prog.Env{"TCPREMOTEINFO=jo e)"},
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from peer.example (HELO c.example) (jo?e?@192.0.2.9)\n  by mx.example with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "info empty",
		env:      prog.Env{"TCPREMOTEINFO="},
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from peer.example (HELO c.example) (@192.0.2.9)\n  by mx.example with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "no environment",
		env:      prog.Env{},
		noPeer:   true,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from unknown (HELO c.example) (unknown)\n  by unknown with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "no environment, helo unknown",
		env:      prog.Env{},
		noPeer:   true,
		in:       "HELO Unknown\r\n" + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from unknown (unknown)\n  by unknown with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "local ip only",
		env:      prog.Env{"TCPLOCALIP=2001:db8::1", "TCPREMOTEIP=2001:db8::2"},
		noPeer:   true,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + queued + bye,
		message:  "Received: from unknown (HELO c.example) (2001:db8::2)\n  by 2001:db8::1 with SMTP; DATE\nm\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},

	// What becomes of a message in the end.

	{
		name:     "status 11",
		queue:    11,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "554 envelope address too long for qq (#5.1.3)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 31",
		queue:    31,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "554 mail server permanently rejected message (#5.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 51",
		queue:    51,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq out of memory (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 52",
		queue:    52,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq timeout (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 53",
		queue:    53,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq write error or disk full (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 54",
		queue:    54,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq read error (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 61",
		queue:    61,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq trouble in home directory (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 62",
		queue:    62,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq trouble creating files in queue (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 71",
		queue:    71,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 mail server temporarily rejected message (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 81",
		queue:    81,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq internal bug (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 82",
		queue:    82,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 91",
		queue:    91,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq internal bug (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 111",
		queue:    111,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 115",
		queue:    115,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "554 envelope address too long for qq (#5.1.3)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 120",
		queue:    120,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 unable to exec qq (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 12",
		queue:    12,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "554 qq permanent problem (#5.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 40",
		queue:    40,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "554 qq permanent problem (#5.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 41",
		queue:    41,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 1",
		queue:    1,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 99",
		queue:    99,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name:     "status 100",
		queue:    100,
		in:       helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:      hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
		message:  traceHelo + "m\n",
		envelope: "Fa@b.example\x00Tx@here.example\x00\x00",
	},
	{
		name: "QMAILQUEUE is not there",
		env:  prog.Env{"QMAILQUEUE=/nonexistent"},
		in:   helo + transaction + "DATA\r\nm\r\n.\r\nQUIT\r\n",
		out:  hi + welcome + ok + ok + goAhead + "451 unable to exec qq (#4.3.0)\r\n" + bye,
	},
	{
		name: "QMAILQUEUE reads nothing",
		env:  prog.Env{"QMAILQUEUE=/bin/false"},
		in:   helo + transaction + "DATA" + strings.Repeat("\r\nm", 1000) + "\r\n.\r\nQUIT\r\n",
		out:  hi + welcome + ok + ok + goAhead + "451 qq temporary problem (#4.3.0)\r\n" + bye,
	},
}
