package auth

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"quail/internal/checkpw"
	"quail/internal/proc"
	"quail/internal/prog"
)

// patience is how long a program may take before it is killed, with all that it has
// started: what a script waits for would stay, one more for each try.
const patience = 60 * time.Second

// runner runs one program, again and again.
type runner struct {
	p        *prog.Process
	args     []string
	patience time.Duration
	slots    chan struct{}
	running  sync.WaitGroup
	mu       sync.Mutex // of what is written
}

func newRunner(p *prog.Process, args []string) *runner {
	return &runner{p: p, args: args, patience: patience, slots: make(chan struct{}, checkpw.MaxAtOnce)}
}

// serve obeys orders until there are no more, and the last program has ended. An order
// beyond those that may be obeyed at once is not even read.
func (r *runner) serve(c *os.File) error {
	defer r.running.Wait()
	for {
		o, err := checkpw.ReadOrder(c)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return prog.Fail("unable to read order of qmail-authd", err)
		}
		r.slots <- struct{}{}
		r.running.Go(func() {
			outcome, err := r.run(o.Record)
			clear(o.Record)
			<-r.slots
			if err != nil {
				fmt.Fprintf(r.p.Stderr, "qmail-auth: warning: %s: %v\n", r.args[0], err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			c.Write(checkpw.Verdict{Number: o.Number, Outcome: outcome}.Append(nil))
		})
	}
}

// run runs the program once. What it writes goes to the log. The error says why the
// outcome is Later.
func (r *runner) run(record []byte) (checkpw.Outcome, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return checkpw.Later, err
	}
	defer null.Close()
	in, out, err := os.Pipe()
	if err != nil {
		return checkpw.Later, err
	}
	defer out.Close()
	child, err := proc.Command{
		Args: r.args, Env: r.p.Env, Dir: r.p.Dir, Stdin: null, Stdout: r.p.Stderr, Stderr: r.p.Stderr,
		Extra: []*os.File{in}, // checkpw.Descriptor
		Apart: true,
	}.Start()
	in.Close()
	if err != nil {
		return checkpw.Later, err
	}
	// A pipe has room for it all. A program that does not read decides all the same.
	out.Write(record)
	out.Close()
	late := time.AfterFunc(r.patience, func() { child.Kill() })
	status, err := child.Wait()
	switch inTime := late.Stop(); {
	case err != nil:
		return checkpw.Later, err
	case status.Crashed() && !inTime:
		return checkpw.Later, fmt.Errorf("killed after %v", r.patience)
	case status.Crashed():
		return checkpw.Later, fmt.Errorf("ended by signal %d", status.Raw()&0x7f)
	}
	outcome := checkpw.OutcomeOf(status.Code())
	if outcome == checkpw.Later {
		return outcome, fmt.Errorf("exit status %d", status.Code())
	}
	return outcome, nil
}
