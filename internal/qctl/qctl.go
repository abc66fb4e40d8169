// Package qctl is qmail-qctl: it has qmail-send show and change messages in the queue
// while mail goes on. Package order owns the bytes between the two.
//
// All changes are qmail-send's: where that does not run nothing is changed. What there
// is to see is read from the queue's files then.
//
// Addresses are strangers'; bytes that are not printable ASCII come out as
// underscores, or escaped as JSON has it.
package qctl

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/order"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/selection"
)

// errNotRunning is that nobody is there to give orders to.
var errNotRunning = errors.New("qmail-send does not run, or is one that takes no orders: nothing is changed")

// Run is the program.
func Run(p *prog.Process) error {
	c, err := parse(p.Args)
	if err != nil {
		return err
	}
	// "/." asks for what chdir needs: a directory that may be searched.
	dir := queue.In(conf.Home)
	if _, err := os.Stat(string(dir) + "/todo/."); err != nil {
		return prog.Fail("unable to look into "+string(dir)+", or it is no queue", err)
	}
	out := bufio.NewWriter(p.Stdout)
	w := &writer{p: p, out: out, command: c}
	conn, err := localsocket.Dial(conf.Home+"/"+order.Path, false)
	switch {
	case err == nil:
		defer conn.Close()
		err = ask(conn, c, w)
	case errors.Is(err, errors.ErrUnsupported) && c.Verb.Changes():
		return errors.New("this system does not tell who calls at a socket: qmail-send takes no orders here")
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED), errors.Is(err, errors.ErrUnsupported):
		if c.Verb.Changes() {
			return errNotRunning
		}
		err = look(p, dir, c, w)
	default:
		return prog.Fail("unable to reach qmail-send, which root and qmails may", err)
	}
	if flushed := out.Flush(); err == nil && flushed != nil {
		return prog.Unwritten(flushed)
	}
	if err == nil && w.status != 0 {
		return prog.Exit(w.status)
	}
	return err
}

// ask gives the order to qmail-send and prints the answer.
func ask(conn *os.File, c command, w *writer) error {
	text := c.Append(nil)
	if len(text) > order.MaxOrder {
		return prog.Perm(errors.New("too many numbers: nothing is changed"))
	}
	if _, err := conn.Write(text); err != nil {
		return prog.Fail("unable to write to qmail-send", err)
	}
	return read(bufio.NewReader(conn), w)
}

// read prints an answer.
func read(r *bufio.Reader, w *writer) error {
	for {
		m, end, err := order.ReadAnswer(r)
		switch {
		case err != nil:
			return fmt.Errorf("qmail-send has cut its answer off: %w", err)
		case end == nil:
			w.message(m)
			continue
		case end.Text != "":
			return prog.Status(max(1, end.Status), errors.New(ascii.Printable(end.Text, '_')))
		}
		w.status = max(w.status, end.Status)
		return nil
	}
}

// look prints what the files of the queue say.
func look(p *prog.Process, dir queue.Dir, c command, w *writer) error {
	fmt.Fprintf(p.Stderr, "%s: qmail-send does not run, or is one that takes no orders: times of attempts are as one has left them at its end\n", p.Name)
	if missing := selection.Missing(dir, c.IDs); len(missing) > 0 {
		for _, id := range missing {
			w.message(order.Message{ID: id, Outcome: order.Missing})
		}
		return nil
	}
	err := selection.Each(dir, c.Order, p.Now(), func(f selection.Found, err error) bool {
		if err != nil {
			f.Outcome = order.Failed + err.Error()
		}
		w.message(f.Message)
		return true
	})
	if err != nil {
		return err
	}
	return nil
}
