package auth

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/checkpw"
	"quail/internal/localsocket"
	"quail/internal/prog"
)

// half is the other half of a runner.
type half struct {
	t    *testing.T
	conn *os.File
	log  string
	done chan error
}

// runs starts a runner of a script for sh.
func runs(t *testing.T, patience time.Duration, script string) *half {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "check")
	check(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	log, err := os.Create(filepath.Join(dir, "log"))
	check(t, err)
	ours, theirs, err := localsocket.Pair()
	check(t, err)
	p := &prog.Process{Env: prog.Env{"PATH=" + os.Getenv("PATH")}, Dir: dir, Stderr: log, Now: time.Now}
	r := newRunner(p, []string{program, "an arg"})
	r.patience = patience
	h := &half{t: t, conn: theirs, log: log.Name(), done: make(chan error, 1)}
	go func() { h.done <- r.serve(ours); ours.Close() }()
	t.Cleanup(func() { theirs.Close(); log.Close() })
	return h
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *half) order(number uint32, record string) {
	h.t.Helper()
	_, err := h.conn.Write(checkpw.Order{Number: number, Record: []byte(record)}.Append(nil))
	check(h.t, err)
}

func (h *half) hears() checkpw.Verdict {
	h.t.Helper()
	v, err := checkpw.ReadVerdict(h.conn)
	check(h.t, err)
	return v
}

func (h *half) logged() string {
	text, err := os.ReadFile(h.log)
	check(h.t, err)
	return string(text)
}

const minute = time.Minute

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		script string
		want   checkpw.Outcome
		log    string // contains
	}{
		{"exit 0", checkpw.Right, ""},
		{"exit 1", checkpw.Wrong, ""},
		{"exit 3", checkpw.Wrong, ""},
		{"exit 2", checkpw.Later, "exit status 2"},
		{"exit 111", checkpw.Later, "exit status 111"},
		{"kill -9 $$", checkpw.Later, "ended by signal 9"},
		{"kill -SEGV $$", checkpw.Later, "ended by signal 11"},
		// It reads the record, sees its arguments, and nothing of anything else.
		{`test "$1" = "an arg" && test "$(tr '\0' , <&3)" = joe,secret,stamp, && exit 0; exit 99`, checkpw.Right, ""},
		{"read x && exit 99; exit 0", checkpw.Right, ""},
		{`test -p /proc/self/fd/3 && test ! -S /proc/self/fd/0 && test ! -e /proc/$$/fd/4 && exit 0; ls -l /proc/self/fd >&2; exit 99`, checkpw.Right, ""},
		// It prints, and does not read.
		{"echo to the client; echo to the log >&2; exit 1", checkpw.Wrong, "to the client\nto the log\n"},
		{"i=0; while test $i -lt 2000; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; exit 0", checkpw.Right, "0123456789"},
		// What it leaves behind is not waited for.
		{"sleep 2 >/dev/null 2>&1 & exit 0", checkpw.Right, ""},
	} {
		h := runs(t, minute, c.script)
		h.order(7, "joe\x00secret\x00stamp\x00")
		if v := h.hears(); v != (checkpw.Verdict{Number: 7, Outcome: c.want}) {
			t.Errorf("%s: %d %c, want %c", c.script, v.Number, v.Outcome, c.want)
		}
		if log := h.logged(); !strings.Contains(log, c.log) || c.log == "" && log != "" {
			t.Errorf("%s: logged %q", c.script, log)
		}
	}
}

// A script that hangs once left what it had started behind, one more for each try.
func TestHang(t *testing.T) {
	for _, script := range []string{"exec sleep 60", "sleep 60; exit 0"} {
		fifo := filepath.Join(t.TempDir(), "held")
		check(t, unix.Mkfifo(fifo, 0o600))
		held, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
		check(t, err)
		h := runs(t, 300*time.Millisecond, "exec 9>"+fifo+"; "+script)
		h.order(1, "x")
		if v := h.hears(); v.Outcome != checkpw.Later {
			t.Errorf("%s: %c", script, v.Outcome)
		}
		if log := h.logged(); !strings.Contains(log, "killed after 300ms") {
			t.Errorf("%s: logged %q", script, log)
		}
		check(t, held.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := held.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: somebody still has its descriptors: %v", script, err)
		}
		held.Close()
	}
}

func TestNoProgram(t *testing.T) {
	h := runs(t, minute, "exit 0")
	check(t, os.Remove(filepath.Join(filepath.Dir(h.log), "check")))
	h.order(1, "x")
	if v := h.hears(); v.Outcome != checkpw.Later {
		t.Errorf("%c", v.Outcome)
	}
	if log := h.logged(); !strings.Contains(log, "no such file") {
		t.Errorf("logged %q", log)
	}
}

// No more than so many run at once, and those that hang keep none of the others waiting
// that may run; at the end all are waited for.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	h := runs(t, minute, `n=$(tr '\0' ' ' <&3); : >`+dir+`/$n; while test ! -e `+dir+`/go; do sleep 0.05; done`)
	for i := range checkpw.MaxAtOnce + 5 {
		h.order(uint32(i), string(rune('a'+i))+"\x00")
	}
	running := func() int {
		names, err := os.ReadDir(dir)
		check(t, err)
		return len(names)
	}
	for deadline := time.Now().Add(20 * time.Second); running() < checkpw.MaxAtOnce; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d programs run", running())
		}
	}
	time.Sleep(50 * time.Millisecond) // for one more to begin, if it did
	if n := running(); n != checkpw.MaxAtOnce {
		t.Errorf("%d programs run at once", n)
	}
	check(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	had := map[uint32]bool{}
	for range checkpw.MaxAtOnce + 5 {
		v := h.hears()
		if v.Outcome != checkpw.Right || had[v.Number] {
			t.Errorf("verdict %v", v)
		}
		had[v.Number] = true
	}
	h.conn.Close()
	if err := <-h.done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// Whoever gives orders cannot make it read beyond its bounds.
func TestBadOrder(t *testing.T) {
	h := runs(t, minute, "exit 0")
	h.conn.WriteString("\x00\x00\x00\x01\xff\xff")
	select {
	case err := <-h.done:
		if err == nil {
			t.Error("it is content")
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for more")
	}
}
