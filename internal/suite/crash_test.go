package suite

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The promise under test: a message that was acknowledged survives a kill at any
// moment. Programs of the suite are killed while others send mail, are started
// again, and in the end everything acknowledged must have come.

// chain are the programs that a message meets on its way, and the log's.
func chain() []string {
	all := []string{
		"tcpserver", "qmail-smtpd", "sendmail", "qmail-inject",
		"qmail-start", "qmail-send", "qmail-clean", "qmail-lspawn", "qmail-rspawn",
		"qmail-getpw", "qmail-local", "qmail-remote", "splogger",
	}
	if *cold {
		return append(all, "qmail-queue")
	}
	return append(all, "qmail-queued", takesMessages)
}

func TestCrash(t *testing.T) {
	c := newCrash(t, crashPlan{messages: 2000, kills: 200, each: 5, victims: chain(), pause: 40 * time.Millisecond, largest: 300000})
	c.run()
	c.settle()
	c.report()
	if len(c.lost) > 0 {
		t.Errorf("lost: %s", strings.Join(c.lost, ", "))
	}
	if all, most := c.duplicates(); all > most {
		t.Errorf("%d copies too many, where the kills account for %d at most", all, most)
	}
	if !*cold {
		c.killer.checkWarm(t)
	}
	for _, wrong := range append(append(c.arrived.wrong, c.load.refused...), c.strays...) {
		t.Error(wrong)
	}
	c.checkDebris()
}

// A test that cannot fail is worth nothing: the same must find the losses of a
// qmail-queue that says yes too early.
func TestCrashAcknowledgedEarly(t *testing.T) {
	c := newCrash(t, crashPlan{messages: 200, kills: 20, each: 20, victims: []string{"qmail-queue"}, pause: 20 * time.Millisecond, largest: 30000})
	c.s.chilled("qmail-queued", "it is a qmail-queue that is false")
	queue := c.s.path("bin/qmail-queue")
	st, err := os.Stat(queue)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(queue, queue+"-real"); err != nil {
		t.Fatal(err)
	}
	must(t, "go", "build", "-o", queue, "./earlyack")
	if owner, ok := st.Sys().(*syscall.Stat_t); ok && root {
		if err := os.Chown(queue, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(queue, st.Mode()); err != nil {
		t.Fatal(err)
	}
	c.run()
	eventually(t, "the last messages to be queued", func() bool {
		for _, program := range running() {
			if program == "qmail-queue" || program == "qmail-queue-real" {
				return false
			}
		}
		return true
	})
	c.settle()
	c.report()
	if len(c.lost) == 0 {
		t.Errorf("no loss was found after %d kills of a qmail-queue that acknowledges before it has queued", c.killer.kills["qmail-queue"])
	}
}

// crashPlan says how much a crash test does.
type crashPlan struct {
	messages, kills int           // at least
	each            int           // kills of each of the victims, at least
	victims         []string      // programs
	pause           time.Duration // between two kills, about
	largest         int           // bytes in a message
}

// How much is under way at the most.
const (
	atOnce    = 20  // deliveries on each channel
	sessions  = 6   // by SMTP
	toEach    = 2   // recipients of a letter
	unsettled = 300 // deliveries straight from todo that are over and wait for qmail-clean
)

// atRisk is how many copies beyond the first the death of a program now can cost: those
// of the jobs in its hands, which may have been done while nobody hears of it.
func atRisk(program string) int {
	job, session := atOnce, sessions*toEach
	if *cold {
		job, session = 1, toEach
	}
	switch program {
	case "qmail-local", "qmail-remote":
		return job
	case "qmail-lspawn", "qmail-rspawn":
		return atOnce
	case "qmail-smtpd":
		return session
	case "sendmail", "qmail-inject", "qmail-queue":
		return toEach
	case takesMessages: // for clients, and for forwards and bounces
		return (sessions+2)*toEach + atOnce + atOnce
	case "qmail-send", "qmail-clean", "splogger":
		inTodo, _ := filepath.Glob(filepath.Join(home, "queue/todo/*"))
		return 2*atOnce + min(unsettled, len(inTodo))
	}
	return 0 // those who only pass jobs on, or change nothing
}

// duplicates returns how many copies beyond the first have come, and how many there
// may be.
func (c *crash) duplicates() (all, most int) {
	places, _ := c.load.balance(c.arrived)
	for _, n := range places {
		all += n.duplicates
	}
	for _, n := range c.killer.atRisk {
		most += n
	}
	return all, most
}

// crash is a crash test under way.
type crash struct {
	t      *testing.T
	s      *suite
	plan   crashPlan
	far    *host
	load   *load
	killer *killer
	send   *keeper
	log    string
	begin  time.Time // of sending and killing

	mu     sync.Mutex
	strays []string // what outlived qmail-send

	arrived arrived
	lost    []string
}

func newCrash(t *testing.T, plan crashPlan) *crash {
	s := install(t)
	s.rough("everything is killed")
	c := &crash{t: t, s: s, plan: plan, far: serve(t, nil), log: filepath.Join(*work, "crash.log")}
	s.control("smtproutes", ":"+c.far.route()+"\n")
	s.control("concurrencylocal", fmt.Sprintln(atOnce))
	s.control("concurrencyremote", fmt.Sprintln(atOnce))
	mailboxes(s)
	// Nobody else is assigned, so that qmail-getpw is asked. It finds alias, whose
	// home the host has or has not; settle makes up for that.
	s.assign(fmt.Sprintf("=joe:joe:%[1]d:%[2]d:%[3]s/u/joe:::\n+joe-:joe:%[1]d:%[2]d:%[3]s/u/joe:-::\n", joeUID, joeGID, home))
	if err := os.WriteFile(c.log, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	must(t, "chmod", "666", c.log) // whoever the log's user is
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(c.log)
			t.Logf("%d files in the queue; the log ends\n%s", len(c.s.waiting()), tail(string(log), 6000))
		}
	})
	seed := uint64(time.Now().UnixNano())
	c.killer = &killer{victims: plan.victims, pause: plan.pause, random: rand.New(rand.NewPCG(seed, 1)), kills: map[string]int{}, warm: map[string]int{}, atRisk: map[string]int{}}
	c.load = &load{
		s: s, port: freePort(t), greeting: fmt.Sprintf("crash-%d.example", os.Getpid()), largest: plan.largest, random: rand.New(rand.NewPCG(seed, 2)),
		begun: map[int]letter{}, sent: map[int]letter{},
		// As many letters to a kill all the time, however fast either of them goes, so
		// that kills hit a busy suite and leave it time; but no standstill, since what
		// is not running cannot be killed.
		allowed: func() (int, bool) {
			total, least := c.killer.count()
			if total >= plan.kills && least >= plan.each {
				return plan.messages, true
			}
			return max(plan.messages*(total+5)/plan.kills, 30*int(time.Since(c.begin)/time.Second)), false
		},
	}
	c.killer.allowed = func() int {
		return plan.kills * (c.load.acknowledged() + plan.messages/20) / plan.messages
	}
	s.control("smtpgreeting", c.load.greeting+"\n")
	return c
}

// freePort finds a port for a server that is to be restarted: one that the system
// gives to no client meanwhile, and hardly another run of these tests to itself.
func freePort(t testing.TB) int {
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

// command is a program of the home in the background.
func (c *crash) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(c.s.path("bin/"+program), args...)
	cmd.Env = []string{"PATH=" + c.s.path("bin") + ":/usr/bin:/bin", "RELAYCLIENT="}
	cmd.Stderr = os.Stderr
	return cmd
}

// patience is how long sending and killing may take on a machine that is busy with
// much else; half a minute is usual.
const patience = 5 * deadline

// run sends and kills.
func (c *crash) run() {
	c.begin = time.Now()
	c.send = c.s.keep(&keeper{ended: c.orphans, command: func() *exec.Cmd {
		// tee's copy is for whoever has to find out why this test has failed.
		return c.command("qmail-start", "./Maildir/", "sh", "-c", "tee -a "+c.log+" | exec splogger quail")
	}})
	args := []string{"-q", "-HRl0", "-c", "200"}
	if root {
		args = append(args, "-u", account(c.t, "passwd", "qmaild"), "-g", account(c.t, "group", "nofiles"))
	}
	args = append(args, "127.0.0.1", fmt.Sprint(c.load.port), c.s.path("bin/qmail-smtpd"))
	c.s.keep(&keeper{command: func() *exec.Cmd { return c.command("tcpserver", args...) }})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	killing, enough := context.WithCancel(ctx)
	var killer, clients sync.WaitGroup
	killer.Go(func() { c.killer.run(killing) })
	for range sessions {
		clients.Go(func() { c.load.bySMTP(ctx) })
	}
	clients.Go(func() { c.load.byProgram(ctx, "sendmail", "-f", bouncesTo, "--") })
	clients.Go(func() { c.load.byProgram(ctx, "qmail-inject", "-a", "-f", bouncesTo, "--") })
	clients.Wait()
	enough()
	killer.Wait()
	if ctx.Err() != nil {
		c.t.Fatalf("after %v %d letters are acknowledged and these are the kills: %v", patience, len(c.load.sent), c.killer.kills)
	}
	c.t.Logf("sent and killed for %v", time.Since(c.begin).Round(time.Second))
}

// orphans waits for the programs that a qmail-send has left to end by themselves.
func (c *crash) orphans(children map[int]string) {
	end := time.Now().Add(deadline)
	for pid, program := range children {
		for {
			if name, _, ok := sight(pid); !ok || name != program {
				break
			}
			if time.Now().After(end) {
				c.mu.Lock()
				c.strays = append(c.strays, fmt.Sprintf("%s, process %d, has outlived its qmail-send by %v", program, pid, deadline))
				c.mu.Unlock()
				break
			}
			time.Sleep(20 * time.Millisecond) // between two looks
		}
	}
}

// settle lets everything that is queued come to its end, without kills.
func (c *crash) settle() {
	begin := time.Now()
	alias, nofiles := fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid())
	if root {
		alias, nofiles = account(c.t, "passwd", "alias"), account(c.t, "group", "nofiles")
	}
	c.s.assign(fmt.Sprintf("=joe:joe:%[1]d:%[2]d:%[3]s/u/joe:::\n+joe-:joe:%[1]d:%[2]d:%[3]s/u/joe:-::\n+:alias:%[4]s:%[5]s:%[3]s/alias:-::\n",
		joeUID, joeGID, home, alias, nofiles))
	c.send.restart(c.s)
	asked, fewest, end := time.Now(), len(c.s.waiting()), time.Now().Add(deadline)
	for fewest > 0 {
		// What was deferred because of a kill would wait for minutes.
		if time.Since(asked) > 2*time.Second {
			asked = time.Now()
			c.send.signal(syscall.SIGALRM)
		}
		// A backlog takes its time on a slow machine; one that does not shrink is a fault.
		if n := len(c.s.waiting()); n < fewest {
			fewest, end = n, time.Now().Add(deadline)
		} else if time.Now().After(end) {
			c.t.Errorf("for %v the queue has not become emptier than %d files", deadline, fewest)
			break
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	c.arrived = c.load.collect(c.far)
	_, c.lost = c.load.balance(c.arrived)
	slices.Sort(c.lost)
	c.t.Logf("the rest took %v", time.Since(begin).Round(time.Second))
}

// waiting lists the files of messages that the queue has to deliver.
func (s *suite) waiting() []string {
	for look := 1; ; look++ {
		files := slices.DeleteFunc(s.queued(), debris.MatchString)
		// While the directories are read one after the other, a message may have been
		// replaced by its bounce behind our back. That does not happen twice.
		if len(files) > 0 || look == 2 {
			return files
		}
	}
}

// debris is what an interrupted submission, or an interrupted end, may leave.
var debris = regexp.MustCompile(`^(pid|intd|mess)/`)

// report prints what was done and what came of it.
func (c *crash) report() {
	var b strings.Builder
	total, _ := c.killer.count()
	fmt.Fprintf(&b, "\n%-18s %5s %8s %8s\n", "program", "kills", "of these", "copies")
	fmt.Fprintf(&b, "%-18s %5s %8s %8s\n", "", "", "warm", "at most")
	for _, program := range slices.Sorted(maps.Keys(c.killer.kills)) {
		n := c.killer.kills[program]
		fmt.Fprintf(&b, "%-18s %5d %8d %8d\n", program, n, c.killer.warm[program], c.killer.atRisk[program])
	}
	duplicates, most := c.duplicates()
	fmt.Fprintf(&b, "%-18s %5d %8s %8d\n\n%-14s %12s %6s %10s\n", "all", total, "", most, "letters to", "acknowledged", "lost", "duplicates")
	all, _ := c.load.balance(c.arrived)
	for p, n := range all {
		fmt.Fprintf(&b, "%-14v %12d %6d %10d\n", place(p), n.acknowledged, n.lost, n.duplicates)
	}
	fmt.Fprintf(&b, "%-14s %12s %6s %10d\n", "all", "", "", duplicates)
	fmt.Fprintf(&b, "%d letters acknowledged after %d attempts that were not", len(c.load.sent), c.load.again)
	c.t.Log(b.String())
	keepReport(c.t, b.String())
}

// keepReport puts what a test has counted where scripts/test finds it. go test shows it
// only when asked to, or when something has failed.
func keepReport(t testing.TB, text string) {
	kind := "warm"
	if *cold {
		kind = "cold"
	}
	if err := os.WriteFile(filepath.Join(*work, t.Name()+"."+kind+".report"), []byte(text+"\n"), 0o644); err != nil {
		t.Error(err)
	}
}

// checkDebris makes sure that what is left in the queue is debris of the states S2
// and S3, and that it goes when its time has come.
func (c *crash) checkDebris() {
	left := c.s.queued()
	c.t.Logf("%d files of interrupted submissions in the queue", len(left))
	if wrong := notDebris(left); len(wrong) > 0 {
		c.t.Errorf("left in the queue in no state that qmail has: %v", wrong)
	}
	long := time.Now().Add(-37 * time.Hour)
	for _, name := range left {
		if err := os.Chtimes(c.s.path("queue/"+name), long, long); err != nil {
			c.t.Fatal(err)
		}
	}
	c.send.restart(c.s)
	eventually(c.t, "the debris to be removed", func() bool { return len(c.s.queued()) == 0 })
}

// notDebris returns those files of the queue that belong to no message in the
// states S2 and S3. What is in pid has no state yet.
func notDebris(files []string) (wrong []string) {
	mess := map[string]bool{}
	for _, name := range files {
		if strings.HasPrefix(name, "mess/") {
			mess[filepath.Base(name)] = true
		}
	}
	for _, name := range files {
		if !debris.MatchString(name) || strings.HasPrefix(name, "intd/") && !mess[filepath.Base(name)] {
			wrong = append(wrong, name)
		}
	}
	return wrong
}
