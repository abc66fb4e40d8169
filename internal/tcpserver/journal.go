package tcpserver

import (
	"io"
	"strconv"
	"sync"

	"quail/internal/ucspi"
)

// journal writes the lines that log analysers read. Each event is one write, so
// that lines of connections and of their programs do not mix.
//
// It also keeps the count of connections, because a status line must agree with
// its neighbours.
type journal struct {
	out       io.Writer
	verbosity int
	limit     int

	mu    sync.Mutex
	count int
}

// start reports that connections are accepted from now on.
func (j *journal) start() { j.change(0, nil) }

// accepted reports one connection more.
func (j *journal) accepted() { j.change(1, nil) }

// ended reports how the connection number ended, and that there is one less.
func (j *journal) ended(number uint64, status int) {
	if j.verbosity < verbose {
		return
	}
	b := append([]byte("tcpserver: end "), strconv.FormatUint(number, 10)...)
	b = append(b, " status "...)
	b = strconv.AppendInt(b, int64(status), 10)
	j.change(-1, append(b, '\n'))
}

// change alters the count and writes lines and the new status.
func (j *journal) change(by int, lines []byte) {
	if j.verbosity < verbose {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count += by
	lines = append(lines, "tcpserver: status: "...)
	lines = strconv.AppendInt(lines, int64(j.count), 10)
	lines = append(lines, '/')
	lines = strconv.AppendInt(lines, int64(j.limit), 10)
	j.out.Write(append(lines, '\n'))
}

// opened reports the connection number, with verdict "ok" or "deny".
func (j *journal) opened(number uint64, verdict string, c *ucspi.Connection) {
	if j.verbosity < verbose {
		return
	}
	b := arrival(number, c.RemoteIP)
	b = append(b, "tcpserver: "...)
	b = append(b, verdict...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, number, 10)
	for i, field := range [...]string{
		c.LocalHost.Text, bracket(c.LocalIP), c.LocalPort,
		c.RemoteHost.Text, bracket(c.RemoteIP), c.RemoteInfo.Text, c.RemotePort,
	} {
		separator := byte(':')
		if i == 0 || i == 3 {
			separator = ' '
		}
		b = append(b, separator)
		if i == 1 || i == 4 {
			b = append(b, field...) // ours, and not to be cleaned of colons
		} else {
			b = appendClean(b, field)
		}
	}
	j.write(append(b, '\n'))
}

// dropped reports a connection that has come no further than its number.
func (j *journal) dropped(number uint64, ip string) {
	if j.verbosity >= verbose {
		j.write(arrival(number, ip))
	}
}

// arrival is the first line of a connection.
func arrival(number uint64, ip string) []byte {
	b := append(make([]byte, 0, 256), "tcpserver: pid "...)
	b = strconv.AppendUint(b, number, 10)
	b = append(b, " from "...)
	b = append(b, ip...)
	return append(b, '\n')
}

// warn reports what is no reason to end.
func (j *journal) warn(text string) {
	if j.verbosity >= terse {
		j.write([]byte("tcpserver: warning: " + text + "\n"))
	}
}

func (j *journal) write(lines []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.out.Write(lines)
}

// longest is how much of one value is shown.
const longest = 100

// appendClean appends s without what could end a line or a field, and no more of
// it than fits one.
func appendClean(b []byte, s string) []byte {
	more := len(s) > longest
	if more {
		s = s[:longest]
	}
	for i := range len(s) {
		c := s[i]
		if c < 33 || c > 126 || c == '%' || c == ':' {
			c = '?'
		}
		b = append(b, c)
	}
	if more {
		b = append(b, "..."...)
	}
	return b
}

// bracket makes an IPv6 address one field among those that colons separate.
//
// Differs from qmail: it has no IPv6, and its way with colons would leave nothing
// of the address.
func bracket(ip string) string {
	for i := range len(ip) {
		if ip[i] == ':' {
			return "[" + ip + "]"
		}
	}
	return ip
}
