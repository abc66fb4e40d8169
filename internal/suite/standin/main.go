//go:build linux

// Command standin stands in for a warm program and plays a conversation that was
// written down.
//
//	standin
//
// With $QUAIL_WARM it reads SELF.play, where SELF is the file that it runs, or
// SELF.play.UID for a single user. Where there is neither, or it was started for one
// job, it becomes SELF.real. A play has one step a line, in the words of Go strings:
//
//	say "BYTES"         send a packet; $1, $2, … are what was heard last
//	hear "REGEXP"       a packet must come that is like this, whole
//	put N "BYTES"       write to the N-th descriptor that came with it
//	close               close those descriptors
//	attach N "BYTES"    send a packet with N descriptors
//	repeat N "BYTES"    send a packet N times
//	shut                close the socket, and stay
//	ended               the socket must have ended
//	stay                do nothing until killed
//
// What went wrong, or "well played", is appended to SELF.review.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the descriptor that a warm program is given.
const socket = 3

func main() {
	self, _ := os.Readlink("/proc/self/exe")
	self = strings.TrimSuffix(self, " (deleted)")
	play, err := os.ReadFile(fmt.Sprintf("%s.play.%d", self, os.Getuid()))
	if err != nil {
		play, err = os.ReadFile(self + ".play")
	}
	if err != nil || os.Getenv("QUAIL_WARM") == "" {
		err := unix.Exec(self+".real", os.Args, os.Environ())
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(111)
	}
	review := "well played"
	status := 0
	if err := (&player{}).play(string(play)); err != nil {
		review, status = err.Error(), 1
	}
	if f, err := os.OpenFile(self+".review", os.O_WRONLY|os.O_APPEND, 0); err == nil {
		fmt.Fprintln(f, review)
		f.Close()
	}
	os.Exit(status)
}

// player is in the middle of a play.
type player struct {
	heard []string // what was heard last, and its parts
	files []int    // that came with it
}

func (p *player) play(text string) error {
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		if err := p.step(lines.Text()); err != nil {
			return fmt.Errorf("line %d, %s: %w", n, lines.Text(), err)
		}
	}
	return nil
}

func (p *player) step(line string) (err error) {
	verb, rest, _ := strings.Cut(line, " ")
	n := 1
	if digits, more, ok := strings.Cut(rest, " "); ok {
		if i, err := strconv.Atoi(digits); err == nil {
			n, rest = i, more
		}
	}
	text := ""
	if rest != "" {
		if text, err = strconv.Unquote(rest); err != nil {
			return err
		}
	}
	for i, part := range p.heard {
		text = strings.ReplaceAll(text, fmt.Sprintf("$%d", i), part)
	}
	switch verb {
	case "say", "repeat":
		for range n {
			if err := unix.Sendmsg(socket, []byte(text), nil, nil, unix.MSG_NOSIGNAL); err != nil {
				return err
			}
		}
	case "attach":
		return unix.Sendmsg(socket, []byte(text), unix.UnixRights(make([]int, n)...), nil, unix.MSG_NOSIGNAL)
	case "hear":
		return p.hear(text)
	case "put":
		if n >= len(p.files) {
			return fmt.Errorf("%d descriptors have come", len(p.files))
		}
		_, err = unix.Write(p.files[n], []byte(text))
	case "close":
		for _, fd := range p.files {
			unix.Close(fd)
		}
	case "shut":
		return unix.Close(socket)
	case "ended":
		if k, err := unix.Read(socket, make([]byte, 1)); k > 0 || err != nil {
			return fmt.Errorf("%d bytes more, %v", k, err)
		}
	case "stay":
		time.Sleep(time.Hour)
	default:
		return fmt.Errorf("what?")
	}
	return err
}

// hear takes a packet.
func (p *player) hear(pattern string) error {
	b, control := make([]byte, 1<<20), make([]byte, 4096)
	n, k, _, _, err := unix.Recvmsg(socket, b, control, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, k, _, _, err = unix.Recvmsg(socket, b, control, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return err
	}
	p.files = nil
	if messages, err := unix.ParseSocketControlMessage(control[:k]); err == nil {
		for _, m := range messages {
			fds, _ := unix.ParseUnixRights(&m)
			p.files = append(p.files, fds...)
		}
	}
	if p.heard = regexp.MustCompile(`(?s)^(?:` + pattern + `)$`).FindStringSubmatch(string(b[:n])); p.heard == nil {
		return fmt.Errorf("heard %q", b[:n])
	}
	return nil
}
