//go:build linux

package warm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
)

// The test binary is also the program that is kept warm, under the name "jobs".
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "jobs" {
		wall := func(p *prog.Process) error {
			p.Walled = true
			return nil
		}
		Main("jobs", jobs, Bounds{Jobs: 3, Life: 50, Memory: 64 << 20, Polled: true, Wall: wall, End: func() {
			if atEnd != "" {
				os.WriteFile(atEnd, nil, 0o600)
			}
		}})
	}
	os.Exit(m.Run())
}

// atEnd is a file that the program makes after its last job.
var atEnd string

// jobs does what its first argument says.
func jobs(p *prog.Process) error {
	switch p.Args[0] {
	case "tell": // everything there is to know
		fmt.Fprintf(p.Stdout, "%q %q %s %t %d\n", p.Args, p.Env, p.Dir, p.Warm, os.Getpid())
	case "walled":
		fmt.Fprintln(p.Stdout, p.Walled)
	case "pause": // twice, until descriptor 0 ends, and then as it is told
		wait := func(resume func()) {
			go func() {
				io.Copy(io.Discard, p.Stdin)
				resume()
			}()
		}
		return &Pause{Wait: wait, Then: func(*prog.Process) error {
			return &Pause{Wait: wait, Then: func(p *prog.Process) error {
				p.Args = p.Args[1:]
				return jobs(p)
			}}
		}}
	case "cat":
		io.Copy(p.Stdout, p.Stdin)
	case "exit":
		n, _ := strconv.Atoi(p.Args[1])
		return prog.Exit(n)
	case "complain":
		return errors.New("something is wrong")
	case "panic":
		panic("fault")
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "leave":
		os.Exit(3)
	case "decline":
		if p.Warm {
			return Declined
		}
		fmt.Fprintln(p.Stdout, "cold")
	case "mode": // of descriptor 0; then somebody else is to tell
		raw, err := p.Stdin.SyscallConn()
		if err != nil {
			return err
		}
		raw.Control(func(fd uintptr) {
			flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
			fmt.Fprintln(p.Stdout, p.Warm, flags&unix.O_NONBLOCK != 0, p.Stdin.SetDeadline(time.Time{}) == nil, err)
		})
		if p.Warm && len(p.Args) > 1 {
			return &prog.Become{Args: []string{p.Args[1], "mode"}}
		}
		if p.Warm {
			return Declined
		}
	case "outdated":
		atEnd = p.Args[1]
		if p.Warm {
			return Outdated
		}
		fmt.Fprintln(p.Stdout, "cold")
	case "become":
		return &prog.Become{Args: append([]string{"/bin/echo"}, p.Args[1:]...), Env: prog.Env{"A=1"}}
	case "chain":
		return &prog.Become{Args: []string{p.Args[1], "tell", "again"}, Env: prog.Env{"B=2"}}
	case "hold": // until descriptor 0 ends
		io.Copy(io.Discard, p.Stdin)
	case "hide": // lives on without its parent
		syscall.Close(socketNumber)
		io.Copy(io.Discard, p.Stdin)
	case "swell": // beyond what a file may hold
		syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20})
		f, err := os.Create(p.Args[1])
		for err == nil {
			_, err = f.Write(make([]byte, 1<<19))
		}
		if errors.Is(err, syscall.EFBIG) {
			return prog.Exit(7)
		}
	case "tire": // asks for no more jobs, again and again
		s, _ := newSocket(socketNumber)
		for s.send(message{kind: typeRetire}.record(), nil) == nil {
		}
	case "log": // where the process may write to, whatever its jobs may
		var st, null unix.Stat_t
		unix.Fstat(2, &st)
		unix.Stat("/dev/null", &null)
		fmt.Fprintln(p.Stdout, st.Rdev == null.Rdev && st.Ino == null.Ino)
	case "lie":
		s, _ := newSocket(socketNumber)
		s.send(message{kind: typeDone, number: 1, status: 0}.record(), nil)
		io.Copy(io.Discard, p.Stdin)
	}
	return nil
}

// bench is a Keeper and its log.
type bench struct {
	*Keeper
	t       *testing.T
	log     *os.File
	program string
	as      *privs.Identity
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	k := NewKeeper(Settings{Idle: time.Minute, Spare: 3, Name: "parent", Log: log, Now: time.Now})
	b := &bench{k, t, log, filepath.Join(dir, "jobs"), nil}
	b.install(Mark)
	t.Cleanup(func() {
		log.Close()
	})
	return b
}

// install puts a new file in the program's place.
func (b *bench) install(end string) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		b.t.Fatal(err)
	}
	self = bytes.TrimSuffix(self, []byte(Mark))
	if err := os.WriteFile(b.program+".new", append(self, end...), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.program+".new", b.program); err != nil {
		b.t.Fatal(err)
	}
}

// result is how a job ended.
type result struct {
	number int
	status int
	output string
}

// other is somebody else than us, where we may become that.
func other() *privs.Identity {
	if os.Getuid() != 0 {
		return &privs.Identity{UID: os.Getuid(), GID: os.Getgid()}
	}
	return &privs.Identity{UID: 65534, GID: 65534}
}

// begin starts a job with input as its descriptor 0 and returns how to wait for it.
func (b *bench) begin(input *os.File, args ...string) func() result {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan proc.Status, 1)
	number, err := b.Start(Command{
		Args: append([]string{b.program}, args...), Env: prog.Env{"E=v", "PATH=/bin"}, Dir: "/tmp",
		Stdin: input, Stdout: w, Stderr: w, As: b.as,
	}, func(s proc.Status, err error) {
		if err != nil {
			b.t.Errorf("end of %q: %v", args, err)
		}
		w.Close()
		ended <- s
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() result {
		output, _ := io.ReadAll(r)
		r.Close()
		select {
		case s := <-ended:
			return result{number, s.Raw(), string(output)}
		case <-time.After(20 * time.Second):
			b.t.Fatalf("%q does not end", args)
		}
		return result{}
	}
}

func (b *bench) run(args ...string) result {
	b.t.Helper()
	return b.begin(nil, args...)()
}

// counted waits until the counts are as they should be.
func (b *bench) counted(want counts) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts != want {
		b.t.Errorf("jobs are %+v, want %+v", b.counts, want)
	}
}

func TestJobSeesWhatExecGives(t *testing.T) {
	b := newBench(t)
	first, second := b.run("tell", "x y"), b.run("tell", "x y")
	if !strings.HasPrefix(first.output, `["tell" "x y"] ["E=v" "PATH=/bin"] /tmp true `) || first.output != second.output {
		t.Errorf("jobs say %q and %q", first.output, second.output)
	}
	if first.number == second.number || first.number < 1<<pidBits {
		t.Errorf("jobs have the numbers %d and %d", first.number, second.number)
	}
	b.install("")
	cold := b.run("tell", "x y")
	want := strings.Replace(first.output, "true", "false", 1)
	if head, _, _ := strings.Cut(want, "false"); !strings.HasPrefix(cold.output, head+"false") {
		t.Errorf("cold it says %q, want %q", cold.output, want)
	}
	b.counted(counts{warm: 2, foreign: 1})
}

func TestEnds(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		args   []string
		status int
		output string
	}{
		{[]string{"exit", "0"}, 0, ""},
		{[]string{"exit", "99"}, 99 << 8, ""},
		{[]string{"complain"}, 111 << 8, "jobs: fatal: something is wrong\n"},
		{[]string{"swell", filepath.Join(t.TempDir(), "file")}, 7 << 8, ""},
		{[]string{"panic"}, 111 << 8, "jobs: fatal: internal error at keeper_test.go:"},
		{[]string{"decline"}, 0, "cold\n"},
		{[]string{"become", "a", "b"}, 0, "a b\n"},
		{[]string{"chain", b.program}, 0, `["tell" "again"] ["B=2"] /tmp true `},
		{[]string{"chain", "/nonexistent"}, 111 << 8, ""},
	} {
		got := b.run(c.args...)
		if got.status != c.status || !strings.HasPrefix(got.output, c.output) {
			t.Errorf("%q: status %d, %q; want %d, %q", c.args, got.status, got.output, c.status, c.output)
		}
	}
	b.counted(counts{warm: 10, declined: 1, foreign: 2})
}

// Sockets do not block in a job that is warm, and do for whoever gets them next.
func TestPolled(t *testing.T) {
	b := newBench(t)
	b.install("")
	cold := filepath.Join(t.TempDir(), filepath.Base(b.program))
	if err := os.Rename(b.program, cold); err != nil {
		t.Fatal(err)
	}
	b.install(Mark)
	for _, args := range [][]string{{"mode"}, {"mode", cold}} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[0])
		given := os.NewFile(uintptr(fds[1]), "socket of a job")
		got := b.begin(given, args...)()
		given.Close()
		if got.status != 0 || got.output != "true true true <nil>\nfalse false false <nil>\n" {
			t.Errorf("%q: status %d, %q", args, got.status, got.output)
		}
	}
	b.counted(counts{warm: 2, declined: 1, foreign: 1})
}

// A program that runs as another user has no hand in our log, and what it becomes is
// found, and run, by nobody but that user.
func TestProgramOfAnotherUser(t *testing.T) {
	b := newBench(t)
	if b.as = other(); os.Getuid() == 0 { // as it comes, only root gets in
		for dir := filepath.Dir(b.program); dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out := b.run("log").output; out != "true\n" {
		t.Errorf("descriptor 2 is /dev/null: %s", out)
	}
	if out := b.run("chain", b.program).output; !strings.Contains(out, "/tmp false") {
		t.Errorf("became %q", out)
	}
	if got := b.run("become", "x"); got.output != "x\n" {
		t.Errorf("became %+v", got)
	}
	b.counted(counts{warm: 3, foreign: 2})
}

func TestDescriptorsReachTheJobAlone(t *testing.T) {
	b := newBench(t)
	r, w, _ := os.Pipe()
	wait := b.begin(r, "cat")
	r.Close()
	other := b.run("tell")
	io.WriteString(w, "through the pipe")
	w.Close()
	if got := wait(); got.output != "through the pipe" || got.status != 0 {
		t.Errorf("status %d, %q", got.status, got.output)
	}
	if strings.Contains(other.output, "through") {
		t.Errorf("another job has it: %q", other.output)
	}
}

// More jobs than one process takes get another one, and a process is replaced after
// its life.
func TestBounds(t *testing.T) {
	b := newBench(t)
	r, w, _ := os.Pipe()
	var waits []func() result
	for range 7 {
		waits = append(waits, b.begin(r, "hold"))
	}
	b.mu.Lock()
	for _, all := range b.keep {
		if len(all.processes) != 3 {
			t.Errorf("%d processes for 7 jobs, want 3", len(all.processes))
		}
	}
	b.mu.Unlock()
	w.Close()
	for _, wait := range waits {
		wait()
	}
	pids := map[string]bool{}
	for range 120 {
		out := b.run("tell").output
		pids[out[strings.LastIndex(out, " "):]] = true
	}
	if len(pids) < 3 {
		t.Errorf("120 jobs by %d processes, of which each takes 50", len(pids))
	}
	b.counted(counts{warm: 127})
}

// A process takes no more jobs than it has descriptors for, but always one.
func TestBoundsOfDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := int(min(limit.Cur, 1<<20))
	for _, c := range []struct{ files, want int }{{0, 5}, {1, 5}, {n / 4, 3}, {n, 1}, {n * 2, 1}} {
		if got := (Bounds{Jobs: 5, Files: c.files}).jobs(); got != c.want {
			t.Errorf("with %d descriptors, %d for a job: %d jobs, want %d", n, c.files, got, c.want)
		}
	}
}

func TestDeathCostsJobsInHand(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"die"}, int(syscall.SIGKILL)},
		{[]string{"leave"}, 111 << 8},
		{[]string{"lie"}, int(syscall.SIGKILL)}, // an answer for a job that it does not have
		{[]string{"hide"}, int(syscall.SIGKILL)},
		{[]string{"tire"}, int(syscall.SIGKILL)},
	} {
		r, w, _ := os.Pipe()
		held := b.begin(r, "hold")
		last := b.begin(r, c.args...)
		for _, got := range []result{held(), last()} {
			if got.status != c.status {
				t.Errorf("%q: status %d, want %d", c.args, got.status, c.status)
			}
		}
		w.Close()
		r.Close()
		// For a while jobs run cold, which is said, then warm again.
		if out := b.run("tell").output; !strings.Contains(out, "false") {
			t.Errorf("right after %q: %q", c.args, out)
		}
		for deadline := time.Now().Add(10 * time.Second); ; {
			if strings.Contains(b.run("tell").output, "true") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("never warm again after %q", c.args)
			}
		}
	}
	log, _ := os.ReadFile(b.log.Name())
	if n := strings.Count(string(log), "runs cold for"); n != 5 {
		t.Errorf("the log speaks of %d deaths, want 5:\n%s", n, log)
	}
}

func TestReplacedProgramServesTheNextJob(t *testing.T) {
	b := newBench(t)
	r, w, _ := os.Pipe()
	old := b.begin(r, "cat")
	before := b.run("tell").output
	b.install("x" + Mark)
	if after := b.run("tell").output; after == before || !strings.Contains(after, "true") {
		t.Errorf("after the swap %q, before %q", after, before)
	}
	io.WriteString(w, "still served")
	w.Close()
	if got := old(); got.output != "still served" {
		t.Errorf("the job of the old program: %+v", got)
	}
}

// When the parent goes, jobs in hand are finished and the program ends.
// A process that says it is outdated gets no further jobs, ends in order, and has this
// one run by itself.
func TestOutdated(t *testing.T) {
	b := newBench(t)
	end := filepath.Join(t.TempDir(), "end")
	before := b.run("tell").output
	var jobs []func() result
	for range 3 { // all that the process takes at once
		jobs = append(jobs, b.begin(nil, "outdated", end))
	}
	for _, wait := range jobs {
		if got := wait(); got.status != 0 || got.output != "cold\n" {
			t.Errorf("the job ended with %d and said %q", got.status, got.output)
		}
	}
	if after := b.run("tell").output; after == before {
		t.Errorf("the same process goes on: %s", after)
	}
	b.counted(counts{warm: 5, declined: 3})
	for range 2000 {
		if _, err := os.Stat(end); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the process did not come to its end")
}

func TestParentGone(t *testing.T) {
	b := newBench(t)
	r, w, _ := os.Pipe()
	wait := b.begin(r, "cat")
	out := b.run("tell").output
	pid, err := strconv.Atoi(strings.TrimSpace(out[strings.LastIndex(out, " "):]))
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	for _, all := range b.keep {
		for _, p := range all.processes {
			p.s.finish()
		}
	}
	b.mu.Unlock()
	io.WriteString(w, "to the end")
	w.Close()
	if got := wait(); got.output != "to the end" || got.status != 0 {
		t.Errorf("%+v", got)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the program lives on")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestIdleProcessEnds(t *testing.T) {
	b := newBench(t)
	b.Idle = 20 * time.Millisecond
	b.run("tell")
	for deadline := time.Now().Add(10 * time.Second); ; {
		b.mu.Lock()
		n := len(b.keep)
		b.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process is kept")
		}
		time.Sleep(time.Millisecond)
	}
	if log, _ := os.ReadFile(b.log.Name()); len(log) > 0 {
		t.Errorf("an idle process ended with noise: %s", log)
	}
}

// Both sides say on SIGUSR1 what they have done.
func TestCountsOnRequest(t *testing.T) {
	b := newBench(t)
	out := b.run("tell").output
	pid, err := strconv.Atoi(strings.TrimSpace(out[strings.LastIndex(out, " "):]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{pid, os.Getpid()} {
		if err := syscall.Kill(p, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		log, _ := os.ReadFile(b.log.Name())
		if strings.Contains(string(log), "parent: jobs: 1 warm, 0 declined, 0 cold, 0 foreign, 0 lost; ") &&
			strings.Contains(string(log), fmt.Sprintf("jobs: process %d: 0 jobs in hand, 1 done; ", pid)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log says %q", log)
		}
	}
}

func TestTooLongAJobRunsCold(t *testing.T) {
	b := newBench(t)
	if got := b.run("tell", strings.Repeat("x", 100<<10), strings.Repeat("y", 100<<10)); !strings.Contains(got.output, "false") {
		t.Errorf("%.100q", got.output)
	}
	b.counted(counts{cold: 1})
}

// Many jobs at once, with deaths among them: each ends exactly once.
func TestManyAtOnce(t *testing.T) {
	b := newBench(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Add(1)
		go func() {
			defer all.Done()
			arg := "exit"
			if i%50 == 49 {
				arg = "die"
			}
			got := b.run(arg, "7")
			if got.status != 7<<8 && got.status != int(syscall.SIGKILL) {
				t.Errorf("status %d", got.status)
			}
		}()
	}
	all.Wait()
}

func BenchmarkJob(b *testing.B) {
	dir := b.TempDir()
	self, _ := os.ReadFile("/proc/self/exe")
	program := filepath.Join(dir, "jobs")
	if err := os.WriteFile(program, append(self, Mark...), 0o755); err != nil {
		b.Fatal(err)
	}
	k := NewKeeper(Settings{Idle: time.Second, Spare: 3, Name: "parent", Log: os.Stderr, Now: time.Now})
	b.ReportAllocs()
	for b.Loop() {
		ended := make(chan proc.Status, 1)
		_, err := k.Start(Command{Args: []string{program, "exit", "0"}, Dir: "/", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr},
			func(s proc.Status, _ error) { ended <- s })
		if err != nil {
			b.Fatal(err)
		}
		<-ended
	}
}

// A job that pauses is under way until it has really ended, and ends as any other.
func TestPause(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		args   []string
		status int
		output string
	}{
		{[]string{"exit", "7"}, 7 << 8, ""},
		{[]string{"panic"}, 111 << 8, "jobs: fatal: internal error at keeper_test.go:"},
		{[]string{"become", "a"}, 0, "a\n"},
		{[]string{"decline"}, 111 << 8, ""}, // cold, where "pause" is no end of a job
	} {
		r, w, _ := os.Pipe()
		wait := b.begin(r, append([]string{"pause"}, c.args...)...)
		if other := b.run("exit", "3"); other.status != 3<<8 {
			t.Errorf("beside one that pauses: status %d", other.status)
		}
		w.Close()
		got := wait()
		r.Close()
		if got.status != c.status || !strings.HasPrefix(got.output, c.output) {
			t.Errorf("pause, then %q: status %d, %q; want %d, %q", c.args, got.status, got.output, c.status, c.output)
		}
	}
}

// A wall is built around a warm process, and not around a job of its own.
func TestWall(t *testing.T) {
	b := newBench(t)
	if got := b.run("walled").output; got != "true\n" {
		t.Errorf("warm: walled is %q", got)
	}
	b.install("")
	if got := b.run("walled").output; got != "false\n" {
		t.Errorf("cold: walled is %q", got)
	}
}
