package showctl

import (
	"fmt"
	"io"

	"quail/internal/sandbox"
)

// Difference is one thing that Quail does otherwise than qmail on purpose.
type Difference struct {
	Topic string
	Text  string
	// Packages mark the difference in their source ("Differs from qmail:"). A test
	// compares the two, so that none is marked and not told.
	Packages string
}

// Differences is printed after all that qmail's own program prints. README has
// the same list.
var Differences = []Difference{
	{"rcpthosts", "without this file every recipient with a domain is refused, unless RELAYCLIENT is set",
		"rcpthosts qmail-smtpd qmail-qmtpd"},
	{"relaying", "qmail-smtpd offers STARTTLS where qmail-keys has a certificate and AUTH where qmail-auth listens; whom it refuses to relay for, who logs in and who fails to stands in its log",
		"smtpd"},
	{"memory", "soft limits (softlimit, ulimit) do not bind the programs themselves: what a session or a message may use is built in",
		"limits smtpd"},
	{"crashes", "a program of the suite that crashes is a temporary failure, never a bounce",
		"prog"},
	{"disk", "a link under the name of a temporary file goes and is not followed, and who finds that name taken by another program gives up; directory entries are synced before a message is acknowledged or a delivery reported; a message number that is taken is passed over; a record in the queue that has lost its end delays the message, and a file of the queue that should be removed may be gone",
		"durable queue maildir mbox"},
	{"numbers", "a number that is too large, or no number as a whole, is an error or the largest one there is; it never wraps",
		"pw2u queue showctl smtpd tcpserver users"},
	{"addresses", "IPv6 addresses are listened on, connected to and counted as this host's own; the table of hosts that timed out has none",
		"localaddr nexthop resolve tcpserver tcpto"},
	{"sending", "EHLO comes before HELO and commands go in groups where the server takes that; recipients of one message share a transaction and messages a connection where they can; a host's addresses are tried side by side; mail goes by TLS where the server offers that and it works, or as tlsroutes says; a user name behind the port in smtproutes is logged in with; no message can end its text early, no address its line",
		"dottext nexthop remote"},
	{"headers", "an address with a NUL or a line feed is refused; a header field stays one field whatever is in it",
		"inject qreceipt rfc822"},
	{"descriptors", "a program whose descriptor 0 is closed reads nothing, as from /dev/null; it does not fail",
		"enqueue"},
	{"deliveries", "qmail-local refuses by itself to deliver as root; a qmail-local that cannot be run delays mail; a program that leaves some of its message unread has not failed; names in a Maildir have no / or :",
		"local lspawn maildir forward"},
	{"aliases", "fastforward and dot-forward do nothing before they have read everything; what they do not understand in a database, a list or a .forward file delays mail, and so do lists of more than 16 MB together; a bar before a quoted command is a program; the last line of /etc/aliases counts without its newline; they forward nothing without the variables that qmail-local sets; sendmail called as newaliases runs newaliases",
		"aliases dotforward fastforward forward forwarding maillist sendmail"},
	{"bounces", "trouble with one bounce file holds up one delivery, and a bounce that is slow to queue holds up nothing after three seconds",
		"send"},
	{"new mail", "a message with one recipient is delivered before it is preprocessed, which is left out if that succeeds; the queue is read at start while deliveries go on, and preprocessing, deliveries and qmail-clean do not wait for each other",
		"send"},
	{"held mail", "ALRM does not try what qmail-qctl holds",
		"send"},
	{"accounts", "a line of /etc/passwd that makes no sense, or a name service that does not answer, delays mail; alias does not get it",
		"accounts"},
	{"queue listings", "files that cannot be read are reported; they neither count as nothing nor are printed as they are",
		"qmail-qstat qread"},
	{"POP", "qmail-popup has what the client sends read by qmail-popnet, without root's rights; CAPA, STLS and UTF8 are answered, and a client that could have asked for UTF-8 in headers and has not gets none; what a client sends behind its password is left for the next program; a command line has at most 16384 bytes; messages of the same second have an order of their own",
		"maildir pop3 pop3d popnet"},
	{"maildir2mbox", "it keeps a last line that has no end, takes turns with another one, and does not write its draft over the mbox",
		"maildir2mbox mbox"},
	{"checks", "instcheck exits with 1 where something is not as installed; config takes a name of an address only if it leads back there",
		"instcheck"},
	{"pipes", "requests between the daemons that are not exactly in form are refused whole; their complaints reach the log; qmail-start starts nothing if it cannot run a program or the logger, and says so",
		"delivery start"},
	{"QMTP and QMQP", "a server answers a package also if disorder follows it; a netstring has a length; a message has at most a million recipients; qmail-qmqpc passes over a server that cannot take the message now, believes only an answer that is complete, keeps a large message in /tmp, and has qmail-queue's limit on addresses",
		"netstring qmqpc qmtp qmail-qmqpc"},
	{"foreign control files", "qmail-showctl knows those of patched versions of qmail, and says which are dangerous to ignore",
		"showctl"},
	{"tcpserver", "the line with the process id stands before the one that says ok; /etc/hosts counts; wrong users and limits are usage errors; connections beyond what there are descriptors for wait",
		"peer tcpserver"},
	{"POP before SMTP", "relay-ctrl's programs know IPv6; relay-ctrl-check leaves the working directory and the descriptor of the directory as they are for the next program, and takes USER and DOMAIN from an entry and no other variable; nothing but a regular file is an entry, and none from a clock that has been set back for long; a login at the moment in which an old one is removed is kept",
		"grant relayctl"},
	{"its companions", "recordio and fixcrio pass on what a program says after it has stopped reading; rblsmtpd looks IPv6 addresses up by their digits; tcpclient and tcp-env know IPv6, and tcpclient tries a host's addresses in the order that suits this one; rules may have IPv6 addresses and networks such as 10.0.0.0/9; a link to nothing in envdir's directory removes a variable; softlimit hands limits on memory on through programs of the suite",
		"dial envdir rblsmtpd relay softlimit tcpclient tcpenv tcprules"},
}

// differences prints the list as one more paragraph.
func differences(w io.Writer) {
	fmt.Fprint(w, "\nWhere Quail differs from qmail on purpose:\n")
	for _, d := range Differences {
		fmt.Fprintf(w, "%s: %s.\n", d.Topic, d.Text)
	}
	fmt.Fprintf(w, "\nSandboxes here are made of %s.\n", sandbox.Available())
}
