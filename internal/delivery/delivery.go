// Package delivery is the language spoken on the pipes of qmail-send: with
// qmail-lspawn and qmail-rspawn about deliveries (contract 4), with qmail-clean
// about files to be removed (contract 5), and what qmail-local and qmail-remote
// say about one delivery (contracts 6 and 7). See spec "qmail-start and
// qmail-send", section 9, "The queue", section 12, "Local delivery", section 2,
// and "Remote delivery", sections 2 and 3.
//
// A request is one byte, the delivery number, then three strings each ended by a
// NUL: message file, sender, recipient. A report is the delivery number, a letter
// (K success, Z temporary, D permanent), a text, a NUL.
//
// Readers here run as root (qmail-lspawn) on bytes written by qmails, and as
// qmails on what users' programs and remote hosts have said. They reject what they
// do not understand and bound what they keep.
package delivery

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Bounds on what one message on a pipe may hold, in bytes.
const (
	maxField  = 65536 // of a request; qmail-queue's limit is far below
	MaxReport = 10000 // what qmail-send keeps of a report
	maxMess   = 100   // of the message file's name, NUL included
)

// Letters of a report.
const (
	Success   = 'K'
	Temporary = 'Z'
	Permanent = 'D'
)

// Request asks for one delivery.
type Request struct {
	Number    byte
	Mess      string // path of the message below queue/mess
	Sender    string
	Recipient string
}

// Append adds the bytes of the request to b.
func (r Request) Append(b []byte) []byte {
	b = append(b, r.Number)
	for _, s := range []string{r.Mess, r.Sender, r.Recipient} {
		b = append(append(b, s...), 0)
	}
	return b
}

// Refusals that a spawner answers at once, without trying a delivery.
const (
	RefuseMemory    = "Zqmail-spawn out of memory. (#4.3.0)\n"
	RefuseTooBig    = "ZInternal error: delnum too big. (#4.3.5)\n"
	RefuseInUse     = "ZInternal error: delnum in use. (#4.3.5)\n"
	refuseNumerics  = "DInternal error: messid has nonnumerics. (#5.3.5)\n"
	refuseTooLong   = "DInternal error: messid too long. (#5.3.5)\n"
	refuseTooShort  = "DInternal error: messid too short. (#5.3.5)\n"
	refuseHost      = "DSorry, address must include host name. (#5.1.3)\n"
	RefuseOpen      = "Zqmail-spawn unable to open message. (#4.3.0)\n"
	RefuseStat      = "Zqmail-spawn unable to fstat message. (#4.3.0)\n"
	RefuseType      = "ZSorry, message has wrong type. (#4.3.5)\n"
	RefuseOwner     = "ZSorry, message has wrong owner. (#4.3.5)\n"
	RefusePipe      = "Zqmail-spawn unable to create pipe. (#4.3.0)\n"
	RefuseFork      = "Zqmail-spawn unable to fork. (#4.3.0)\n"
	tooLongOutput   = "\nError report too long, sorry.\n"
	maxLocalOutput  = 3000
	keptLocalOutput = maxLocalOutput - len(tooLongOutput) - 3
)

// ReadRequest reads the next request. A request with a field beyond all bounds
// comes back with oversized set, its fields cut. io.EOF is the orderly end.
func ReadRequest(r *bufio.Reader) (req Request, oversized bool, err error) {
	if req.Number, err = r.ReadByte(); err != nil {
		return req, false, err
	}
	for _, field := range []*string{&req.Mess, &req.Sender, &req.Recipient} {
		var cut bool
		if *field, cut, err = readField(r, maxField); err != nil {
			return req, false, err
		}
		oversized = oversized || cut
	}
	return req, oversized, nil
}

// readField reads up to a NUL and keeps at most limit bytes, also of a field that
// ends too early.
func readField(r *bufio.Reader, limit int) (field string, cut bool, err error) {
	var kept []byte
	for {
		chunk, err := r.ReadSlice(0)
		body := chunk
		if err == nil {
			body = chunk[:len(chunk)-1]
		}
		if room := limit - len(kept); len(body) > room {
			body, cut = body[:room], true
		}
		kept = append(kept, body...)
		switch err {
		case nil:
			return string(kept), cut, nil
		case bufio.ErrBufferFull:
		case io.EOF:
			return string(kept), cut, io.ErrUnexpectedEOF
		default:
			return string(kept), cut, err
		}
	}
}

// Check returns the report that refuses the request, or "".
func (r Request) Check() string {
	for i := 0; i < len(r.Mess); i++ {
		digit := '0' <= r.Mess[i] && r.Mess[i] <= '9'
		if !digit && (r.Mess[i] != '/' || i == 0) {
			return refuseNumerics
		}
	}
	switch {
	case len(r.Mess)+1 > maxMess:
		return refuseTooLong
	case r.Mess == "":
		return refuseTooShort
	case !strings.Contains(r.Recipient, "@"):
		return refuseHost
	}
	return ""
}

// Report is what became of one delivery.
type Report struct {
	Number byte
	Letter byte   // Success, Temporary, Permanent, or something mangled
	Text   string // free text, may hold line feeds
}

// AppendReport adds to b the report of delivery number: text, which begins with
// its letter and is cut at its first NUL.
func AppendReport(b []byte, number byte, text string) []byte {
	text, _, _ = strings.Cut(text, "\x00")
	return append(append(append(b, number), text...), 0)
}

// ReadReport reads the next report. It keeps MaxReport bytes, number and letter
// included, and drops the rest. A NUL in first place is delivery number 0.
func ReadReport(r *bufio.Reader) (Report, error) {
	number, err := r.ReadByte()
	if err != nil {
		return Report{}, err
	}
	text, _, err := readField(r, MaxReport-1)
	if err != nil {
		return Report{}, err
	}
	rep := Report{Number: number}
	if text != "" {
		rep.Letter, rep.Text = text[0], text[1:]
	}
	return rep, nil
}

// Clean is a request to qmail-clean: "foop" removes a message's intd and mess,
// "todo" its intd and todo.
type Clean struct {
	What string // foop or todo
	ID   uint64
}

// CleanAnswer bytes.
const (
	CleanDone    = '+'
	CleanFailed  = '!'
	CleanInvalid = 'x'
)

// Bounds on a request to qmail-clean, NUL included.
const (
	minClean = 7
	MaxClean = 100
)

// ParseClean reads the request in line, which is without its NUL.
//
// Differs from qmail: a request that is not exactly WHAT/DIGITS is refused whole,
// with one answer; qmail-send never writes another.
func ParseClean(line []byte) (Clean, bool) {
	what, number, ok := bytes.Cut(line, []byte("/"))
	c := Clean{What: string(what)}
	if !ok || len(line)+1 < minClean || len(line)+1 > MaxClean || c.What != "foop" && c.What != "todo" {
		return Clean{}, false
	}
	for _, d := range number {
		if d < '0' || d > '9' || c.ID > (1<<64-1-uint64(d-'0'))/10 {
			return Clean{}, false
		}
		c.ID = c.ID*10 + uint64(d-'0')
	}
	return c, true
}
