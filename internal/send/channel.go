package send

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/queue"
	"quail/internal/route"
)

// channel is one way out of the queue: a spawner, its deliveries under way, and
// the message that is being read for the next ones.
type channel struct {
	c        queue.Channel
	limit    int
	attempts []*attempt // by delivery number; nil is free
	used     int
	alive    bool // the spawner is there
	commands *os.File
	requests []byte // still to be written to it
	unread   int    // how many requests that is, with those that are being written
	writing  bool   // somebody else waits for the spawner to take requests
	due      schedule
	pass     *job // whose recipients are being read
	held     []held
	heldLast bool // the last delivery was of a held message
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
	held      *held       // the message is delivered straight from todo; else nil
	file      *queue.Pass // nil if it is not open
	birth     int64
	retry     int64 // when the message is due again if anybody is left
	dying     bool  // too old: whoever is deferred now has failed
	remaining int   // recipients seen in this pass and not done
	holds     int   // deliveries under way, and the pass while it is open
	complete  bool  // the pass has seen every recipient
	deleted   bool  // whoever is left is to be taken for done
}

// connect begins to talk to a spawner. hello is its limit, which the spawner
// writes first of all.
func (s *sender) connect(ch *channel, commands, reports *os.File) error {
	reporting, err := nowait.NewStream(reports)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(reporting, 16384)
	hello, err := r.ReadByte()
	if err != nil {
		return err
	}
	if ch.commands, err = nowait.Polled(commands); err != nil {
		return err
	}
	ch.limit = min(ch.limit, int(hello))
	ch.attempts = make([]*attempt, ch.limit)
	ch.alive = true
	go s.readReports(ch, r)
	return nil
}

// request writes the requests of a turn. If the spawner does not take them at once
// another goroutine waits for it.
func (s *sender) request(ch *channel) {
	if len(ch.requests) == 0 || ch.writing || !ch.alive {
		return
	}
	n, err := writeNow(ch.commands, ch.requests)
	switch {
	case err != nil:
		s.lostSpawner(ch)
	case n == len(ch.requests):
		ch.requests, ch.unread = ch.requests[:0], 0
	default:
		rest, requests := ch.requests[n:], ch.unread
		ch.requests, ch.writing = nil, true
		go func() {
			_, err := ch.commands.Write(rest)
			s.events <- func() {
				ch.writing = false
				ch.unread -= requests
				if err != nil {
					s.lostSpawner(ch)
				}
			}
		}()
	}
}

// writeNow writes what there is room for.
func writeNow(f *os.File, b []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		if n, failed = nowait.Write(int(fd), b); failed == unix.EAGAIN || failed == unix.EINTR {
			n, failed = 0, nil
		}
		return true
	})
	return n, errors.Join(err, failed)
}

// readReports makes events of reports, those that come together one.
func (s *sender) readReports(ch *channel, r *bufio.Reader) {
	for {
		report, err := delivery.ReadReport(r)
		reports := []delivery.Report{report}
		for err == nil && another(r) {
			report, err = delivery.ReadReport(r)
			reports = append(reports, report)
		}
		if err != nil {
			s.events <- func() { s.lostSpawner(ch) }
			return
		}
		s.events <- func() {
			for _, report := range reports {
				s.report(ch, report)
			}
		}
	}
}

// another reports whether a whole report has come already.
func another(r *bufio.Reader) bool {
	there, _ := r.Peek(r.Buffered())
	return len(there) > 1 && bytes.IndexByte(there[1:], 0) >= 0
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

// canStart reports whether a delivery can be handed out. Requests that the spawner
// has not taken count as well: it may report deliveries without reading requests.
func (ch *channel) canStart() bool {
	return ch.alive && ch.used < ch.limit && ch.unread < ch.limit
}

// nextDelivery returns when something can be done to deliver on a channel.
func (s *sender) nextDelivery(ch *channel) int64 {
	at := int64(math.MaxInt64)
	if len(ch.held) > 0 && s.canTake() {
		at = ch.held[0].since + heldLong
	}
	if !ch.canStart() {
		return at
	}
	if ch.pass != nil || len(ch.held) > 0 {
		return s.now
	}
	if e, ok := ch.due.min(); ok && s.jobs < s.maxJobs() {
		at = min(at, e.due)
	}
	return at
}

// deliverStep hands recipients out until no delivery is free. Messages that are held
// and those that are due take turns.
func (s *sender) deliverStep(ch *channel) {
	for range eventsATurn {
		if s.exiting || !ch.canStart() {
			return
		}
		due := ch.pass != nil || s.jobs < s.maxJobs() && ch.due.isDue(s.now)
		switch {
		case len(ch.held) > 0 && !(due && ch.heldLast):
			s.startHeld(ch)
		case due:
			s.passStep(ch)
		default:
			return
		}
	}
}

// passStep opens a pass or hands out one recipient.
func (s *sender) passStep(ch *channel) {
	if ch.pass == nil && !s.openPass(ch) {
		return
	}
	j := ch.pass
	r, err := j.file.Next()
	switch {
	case err == nil && r.Done:
	case err == nil:
		j.remaining++
		s.start(ch, j, r)
	case err == io.EOF:
		j.complete = true
		s.closePass(ch)
	case errors.Is(err, queue.ErrUnknownType):
		s.log.trouble("unknown record type in", j.id.Recipients(ch.c), "!")
		s.closePass(ch)
	default:
		s.log.trouble("trouble reading", j.id.Recipients(ch.c), "; will try again later")
		s.closePass(ch)
	}
}

// openPass begins with the earliest message that is due.
func (s *sender) openPass(ch *channel) bool {
	id, ok := ch.due.takeDue(s.now)
	if !ok {
		return false
	}
	p, err := s.dir.ServePass(id, ch.c)
	if err == nil {
		var info queue.Info
		if info, err = s.dir.ReadInfo(id); err == nil {
			birth := info.Birth.Unix()
			s.jobs++
			ch.pass = &job{
				id: id, c: ch, sender: info.Sender, file: p, birth: birth, holds: 1,
				retry: nextRetry(birth, s.now, ch.c),
				dying: s.now-birth > s.settings.lifetime,
			}
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
	j := ch.pass
	ch.pass = nil
	s.release(j)
}

// start hands a recipient to the spawner under the lowest free number.
func (s *sender) start(ch *channel, j *job, r queue.Recipient) {
	number := 0
	for ch.attempts[number] != nil {
		number++
	}
	j.holds++
	s.deliveries++
	ch.attempts[number] = &attempt{n: s.deliveries, job: j, recipient: r}
	ch.used++
	ch.heldLast = j.held != nil
	s.log.starting(s.deliveries, j.id, ch.c, r.Address)
	s.logStatus()
	ch.requests = delivery.Request{
		Number:    byte(number),
		Mess:      string(j.id.Mess())[len("mess/"):],
		Sender:    route.SenderFor(j.sender, r.Address),
		Recipient: r.Address,
	}.Append(ch.requests)
	ch.unread++
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
	s.log.outcome(a.n, r)
	switch {
	case a.job.held != nil:
		a.job.held.alarms = s.alarms
		s.settle(a.job, r)
	case r.Letter == delivery.Success:
		s.markDone(a.job, a.recipient)
	case r.Letter == delivery.Permanent:
		s.fail(a.job, a.recipient, r, func() { s.free(ch, r.Number) })
		return
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

// fail notes a failure for the bounce, marks the recipient as done, and then goes on.
// The paragraph must be there before the recipient is not tried again: where it cannot
// be written a delivery keeps its number, and meanwhile other mail goes on.
//
// Differs from qmail: only this delivery waits, not the whole of qmail-send.
func (s *sender) fail(j *job, recipient queue.Recipient, r delivery.Report, then func()) {
	text := paragraph(s.settings.routes.WithoutPrefix(recipient.Address), r.Text)
	if err := s.dir.AppendBounce(j.id, text); err != nil {
		s.log.alert("unable to append to bounce message; HELP! sleeping...")
		s.failing++
		s.later(retryDisk, func() {
			s.failing--
			s.fail(j, recipient, r, then)
		})
		return
	}
	s.markDone(j, recipient)
	then()
}

func (s *sender) markDone(j *job, recipient queue.Recipient) {
	var err error
	if j.file == nil { // it was not there before
		j.file, err = s.dir.ServePass(j.id, j.c.c)
	}
	if err == nil {
		err = j.file.MarkDone(recipient.At)
	}
	if err != nil {
		s.log.trouble("trouble marking", j.id.Recipients(j.c.c), "; message will be delivered twice!")
	}
	j.remaining--
}

// release drops one hold on a job. With the last one the job is over.
func (s *sender) release(j *job) {
	if j.holds--; j.holds > 0 {
		return
	}
	s.jobs--
	if j.held == nil { // else settle goes on
		s.conclude(j)
	}
}

// conclude draws the sum of a job: the message is due again, or this channel has
// nothing left to do for it.
func (s *sender) conclude(j *job) {
	if j.file != nil {
		j.file.Close()
	}
	switch left := !j.complete || j.remaining > 0; {
	case left && j.deleted:
		s.deleteFrom(j.id, []queue.Channel{j.c.c}, func(error) {})
		return
	case left:
		s.dueAgain(j)
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

// dueAgain schedules a message for those who are left. Marks have changed the time that
// holds a message.
func (s *sender) dueAgain(j *job) {
	if queue.IsHeld(j.retry) && s.dir.SetNextAttempt(j.id, j.c.c, time.Unix(j.retry, 0)) != nil {
		s.log.trouble("unable to utime", j.id.Recipients(j.c.c), "; message will be retried too soon")
	}
	j.c.due.add(entry{j.retry, j.id})
}

// maxJobs bounds the messages of which recipients are being served.
func (s *sender) maxJobs() int {
	n := 0
	for _, ch := range s.channels {
		n += ch.limit
	}
	return n
}
