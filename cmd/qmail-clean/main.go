// Command qmail-clean removes files of the queue for qmail-send.
//
//	qmail-clean
//
// It reads requests from descriptor 0, each ended by a NUL, and answers each with
// one byte on descriptor 1: + removed, ! could not be removed, x not understood.
// "foop/ID" removes a message's envelope under construction and its text,
// "todo/ID" its envelope. Now and then it removes what interrupted submissions
// left in queue/pid.
//
// # Exit status
//
// 0 at the end of its input, 100 if it cannot answer, 111 if there is no queue.
//
// # Security
//
// Runs as qmailq, the only daemon that may remove messages. Its requests come from
// qmail-send; whoever has taken that over can remove any message, but no file
// outside the queue, since a request holds nothing but digits.
package main

import (
	"bufio"
	"os"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/prog"
	"quail/internal/queue"
)

// sweepEvery is how many requests pass between two looks at queue/pid.
const sweepEvery = 31

func main() { prog.Main("qmail-clean", run) }

func run(p *prog.Process) error {
	dir := queue.In(conf.Home)
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return err
	}
	requests := bufio.NewReader(p.Stdin)
	for n := 0; ; n++ {
		if n%sweepEvery == 0 {
			dir.SweepPid(p.Now().Add(-queue.Ossified))
		}
		line, err := requests.ReadSlice(0)
		for err == bufio.ErrBufferFull { // far too long: read on to its end, to refuse it once
			line, err = requests.ReadSlice(0)
			line = append(make([]byte, delivery.MaxClean), line...)
		}
		if err != nil {
			return nil
		}
		if _, err := p.Stdout.Write([]byte{answer(dir, line[:len(line)-1])}); err != nil {
			return prog.Exit(prog.StatusPermanent)
		}
	}
}

func answer(dir queue.Dir, line []byte) byte {
	c, ok := delivery.ParseClean(line)
	if !ok {
		return delivery.CleanInvalid
	}
	id := queue.ID(c.ID)
	last := id.Mess()
	if c.What == "todo" {
		last = id.Todo()
	}
	// intd goes first: without its message an envelope must not be left (S3 before
	// S2), and beside a todo it is only a second name.
	for _, n := range []queue.Name{id.Intd(), last} {
		if dir.Remove(n) != nil {
			return delivery.CleanFailed
		}
	}
	return delivery.CleanDone
}
