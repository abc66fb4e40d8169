// Package spawn is the half of qmail-lspawn and qmail-rspawn that is the same:
// it takes delivery requests from qmail-send, opens the message, has a program try
// the delivery and reports how that went. See spec "qmail-start and qmail-send",
// section 9.
//
// It may run as root, on bytes written by qmails. What it opens is named by digits
// and slashes below queue/mess and must be a plain file of qmailq.
//
// One goroutine runs a delivery; they share the table of numbers in use and the
// pipe of reports, each behind its own lock. Programs are run by a warm.Keeper: a
// program that hangs, or whose user stops it, holds the numbers of its deliveries
// and nothing else.
package spawn

import (
	"bufio"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/crew"
	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/warm"
)

// Spawner is what tells the two programs apart.
type Spawner struct {
	// Keeper runs the programs. What it counted is logged at the end.
	Keeper *warm.Keeper
	// Command returns the program that is to try a delivery. Its descriptor 0 will be
	// the message, at its beginning, 1 and 2 the pipe whose contents become part of
	// the report. Where no program is needed, or none may be run, Command returns no
	// arguments and the status as if one had exited with it.
	Command func(delivery.Request) (c warm.Command, status int)
	// Unable returns the status that stands for a program that cannot be started.
	Unable func(error) (status int)
	// Report turns the program's end into the text of a report.
	Report func(delivery.Outcome) string
	// Keep reads as much of the program's output as the report needs. The rest is
	// read and dropped.
	Keep func(io.Reader) []byte
}

// Run serves requests until p's input ends, then waits for the deliveries under
// way. It is an error only if it cannot begin.
func Run(p *prog.Process, s Spawner) error {
	owner, err := privs.User(conf.UserQueue)
	if err != nil {
		return err
	}
	mess := queue.In(conf.Home).Path("mess")
	if st, err := os.Stat(mess); err != nil {
		return err
	} else if !st.IsDir() {
		return &os.PathError{Op: "open", Path: mess, Err: syscall.ENOTDIR}
	}
	stdin, err := nowait.NewStream(p.Stdin)
	if err != nil {
		return err
	}
	stdout, err := nowait.NewStream(p.Stdout)
	if err != nil {
		return err
	}
	r := &running{Spawner: s, mess: mess, owner: uint32(owner), reports: stdout, crew: crew.New(spare)}
	r.write([]byte{byte(conf.Spawn)}) // hello: how many deliveries we can run at once
	requests := bufio.NewReader(stdin)
	for {
		req, oversized, err := delivery.ReadRequest(requests)
		if err != nil {
			break
		}
		r.serve(req, oversized)
	}
	r.underway.Wait()
	s.Keeper.LogCounts()
	return nil
}

// spare is how many goroutines wait for requests.
const spare = 32

// running is a spawner at work.
type running struct {
	Spawner
	mess     string
	owner    uint32 // uid that messages must belong to
	underway sync.WaitGroup
	crew     *crew.Crew

	mu   sync.Mutex
	busy [256]bool

	writing sync.Mutex // guards unsent, and whose turn it is to write
	unsent  []byte     // reports that wait for the write before theirs to end
	turn    bool       // somebody writes
	reports *nowait.Stream
}

// serve answers a request that cannot be tried at once and starts any other.
func (r *running) serve(req delivery.Request, oversized bool) {
	if refusal := r.admit(req, oversized); refusal != "" {
		r.report(req.Number, refusal)
		return
	}
	r.underway.Add(1)
	r.crew.Go(func() {
		defer r.underway.Done()
		text := r.try(req)
		r.mu.Lock()
		r.busy[req.Number] = false
		r.mu.Unlock()
		r.report(req.Number, text)
	})
}

// admit takes the request's number, or says why it cannot have it.
func (r *running) admit(req delivery.Request, oversized bool) (refusal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case oversized:
		return delivery.RefuseMemory
	case int(req.Number) >= conf.Spawn:
		return delivery.RefuseTooBig
	case r.busy[req.Number]:
		return delivery.RefuseInUse
	}
	if refusal := req.Check(); refusal != "" {
		return refusal
	}
	r.busy[req.Number] = true
	return ""
}

// try runs one delivery from the message's file to the text of its report.
//
// A fault of ours in one delivery is that delivery's temporary failure, no more:
// others' reports still come from this process.
func (r *running) try(req delivery.Request) (report string) {
	defer func() {
		if recover() != nil {
			report = delivery.RefuseMemory
		}
	}()
	message, refusal := r.open(req.Mess)
	if refusal != "" {
		return refusal
	}
	defer message.Close()
	c, status := r.Command(req)
	if len(c.Args) == 0 {
		return r.Report(delivery.Outcome{Code: status})
	}
	output, write, err := NewOutput()
	if err != nil {
		return delivery.RefusePipe
	}
	defer output.Close()
	c.Stdin, c.Stdout, c.Stderr = message, write, write
	number, err := r.Keeper.Start(c, output.Done)
	if err != nil {
		output.Release()
		return r.Report(delivery.Outcome{Code: r.Unable(err)})
	}
	if !warm.IsJob(number) { // the program has all that it needs
		output.Release()
		message.Close()
	}
	text, end := output.Collect(r.Keep)
	if end.Err != nil {
		return delivery.RefuseFork
	}
	return r.Report(delivery.Outcome{Crashed: end.Crashed(), Code: end.Code(), Output: text})
}

// open opens a message and makes sure that it is one.
func (r *running) open(name string) (f *nowait.File, refusal string) {
	path := r.mess + "/" + name
	// Without waiting: it might be a fifo. A plain file does not mind.
	var fd int
	err := error(unix.EINTR)
	for err == unix.EINTR {
		fd, err = nowait.Open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	if err != nil {
		return nil, delivery.RefuseOpen
	}
	var st unix.Stat_t
	switch err := nowait.Fstat(fd, &st); {
	case err != nil:
		refusal = delivery.RefuseStat
	case uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG:
		refusal = delivery.RefuseType
	case st.Uid != r.owner:
		refusal = delivery.RefuseOwner
	}
	if refusal == "" {
		if _, err := nowait.Fcntl(fd, unix.F_SETFL, 0); err != nil { // programs expect that
			refusal = delivery.RefuseStat
		}
	}
	if refusal != "" {
		nowait.NewFile(fd).Close()
		return nil, refusal
	}
	return nowait.NewFile(fd), ""
}

func (r *running) report(number byte, text string) {
	r.write(delivery.AppendReport(nil, number, text))
}

// write sends whole reports. Those that come while others are being written go out
// together. If qmail-send is gone nobody wants them: deliveries go on and end in
// silence.
func (r *running) write(b []byte) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.unsent = append(r.unsent, b...)
	if r.turn {
		return
	}
	r.turn = true
	for len(r.unsent) > 0 {
		batch := r.unsent
		r.unsent = nil
		r.writing.Unlock()
		r.reports.Write(batch)
		r.writing.Lock()
	}
	r.turn = false
}
