// Package spawn is the half of qmail-lspawn and qmail-rspawn that is the same:
// it takes delivery requests from qmail-send, opens the message, has a program try
// the delivery and reports how that went. See spec "qmail-start and qmail-send",
// section 9.
//
// It may run as root, on bytes written by qmails. What it opens is named by digits
// and slashes below queue/mess and must be a plain file of qmailq.
//
// One goroutine runs a delivery; they share the table of numbers in use and the
// pipe of reports, each behind its own lock.
package spawn

import (
	"bufio"
	"io"
	"os"
	"sync"
	"syscall"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/queue"
)

// Attempt is one delivery to be tried.
type Attempt struct {
	delivery.Request
	Message *os.File // at its beginning, shared with nobody
	Output  *os.File // what is written here becomes part of the report
}

// Spawner is what tells the two programs apart.
type Spawner struct {
	// Start starts the program. Where none is needed, or none can be started, it
	// returns the status as if a program had exited with it.
	Start func(Attempt) (child *proc.Child, status int)
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
	r := &running{Spawner: s, mess: mess, owner: uint32(owner), reports: p.Stdout}
	r.write([]byte{byte(conf.Spawn)}) // hello: how many deliveries we can run at once
	requests := bufio.NewReader(p.Stdin)
	for {
		req, oversized, err := delivery.ReadRequest(requests)
		if err != nil {
			break
		}
		r.serve(req, oversized)
	}
	r.underway.Wait()
	return nil
}

// running is a spawner at work.
type running struct {
	Spawner
	mess     string
	owner    uint32 // uid that messages must belong to
	underway sync.WaitGroup

	mu   sync.Mutex
	busy [256]bool

	writing sync.Mutex
	reports *os.File
}

// serve answers a request that cannot be tried at once and starts any other.
func (r *running) serve(req delivery.Request, oversized bool) {
	if refusal := r.admit(req, oversized); refusal != "" {
		r.report(req.Number, refusal)
		return
	}
	r.underway.Add(1)
	go func() {
		defer r.underway.Done()
		text := r.try(req)
		r.mu.Lock()
		r.busy[req.Number] = false
		r.mu.Unlock()
		r.report(req.Number, text)
	}()
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
	output, write, err := os.Pipe()
	if err != nil {
		return delivery.RefusePipe
	}
	defer output.Close()
	child, status := r.Start(Attempt{req, message, write})
	write.Close()
	text := r.Keep(output)
	io.Copy(io.Discard, output)
	if child == nil {
		return r.Report(delivery.Outcome{Code: status, Output: text})
	}
	end, err := child.Wait()
	if err != nil {
		return delivery.RefuseFork
	}
	return r.Report(delivery.Outcome{Crashed: end.Crashed(), Code: end.Code(), Output: text})
}

// open opens a message and makes sure that it is one.
func (r *running) open(name string) (f *os.File, refusal string) {
	f, err := os.OpenFile(r.mess+"/"+name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, delivery.RefuseOpen
	}
	var st syscall.Stat_t
	switch err := syscall.Fstat(int(f.Fd()), &st); {
	case err != nil:
		refusal = delivery.RefuseStat
	case uint32(st.Mode)&syscall.S_IFMT != syscall.S_IFREG:
		refusal = delivery.RefuseType
	case st.Uid != r.owner:
		refusal = delivery.RefuseOwner
	}
	if refusal != "" {
		f.Close()
		return nil, refusal
	}
	return f, ""
}

func (r *running) report(number byte, text string) {
	r.write(delivery.AppendReport(nil, number, text))
}

// write sends whole reports. If qmail-send is gone nobody wants them: deliveries
// go on and end in silence.
func (r *running) write(b []byte) {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.reports.Write(b)
}
