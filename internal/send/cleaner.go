package send

import (
	"io"

	"quail/internal/delivery"
	"quail/internal/queue"
)

// maxAsked bounds the requests that qmail-clean has not answered. They fit into the
// smallest pipe that Linux makes, 4,096 bytes, as do the answers: so writing to
// qmail-clean never waits, and neither can wait for the other.
const maxAsked = 128

// manyRemovals is how many may wait before no work is begun that needs more.
const manyRemovals = 2 * maxAsked

// cleaner has qmail-clean remove files. Requests are written as long as there is
// room, many in one write; answers come in their order.
type cleaner struct {
	requests io.Writer
	waiting  []removal // in the order of the requests
	asked    int       // how many of them have been written
	lost     bool
}

// removal is a request and what follows from its answer.
type removal struct {
	what string
	id   queue.ID
	then func(done bool)
}

// remove has qmail-clean remove what there is of a message, soon. If qmail-clean is
// gone nothing follows: everything stays as it is for the next qmail-send.
func (s *sender) remove(what string, id queue.ID, then func(done bool)) {
	if !s.clean.lost {
		s.clean.waiting = append(s.clean.waiting, removal{what, id, then})
	}
}

// busy reports whether no further work should be begun.
func (c *cleaner) busy() bool { return len(c.waiting) >= manyRemovals }

// about reports whether anything is to be removed of a message. To ask once more could
// hit the next message of that number.
func (c *cleaner) about(id queue.ID) bool {
	for _, r := range c.waiting {
		if r.id == id {
			return true
		}
	}
	return false
}

// askClean writes requests as far as there is room.
func (s *sender) askClean() {
	c := &s.clean
	if c.asked == len(c.waiting) || c.asked == maxAsked {
		return
	}
	var requests []byte
	for c.asked < len(c.waiting) && c.asked < maxAsked {
		r := c.waiting[c.asked]
		requests = append(r.id.Append(append(append(requests, r.what...), '/')), 0)
		c.asked++
	}
	if _, err := c.requests.Write(requests); err != nil {
		s.lostClean()
	}
}

// answered goes on with what has been removed, or not.
func (s *sender) answered(answers []byte) {
	c := &s.clean
	for _, answer := range answers {
		if c.asked == 0 { // then nobody knows which answer belongs to what
			s.lostClean()
			return
		}
		r := c.waiting[0]
		c.waiting[0] = removal{}
		c.waiting = c.waiting[1:]
		c.asked--
		done := answer == delivery.CleanDone
		if !done {
			s.log.warning("qmail-clean unable to clean up " + r.what + "/" + r.id.String())
		}
		if r.then != nil {
			r.then(done)
		}
	}
}

// readAnswers makes events of answers until qmail-clean is gone.
func (s *sender) readAnswers(from io.Reader) {
	for {
		answers := make([]byte, maxAsked)
		n, err := from.Read(answers)
		if n > 0 {
			s.events <- func() { s.answered(answers[:n]) }
		}
		if err != nil {
			s.events <- s.lostClean
			return
		}
	}
}

func (s *sender) lostClean() {
	if s.clean.lost {
		return
	}
	s.clean.lost = true
	s.clean.waiting, s.clean.asked = nil, 0
	s.log.alert("oh no! lost qmail-clean connection! dying...")
	s.exiting = true
}
