//go:build linux

package lspawn

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/prog"
	"quail/internal/warm"
)

// The test binary is also the qmail-local of users who do with it what they like.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "qmail-local" {
		warm.Main("qmail-local", standIn, warm.Bounds{Jobs: 30, Life: 1000, Memory: 64 << 20})
	}
	os.Exit(m.Run())
}

// standIn does what the extension of its address says.
func standIn(p *prog.Process) error {
	const socket = 3
	switch what := p.Args[5]; what {
	case "ok":
		dir, _ := os.Getwd()
		fmt.Fprintf(p.Stdout, "%d %s %s", os.Getuid(), p.Dir, dir)
	case "stop":
		goOn := make(chan os.Signal, 1)
		signal.Notify(goOn, unix.SIGCONT)
		unix.Kill(os.Getpid(), unix.SIGSTOP)
		<-goOn
	case "kill":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "kill all": // of the process group, which is everybody's
		unix.Kill(0, unix.SIGKILL)
	case "leave":
		os.Exit(0) // a success for whoever believes it
	case "panic":
		panic("on purpose")
	case "garbage":
		unix.Write(socket, []byte("K\x00"))
		select {}
	case "foreign": // success for all deliveries that anybody else may have
		for sequence := range 100 {
			unix.Write(socket, fmt.Appendf(nil, "D%d\x000\x00", warm.Number(os.Getpid()+1, sequence)))
		}
		select {}
	case "become":
		return &prog.Become{Args: []string{"/bin/sh", "-c", "echo became; id -u"}, Env: prog.Env{"PATH=/usr/bin:/bin"}}
	case "shout":
		line := []byte(strings.Repeat("x", 1<<16))
		for range 100 {
			p.Stdout.Write(line)
		}
	}
	return nil
}

// working is qmail-lspawn at work, in a home where none of its users could go by name.
type working struct {
	t        *testing.T
	requests *os.File
	reports  chan delivery.Report
	ended    chan error
}

// uids are those of the users "one" and "two": the same where we cannot become others.
var uids = func() [2]int {
	if os.Getuid() == 0 {
		return [2]int{64101, 64102}
	}
	return [2]int{os.Getuid(), os.Getuid()}
}()

func begin(t *testing.T) *working {
	t.Helper()
	testHome(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	check(err)
	group, err := user.LookupGroupId(me.Gid)
	check(err)
	queue, passwd, nofiles := conf.UserQueue, conf.UserPasswd, conf.GroupNofiles
	t.Cleanup(func() { conf.UserQueue, conf.UserPasswd, conf.GroupNofiles = queue, passwd, nofiles })
	conf.UserQueue, conf.UserPasswd, conf.GroupNofiles = me.Username, me.Username, group.Name
	check(os.Chmod(conf.Home, 0o755))
	check(os.Chmod(filepath.Dir(conf.Home), 0o700)) // as it is
	self, err := os.ReadFile("/proc/self/exe")
	check(err)
	check(os.WriteFile(filepath.Join(conf.Home, "bin/qmail-local"), append(self, warm.Mark...), 0o755))
	mess := filepath.Join(conf.Home, "queue/mess/7")
	check(os.MkdirAll(mess, 0o755))
	check(os.WriteFile(filepath.Join(mess, "457"), []byte("message\n"), 0o644))
	d, err := cdbfile.Create(filepath.Join(conf.Home, "users/cdb.tmp"))
	check(err)
	check(d.Add(cdb.Record{Key: "", Value: "-"}))
	for i, name := range []string{"one", "two"} {
		gid := os.Getgid()
		if os.Getuid() == 0 {
			gid = uids[i]
		}
		check(d.Add(cdb.Record{Key: "!" + name + "-", Value: fmt.Sprintf("%s\x00%d\x00%d\x00/\x00-\x00", name, uids[i], gid)}))
	}
	check(d.Finish())
	check(d.Publish(filepath.Join(conf.Home, "users/cdb")))
	t.Chdir(conf.Home)

	in, requests, err := os.Pipe()
	check(err)
	far, out, err := os.Pipe()
	check(err)
	l := &working{t, requests, make(chan delivery.Report, 300), make(chan error, 1)}
	t.Cleanup(func() { requests.Close() })
	go func() {
		p := &prog.Process{Args: []string{"./Mailbox"}, Env: prog.Env{"PATH=/usr/bin:/bin"}, Dir: conf.Home,
			Stdin: in, Stdout: out, Stderr: os.Stderr, Now: time.Now}
		l.ended <- Run(p)
		out.Close()
		in.Close()
	}()
	go func() {
		defer close(l.reports)
		defer far.Close()
		r := bufio.NewReader(far)
		r.ReadByte()
		for {
			report, err := delivery.ReadReport(r)
			if err != nil {
				return
			}
			l.reports <- report
		}
	}()
	return l
}

func (l *working) ask(number byte, recipient string) {
	l.t.Helper()
	r := delivery.Request{Number: number, Mess: "7/457", Sender: "s@x", Recipient: recipient + "@me.example"}
	if _, err := l.requests.Write(r.Append(nil)); err != nil {
		l.t.Fatal(err)
	}
}

// expect takes the next report, which has to begin with want.
func (l *working) expect(number byte, want string) {
	l.t.Helper()
	select {
	case r := <-l.reports:
		if got := string(r.Letter) + r.Text; r.Number != number || !strings.HasPrefix(got, want) {
			l.t.Errorf("delivery %d: %.200q, want %d: %q", r.Number, got, number, want)
		}
	case <-time.After(30 * time.Second):
		l.t.Fatalf("no report of delivery %d, want %q", number, want)
	}
}

const crashed = "Zqmail-local crashed.\n"

// A user who stops the own qmail-local holds the own deliveries, and nobody else's.
func TestStoppedProcess(t *testing.T) {
	l := begin(t)
	here := func(i int) string { return fmt.Sprintf("K%d %s %s", uids[i], conf.Home, conf.Home) }
	l.ask(0, "one-ok")
	l.expect(0, here(0))
	l.ask(0, "two-ok")
	l.expect(0, here(1))
	l.ask(1, "two-stop")
	pid := stopped(t)
	if os.Getuid() == 0 { // else they are one user, and all wait
		l.ask(2, "two-ok")
		for n := range byte(50) {
			l.ask(10+n, "one-ok")
			l.expect(10+n, here(0))
		}
		l.ask(2, "one-ok")
		l.expect(2, delivery.RefuseInUse)
		unix.Kill(pid, unix.SIGCONT)
		for range 2 {
			if r := <-l.reports; r.Number != 1 && r.Number != 2 || r.Letter != 'K' {
				t.Errorf("delivery %d: %c%s, want 1 and 2 to be done", r.Number, r.Letter, r.Text)
			}
		}
		l.ask(1, "two-stop")
		pid = stopped(t)
	}
	l.ask(3, "two-ok")
	unix.Kill(pid, unix.SIGKILL)
	for range 2 {
		r := <-l.reports
		// The second may not have been in hand yet.
		if got := string(r.Letter) + r.Text; got != crashed && (r.Number != 3 || got != here(1)) {
			t.Errorf("delivery %d: %q, want %q", r.Number, got, crashed)
		}
	}
	l.requests.Close()
	if err := <-l.ended; err != nil {
		t.Error(err)
	}
}

// stopped waits for a child of ours to be stopped and returns its process id.
func stopped(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, name := range stats {
			b, _ := os.ReadFile(name)
			_, rest, _ := strings.Cut(string(b), ") ")
			if f := strings.Fields(rest); len(f) > 1 && f[0] == "T" && f[1] == strconv.Itoa(os.Getpid()) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
				return pid
			}
		}
	}
	t.Fatal("nothing is stopped")
	return 0
}

// What a subverted process says is a matter of its user's own deliveries, each of
// which ends once, and as a temporary failure where it is not its own end. Nothing of
// it stays behind.
func TestSubvertedProcess(t *testing.T) {
	type row struct{ what, want string }
	rows := []row{
		{"kill", crashed},
		{"leave", "Z"},
		{"panic", "Zqmail-local: fatal: internal error"},
		{"garbage", crashed},
		{"foreign", crashed},
		{"become", fmt.Sprintf("Kbecame\n%d\n", uids[1])},
		{"shout", "K" + strings.Repeat("x", 2966)},
	}
	if os.Getuid() == 0 { // else the test would be killed as well
		rows = append(rows, row{"kill all", crashed})
	}
	for _, c := range rows {
		t.Run(c.what, func(t *testing.T) {
			l := begin(t)
			l.ask(4, "one-ok")
			l.expect(4, fmt.Sprintf("K%d", uids[0]))
			l.ask(5, "two-ok")
			l.expect(5, fmt.Sprintf("K%d", uids[1]))
			goroutines, files := runtime.NumGoroutine(), descriptors(t)
			l.ask(5, "two-"+c.what)
			l.expect(5, c.want)
			l.ask(6, "one-ok")
			l.expect(6, fmt.Sprintf("K%d", uids[0]))
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				g, f := runtime.NumGoroutine(), descriptors(t)
				if g <= goroutines && f <= files {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines and %d descriptors, %d and %d before", g, f, goroutines, files)
				}
			}
			l.requests.Close()
			if err := <-l.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func descriptors(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
