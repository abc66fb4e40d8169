package splogger

import (
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// device is the log driver. Solaris and illumos have no socket for syslogd: a
// message goes to a STREAMS device, its priority in a control part beside the
// text, and syslogd adds the time itself. See log(4D) and strlog.h.
//
// The driver throws messages away rather than let anybody wait, so there is
// nothing to do about a syslogd that is stuck.
type device struct {
	fd     int
	opened bool
}

// logDriver is the device that also works for processes without privileges.
const logDriver = "/dev/conslog"

// Offsets in the control part, struct log_ctl, which has one layout for programs
// of 32 and 64 bits, and its flag for messages that syslogd is to see.
const (
	controlFlags    = 6
	controlPriority = 20
	controlSize     = 24

	flagConsole = 0x10
)

func (d *device) open() (err error) {
	if d.opened {
		return nil
	}
	d.fd, err = unix.Open(logDriver, unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	d.opened = err == nil
	return err
}

func (d *device) send(m message, _ time.Duration) error {
	control := make([]byte, controlSize)
	binary.NativeEndian.PutUint16(control[controlFlags:], flagConsole)
	binary.NativeEndian.PutUint32(control[controlPriority:], uint32(m.priority))
	err := unix.Putmsg(d.fd, control, []byte(m.tag+": "+m.text+"\x00"), 0)
	if err != nil {
		d.close()
	}
	return os.NewSyscallError("putmsg", err)
}

func (d *device) close() {
	if d.opened {
		unix.Close(d.fd)
		d.opened = false
	}
}
