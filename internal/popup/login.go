package popup

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"quail/internal/proc"
	"quail/internal/prog"
)

// login runs the program that checks passwords, which has the connection, in and out,
// as long as it lives, with the record on descriptor 3, and returns what the client is
// to be told after that: nothing if it succeeded.
func login(p *prog.Process, in, out *os.File, env prog.Env, record []byte) (refusal string) {
	// 1. A pipe, whose two ends no other program gets.
	r, w, err := os.Pipe()
	if err != nil {
		return "-ERR unable to open pipe"
	}
	// 2. The program. From now on it may write to the client, and this one must not.
	child, err := proc.Command{
		Args:   p.Args[1:],
		Env:    env,
		Dir:    p.Dir,
		Stdin:  in,
		Stdout: out,
		Stderr: p.Stderr,
		Extra:  []*os.File{r}, // checkpw.Descriptor
	}.Start()
	r.Close()
	if err != nil {
		w.Close()
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) {
			return "-ERR unable to fork"
		}
		// Nobody can log in, and only this tells why.
		fmt.Fprintf(p.Stderr, "%s: warning: %v\n", p.Name, prog.Fail("unable to run "+p.Args[1], err))
		return "-ERR authorization failed"
	}
	// 3. The record, and its end, since the reader reads up to that. One that does
	//    not read decides all the same: its status says how.
	_, unwritten := w.Write(record)
	w.Close()
	clear(record)
	// 4. The end of the program, which is that of the whole session.
	status, err := child.Wait()
	switch {
	case unwritten != nil && !errors.Is(unwritten, syscall.EPIPE):
		return "-ERR unable to write pipe"
	case err != nil || status.Crashed():
		return "-ERR aack, child crashed"
	case !status.OK():
		return "-ERR authorization failed"
	}
	return ""
}
