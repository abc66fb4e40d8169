package tcpserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/prog"
	"quail/internal/ucspi"
	"quail/internal/warm"
)

// TestMain lets the test binary be tcpserver too, so that the tests see what an
// administrator sees: descriptors, signals, exit statuses.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "tcpserver":
		prog.Main("tcpserver", Run)
	case "visitor":
		visitor()
	}
	os.Exit(m.Run())
}

// visitor is a program that can be kept warm: the test binary under that name. It does
// what its first argument says.
func visitor() {
	warm.Main("visitor", func(p *prog.Process) error {
		what := p.Args[0]
		switch {
		case what == "become":
			return &prog.Become{Args: p.Args[1:], Env: p.Env.With("BECAME", "yes")}
		case what == "decline" && p.Warm:
			return warm.Declined
		}
		c, err := ucspi.NewConn(p, patient)
		if err != nil {
			return err
		}
		defer c.Close()
		switch what {
		case "panic":
			panic("fault")
		case "die":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "echo":
			io.Copy(c, c)
		default:
			fmt.Fprintf(c, "%t %d %s %q %s\n", p.Warm, p.PID, p.Dir, p.Args, p.Env.Get("TCPREMOTEIP")+p.Env.Get("FOO")+p.Env.Get("BECAME"))
		}
		return prog.Exit(3)
	}, warm.Bounds{Jobs: 2000, Life: 100000, Memory: 64 << 20})
}

// patient bounds what should take no time; a test that runs into it has failed.
const patient = 20 * time.Second

// command is tcpserver with args, and no environment but PATH and more.
func command(args []string, more ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &exec.Cmd{
		Path: self,
		Args: append([]string{"tcpserver"}, args...),
		Env:  append([]string{"PATH=/usr/bin:/bin"}, more...),
	}
}

// byShell is tcpserver with args, which script starts as "$@".
func byShell(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(nil)
	link := filepath.Join(t.TempDir(), "tcpserver")
	if err := os.Symlink(cmd.Path, link); err != nil {
		t.Fatal(err)
	}
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", script, "sh", link}, args...)
	return cmd
}

// instance is a running tcpserver.
type instance struct {
	t    *testing.T
	cmd  *exec.Cmd
	port string
	log  *bufio.Reader
}

// start starts tcpserver with -1 and args.
func start(t *testing.T, args []string, env ...string) *instance {
	t.Helper()
	return startCommand(t, command(append([]string{"-1"}, args...), env...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *instance {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	logR, logW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = logW
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	logW.Close()
	s := &instance{t: t, cmd: cmd, log: bufio.NewReader(logR)}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		logR.Close()
	})
	logR.SetReadDeadline(time.Now().Add(patient))
	// All of it: the end shows that descriptor 1 is let go of.
	port, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	s.port = strings.TrimSuffix(string(port), "\n")
	if s.port+"\n" != string(port) {
		rest, _ := io.ReadAll(s.log)
		t.Fatalf("no port, but %q, and %q", port, rest)
	}
	return s
}

// dial connects from the address from.
func (s *instance) dial(from string) *net.TCPConn {
	s.t.Helper()
	to := "127.0.0.1"
	if strings.Contains(from, ":") {
		to = "::1"
	}
	d := net.Dialer{Timeout: patient, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", net.JoinHostPort(to, s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patient))
	s.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// get connects from the address from and returns all that the program writes.
func (s *instance) get(from string) string {
	s.t.Helper()
	c := s.dial(from)
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// expect reads one line of the log for each pattern, which must match all of it,
// and returns what the groups of the patterns matched. LPORT in a pattern is the
// port that is listened on.
func (s *instance) expect(patterns ...string) (groups []string) {
	s.t.Helper()
	for _, pattern := range patterns {
		line, err := s.log.ReadString('\n')
		pattern = strings.ReplaceAll(pattern, "LPORT", s.port)
		m := regexp.MustCompile(`^` + pattern + `\n$`).FindStringSubmatch(line)
		if err != nil || m == nil {
			s.t.Fatalf("log: got %q, error %v; want %s", line, err, pattern)
		}
		groups = append(groups, m[1:]...)
	}
	return groups
}

// stop ends tcpserver and returns how it ended and what else it had written.
func (s *instance) stop() (status int, rest string) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	b, _ := io.ReadAll(s.log)
	s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), string(b)
}

// TestLines is the life of two connections, in the log and for the program.
func TestLines(t *testing.T) {
	s := start(t, []string{"-vHR", "-lme", "127.0.0.1", "0", "sh", "-c", "echo $$; exit 3"})
	s.expect(`tcpserver: status: 0/40`)
	for range 2 {
		pid := strings.TrimSuffix(s.get("127.0.0.1"), "\n")
		s.expect(`tcpserver: status: 1/40`,
			`tcpserver: pid `+pid+` from 127\.0\.0\.1`,
			`tcpserver: ok `+pid+` me:127\.0\.0\.1:LPORT :127\.0\.0\.1::[0-9]+`,
			`tcpserver: end `+pid+` status 768`,
			`tcpserver: status: 0/40`)
	}
	status, rest := s.stop()
	if want := "tcpserver: jobs: 0 warm, 0 declined, 0 cold, 2 foreign, 0 lost; "; status != 0 || !strings.HasPrefix(rest, want) {
		t.Errorf("after SIGTERM: exit status %d, wrote %q, want %q", status, rest, want)
	}
}

func TestLinesIPv6(t *testing.T) {
	for _, host := range []string{"::", "::1", "0::0001"} {
		s := start(t, []string{"-vHR", "-l0", host, "0", "env"})
		got := s.get("::1")
		for _, want := range []string{"\nPROTO=TCP6\n", "\nTCPLOCALIP=::1\n", "\nTCPREMOTEIP=::1\n", "\nTCPLOCALPORT=" + s.port + "\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("listening on %s: no %q in %q", host, want, got)
			}
		}
		s.expect(`tcpserver: status: 0/40`, `tcpserver: status: 1/40`, `tcpserver: pid [0-9]+ from ::1`,
			`tcpserver: ok [0-9]+ 0:\[::1\]:LPORT :\[::1\]::[0-9]+`)
	}
}

// TestFamilies: 0 is IPv4 alone and :: is IPv6 alone, so that both can be had at
// one port and rules for IPv4 addresses cannot be gone round.
func TestFamilies(t *testing.T) {
	s4 := start(t, []string{"-HR", "-l0", "0", "0", "sh", "-c", "echo $PROTO"})
	cmd := command([]string{"-1HR", "-l0", "::", s4.port, "sh", "-c", "echo $PROTO"})
	s6 := startCommand(t, cmd)
	if got := s4.get("127.0.0.1"); got != "TCP\n" {
		t.Errorf("on IPv4: PROTO is %q", got)
	}
	if got := s6.get("::1"); got != "TCP6\n" {
		t.Errorf("on IPv6: PROTO is %q", got)
	}
	mapped := start(t, []string{"-HR", "-l0", "::ffff:127.0.0.1", "0", "sh", "-c", "echo $PROTO $TCPLOCALIP"})
	if got := mapped.get("127.0.0.1"); got != "TCP 127.0.0.1\n" {
		t.Errorf("on an IPv4 address in IPv6 form: %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	s := start(t, []string{"-HR", "-l", "", "127.0.0.1", "0", "env"},
		"RELAYCLIENT=", "TCPREMOTEHOST=old", "TCPREMOTEINFO=old", "PROTO=old", "TCPLOCALHOST=old")
	got := regexp.MustCompile(`(?m)^TCPREMOTEPORT=[0-9]+$`).ReplaceAllString(s.get("127.0.0.1"), "TCPREMOTEPORT=N")
	want := "PATH=/usr/bin:/bin\nRELAYCLIENT=\nPROTO=TCP\nTCPLOCALIP=127.0.0.1\nTCPLOCALPORT=" + s.port +
		"\nTCPLOCALHOST=\nTCPREMOTEIP=127.0.0.1\nTCPREMOTEPORT=N\n"
	if got != want {
		t.Errorf("environment is\n%s, want\n%s", got, want)
	}
}

// TestRules uses a database made by the original tcprules from testdata/rules.
func TestRules(t *testing.T) {
	s := start(t, []string{"-HR", "-l0", "-x", "testdata/rules.cdb", "127.0.0.1", "0",
		"sh", "-c", `echo "${NET-no} ${FOO-no} ${EMPTY-no} ${TCPREMOTEINFO-no} $PATH"`})
	for _, c := range []struct{ from, want string }{
		{"127.0.0.1", "127.0. no no no /usr/bin:/bin\n"},
		{"127.0.0.2", ""}, // denied
		{"127.0.0.3", "no bar  by rule /usr/bin:/bin\n"},
		{"127.0.0.4", "no no no no /nowhere\n"}, // found by the PATH from before
		{"127.0.0.11", ""},
		{"127.1.2.3", ""},
	} {
		if got := s.get(c.from); got != c.want {
			t.Errorf("from %s: %q, want %q", c.from, got, c.want)
		}
	}
}

func TestDenyLines(t *testing.T) {
	s := start(t, []string{"-vHR", "-l0", "-B", "220 hi\r\n", "-x", "testdata/rules.cdb", "127.0.0.1", "0", "env"})
	s.expect(`tcpserver: status: 0/40`)
	seen := map[string]bool{}
	for range 3 {
		if got := s.get("127.0.0.2"); got != "220 hi\r\n" {
			t.Errorf("a denied client reads %q, want the banner alone", got)
		}
		number := s.expect(`tcpserver: status: 1/40`, `tcpserver: pid ([0-9]+) from 127\.0\.0\.2`)[0]
		s.expect(`tcpserver: deny `+number+` 0:127\.0\.0\.1:LPORT :127\.0\.0\.2::[0-9]+`,
			`tcpserver: end `+number+` status 25600`, `tcpserver: status: 0/40`)
		if n, err := strconv.Atoi(number); seen[number] || err != nil || !warm.IsJob(n) {
			t.Errorf("number %s is not new, or may be a process id", number)
		}
		seen[number] = true
	}
}

// TestRulesFile: the file is opened for each connection, and without a good one
// nobody comes in.
func TestRulesFile(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile("testdata/rules.cdb")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		option   string
		contents []byte // nil: no file
		want     string
		cause    string // if it is dropped
	}{
		{"-Q", nil, "", "file does not exist"},
		{"-X", nil, "ran\n", ""},
		{"-Q", good, "ran\n", ""},
		{"-Q", good[:2000], "", "protocol error"},
		{"-X", good[:2000], "", "protocol error"},
		{"-X", []byte{}, "", "protocol error"},
	} {
		name := filepath.Join(dir, "rules.cdb")
		s := start(t, []string{"-vHR", c.option, "-v", "-l0", "-x", name, "127.0.0.1", "0", "echo", "ran"})
		if c.contents != nil {
			if err := os.WriteFile(name+".tmp", c.contents, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(name+".tmp", name); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.get("127.0.0.1"); got != c.want {
			t.Errorf("%s, %d bytes: %q, want %q", c.option, len(c.contents), got, c.want)
		}
		s.expect(`tcpserver: status: 0/40`, `tcpserver: status: 1/40`)
		number := s.expect(`tcpserver: pid ([0-9]+) from 127.0.0.1`)[0]
		if c.cause == "" {
			continue
		}
		s.expect(`tcpserver: warning: dropping connection, unable to read `+name+`: `+c.cause,
			`tcpserver: end `+number+` status 28416`, `tcpserver: status: 0/40`)
	}
}

func TestProgramNotRun(t *testing.T) {
	for program, cause := range map[string]string{
		"/nosuch/program": "file does not exist",
		"nosuchprogram":   "file does not exist",
		"/etc/passwd":     "access denied",
		"/etc/passwd/x":   "not a directory",
		"":                "access denied",
	} {
		s := start(t, []string{"-vHR", "-l0", "127.0.0.1", "0", program})
		if got := s.get("127.0.0.1"); got != "" {
			t.Errorf("%q: client reads %q", program, got)
		}
		s.expect(`tcpserver: status: 0/40`, `tcpserver: status: 1/40`, `tcpserver: pid [0-9]+ from 127.0.0.1`,
			`tcpserver: ok [0-9]+ 0:127\.0\.0\.1:LPORT :127\.0\.0\.1::[0-9]+`,
			`tcpserver: warning: dropping connection, unable to run `+program+`: `+cause,
			`tcpserver: end [0-9]+ status 28416`, `tcpserver: status: 0/40`)
	}
}

// TestRawStatus: "end" lines show what wait gives.
func TestRawStatus(t *testing.T) {
	for script, want := range map[string]string{"exit 0": "0", "exit 100": "25600", "kill -9 $$": "9", "kill -15 $$": "15"} {
		s := start(t, []string{"-vHR", "-l0", "127.0.0.1", "0", "sh", "-c", script})
		s.get("127.0.0.1")
		s.expect(`.*`, `.*`, `.*`, `.*`, `tcpserver: end [0-9]+ status `+want)
	}
}

// TestVerbosity: what a connection that is dropped leaves in the log.
func TestVerbosity(t *testing.T) {
	for option, want := range map[string]string{
		"-q": "",
		"-Q": "tcpserver: warning: dropping connection, unable to run /nosuch: file does not exist\n",
	} {
		s := start(t, []string{option, "-HR", "-l0", "127.0.0.1", "0", "/nosuch"})
		s.get("127.0.0.1")
		if _, rest := s.stop(); rest != want {
			t.Errorf("%s: log is %q, want %q", option, rest, want)
		}
	}
}

// TestLimit: a connection above the limit is accepted when another has ended, and
// not before.
func TestLimit(t *testing.T) {
	s := start(t, []string{"-vHR", "-l0", "-c2", "-B", "hi\n", "127.0.0.1", "0", "cat"})
	s.expect(`tcpserver: status: 0/2`)
	one := s.dial("127.0.0.1")
	s.expect(`tcpserver: status: 1/2`, `.* pid .*`, `.* ok .*`)
	s.dial("127.0.0.1")
	s.expect(`tcpserver: status: 2/2`, `.* pid .*`, `.* ok .*`)
	three := s.dial("127.0.0.1")
	one.CloseWrite()
	s.expect(`tcpserver: end [0-9]+ status 0`, `tcpserver: status: 1/2`,
		`tcpserver: status: 2/2`, `.* pid .*`, `.* ok .*`)
	three.CloseWrite()
	if got, err := io.ReadAll(three); string(got) != "hi\n" || err != nil {
		t.Errorf("third connection: %q, error %v", got, err)
	}
}

// TestTerm: programs live on when tcpserver ends.
func TestTerm(t *testing.T) {
	// Without descriptor 2, or the log would not end with tcpserver.
	s := start(t, []string{"-HR", "-l0", "127.0.0.1", "0", "sh", "-c", "exec cat 2>&-"})
	c := s.dial("127.0.0.1")
	echo := func() {
		t.Helper()
		buf := make([]byte, 5)
		io.WriteString(c, "hello")
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
			t.Errorf("got %q, error %v", buf, err)
		}
	}
	echo()
	if status, rest := s.stop(); status != 0 || rest != "" {
		t.Errorf("exit status %d, wrote %q", status, rest)
	}
	echo()
	if _, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
		t.Error("the port is still open")
	}
}

// TestMany: nothing is lost or mixed when connections come faster than they go.
func TestMany(t *testing.T) {
	s := start(t, []string{"-HR", "-l0", "-c8", "-b80", "127.0.0.1", "0", "cat"})
	var clients sync.WaitGroup
	for range 60 {
		c := s.dial("127.0.0.1")
		clients.Go(func() {
			want := c.LocalAddr().String()
			io.WriteString(c, want)
			c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != want || err != nil {
				t.Errorf("sent %q, got %q, error %v", want, got, err)
			}
		})
	}
	clients.Wait()
}

// TestFewDescriptors: connections for which there are no descriptors wait, which is
// said at the start. Where tcpserver may raise the limit there is no need to.
func TestFewDescriptors(t *testing.T) {
	raise := exec.Command("/bin/sh", "-c", "ulimit -n 42; ulimit -n 1000")
	mayRaise := raise.Run() == nil
	s := startCommand(t, byShell(t, `ulimit -n 42; exec "$@"`, "-1vHR", "-l0", "-b80", "-c100", "127.0.0.1", "0",
		"sh", "-c", "ulimit -n; exec cat"))
	limit := "100"
	if !mayRaise {
		limit = "5"
		s.expect(`tcpserver: warning: no more than 5 connections at once, not 100: too few descriptors \(see ulimit -Hn\)`)
	}
	s.expect(`tcpserver: status: 0/` + limit)
	var clients sync.WaitGroup
	for range 40 {
		c := s.dial("127.0.0.1")
		clients.Go(func() {
			io.WriteString(c, "still here")
			c.CloseWrite()
			// The program has the limit that tcpserver was given.
			if got, err := io.ReadAll(c); string(got) != "42\nstill here" || err != nil {
				t.Errorf("%q, error %v", got, err)
			}
		})
	}
	clients.Wait()
}

// run runs a command that ends by itself.
func run(t *testing.T, cmd *exec.Cmd) (status int, stderr string) {
	t.Helper()
	var b strings.Builder
	cmd.Stderr = &b
	watchdog := time.AfterFunc(patient, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

func TestFatal(t *testing.T) {
	busy := start(t, []string{"-HR", "-l0", "127.0.0.1", "0", "cat"})
	usageLine := "tcpserver: usage: " + usage + "\n"
	for _, c := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"nothing", nil, 100, usageLine},
		{"no program", []string{"0", "0"}, 100, usageLine},
		{"quiet usage", []string{"-q"}, 100, ""},
		{"illegal option, which -q cannot hide", []string{"-qZ", "0", "0", "cat"}, 100, "tcpserver: illegal option -- Z\n" + usageLine},
		{"no argument", []string{"-vc"}, 100, "tcpserver: option requires an argument -- c\n" + usageLine},
		{"limit 0", []string{"-c0", "0", "0", "cat"}, 100, usageLine},
		{"user by name", []string{"-u", "root", "0", "0", "cat"}, 100, usageLine},
		{"-U without variables", []string{"-U", "0", "0", "cat"}, 100, usageLine},
		{"port in use", []string{"127.0.0.1", busy.port, "cat"}, 111, "tcpserver: fatal: unable to bind: address already used\n"},
		{"quiet", []string{"-q", "127.0.0.1", busy.port, "cat"}, 111, ""},
		{"not our address", []string{"240.0.0.1", "0", "cat"}, 111, "tcpserver: fatal: unable to bind: address not available\n"},
		{"no such service", []string{"0", "no-such-service", "cat"}, 111, "tcpserver: fatal: unable to figure out port number for no-such-service\n"},
		{"-- swallowed, - kept", []string{"--x", "127.0.0.1", "-", "cat"}, 111, "tcpserver: fatal: unable to figure out port number for -\n"},
	} {
		if status, stderr := run(t, command(c.args)); status != c.status || stderr != c.stderr {
			t.Errorf("%s: exit status %d, %q; want %d, %q", c.name, status, stderr, c.status, c.stderr)
		}
	}
}

// TestDrop: root is given up where there is root, and cannot be had where not.
func TestDrop(t *testing.T) {
	args := []string{"-1HR", "-l0", "-u54321", "-g54322", "127.0.0.1", "0", "sh", "-c", "id -u; id -g; id -G"}
	if os.Geteuid() != 0 {
		status, stderr := run(t, command(args))
		if want := "tcpserver: fatal: unable to set gid: permission denied\n"; status != 111 || stderr != want {
			t.Errorf("exit status %d, %q; want 111, %q", status, stderr, want)
		}
		return
	}
	for _, c := range []struct {
		options []string
		want    string
	}{
		{[]string{"-u54321", "-g54322"}, "54321\n54322\n54322\n"},
		{[]string{"-U"}, "54323\n54324\n54324\n"},
		{[]string{"-g54322"}, "0\n54322\n54322\n"},
	} {
		cmd := command(append(append([]string{"-1HR", "-l0"}, c.options...), args[4:]...), "UID=54323", "GID=54324")
		if got := startCommand(t, cmd).get("127.0.0.1"); got != c.want {
			t.Errorf("%q: ids %q, want %q", c.options, got, c.want)
		}
	}
}

// TestNoStandardDescriptors: a socket never takes the number of a descriptor that
// the caller left closed.
func TestNoStandardDescriptors(t *testing.T) {
	busy := start(t, []string{"-HR", "-l0", "127.0.0.1", "0", "cat"})
	busy.stop() // a port that is free now, and known without descriptor 1
	sh := byShell(t, `exec "$@" <&- >&-`, "-vHR", "-l0", "127.0.0.1", busy.port, "cat")
	logR, logW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer logR.Close()
	sh.Stderr = logW
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	logW.Close()
	defer sh.Wait()
	defer sh.Process.Signal(syscall.SIGTERM)
	s := &instance{t: t, cmd: sh, port: busy.port, log: bufio.NewReader(logR)}
	logR.SetReadDeadline(time.Now().Add(patient))
	s.expect(`tcpserver: status: 0/40`)
	c := s.dial("127.0.0.1")
	io.WriteString(c, "hello")
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("%q, error %v", got, err)
	}
}
