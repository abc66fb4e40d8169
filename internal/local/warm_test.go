//go:build linux

package local

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/warm"
)

// theater keeps one qmail-local warm, as qmail-lspawn does for one user.
type theater struct {
	*warm.Keeper
	program string
	log     *os.File
}

func newTheater(t *testing.T) *theater {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755)) // for nobody
	self, err := os.ReadFile("/proc/self/exe")
	check(t, err)
	th := &theater{program: filepath.Join(dir, "qmail-local")}
	check(t, os.WriteFile(th.program, append(self, warm.Mark...), 0o755))
	th.log, err = os.Create(filepath.Join(dir, "log"))
	check(t, err)
	t.Cleanup(func() { th.log.Close() })
	th.Keeper = warm.NewKeeper(warm.Settings{Idle: time.Second, Spare: 1, Name: "theater", Log: th.log, Now: time.Now})
	return th
}

// counted has the counts written and compares them.
func (th *theater) counted(t *testing.T, want string) {
	t.Helper()
	th.LogCounts()
	log, err := os.ReadFile(th.log.Name())
	check(t, err)
	if !strings.Contains(string(log), "theater: jobs: "+want+";") {
		t.Errorf("%s, want %s", log, want)
	}
}

// execute runs one delivery warm.
func (th *theater) execute(t *testing.T, in invocation) ending {
	t.Helper()
	if in.limited { // which is for a process as a whole
		return execute(t, in)
	}
	c := warm.Command{Args: append([]string{th.program}, in.args...), Env: prog.Env(in.env), Dir: "/"}
	message := openMessage(t, in.message)
	defer message.Close()
	c.Stdin = message
	if os.Getuid() == 0 {
		c.As = &privs.Identity{UID: nobody, GID: nobody, Groups: []int{}}
	} else {
		c.As = &privs.Identity{UID: os.Getuid(), GID: os.Getgid()}
	}
	var texts [2]string
	var readers sync.WaitGroup
	var writers [2]*os.File
	for i := range writers {
		r, w, err := os.Pipe()
		check(t, err)
		defer r.Close()
		w.Fd() // makes it wait, as programs expect
		writers[i] = w
		readers.Add(1)
		go func() {
			defer readers.Done()
			b, _ := io.ReadAll(r)
			texts[i] = string(b)
		}()
	}
	c.Stdout, c.Stderr = writers[0], writers[1]
	ended := make(chan proc.Status, 1)
	_, err := th.Start(c, func(s proc.Status, err error) {
		writers[0].Close()
		writers[1].Close()
		ended <- s
	})
	check(t, err)
	readers.Wait()
	return ending{(<-ended).Code(), texts[0], texts[1]}
}

// What a scene comes to is the same in a process that has played others, one after
// the other or all at once.
func TestScenesWarm(t *testing.T) {
	th := newTheater(t)
	played := 0
	for name, scenes := range allScenes(t) {
		for _, s := range scenes {
			if got := s.play(t, th.execute); got != s.want {
				t.Errorf("%s: %s:\n%s\nwant\n%s", filepath.Base(name), s.title, got, s.want)
			}
			if !strings.Contains(s.text, "\nlimit\n") {
				played++
			}
		}
	}
	th.counted(t, fmt.Sprintf("%d warm, 0 declined, 0 cold, 0 foreign, 0 lost", played))
}

func TestScenesAtOnce(t *testing.T) {
	th := newTheater(t)
	t.Run("all", func(t *testing.T) {
		for _, scenes := range allScenes(t) {
			for _, s := range scenes {
				t.Run(s.title, func(t *testing.T) {
					t.Parallel()
					if got := s.play(t, th.execute); got != s.want {
						t.Errorf("%s\nwant\n%s", got, s.want)
					}
				})
			}
		}
	})
}

// mailbox is a home in which deliveries come together.
func (th *theater) mailbox(t *testing.T) (home, message string) {
	t.Helper()
	dir := t.TempDir()
	home, message = filepath.Join(dir, "home"), filepath.Join(dir, "message")
	for _, sub := range []string{"tmp", "new", "cur"} {
		check(t, os.MkdirAll(filepath.Join(home, "Maildir", sub), 0o755))
	}
	check(t, os.WriteFile(message, []byte("Subject: x\n\n"+strings.Repeat("From here\n", 3000)), 0o644))
	giveAway(t, dir)
	return home, message
}

// Jobs of one process exclude each other from an mbox as two processes do, and names
// in a Maildir do not meet.
func TestManyDeliveriesAtOnce(t *testing.T) {
	th := newTheater(t)
	home, message := th.mailbox(t)
	const n = 60
	var all sync.WaitGroup
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			got := th.execute(t, invocation{
				args:    []string{"--", "joe", home, "joe", "", "", "h", "s@x", "./Mailbox\n./Maildir/\n./Maildir/\n"},
				env:     []string{"PATH=/usr/bin:/bin"},
				message: message,
			})
			if want := (ending{0, "did 3+0+0\n", ""}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}()
	}
	all.Wait()
	box, err := os.ReadFile(filepath.Join(home, "Mailbox"))
	check(t, err)
	letters := strings.Split("\n"+string(box), "\nFrom s@x ")
	for _, letter := range letters[1:] {
		if strings.Count(letter, ">From here\n") != 3000 || strings.Count(letter, "Subject") != 1 {
			t.Errorf("a letter of %d bytes is not whole: %.200q", len(letter), letter)
		}
	}
	files, err := filepath.Glob(filepath.Join(home, "Maildir/new/*"))
	check(t, err)
	left, err := filepath.Glob(filepath.Join(home, "Maildir/tmp/*"))
	check(t, err)
	if len(letters) != n+1 || len(files) != 2*n || len(left) != 0 {
		t.Errorf("%d letters, %d files and %d in tmp, want %d, %d and none", len(letters)-1, len(files), len(left), n, 2*n)
	}
	th.counted(t, fmt.Sprint(n, " warm, 0 declined, 0 cold, 0 foreign, 0 lost"))
}

// A program finds the same in a warm qmail-local as in one of its own: descriptors,
// directory, mask, process group, limits. No other job's files, no socket.
func TestProgramSeesTheSame(t *testing.T) {
	th := newTheater(t)
	home, message := th.mailbox(t)
	look := `|ls -l /proc/self/fd | sed 's/.* \([0-9]*\) -> .*/\1/' | sort -n | tr '\n' ' '; pwd; umask; ulimit -a; ps -o pgid= -o sid= -p $$; env | grep -v ^UFLINE | sort; readlink /proc/self/fd/0; cut -d" " -f18,19 /proc/self/stat; grep -i '^sig\|^cap\|nonewprivs\|seccomp\|groups' /proc/self/status`
	in := invocation{
		args:    []string{"--", "joe", home, "joe", "", "", "h", "s@x", look},
		env:     []string{"PATH=/usr/bin:/bin", "HOME=/", "X=y"},
		message: message,
	}
	cold := execute(t, in)
	fifo := filepath.Join(home, "fifo")
	check(t, unix.Mkfifo(fifo, 0o644))
	giveAway(t, filepath.Dir(home))
	hold := in
	hold.args = append(append([]string{}, in.args[:8]...), "|read x <"+fifo)
	held := make(chan struct{})
	go func() { // another job, with files of its own, is under way
		defer close(held)
		th.execute(t, hold)
	}()
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits until its program is there
	check(t, err)
	warm := th.execute(t, in)
	f.Close()
	<-held
	if warm != cold {
		t.Errorf("warm: %d\n%s%s\ncold: %d\n%s%s", warm.status, warm.stdout, warm.stderr, cold.status, cold.stdout, cold.stderr)
	}
}
