package send

import (
	"fmt"
	"io"
	"os"
	"strings"

	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/received"
	"quail/internal/route"
	"quail/internal/submit"
)

// Bounces are in qmail-send's own format, QSBMF: programs read them. See spec
// "qmail-start and qmail-send", sections 11 and 12.

// doubleBounceSender marks a bounce of a bounce; it is never answered.
const doubleBounceSender = "#@[]"

// paragraph returns what bounce/ID gets for one recipient that has failed.
func paragraph(recipient, report string) string {
	text := []byte("<" + strings.ReplaceAll(recipient, "\n", "_") + ">:\n" + report)
	if text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	// A blank line would end the paragraph. As in qmail, the last byte is not
	// looked at, so a report ending in two line feeds keeps one.
	for i := len(text) - 2; i > 0; i-- {
		if text[i] == '\n' && text[i-1] == '\n' {
			text[i] = '/'
		}
	}
	return string(text) + "\n"
}

// bounce is a message that reports failed deliveries.
type bounce struct {
	sender    string // of the envelope
	recipient string
	head      string // all before the paragraphs
	middle    string // between the paragraphs and the message
}

// newBounce returns the bounce of a message from sender. ok is false if that
// message must not be answered, being a double bounce itself.
func (s *settings) newBounce(sender string, date string) (b bounce, ok bool) {
	sender = strings.TrimSuffix(sender, route.VerpMark)
	const single = "I'm afraid I wasn't able to deliver your message to the following addresses.\n" +
		"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
	const double = "I tried to deliver a bounce message to this address, but the bounce bounced!\n\n"
	introduction := single
	switch sender {
	case doubleBounceSender:
		return bounce{}, false
	case "":
		b = bounce{sender: doubleBounceSender, recipient: s.doubleBounce,
			middle: "--- Below this line is the original bounce.\n\nReturn-Path: <>\n"}
		introduction = double
	default:
		b = bounce{recipient: sender,
			middle: "--- Below this line is a copy of the message.\n\nReturn-Path: <" + mailaddr.Quote(sender) + ">\n"}
	}
	b.head = fmt.Sprintf("Date: %s\nFrom: %s@%s\nTo: %s\nSubject: failure notice\n\n"+
		"Hi. This is the qmail-send program at %s.\n%s",
		date, mailaddr.QuoteLocal(s.bounceFrom), s.bounceHost, mailaddr.Quote(b.recipient), s.bounceHost, introduction)
	return b, true
}

// bounceResult is what came of injecting a bounce.
type bounceResult struct {
	id      queue.ID
	qp      int
	problem string // for the log; "" if it is queued
}

const (
	bounceNotStarted = "unable to start qmail-queue, will try later"
	bounceTrouble    = "trouble injecting bounce message, will try later"
)

// inject puts the bounce into the queue, with the paragraphs and the text of the
// message it answers.
func (b bounce) inject(p *prog.Process, d queue.Dir, id queue.ID) bounceResult {
	m, err := submit.Open(p)
	if err != nil {
		return bounceResult{id: id, problem: bounceNotStarted}
	}
	m.WriteString(b.head)
	for _, part := range []struct {
		n     queue.Name
		after string
	}{{id.Bounce(), b.middle}, {id.Mess(), ""}} {
		if err := copyFile(m, d.Path(part.n)); err != nil {
			m.Fail()
		}
		m.WriteString(part.after)
	}
	m.From(b.sender)
	m.To(b.recipient)
	if result := m.Close(); !result.OK() {
		return bounceResult{id: id, problem: bounceTrouble}
	}
	return bounceResult{id: id, qp: m.QP}
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// bounces are those of finished messages, one after another as long as that goes
// well. None of these messages ends before its bounce is queued.
//
// Differs from qmail: deliveries go on meanwhile, and after bouncePatience all else.
type bounces struct {
	of       map[queue.ID]bool // messages whose bounce waits or is under way
	waiting  []queue.ID
	underway int
	since    int64 // when there began to be any under way
}

func (b *bounces) add(id queue.ID) {
	b.of[id] = true
	b.waiting = append(b.waiting, id)
}

// todoHeldUntil returns when todo may be looked at.
func (s *sender) todoHeldUntil() int64 {
	if s.bounces.underway == 0 || s.bounces.since > s.now { // or the clock was set back
		return s.now
	}
	return s.bounces.since + bouncePatience
}

// nextBounce returns when a bounce that waits can be started.
func (s *sender) nextBounce() int64 {
	if len(s.bounces.waiting) == 0 || s.bounces.underway >= maxBounces || s.clean.busy() {
		return s.now + maxSleep
	}
	return s.todoHeldUntil()
}

// bounceStep starts the next bounce.
func (s *sender) bounceStep() {
	if s.nextBounce() > s.now {
		return
	}
	id := s.bounces.waiting[0]
	s.bounces.waiting = s.bounces.waiting[1:]
	info, err := s.dir.ReadInfo(id)
	if err != nil {
		s.retryBounce(id)
		return
	}
	b, answer := s.settings.newBounce(info.Sender, received.Date(s.p.Now()))
	if !answer {
		s.log.tripleBounce(id)
		s.afterBounce(id)
		return
	}
	if s.bounces.underway == 0 {
		s.bounces.since = s.now
	}
	s.bounces.underway++
	go func() {
		result := b.inject(s.p, s.dir, id)
		s.events <- func() { s.bounceDone(result) }
	}()
}

// bounceDone goes on with a message whose bounce has been handed in.
func (s *sender) bounceDone(r bounceResult) {
	s.bounces.underway--
	if r.problem != "" {
		s.log.warning(r.problem)
		s.retryBounce(r.id)
		return
	}
	s.log.bounced(r.id, r.qp)
	s.afterBounce(r.id)
}

// retryBounce has the message looked at again later.
func (s *sender) retryBounce(id queue.ID) {
	delete(s.bounces.of, id)
	s.finished.add(entry{s.now + retrySystem, id})
}

// afterBounce ends a message that has been answered for.
func (s *sender) afterBounce(id queue.ID) {
	if err := s.dir.Remove(id.Bounce()); err != nil {
		s.log.trouble("unable to unlink", id.Bounce(), "")
		s.retryBounce(id)
		return
	}
	delete(s.bounces.of, id)
	s.endMessage(id)
}
