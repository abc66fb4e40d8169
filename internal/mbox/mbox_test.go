package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

const head = "From s@x Mon Jan 05 04:46:54 2026\nReturn-Path: <s@x>\n"

func quoted(t *testing.T, message []byte) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if err := quote(w, bufio.NewReaderSize(bytes.NewReader(message), 16)); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return out.String()
}

func TestQuote(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{"", "\n"},
		{"\n", "\n\n"},
		{"a", "a\n\n"},
		{"From a\n>From b\n>>From c\nFrom\n", ">From a\n>>From b\n>>>From c\nFrom\n\n"},
		{" From a\n> From b\nfrom c\nFrom\td\n", " From a\n> From b\nfrom c\nFrom\td\n\n"},
		{"x\nFrom ", "x\n>From \n\n"},
		{">From", ">From\n\n"},
		{">", ">\n\n"},
		{"a\rFrom b\r\nFrom c\r\n", "a\rFrom b\r\n>From c\r\n\n"},
		{strings.Repeat(">", 99) + "From x", strings.Repeat(">", 100) + "From x\n\n"},
		{strings.Repeat("x", 99) + "From y", strings.Repeat("x", 99) + "From y\n\n"},
	} {
		if got := quoted(t, []byte(c.message)); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.message, got, c.want)
		}
	}
}

// No line of a message looks like the beginning of one, and the quoting can be
// undone.
func FuzzQuote(f *testing.F) {
	f.Add([]byte("From a\n>From b\n\nFrom"))
	f.Add([]byte(">>>>>>>>>>>>>>>>From aaaaaaaaaaaaaaaaaaaaaaaaa\r\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		got := quoted(t, message)
		want := string(message)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		var undone strings.Builder
		for _, line := range strings.SplitAfter(got, "\n") {
			if strings.HasPrefix(line, "From ") {
				t.Fatalf("%q has the line %q", got, line)
			}
			if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				line = line[1:]
			}
			undone.WriteString(line)
		}
		if undone.String() != want+"\n" {
			t.Errorf("%q becomes %q", message, got)
		}
	})
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	for range 2 {
		if err := Append(path, head, strings.NewReader("hi"), time.Now); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if want := strings.Repeat(head+"hi\n\n", 2); string(got) != want || err != nil {
		t.Errorf("mbox is %q, %v, want %q", got, err, want)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestReadErrorLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	// More than fits into buffers, so that some of it is in the file by then.
	message := io.MultiReader(strings.NewReader(strings.Repeat("line\n", 100000)), iotest.ErrReader(broken))
	if err := Append(path, head, message, time.Now); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, err := os.ReadFile(path); string(got) != "old" || err != nil {
		t.Errorf("mbox has %d bytes, %v", len(got), err)
	}
}

func TestNoMailbox(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var unopened *OpenError
	for path, want := range map[string]error{
		dir:          syscall.EISDIR,
		dir + "/a/b": syscall.ENOENT,
		fifo:         syscall.ENXIO,
	} {
		err := Append(path, head, strings.NewReader("x"), time.Now)
		if !errors.As(err, &unopened) || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if err := Append("/dev/null", head, strings.NewReader("x"), time.Now); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("/dev/null: %v", err)
	}
}

// lockedBy opens and locks the file as another program would.
func lockedBy(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	other := lockedBy(t, path)
	at := time.Unix(0, 0)
	hurried := func() time.Time { at = at.Add(LockWait / 3); return at }
	if err := Append(path, head, strings.NewReader("x"), hurried); err != ErrLocked {
		t.Errorf("error %v, want %v", err, ErrLocked)
	}
	other.Close()
	// Nothing is left behind that holds the lock or is about to.
	lockedBy(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Size() != 0 {
		t.Errorf("%d bytes were written, %v", fi.Size(), err)
	}
}

// Who held the lock may have put another file in place of the locked one.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	other := lockedBy(t, path)
	calls := 0
	now := func() time.Time {
		if calls++; calls == 2 { // the first attempt to lock has failed
			if err := os.WriteFile(dir+"/tmp", []byte("kept"), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(dir+"/tmp", path); err != nil {
				t.Error(err)
			}
			other.Close()
		}
		return time.Unix(0, 0)
	}
	if err := Append(path, head, strings.NewReader("x"), now); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); string(got) != "kept"+head+"x\n\n" || err != nil {
		t.Errorf("mbox is %q, %v", got, err)
	}
}

// Two programs at once lose nothing of each other's.
func TestConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	const n = 20
	message := strings.Repeat("line\n", 20000)
	done := make(chan error)
	for range n {
		go func() { done <- Append(path, head, strings.NewReader(message), time.Now) }()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got, err := os.ReadFile(path)
	if want := strings.Repeat(head+message+"\n", n); string(got) != want || err != nil {
		t.Errorf("mbox has %d bytes, %v, want %d", len(got), err, len(want))
	}
}
