package upq

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/queue"
)

// newQueue makes a queue with files in it, each with its own name as contents.
func newQueue(t *testing.T, files ...string) queue.Dir {
	t.Helper()
	conf.Home = t.TempDir()
	dir := queue.In(conf.Home)
	for _, name := range append([]string{"mess/", "info/", "local/", "remote/", "lock/sendmutex"}, files...) {
		path := dir.Path(queue.Name(name))
		if err := os.MkdirAll(filepath.Dir(path+"x"), 0o750); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "/") {
			if err := os.WriteFile(path, []byte(filepath.Base(name)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// do runs the program and returns its status and what it said.
func do(t *testing.T) (status int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	status = (&prog.Process{Name: "qmail-upq", Stdout: files[0], Stderr: files[1]}).Do(Run)
	out, _ := os.ReadFile(files[0].Name())
	said, _ := os.ReadFile(files[1].Name())
	return status, string(out), string(said)
}

// listing returns the files of a queue, but for the lock.
func listing(t *testing.T, dir queue.Dir) (files []string, subdirectories int) {
	t.Helper()
	err := filepath.WalkDir(string(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(string(dir), path)
		switch {
		case d.IsDir() && strings.Contains(name, "/"):
			subdirectories++
		case !d.IsDir() && name != "lock/sendmutex":
			files = append(files, name)
			if contents, _ := os.ReadFile(path); string(contents) != filepath.Base(name) {
				t.Errorf("%s holds %q", name, contents)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files, subdirectories
}

func TestMove(t *testing.T) {
	conf.Split = 23
	for _, c := range []struct {
		what    string
		before  []string
		after   []string
		moved   int
		warning string
		subs    int
	}{
		{"new queue", nil, nil, 0, "", 4 * 23},
		{"from no split", []string{"mess/24", "info/24", "local/24", "remote/24", "mess/100"},
			[]string{"info/1/24", "local/1/24", "mess/1/24", "mess/8/100", "remote/1/24"}, 5, "", 4 * 23},
		{"message with the number of a subdirectory", []string{"mess/24", "mess/0/", "mess/3/7"}, []string{"mess/1/24", "mess/7/7"}, 2, "", 4 * 23},
		{"from a larger split", []string{"mess/99/99", "mess/24/124", "info/99/99", "mess/7/7"},
			[]string{"info/7/99", "mess/7/7", "mess/7/99", "mess/9/124"}, 3, "", 4 * 23},
		{"from a smaller split", []string{"mess/1/8", "mess/0/7", "mess/6/6"}, []string{"mess/6/6", "mess/7/7", "mess/8/8"}, 2, "", 4 * 23},
		{"in order", []string{"mess/1/24", "todo/24", "intd/24", "bounce/24"}, []string{"bounce/24", "intd/24", "mess/1/24", "todo/24"}, 0, "", 4 * 23},
		{"other names", []string{"mess/0/x", "mess/0/007", "mess/99/note"}, []string{"mess/0/007", "mess/0/x", "mess/99/note"}, 0,
			"unable to remove mess/99", 4*23 + 1},
		{"two files of one name", []string{"mess/24", "mess/1/24"}, []string{"mess/1/24", "mess/24"}, 0,
			"unable to move mess/24 to mess/1/24: file already exists", 4 * 23},
	} {
		dir := newQueue(t, c.before...)
		for _, again := range []string{"", " again"} {
			status, stdout, stderr := do(t)
			moved := c.moved
			if again != "" {
				moved = 0
			}
			wantStatus := 0
			if c.warning != "" {
				wantStatus = 111
			}
			if status != wantStatus || stdout != fmt.Sprintf("%d files moved\n", moved) || !strings.Contains(stderr, c.warning) || (stderr == "") != (c.warning == "") {
				t.Errorf("%s%s: %d, %q, %q", c.what, again, status, stdout, stderr)
			}
			files, subs := listing(t, dir)
			if !slices.Equal(files, c.after) || subs != c.subs {
				t.Errorf("%s%s: left %d subdirectories and %q, want %d, %q", c.what, again, subs, files, c.subs, c.after)
			}
		}
	}
}

// A run that ended between the link and the removal is finished by the next one.
func TestInterrupted(t *testing.T) {
	conf.Split = 23
	dir := newQueue(t, "mess/24", "mess/1/")
	if err := os.Link(dir.Path("mess/24"), dir.Path("mess/1/24")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := do(t)
	if files, _ := listing(t, dir); status != 0 || stderr != "" || !slices.Equal(files, []string{"mess/1/24"}) {
		t.Errorf("%d, %q, %q, left %q", status, stdout, stderr, files)
	}
}

// A message keeps its inode, which is its number, and a new subdirectory has the owner
// and mode of the one it is in.
func TestKept(t *testing.T) {
	conf.Split = 23
	dir := newQueue(t)
	if err := os.WriteFile(dir.Path("mess/new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(dir.Path("mess/new"))
	if err != nil {
		t.Fatal(err)
	}
	ino := fi.Sys().(*syscall.Stat_t).Ino
	name := strconv.FormatUint(uint64(ino), 10)
	if err := os.Rename(dir.Path("mess/new"), dir.Path(queue.Name("mess/"+name))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir.Path("info"), 0o700); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := do(t); status != 0 || stderr != "" {
		t.Fatalf("%d, %q", status, stderr)
	}
	fi, err = os.Stat(dir.Path(queue.ID(ino).Mess()))
	if err != nil || fi.Sys().(*syscall.Stat_t).Ino != ino {
		t.Errorf("%v, %v, want inode %d", fi, err, ino)
	}
	for sub, mode := range map[queue.Name]os.FileMode{"mess/5": 0o750, "info/5": 0o700} {
		if fi, err := os.Stat(dir.Path(sub)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %o", sub, fi.Mode(), err, mode)
		}
	}
}

// No link in the queue leads out of it.
func TestLinks(t *testing.T) {
	conf.Split = 23
	for _, c := range []struct{ link, target, file string }{
		{"mess/1", "elsewhere", "mess/24"}, // where a file is to go
		{"mess/99", "elsewhere", ""},       // a subdirectory that is not needed
		{"mess/24", "elsewhere/note", ""},  // a file
		{"info", "elsewhere", ""},          // a directory of the queue
	} {
		files := []string{}
		if c.file != "" {
			files = append(files, c.file)
		}
		dir := newQueue(t, files...)
		elsewhere := t.TempDir()
		if err := os.WriteFile(elsewhere+"/note", []byte("note"), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(elsewhere+"/25", []byte("25"), 0o640); err != nil {
			t.Fatal(err)
		}
		link := dir.Path(queue.Name(c.link))
		os.Remove(link)
		if err := os.Symlink(strings.Replace(c.target, "elsewhere", elsewhere, 1), link); err != nil {
			t.Fatal(err)
		}
		do(t)
		entries, err := os.ReadDir(elsewhere)
		if err != nil || len(entries) != 2 {
			t.Errorf("%s leads elsewhere, where there is now %v, %v", c.link, entries, err)
		}
		if c.file != "" {
			if _, err := os.Stat(dir.Path(queue.Name(c.file))); err != nil {
				t.Errorf("%s leads elsewhere: %v", c.link, err)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := newQueue(t, "mess/24")
	lock, _, err := dir.Lock()
	if err != nil {
		t.Fatal(err)
	}
	status, _, stderr := do(t)
	if files, _ := listing(t, dir); status != 111 || stderr != "qmail-upq: fatal: qmail-send is running: stop it first\n" || !slices.Equal(files, []string{"mess/24"}) {
		t.Errorf("beside qmail-send: %d, %q, left %q", status, stderr, files)
	}
	lock.Close()
	conf.Home = t.TempDir()
	if status, _, stderr := do(t); status != 111 || stderr == "" {
		t.Errorf("no queue: %d, %q", status, stderr)
	}
}
