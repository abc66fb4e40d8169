package warm

import (
	"errors"
	"strconv"
	"strings"
	"sync"
)

// Mark is what the file of a program that can be kept warm ends with.
const Mark = "\nquail-warm-1\n"

// variable, set to Version in the environment of a program, says that descriptor 3
// is the socket by which it gets its jobs.
const variable = "QUAIL_WARM"

// Version is that of the protocol.
const Version = "1"

// socketNumber is the descriptor by which a warm program gets its jobs.
const socketNumber = 3

// Bounds on one packet, of a parent and of a program.
const (
	maxPacket      = 128 << 10 // bytes; a job that is longer runs cold
	maxMessage     = 64 << 10  // bytes; become is the only one of any length
	maxDescriptors = 16
)

// buffer is where packets are read to, by one socket after another.
type buffer struct {
	mu    sync.Mutex
	bytes []byte
}

// newBuffer returns one for packets of at most size bytes: a longer one is cut, which
// is noticed.
func newBuffer(size int) *buffer { return &buffer{bytes: make([]byte, size)} }

// errRecord says that a packet is none of this protocol.
var errRecord = errors.New("not a record of the warm protocol")

// Types of records: the first byte of a packet.
const (
	typeGreeting = 'G'
	typeJob      = 'J'
	typeDone     = 'D'
	typeDeclined = 'N'
	typeBecome   = 'B'
	typeRetire   = 'R'
)

// How the descriptors of a job are named, beside the index of one that comes with it.
const (
	closed = -1 // the job does not have it
	shared = -2 // the program's own descriptor of that number
)

// job is what exec would have given.
type job struct {
	number      int
	dir         string
	args        []string
	env         []string
	descriptors []int // for 0, 1, 2, …: an index of what came with the job, closed or shared
}

// fields divides a record's text: every field ends with a NUL, so none holds one.
func fields(record string) ([]string, error) {
	body, ok := strings.CutSuffix(record, "\x00")
	if !ok {
		return nil, errRecord
	}
	return strings.Split(body, "\x00"), nil
}

// appendProgram appends what exec is given, which jobs and become have in common:
// directory, count of arguments, arguments, environment.
func appendProgram(b []byte, dir string, args, env []string) []byte {
	b = append(append(b, dir...), 0)
	b = append(strconv.AppendInt(b, int64(len(args)), 10), 0)
	for _, list := range [...][]string{args, env} {
		for _, s := range list {
			b = append(append(b, s...), 0)
		}
	}
	return b
}

// program reads what appendProgram wrote.
func program(f []string) (dir string, args, env []string, err error) {
	if len(f) < 3 {
		return "", nil, nil, errRecord
	}
	n, err := strconv.Atoi(f[1])
	if err != nil || n < 1 || n > len(f)-2 {
		return "", nil, nil, errRecord
	}
	return f[0], f[2 : 2+n : 2+n], f[2+n:], nil
}

// clean reports whether no string holds a NUL, which no exec could pass on either.
func clean(lists ...[]string) bool {
	for _, list := range lists {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return false
			}
		}
	}
	return true
}

// record returns the packet of a job.
func (j job) record() []byte {
	b := make([]byte, 0, 2048)
	b = append(strconv.AppendInt(append(b, typeJob), int64(j.number), 10), 0)
	for i, d := range j.descriptors {
		if i > 0 {
			b = append(b, ' ')
		}
		switch d {
		case closed:
			b = append(b, '-')
		case shared:
			b = append(b, '=')
		default:
			b = strconv.AppendInt(b, int64(d), 10)
		}
	}
	return appendProgram(append(b, 0), j.dir, j.args, j.env)
}

// parseJob reads a job that came with a number of descriptors.
func parseJob(record string, attached int) (j job, err error) {
	f, err := fields(record)
	if err != nil || len(f) < 2 || f[0] == "" || f[0][0] != typeJob {
		return j, errRecord
	}
	if j.number, err = strconv.Atoi(f[0][1:]); err != nil || j.number < 1 {
		return j, errRecord
	}
	for _, d := range strings.Split(f[1], " ") {
		n := closed
		switch d {
		case "-":
		case "=":
			n = shared
		default:
			if n, err = strconv.Atoi(d); err != nil || n < 0 || n >= attached {
				return j, errRecord
			}
		}
		j.descriptors = append(j.descriptors, n)
	}
	if len(j.descriptors) < 3 || len(j.descriptors) > maxDescriptors {
		return j, errRecord
	}
	j.dir, j.args, j.env, err = program(f[2:])
	return j, err
}

// message is what a program says: that it is ready, or what became of a job.
type message struct {
	kind   byte
	number int // of the job; in a greeting, how many jobs at once
	status int // raw, as wait gives it
	dir    string
	args   []string
	env    []string
}

// record returns the packet of a message.
func (m message) record() []byte {
	b := append(make([]byte, 0, 64), m.kind)
	switch m.kind {
	case typeRetire:
		return append(b, 0)
	case typeGreeting:
		b = append(append(b, Version...), 0)
		return append(strconv.AppendInt(b, int64(m.number), 10), 0)
	}
	b = append(strconv.AppendInt(b, int64(m.number), 10), 0)
	switch m.kind {
	case typeDone:
		b = append(strconv.AppendInt(b, int64(m.status), 10), 0)
	case typeBecome:
		b = appendProgram(b, m.dir, m.args, m.env)
	}
	return b
}

// parseMessage reads what a program says. Whoever it runs as may have written it.
func parseMessage(record string) (m message, err error) {
	f, err := fields(record)
	if err != nil || f[0] == "" {
		return m, errRecord
	}
	m.kind, f[0] = f[0][0], f[0][1:]
	switch m.kind {
	case typeRetire:
		if len(f) != 1 || f[0] != "" {
			return m, errRecord
		}
		return m, nil
	case typeGreeting:
		if len(f) != 2 || f[0] != Version {
			return m, errRecord
		}
		f = f[1:]
	}
	if m.number, err = strconv.Atoi(f[0]); err != nil || m.number < 1 {
		return m, errRecord
	}
	switch f = f[1:]; m.kind {
	case typeGreeting, typeDeclined:
		if len(f) != 0 {
			return m, errRecord
		}
	case typeDone:
		if len(f) != 1 {
			return m, errRecord
		}
		if m.status, err = strconv.Atoi(f[0]); err != nil || m.status < 0 || m.status > 0xffff {
			return m, errRecord
		}
	case typeBecome:
		m.dir, m.args, m.env, err = program(f)
	default:
		return m, errRecord
	}
	return m, err
}
