package send

import (
	"bufio"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"quail/internal/conf"
	"quail/internal/errno"
	"quail/internal/localsocket"
	"quail/internal/order"
	"quail/internal/queue"
	"quail/internal/selection"
)

// Bounds for those who give orders. Everything that they can hold up is their own.
const (
	maxAskers    = 4                // more wait to be heard
	askPatience  = 10 * time.Second // for an order to come
	tellPatience = 60 * time.Second // for a part of an answer to be taken
	targetsATurn = 256
	toldAtOnce   = 1 << 16 // bytes
	looks        = 5       // at a message that moves while it is looked for
)

// listenForOrders opens the socket of package order. A home without its directory, as
// qmail makes it, gets along without and is not told.
func (s *sender) listenForOrders() {
	socket, err := localsocket.Listen(conf.Home+"/"+order.Path, 0o600)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		s.log.warning("unable to listen for qmail-qctl: " + errno.Text(err))
		return
	}
	go func() {
		askers := make(chan struct{}, maxAskers)
		for {
			askers <- struct{}{}
			c, err := localsocket.Accept(socket)
			if err != nil { // too few descriptors, for now
				<-askers
				time.Sleep(retryFiles * time.Second)
				continue
			}
			go func() {
				s.serve(c)
				<-askers
			}()
		}
	}()
}

// asker is somebody who has given an order.
type asker struct {
	s       *sender
	c       localsocket.Caller
	o       order.Order
	targets []*target
	shown   int // recipients in targets
	answer  []byte
	gone    bool
	status  int
}

// serve reads an order, has it carried out and answers.
func (s *sender) serve(c localsocket.Caller) {
	defer c.Close()
	a := &asker{s: s, c: c}
	if c.UID != 0 && c.UID != s.p.UID {
		a.end(order.End{Status: 100, Text: "only root and qmails are listened to"})
		return
	}
	c.SetReadDeadline(s.p.Now().Add(askPatience))
	var err error
	if a.o, err = order.Read(bufio.NewReader(c)); err != nil {
		a.end(order.End{Status: 100, Text: "this is no order: " + err.Error()})
		return
	}
	a.end(a.carryOut())
}

func (a *asker) carryOut() order.End {
	if missing := selection.Missing(a.s.dir, a.o.IDs); len(missing) > 0 {
		for _, id := range missing {
			a.say(order.Message{ID: id, Outcome: order.Missing})
		}
		return order.End{Status: 100}
	}
	err := selection.Each(a.s.dir, a.o, a.s.p.Now(), a.take)
	a.flush()
	if err != nil {
		return order.End{Status: 111, Text: err.Error()}
	}
	return order.End{Status: a.status}
}

// take takes a message up.
func (a *asker) take(f selection.Found, err error) (more bool) {
	if err != nil {
		a.status = 111
		f.Outcome = order.Failed + err.Error()
		a.say(f.Message)
		return !a.gone
	}
	a.targets = append(a.targets, &target{Found: f})
	a.shown += len(f.Recipients)
	if len(a.targets) == targetsATurn || a.shown > order.MaxShown {
		a.flush()
	}
	return !a.gone
}

// flush has the messages dealt with that have been taken up, and tells.
func (a *asker) flush() {
	targets := a.targets
	for n := 0; len(targets) > 0; n++ {
		done := make(chan struct{})
		a.s.events <- func() { a.s.order(a.o, a.c.UID, targets, func() { close(done) }) }
		<-done
		if n == looks {
			break
		}
		targets = a.moved(targets)
	}
	a.sync()
	for _, t := range a.targets {
		if len(t.Outcome) > len(order.Failed) && t.Outcome[:len(order.Failed)] == order.Failed {
			a.status = 111
		}
		a.say(t.Message)
	}
	a.tell()
	a.targets, a.shown = nil, 0
}

// moved looks again at those messages that were not any more what they had been.
func (a *asker) moved(targets []*target) (again []*target) {
	for _, t := range targets {
		if t.Outcome != order.Gone {
			continue
		}
		if f, ok, err := selection.One(a.s.dir, a.o, t.ID(), a.s.p.Now()); ok && err == nil {
			*t = target{Found: f}
			again = append(again, t)
		}
	}
	return again
}

// sync brings times to disk that would be missed: others only make qmail-send try
// sooner or as it would have.
func (a *asker) sync() {
	if a.o.DryRun || !slices.Contains([]order.Verb{order.Hold, order.Release, order.Expire}, a.o.Verb) {
		return
	}
	errs := make([]error, len(a.targets))
	var all sync.WaitGroup
	for i, t := range a.targets {
		if t.Outcome != order.Done && t.Outcome != order.InHand {
			continue
		}
		a.s.room <- struct{}{}
		all.Go(func() {
			errs[i] = a.s.dir.SyncTimes(queue.ID(t.Message.ID), a.s.syncs)
			<-a.s.room
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			a.targets[i].Outcome = order.Failed + err.Error()
		}
	}
}

func (a *asker) say(m order.Message) {
	a.answer = m.Append(a.answer)
	if len(a.answer) > toldAtOnce {
		a.tell()
	}
}

// tell sends what there is to say. Who does not take it in time is gone.
func (a *asker) tell() {
	if len(a.answer) > 0 && !a.gone {
		a.c.SetWriteDeadline(a.s.p.Now().Add(tellPatience))
		_, err := a.c.Write(a.answer)
		a.gone = err != nil
	}
	a.answer = a.answer[:0]
}

func (a *asker) end(e order.End) {
	a.answer = e.Append(a.answer)
	a.tell()
}
