package send

import (
	"bufio"
	"errors"
	"io"
	"os"

	"quail/internal/delivery"
	"quail/internal/queue"
)

// channel is one way out of the queue: a spawner, its deliveries under way, and
// the message that is being read for the next ones.
type channel struct {
	c        queue.Channel
	limit    int
	attempts []*attempt // by delivery number; nil is free
	used     int
	alive    bool        // the spawner is there
	requests chan []byte // to the goroutine that writes to it
	due      schedule
	pass     *pass
}

// attempt is a delivery under way.
type attempt struct {
	n         uint64 // its number in the log
	job       *job
	recipient queue.Recipient
	reported  bool // its outcome is known and being dealt with
}

// job is one attempt to serve a channel of a message: a pass over its recipients
// and the deliveries that came of it. It ends with the last of these.
type job struct {
	id        queue.ID
	c         *channel
	sender    string
	retry     int64 // when the message is due again if anybody is left
	dying     bool  // too old: whoever is deferred now has failed
	remaining int   // recipients seen in this pass and not done
	holds     int   // deliveries under way, and the pass while it is open
	complete  bool  // the pass has seen every recipient
}

// pass reads the recipients for a job.
type pass struct {
	*queue.Pass
	job *job
}

// connect begins to talk to a spawner. hello is its limit, which the spawner
// writes first of all.
func (s *sender) connect(ch *channel, commands, reports *os.File) error {
	r := bufio.NewReaderSize(reports, 16384)
	hello, err := r.ReadByte()
	if err != nil {
		return err
	}
	ch.limit = min(ch.limit, int(hello))
	ch.attempts = make([]*attempt, ch.limit)
	ch.alive = true
	// A delivery number is reused only after its report, so that no more requests
	// than numbers can wait; unless reports come before the requests were read.
	ch.requests = make(chan []byte, ch.limit)
	go s.writeRequests(ch, commands)
	go s.readReports(ch, r)
	return nil
}

func (s *sender) writeRequests(ch *channel, commands *os.File) {
	for request := range ch.requests {
		if len(ch.requests) == cap(ch.requests)-1 { // there was no room for more
			s.events <- func() {}
		}
		if _, err := commands.Write(request); err != nil {
			s.events <- func() { s.lostSpawner(ch) }
			return
		}
	}
}

func (s *sender) readReports(ch *channel, r *bufio.Reader) {
	for {
		report, err := delivery.ReadReport(r)
		if err != nil {
			s.events <- func() { s.lostSpawner(ch) }
			return
		}
		s.events <- func() { s.report(ch, report) }
	}
}

// lostSpawner gives up all deliveries of a channel; those who got mail anyway will
// get it again.
func (s *sender) lostSpawner(ch *channel) {
	if ch.alive {
		ch.alive = false
		s.log.alert("oh no! lost spawn connection! dying...")
		s.exiting = true
	}
}

// canStart reports whether a delivery can be handed out.
func (ch *channel) canStart() bool {
	return ch.alive && ch.used < ch.limit && len(ch.requests) < cap(ch.requests)
}

// passStep opens a pass or hands out one recipient.
func (s *sender) passStep(ch *channel) {
	if s.exiting || ch.pass == nil && !s.openPass(ch) || !ch.canStart() {
		return
	}
	r, err := ch.pass.Next()
	switch {
	case err == nil && r.Done:
	case err == nil:
		ch.pass.job.remaining++
		s.start(ch, r)
	case err == io.EOF:
		ch.pass.job.complete = true
		s.closePass(ch)
	case errors.Is(err, queue.ErrUnknownType):
		s.log.trouble("unknown record type in", ch.pass.job.id.Recipients(ch.c), "!")
		s.closePass(ch)
	default:
		s.log.trouble("trouble reading", ch.pass.job.id.Recipients(ch.c), "; will try again later")
		s.closePass(ch)
	}
}

// openPass begins with the earliest message that is due.
func (s *sender) openPass(ch *channel) bool {
	if s.jobs >= s.maxJobs() {
		return false
	}
	id, ok := ch.due.takeDue(s.now)
	if !ok {
		return false
	}
	p, err := s.dir.OpenPass(id, ch.c)
	if err == nil {
		var info queue.Info
		if info, err = s.dir.ReadInfo(id); err == nil {
			birth := info.Birth.Unix()
			s.jobs++
			ch.pass = &pass{p, &job{
				id: id, c: ch, sender: info.Sender, holds: 1,
				retry: nextRetry(birth, s.now, ch.c),
				dying: s.now-birth > s.settings.lifetime,
			}}
			return true
		}
		p.Close()
	}
	_, n := asQueueError(err)
	s.log.trouble("trouble opening", n, "; will try again later")
	ch.due.add(entry{s.now + retrySystem, id})
	return false
}

func (s *sender) closePass(ch *channel) {
	ch.pass.Close()
	j := ch.pass.job
	ch.pass = nil
	s.release(j)
}

// start hands a recipient to the spawner under the lowest free number.
func (s *sender) start(ch *channel, r queue.Recipient) {
	number := 0
	for ch.attempts[number] != nil {
		number++
	}
	j := ch.pass.job
	j.holds++
	s.deliveries++
	ch.attempts[number] = &attempt{n: s.deliveries, job: j, recipient: r}
	ch.used++
	s.log.starting(s.deliveries, j.id, ch.c, r.Address)
	s.logStatus()
	ch.requests <- delivery.Request{
		Number:    byte(number),
		Mess:      string(j.id.Mess())[len("mess/"):],
		Sender:    senderFor(j.sender, r.Address),
		Recipient: r.Address,
	}.Append(nil)
}

// report takes what a spawner says of a delivery.
func (s *sender) report(ch *channel, r delivery.Report) {
	if int(r.Number) >= len(ch.attempts) || ch.attempts[r.Number] == nil || ch.attempts[r.Number].reported {
		s.log.warning("internal error: delivery report out of range")
		return
	}
	a := ch.attempts[r.Number]
	a.reported = true
	if r.Letter == delivery.Temporary && a.job.dying {
		r.Letter = delivery.Permanent
		r.Text += "I'm not going to try again; this message has been in the queue too long.\n"
	}
	switch r.Letter {
	case delivery.Success:
		s.log.success(a.n, r.Text)
		s.markDone(a)
	case delivery.Temporary:
		s.log.deferral(a.n, r.Text)
	case delivery.Permanent:
		s.log.failure(a.n, r.Text)
		// The paragraph must be there before the recipient is not tried again.
		if !s.appendBounce(ch, a, r) {
			return
		}
		s.markDone(a)
	default:
		s.log.mangled(a.n)
	}
	s.free(ch, r.Number)
}

// free ends a delivery whose report has been dealt with.
func (s *sender) free(ch *channel, number byte) {
	a := ch.attempts[number]
	ch.attempts[number] = nil
	ch.used--
	s.release(a.job)
	s.logStatus()
}

// appendBounce notes a failure for the bounce. Where that cannot be written the
// delivery keeps its number and the report comes again: the failure is not
// forgotten, and meanwhile other mail goes on.
//
// Differs from qmail: only this delivery waits, not the whole of qmail-send.
func (s *sender) appendBounce(ch *channel, a *attempt, r delivery.Report) bool {
	text := paragraph(s.settings.routes.withoutPrefix(a.recipient.Address), r.Text)
	if err := s.dir.AppendBounce(a.job.id, text); err != nil {
		s.log.alert("unable to append to bounce message; HELP! sleeping...")
		s.pauses = append(s.pauses, timer{s.now + retryDisk, func() {
			if s.appendBounce(ch, a, r) {
				s.markDone(a)
				s.free(ch, r.Number)
			}
		}})
		return false
	}
	return true
}

func (s *sender) markDone(a *attempt) {
	if err := s.dir.MarkDone(a.job.id, a.job.c.c, a.recipient.At); err != nil {
		s.log.trouble("trouble marking", a.job.id.Recipients(a.job.c.c), "; message will be delivered twice!")
	}
	a.job.remaining--
}

// release drops one hold on a job. With the last one the job is over: the message
// is due again, or this channel has nothing left to do for it.
func (s *sender) release(j *job) {
	if j.holds--; j.holds > 0 {
		return
	}
	s.jobs--
	if !j.complete || j.remaining > 0 {
		j.c.due.add(entry{j.retry, j.id})
		return
	}
	if s.dir.Remove(j.id.Recipients(j.c.c)) != nil {
		s.log.trouble("unable to unlink", j.id.Recipients(j.c.c), "; will try again later")
		j.c.due.add(entry{s.now + retrySystem, j.id})
		return
	}
	for _, other := range queue.Channels {
		if other == j.c.c {
			continue
		}
		exists, err := s.dir.Exists(j.id.Recipients(other))
		if exists {
			return
		}
		if err != nil {
			s.log.trouble("unable to stat", j.id.Recipients(other), "")
		}
	}
	s.finished.add(entry{s.now, j.id})
}

// maxJobs bounds the messages of which recipients are being served.
func (s *sender) maxJobs() int {
	n := 0
	for _, ch := range s.channels {
		n += ch.limit
	}
	return n
}
