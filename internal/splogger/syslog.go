package splogger

import (
	"errors"
	"os"
	"time"
)

// How long a message waits for a syslogd that is there and does not take it; and
// how long the ones after it do, until one gets through.
const (
	patience = time.Second
	haste    = 10 * time.Millisecond
)

// logger sends messages as syslog(3) does, without a process id in them.
type logger struct {
	tag             string
	facility        int
	patience, haste time.Duration

	device device
	stuck  bool // the last message was not taken in time
}

// log sends one message, or drops it. syslogd may have been started again since
// the last one: then the old connection fails and a second try, on a new one,
// gets through.
func (l *logger) log(priority int, now time.Time, text string) {
	wait := l.patience
	if l.stuck {
		wait = l.haste
	}
	for range 2 {
		if l.device.open() != nil {
			return
		}
		err := l.device.send(message{l.facility<<3 | priority, now, l.tag, text}, wait)
		if err == nil {
			l.stuck = false
			return
		}
		l.stuck = errors.Is(err, os.ErrDeadlineExceeded)
		if l.stuck {
			return
		}
	}
}

// message is one entry of the system log.
type message struct {
	priority  int // with the facility
	now       time.Time
	tag, text string
}
