package prog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"quail/internal/limits"
)

// Become ends a program by turning it into another one: what exec is in a chain
// such as "tcp-env qmail-smtpd". It is returned as an error by the program's
// function; descriptors stay as they are.
type Become struct {
	Args []string // Args[0] is looked up as execvp does
	Env  Env
	Dir  string // working directory, absolute; "" leaves it
	// Failed is the whole message if it cannot be run; "" stands for
	// "unable to run ARGS[0]: CAUSE".
	Failed string
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
	cause := error(syscall.ENOENT)
	for _, path := range Candidates(b.Args[0], b.Env, dir) {
		cause = limits.Exec(dir, path, b.Args, b.Env)
		if !KeepSearching(cause) {
			break
		}
	}
	if b.Failed != "" {
		return errors.New(b.Failed)
	}
	return Fail("unable to run "+b.Args[0], cause)
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
