package suite

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Where the daemons once did otherwise than qmail's, found by running the same
// scenes with the programs of both.

// Without a trigger qmail-send looks at todo when it starts and now and then; it
// used not to start.
func TestSwapFixedTrigger(t *testing.T) {
	s := install(t)
	if err := os.Remove(s.path("queue/lock/trigger")); err != nil {
		t.Fatal(err)
	}
	s.inject("x@"+me, "joe@"+me, "Subject: before\n\n")
	send := s.start()
	s.settled(1)
	send.stop()
	if code := send.ProcessState.ExitCode(); code != 0 || !strings.HasSuffix(s.logged(), "status: exiting\n") {
		t.Errorf("qmail-send exited with %d", code)
	}
}

// TERM is not lost among many other signals, and none of them is but a flag.
func TestSwapFixedSignals(t *testing.T) {
	s := install(t)
	send := s.start()
	for range 200 {
		send.Process.Signal(syscall.SIGHUP)
		send.Process.Signal(syscall.SIGALRM)
	}
	send.Process.Signal(syscall.SIGTERM)
	<-send.done
	if !strings.HasSuffix(s.logged(), "\nstatus: exiting\n") {
		t.Errorf("the log ends in %q", tail(s.logged(), 200))
	}
}

// A message all of whose recipients are done, but of whom nobody can tell who sent
// it, stays: it used to be removed. One whose envelope makes no sense is announced
// first.
func TestSwapFixedDamagedQueue(t *testing.T) {
	s := install(t)
	unsigned := s.mess("whose?")
	s.put("info", unsigned, "")
	bounced := s.mess("whose bounce?")
	s.put("info", bounced, "Fjoe@"+me)
	s.put("bounce", bounced, "<x@y>:\nno\n\n")
	empty, odd := s.mess("no envelope"), s.mess("odd envelope")
	s.put("todo", empty, "")
	s.put("todo", odd, "u1\x00p2\x00Fx@"+me+"\x00Xjoe@"+me+"\x00")
	s.start()
	s.inject("x@"+me, "joe@"+me, "Subject: good\n\n")
	s.settled(1)
	eventually(t, "both envelopes to be looked at", func() bool { return strings.Count(s.logged(), "\nnew msg ") >= 3 })
	s.wait("warning: unknown record type in " + strings.TrimPrefix(file("todo", odd), "queue/") + "\n")
	for _, id := range []int{unsigned, bounced, empty, odd} {
		if _, err := os.Stat(s.path(file("mess", id))); err != nil {
			t.Error(err)
		}
	}
	if strings.Count(s.logged(), "end msg ") != 1 {
		t.Errorf("the log is\n%s", s.logged())
	}
}

// However much the program of a remote delivery says before its verdict, that
// counts. It used to be a failure where more than 128 KB came first.
func TestSwapFixedVerdict(t *testing.T) {
	s := install(t)
	program := s.script("remote", `
case "$3" in
long*) printf r; head -c 300000 /dev/zero | tr '\0' x; printf '\0Kaccepted\0';;
empty*) printf '\0Kaccepted\0';;
open*) printf 'rfine\0Kaccepted';;
esac`)
	s.spawn(s.log, []string{"QMAILREMOTE=" + program}, "bin/qmail-start", "./Maildir/")
	s.enter("", []string{"long@far.example", "empty@far.example", "open@far.example"}, "\n")
	long := s.outcome("long@far.example", 1)
	if !strings.HasPrefix(long, "success: xxx") || len(long) != len("success: ")+9998 {
		t.Errorf("the long one was a %.30s… of %d bytes", long, len(long))
	}
	for recipient, want := range map[string]string{"empty@far.example": "success: Kaccepted", "open@far.example": "failure: fineaccepted"} {
		if got := s.outcome(recipient, 1); got != want {
			t.Errorf("%s: %s, want %s", recipient, got, want)
		}
	}
}

// Signals of faults, and the alarm's, end qmail-queue with statuses of its own; the
// files stay, since nobody knows what they hold.
func TestSwapFixedQueueSignals(t *testing.T) {
	const killed = -1
	for sig, want := range map[syscall.Signal]int{
		syscall.SIGALRM: 52, syscall.SIGSEGV: 81, syscall.SIGABRT: 81, syscall.SIGBUS: 81, syscall.SIGFPE: 81,
		syscall.SIGILL: 81, syscall.SIGSYS: 81, syscall.SIGHUP: 0, syscall.SIGINT: 0, syscall.SIGQUIT: 0, syscall.SIGTERM: killed,
	} {
		s := install(t)
		cmd := exec.Command(s.path("bin/qmail-queue"))
		message, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = r
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		io.WriteString(message, "Subject: signals\n\n")
		eventually(t, "qmail-queue to begin", func() bool {
			left := s.queued()
			return len(left) == 1 && strings.HasPrefix(left[0], "mess/")
		})
		cmd.Process.Signal(sig)
		if want == 0 { // any other is to end it while it waits for more
			io.WriteString(w, "Fx@"+me+"\x00Tjoe@"+me+"\x00\x00")
			message.Close()
		}
		cmd.Wait()
		w.Close()
		left := strings.Join(s.queued(), " ")
		if got := cmd.ProcessState.ExitCode(); got != want || !strings.Contains(left, "mess/") || strings.Contains(left, "todo/") != (want == 0) {
			t.Errorf("%v: status %d, want %d; left in the queue: %s", sig, got, want, left)
		}
	}
}
