package archtest

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// rings says which packages of internal/ may be imported by whom: those of a ring
// by the same ring and the ones below it. Whatever is not listed is a program, and
// programs are imported by commands alone. See ARCHITECTURE.md.
const rings = `
	contracts: ascii conf errno fault cdb envelope mailaddr netstring dottext received rfc822 delivery dotqmail users tcprules submission crlf order keywire pop3 attempt surrogate checkpw maillist forwarding aliases sasl tlsbinding tlsfacts authwire
	state:     durable nowait queue selection control rcpthosts route instructions assigned maildir mbox tcpto relayctl cdbfile utmp localtime mailauth
	system:    entry limits sigpipe prog proc crew accounts warm privs layout sandbox ucspi peer dial relay resolve submit localaddr addrwatch nexthop spawn localsocket forward servertls authclient
`

// Ring numbers, from the one that all may import on.
const (
	ringContracts = iota
	ringState
	ringSystem
	ringPrograms
)

// testOnly are packages that tests import and nothing else does.
var testOnly = map[string]string{
	"internal/archtest":       "is tests",
	"internal/dnstest":        "answers DNS questions for tests",
	"internal/suite":          "runs the built programs together",
	"internal/suite/earlyack": "is put in qmail-queue's place to prove that the crash test can fail",
	"internal/suite/flood":    "does to the queue's socket what an enemy would",
	"internal/suite/standin":  "plays the other side of recorded conversations, for a warm program",
	"internal/suite/killat":   "kills a program in every state that it can be in, for the crash tests",
}

// ringOf returns the number of the ring that a directory is in.
func ringOf(dir string) int {
	name, ok := strings.CutPrefix(dir, "internal/")
	for i, line := range strings.Split(strings.TrimSpace(rings), "\n") {
		for _, listed := range strings.Fields(line)[1:] {
			if ok && listed == name {
				return i
			}
		}
	}
	return ringPrograms
}

func TestRings(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			for _, path := range f.imports() {
				dir, ours := strings.CutPrefix(path, module+"/")
				if !ours {
					continue
				}
				if reason := testOnly[dir]; reason != "" {
					if !f.test && testOnly[p.dir] == "" {
						t.Errorf("%s imports %s, which %s: for tests only", f.path, dir, reason)
					}
					continue
				}
				from, to := ringOf(p.dir), ringOf(dir)
				switch {
				case testOnly[p.dir] != "" || f.test:
					// Tests may put any packages together.
				case find(t, dir) == nil:
					t.Errorf("%s imports %s, which does not exist", f.path, dir)
				case to == ringPrograms && !p.command():
					t.Errorf("%s imports %s: programs never import each other; what two of them need belongs in a ring of its own", f.path, dir)
				case to > from:
					t.Errorf("%s imports %s, which is in a later ring", f.path, dir)
				}
			}
		}
	}
}

// systemImports are the packages that contracts do without, since they turn bytes
// into values and need no system for that, and who may have one nevertheless.
var systemImports = map[string]map[string]string{
	"os":                    {"internal/errno": "tells timeouts by os.IsTimeout"},
	"io/fs":                 {},
	"os/exec":               {},
	"os/signal":             {},
	"net":                   {},
	"syscall":               {"internal/errno": "is about the numbers of system errors"},
	"golang.org/x/sys/unix": {},
	"log":                   {},
}

func TestContractsAreOnlyBytes(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		if ringOf(p.dir) != ringContracts {
			continue
		}
		for _, f := range p.code() {
			for _, path := range f.imports() {
				allowed, listed := systemImports[path]
				used[p.dir+" "+path] = true
				if listed && allowed[p.dir] == "" {
					t.Errorf("%s imports %s: a contract turns bytes into values and makes no system call", f.path, path)
				}
			}
		}
	}
	for path, allowed := range systemImports {
		for dir := range allowed {
			if !used[dir+" "+path] {
				t.Errorf("%s may import %s, but does not: the exception is stale", dir, path)
			}
		}
	}
}

// hidden are the ways to the state of a process that a program must not take: it
// is a function of its prog.Process, so that it can be one of many jobs in a
// process. Those marked clock are also closed to contracts and state, whose times
// are arguments.
var hidden = map[string]bool{
	"os.Args": true, "os.Chdir": true, "os.Environ": true, "os.Exit": true, "os.Getenv": true,
	"os.Getpid": true, "os.Getwd": true, "os.LookupEnv": true, "os.Setenv": true,
	"os.Stdin": true, "os.Stdout": true, "os.Stderr": true, "os.Getuid": true, "os.Getgid": true,
	"syscall.Chdir": true, "syscall.Getpid": true, "syscall.Umask": true, "syscall.Getuid": true,
	"golang.org/x/sys/unix.Chdir": true, "golang.org/x/sys/unix.Umask": true,
	"runtime.GOOS": true, // platforms differ behind a file suffix
	"time.Now":     true, "time.Since": true, "time.Until": true,
}

// mayUse lists who does so with a reason.
var mayUse = map[string]string{
	"internal/ucspi time.Now":    "deadlines of system calls are on the kernel's clock",
	"internal/ucspi time.Until":  "deadlines of system calls are on the kernel's clock",
	"internal/splogger time.Now": "deadlines of system calls are on the kernel's clock",
	"internal/start os.Chdir":    "turns its own process into qmail-send, in its own directory",
	"internal/enqueue os.Exit":   "dies after queue.Death, whatever it is waiting for",
}

func TestProgramsAreFunctionsOfTheirJob(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		if p.dir == "internal/prog" || strings.HasPrefix(p.dir, "scripts/") || testOnly[p.dir] != "" {
			continue // prog is where the system is asked, once
		}
		for _, f := range p.code() {
			f.uses(func(what string, at token.Position) {
				if !hidden[what] {
					return
				}
				key := p.dir + " " + what
				used[key] = true
				if mayUse[key] == "" {
					t.Errorf("%s: %s: a program is a function of its prog.Process", at, what)
				}
			})
		}
	}
	for key := range mayUse {
		if !used[key] {
			t.Errorf("%q is allowed and not used: the exception is stale", key)
		}
	}
}

// banned are imports that no package has, and why.
var banned = map[string]string{
	"C":          "cgo is off: ids must change for all threads, and the programs are static",
	"log":        "formats local time, and TZ may name any file; programs speak through prog",
	"log/syslog": "adds a process id and a host name; splogger has its own",
	"log/slog":   "no logging package: a program writes one line to stderr",
	"os/exec":    "internal/proc starts programs",
	"os/user":    "asks the name service; internal/privs reads the suite's own accounts",
	"flag":       "cannot read bundled letters; internal/prog has qmail's getopt",
}

// unsafeAllowed lists who may import unsafe, and for what.
var unsafeAllowed = map[string]string{
	"internal/limits":  "prlimit past the library, which would hand the new limit on to children; execve past its copying, which needs memory",
	"internal/entry":   "sched_setscheduler takes its priority by address",
	"internal/sandbox": "seccomp takes its filter by address",
	"internal/sigpipe": "sigaction past the library, which takes two threads for it",
	"internal/nowait":  "system calls that do not wait, past the scheduler",
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			for i, path := range f.imports() {
				if reason := banned[path]; reason != "" && !f.test && !strings.HasPrefix(p.dir, "scripts/") {
					t.Errorf("%s imports %s, which is not allowed: %s", f.path, path, reason)
				}
				if path == "unsafe" && unsafeAllowed[p.dir] == "" {
					t.Errorf("%s imports unsafe without a reason in unsafeAllowed", f.path)
				}
				name := f.ast.Imports[i].Name
				if name != nil && (name.Name == "." || name.Name == "_" && blankAllowed[p.dir+" "+path] == "") {
					t.Errorf("%s imports %s for its side effects or names", f.path, path)
				}
			}
		}
	}
}

// blankAllowed lists imports that are only there to be linked in.
var blankAllowed = map[string]string{
	"internal/prog quail/internal/conf": "every program carries the mark of its home",
	"scripts embed":                     "the table of files is part of instcheck",
}

// Registration by init hides what a program consists of, and every init of a
// privileged program runs with its privilege.
func TestNoInit(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.code() {
			for _, decl := range f.ast.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: an init function: let main say what happens", position(fn))
				}
			}
		}
	}
}
