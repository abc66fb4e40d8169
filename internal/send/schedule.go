package send

import "quail/internal/queue"

// entry is a message that is due at a time, in seconds of the clock.
type entry struct {
	due int64
	id  queue.ID
}

// schedule is a heap of entries, earliest first: 16 bytes for each.
type schedule []entry

// spare is how many unused entries are not worth giving back.
const spare = 4096

// min returns the earliest entry.
func (s schedule) min() (entry, bool) {
	if len(s) == 0 {
		return entry{}, false
	}
	return s[0], true
}

func (s *schedule) add(e entry) {
	h := append(*s, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].due <= e.due {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
	*s = h
}

// removeMin removes the entry that min returned.
func (s *schedule) removeMin() {
	h := *s
	last := h[len(h)-1]
	h = h[:len(h)-1]
	if cap(h) > spare && len(h) < cap(h)/4 { // give back what a large queue took
		h = append(make(schedule, 0, cap(h)/2), h...)
	}
	*s = h
	if len(h) == 0 {
		return
	}
	h[0] = last
	h.down(0)
}

// down moves the entry at i to where it belongs, which is below.
func (s schedule) down(i int) {
	e := s[i]
	for {
		child := 2*i + 1
		if child >= len(s) {
			break
		}
		if child+1 < len(s) && s[child+1].due < s[child].due {
			child++
		}
		if e.due <= s[child].due {
			break
		}
		s[i] = s[child]
		i = child
	}
	s[i] = e
}

// heapify makes a heap of entries in any order.
func (s schedule) heapify() {
	for i := len(s)/2 - 1; i >= 0; i-- {
		s.down(i)
	}
}

// isDue reports whether an entry is due.
func (s schedule) isDue(now int64) bool { return len(s) > 0 && s[0].due <= now }

// takeDue removes and returns the earliest entry if it is due now.
func (s *schedule) takeDue(now int64) (queue.ID, bool) {
	e, ok := s.min()
	if !ok || e.due > now {
		return 0, false
	}
	s.removeMin()
	return e.id, true
}

// drop removes the entries of a message, if there are any. It looks at all there are,
// so it is for schedules that are short.
func (s *schedule) drop(id queue.ID) {
	old := *s
	*s = nil
	for _, e := range old {
		if e.id != id {
			s.add(e)
		}
	}
}

// dueNow makes every entry due but for those that are held.
//
// Differs from qmail: it would try these too.
func (s schedule) dueNow(now int64) {
	for i := range s {
		if !queue.IsHeld(s[i].due) {
			s[i].due = now
		}
	}
	s.heapify()
}

// skip is the step of the retry formula, in square roots of seconds.
var skip = [len(queue.Channels)]int64{queue.Local: 10, queue.Remote: 20}

// nextRetry returns when a message born at birth is tried again after an attempt
// that starts now: the square root of the age grows by skip each time.
func nextRetry(birth, now int64, c queue.Channel) int64 {
	n := squareRoot(max(0, now-birth)) + skip[c]
	return birth + n*n
}

// squareRoot returns the largest integer whose square is at most n.
func squareRoot(n int64) int64 {
	root := int64(0)
	for bit := int64(1) << 31; bit > 0; bit >>= 1 {
		if t := root | bit; t <= n/max(t, 1) {
			root = t
		}
	}
	return root
}
