package remote

import (
	"os"
	"strconv"
	"strings"

	"quail/internal/mailaddr"
)

// transaction is one message on its way through one session: MAIL, the RCPT
// commands of all mails that share it, DATA. Its commands are counted from MAIL on.
type transaction struct {
	mails    []*mail
	shared   bool // among jobs: a mail may wait for the next transaction
	commands []command
	sent     int // commands
	answered int
	accepted int     // recipients
	moved    []*mail // that the server would rather have in a transaction of their own
}

// command is one line; that of MAIL is nobody's.
type command struct {
	line string
	mail *mail
}

// newTransaction is one for mails of one sender and text.
func newTransaction(mails []*mail, shared bool) *transaction {
	t := &transaction{mails: mails, shared: shared}
	t.commands = append(make([]command, 0, 1+len(mails)), command{})
	for _, m := range mails {
		for _, recipient := range m.recipients {
			t.commands = append(t.commands, command{"RCPT TO:<" + path(recipient) + ">\r\n", m})
		}
	}
	return t
}

// mailFrom is the first command. size says whether the server wants to be told the
// size of the text.
func (t *transaction) mailFrom(size bool) string {
	first := t.mails[0]
	s := "MAIL FROM:<" + path(first.sender) + ">"
	if !size {
		return s + "\r\n"
	}
	if n := first.size(); n >= 0 {
		s += " SIZE=" + strconv.FormatInt(n, 10)
	}
	return s + "\r\n"
}

// next returns the next commands to be sent, at most limit of them.
func (t *transaction) next(limit int, size bool) string {
	var b strings.Builder
	for ; limit > 0 && t.sent < len(t.commands); limit-- {
		if t.sent == 0 {
			b.WriteString(t.mailFrom(size))
		} else {
			b.WriteString(t.commands[t.sent].line)
		}
		t.sent++
	}
	return b.String()
}

// rewind makes the transaction one that has not begun.
func (t *transaction) rewind() { t.sent, t.answered = 0, 0 }

// tooMany is the reply of a server that takes no more recipients in this
// transaction (RFC 5321, 4.5.3.1.10).
const tooMany = 452

// rcpt takes the reply to a RCPT command. If that says that there are enough of
// them now, the mail and all those whose commands have not been sent yet are left
// to the next transaction; but only where this one has something to carry.
func (t *transaction) rcpt(m *mail, peer string, answer *reply) {
	if t.shared && answer.code == tooMany && t.accepted > 0 && len(m.recipients) == 1 {
		t.moved = append(t.moved, m)
		t.cut()
		return
	}
	if m.report(peer, answer) {
		t.accepted++
	}
}

// cut leaves out the commands that have not been sent. A mail of which some have
// stays whole.
func (t *transaction) cut() {
	keep := t.sent
	for keep < len(t.commands) && t.commands[keep].mail == t.commands[keep-1].mail {
		keep++
	}
	for _, c := range t.commands[keep:] {
		if n := len(t.moved); t.moved[n-1] != c.mail {
			t.moved = append(t.moved, c.mail)
		}
	}
	t.commands = t.commands[:keep]
}

// end gives v to every mail that has no verdict and is not left for later.
func (t *transaction) end(v verdict) {
	later := make(map[*mail]bool, len(t.moved))
	for _, m := range t.moved {
		later[m] = true
	}
	for _, m := range t.mails {
		if !later[m] {
			m.end(v)
		}
	}
}

// text is the message, as one that has been accepted brought it: the others may be
// gone by now.
func (t *transaction) text() *os.File {
	for _, m := range t.mails {
		if m.accepted {
			return m.text
		}
	}
	return nil
}

// path writes an address as it stands between < and >. One without @ goes out as
// it is, so that the empty sender stays empty.
func path(address string) string {
	if !strings.Contains(address, "@") {
		return address
	}
	return mailaddr.Quote(address)
}
