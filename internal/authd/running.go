package authd

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"quail/internal/authwire"
	"quail/internal/checkpw"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// Patience with a program, beyond that of who runs it and kills it in time.
const (
	waitProgram = 75 * time.Second
	waitSlot    = 60 * time.Second
)

var (
	errProgram = errors.New("the program that checks passwords does not know")
	errSlow    = errors.New("the program that checks passwords takes too long")
)

// running is a checkpassword program, run by the other half of qmail-auth.
type running struct {
	sv    *server
	conn  *os.File
	slots chan struct{}

	mu      sync.Mutex
	number  uint32
	waiting map[uint32]chan checkpw.Outcome
}

func newRunning(sv *server, c *os.File) (*running, error) {
	conn, err := own(c)
	if err != nil {
		return nil, prog.Fail("unable to use descriptor 3", err)
	}
	c.Close()
	return &running{sv: sv, conn: conn, slots: make(chan struct{}, checkpw.MaxAtOnce), waiting: map[uint32]chan checkpw.Outcome{}}, nil
}

// hear takes verdicts until the other half is gone.
func (r *running) hear() error {
	for {
		v, err := checkpw.ReadVerdict(r.conn)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return prog.Fail("unable to hear of qmail-auth", err)
		}
		r.mu.Lock()
		if c := r.waiting[v.Number]; c != nil {
			c <- v.Outcome
			delete(r.waiting, v.Number)
		}
		r.mu.Unlock()
	}
}

// check has the program run with a record. One that is longer than any program reads is
// nobody's.
func (r *running) check(record []byte) (checkpw.Outcome, error) {
	if len(record) > checkpw.MaxRecord {
		return checkpw.Wrong, nil
	}
	late := time.NewTimer(waitSlot)
	defer late.Stop()
	select {
	case r.slots <- struct{}{}:
	case <-late.C:
		return checkpw.Later, errSlow
	}
	defer func() { <-r.slots }()
	outcome := make(chan checkpw.Outcome, 1)
	r.mu.Lock()
	r.number++
	number := r.number
	r.waiting[number] = outcome
	_, err := r.conn.Write(checkpw.Order{Number: number, Record: record}.Append(nil))
	r.mu.Unlock()
	if err != nil {
		return checkpw.Later, err
	}
	late.Reset(waitProgram)
	select {
	case o := <-outcome:
		return o, nil
	case <-late.C:
	}
	r.mu.Lock()
	delete(r.waiting, number)
	r.mu.Unlock()
	return checkpw.Later, errSlow
}

func (r *running) mechanisms() ([]string, error) { return authwire.ProgramMechanisms, nil }

func (r *running) begin(mechanism string, q authwire.Request, y *try) (exchange, error) {
	return r.sv.exchange(mechanism, q, y, program{r})
}

// program is what a checkpassword program knows of users. A login is what the client
// calls itself.
type program struct{ *running }

func (p program) verdict(user, password, timestamp string) (string, error) {
	outcome, err := p.check(checkpw.Record(user, password, timestamp))
	switch {
	case err != nil:
		return "", err
	case outcome == checkpw.Right:
		return user, nil
	case outcome == checkpw.Wrong:
		return "", sasl.ErrWrong
	}
	return "", errProgram
}

// Password has the program check a password, with a timestamp as qmail-popup has it.
func (p program) Password(user, password string) (string, error) {
	me, err := p.sv.dir.LineOr("me", "localhost")
	if err != nil {
		return "", err
	}
	now := strconv.FormatInt(p.sv.p.Now().Unix(), 10)
	return p.verdict(user, password, "<"+strconv.Itoa(p.sv.p.PID)+"."+now+"@"+me+">")
}

// Digest passes the digest in place of the password and the challenge in that of the
// timestamp, as qmail-popup passes APOP.
func (p program) Digest(user, challenge, digest string) (string, error) {
	return p.verdict(user, digest, challenge)
}

func (program) Secret(string) (login, secret string, err error) {
	return "", "", sasl.ErrUnsupported
}

func (program) Verifier(string, string) (login string, v sasl.Verifier, err error) {
	return "", v, sasl.ErrUnsupported
}
