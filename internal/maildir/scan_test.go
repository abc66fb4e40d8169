package maildir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// put writes a file that was last read and changed at the given time.
func put(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func names(entries []Entry) (names []string) {
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func TestScan(t *testing.T) {
	dir := makeMaildir(t)
	for name, age := range map[string]time.Duration{
		"new/3": 2 * time.Second, "cur/1:2,S": 3*time.Second + 5, "cur/0": 3*time.Second + 2,
		"new/b": 4 * time.Second, "cur/a:2,": 4 * time.Second, "new/c": 4 * time.Second,
		"new/now": 0, "new/this-second": -time.Second / 2, "new/future": -time.Hour, "new/last-second": time.Nanosecond,
		"new/.hidden": time.Hour, "cur/.hidden": time.Hour, "tmp/1": time.Hour,
	} {
		put(t, filepath.Join(dir, name), start.Add(-age))
	}
	if err := os.Symlink("nowhere", dir+"/new/dangling"); err != nil {
		t.Fatal(err)
	}
	entries, err := Scan(dir, start)
	want := []string{"cur/a:2,", "new/b", "new/c", "cur/1:2,S", "cur/0", "new/3", "new/last-second"}
	if got := names(entries); !slices.Equal(got, want) || err != nil {
		t.Errorf("found %q, %v, want %q", got, err, want)
	}
	for _, e := range entries {
		if e.Size != 4 {
			t.Errorf("%s has size %d", e.Name, e.Size)
		}
	}
	for _, sub := range []string{"cur", "new"} {
		if err := os.Rename(filepath.Join(dir, sub), filepath.Join(dir, "old-"+sub)); err != nil {
			t.Fatal(err)
		}
		var where *ScanError
		if _, err := Scan(dir, start); !errors.As(err, &where) || where.Dir != sub || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", sub, err)
		}
	}
}

// Messages come and go while they are listed; those that stay are all found.
func TestScanBusy(t *testing.T) {
	dir := makeMaildir(t)
	const stay = 300
	for i := range stay {
		put(t, dir+"/cur/stays"+strconv.Itoa(i), start.Add(-time.Hour))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := dir + "/new/" + strconv.Itoa(i)
			os.WriteFile(name, nil, 0o600)
			os.Rename(name, dir+"/cur/"+strconv.Itoa(i)+":2,")
			os.Remove(dir + "/cur/" + strconv.Itoa(i) + ":2,")
		}
	}()
	for range 50 {
		entries, err := Scan(dir, start)
		if err != nil || len(entries) < stay {
			t.Fatalf("found %d messages, %v", len(entries), err)
		}
	}
	close(stop)
	<-stopped
}

func TestClean(t *testing.T) {
	dir := makeMaildir(t)
	for name, age := range map[string]time.Duration{
		"tmp/old": Abandoned + time.Second, "tmp/older": 1000 * time.Hour, "tmp/.old": 1000 * time.Hour,
		"tmp/edge": Abandoned, "tmp/fresh": time.Hour, "tmp/future": -time.Hour, "new/old": 1000 * time.Hour, "cur/old": 1000 * time.Hour,
	} {
		put(t, filepath.Join(dir, name), start.Add(-age))
	}
	// A file that is still being looked at is not abandoned, however old it is.
	if err := os.Chtimes(dir+"/tmp/fresh", start, start.Add(-1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/tmp/dir", 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, dir+"/tmp/dir/x", start)
	old := start.Add(-1000 * time.Hour)
	if err := os.Chtimes(dir+"/tmp/dir", old, old); err != nil {
		t.Fatal(err)
	}
	Clean(dir, start)
	found, err := filepath.Glob(dir + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = found[i][len(dir)+1:]
	}
	want := []string{"cur/old", "new/old", "tmp/.old", "tmp/dir", "tmp/edge", "tmp/fresh", "tmp/future"}
	if !slices.Equal(found, want) {
		t.Errorf("left are %q, want %q", found, want)
	}
	Clean(dir+"/nowhere", start)
	if Abandoned <= Deadline {
		t.Errorf("files in use for %v are removed after %v", Deadline, Abandoned)
	}
}

func TestSee(t *testing.T) {
	dir := makeMaildir(t)
	put(t, dir+"/new/1.h", start)
	put(t, dir+"/cur/2.h:2,S", start)
	for _, name := range []string{"new/1.h", "cur/2.h:2,S", "new/gone"} {
		See(dir, Entry{Name: name})
	}
	found, _ := filepath.Glob(dir + "/*/*")
	if want := []string{dir + "/cur/1.h:2,", dir + "/cur/2.h:2,S"}; !slices.Equal(found, want) {
		t.Errorf("there are %q, want %q", found, want)
	}
}

func TestID(t *testing.T) {
	for name, want := range map[string]string{"new/1.h": "1.h", "cur/1.h,S=3:2,S": "1.h,S=3", "cur/1:2,:x": "1", "new/:x": ""} {
		if got := (Entry{Name: name}).ID(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What is no file is no message. A fifo would be waited for, if somebody has it open
// and writes nothing.
func TestOpenNoFile(t *testing.T) {
	dir := makeMaildir(t)
	if err := unix.Mkfifo(dir+"/new/1", 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(dir+"/new/1", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := os.Mkdir(dir+"/new/2", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"new/1": unix.EINVAL, "new/2": unix.EISDIR} {
		if _, err := Open(dir, Entry{Name: name}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
