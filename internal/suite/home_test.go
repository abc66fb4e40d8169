package suite

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
)

// root is whether the programs run under users of their own.
var root = os.Geteuid() == 0

// Where the tests live. It is the same each time, so that programs are linked again
// only when they have changed.
var work = flag.String("work", fmt.Sprintf("/var/tmp/quail-suite-%d", os.Getuid()), "the directory that the tests use")

// Every test is run twice: once with programs that stay warm between their jobs, where
// nothing that could be warm may run cold, and once with -cold, with programs of which
// none says that it can.
var cold = flag.Bool("cold", false, "start every program for each of its jobs")

var home, built string

// The recipient of most tests: joe and joe-anything, whose home is in the suite's.
var (
	joeUID = pick(64010, os.Getuid())
	joeGID = pick(64010, os.Getgid())
)

func pick(asRoot, otherwise int) int {
	if root {
		return asRoot
	}
	return otherwise
}

const me = "me.example"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		flag.Parse()
		home, built = filepath.Join(*work, "home"), filepath.Join(*work, "bin")
		syscall.Umask(0o022)
		if err := os.MkdirAll(*work, 0o755); err != nil {
			return failed(err)
		}
		lock, err := os.OpenFile(filepath.Join(*work, "lock"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return failed(err)
		}
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return failed(err)
		}
		conf.Home = home
		if were := endAll(); were != nil {
			fmt.Fprintln(os.Stderr, "suite: a run that was interrupted has left", were)
		}
		if out, err := run("make", "-C", "../..", "--no-print-directory", "build", "QMAIL="+home, "BIN="+built); err != nil {
			return failed(fmt.Errorf("%w\n%s", err, out))
		}
		return complete(m.Run())
	}())
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "suite:", err)
	return 1
}

func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// must runs a program that has to succeed and returns what it printed.
func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := run(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// suite is an installation that a test may run.
type suite struct {
	t      testing.TB
	log    *os.File   // of qmail-send
	logs   []*os.File // this one and those before it
	errors *os.File   // what all others say on descriptor 2

	begun   map[string]int       // programs that count jobs
	excused map[exception]string // what else may happen to jobs, and why
	watch   *executions

	processes []*process // in the background

	inside []string // the command, if any, by which programs in the background are run
}

// install lays out a fresh home with control files, joe, and nobody else.
func install(t testing.TB) *suite {
	t.Helper()
	layOut(t)
	errors, err := os.CreateTemp(t.TempDir(), "errors")
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{t: t, errors: errors, begun: map[string]int{}, excused: map[exception]string{}}
	s.newLog()
	if watch != nil {
		watch.end()
	}
	watch = watchQueue(t, s.path("bin/qmail-queue"), s.path(queueSocket))
	s.watch = watch
	s.control("me", me+"\n")
	s.control("locals", me+"\nlocalhost\n")
	s.control("rcpthosts", me+"\n")
	s.mkdir("u", 0o755, 0, 0)
	s.mkdir("u/joe", 0o755, joeUID, joeGID)
	alias, nofiles := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	if root {
		alias, nofiles = account(t, "passwd", "alias"), account(t, "group", "nofiles")
	}
	// The account alias may have its home elsewhere on this host: everybody else's
	// mail is to stay in this one.
	s.assign(fmt.Sprintf("=joe:joe:%[1]d:%[2]d:%[3]s/u/joe:::\n+joe-:joe:%[1]d:%[2]d:%[3]s/u/joe:-::\n+:alias:%[4]s:%[5]s:%[3]s/alias:-::\n",
		joeUID, joeGID, home, alias, nofiles))
	s.maildir("u/joe/Maildir")
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(s.log.Name())
			t.Logf("the log:\n%s", tail(string(b), 6000))
			b, _ = os.ReadFile(s.errors.Name())
			t.Logf("complaints:\n%s", tail(string(b), 6000))
		}
	})
	t.Cleanup(s.checkTemperature)
	return s
}

var laidOut bool // in this run

// watch is that of the home as it is now. Earlier ones would see the same program.
var watch *executions

// layOut makes the home. scripts/install takes its time, so it does it once, and each
// test gets a copy.
func layOut(t testing.TB) {
	t.Helper()
	fresh, programs := filepath.Join(*work, "fresh"), filepath.Join(*work, "programs")
	old := []string{home}
	if !laidOut {
		old = append(old, fresh, programs)
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if !laidOut {
		lookAtSources()
		must(t, "sh", "../../scripts/install", "-t", "-b", built, home)
		must(t, "mv", filepath.Join(home, "bin"), programs)
		must(t, "mv", home, fresh)
		if *cold {
			chill(t, programs)
		}
		laidOut = true
	}
	must(t, "cp", "-a", fresh, home)
	must(t, "cp", "-al", programs, filepath.Join(home, "bin"))
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (s *suite) path(rel string) string { return filepath.Join(home, rel) }

func (s *suite) control(name, contents string) { s.write("control/"+name, contents) }

func (s *suite) write(rel, contents string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(rel), []byte(contents), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// joe writes a file of joe's.
func (s *suite) joe(rel, contents string, mode os.FileMode) {
	s.t.Helper()
	s.write("u/joe/"+rel, contents)
	path := s.path("u/joe/" + rel)
	if root {
		if err := os.Chown(path, joeUID, joeGID); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) mkdir(rel string, mode os.FileMode, uid, gid int) {
	s.t.Helper()
	if err := os.MkdirAll(s.path(rel), mode); err != nil {
		s.t.Fatal(err)
	}
	if root {
		if err := os.Chown(s.path(rel), uid, gid); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Chmod(s.path(rel), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) maildir(rel string) {
	for _, dir := range []string{rel, rel + "/tmp", rel + "/new", rel + "/cur"} {
		s.mkdir(dir, 0o700, joeUID, joeGID)
	}
}

// assign compiles users/assign.
func (s *suite) assign(lines string) {
	s.t.Helper()
	s.write("users/assign", lines+".\n")
	must(s.t, s.path("bin/qmail-newu"))
}

// start runs qmail-start until the test ends.
func (s *suite) start(args ...string) *process {
	s.t.Helper()
	if len(args) == 0 {
		args = []string{"./Maildir/"}
	}
	if len(s.queued()) > 0 {
		s.excuse(queuing, "a bounce may be due before qmail-queued listens")
	}
	p := s.spawn(s.log, nil, "bin/qmail-start", args...)
	s.wait("status: local 0/")
	if s.exists("bin/qmail-queued") {
		eventually(s.t, "qmail-queued to listen", s.called)
		s.watch.look()
	}
	return p
}

// process is a program that the test has started.
type process struct {
	s *suite
	*exec.Cmd
	counts bool // on SIGUSR1
	isSend bool // or will be
	done   chan struct{}
}

// spawn starts a program of the home in the background.
func (s *suite) spawn(stdout *os.File, env []string, program string, args ...string) *process {
	s.t.Helper()
	s.watch.look()
	args = append(append([]string{}, s.inside...), append([]string{s.path(program)}, args...)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + s.path("bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	cmd.Stdout = stdout
	cmd.Stderr = s.errors
	if stdout == s.log {
		cmd.Stderr = s.log
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.begins(program)
	name := filepath.Base(program)
	p := &process{s: s, Cmd: cmd, counts: name == "tcpserver", isSend: name == "qmail-start", done: make(chan struct{})}
	s.processes = append(s.processes, p)
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(func() { p.stop() })
	return p
}

// stop ends a program by TERM, and waits.
func (p *process) stop() {
	p.s.watch.look()
	if p.counts {
		p.count()
	}
	p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		p.Process.Kill()
		<-p.done
	}
}

// smtpd runs tcpserver with qmail-smtpd and returns its port.
func (s *suite) smtpd(env ...string) int {
	s.t.Helper()
	var args []string
	if root {
		args = append(args, "-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"))
	}
	return s.tcpserver(append(args, s.path("bin/qmail-smtpd")), env...)
}

// tcpserver runs tcpserver on a free port, given the program and what comes before
// it, and returns the port.
func (s *suite) tcpserver(args []string, env ...string) int {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	options := []string{"-1", "-HRl0", "-c", "200"}
	n := 0
	for n < len(args) && strings.HasPrefix(args[n], "-") {
		n += 2
	}
	options = append(options, args[:n]...)
	// Without qmail-send, somebody has to be there whom a warm qmail-smtpd can call.
	if args[n] == s.path("bin/qmail-smtpd") && s.exists("bin/qmail-queued") && !s.called() {
		s.queuedAlone()
	}
	s.spawn(w, env, "bin/tcpserver", append(append(options, "127.0.0.1", "0"), args[n:]...)...)
	w.Close()
	var b [16]byte
	k, err := r.Read(b[:])
	port, perr := strconv.Atoi(strings.TrimSpace(string(b[:k])))
	if err != nil || perr != nil {
		s.t.Fatalf("tcpserver printed %q as its port (%v)", b[:k], err)
	}
	return port
}

// hostAccounts are the numbers of users and groups that have been asked for.
var hostAccounts = map[[2]string]string{}

// account returns the number of a user or group of the host.
func account(t testing.TB, database, name string) string {
	t.Helper()
	key := [2]string{database, name}
	if hostAccounts[key] == "" {
		hostAccounts[key] = strings.Split(must(t, "getent", database, name), ":")[2]
	}
	return hostAccounts[key]
}

// deadline is how long anything that has to happen may take on a busy machine.
const deadline = 60 * time.Second

// eventually waits until check holds.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		if check() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s, with %s", deadline, what, doings())
		}
		time.Sleep(5 * time.Millisecond) // between two looks; nothing depends on its length
	}
}

// doings says what the programs of the home wait for.
func doings() string {
	var all []string
	for pid, program := range sighted() {
		waits := map[string]int{}
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, thread := range threads {
			status, _ := os.ReadFile(thread + "/status")
			_, state, _ := strings.Cut(string(status), "State:\t")
			call, _ := os.ReadFile(thread + "/syscall")
			where, _ := os.ReadFile(thread + "/wchan")
			number, _, _ := strings.Cut(strings.TrimSpace(string(call)), " ")
			waits[fmt.Sprintf("%.1s in %s of call %s", state, where, number)]++
		}
		all = append(all, fmt.Sprintf("%s %d: %v", program, pid, waits))
	}
	return strings.Join(append(all, "nothing else"), "; ")
}

// logged returns the log so far, without what is said in between about jobs.
func (s *suite) logged() string {
	b, err := os.ReadFile(s.log.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return withoutAccounts(string(b))
}

// wait waits for text in the log.
func (s *suite) wait(text string) {
	s.t.Helper()
	eventually(s.t, "the log line "+text, func() bool { return strings.Contains(s.logged(), text) })
}

// ended counts the messages that have ended since the log began. What a program says
// that crashes may stand before it on a line.
func (s *suite) ended() int { return strings.Count(s.logged(), "end msg ") }

// settled waits until n messages have ended since the log began.
func (s *suite) settled(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d messages to end", n), func() bool { return s.ended() >= n })
}

// mail lists the messages in a Maildir's new, by name.
func (s *suite) mail(rel string) []string {
	s.t.Helper()
	entries, err := os.ReadDir(s.path(rel + "/new"))
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		b, err := os.ReadFile(s.path(rel + "/new/" + e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// queued lists the files of the queue, without those that are always there.
func (s *suite) queued() []string {
	var out []string
	for _, dir := range []string{"pid", "intd", "todo", "bounce", "mess/*", "info/*", "local/*", "remote/*"} {
		names, _ := filepath.Glob(s.path("queue/" + dir + "/*"))
		for _, n := range names {
			if fi, err := os.Stat(n); err == nil && fi.Mode().IsRegular() {
				out = append(out, strings.TrimPrefix(n, s.path("queue")+"/"))
			}
		}
	}
	return out
}

// empty waits until nothing is left in the queue: the log says that a message has
// ended before its files are gone.
func (s *suite) empty() {
	s.t.Helper()
	eventually(s.t, "the queue to be empty", func() bool { return len(s.queued()) == 0 })
}

// sh runs a shell command as an ordinary local user would, and returns its output
// and status.
func (s *suite) sh(input, command string, env ...string) (string, int) {
	s.t.Helper()
	args := []string{"sh", "-c", command}
	if root {
		args = append([]string{"setpriv", "--reuid", strconv.Itoa(joeUID), "--regid", strconv.Itoa(joeGID), "--clear-groups"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + s.path("bin") + ":/usr/bin:/bin", "HOME=/", "USER=joe"}, env...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		s.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// inject queues a message by qmail-inject's twin for programs, sendmail.
func (s *suite) inject(sender, recipient, message string) {
	s.t.Helper()
	s.watch.look()
	out, status := s.sh(message, fmt.Sprintf("exec %s/bin/sendmail -f '%s' '%s'", home, sender, recipient))
	if status != 0 {
		s.t.Fatalf("sendmail: status %d\n%s", status, out)
	}
}

// mask replaces what differs from run to run.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b(msg|qp|qmail) \d+`), "$1 #"},
	{regexp.MustCompile(`qp_\d+`), "qp_#"},
	{regexp.MustCompile(`\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d`), "DATE"},
	{regexp.MustCompile(`\b20\d{12}\.\d+\.`), "TIME.#."},
	{regexp.MustCompile(`uid \d+`), "uid #"},
	{regexp.MustCompile(`bytes \d+`), "bytes #"},
}

func mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.with)
	}
	return s
}
