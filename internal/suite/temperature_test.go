package suite

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Warm and cold runs must not be told apart from outside, so every test is one of both.
// A warm run fails where anything ran cold that could have been warm, unless the test
// says why.

// lastLine is what a file may end with to say that its program can be kept warm, or
// need not be executed by another of the same build.
var lastLine = regexp.MustCompile(`\nquail-(warm|build)-[^\n]*\n$`)

// chill makes all programs run cold: their files lose their marks, and the queue has no
// socket.
func chill(t testing.TB, programs string) {
	t.Helper()
	if err := os.Remove(filepath.Join(programs, "qmail-queued")); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(programs + "/*")
	if err != nil {
		t.Fatal(err)
	}
	chilled := 0
	for _, name := range names {
		if unmark(t, name) {
			chilled++
		}
	}
	if chilled == 0 {
		t.Fatal("no program is marked: was this built by make?")
	}
}

// unmark takes the mark from a program, in a file of its own: tests share theirs.
func unmark(t testing.TB, name string) bool {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	mark := lastLine.Find(b[max(0, len(b)-100):])
	if mark == nil {
		return false
	}
	must(t, "cp", "-p", name, name+".new")
	if err := os.Truncate(name+".new", int64(len(b)-len(mark))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	return true
}

// chilled makes one program run cold, for a test that looks at one process a job.
func (s *suite) chilled(program, why string) {
	s.t.Helper()
	if *cold {
		return
	}
	if program == "qmail-queued" {
		if err := os.Remove(s.path("bin/" + program)); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if !unmark(s.t, s.path("bin/"+program)) {
		s.t.Fatalf("%s is not marked", program)
	}
	s.excuse(foreign, why)
}

// exception is a way to run a job that a warm run does not expect.
type exception string

const (
	foreign  exception = "programs without the mark run"
	declined exception = "jobs are declined"
	queuing  exception = "qmail-queue runs although qmail-queued listens"
	troubled exception = "jobs run cold or are lost after trouble"
	muted    exception = "those who count may be killed"
)

// excuse says that a test has reason to do what a warm run does not expect.
func (s *suite) excuse(e exception, why string) {
	s.excused[e] = why
}

// rough says that a test kills, starves or stops programs that may be warm.
func (s *suite) rough(why string) {
	for _, e := range []exception{declined, queuing, troubled, muted} {
		s.excuse(e, why)
	}
}

// tally is what the parent of warm programs has counted.
type tally struct{ warm, declined, cold, foreign, lost int }

func (t tally) plus(o tally) tally {
	return tally{t.warm + o.warm, t.declined + o.declined, t.cold + o.cold, t.foreign + o.foreign, t.lost + o.lost}
}

var (
	// counts are the lines that parents of warm programs write at their end.
	counts = regexp.MustCompile(`(?m)^([a-z-]+): jobs: (\d+) warm, (\d+) declined, (\d+) cold, (\d+) foreign, (\d+) lost; \d+ goroutines$`)
	// queuedCounts is qmail-queued's.
	queuedCounts = regexp.MustCompile(`(?m)^qmail-queued: jobs: (\d+) done, (\d+) refused, .*$`)
	// accounts are all lines that say what has been going on, in whatever order they come.
	accounts = regexp.MustCompile(`(?m)^[a-z-]+: (jobs|process \d+): .*\n`)
)

// said returns all that programs have written on descriptor 2, of all logs.
func (s *suite) said() []byte {
	s.t.Helper()
	var all []byte
	for _, f := range append([]*os.File{s.errors}, s.logs...) {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// tallies returns the counts of each program, and how many of them have counted.
func (s *suite) tallies() (sums map[string]tally, lines map[string]int) {
	s.t.Helper()
	sums, lines = map[string]tally{}, map[string]int{}
	all := s.said()
	for _, m := range counts.FindAllSubmatch(all, -1) {
		var n [7]int
		for i := 2; i < len(n); i++ {
			n[i], _ = strconv.Atoi(string(m[i]))
		}
		program := string(m[1])
		sums[program] = sums[program].plus(tally{n[2], n[3], n[4], n[5], n[6]})
		lines[program]++
	}
	for _, m := range queuedCounts.FindAllSubmatch(all, -1) {
		done, _ := strconv.Atoi(string(m[1]))
		sums["qmail-queued"] = sums["qmail-queued"].plus(tally{warm: done})
		lines["qmail-queued"]++
	}
	return sums, lines
}

// begins notes a program that counts jobs and will say so at its end.
func (s *suite) begins(program string) {
	switch filepath.Base(program) {
	case "qmail-start":
		for _, p := range []string{"qmail-lspawn", "qmail-rspawn"} {
			s.begun[p]++
		}
	case "tcpserver":
		s.begun["tcpserver"]++
	}
}

func (s *suite) exists(rel string) bool {
	_, err := os.Lstat(s.path(rel))
	return err == nil
}

// queuer is the program that puts messages into the queue.
func (s *suite) queuer() string {
	if s.exists("bin/qmail-queued") {
		return "qmail-queued"
	}
	return "qmail-queue"
}

// count has a tcpserver say what it has counted; at its end it would not, being told to
// speak of errors only.
func (p *process) count() {
	lines := func() int { return bytes.Count(p.s.said(), []byte("tcpserver: jobs: ")) }
	before := lines()
	p.Process.Signal(syscall.SIGUSR1)
	for end := time.Now().Add(deadline); lines() == before && time.Now().Before(end); {
		select {
		case <-p.done:
			return
		case <-time.After(time.Millisecond): // between two looks
		}
	}
}

// inHand returns how many jobs a program has in its hands, in processes that can tell
// or that have one each.
func (s *suite) inHand(program string) (jobs int) {
	s.t.Helper()
	for pid, name := range running() {
		if name != program {
			continue
		}
		if *cold || program == "qmail-queue" {
			jobs++
			continue
		}
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^%s: process %d: (\d+) jobs in hand, `, program, pid))
		before := len(line.FindAll(s.said(), -1))
		if syscall.Kill(pid, syscall.SIGUSR1) != nil {
			continue
		}
		eventually(s.t, fmt.Sprintf("process %d to say what it does", pid), func() bool {
			all := line.FindAllSubmatch(s.said(), -1)
			if len(all) == before {
				return syscall.Kill(pid, 0) != nil
			}
			n, _ := strconv.Atoi(string(all[before][1]))
			jobs += n
			return true
		})
	}
	return jobs
}

// queuesByHand says that the test is about to run qmail-queue, whoever else listens, and
// returns what to call when it has.
func (s *suite) queuesByHand() (done func()) {
	s.watch.look()
	return s.watch.forget
}

// checkTemperature looks, after all programs have ended, at how their jobs were run.
func (s *suite) checkTemperature() {
	s.t.Helper()
	executions := s.watch.end()
	s.allEnd()
	sums, lines := s.tallies()
	for program, n := range s.begun {
		if lines[program] < n && s.excused[muted] == "" {
			s.t.Errorf("%d of %d %s have said how many jobs they had", lines[program], n, program)
		}
	}
	for program, sum := range sums {
		if *cold {
			if sum.warm > 0 && program != "qmail-queued" { // who is not there but where a test brings it
				s.t.Errorf("in a cold run: %s: %+v", program, sum)
			}
			continue
		}
		for e, n := range map[exception]int{foreign: sum.foreign, declined: sum.declined, troubled: sum.cold + sum.lost} {
			if n > 0 && s.excused[e] == "" {
				s.t.Errorf("in a warm run %s: %s: %+v", e, program, sum)
			}
		}
	}
	if executions > 0 && s.excused[queuing] == "" {
		s.t.Errorf("in a warm run %s: %d times", queuing, executions)
	}
}

// allEnd waits until no program of the home is left. One that does not end must not be in
// the way of the tests that follow.
func (s *suite) allEnd() {
	s.t.Helper()
	for end := time.Now().Add(deadline); len(running()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Errorf("after %v these have not ended: %v", deadline, endAll())
			return
		}
	}
}

// executions counts how often qmail-queue was executed while there was a socket to hand
// messages to: there at two looks, one before and one after.
type executions struct {
	mu     sync.Mutex
	socket string
	there  bool       // at the last look
	recent func() int // executions since then
	close  func()
	n      int
}

func (e *executions) look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.there
	_, err := os.Lstat(e.socket)
	e.there = err == nil
	if n := e.recent(); before && e.there {
		e.n += n
	}
}

// forget forgets what was executed since the last look.
func (e *executions) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recent()
}

// end looks for the last time.
func (e *executions) end() int {
	if e.close != nil {
		e.look()
		e.close()
		e.close, e.recent = nil, func() int { return 0 }
	}
	return e.n
}

// withoutAccounts drops the lines about jobs from a log, which come when they want.
func withoutAccounts(log string) string {
	if !strings.Contains(log, ": jobs: ") && !strings.Contains(log, ": process ") {
		return log
	}
	return accounts.ReplaceAllString(log, "")
}
