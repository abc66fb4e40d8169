package remote

import (
	"bytes"
	"os"
	"strings"
	"time"

	"quail/internal/prog"
)

// mail is one job: what is to be delivered, and what has become of it. It belongs
// to the job's goroutine, but for the time that it is part of a group: then to
// that of the group's leader.
type mail struct {
	sender     string
	recipients []string
	text       *os.File
	now        func() time.Time
	number     int // of the job

	reports  bytes.Buffer // about recipients
	answered int          // of the recipients, how many the server has answered
	accepted bool         // at least one of them
	verdict  verdict      // at the end, after which nothing changes any more
	err      error        // instead of a verdict, if the group's leader has failed

	// orders has, in a process of many jobs, a group that this job is to lead, or
	// nil when the job is done.
	orders chan *group
	// ended, if not nil, is called when the mail has its verdict, before its job knows.
	ended func()
}

func newMail(p *prog.Process) *mail {
	return &mail{
		sender:     p.Args[1],
		recipients: p.Args[2:],
		text:       p.Stdin,
		now:        p.Now,
		number:     p.PID,
		orders:     make(chan *group, 1),
	}
}

// end gives the mail its verdict, unless it has one, and lets its job go on.
func (m *mail) end(v verdict) {
	if m.verdict == "" && m.err == nil {
		m.verdict = v
		m.over()
	}
}

// fail is end for a fault of ours.
func (m *mail) fail(err error) {
	if m.verdict == "" && m.err == nil {
		m.err = err
		m.over()
	}
}

func (m *mail) over() {
	if m.ended != nil {
		m.ended()
	}
	m.orders <- nil
}

// breaksLine reports whether an address cannot be written in an SMTP command.
//
// Differs from qmail: such an address is refused instead of sent; its second line
// would have been a command.
func (m *mail) breaksLine() bool {
	if strings.ContainsAny(m.sender, "\r\n") {
		return true
	}
	for _, address := range m.recipients {
		if strings.ContainsAny(address, "\r\n") {
			return true
		}
	}
	return false
}

// size returns how long the message is, or -1 if that is not known beforehand.
func (m *mail) size() int64 {
	info, err := m.text.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}

// report writes what a reply means to the next recipient that has none; peer is who
// said it. A mail whose recipients have all been refused has come to its end.
func (m *mail) report(peer string, answer *reply) (accepted bool) {
	m.answered++
	switch {
	case answer.code < failure:
		m.reports.WriteString("r\x00")
		m.accepted = true
		return true
	case answer.code < permanent:
		m.reports.WriteString("s")
	default:
		m.reports.WriteString("h")
	}
	m.reports.WriteString(peer + " does not like recipient.\n" + answer.said() + "\x00")
	if m.answered == len(m.recipients) && !m.accepted {
		m.end(verdict("DGiving up on " + peer + ".\n"))
	}
	return false
}
