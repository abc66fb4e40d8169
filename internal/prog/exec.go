package prog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/limits"
)

// Become ends a program by turning it into another one: what exec is in a chain
// such as "tcp-env qmail-smtpd". It is returned as an error by the program's
// function; descriptors stay as they are.
type Become struct {
	Args []string // Args[0] is looked up as execvp does
	// Program, if not "", is looked up instead of Args[0].
	Program string
	Env     Env
	// Search, if not nil, is the environment whose PATH counts instead of Env's.
	Search Env
	Dir    string // working directory, absolute; "" leaves it
	// Files are put in blocking mode and given these numbers. See Reserve. A warm
	// program can have neither these nor a Program or Search.
	Files map[int]*os.File
	// Failed is the whole message if it cannot be run; "" stands for
	// "unable to run ARGS[0]: CAUSE".
	Failed string
	// Quiet: nothing is said if it cannot be run.
	Quiet bool
}

func (b *Become) Error() string { return "become " + strings.Join(b.Args, " ") }

// exec does not return if it succeeds.
func (b *Become) exec(p *Process) error {
	dir := b.Dir
	if dir == "" {
		dir = p.Dir
	} else if err := os.Chdir(dir); err != nil {
		return Fail("unable to switch to "+dir, err)
	}
	name := b.Args[0]
	if b.Program != "" {
		name = b.Program
	}
	if err := place(b.Files); err != nil {
		return Fail("unable to place descriptors", err)
	}
	search := b.Search
	if search == nil {
		search = b.Env
	}
	cause := error(syscall.ENOENT)
	for _, path := range Candidates(name, search, dir) {
		failed := limits.Exec(dir, path, b.Args, b.Env)
		cause = Telling(cause, failed)
		if !KeepSearching(failed) {
			break
		}
	}
	if b.Quiet {
		return Exit(StatusTemporary)
	}
	if b.Failed != "" {
		return errors.New(b.Failed)
	}
	return Fail("unable to run "+name, cause)
}

// place gives descriptors their numbers. After it nothing may open one.
func place(files map[int]*os.File) error {
	// 1. Copies above all of them: placing one must not overwrite another.
	above := 0
	for at := range files {
		above = max(above, at+1)
	}
	high := map[int]int{}
	for at, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, above)
		if err != nil {
			return err
		}
		high[at] = fd
	}
	// 2. dup2 also makes each of them survive exec.
	for at, fd := range high {
		if err := unix.Dup2(fd, at); err != nil {
			return err
		}
	}
	return nil
}

// Reserve fills the free numbers below n, for a program that becomes one with
// descriptors there: nothing of ours can then land on them, above all not the
// runtime's poller, which must not be overwritten under its feet. What is not replaced
// until then is closed again by exec.
func Reserve(n int) Option {
	return func(*Process) error {
		for {
			fd, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
			if err != nil {
				return Fail("unable to open "+os.DevNull, err)
			}
			if fd >= n {
				return syscall.Close(fd)
			}
		}
	}
}

// Candidates lists the files that execvp would try for name, best first: name
// itself if it has a slash, else name in each directory of PATH (an empty one is
// the working directory; PATH unset is /bin:/usr/bin). See spec net, preface.
func Candidates(name string, env Env, dir string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	path, ok := env.Lookup("PATH")
	if !ok {
		path = "/bin:/usr/bin"
	}
	var out []string
	for _, d := range strings.Split(path, ":") {
		if d == "" {
			d = "."
		}
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		out = append(out, d+"/"+name)
	}
	return out
}

// Telling returns which of two failures along PATH is the one to tell. That there is
// no such file in another directory, or that this is closed, says less than that the
// first one found cannot be run.
func Telling(before, now error) error {
	if errors.Is(now, syscall.ENOENT) || KeepSearching(now) && !errors.Is(before, syscall.ENOENT) {
		return before
	}
	return now
}

// KeepSearching reports whether an exec that failed with err lets the search
// along PATH go on.
func KeepSearching(err error) bool {
	for _, no := range []error{syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.EISDIR} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
