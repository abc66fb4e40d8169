package suite

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The limits of run scripts, which were made for programs in C. Mail goes through or
// waits; a limit never bounces any.

// limited runs a program of the home in the background, by a shell that has set
// limits.
func (s *suite) limited(limits, program string, args ...string) *process {
	s.t.Helper()
	s.script("limited", limits+"\nexec "+s.path("bin/"+program)+` "$@"`)
	s.begins(program)
	return s.spawn(s.log, nil, "limited", args...)
}

// script makes a shell script in the home and returns its path.
func (s *suite) script(name, commands string) string {
	s.t.Helper()
	s.excuse(foreign, "a script stands before a program")
	s.write(name, "#!/bin/sh\n"+commands+"\n")
	if err := os.Chmod(s.path(name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return s.path(name)
}

// noBounces makes sure that nothing has failed for good.
func (s *suite) noBounces() {
	s.t.Helper()
	for _, line := range []string{": failure: ", "\nbounce msg "} {
		if strings.Contains(s.logged(), line) {
			s.t.Errorf("the log has %q", line)
		}
	}
}

// Soft limits, as softlimit sets them, bind the users' programs and let our own
// live: by the hundred, since what goes wrong goes wrong now and then.
func TestLimitsSoft(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", "far.example:"+far.route()+"\n")
	s.joe(".qmail-program", "|ulimit -S -v; ulimit -S -d\n|except sh -c 'ulimit -S -v; exit 1'\n", 0o644)
	s.joe(".qmail-forward", "&joe@"+me+"\n&you@far.example\n|condredirect joe@"+me+" sh -c 'ulimit -S -v; exit 0'\n", 0o644)
	for _, c := range []struct {
		limits string
		v, d   string // what ulimit -S prints for address space and data
	}{
		// softlimit -m 3072000
		{limits: "ulimit -S -v 3000; ulimit -S -d 3000; ulimit -S -s 3000; ulimit -S -l 3000", v: "3000", d: "3000"},
		{limits: "ulimit -S -v 40000; ulimit -S -d 40000", v: "40000", d: "40000"},
		{limits: "ulimit -S -d 1024", v: "unlimited", d: "1024"},
	} {
		s.newLog()
		p := s.limited(c.limits, "qmail-start", "./Maildir/", "sh", "-c", "ulimit -S -v; exec cat")
		s.wait("status: local 0/")
		if got, _, _ := strings.Cut(s.logged(), "\n"); got != c.v {
			t.Errorf("%s: the logger has %q, want %q", c.limits, got, c.v)
		}
		port := freePort(t)
		as := s.asQmaild(s.path("bin/qmail-smtpd"))
		server := s.limited(c.limits, "tcpserver", slices.Insert(append([]string{"-vHRl0", "-c", "200"}, as...), 2+len(as), "127.0.0.1", fmt.Sprint(port))...)
		eventually(t, "tcpserver to listen", func() bool { return listens(port) })
		const n = 6
		for i := range n {
			want := smtpHello + smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye
			if got := talk(t, port, smtpMail+fmt.Sprintf("Subject: %d\r\n\r\n.\r\n", i)+smtpQuit); got != want {
				t.Errorf("%s: the replies are %q", c.limits, got)
			}
			for _, to := range []string{"joe-program", "joe-forward"} {
				out, status := s.sh("Subject: x\n\n", c.limits+"; exec "+s.path("bin/sendmail")+" -f '' "+to+"@"+me)
				if out != "" || status != 0 {
					t.Errorf("%s: sendmail says %q and exits with %d", c.limits, out, status)
				}
			}
		}
		s.settled(5 * n)
		outcomes := s.outcomes()
		if want := "success: " + c.v + "/" + c.d + "/" + c.v + "/did_0+0+2/"; strings.Join(outcomes["joe-program@"+me], " ") != strings.TrimSuffix(strings.Repeat(want+" ", n), " ") {
			t.Errorf("%s: to a program: %q, want %q each time", c.limits, outcomes["joe-program@"+me], want)
		}
		for to, want := range map[string]string{"joe@" + me: "success: did_1+0+0/", "you@far.example": "success: 127.0.0.1_accepted_message./",
			"joe-forward@" + me: "success: " + c.v + "/condredirect:_qp_"} {
			for _, got := range outcomes[to] {
				if !strings.HasPrefix(got, want) {
					t.Errorf("%s: to %s: %q, want %q", c.limits, to, got, want)
				}
			}
		}
		s.noBounces()
		server.stop()
		p.stop()
	}
}

// listens reports whether somebody takes connections at a port.
func listens(port int) bool {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// limitedSMTP is smtpd below limits.
func (s *suite) limitedSMTP(limits string) int {
	s.t.Helper()
	return s.tcpserver(s.asQmaild(s.script("limited-smtpd", "exec 2>/dev/null\n"+limits+"\nexec "+s.path("bin/qmail-smtpd"))))
}

// asQmaild returns the arguments of tcpserver for a program.
func (s *suite) asQmaild(program string) []string {
	if !root {
		return []string{program}
	}
	return []string{"-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"), program}
}

// The limits that guides give for qmail-smtpd are enough for it also where the kernel sees
// to them: the program that starts it is none of ours. With 32 MB of memory for random
// numbers that nobody wants it used to be killed.
func TestLimitsOfGuides(t *testing.T) {
	s := install(t)
	s.start()
	for _, limits := range []string{"ulimit -S -v 7000; ulimit -S -d 7000", "ulimit -S -v 20000; ulimit -S -d 20000; ulimit -S -s 20000; ulimit -S -l 20000"} {
		want := smtpHello + smtpOK + smtpOK + smtpGo + smtpQueued + smtpBye
		if got := talk(t, s.limitedSMTP(limits), smtpMail+"\r\n.\r\n"+smtpQuit); got != want {
			t.Errorf("%s: the replies are %q", limits, got)
		}
	}
	s.settled(2)
}

// tooLow are limits that none of our programs can live with, by what becomes of
// one: it says "later" by itself, or the kernel ends it while it is being loaded.
var tooLow = []struct {
	limits string
	killed bool
}{
	{"ulimit -d 1024", false},
	{"ulimit -v 100000", false},
	{"ulimit -S -v 1953", true}, // softlimit -m 2000000
	{"ulimit -v 1953", true},
}

// compiled lists the programs of the home that are no scripts.
func (s *suite) compiled() (programs []string) {
	s.t.Helper()
	files, err := os.ReadDir(s.path("bin"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(s.path("bin/" + f.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("#!")) {
			programs = append(programs, f.Name())
		}
	}
	return programs
}

// No program does anything below such a limit, and none ends in a way that somebody
// would take for a final word.
func TestLimitsTooLow(t *testing.T) {
	s := install(t)
	s.excuse(declined, "$QMAILQUEUE is for a process of its own")
	s.excuse(queuing, "all programs are run")
	for _, c := range tooLow {
		for _, program := range s.compiled() {
			cmd := exec.Command("/bin/sh", "-c", c.limits+"; exec "+s.path("bin/"+program))
			cmd.Dir = "/"
			out, _ := cmd.CombinedOutput()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if killed := status.Signaled(); killed != c.killed || !killed && status.ExitStatus() != 111 || len(out) != 0 {
				t.Errorf("%s: %s ends by %v and says %q", c.limits, program, cmd.ProcessState, out)
			}
		}
		s.chainTooLow(t, c.limits, c.killed)
	}
	s.keeps()
}

// chainTooLow has one program of each chain run below the limits.
func (s *suite) chainTooLow(t *testing.T, limits string, killed bool) {
	queue := s.script("limited-queue", limits+"\nexec "+s.path("bin/qmail-queue"))
	remote := s.script("limited-remote", limits+"\nexec "+s.path("bin/qmail-remote")+` "$@"`)
	reply, report := "qq temporary problem (#4.3.0)", "Unable to run qmail-remote.\n"
	if killed {
		reply = "qq crashed (#4.3.0)"
	}
	if got := talk(t, s.limitedSMTP(limits), smtpMail); got != "" {
		t.Errorf("%s: from qmail-smtpd comes %q", limits, got)
	}
	if got := talk(t, s.smtpd("QMAILQUEUE="+queue), smtpMail+".\r\n"); !strings.HasSuffix(got, "\r\n451 "+reply+"\r\n") {
		t.Errorf("%s: without qmail-queue qmail-smtpd says %q, want 451 %s in the end", limits, got, reply)
	}
	if out, status := s.sh("\n", s.path("bin/sendmail")+" joe@"+me, "QMAILQUEUE="+queue); out != "qmail-inject: fatal: "+reply+"\n" || status != 111 {
		t.Errorf("%s: without qmail-queue sendmail says %q and exits with %d", limits, out, status)
	}
	s.newLog()
	s.joe(".qmail-forward", "|"+limits+"; forward joe@"+me+"\n", 0o644)
	p := s.spawn(s.log, []string{"QMAILREMOTE=" + remote, "QMAILQUEUE=" + queue}, "bin/qmail-start", "./Maildir/")
	s.wait("status: local 0/")
	s.joe(".qmail-queue", "&joe@"+me+"\n", 0o644)
	for to, want := range map[string]string{
		"joe-forward@" + me: "",
		"joe-queue@" + me:   "Unable to forward message: " + reply + ".\n",
		"you@far.example":   report,
	} {
		s.inject("", to, "Subject: waits\n\n")
		got := s.outcome(to, 1)
		if crash := "deferral: qmail-remote_crashed./"; got != "deferral: "+safe(want) && !(want == report && got == crash) &&
			!(want == "" && killed && strings.HasPrefix(got, "deferral: ")) { // the shell may say that its child was killed
			t.Errorf("%s: to %s: %q, want a deferral with %q", limits, to, got, want)
		}
	}
	// A failure cannot be reported, and is not forgotten.
	s.inject("joe@"+me, "joe-nosuch@"+me, "Subject: answer\n\n")
	s.wait("warning: trouble injecting bounce message, will try later\n")
	p.stop()

	// And now without limits.
	far := serve(t, nil)
	s.control("smtproutes", "far.example:"+far.route()+"\n")
	s.joe(".qmail-forward", "&joe@"+me+"\n", 0o644)
	before := len(s.mail("u/joe/Maildir"))
	s.newLog()
	p = s.start()
	p.Process.Signal(syscall.SIGALRM)
	s.settled(4 + 3) // three of them lead to another one
	if got := len(s.mail("u/joe/Maildir")) - before; got != 3 || len(far.taken()) != 1 {
		t.Errorf("%s: afterwards %d messages arrive here and %d there, want 3 and 1", limits, got, len(far.taken()))
	}
	p.stop()
}

// A limit on the size of files is a full disk.
func TestLimitsFileSize(t *testing.T) {
	s := install(t)
	const limits = "ulimit -f 200" // blocks of 512 bytes
	large := "Subject: large\n\n" + strings.Repeat("0123456789abcde\n", 200<<10/16)
	const full = "qq write error or disk full (#4.3.0)"
	if got := talk(t, s.limitedSMTP(limits), smtpMail+strings.ReplaceAll(large, "\n", "\r\n")+".\r\n"); !strings.HasSuffix(got, "\r\n451 "+full+"\r\n") {
		t.Errorf("qmail-smtpd says %q", got)
	}
	if out, status := s.sh(large, limits+"; sendmail joe@"+me); out != "qmail-inject: fatal: "+full+"\n" || status != 111 {
		t.Errorf("sendmail says %q and exits with %d", out, status)
	}
	s.keeps()
	s.joe("box", "From x\n\nold\n\n", 0o600)
	s.joe(".qmail-box", "./box\n", 0o644)
	s.joe(".qmail-copy", "|cat >copy\n./Maildir/\n", 0o644)
	s.joe(".qmail-forward", "&joe@"+me+"\n", 0o644)
	p := s.limited(limits, "qmail-start", "./Maildir/")
	s.wait("status: local 0/")
	want := map[string]string{
		"joe":         "Temporary error on maildir delivery. (#4.3.0)\n",
		"joe-box":     "Unable to write ./box: file too big. (#4.3.0)\n",
		"joe-copy":    "", // whatever cat and the shell have to say
		"joe-forward": "Unable to forward message: " + full + ".\n",
	}
	for to, want := range want {
		s.enter("joe@"+me, []string{to + "@" + me}, large) // qmail-queued has the limit too
		if got := s.outcome(to+"@"+me, 1); !strings.HasPrefix(got, "deferral: "+safe(want)) {
			t.Errorf("to %s: %q, want a deferral with %q", to, got, want)
		}
	}
	s.noBounces()
	p.stop()
	if got := s.contents(s.path("u/joe/box")); got != "From x\n\nold\n\n" {
		t.Errorf("the mbox is %q, want it as it was", tail(got, 100))
	}
	s.newLog()
	p = s.start()
	p.Process.Signal(syscall.SIGALRM)
	s.settled(5)
	if got := len(s.mail("u/joe/Maildir")); got != 3 || !strings.HasSuffix(s.contents(s.path("u/joe/box")), "abcde\n\n") {
		t.Errorf("without a limit %d messages arrive, want 3 and one in the mbox", got)
	}
}

// With few descriptors a program does its work or says that it cannot, and what it
// says is true.
func TestLimitsDescriptors(t *testing.T) {
	s := install(t)
	s.excuse(troubled, "there are too few descriptors for it")
	failed, done := 0, 0
	// qmail-start once had no use for less than 71.
	p := s.limited("ulimit -n 40", "qmail-start", "./Maildir/")
	s.wait("status: local 0/")
	p.stop()
	for n := 3; n <= 24; n++ {
		limits := fmt.Sprintf("ulimit -n %d", n)
		before, state := s.queued(), nothing
		got := talk(t, s.limitedSMTP(limits), smtpMail+".\r\n"+smtpQuit)
		if strings.Contains(got, smtpQueued) {
			state = entered
			done++
		} else {
			failed++
		}
		s.comesTo(before, state)
		if strings.Contains(got, "\r\n55") {
			t.Errorf("%s: qmail-smtpd says %q", limits, got)
		}
		before, state = s.queued(), nothing
		out, status := s.sh("\n", limits+"; exec sendmail joe@"+me)
		if status == 0 {
			state = entered
			done++
		} else {
			failed++
		}
		s.comesTo(before, state)
		if status == 100 {
			t.Errorf("%s: sendmail says %q and exits with %d", limits, out, status)
		}
	}
	if failed == 0 || done == 0 {
		t.Errorf("%d times it worked and %d times not", done, failed)
	}
	// All deliveries at once, by a qmail-lspawn that can do a few only. (qmail-send
	// waits for two minutes where it cannot look at a message.)
	s.joe(".qmail", "|cat >/dev/null\n./Maildir/\n", 0o644)
	s.control("concurrencylocal", "100\n")
	for range 30 {
		s.inject("joe@"+me, "joe@"+me, "Subject: few\n\n")
		done++
	}
	s.mkdir("limited-bin", 0o755, 0, 0)
	s.script("limited-bin/qmail-lspawn", "ulimit -n 40\nexec "+s.path("bin/qmail-lspawn")+` "$@"`)
	s.newLog()
	p = s.spawn(s.log, []string{"PATH=" + s.path("limited-bin") + ":" + s.path("bin") + ":/usr/bin:/bin"}, "bin/qmail-start", "./Maildir/")
	s.wait("status: local 0/")
	p.again(s, done)
	s.noBounces()
	if got := len(s.mail("u/joe/Maildir")); got != done {
		t.Errorf("%d messages arrived, want %d", got, done)
	}
	s.keeps()
}

// again has qmail-send try again whatever is deferred, until n messages have ended.
func (p *process) again(s *suite, n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d messages to end", n), func() bool {
		p.Process.Signal(syscall.SIGALRM)
		return s.ended() >= n
	})
}

// With few processes it is the same. A runtime that cannot have its threads ends
// without a word of ours, and with a status that no one may take for a failure.
func TestLimitsProcesses(t *testing.T) {
	s := install(t)
	s.excuse(troubled, "there are too few processes for it")
	failed := 0
	for n := 1; n <= 20; n++ { // qmail-queue once died of it when it had queued the message
		before, state := s.queued(), nothing
		out, status := s.sh("\n", fmt.Sprintf("ulimit -p %d; exec %s joe@%s", n, s.path("bin/sendmail"), me))
		if status == 0 {
			state = entered
		} else {
			failed++
		}
		s.comesTo(before, state)
		if status == 100 {
			t.Errorf("with %d processes sendmail says %q and exits with %d", n, tail(out, 200), status)
		}
	}
	if failed == 0 {
		t.Error("sendmail works with a single process")
	}
	queued := len(s.numbers())
	if !asRoot(t, "an ordinary user's limit would bind qmail-lspawn and not the recipient") {
		return
	}
	// Below this limit it is only joe who has too few.
	s.mkdir("limited-bin", 0o755, 0, 0)
	s.script("limited-bin/qmail-lspawn", "ulimit -p 3\nexec "+s.path("bin/qmail-lspawn")+` "$@"`)
	s.joe(".qmail-default", "|true\n&joe-back@"+me+"\n", 0o644)
	s.joe(".qmail-back", "./Maildir/\n", 0o644)
	for i := range 10 {
		s.inject("joe-back@"+me, fmt.Sprintf("joe-%d@%s", i, me), "Subject: few\n\n")
		queued++
	}
	p := s.spawn(s.log, []string{"PATH=" + s.path("limited-bin") + ":" + s.path("bin") + ":/usr/bin:/bin"}, "bin/qmail-start", "./Maildir/")
	for i := range 10 {
		s.outcome(fmt.Sprintf("joe-%d@%s", i, me), 1)
	}
	s.noBounces()
	p.stop()
	arrived := len(s.mail("u/joe/Maildir"))
	rest := len(s.numbers())
	s.newLog()
	p = s.start()
	p.again(s, rest)
	s.keeps()
	s.noBounces()
	if got := len(s.mail("u/joe/Maildir")); got < queued {
		t.Errorf("%d messages have arrived, %d of them below the limit, want %d", got, arrived, queued)
	}
}

// comesTo waits until just that has come into the queue since before. Who has died
// may have left a qmail-queue that is cleaning up.
func (s *suite) comesTo(before []string, state string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the queue to get %q more", state), func() bool { return s.added(before) == state })
}

// numbers lists the messages of the queue.
func (s *suite) numbers() (out []string) {
	for _, file := range s.queued() {
		if strings.HasPrefix(file, "mess/") {
			out = append(out, file)
		}
	}
	return out
}
