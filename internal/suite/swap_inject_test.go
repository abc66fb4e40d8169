package suite

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// All who queue messages, with a script in the place of qmail-queue: what it is given,
// and what they make of how it ends.
func TestSwapInjectors(t *testing.T) {
	if !asRoot(t, "messages are queued by a user") {
		return
	}
	s := install(t)
	for _, scene := range scenes(t, "swap/injectors.tape") {
		s.mkdir("rec", 0o777, 0, 0)
		s.injector(scene)
		os.RemoveAll(s.path("rec"))
	}
}

// injector plays a scene with a program that queues a message.
func (s *suite) injector(scene scene) {
	s.t.Helper()
	var (
		st     stage
		args   []string
		said   string
		status int
		check  = func(what, got, want string) {
			s.t.Helper()
			if got != want {
				s.t.Errorf("%s: %s is %q, want %q", scene.name, what, got, want)
			}
		}
		entered = func(file string) string { return undated(recorded(s.contents(s.path("rec/" + file)))) }
	)
	defer st.clear()
	for _, p := range scene.steps {
		switch p.verb {
		case "run":
			args = p.strings
		case "input":
			said, status = s.asJoe(&st, args, p.text)
		case "output":
			check("the output", said, undated(p.text))
		case "status":
			check("the status", fmt.Sprint(status), p.words[0])
		case "about":
			check("what the script is told", entered("about"), p.text)
		case "text":
			check("the message", entered("message"), p.text)
		case "envelope":
			check("the envelope", entered("envelope"), p.text)
		default:
			if !s.prepare(&st, p) {
				s.t.Fatalf("%s: %s is no step", scene.name, p.verb)
			}
		}
	}
}

// asJoe runs a program of the home as joe, where he lives.
func (s *suite) asJoe(st *stage, args []string, input string) (said string, status int) {
	s.t.Helper()
	for i, arg := range args {
		args[i] = here(arg)
	}
	cmd := exec.Command(s.path("bin/"+args[0]), args[1:]...)
	cmd.Dir = s.path("u/joe")
	cmd.Stdin = holding(s.t.(*testing.T), input)
	cmd.Env = append([]string{"PATH=" + s.path("bin") + ":/usr/sbin:/usr/bin:/sbin:/bin", "QMAILQUEUE=" + s.path("bin/record")}, st.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(joeUID), Gid: uint32(joeGID)}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return undated(recorded(string(out))), cmd.ProcessState.ExitCode()
}

// moments are what is different each time, with what the recording has instead.
var moments = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d`), "DATE"},
	{regexp.MustCompile(`\b\d{14}\.\d+\.`), "TIME.PID."},
	{regexp.MustCompile(`\b\d{9,}\b( qp|-)`), "TIME$1"},
	{regexp.MustCompile(`qp \d+`), "qp QP"},
	{regexp.MustCompile(`\d+:Kok`), "LENGTH:Kok"}, // of a netstring with these numbers
}

func undated(text string) string {
	for _, m := range moments {
		text = m.re.ReplaceAllString(text, m.with)
	}
	return text
}
