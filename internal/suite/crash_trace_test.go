package suite

import (
	"bufio"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What a power cut leaves depends on what was synced before it. Nobody cuts the
// power here; the order of system calls is read instead, from strace, and compared
// with what has to be on disk at the moments when something is promised.

// call is a system call of a program of the suite.
type call struct {
	process int
	program string
	name    string
	args    string // as strace prints them
	result  string
}

func (c call) String() string { return c.name + "(" + c.args }

var (
	traceBegin  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	traceResume = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	traceHalf   = regexp.MustCompile(`^(.*) <(?:unfinished|pid changed to (\d+)) \.\.\.>$`)
	traceMoved  = regexp.MustCompile(`^(\d+) +\+\+\+ superseded by execve in pid (\d+)`)
	traceResult = regexp.MustCompile(`^(.*)\) += (.*)$`)
)

// parseTrace reads what strace -f writes: every call as a whole, in the order in
// which they ended, with the process and program that the thread belongs to.
func parseTrace(r io.Reader) ([]call, error) {
	type half struct {
		thread     int
		name, args string
	}
	var whole []half
	begun := map[int]half{} // by the thread that will go on with it
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		h := half{}
		if m := traceBegin.FindStringSubmatch(lines.Text()); m != nil {
			h.thread, _ = strconv.Atoi(m[1])
			h.name, h.args = m[2], m[3]
		} else if m := traceResume.FindStringSubmatch(lines.Text()); m != nil {
			thread, _ := strconv.Atoi(m[1])
			h = begun[thread]
			h.thread = thread
			h.args += m[2]
		} else {
			// An execve by one of several threads ends in the first one.
			if m := traceMoved.FindStringSubmatch(lines.Text()); m != nil {
				first, _ := strconv.Atoi(m[1])
				thread, _ := strconv.Atoi(m[2])
				begun[first] = begun[thread]
			}
			continue // signals and exits
		}
		if m := traceHalf.FindStringSubmatch(h.args); m != nil && h.name != "exit_group" {
			h.args = m[1]
			next, _ := strconv.Atoi(m[2])
			if next == 0 {
				next = h.thread
			}
			begun[next] = h
			continue
		}
		whole = append(whole, h)
	}
	// A thread's first calls may come before the call that made it has ended.
	makers := map[int]int{}
	for _, h := range whole {
		if m := traceResult.FindStringSubmatch(h.args); m != nil && strings.HasPrefix(h.name, "clone") && strings.Contains(h.args, "CLONE_THREAD") {
			thread, _ := strconv.Atoi(strings.Fields(m[2])[0])
			makers[thread] = h.thread
		}
	}
	var calls []call
	programs := map[int]string{}
	for _, h := range whole {
		c := call{process: h.thread, name: h.name, args: h.args}
		for makers[c.process] != 0 {
			c.process = makers[c.process]
		}
		if m := traceResult.FindStringSubmatch(h.args); m != nil {
			c.args, c.result = m[1], m[2]
		}
		if c.name == "execve" && c.result == "0" {
			programs[c.process] = filepath.Base(strings.Split(c.args, `"`)[1])
		}
		c.program = programs[c.process]
		calls = append(calls, c)
	}
	return calls, lines.Err()
}

// ledger is what would be on disk after a power cut, as far as one trace tells: of
// every file whether its bytes are, of every name whether its directory is.
type ledger struct {
	opened map[string]*inode // by the name that a file was made under, which strace shows for its descriptors
	names  map[string]*name
}

type inode struct{ written bool }

type name struct {
	*inode
	synced bool
	maker  int // process
}

var (
	tracedPath       = regexp.MustCompile(`(?:(\d+)|AT_FDCWD)<([^>]*)>(?:, "([^"]*)")?`)
	tracedMessages   = regexp.MustCompile(`todo/(\d+)`)
	tracedDescriptor = regexp.MustCompile(`^\d+<([^>]*)>`)
)

// paths returns the files that a call's arguments are about.
func (c call) paths() (out []string) {
	for _, m := range tracedPath.FindAllStringSubmatch(c.args, -1) {
		path := strings.TrimSuffix(m[2], " (deleted)")
		if m[3] != "" && c.name != "write" && c.name != "pwrite64" {
			if filepath.IsAbs(m[3]) {
				path = m[3]
			} else {
				path = filepath.Join(path, m[3])
			}
		}
		out = append(out, filepath.Clean(path))
	}
	return out
}

// apply enters what a call has done.
func (d *ledger) apply(c call) {
	paths := c.paths()
	if len(paths) == 0 || strings.HasPrefix(c.result, "-1") {
		return
	}
	path := paths[0]
	switch c.name {
	case "openat":
		if m := tracedDescriptor.FindStringSubmatch(c.result); m != nil && strings.Contains(c.args, "O_CREAT") {
			d.opened[m[1]] = &inode{}
			d.names[m[1]] = &name{inode: d.opened[m[1]], maker: c.process}
		}
	case "write", "pwrite64":
		if f := d.opened[path]; f != nil {
			f.written = true
		}
	case "fsync", "fdatasync":
		if f := d.opened[path]; f != nil {
			f.written = false
		}
		for file, n := range d.names {
			if filepath.Dir(file) == path {
				n.synced = true
			}
		}
	case "syncfs": // the home is on one file system
		for _, n := range d.names {
			n.written, n.synced = false, true
		}
	case "linkat":
		if old := d.names[path]; old != nil && len(paths) == 2 {
			d.names[paths[1]] = &name{inode: old.inode, maker: c.process}
		}
	case "unlinkat":
		delete(d.names, path)
	}
}

// promise is a moment, and what must be on disk before it comes.
type promise struct {
	program string
	moment  *regexp.Regexp // of the call that makes it
	names   []string       // patterns below the home: files whose bytes and names must be there
	bytes   []string       // the same, where the name does not matter
}

var promises = []promise{
	{
		program: "qmail-queue", moment: regexp.MustCompile(`^linkat\(.*/queue/todo/`),
		names: []string{"queue/mess/*/*"}, bytes: []string{"queue/intd/*"},
	},
	{
		program: "qmail-queue", moment: regexp.MustCompile(`^exit_group\(0`),
		names: []string{"queue/todo/*", "queue/mess/*/*"},
	},
	{
		program: "qmail-send", moment: regexp.MustCompile(`^write\(.*todo/`),
		names: []string{"queue/info/*/*", "queue/local/*/*", "queue/remote/*/*"},
	},
	{
		program: "qmail-send", moment: regexp.MustCompile(`^pwrite64\(.*, "D", 1`),
		names: []string{"queue/bounce/*"},
	},
	{
		program: "qmail-local", moment: regexp.MustCompile(`^exit_group\(0`),
		names: []string{"u/joe/Maildir/new/*", "u/joe/Mailbox"},
	},
}

// warmly are the promises of those who go on after them: by an answer on the queue's
// socket, and by one to qmail-lspawn.
func warmly(promises []promise) (out []promise) {
	for _, p := range promises {
		exits := strings.HasPrefix(p.moment.String(), "^exit_group")
		switch p.program {
		case "qmail-queue":
			p.program = "qmail-queued"
			if exits {
				p.moment = regexp.MustCompile(`^write\(\d+<[^>]*>, "\\0\\0\\0\\0\\0\\0`)
			}
		case "qmail-local":
			p.moment = regexp.MustCompile(`^sendmsg\(.*iov_base="D\d+\\0000\\0"`)
		}
		out = append(out, p)
	}
	return out
}

// kept checks promises against calls. It returns what was broken, and how often each
// pattern of a promise was found kept.
func kept(promises []promise, calls []call) (broken []string, found map[string]int) {
	d := &ledger{map[string]*inode{}, map[string]*name{}}
	found = map[string]int{}
	for _, c := range calls {
		for _, p := range promises {
			if c.program != p.program || !p.moment.MatchString(c.String()) {
				continue
			}
			about := tracedMessages.FindAllStringSubmatch(c.args, -1)
			for _, pattern := range append(p.names, p.bytes...) {
				for path, n := range d.names {
					if ok, _ := filepath.Match(filepath.Join(home, pattern), path); !ok || n.maker != c.process {
						continue
					}
					// Others may be on their way at the same time.
					if len(about) > 0 && !slices.ContainsFunc(about, func(m []string) bool { return m[1] == filepath.Base(path) }) {
						continue
					}
					if n.written || !n.synced && !slices.Contains(p.bytes, pattern) {
						broken = append(broken, fmt.Sprintf("%s says %v while %s is not on disk (bytes %v, name %v)",
							c.program, c, path, !n.written, n.synced))
					}
					found[p.program+" "+pattern]++
				}
			}
		}
		d.apply(c)
	}
	return broken, found
}

// traced are the calls that matter.
const traced = "trace=openat,write,pwrite64,fsync,fdatasync,syncfs,linkat,unlinkat,sendmsg,execve,exit_group,clone,clone3,fork,vfork"

// trace runs a program of the home under strace until the test ends it, and returns
// what to call for its trace then.
func (s *suite) trace(strace, program string, args ...string) (end func() []call) {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "trace")
	cmd := exec.Command(strace, append([]string{"-f", "-y", "-s", "64", "-o", out, "-e", traced, s.path("bin/" + program)}, args...)...)
	cmd.Env = []string{"PATH=" + s.path("bin") + ":/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = s.log, os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop := func() {
		for pid := range running() {
			if _, parent, ok := sight(pid); ok && parent == cmd.Process.Pid {
				syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		cmd.Wait()
	}
	s.t.Cleanup(stop)
	return func() []call {
		stop()
		f, err := os.Open(out)
		if err != nil {
			s.t.Fatal(err)
		}
		defer f.Close()
		calls, err := parseTrace(f)
		if err != nil {
			s.t.Fatal(err)
		}
		return calls
	}
}

func TestCrashOrder(t *testing.T) {
	strace, ok := tool(t, "strace")
	if !ok {
		return
	}
	if out, err := run(strace, "-f", "-o", "/dev/null", "true"); err != nil {
		leaveOut(t, "strace may not be used: "+out)
		return
	}
	s := install(t)
	s.control("smtproutes", ":"+serve(t, nil).route()+"\n")
	s.joe(".qmail-box", "./Mailbox\n", 0o644)
	endSend := s.trace(strace, "qmail-start", "./Maildir/")
	s.wait("status: local 0/")
	args := []string{"-HRl0", "127.0.0.1", strconv.Itoa(freePort(t)), s.path("bin/qmail-smtpd")}
	at := "127.0.0.1:" + args[2]
	if root {
		args = append([]string{"-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles")}, args...)
	}
	endSMTP := s.trace(strace, "tcpserver", args...)
	s.control("rcpthosts", me+"\nfar.example\n")
	mail := func(to ...string) {
		t.Helper()
		eventually(t, "a session with qmail-smtpd", func() bool {
			return smtp.SendMail(at, nil, "joe@"+me, to, []byte("Subject: traced\r\n\r\nbody\r\n")) == nil
		})
	}
	mail("joe@" + me)
	s.settled(1)
	mail("joe-box@"+me, "joe-nobody@"+me, "you@far.example")
	s.settled(3) // with the bounce to joe
	bySend, bySMTP := endSend(), endSMTP()

	promised := promises
	if !*cold {
		promised = warmly(promises)
	}
	total := map[string]int{}
	for _, calls := range [][]call{bySMTP, bySend} {
		broken, found := kept(promised, calls)
		for _, b := range broken {
			t.Error(b)
		}
		for what, n := range found {
			total[what] += n
		}
	}
	for _, p := range promised {
		for _, pattern := range append(p.names, p.bytes...) {
			if what := p.program + " " + pattern; total[what] == 0 {
				t.Errorf("the traces do not show that %s was ever on disk", what)
			}
		}
	}
	t.Logf("syncs for one message by SMTP into a Maildir: %s", syncs(bySMTP, bySend))
}

// syncs counts the syncs of each program for the first message in the traces.
func syncs(traces ...[]call) string {
	count := map[string]int{}
	var order []string
	all := 0
	for _, calls := range traces {
		first := map[string]int{} // process
		for _, c := range calls {
			if c.name != "fsync" && c.name != "fdatasync" {
				// qmail-send goes on to the next message when this one has ended.
				if strings.Contains(c.args, `"end msg `) {
					break
				}
				continue
			}
			if first[c.program] == 0 {
				first[c.program] = c.process
				order = append(order, c.program)
			}
			if first[c.program] == c.process {
				count[c.program]++
				all++
			}
		}
	}
	out := fmt.Sprintf("%d", all)
	for _, program := range order {
		out += fmt.Sprintf(", %s %d", program, count[program])
	}
	return out
}

// A sync that is not there must be found.
func TestCrashOrderBroken(t *testing.T) {
	queue := home + "/queue/"
	good := []string{
		`10 execve("bin/qmail-queue", ["bin/qmail-queue"], 0x1 /* 0 vars */) = 0`,
		`10 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD|CLONE_SYSVSEM, tls=0x2 <unfinished ...>`,
		`11 openat(AT_FDCWD</>, "` + queue + `pid/1", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 3<` + queue + `pid/1>`,
		`10 <... clone resumed>) = 11`,
		`11 linkat(AT_FDCWD</>, "` + queue + `pid/1", AT_FDCWD</>, "` + queue + `mess/0/5", 0) = 0`,
		`11 unlinkat(AT_FDCWD</>, "` + queue + `pid/1", 0) = 0`,
		`10 write(3<` + queue + `pid/1 (deleted)>, "text", 4) = 4`,
		`10 openat(AT_FDCWD</>, "` + queue + `intd/5", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644) = 4<` + queue + `intd/5>`,
		`10 write(4<` + queue + `intd/5>, "F\0", 2) = 2`,
		`10 fsync(3<` + queue + `pid/1 (deleted)>) = 0`,
		`11 --- SIGURG {si_signo=SIGURG} ---`,
		`10 fsync(4<` + queue + `intd/5>) = 0`,
		`10 fsync(5<` + queue + `mess/0>) = 0`,
		`10 linkat(AT_FDCWD</>, "` + queue + `intd/5", AT_FDCWD</>, "` + queue + `todo/5", 0) = 0`,
		`10 fsync(5<` + queue + `todo>) = 0`,
		`10 exit_group(0 <unfinished ...>`,
		`11 <... exit_group resumed>) = ?`,
	}
	for _, c := range []struct {
		without string // the line that begins with it
		broken  int
	}{
		{"nothing", 0},
		{"10 fsync(3<", 2},                  // the text, at the link and at the end
		{"10 fsync(4<", 2},                  // the envelope, as intd and as todo
		{"10 fsync(5<" + queue + "mess", 2}, // the name of the text, at the link and at the end
		{"10 fsync(5<" + queue + "todo", 1}, // the name of the envelope
	} {
		lines := slices.DeleteFunc(slices.Clone(good), func(line string) bool {
			return strings.HasPrefix(line, c.without)
		})
		calls, err := parseTrace(strings.NewReader(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		broken, found := kept(promises, calls)
		if len(broken) != c.broken || len(found) != 3 {
			t.Errorf("without %s: %q, want %d broken promises; found %v", c.without, broken, c.broken, found)
		}
	}
}
