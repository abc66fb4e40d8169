package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A program that is killed before each change that it makes, one after the other,
// leaves every state behind that it can leave. From each of them the suite has to
// recover.

// killed is the status of a program that was killed.
const killed = 137

// killat builds the program that watches and kills.
func killat(t *testing.T) (path string, ok bool) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		leaveOut(t, "programs can be watched on Linux only, amd64 and arm64")
		return "", false
	}
	path = filepath.Join(*work, "killat")
	must(t, "go", "build", "-o", path, "./killat")
	// Containers may forbid it. With number 0 nobody is killed.
	if out, err := run(path, "0", "/bin/true"); err != nil {
		leaveOut(t, "programs cannot be watched here: "+out)
		return "", false
	}
	return path, true
}

// eachState calls visit with the numbers of the changes of a program before which it
// is killed, until the program comes to its end unharmed, and returns how many there
// were.
func eachState(t *testing.T, visit func(number int) (status int)) int {
	t.Helper()
	for number := 1; ; number++ {
		switch status := visit(number); status {
		case killed:
		case 0:
			return number - 1
		default:
			t.Fatalf("before change %d it exited with %d", number, status)
		}
	}
}

// status runs a program and returns what a shell would call its status.
func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// holding makes a file to be read from its beginning.
func holding(t *testing.T, contents string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(contents); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// kinds lists the directories of the queue in which there are new files.
func kinds(before, after []string) string {
	var out []string
	for _, name := range after {
		if !slices.Contains(before, name) {
			out = append(out, strings.SplitN(name, "/", 2)[0])
		}
	}
	return strings.Join(out, "+")
}

// copies counts the letters in a directory, all of which must be whole.
func (s *suite) copies(dir string) map[int]int {
	s.t.Helper()
	out := map[int]int{}
	names, _ := filepath.Glob(s.path(dir + "/*"))
	for _, name := range names {
		text := s.contents(name)
		id, whole := read(text)
		if !whole {
			s.t.Errorf("%s is not whole: %q", name, text)
		}
		out[id]++
	}
	return out
}

// qmail-queue: who was not told yes may have been heard, but a message is in the
// queue as a whole or as debris.
func TestCrashStatesQueue(t *testing.T) {
	watch, ok := killat(t)
	if !ok {
		return
	}
	s := install(t)
	var states []string
	queued := map[int]bool{}
	n := eachState(t, func(number int) int {
		before := s.queued()
		cmd := exec.Command(watch, strconv.Itoa(number), s.path("bin/qmail-queue"))
		cmd.Stdin = holding(t, letter{id: number, size: 5000}.text())
		cmd.Stdout = holding(t, "F"+bouncesTo+"\x00T"+toMaildir.address()+"\x00\x00")
		result := status(t, cmd)
		state := kinds(before, s.queued())
		queued[number] = strings.Contains(state, "todo")
		if result == 0 && !queued[number] {
			t.Error("acknowledged and not queued")
		}
		if len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
		return result
	})
	t.Logf("killed before %d changes, in the states %q", n, states)
	if want := []string{"", "pid", "pid+mess", "mess", "intd+mess", "intd+todo+mess"}; !slices.Equal(states, want) {
		t.Errorf("the states are %q, want %q", states, want)
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

// qmail-local: nothing is in a Maildir but whole messages.
func TestCrashStatesMaildir(t *testing.T) {
	watch, ok := killat(t)
	if !ok {
		return
	}
	s := install(t)
	deliver := func(number, letterNumber int) int {
		cmd := exec.Command(watch, strconv.Itoa(number), s.path("bin/qmail-local"), "--",
			"joe", s.path("u/joe"), "joe", "", "", me, bouncesTo, "./Maildir/")
		cmd.Stdin = holding(t, letter{id: letterNumber, size: 5000}.text())
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		cmd.Dir = home
		if root {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(joeUID), Gid: uint32(joeGID)}}
		}
		return status(t, cmd)
	}
	n := eachState(t, func(number int) int { return deliver(number, number) })
	arrived := s.copies("u/joe/Maildir/new")
	if arrived[n+1] != 1 {
		t.Errorf("the delivery that succeeded has left %d copies", arrived[n+1])
	}
	for number := 1; number <= n; number++ { // what qmail-lspawn does with a delivery that has crashed
		if status := deliver(0, number); status != 0 {
			t.Errorf("letter %d again: status %d", number, status)
		}
	}
	again := s.copies("u/joe/Maildir/new")
	twice := 0
	for number := 1; number <= n; number++ {
		if again[number] != arrived[number]+1 {
			t.Errorf("letter %d: %d copies after the second attempt, %d before", number, again[number], arrived[number])
		}
		twice += arrived[number]
	}
	t.Logf("killed before %d changes, after %d of them with the message delivered", n, twice)
}

// qmail-send and qmail-clean: whatever they were about, the message arrives
// everywhere, and its failure is told.
func TestCrashStatesSend(t *testing.T) { testManager(t, false, (*manager).watchSend) }

// The same for messages with one recipient each, which are delivered straight from
// todo.
func TestCrashStatesSendSingle(t *testing.T) { testManager(t, true, (*manager).watchSend) }

func (m *manager) watchSend(number int) (status int) {
	p := m.run("PATH="+m.path, "bin/killat", strconv.Itoa(number), m.s.path("bin/qmail-start"), "./Maildir/")
	return p.ProcessState.ExitCode()
}

func TestCrashStatesClean(t *testing.T)       { testManager(t, false, (*manager).watchClean) }
func TestCrashStatesCleanSingle(t *testing.T) { testManager(t, true, (*manager).watchClean) }

func (m *manager) watchClean(number int) (status int) {
	t := m.s.t
	// qmail-start finds it along PATH.
	m.s.write("watched/qmail-clean", fmt.Sprintf("#!/bin/sh\nkillat %d %s\necho $? >%[3]s.new && mv %[3]s.new %[3]s\n",
		number, m.s.path("bin/qmail-clean"), m.s.path("watched/status")))
	must(t, "chmod", "755", m.s.path("watched/qmail-clean"))
	m.run("PATH="+m.s.path("watched")+":"+m.path, "bin/qmail-start", "./Maildir/")
	left := m.s.path("watched/status")
	eventually(t, "the status of qmail-clean", func() bool {
		b, err := os.ReadFile(left)
		if err == nil {
			fmt.Sscan(string(b), &status)
		}
		return err == nil
	})
	if err := os.Remove(left); err != nil {
		t.Fatal(err)
	}
	return status
}

// manager is qmail-send with what it starts, run again and again.
type manager struct {
	s    *suite
	path string
}

// run runs a program that becomes qmail-send until the queue is empty or qmail-send is
// gone.
func (m *manager) run(env, program string, args ...string) *process {
	begun := func() int { return strings.Count(m.s.logged(), "status: local 0/") }
	before := begun()
	p := m.s.spawn(m.s.log, []string{env}, program, args...)
	eventually(m.s.t, "the queue to be empty, or its manager to be gone", func() bool {
		select {
		case <-p.done:
			return true
		default: // it has to be at work, or it does not know what TERM means
			return begun() > before && len(m.s.waiting()) == 0
		}
	})
	for pid, name := range sighted() {
		if name == "qmail-send" {
			syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	<-p.done
	eventually(m.s.t, "all programs to go", func() bool { return len(sighted()) == 0 })
	return p
}

// testManager visits every state, with a letter as one message for all, or as a
// message for each recipient. watched runs everything with the program in question
// watched, and returns its status; with number 0 nobody is killed.
func testManager(t *testing.T, single bool, watched func(m *manager, number int) (status int)) {
	watch, ok := killat(t)
	if !ok {
		return
	}
	s := install(t)
	m := &manager{s, s.path("bin") + ":/usr/bin:/bin"}
	must(t, "cp", watch, s.path("bin/killat"))
	s.mkdir("watched", 0o777, 0, 0)
	far := serve(t, nil)
	mailboxes(s)
	s.control("smtproutes", ":"+far.route()+"\n")
	to := []place{toMaildir, toRemote, toBounce}
	n := eachState(t, func(number int) int {
		var addresses []string
		for _, p := range to {
			addresses = append(addresses, p.address())
		}
		messages := [][]string{addresses}
		if single {
			messages = slices.Collect(slices.Chunk(addresses, 1))
		}
		for _, addresses := range messages {
			cmd := exec.Command(s.path("bin/sendmail"), append([]string{"-f", bouncesTo, "--"}, addresses...)...)
			cmd.Stdin = strings.NewReader(letter{id: number, size: 500}.text())
			if code := status(t, cmd); code != 0 {
				t.Fatalf("sendmail: status %d", code)
			}
		}
		result := watched(m, number)
		if result == killed {
			if again := watched(m, 0); again != 0 {
				t.Fatalf("after a kill before change %d the next one ends with %d", number, again)
			}
		}
		return result
	})
	remote := map[int]int{}
	for _, text := range letters(far) {
		id, whole := read(text)
		if !whole {
			t.Errorf("not whole: %q", text)
		}
		remote[id]++
	}
	duplicates := 0
	for p, arrived := range map[place]map[int]int{
		toMaildir: s.copies("u/joe/Maildir/new"), toBounce: s.copies("u/joe/back/new"), toRemote: remote,
	} {
		for number := 1; number <= n+1; number++ {
			if arrived[number] == 0 {
				t.Errorf("killed before change %d: the letter has not come to %v", number, p)
			}
			duplicates += max(0, arrived[number]-1)
		}
	}
	if wrong := notDebris(s.queued()); len(wrong) > 0 {
		t.Errorf("left in no state that qmail has: %v", wrong)
	}
	t.Logf("killed before %d changes; %d duplicates", n, duplicates)
}
