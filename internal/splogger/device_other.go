//go:build !solaris

package splogger

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// devices are the sockets that syslogd may listen at, best first: Linux has the
// one, the BSDs have the other. Tests put their own here.
var devices = []string{"/dev/log", "/var/run/log"}

// device is a connection to syslogd: a datagram socket, or a stream on hosts
// whose syslogd wants that.
type device struct {
	conn   net.Conn
	stream bool
}

// open connects if there is no connection.
func (d *device) open() (err error) {
	for _, path := range devices {
		if d.conn != nil {
			break
		}
		d.stream = false
		d.conn, err = net.Dial("unixgram", path)
		if errors.Is(err, syscall.EPROTOTYPE) {
			d.stream = true
			d.conn, err = net.Dial("unix", path)
		}
		if err != nil {
			d.conn = nil // not an interface that holds a nil pointer
		}
	}
	return err
}

// send sends the bytes that syslog(3) would: the time is local, to the second,
// and on a stream a NUL ends the message. TZ may name a zone; a zone spelled out
// in it ("CET-1CEST") counts as UTC. A connection that broke is closed; one where
// merely no room was is kept.
func (d *device) send(m message, wait time.Duration) error {
	text := fmt.Sprintf("<%d>%s %s: %s", m.priority, m.now.Local().Format(time.Stamp), m.tag, m.text)
	if d.stream {
		text += "\x00"
	}
	// A deadline is the kernel's business: it is not of the job's clock.
	if err := d.conn.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		d.close()
		return err
	}
	n, err := d.conn.Write([]byte(text))
	if err != nil && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		d.close() // never go on in the middle of a message
	}
	return err
}

// close ends the connection, if there is one.
func (d *device) close() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}
