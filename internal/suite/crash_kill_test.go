package suite

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sight returns which program of the home a process runs, and its parent. What has
// ended, what is a thread, and what has been forked and is about to run another
// program is not ok.
func sight(pid int) (program string, parent int, ok bool) {
	if program, ok = executable(pid); !ok {
		return "", 0, false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", 0, false
	}
	var state string
	var group int
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":\t")
		switch key {
		case "State":
			state = value
		case "Tgid":
			fmt.Sscan(value, &group)
		case "PPid":
			fmt.Sscan(value, &parent)
		}
	}
	before, same := executable(parent)
	return program, parent, group == pid && state != "" && state[0] != 'Z' && !(same && before == program)
}

// executable returns which program of the home a process has in it.
func executable(pid int) (program string, ok bool) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	path = strings.TrimSuffix(path, " (deleted)")
	program = filepath.Base(path)
	if program == "qmail-queued" {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(b), "\x00serve\x00") {
			program = takesMessages
		}
	}
	return program, err == nil && filepath.Dir(path) == filepath.Join(home, "bin")
}

// takesMessages is the half of qmail-queued that does.
const takesMessages = "qmail-queued serve"

// isWarm reports whether a process is kept for many jobs.
func isWarm(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.Contains("\x00"+string(b), "\x00QUAIL_WARM=")
}

// sighted lists the processes that run programs of the home.
func sighted() map[int]string {
	out := map[int]string{}
	for pid := range running() {
		if program, _, ok := sight(pid); ok {
			out[pid] = program
		}
	}
	return out
}

// isProcess reports whether a number is a process's, not a thread's.
func isProcess(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && strings.Contains(string(b), fmt.Sprintf("\nTgid:\t%d\n", pid))
}

// newest returns the number of the process or thread that was made last.
func newest() (pid int) {
	b, _ := os.ReadFile("/proc/loadavg")
	if words := strings.Fields(string(b)); len(words) > 4 {
		fmt.Sscan(words[4], &pid)
	}
	return pid
}

// killer kills processes of the suite.
type killer struct {
	victims []string // programs
	pause   time.Duration
	allowed func() int // how many kills there may be by now
	random  *rand.Rand

	mu    sync.Mutex
	kills map[string]int
	warm  map[string]int // of these, processes that were warm
	// atRisk is how many copies the kills can have cost.
	atRisk map[string]int
}

// checkWarm makes sure that those who can be warm were hit when they were.
func (k *killer) checkWarm(t testing.TB) {
	for _, program := range []string{"qmail-smtpd", "qmail-getpw", "qmail-local", "qmail-remote"} {
		if k.warm[program] < 3 {
			t.Errorf("of %d kills of %s %d were of a warm one", k.kills[program], program, k.warm[program])
		}
	}
}

// total and least count the kills so far: all of them, and those of the program
// that has been killed least.
func (k *killer) count() (total, least int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	least = k.kills[k.victims[0]]
	for _, program := range k.victims {
		total += k.kills[program]
		least = min(least, k.kills[program])
	}
	return total, least
}

// run kills until the context ends: one time in three what happens to run, which is
// mostly what runs long, and otherwise those that have been killed least.
func (k *killer) run(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(k.random.Int64N(int64(2 * k.pause)))) // the random moments that it is about
		if total, _ := k.count(); total >= k.allowed() {
			continue
		}
		var some []int
		all := sighted()
		for _, pid := range slices.Sorted(maps.Keys(all)) {
			if slices.Contains(k.victims, all[pid]) {
				some = append(some, pid)
			}
		}
		if k.random.IntN(3) == 0 && len(some) > 0 {
			pid := some[k.random.IntN(len(some))]
			k.kill(pid, all[pid])
			continue
		}
		k.hunt(k.leastKilled())
	}
}

func (k *killer) leastKilled() (programs []string) {
	_, least := k.count()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, program := range k.victims {
		if k.kills[program] == least {
			programs = append(programs, program)
		}
	}
	return programs
}

// hunt waits a moment for a process that runs one of the programs, and kills it.
// Short-lived ones can only be caught by looking at nothing but the newest processes.
func (k *killer) hunt(programs []string) {
	const patience, youth = 300 * time.Millisecond, 30 * time.Millisecond
	begin, last := time.Now(), newest()
	all := sighted()
	for pid, program := range all {
		if slices.Contains(programs, program) && k.kill(pid, program) {
			return
		}
	}
	if len(programs) == 1 && programs[0] == "qmail-start" { // it is there only while the suite starts
		for pid, program := range all {
			if program == "qmail-send" {
				k.kill(pid, program)
			}
		}
	}
	young := map[int]time.Time{} // when they were first seen
	for time.Since(begin) < patience {
		now := time.Now()
		for latest := newest(); last != latest; {
			last++
			if last > latest+10000 { // the numbers began again
				last = 1
			}
			if isProcess(last) {
				young[last] = now
			}
		}
		for pid, since := range young {
			if now.Sub(since) > youth {
				delete(young, pid)
			} else if program, ok := executable(pid); ok && slices.Contains(programs, program) && k.kill(pid, program) {
				return
			}
		}
		time.Sleep(200 * time.Microsecond) // between two looks; a shorter one catches more
	}
}

// kill kills a process within the next moment, if it still is the one that was seen,
// and reports whether it did. Most of the moments are short, because so is the life
// of most programs.
func (k *killer) kill(pid int, program string) bool {
	r := k.random.Float64()
	time.Sleep(time.Duration(r * r * r * float64(4*time.Millisecond)))
	if name, _, ok := sight(pid); !ok || name != program {
		return false
	}
	warm, copies := isWarm(pid), atRisk(program)
	if syscall.Kill(pid, syscall.SIGKILL) != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kills[program]++
	k.atRisk[program] += copies
	if warm {
		k.warm[program]++
	}
	return true
}

// keeper keeps a program running, as a supervisor of services does: whenever it
// ends it is started again.
type keeper struct {
	command func() *exec.Cmd
	// ended, if not nil, is told the processes that had been the program's children.
	ended func(children map[int]string)

	mu      sync.Mutex
	process *os.Process
	starts  int
	closed  bool
	done    chan struct{}
	family  sync.WaitGroup
}

// keep starts a program and keeps it running until the test ends.
func (s *suite) keep(k *keeper) *keeper {
	k.done = make(chan struct{})
	go func() {
		defer close(k.done)
		for k.once() {
		}
	}()
	s.t.Cleanup(k.stop)
	return k
}

// once runs the program to its end, and reports whether it is to be run again.
func (k *keeper) once() bool {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return false
	}
	cmd := k.command()
	if cmd.Start() != nil { // a generation that never comes fails the test
		k.mu.Unlock()
		return false
	}
	k.process = cmd.Process
	k.starts++
	k.mu.Unlock()
	begin := time.Now()
	over := make(chan struct{})
	if k.ended != nil {
		k.family.Go(func() { k.ended(children(cmd.Process.Pid, over)) })
	}
	cmd.Wait()
	close(over)
	if time.Since(begin) < 100*time.Millisecond {
		time.Sleep(50 * time.Millisecond) // as supervisors do, so that what cannot start takes no time from others
	}
	return true
}

// children finds the programs that qmail-start starts, or those of them that there are
// when it is over, and returns when it is.
func children(pid int, over <-chan struct{}) map[int]string {
	all := 4
	if *cold {
		all = 3
	}
	out := map[int]string{}
	for len(out) < all {
		for child, program := range sighted() {
			if _, parent, ok := sight(child); ok && parent == pid {
				out[child] = program
			}
		}
		select {
		case <-over:
			return out
		case <-time.After(20 * time.Millisecond):
		}
	}
	<-over
	return out
}

// signal sends a signal to the program, if it runs.
func (k *keeper) signal(sig syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process != nil {
		k.process.Signal(sig)
	}
}

// generation counts how often the program was started.
func (k *keeper) generation() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.starts
}

// restart ends the program in an orderly way; it is started again.
func (k *keeper) restart(s *suite) {
	before := k.generation()
	k.signal(syscall.SIGTERM)
	eventually(s.t, "the restart", func() bool { return k.generation() > before })
}

// stop ends the program for good.
func (k *keeper) stop() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.signal(syscall.SIGTERM)
	select {
	case <-k.done:
	case <-time.After(deadline):
		k.signal(syscall.SIGKILL)
		<-k.done
	}
	k.family.Wait()
}
