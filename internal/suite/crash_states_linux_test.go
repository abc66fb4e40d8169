package suite

import (
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qmail-queued, killed like qmail-queue before each change that it makes: what was
// acknowledged is in the queue, and nothing is there by half but debris.
func TestCrashStatesQueued(t *testing.T) {
	watch, ok := killat(t)
	if !ok || warmOnly(t) {
		return
	}
	s := install(t)
	s.excuse(muted, "it is killed")
	uid, gid := s.account("qmailq", "qmail")
	var states []string
	acknowledged, queued := map[int]bool{}, map[int]bool{}
	n := eachState(t, func(number int) int {
		before := s.queued()
		os.Remove(s.path(queueSocket))
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path(queueSocket)})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		socket, err := listener.File()
		listener.Close()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(watch, strconv.Itoa(number), s.path("bin/qmail-queued"), "serve")
		cmd.Stdin, cmd.Stderr = socket, s.errors
		if root {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		socket.Close()
		text := letter{id: number, size: 5000}.text()
		acknowledged[number] = s.call(frame('M', text) + frame('E', "F"+bouncesTo+"\x00T"+toMaildir.address()+"\x00\x00"))
		ended := make(chan struct{})
		go func() {
			cmd.Wait()
			close(ended)
		}()
		eventually(t, "qmail-queued to end", func() bool {
			for pid, program := range sighted() {
				if program == takesMessages {
					syscall.Kill(pid, syscall.SIGTERM)
				}
			}
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
		state := kinds(before, s.queued())
		queued[number] = strings.Contains(state, "todo")
		if acknowledged[number] && !queued[number] {
			t.Errorf("letter %d was acknowledged and is not queued", number)
		}
		if !slices.Contains(states, state) {
			states = append(states, state)
		}
		return cmd.ProcessState.ExitCode()
	})
	os.Remove(s.path(queueSocket))
	t.Logf("killed before %d changes, in the states %q", n, states)
	for _, want := range []string{"", "mess", "intd+mess", "intd+todo+mess"} {
		if !slices.Contains(states, want) {
			t.Errorf("it was never killed in the state %q", want)
		}
	}
	s.start()
	eventually(t, "all that was queued to be delivered", func() bool { return len(s.waiting()) == 0 })
	arrived := s.copies("u/joe/Maildir/new")
	for number := 1; number <= n+1; number++ {
		if (arrived[number] == 1) != queued[number] {
			t.Errorf("letter %d: queued %v, arrived %d times", number, queued[number], arrived[number])
		}
	}
	if wrong := notDebris(s.queued()); len(wrong) > 0 {
		t.Errorf("left in no state that qmail has: %v", wrong)
	}
}

// frame is one of those that the queue's socket takes.
func frame(kind byte, text string) string {
	return string([]byte{kind, byte(len(text) >> 16), byte(len(text) >> 8), byte(len(text))}) + text
}

// call sends frames to the queue's socket and reports whether they were acknowledged.
func (s *suite) call(frames string) bool {
	s.t.Helper()
	conn, err := net.Dial("unix", s.path(queueSocket))
	if err != nil { // it was killed before
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	io.WriteString(conn, frames) // whoever is killed reads no more
	answer := make([]byte, 12)
	_, err = io.ReadFull(conn, answer)
	return err == nil && strings.HasPrefix(string(answer), "\x00\x00\x00\x00")
}
