package send

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"quail/internal/delivery"
	"quail/internal/queue"
)

// A qmail-clean that does not answer holds up nothing but what needs it, within
// bounds; then everything goes on in order.
func TestSlowClean(t *testing.T) {
	s := newTestSender(t)
	wait := make(chan bool)
	var asked []queue.ID
	s.cleaning(func(what string, id queue.ID) byte {
		<-wait
		asked = append(asked, id)
		return delivery.CleanDone
	})
	var done []queue.ID
	const n = manyRemovals + 100
	for id := queue.ID(1); id <= n; id++ {
		s.remove("foop", 1<<63+id, func(ok bool) {
			if ok {
				done = append(done, 1<<63+id)
			}
		})
		s.askClean() // must not wait
	}
	if s.clean.asked != maxAsked || !s.clean.busy() || !s.clean.about(1<<63+n) || s.clean.about(1) {
		t.Errorf("%d requests asked, busy %v", s.clean.asked, s.clean.busy())
	}
	s.queued(24, "joe@me.example")
	s.triggered = true
	s.todoStep()
	s.finished.add(entry{s.now, 25})
	s.finishStep()
	if s.preparing != 0 || len(s.finished) != 1 {
		t.Error("more was begun that needs qmail-clean")
	}
	s.triggered = false
	if at := s.wakeUp(); at <= s.now {
		t.Error("qmail-send turns around without sleep")
	}
	close(wait)
	s.settled()
	if len(done) != n || fmt.Sprint(done) != fmt.Sprint(asked) {
		t.Errorf("%d of %d answers, in another order than the requests: %v, %v", len(done), n, asked, done)
	}
	if s.clean.busy() || s.busy() {
		t.Error("still busy")
	}
}

// The bytes of the smallest pipe are enough for all requests that are not answered.
func TestRequestsFitIntoPipe(t *testing.T) {
	var b bytes.Buffer
	for range maxAsked {
		fmt.Fprintf(&b, "foop/%v\x00", queue.ID(1<<64-1))
	}
	if b.Len() > 4096 {
		t.Errorf("%d bytes", b.Len())
	}
}

// Without qmail-clean, or with one whose answers nobody can assign, nothing more is
// done and qmail-send ends.
func TestLostClean(t *testing.T) {
	for _, answer := range []string{"", "+++"} {
		s := newTestSender(t)
		answers, clean := s.pipe()
		_, toClean := s.pipe()
		s.clean = cleaner{requests: toClean}
		go s.readAnswers(answers)
		for id := queue.ID(1); id <= 2; id++ {
			s.remove("todo", id, func(bool) {})
		}
		s.askClean()
		clean.WriteString(answer)
		clean.Close()
		for !s.clean.lost {
			s.event()
		}
		s.remove("foop", 3, nil)
		s.askClean()
		s.lostClean()
		if got := s.said(); got != "alert: oh no! lost qmail-clean connection! dying...\n" || !s.exiting || s.busy() {
			t.Errorf("log %q, exiting %v, busy %v", got, s.exiting, s.busy())
		}
	}
}

// Debris of a number that is being removed already must not be removed once more: by
// then the number may be that of the next message.
func TestDebrisOnce(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.file(id.Mess(), "x")
	s.now += int64(queue.Ossified/time.Second) * 100000
	if !s.isDebris(id) {
		t.Fatal("no debris")
	}
	s.remove("foop", id, nil)
	if s.isDebris(id) {
		t.Error("removed twice")
	}
	s.settled()
	s.file(id.Mess(), "x")
	if s.taken[id] = true; s.isDebris(id) {
		t.Error("a message in hand is taken for debris")
	}
}

// A refusal is said, and the message that could not leave todo is taken up again by
// the next walk.
func TestCleanRefuses(t *testing.T) {
	s := newTestSender(t)
	s.cleaning(func(string, queue.ID) byte { return delivery.CleanInvalid })
	const id queue.ID = 24
	s.queued(id, "joe@me.example", "jim@me.example")
	for range 2 {
		s.takeUp()
		want := "new msg 24\ninfo msg 24: bytes 5 from <a@b> qp 2 uid 1\nwarning: qmail-clean unable to clean up todo/24\n"
		if got := s.said(); got != want || len(s.channels[queue.Local].due) != 0 {
			t.Errorf("log %q, due %v", got, s.channels[queue.Local].due)
		}
	}
}
