// Package splogger is splogger: it hands each line of its input to syslogd. See
// spec "Administrative tools", section 8.
//
// The lines come from qmail-send and quote what strangers wrote. Every byte that
// is not printable ASCII becomes a question mark, and long lines are divided, so
// that nothing in a line can be taken for a message of its own.
//
// qmail-send waits for whoever reads its log, so splogger must go on reading. It
// never ends before its input does, and a syslogd that is away or does not take
// messages costs the messages, and soon no time any more.
package splogger

import (
	"bufio"
	"bytes"
	"fmt"
	"time"

	"quail/internal/control"
	"quail/internal/prog"
)

// Run is the program: splogger [ tag [ facility ] ].
func Run(p *prog.Process) error {
	l := &logger{tag: "splogger", facility: facilityMail, patience: patience, haste: haste}
	if len(p.Args) > 0 {
		l.tag = p.Args[0]
	}
	if len(p.Args) > 1 {
		l.facility = facility(p.Args[1])
	}
	return copyLines(p, l)
}

// copyLines logs the input until it ends. A read error is the end too: there is
// nobody left to be told.
func copyLines(p *prog.Process, l *logger) error {
	defer l.device.close()
	s := splitter{now: p.Now, log: l.log}
	in := bufio.NewReader(p.Stdin)
	for {
		c, err := in.ReadByte()
		if err != nil {
			return nil
		}
		s.put(c)
	}
}

// Facilities, as syslogd numbers them.
const (
	facilityUser = 1
	facilityMail = 2
	facilityMax  = 127
)

// facility reads the digits that word begins with. syslog(3) takes a number that
// it cannot send for the facility "user".
func facility(word string) int {
	n := control.Number(word)
	if n > facilityMax {
		return facilityUser
	}
	return n
}

// Priorities, as syslogd numbers them.
const (
	priorityAlert   = 1
	priorityWarning = 4
	priorityInfo    = 6
)

// maxPiece is how much of a line goes into one message: syslogd is only required
// to take messages of 1024 bytes.
const maxPiece = 799

// splitter makes pieces out of lines. All pieces of a line have the time stamp
// and the priority of its first one; a plus sign before the text marks the later
// ones. An unended last line is not logged, except for the full pieces in it.
type splitter struct {
	now func() time.Time
	log func(priority int, now time.Time, text string)

	piece     []byte
	continued bool // piece is not the first of its line
	stamp     string
	priority  int // stamp and priority of the line, once it has a piece
}

// put takes the next byte of the input.
func (s *splitter) put(c byte) {
	if c == '\n' {
		s.flush()
		s.continued = false
		return
	}
	// A full piece is only sent when more follows: 799 bytes are one message.
	if len(s.piece) == maxPiece {
		s.flush()
	}
	if c < ' ' || c > '~' {
		c = '?'
	}
	s.piece = append(s.piece, c)
}

// flush logs what there is of the line, if there is anything.
func (s *splitter) flush() {
	if len(s.piece) == 0 {
		return
	}
	now := s.now()
	separator := "+"
	if !s.continued {
		separator = " "
		s.stamp = fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)
		s.priority = priorityOf(s.piece)
	}
	s.log(s.priority, now, s.stamp+separator+string(s.piece))
	s.continued = true
	s.piece = s.piece[:0]
}

func priorityOf(line []byte) int {
	switch {
	case bytes.HasPrefix(line, []byte("warning:")):
		return priorityWarning
	case bytes.HasPrefix(line, []byte("alert:")):
		return priorityAlert
	}
	return priorityInfo
}
