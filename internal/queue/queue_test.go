package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/envelope"
)

var start = time.Unix(1767588414, 0)

// newQueue lays out an empty queue.
func newQueue(t testing.TB) Dir {
	t.Helper()
	d := Dir(t.TempDir())
	dirs := []Name{"pid", "intd", "todo", "bounce", "lock"}
	for _, split := range []string{"mess", "info", "local", "remote"} {
		dirs = append(dirs, Splits(split)...)
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(d.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(d.Path(trigger), 0o622); err != nil {
		t.Fatal(err)
	}
	return d
}

// files lists the queue's files, message numbers replaced by #.
func files(t *testing.T, d Dir) string {
	t.Helper()
	var out []string
	filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type().IsRegular() {
			rel := strings.TrimPrefix(path, string(d)+"/")
			dir, _, _ := strings.Cut(rel, "/")
			if _, ok := ParseID(filepath.Base(rel)); ok {
				rel = dir
			}
			out = append(out, rel)
		}
		return nil
	})
	sort.Strings(out)
	return strings.Join(out, " ")
}

func submission(message, env string) Submission {
	return Submission{PID: 77, UID: 1001, Start: start, Received: "Received: line\n",
		Message: strings.NewReader(message), Envelope: strings.NewReader(env)}
}

const goodEnvelope = "Fa@b\x00Tc@d\x00Te@f\x00\x00"

func enter(t *testing.T, d Dir, message, env string) ID {
	t.Helper()
	id, err := d.Enter(submission(message, env))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func read(t *testing.T, d Dir, n Name) string {
	t.Helper()
	b, err := os.ReadFile(d.Path(n))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEnter(t *testing.T) {
	d := newQueue(t)
	trigger, err := d.OpenTrigger()
	if err != nil {
		t.Fatal(err)
	}
	id := enter(t, d, "Subject: x\n\nno last line feed\x00\xff", goodEnvelope)
	if got, want := files(t, d), "intd mess todo"; got != want {
		t.Errorf("files %s, want state S4: %s", got, want)
	}
	if got, want := read(t, d, id.Mess()), "Received: line\nSubject: x\n\nno last line feed\x00\xff"; got != want {
		t.Errorf("mess %q, want %q", got, want)
	}
	if got, want := read(t, d, id.Todo()), "u1001\x00p77\x00Fa@b\x00Tc@d\x00Te@f\x00"; got != want {
		t.Errorf("todo %q, want %q", got, want)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(d.Path(id.Mess()), &st); err != nil || ID(st.Ino) != id || st.Mode&0o777 != 0o644 {
		t.Errorf("mess file: inode %d mode %o, %v; want inode %v mode 644", st.Ino, st.Mode, err, id)
	}
	if err := trigger.Wait(); err != nil { // would hang if nobody had pulled
		t.Error(err)
	}
}

// Somebody who makes the FIFO anew is noticed, and closing ends the wait.
func TestTriggerReplaced(t *testing.T) {
	d := newQueue(t)
	old, err := d.OpenTrigger()
	if err != nil {
		t.Fatal(err)
	}
	if !d.Listening(old) {
		t.Error("not listening to what is there")
	}
	ended := make(chan error)
	go func() { ended <- old.Wait() }()
	if err := os.Remove(d.Path(trigger)); err != nil {
		t.Fatal(err)
	}
	if d.Listening(old) {
		t.Error("listening where there is nothing")
	}
	if err := unix.Mkfifo(d.Path(trigger), 0o622); err != nil {
		t.Fatal(err)
	}
	if d.Listening(old) {
		t.Error("listening to another trigger than programs pull")
	}
	old.Close()
	if err := <-ended; err == nil {
		t.Error("a closed trigger was pulled")
	}
}

// A message or an envelope that ends early leaves nothing behind; other failures
// leave what may not be theirs to remove. (spec "The queue", section 6)
func TestEnterFailures(t *testing.T) {
	long := strings.Repeat("x", envelope.MaxAddress+1)
	for _, c := range []struct {
		name   string
		s      func(*Submission)
		status int
		left   string
	}{
		{"envelope ends early", func(s *Submission) { s.Envelope = strings.NewReader("Fa@b\x00Tc@d\x00") }, 54, ""},
		{"no envelope", func(s *Submission) { s.Envelope = strings.NewReader("") }, 54, ""},
		{"message unreadable", func(s *Submission) { s.Message = failing{} }, 54, ""},
		{"long sender", func(s *Submission) { s.Envelope = strings.NewReader("F" + long + "\x00\x00") }, 11, "intd mess"},
		{"wrong record", func(s *Submission) { s.Envelope = strings.NewReader("Xa\x00\x00") }, 91, "intd mess"},
	} {
		d := newQueue(t)
		s := submission("text\n", goodEnvelope)
		c.s(&s)
		_, err := d.Enter(s)
		var status *StatusError
		if !errors.As(err, &status) || status.Status != c.status {
			t.Errorf("%s: %v, want status %d", c.name, err, c.status)
		}
		if got := files(t, d); got != c.left {
			t.Errorf("%s: left %q, want %q", c.name, got, c.left)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, syscall.EIO }

func TestEnterWithoutDirectories(t *testing.T) {
	for dir, want := range map[Name]int{"pid": 63, "intd": 65, "todo": 66} {
		d := newQueue(t)
		if err := os.Remove(d.Path(dir)); err != nil {
			t.Fatal(err)
		}
		var status *StatusError
		if _, err := d.Enter(submission("x", goodEnvelope)); !errors.As(err, &status) || status.Status != want {
			t.Errorf("without %s: %v, want status %d", dir, err, want)
		}
	}
	d := newQueue(t)
	os.RemoveAll(d.Path("mess"))
	var status *StatusError
	if _, err := d.Enter(submission("x", goodEnvelope)); !errors.As(err, &status) || status.Status != envelope.StatusMess {
		t.Errorf("without mess: %v", err)
	}
}

// A restored queue has names that are not inode numbers; a new message must not
// fail because its own number is among them.
func TestEnterPassesOverTakenNumbers(t *testing.T) {
	d := newQueue(t)
	f, err := os.CreateTemp(string(d), "probe")
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	taken := ID(st.Ino) // the number that a file system gives again first, as a rule
	if err := os.WriteFile(d.Path(taken.Mess()), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.Close()
	os.Remove(f.Name())
	for range 5 {
		if id := enter(t, d, "x", goodEnvelope); id == taken {
			t.Fatalf("message %v was written over", taken)
		}
	}
	if got := read(t, d, taken.Mess()); got != "old" {
		t.Errorf("the old message is %q now", got)
	}
	if got := files(t, d); strings.Contains(got, "pid") {
		t.Errorf("files left in pid: %s", got)
	}
}

// preprocess preprocesses a message, saying nothing.
func preprocess(d Dir, id ID) ([2]bool, error) {
	done, err := d.Preprocess(id, Preprocessor{Route: route})
	return done.Used, err
}

// route sends what is @d to the local channel.
func route(recipient string) (Channel, string) {
	if strings.HasSuffix(recipient, "@d") {
		return Local, "v-" + recipient
	}
	return Remote, recipient
}

func TestPreprocess(t *testing.T) {
	d := newQueue(t)
	id := enter(t, d, "text\n", goodEnvelope)
	// What an interrupted attempt left must not survive.
	for _, n := range []Name{id.Info(), id.Recipients(Local)} {
		if err := os.WriteFile(d.Path(n), []byte("half a rec"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := d.Single(id); ok {
		t.Error("a message with two recipients was taken for a single one")
	}
	birth := start.Add(-time.Hour)
	done, err := d.Preprocess(id, Preprocessor{Route: route, Birth: birth})
	if err != nil || !done.Begun || done.Used != [2]bool{true, true} {
		t.Fatalf("%+v, %v", done, err)
	}
	want := Todo{PID: 77, UID: 1001, Sender: "a@b", Size: int64(len("Received: line\ntext\n"))}
	if len(done.Senders) != 1 || done.Senders[0] != want {
		t.Errorf("announced %+v, want %+v", done.Senders, want)
	}
	for n, want := range map[Name]string{
		id.Info(): "Fa@b\x00", id.Recipients(Local): "Tv-c@d\x00", id.Recipients(Remote): "Te@f\x00",
	} {
		if got := read(t, d, n); got != want {
			t.Errorf("%s is %q, want %q", n, got, want)
		}
	}
	info, err := d.ReadInfo(id)
	if err != nil || info.Sender != "a@b" || !info.Birth.Equal(birth) {
		t.Errorf("info %+v, %v, want it born at %v", info, err, birth)
	}
}

// Only what nothing else is known of may go around Preprocess.
func TestSingle(t *testing.T) {
	for _, c := range []struct {
		name, todo string
		spoil      func(d Dir, id ID) Name // a file to be made first
		ok         bool
	}{
		{"one recipient", "u1001\x00p77\x00Fa@b\x00Tc@d\x00", nil, true},
		{"empty addresses", "F\x00T\x00", nil, true},
		{"two recipients", "Fa@b\x00Tc@d\x00Te@f\x00", nil, false},
		{"none", "Fa@b\x00", nil, false},
		{"two senders", "Fa@b\x00Fc@d\x00Te@f\x00", nil, false},
		{"no sender", "Tc@d\x00", nil, false},
		{"sender behind", "Tc@d\x00Fa@b\x00", nil, false},
		{"foreign record", "Fa@b\x00Tc@d\x00Xy\x00", nil, false},
		{"empty record", "Fa@b\x00Tc@d\x00\x00", nil, false},
		{"end missing", "Fa@b\x00Tc@d", nil, false},
		{"empty", "", nil, false},
		{"long", "F" + strings.Repeat("a", maxSingle) + "\x00Tc@d\x00", nil, false},
		{"info left", "Fa@b\x00Tc@d\x00", func(d Dir, id ID) Name { return id.Info() }, false},
		{"local left", "Fa@b\x00Tc@d\x00", func(d Dir, id ID) Name { return id.Recipients(Local) }, true},
	} {
		d := newQueue(t)
		id := enter(t, d, "x", goodEnvelope)
		if err := os.WriteFile(d.Path(id.Todo()), []byte(c.todo), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.spoil != nil {
			if err := os.WriteFile(d.Path(c.spoil(d, id)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if todo, recipient, ok := d.Single(id); ok != c.ok {
			t.Errorf("%s: %+v, %q, %v", c.name, todo, recipient, ok)
		}
	}
	d := newQueue(t)
	id := enter(t, d, "text\n", "Fa@b\x00Tc@d\x00\x00")
	todo, recipient, ok := d.Single(id)
	if want := (Todo{PID: 77, UID: 1001, Sender: "a@b", Size: int64(len("Received: line\ntext\n"))}); !ok || todo != want || recipient != "c@d" {
		t.Errorf("%+v, %q, %v, want %+v", todo, recipient, ok, want)
	}
	if err := os.Remove(d.Path(id.Mess())); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := d.Single(id); ok {
		t.Error("there is no message")
	}
}

func TestPreprocessRefuses(t *testing.T) {
	for _, c := range []struct{ todo, doing string }{
		{"Xa\x00", "unknown record type in"},
		{"Fa\x00\x00", "unknown record type in"},
		{"Fa\x00Tb", "trouble reading"},
	} {
		d := newQueue(t)
		id := enter(t, d, "x", goodEnvelope)
		if err := os.WriteFile(d.Path(id.Todo()), []byte(c.todo), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := preprocess(d, id)
		var e *Error
		if !errors.As(err, &e) || e.Doing != c.doing || e.Name != id.Todo() {
			t.Errorf("todo %q: %v, want %s", c.todo, err, c.doing)
		}
		if exists, _ := d.Exists(id.Todo()); !exists {
			t.Errorf("todo %q was removed", c.todo)
		}
	}
}

func TestPassAndMark(t *testing.T) {
	d := newQueue(t)
	id := enter(t, d, "x", "Fs\x00Ta@d\x00Tbb@d\x00Tc@d\x00\x00")
	if _, err := preprocess(d, id); err != nil {
		t.Fatal(err)
	}
	pass := func() (out string) {
		p, err := d.ServePass(id, Local)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for {
			r, err := p.Next()
			if err == io.EOF {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintf("%s %v;", r.Address, r.Done)
			if r.Address == "v-bb@d" {
				if err := p.MarkDone(r.At); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	pass()
	if got, want := pass(), "v-a@d false;v-bb@d true;v-c@d false;"; got != want {
		t.Errorf("second pass %q, want %q", got, want)
	}
	if got, want := read(t, d, id.Recipients(Local)), "Tv-a@d\x00Dv-bb@d\x00Tv-c@d\x00"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
	due := time.Unix(1800000000, 0)
	if err := d.SetNextAttempt(id, Local, due); err != nil {
		t.Fatal(err)
	}
	if got, exists, err := d.NextAttempt(id, Local); !got.Equal(due) || !exists || err != nil {
		t.Errorf("NextAttempt = %v, %v, %v, want %v", got, exists, err, due)
	}
	if _, exists, err := d.NextAttempt(id, Remote); exists || err != nil {
		t.Errorf("a channel without recipients has a next attempt (%v)", err)
	}
}

func TestScanIgnoresForeignNames(t *testing.T) {
	d := newQueue(t)
	for _, name := range []string{"12", "x1", "7", ".5", "99999999999999999999999"} {
		if err := os.WriteFile(d.Path(Name("todo/"+name)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := d.OpenScan("todo")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sum := ID(0)
	for {
		id, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sum += id
	}
	if sum != 19 {
		t.Errorf("the numbers seen add up to %d, want 12+7", sum)
	}
}

func TestSweepPid(t *testing.T) {
	d := newQueue(t)
	for name, age := range map[string]time.Duration{"pid/old": Ossified, "pid/young": Ossified - time.Second} {
		if err := os.WriteFile(d.Path(Name(name)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(d.Path(Name(name)), start.Add(-age), start); err != nil {
			t.Fatal(err)
		}
	}
	d.SweepPid(start.Add(-Ossified))
	if got := files(t, d); got != "pid/young" {
		t.Errorf("left %q, want pid/young", got)
	}
}

func TestLockIsExclusive(t *testing.T) {
	d := newQueue(t)
	if err := os.WriteFile(d.Path("lock/sendmutex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, _, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, busy, err := d.Lock(); !busy || err == nil {
		t.Errorf("a second lock: busy %v, %v", busy, err)
	}
	first.Close()
	if again, _, err := d.Lock(); err != nil {
		t.Errorf("after unlocking: %v", err)
	} else {
		again.Close()
	}
}

func TestDeathBeforeOssified(t *testing.T) {
	if Death >= Ossified {
		t.Errorf("Death %v must be below Ossified %v", Death, Ossified)
	}
}

// Whatever a todo file holds, preprocessing gives each T record of it exactly one
// recipient, or refuses the file; and marking one recipient changes one byte.
func FuzzPreprocess(f *testing.F) {
	f.Add([]byte("u1\x00p2\x00Fa@b\x00Tc@d\x00Te\x00"), 0)
	f.Add([]byte("Fa\x00T\x00T\x00"), 1)
	f.Fuzz(func(t *testing.T, todo []byte, mark int) {
		d := newQueue(t)
		id := enter(t, d, "x", goodEnvelope)
		if err := os.WriteFile(d.Path(id.Todo()), todo, 0o644); err != nil {
			t.Fatal(err)
		}
		var routed []string
		_, recipient, alone := d.Single(id)
		done, err := d.Preprocess(id, Preprocessor{Route: func(r string) (Channel, string) {
			routed = append(routed, r)
			return Local, r
		}})
		if alone && (err != nil || len(routed) != 1 || routed[0] != recipient || len(done.Senders) != 1) {
			t.Fatalf("%q is for %q alone, but preprocessing says %v, %+v, %v", todo, recipient, routed, done, err)
		}
		if err != nil {
			return
		}
		if want := bytes.Count(append([]byte{0}, todo...), []byte("\x00T")); want != len(routed) {
			t.Fatalf("%q: %d recipients, want %d", todo, len(routed), want)
		}
		if done.Used[Local] != (len(routed) > 0) {
			t.Fatalf("%q: used %v with %d recipients", todo, done.Used, len(routed))
		}
		if len(routed) == 0 {
			return
		}
		before := read(t, d, id.Recipients(Local))
		p, err := d.ServePass(id, Local)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for i, want := range routed {
			r, err := p.Next()
			if err != nil || r.Address != want {
				t.Fatalf("recipient %d is %+v, %v, want %q", i, r, err, want)
			}
			if i == ((mark%len(routed))+len(routed))%len(routed) {
				if err := p.MarkDone(r.At); err != nil {
					t.Fatal(err)
				}
				after := read(t, d, id.Recipients(Local))
				if len(after) != len(before) || after[:r.At] != before[:r.At] || after[r.At] != 'D' || after[r.At+1:] != before[r.At+1:] {
					t.Fatalf("marking %d of %q made %q", i, before, after)
				}
			}
		}
	})
}
