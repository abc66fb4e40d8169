// Package qbiff announces a message on the terminals of its recipient. See spec
// "Injection", section 9.
//
// Sender and message are a stranger's, and a terminal obeys what it is sent: no byte
// but printable ASCII of theirs gets there. A device for characters, which is what
// terminals are, is written to only if it belongs to whoever runs the program and wants
// mail announced, which biff says by the owner's execute bit. Announcing is a kindness:
// whatever goes wrong, the program succeeds.
package qbiff

import (
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/ascii"
	"quail/internal/prog"
	"quail/internal/rfc822"
	"quail/internal/utmp"
)

// Run is qbiff.
func Run(p *prog.Process) error {
	logins, err := utmp.List()
	if err != nil {
		return nil
	}
	announce(p, logins)
	return nil
}

// announce writes to the terminals of those logins that are the recipient's.
func announce(p *prog.Process, logins []utmp.Entry) {
	user, ok1 := p.Env.Lookup("USER")
	sender, ok2 := p.Env.Lookup("SENDER")
	local, ok3 := p.Env.Lookup("LOCAL")
	if !ok1 || !ok2 || !ok3 {
		return
	}
	text := ""
	for _, login := range logins {
		terminal, ok := login.Terminal()
		if login.User != user || !ok {
			continue
		}
		if text == "" { // nobody's message is read for nothing
			text = announcement(local, sender, p.Stdin)
		}
		write(terminal, text, p.UID)
	}
}

// width is how many bytes of a message are shown, with the four blanks before them.
const width = 78

// announcement returns what a terminal is to show.
func announcement(local, sender string, message io.Reader) string {
	head := "*** TO <" + local + "> FROM <" + sender + ">"
	return "\r\n\a" + ascii.Printable(head, '_') + "\r\n" + ascii.Printable(digest(message), '/') + "\r\n"
}

// digest returns the subject and the start of the body, at most width bytes of them.
func digest(message io.Reader) string {
	var b strings.Builder
	b.WriteString("    ")
	s := rfc822.NewScanner(message)
	for s.Next() {
		if name, value := rfc822.Split(s.Field()); strings.EqualFold(name, "subject") {
			value = strings.TrimLeft(value+"\n", " \t\r\n")
			b.WriteString(value[:min(len(value), width)])
		}
		if b.Len() >= width {
			break
		}
	}
	if b.Len() < width && s.Err() == nil {
		start := make([]byte, width-b.Len())
		n, _ := io.ReadFull(s.Body(), start)
		b.Write(start[:n])
	}
	return b.String()[:min(b.Len(), width)]
}

// write writes text to a terminal that wants it, or not at all: one that takes no
// more, because its user has stopped it, must not hold mail up.
func write(path, text string, uid int) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	terminal := os.NewFile(uintptr(fd), path)
	defer terminal.Close()
	fi, err := terminal.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 || fi.Mode()&0o100 == 0 {
		return
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid {
		unix.Write(fd, []byte(text))
	}
}
