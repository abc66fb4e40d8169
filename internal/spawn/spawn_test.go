package spawn

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/warm"
)

// spawner is a spawner at work whose deliveries are shell scripts: the senders.
type spawner struct {
	t        *testing.T
	requests *os.File
	reports  *bufio.Reader
	far      *os.File   // the end of the reports' pipe that is read
	ended    chan error // what Run returned
}

// standInName is that of the test binary as a program that can be kept warm.
const standInName = "warm-shell"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == standInName {
		warm.Main(standInName, standIn, warm.Bounds{Jobs: 5, Life: 10, Memory: 64 << 20})
	}
	os.Exit(m.Run())
}

// standIn runs a shell and ends as that does, a crash being what a Go program calls so.
func standIn(p *prog.Process) error {
	status, err := proc.Command{Args: append([]string{"/bin/sh"}, p.Args...), Env: p.Env, Dir: p.Dir,
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr}.Run()
	if err != nil {
		return err
	}
	if status.Crashed() {
		return prog.Exit(2)
	}
	return prog.Exit(status.Code())
}

// asShell is the program that deliveries are tried with: the shell, or one that is warm.
var asShell = "/bin/sh"

// inBoth runs a test with both.
func inBoth(t *testing.T, test func(*testing.T)) {
	t.Run("cold", test)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	before := asShell
	defer func() { asShell = before }()
	asShell = filepath.Join(t.TempDir(), standInName)
	if err := os.WriteFile(asShell, append(program, warm.Mark...), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("warm", test)
}

func start(t *testing.T) *spawner {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	home, owner := conf.Home, conf.UserQueue
	t.Cleanup(func() { conf.Home, conf.UserQueue = home, owner })
	conf.Home, conf.UserQueue = t.TempDir(), me.Username
	mess := filepath.Join(conf.Home, "queue/mess/7")
	if err := os.MkdirAll(filepath.Join(mess, "8"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mess, "457"), []byte("message\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(mess, "9"), 0o644); err != nil {
		t.Fatal(err)
	}
	in, requests := pipe(t)
	far, out := pipe(t)
	s := &spawner{t: t, requests: requests, reports: bufio.NewReader(far), far: far, ended: make(chan error, 1)}
	go func() {
		p := &prog.Process{Stdin: in, Stdout: out}
		s.ended <- Run(p, Spawner{Keeper: keeper(t), Command: shell, Unable: unable, Report: delivery.LocalReport, Keep: func(r io.Reader) []byte {
			b, _ := io.ReadAll(r)
			return b
		}})
		out.Close()
	}()
	if hello, err := s.reports.ReadByte(); err != nil || int(hello) != conf.Spawn {
		t.Fatalf("hello %d, %v, want %d", hello, err, conf.Spawn)
	}
	return s
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func keeper(t *testing.T) *warm.Keeper {
	return warm.NewKeeper(warm.Settings{Name: t.Name(), Log: nil, Now: time.Now})
}

func unable(error) int { return delivery.StatusExecSoft }

func shell(r delivery.Request) (c warm.Command, status int) {
	switch r.Sender {
	case "status":
		return c, 75
	case "panic":
		panic("on purpose")
	case "absent":
		return warm.Command{Args: []string{"/nonexistent"}, Dir: conf.Home}, 0
	}
	return warm.Command{Args: []string{asShell, "-c", r.Sender}, Env: prog.Env{"PATH=/usr/bin:/bin"}, Dir: conf.Home}, 0
}

func (s *spawner) ask(number byte, mess, script, recipient string) {
	s.t.Helper()
	if _, err := s.requests.Write(delivery.Request{Number: number, Mess: mess, Sender: script, Recipient: recipient}.Append(nil)); err != nil {
		s.t.Fatal(err)
	}
}

// report reads a report as qmail-send would.
func (s *spawner) report() (number byte, text string) {
	s.t.Helper()
	r, err := delivery.ReadReport(s.reports)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Number, string(r.Letter) + r.Text
}

func TestDeliveries(t *testing.T) { inBoth(t, testDeliveries) }

func testDeliveries(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		number               byte
		mess, script, domain string
		want                 string
	}{
		{0, "7/457", "cat; pwd; echo err >&2", "@h", "Kmessage\n" + conf.Home + "\nerr\n"},
		{119, "7/457", "echo no; exit 100", "@h", "Dno\n"},
		{1, "7/457", "echo a; kill -9 $$", "@h", "Zqmail-local crashed.\n"},
		{1, "7/457", "exit 2", "@h", "Zqmail-local crashed.\n"},
		{1, "7/457", "status", "@h", "Z"},
		{1, "7/457", "panic", "@h", delivery.RefuseMemory},
		{1, "7/457", "absent", "@h", "ZUnable to run qmail-local.\n"},
		{120, "7/457", "", "@h", delivery.RefuseTooBig},
		{255, "nonsense", "", "", delivery.RefuseTooBig}, // the number comes first
		{1, "7/x", "", "", "DInternal error: messid has nonnumerics. (#5.3.5)\n"},
		{1, "../../etc/passwd", "", "@h", "DInternal error: messid has nonnumerics. (#5.3.5)\n"},
		{1, "", "", "@h", "DInternal error: messid too short. (#5.3.5)\n"},
		{1, strings.Repeat("7", 100), "", "@h", "DInternal error: messid too long. (#5.3.5)\n"},
		{1, "7/457", "", "", "DSorry, address must include host name. (#5.1.3)\n"},
		{1, "7/458", "", "@h", delivery.RefuseOpen},
		{1, "7/8", "", "@h", delivery.RefuseType},
		{1, "7/9", "", "@h", delivery.RefuseType}, // a fifo that nobody writes to must not hang us
		{1, "7/457", strings.Repeat("x", 70000), "@h", delivery.RefuseMemory},
		{1, "7/457", ":", "@h", "K"},
	} {
		s.ask(c.number, c.mess, c.script, "user"+c.domain)
		if number, text := s.report(); number != c.number || text != c.want {
			t.Errorf("delivery of %.40q by %.40q: report %d %q, want %d %q", c.mess, c.script, number, text, c.number, c.want)
		}
	}
}

// A message that qmailq does not own was put there by somebody else.
func TestForeignMessage(t *testing.T) {
	s := start(t)
	name := filepath.Join(conf.Home, "queue/mess/7/457")
	if os.Geteuid() == 0 {
		if err := os.Chown(name, 12345, -1); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Symlink("/etc/passwd", name+"0"); err == nil {
		os.Remove(name)
		os.Rename(name+"0", name)
	}
	s.ask(0, "7/457", ":", "a@h")
	if _, text := s.report(); text != delivery.RefuseOwner {
		t.Errorf("report %q, want %q", text, delivery.RefuseOwner)
	}
}

// A number is in use until its program has ended and nobody holds its output; after
// that it is free again. The end of the requests waits for all.
func TestNumbersInUse(t *testing.T) { inBoth(t, testNumbersInUse) }

func testNumbersInUse(t *testing.T) {
	s := start(t)
	fifo := filepath.Join(conf.Home, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ask(3, "7/457", "(read x <fifo; echo $x) & exit 0", "a@h") // the program itself ends at once
	s.ask(3, "7/457", ":", "a@h")
	if number, text := s.report(); number != 3 || text != delivery.RefuseInUse {
		t.Errorf("report %d %q, want %q", number, text, delivery.RefuseInUse)
	}
	s.ask(4, "7/457", ":", "a@h")
	if number, text := s.report(); number != 4 || text != "K" {
		t.Errorf("report %d %q of a delivery meanwhile", number, text)
	}
	s.requests.WriteString("\x05cut") // a request that is not all there
	s.requests.Close()
	if err := os.WriteFile(fifo, []byte("late\n"), 0); err != nil { // opening waits for the reader
		t.Fatal(err)
	}
	if number, text := s.report(); number != 3 || text != "Klate\n" {
		t.Errorf("report %d %q, want what came late", number, text)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if rest, _ := io.ReadAll(s.reports); len(rest) != 0 {
		t.Errorf("said %q in the end", rest)
	}
}

// Without anybody to report to deliveries are made all the same.
func TestNobodyListens(t *testing.T) { inBoth(t, testNobodyListens) }

func testNobodyListens(t *testing.T) {
	s := start(t)
	s.far.Close()
	for n := range byte(20) {
		s.ask(n, "7/457", "echo x >>done", "a@h")
	}
	s.requests.Close()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if done, _ := os.ReadFile(filepath.Join(conf.Home, "done")); string(done) != strings.Repeat("x\n", 20) {
		t.Errorf("done: %q", done)
	}
}

func TestCannotBegin(t *testing.T) {
	home, owner := conf.Home, conf.UserQueue
	t.Cleanup(func() { conf.Home, conf.UserQueue = home, owner })
	conf.Home, conf.UserQueue = t.TempDir(), "nobody of that name"
	p := &prog.Process{}
	if err := Run(p, Spawner{}); err == nil {
		t.Error("began without an account")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	conf.UserQueue = me.Username
	if err := Run(p, Spawner{}); err == nil {
		t.Error("began without a queue")
	}
	if err := os.MkdirAll(filepath.Join(conf.Home, "queue"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf.Home, "queue/mess"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Run(p, Spawner{}); err == nil || !strings.Contains(err.Error(), syscall.ENOTDIR.Error()) {
		t.Errorf("began with a file in the queue's place: %v", err)
	}
}

// Reports that are ready together are written together, each of them whole.
func TestReportsTogether(t *testing.T) {
	r, w := pipe(t)
	reports, err := nowait.NewStream(w)
	if err != nil {
		t.Fatal(err)
	}
	s := &running{reports: reports}
	var all sync.WaitGroup
	for n := range byte(100) {
		all.Add(1)
		go func() {
			defer all.Done()
			s.report(n, "K"+strings.Repeat(string('a'+rune(n%26)), 2000))
		}()
	}
	got := map[byte]bool{}
	in := bufio.NewReader(r)
	for range 100 {
		report, err := delivery.ReadReport(in)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat(string('a'+rune(report.Number%26)), 2000); report.Text != want || got[report.Number] {
			t.Errorf("report %d: %.20q, again: %t", report.Number, report.Text, got[report.Number])
		}
		got[report.Number] = true
	}
	all.Wait()
	if len(s.unsent) != 0 || s.turn {
		t.Errorf("%d bytes are left", len(s.unsent))
	}
}

// What a program prints is read while it runs, and by nobody after Close.
func TestOutput(t *testing.T) {
	o, w, err := NewOutput()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 2000 { // together more than a pipe holds
			unix.Write(int(w.Fd()), bytes.Repeat([]byte("x"), 100))
		}
		o.Done(proc.StatusOf(7<<8), nil)
	}()
	text, end := o.Collect(func(r io.Reader) []byte {
		b, _ := io.ReadAll(r)
		return b
	})
	if len(text) != 200000 || end.Err != nil || end.Code() != 7 {
		t.Errorf("%d bytes and status %d, %v", len(text), end.Code(), end.Err)
	}
	o.Close()
	o.Close()
	if n, err := o.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("after Close: %d bytes, %v", n, err)
	}
}
