package send

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/order"
	"quail/internal/queue"
	"quail/internal/selection"
)

// targets finds messages as those who give orders do.
func (s *testSender) targets(o order.Order) (out []*target) {
	s.t.Helper()
	err := selection.Each(s.dir, o, s.p.Now(), func(f selection.Found, err error) bool {
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, &target{Found: f})
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// ask has an order carried out, and returns what became of each message. Events are run
// until that is known, or until hold says stop.
func (s *testSender) ask(verb order.Verb, ids ...uint64) string {
	s.t.Helper()
	o := order.Order{Verb: verb, IDs: ids, All: len(ids) == 0}
	targets := s.targets(o)
	done := false
	s.sender.order(o, 0, targets, func() { done = true })
	for !done {
		s.event()
	}
	var out []string
	for _, t := range targets {
		out = append(out, strings.TrimPrefix(t.State+": ", ": ")+t.Outcome)
	}
	return strings.Join(out, "; ")
}

func (s *testSender) due(id queue.ID, c queue.Channel) int64 {
	s.t.Helper()
	at, _, err := s.dir.NextAttempt(id, c)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range s.channels[c].due {
		if e.id == id && at.Unix() != e.due && queue.IsHeld(e.due) {
			s.t.Errorf("due at %d in memory and at %d on disk", e.due, at.Unix())
		}
		if e.id == id {
			return e.due
		}
	}
	return -at.Unix() // on disk alone
}

// waiting makes message 24 with a local and a remote recipient, due in an hour.
func (s *testSender) waiting() queue.ID {
	const id queue.ID = 24
	s.file(id.Mess(), "x\n")
	s.file(id.Info(), "Fa@b\x00")
	for _, c := range queue.Channels {
		s.file(id.Recipients(c), "Dz\x00Tjoe@me.example\x00")
		s.channels[c].due.add(entry{s.now + 3600, id})
		s.channels[c].due.add(entry{s.now + 10, 7})
	}
	return id
}

func TestOrders(t *testing.T) {
	s := newTestSender(t)
	id := s.waiting()
	for _, c := range []struct {
		verb order.Verb
		want string
		due  int64
	}{
		{order.List, "waiting: ", s.now + 3600},
		{order.Release, "waiting: not held", s.now + 3600},
		{order.Hold, "waiting: done", queue.Held},
		{order.Hold, "held: done", queue.Held},
		{order.Requeue, "held: held: nothing but release moves it", queue.Held},
		{order.Expire, "held: done", queue.Held},
		{order.Release, "held: done", s.now},
		{order.Hold, "waiting: done", queue.Held},
	} {
		if got := s.ask(c.verb, 24); got != c.want {
			t.Errorf("%s: %q, want %q", c.verb, got, c.want)
		}
		for _, ch := range queue.Channels {
			if got := s.due(id, ch); got != c.due {
				t.Errorf("after %s: due at %d, want %d", c.verb, got, c.due)
			}
		}
	}
	s.tryEverything()
	if s.due(id, queue.Local) != queue.Held || s.due(7, queue.Local) != s.now {
		t.Error("ALRM has tried what is held, or nothing")
	}
	if info, err := s.dir.ReadInfo(id); err != nil || s.now-info.Birth.Unix() != s.settings.lifetime+1 {
		t.Errorf("expired: %+v, %v", info, err)
	}
	if got := s.ask(order.Delete, 24); got != "held: done" || len(s.channels[queue.Local].due) != 1 || s.files(id) != "mess info" {
		t.Errorf("delete: %q; scheduled %v; there is %s", got, s.channels[queue.Local].due, s.files(id))
	}
	s.finishStep()
	s.settled()
	if got := s.files(id); got != "" {
		t.Errorf("there is %s", got)
	}
	if got, want := s.said(), "qctl: hold msg 24 uid 0\nqctl: hold msg 24 uid 0\nqctl: expire msg 24 uid 0\nqctl: release msg 24 uid 0\nqctl: hold msg 24 uid 0\n"+
		"qctl: delete msg 24 uid 0\nend msg 24\n"; got != want {
		t.Errorf("log\n%swant\n%s", got, want)
	}
}

// Before a message has been loaded, orders for it are in its files.
func TestOrderWhileLoading(t *testing.T) {
	s := newTestSender(t)
	id := s.waiting()
	s.channels[queue.Local].due, s.channels[queue.Remote].due = nil, nil
	s.loading.dirs = queue.Splits("info")
	s.alarmed = true
	if got := s.ask(order.Hold, 24); got != "waiting: done" || s.due(id, queue.Local) != -queue.Held {
		t.Errorf("%s, due at %d", got, s.due(id, queue.Local))
	}
	s.loadStep()
	if s.due(id, queue.Local) != queue.Held || s.due(id, queue.Remote) != queue.Held {
		t.Error("what was held before it was loaded is not")
	}
	s.channels[queue.Local].due, s.channels[queue.Remote].due = nil, nil
	s.loading.dirs, s.left = queue.Splits("info"), map[queue.ID]bool{}
	o := order.Order{Verb: order.Delete, IDs: []uint64{24}}
	s.sender.order(o, 0, s.targets(o), func() {})
	s.loadStep() // meets it meanwhile
	for len(s.orders.deleting) > 0 {
		s.event()
	}
	if len(s.channels[queue.Local].due) != 0 || len(s.finished) != 1 {
		t.Errorf("scheduled %v, finished %v", s.channels[queue.Local].due, s.finished)
	}
}

// What cannot be marked is tried again later, and not before: nobody gets it meanwhile.
func TestDeleteFails(t *testing.T) {
	s := newTestSender(t)
	id := s.waiting()
	o := order.Order{Verb: order.Delete, IDs: []uint64{24}}
	targets := s.targets(o)
	s.file(id.Recipients(queue.Remote), "Ta@b\x00?\x00")
	s.sender.order(o, 0, targets, func() {})
	for len(s.orders.deleting) > 0 {
		s.event()
	}
	got := targets[0].Outcome
	if !strings.HasPrefix(got, "failed: trouble reading remote/1/24: ") || s.files(id) != "mess info remote" || s.due(id, queue.Remote) != s.now+retrySystem {
		t.Errorf("%q; there is %s", got, s.files(id))
	}
	if len(s.channels[queue.Local].due) != 1 || s.busy() {
		t.Errorf("local is due: %v, busy %v", s.channels[queue.Local].due, s.busy())
	}
}

// What is in hand is brought to its end, and its verdict counts.
func TestOrderInHand(t *testing.T) {
	for _, c := range []struct {
		verb   order.Verb
		report byte
		due    int64 // 0 if there is to be nothing left
		files  string
	}{
		{order.Hold, 'Z', queue.Held, "info local"},
		{order.Hold, 'K', 0, "info"},
		{order.Requeue, 'Z', 1767588414, "info local"},
		{order.Delete, 'Z', 0, "info"},
		{order.Delete, 'K', 0, "info"},
		{order.Delete, 'D', 0, "info bounce"},
		{order.Expire, 'Z', 1767588414 + 100, "info local"},
	} {
		s := newTestSender(t)
		const id queue.ID = 24
		s.file(id.Mess(), "x\n")
		ch := s.begin()
		if got := s.ask(c.verb, 24); got != "in hand: "+order.InHand {
			t.Fatalf("%s: %q", c.verb, got)
		}
		s.report(ch, delivery.Report{Letter: c.report, Text: "text\n"})
		for len(s.orders.deleting) > 0 {
			s.event()
		}
		if got := s.files(id); got != "mess "+c.files || (len(ch.due) == 1) != (c.due != 0) || (len(s.finished) > 0) != (c.due == 0) {
			t.Errorf("%s and %c: there is %s, due %v, finished %v", c.verb, c.report, got, ch.due, s.finished)
		}
		if c.due != 0 && c.verb != order.Expire && s.due(id, queue.Local) != c.due {
			t.Errorf("%s and %c: due at %d, want %d", c.verb, c.report, s.due(id, queue.Local), c.due)
		}
	}
}

// An open pass hands out nobody any more who is to be held or deleted.
func TestOrderEndsPass(t *testing.T) {
	for _, verb := range []order.Verb{order.Hold, order.Delete} {
		s := newTestSender(t)
		const id queue.ID = 24
		s.file(id.Mess(), "x\n")
		s.file(id.Info(), "Fa@b\x00")
		s.file(id.Recipients(queue.Local), "Ta@me.example\x00Tb@me.example\x00Tc@me.example\x00")
		ch := s.channels[queue.Local]
		ch.due.add(entry{s.now, id})
		s.passStep(ch)
		if got := s.ask(verb, 24); got != "in hand: "+order.InHand || ch.pass != nil || ch.used != 1 {
			t.Fatalf("%s: %q, pass %v, %d under way", verb, got, ch.pass, ch.used)
		}
		s.report(ch, delivery.Report{Letter: delivery.Success})
		if verb == order.Hold {
			if got := s.read(id.Recipients(queue.Local)); got != "Da@me.example\x00Tb@me.example\x00Tc@me.example\x00" || s.due(id, queue.Local) != queue.Held {
				t.Errorf("held with %q, due %v", got, ch.due)
			}
			continue
		}
		for len(s.orders.deleting) > 0 {
			s.event()
		}
		if s.files(id) != "mess info" || len(ch.due) != 0 {
			t.Errorf("deleted, there is %s, due %v", s.files(id), ch.due)
		}
	}
}

// A message in todo is preprocessed and then changed; what is being delivered from there
// is changed when that is over.
func TestOrderInTodo(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.queued(id, "joe@me.example")
	s.takeUp()
	if got := s.ask(order.List, 24); got != "todo: " {
		t.Errorf("list: %q", got)
	}
	if got := s.ask(order.Hold, 24); got != "waiting: done" || s.due(id, queue.Local) != queue.Held || s.files(id) != "mess info local" {
		t.Errorf("hold: %q; there is %s", got, s.files(id))
	}
	const other queue.ID = 47
	s.queued(other, "joe@me.example")
	s.takeUp()
	ch := s.channels[queue.Local]
	s.startHeld(ch)
	if got := s.ask(order.Delete, 47); got != "in hand: "+order.InHand {
		t.Errorf("delete: %q", got)
	}
	s.report(ch, delivery.Report{Letter: delivery.Temporary, Text: "later\n"})
	s.settled()
	for len(s.orders.deleting) > 0 {
		s.event()
	}
	s.finishStep()
	s.settled()
	if s.files(other) != "" || len(s.orders.promised) != 0 || len(ch.due) != 1 {
		t.Errorf("there is %s, promised %v, due %v", s.files(other), s.orders.promised, ch.due)
	}
	// Not taken up yet: it is next, and not delivered before it is changed.
	const third queue.ID = 70
	s.queued(third, "joe@me.example")
	o := order.Order{Verb: order.Hold, IDs: []uint64{70}}
	done := false
	s.sender.order(o, 0, s.targets(o), func() { done = true })
	s.takeUp()
	if !done || s.due(third, queue.Local) != queue.Held || len(ch.held) != 0 {
		t.Errorf("done %v, files %s, held %v", done, s.files(third), ch.held)
	}
}

// A number that has been given to another message is not touched.
func TestOrderForAnother(t *testing.T) {
	s := newTestSender(t)
	id := s.waiting()
	o := order.Order{Verb: order.Delete, IDs: []uint64{24}}
	targets := s.targets(o)
	os.Remove(s.dir.Path(id.Info()))
	s.file(id.Info(), "Fother@x\x00")
	done := false
	s.sender.order(o, 0, targets, func() { done = true })
	if !done || targets[0].Outcome != order.Gone || s.due(id, queue.Local) != s.now+3600 || s.said() != "" {
		t.Errorf("done %v: %q, due at %d", done, targets[0].Outcome, s.due(id, queue.Local))
	}
}

// An asker who takes nothing of a long answer holds up neither the main loop nor
// another asker, and changes of messages that were not reached yet are not made.
func TestOrderOverSocket(t *testing.T) {
	s := newTestSender(t)
	before := conf.Home
	t.Cleanup(func() { conf.Home = before })
	home, err := os.MkdirTemp("", "send")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	conf.Home = home
	if err := os.Mkdir(home+"/ctl", 0o700); err != nil {
		t.Fatal(err)
	}
	s.p.Now, s.p.UID = time.Now, os.Getuid()
	const messages = 1000
	for id := queue.ID(1); id <= messages; id++ {
		s.file(id.Mess(), "x\n")
		s.file(id.Info(), "Fa@b\x00")
		s.file(id.Recipients(queue.Local), "T"+strings.Repeat("x", 900)+"@me.example\x00")
	}
	s.listenForOrders()
	if said := s.said(); said != "" {
		t.Fatal(said)
	}
	slow := s.dial(order.Order{Verb: order.Show, All: true})
	defer slow.Close()
	quick := s.dial(order.Order{Verb: order.List})
	defer quick.Close()
	n := make(chan string)
	go func() {
		r := bufio.NewReader(quick)
		for i := 0; ; i++ {
			_, end, err := order.ReadAnswer(r)
			if end != nil || err != nil {
				n <- fmt.Sprint(i, *end, err)
				return
			}
		}
	}()
	for {
		select {
		case e := <-s.events:
			e()
		case got := <-n:
			if got != fmt.Sprint(messages, order.End{}, error(nil)) {
				t.Errorf("the quick one got %s", got)
			}
			return
		case <-time.After(20 * time.Second):
			t.Fatal("nothing happens")
		}
	}
}

func (s *testSender) dial(o order.Order) net.Conn {
	s.t.Helper()
	c, err := net.Dial("unix", conf.Home+"/"+order.Path)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(c, string(o.Append(nil))); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// The main loop looks through schedules of 200,000 messages for 256 in a moment.
func BenchmarkGather(b *testing.B) {
	s := &sender{}
	for _, c := range queue.Channels {
		s.channels[c] = &channel{c: c}
		for id := range queue.ID(200000) {
			s.channels[c].due.add(entry{int64(id) * 7919 % 100000, id})
		}
	}
	for b.Loop() {
		var targets []*target
		for id := range uint64(targetsATurn) {
			targets = append(targets, &target{Found: selection.Found{Message: order.Message{ID: id * 701}}})
		}
		s.gather(targets, true)
		for _, t := range targets {
			s.putBack(t)
		}
	}
}
