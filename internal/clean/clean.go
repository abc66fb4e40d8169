// Package clean is qmail-clean, which alone among the daemons may remove messages,
// and does so at qmail-send's word. See spec "The queue", section 12; package
// delivery owns the bytes of the requests.
//
// What it reads may come from whoever has taken qmail-send over. Requests hold
// nothing but digits, so no file outside the queue can be meant.
package clean

import (
	"bufio"
	"bytes"
	"os"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/prog"
	"quail/internal/queue"
)

// sweepEvery is how many requests pass between two looks at queue/pid.
const sweepEvery = 31

// Run serves requests until its input ends.
func Run(p *prog.Process) error {
	dir := queue.In(conf.Home)
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return err
	}
	stdin, err := nowait.NewStream(p.Stdin)
	if err != nil {
		return err
	}
	stdout, err := nowait.NewStream(p.Stdout)
	if err != nil {
		return err
	}
	requests := bufio.NewReader(stdin)
	var answers []byte
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
		answers = append(answers, answer(dir, line[:len(line)-1]))
		if another(requests) {
			continue
		}
		if _, err := stdout.Write(answers); err != nil {
			return prog.Exit(prog.StatusPermanent)
		}
		answers = answers[:0]
	}
}

// another reports whether a whole request has come already: requests that come
// together are answered together.
func another(requests *bufio.Reader) bool {
	there, _ := requests.Peek(requests.Buffered())
	return bytes.IndexByte(there, 0) >= 0
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
