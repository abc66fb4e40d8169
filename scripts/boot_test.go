package scripts_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for the programs that boot scripts start.
// Each writes down what it was given, and runs until it is told to end.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); name {
	case "qmail-start":
		err := syscall.Exec("/proc/self/exe", append([]string{"qmail-send"}, os.Args[1:]...), os.Environ())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(111)
	case "qmail-send", "tcpserver", "splogger", "qmail-auth":
		home := filepath.Dir(strings.Split(os.Getenv("PATH"), ":")[0])
		given := fmt.Sprintf("%q %q", os.Args, os.Environ())
		if err := os.WriteFile(filepath.Join(home, name+".given"), []byte(given), 0o644); err != nil {
			os.Exit(111)
		}
		if _, err := os.Stat(filepath.Join(home, name+".fails")); err == nil {
			os.Exit(111)
		}
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		if name == "splogger" { // ends with its input
			os.Stdin.Read(make([]byte, 1))
			os.Exit(0)
		}
		for <-term; ; <-term {
			if _, err := os.Stat(filepath.Join(home, name+".busy")); err != nil {
				os.Exit(0)
			}
		}
	}
	os.Exit(m.Run())
}

// host is a host with boot scripts.
type host struct {
	t            *testing.T
	etc, home    string
	script, pids string
}

func newHost(t *testing.T) *host {
	t.Helper()
	root := t.TempDir()
	h := &host{t: t, etc: root + "/etc", home: root + "/home", pids: root + "/run"}
	for _, dir := range []string{"etc/init.d", "etc/rc0.d", "etc/rc2.d", "etc/rc5.d", "home/bin", "home/control"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"qmail-start", "tcpserver", "splogger", "qmail-auth"} {
		if err := os.Symlink(self, filepath.Join(h.home, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, h.etc+"/passwd", "root:x:0:0::/:\nqmaild:x:4711:99::/:\nqmaildx:x:1:1::/:\n")
	write(t, h.etc+"/group", "nofiles:x:4712:\n")

	source, err := os.ReadFile("init.d/qmail")
	if err != nil {
		t.Fatal(err)
	}
	h.script = root + "/qmail"
	here := strings.NewReplacer("/var/qmail", h.home, "/var/run/qmail", h.pids, "/etc/", h.etc+"/",
		"port=25\n", "port=2025\n", "patience=60", "patience=2", "sleep 1", "sleep 0.1", "pause=300", "pause=0.1")
	write(t, h.script, here.Replace(string(source)))
	for _, name := range []string{"rc", "rc.smtpd", "rc.auth", "rc.relay-ctrl"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, h.home+"/"+name, here.Replace(string(source)))
	}
	t.Cleanup(func() {
		for _, name := range []string{"send", "smtpd", "submission", "submissions", "relay", "keys", "auth"} {
			if pid := h.pid(name); h.owns(pid) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return h
}

// run calls the script and compares its status and output with a pattern.
func (h *host) run(action string, status int, says string) {
	h.t.Helper()
	output, err := dash(h.t, h.script, action)
	got := 0
	if err != nil {
		got, _ = strconv.Atoi(strings.TrimPrefix(err.Error(), "exit status "))
	}
	if got != status || !regexp.MustCompile(`(?s)^(`+says+`)\n$`).MatchString(output) {
		h.t.Errorf("%s: status %d, said %q, want %d, %q", action, got, output, status, says)
	}
}

// pid returns the number in a pid file, or 0.
func (h *host) pid(name string) int {
	contents, _ := os.ReadFile(filepath.Join(h.pids, name+".pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(contents)))
	return pid
}

// owns reports whether a process is of this host. Numbers come again, and that in a file
// may be another's by now.
func (h *host) owns(pid int) bool {
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err == nil && strings.Contains(string(b), h.home) {
			return pid != os.Getpid()
		}
	}
	return false
}

// given returns what a program was started with.
func (h *host) given(name string) string {
	contents, err := os.ReadFile(filepath.Join(h.home, name+".given"))
	if err != nil {
		h.t.Error(err)
	}
	return string(contents)
}

func (h *host) gone(pid int) bool {
	for range 100 {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

const (
	bothStarted = `qmail-send started \(pid \d+\)\nSMTP service started \(pid \d+\)`
	bothRun     = `qmail-send runs \(pid \d+\)\nSMTP service runs \(pid \d+\)`
	bothStopped = "SMTP service stopped\nqmail-send stopped"
	noneRuns    = "qmail-send does not run\nSMTP service does not run"
)

func TestBoot(t *testing.T) {
	h := newHost(t)
	h.run("status", 3, noneRuns)
	h.run("start", 0, bothStarted)
	h.run("status", 0, bothRun)

	path := h.home + "/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
	if got, want := h.given("qmail-send"), fmt.Sprintf("%q %q", []string{"qmail-send", "./Maildir/", "splogger", "qmail"},
		[]string{"PATH=" + h.home + "/bin:" + path}); got != want {
		t.Errorf("qmail-start was given %s, want %s", got, want)
	}
	if got, want := h.given("tcpserver"), fmt.Sprintf("%q %q", []string{"tcpserver", "-v", "-R", "-u", "4711", "-g", "4712",
		"0", "2025", h.home + "/bin/qmail-smtpd"}, []string{"PATH=" + path}); got != want {
		t.Errorf("tcpserver was given %s, want %s", got, want)
	}
	if got, want := h.given("splogger"), fmt.Sprintf("%q %q", []string{"splogger", "smtpd"}, []string{"PATH=" + path}); got != want {
		t.Errorf("splogger was given %s, want %s", got, want)
	}

	send, smtpd := h.pid("send"), h.pid("smtpd")
	h.run("start", 0, fmt.Sprintf(`qmail-send runs already \(pid %d\)\nSMTP service runs already \(pid %d\)`, send, smtpd))

	write(t, h.etc+"/tcp.smtp.cdb", "")
	write(t, h.home+"/control/defaultdelivery", "|dot-forward .forward\n./Mailbox\n")
	write(t, h.home+"/control/concurrencyincoming", "100\n")
	h.run("restart", 0, bothStopped+"\n"+bothStarted)
	if !h.gone(send) || !h.gone(smtpd) {
		t.Error("a process of before the restart still runs")
	}
	if given := h.given("tcpserver"); !strings.Contains(given, fmt.Sprintf(`"-x" %q "-c" "100" "0"`, h.etc+"/tcp.smtp.cdb")) {
		t.Errorf("tcpserver was not given the rules and control/concurrencyincoming: %s", given)
	}
	if given := h.given("qmail-send"); !strings.Contains(given, `"|dot-forward .forward\n./Mailbox"`) {
		t.Errorf("qmail-start was not given control/defaultdelivery: %s", given)
	}

	send, smtpd = h.pid("send"), h.pid("smtpd")
	h.run("stop", 0, bothStopped)
	if !h.gone(send) || !h.gone(smtpd) {
		t.Error("a process still runs after stop")
	}
	h.run("stop", 0, "SMTP service does not run\nqmail-send does not run")
	h.run("status", 3, noneRuns)
	h.run("", 2, "usage: .*")
	h.run("reload", 2, "usage: .*")
}

// The services for submission run where there is control/concurrencysubmission, and are
// those of rc.smtpd with another port, other rules and what makes them that.
func TestBootSubmission(t *testing.T) {
	h := newHost(t)
	write(t, h.home+"/control/concurrencysubmission", "")
	write(t, h.etc+"/tcp.smtp.cdb", "")
	const started = `SMTP service for submission started \(pid \d+\)\nSMTP service for submissions started \(pid \d+\)`
	const stopped = "SMTP service for submission stopped\nSMTP service for submissions stopped\n"
	h.run("start", 0, bothStarted+`\n`+started)
	path := h.home + "/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
	if got, want := h.given("tcpserver"), fmt.Sprintf("%q %q", []string{"tcpserver", "-v", "-R", "-u", "4711", "-g", "4712",
		"0", "465", h.home + "/bin/qmail-smtpd"}, []string{"PATH=" + path, "SUBMISSION=", "SMTPS="}); got != want {
		t.Errorf("tcpserver was given %s, want %s", got, want)
	}
	h.run("status", 0, bothRun+`\nSMTP service for submission runs \(pid \d+\)\nSMTP service for submissions runs \(pid \d+\)`)
	h.run("start", 0, ".*runs already.*")
	write(t, h.etc+"/tcp.submission.cdb", "")
	write(t, h.home+"/control/concurrencysubmission", "7\n")
	h.run("restart", 0, stopped+bothStopped+"\n"+bothStarted+`\n`+started)
	if given := h.given("tcpserver"); !strings.Contains(given, fmt.Sprintf(`"-x" %q "-c" "7" "0"`, h.etc+"/tcp.submission.cdb")) {
		t.Errorf("tcpserver was given %s", given)
	}
	pids := []int{h.pid("submission"), h.pid("submissions")}
	h.run("stop", 0, stopped+bothStopped)
	for _, pid := range pids {
		if !h.gone(pid) {
			t.Error("a process still runs after stop")
		}
	}
	h.run("status", 3, noneRuns+"\nSMTP service for submission does not run\nSMTP service for submissions does not run")
	write(t, h.home+"/tcpserver.fails", "")
	h.run("start", 1, `.*SMTP service for submission did not start: .*SMTP service for submissions did not start: .*`)
	h.run("stop", 0, ".*")
	if output, err := dash(t, h.home+"/rc.smtpd", "smtps"); err == nil || !strings.Contains(output, "usage: ") {
		t.Errorf("rc.smtpd smtps: %v, %q", err, output)
	}
}

// qmail-auth runs where there is something to check passwords with, and is given the words
// of control/authprogram.
func TestBootAuth(t *testing.T) {
	h := newHost(t)
	h.run("start", 0, bothStarted)
	if h.pid("auth") != 0 {
		t.Error("there is nothing to check passwords with, and qmail-auth runs")
	}
	path := "PATH=" + h.home + "/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
	given := func(want ...string) {
		t.Helper()
		if got, want := h.given("qmail-auth"), fmt.Sprintf("%q %q", append([]string{"qmail-auth"}, want...), []string{path}); got != want {
			t.Errorf("qmail-auth was given %s, want %s", got, want)
		}
	}
	const started, stopped = `checks of passwords started \(pid \d+\)\n`, "checks of passwords stopped\n"
	if err := os.Mkdir(h.home+"/users", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.home+"/users/mailauth", "")
	h.run("start", 0, started+".*runs already.*")
	given()
	write(t, h.home+"/control/authprogram", "checkpassword  *\n")
	h.run("restart", 0, stopped+started+bothStopped+"\n"+bothStarted)
	given("checkpassword", "*")
	pid := h.pid("auth")
	h.run("stop", 0, stopped+bothStopped)
	if !h.gone(pid) {
		t.Error("qmail-auth still runs after stop")
	}
	write(t, h.home+"/qmail-auth.fails", "")
	h.run("start", 1, "checks of passwords did not start: .*")
	h.run("stop", 0, ".*")
}

// Old notes of logins are removed again and again where there are settings for that, and
// nothing is said of it where there are none.
func TestBootRelay(t *testing.T) {
	h := newHost(t)
	for name, script := range map[string]string{
		"envdir":         `RELAY_CTRL_DIR=$(cat "$1/RELAY_CTRL_DIR"); export RELAY_CTRL_DIR; shift; exec "$@"`,
		"relay-ctrl-age": "echo aged $(env | grep -c =) $RELAY_CTRL_DIR >>" + h.home + "/aged",
	} {
		write(t, h.home+"/bin/"+name, "#!/bin/sh\n"+script+"\n")
	}
	if err := os.Mkdir(h.etc+"/relay-ctrl", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.etc+"/relay-ctrl/RELAY_CTRL_DIR", "/allow\n")
	h.run("start", 0, bothStarted)
	pid := h.pid("relay")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		aged, _ := os.ReadFile(h.home + "/aged")
		if first, more, _ := strings.Cut(string(aged), "\n"); more != "" {
			if first != "aged 3 /allow" { // PATH, PWD and the setting
				t.Errorf("relay-ctrl-age had %q", first)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("relay-ctrl-age has run so often: %q", aged)
		}
	}
	h.run("restart", 0, "removal of old notes stopped\n"+bothStopped+"\n"+bothStarted)
	if again := h.pid("relay"); again == pid || again == 0 || !h.gone(pid) {
		t.Errorf("after the restart it is process %d, before %d", again, pid)
	}
	pid = h.pid("relay")
	h.run("stop", 0, "removal of old notes stopped\n"+bothStopped)
	if !h.gone(pid) {
		t.Error("it still runs after stop")
	}
}

// qmail-keys runs where there are certificates.
func TestBootKeys(t *testing.T) {
	h := newHost(t)
	write(t, h.home+"/bin/qmail-keys", "#!/bin/sh\nwhile :; do sleep 0.1; done\n")
	write(t, h.home+"/control/servercert.pem", "")
	h.run("start", 0, bothStarted)
	pid := 0
	for end := time.Now().Add(30 * time.Second); pid == 0; time.Sleep(10 * time.Millisecond) {
		if pid = h.pid("keys"); time.Now().After(end) {
			t.Fatal("it does not run")
		}
	}
	h.run("stop", 0, bothStopped+"\nqmail-keys stopped")
	if !h.gone(pid) {
		t.Error("it still runs after stop")
	}
}

// A pid file that outlived its process names somebody else.
func TestBootStalePid(t *testing.T) {
	for _, contents := range []string{strconv.Itoa(os.Getpid()), "", "x", "1", "-1", "99999999", "$(exit)"} {
		h := newHost(t)
		if err := os.Mkdir(h.pids, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, h.pids+"/send.pid", contents+"\n")
		write(t, h.pids+"/smtpd.pid", contents+"\n")
		h.run("status", 3, noneRuns)
		h.run("stop", 0, "SMTP service does not run\nqmail-send does not run")
		if h.pid("send") != 0 {
			t.Error("the stale pid file is still there")
		}
	}
}

func TestBootFailures(t *testing.T) {
	h := newHost(t)
	write(t, h.home+"/tcpserver.fails", "")
	h.run("start", 1, `qmail-send started \(pid \d+\)\nSMTP service did not start: is its port taken\?.*`)
	h.run("status", 3, `qmail-send runs \(pid \d+\)\nSMTP service does not run`)
	if err := os.Remove(h.home + "/tcpserver.fails"); err != nil {
		t.Fatal(err)
	}
	h.run("start", 0, `qmail-send runs already \(pid \d+\)\nSMTP service started \(pid \d+\)`)

	// Deliveries in hand hold qmail-send. It must not be started a second time.
	write(t, h.home+"/qmail-send.busy", "")
	send := h.pid("send")
	h.run("restart", 1, `SMTP service stopped\nqmail-send still runs after 2 seconds .*\nSMTP service started .*`)
	if h.pid("send") != send {
		t.Error("another qmail-send was started")
	}
	if err := os.Remove(h.home + "/qmail-send.busy"); err != nil {
		t.Fatal(err)
	}
	h.run("stop", 0, bothStopped)

	write(t, h.home+"/qmail-send.fails", "")
	write(t, h.etc+"/group", "")
	h.run("start", 1, `qmail-send did not start: .*\nSMTP service did not start: .*`)
}

func TestBootLinks(t *testing.T) {
	h := newHost(t)
	dest := filepath.Dir(h.etc)
	if err := os.MkdirAll(dest+"/opt/qmail", 0o755); err != nil {
		t.Fatal(err)
	}
	mustDash(t, "boot", "/opt/qmail", dest)
	for link, want := range map[string]bool{"rc0.d/K01qmail": true, "rc2.d/S99qmail": true, "rc5.d/S99qmail": true,
		"rc1.d": false, "rc3.d": false, "rc2.d/K01qmail": false} {
		if _, err := os.Stat(filepath.Join(h.etc, link)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", link, err, want)
		}
	}
	for _, name := range []string{"/etc/init.d/qmail", "/opt/qmail/rc"} {
		contents, err := os.ReadFile(dest + name)
		if err != nil || !strings.Contains(string(contents), "/opt/qmail") || strings.Contains(string(contents), "/var/qmail") {
			t.Errorf("%s is not for /opt/qmail (%v):\n%s", name, err, contents)
		}
	}
	before := snapshot(t, dest)
	if output := mustDash(t, "boot", "/opt/qmail", dest); output != "" {
		t.Errorf("a second time it said %q", output)
	}
	compare(t, before, snapshot(t, dest))
}

// HOME/boot has qmail's other ways of delivery, each with and without ~/.forward.
func TestBootDeliveries(t *testing.T) {
	const sender, user = `"${SENDER:-MAILER-DAEMON}"`, `"$USER"`
	deliveries := map[string]string{
		"home": "./Mailbox", "proc": "|preline procmail",
		"binm1": "|preline -f /usr/libexec/mail.local -r " + sender + " -d " + user,
		"binm2": "|preline -f /bin/mail -r " + sender + " -d " + user,
		"binm3": "|preline -f /bin/mail -f " + sender + " -d " + user,
	}
	h := newHost(t)
	bin := h.home + "/bin"
	if err := os.Remove(bin + "/qmail-start"); err != nil {
		t.Fatal(err)
	}
	write(t, bin+"/qmail-start", "#!/bin/sh\nprintf '%s<' \"$#\" \"$@\" \"${PATH%%:*}\"\n")
	mustDash(t, "boot", h.home, filepath.Dir(h.etc)+"/elsewhere")
	scripts, _ := filepath.Glob(filepath.Dir(h.etc) + "/elsewhere" + h.home + "/boot/*")
	if len(scripts) != 2*len(deliveries) {
		t.Errorf("boot has %q", scripts)
	}
	for _, script := range scripts {
		name, forward := strings.CutSuffix(filepath.Base(script), "+df")
		want := deliveries[name]
		if forward {
			want = "|dot-forward .forward\n" + want
		}
		if got := mustDash(t, script); got != "3<"+want+"<splogger<qmail<"+bin+"<" {
			t.Errorf("%s runs qmail-start with %q", script, got)
		}
	}
}
