// Package popup has the password of a POP3 client checked by another program, which
// becomes the POP3 server if it is good. See spec "Receiving mail", section 9.
//
// It usually runs as root, and never reads what the client sends. Before anything
// else it starts its other half, qmail-popnet, as a user without rights, which talks
// with the client and hands over one attempt to log in (package attempt). The
// connection is touched again only when that has ended: to tell the client that it was
// refused.
//
// A client under TLS is spoken to by qmail-popnet to the end. The program that checks
// passwords, and the server that it becomes, then have a socket to that instead of the
// connection.
package popup

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/attempt"
	"quail/internal/checkpw"
	"quail/internal/conf"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// timeout is how long a client may take to be told that it was refused.
const timeout = 20 * time.Minute

// ended ends the program. Its status is 1 whatever happened, also after a session
// that went well.
var ended = prog.Exit(1)

// program is qmail-popup with the other half as a user, nil for whoever runs it.
type program struct{ as *privs.Identity }

// Run is qmail-popup.
func Run(p *prog.Process) error {
	if len(p.Args) < 2 {
		say(p, p.Stdout, "-ERR usage: popup hostname subprogram")
		return ended
	}
	pr := program{}
	if p.UID == 0 {
		id, err := privs.Account(conf.UserDaemon, conf.GroupNofiles)
		if err != nil {
			return prog.Fail("unable to run qmail-popnet", err)
		}
		pr.as = &id
	}
	return pr.run(p)
}

// run is the whole of a session, step by step.
func (pr program) run(p *prog.Process) error {
	// 1. What the client has to make its digest of. It is made here and stays here:
	//    who takes the other half over cannot use an old digest again.
	timestamp := "<" + strconv.Itoa(p.PID) + "." + strconv.FormatInt(p.Now().Unix(), 10) + "@" + p.Args[0] + ">"
	// 2. The other half, which has the client from here on.
	half, err := pr.start(p, timestamp)
	if err != nil {
		return prog.Fail("unable to run qmail-popnet", err)
	}
	defer half.end()
	// 3. What it hands over, up to the end of that. A client that does not log in
	//    leaves nothing, and no more does one that the other half had to give up.
	record, err := io.ReadAll(io.LimitReader(half.control, attempt.Max+1))
	if err != nil {
		return prog.Fail("unable to read from qmail-popnet", err)
	}
	if len(record) == 0 {
		return half.verdict()
	}
	a, err := attempt.Parse(record)
	clear(record)
	if err != nil {
		return prog.Fail("unable to believe qmail-popnet", err)
	}
	// 4. The program that decides has the client's connection, or what leads to it.
	in, out := p.Stdin, p.Stdout
	if a.TLS {
		in, out = half.data, half.data
	}
	env := environment(p.Env, a)
	if refusal := login(p, in, out, env, checkpw.Record(a.Name, a.Password, timestamp)); refusal != "" {
		say(p, out, refusal)
	}
	return ended
}

// environment returns what the server learns of what went before.
func environment(env prog.Env, a attempt.Attempt) prog.Env {
	if a.UTF8 {
		return env.With("POP3UTF8", "on")
	}
	return env.With("POP3UTF8", "off")
}

// half is the other half, while it runs.
type half struct {
	control *os.File      // it hands over the attempt here, and ends when this does
	data    *os.File      // leads to the client, if that is under TLS
	ended   chan struct{} // closed when it has
	status  *proc.Status  // with which, from then on
}

// start starts the other half.
func (pr program) start(p *prog.Process, timestamp string) (half, error) {
	control, itsControl, err := pair()
	if err != nil {
		return half{}, err
	}
	defer itsControl.Close()
	data, itsData, err := pair()
	if err != nil {
		control.Close()
		return half{}, err
	}
	defer itsData.Close()
	child, err := proc.Command{
		Args:   []string{conf.Home + "/bin/qmail-popnet", p.Args[0], timestamp},
		Env:    p.Env,
		Dir:    "/",
		Stdin:  p.Stdin,
		Stdout: p.Stdout,
		Stderr: p.Stderr,
		Extra:  []*os.File{itsControl, itsData},
		As:     pr.as,
	}.Start()
	if err != nil {
		control.Close()
		data.Close()
		return half{}, err
	}
	h := half{control, data, make(chan struct{}), new(proc.Status)}
	go func() {
		*h.status, _ = child.Wait() // on an error it counts as one that had nothing to tell
		close(h.ended)
	}()
	return h, nil
}

// verdict returns what a session ends with in which nobody has logged in: the other half
// has said why if it has failed, but not if it has crashed.
func (h half) verdict() error {
	<-h.ended
	switch {
	case h.status.Crashed():
		return fmt.Errorf("qmail-popnet crashed: wait status %d", h.status.Raw())
	case !h.status.OK():
		return prog.Exit(prog.StatusTemporary)
	}
	return ended
}

// end lets the other half go, and waits for it: it may still have something for the
// client.
func (h half) end() {
	h.control.Close()
	h.data.Close()
	<-h.ended
}

// pair returns two sockets that are connected, and that no program inherits unasked.
func pair() (ours, its *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("unable to make a pair of sockets: %w", err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// say sends a line to the client, who is gone if that fails.
func say(p *prog.Process, out *os.File, line string) {
	to := *p
	to.Stdin, to.Stdout = out, out
	if conn, err := ucspi.NewConn(&to, timeout); err == nil {
		conn.Write([]byte(line + "\r\n"))
	}
}
