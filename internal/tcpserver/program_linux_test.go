package tcpserver

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDescriptors: the program gets 0, 1 and 2 and what tcpserver itself was
// started with, which a chain of programs may rely on, and nothing of its own.
// Reads and writes block, as programs expect that know nothing of sockets.
func TestDescriptors(t *testing.T) {
	// 7 is the caller's, and so is whatever the test was started with.
	const list = `ls /proc/$$/fd`
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	caller := exec.Command("/bin/sh", "-c", "exec 7</dev/null; "+list)
	caller.Stderr = null
	want, err := caller.Output()
	if err != nil {
		t.Fatal(err)
	}
	s := startCommand(t, byShell(t, `exec "$@" 7</dev/null`, "-1HR", "-l0", "-x", "testdata/rules.cdb", "127.0.0.1", "0",
		"sh", "-c", list+`; cat /proc/self/fdinfo/0 /proc/self/fdinfo/1; grep Sig /proc/self/status`))
	got := s.get("127.0.0.1")
	if !strings.HasPrefix(got, string(want)+"pos:") {
		t.Errorf("descriptors: %q, want those of the caller, %q", got, want)
	}
	flags := regexp.MustCompile(`(?m)^flags:\t(.*)$`).FindAllStringSubmatch(got, -1)
	if len(flags) != 2 || flags[0][1] != "02" || flags[1][1] != "02" {
		t.Errorf("modes: %q, want read and write alone", flags)
	}
	// Signals are as we have them, who may have been started by nohup.
	// Not read from /proc/self here: a thread that is just starting a process blocks all.
	ours, err := exec.Command("/bin/sh", "-c", "grep Sig /proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"SigBlk", "SigIgn"} {
		line := regexp.MustCompile("(?m)^" + field + ":.*\n").FindString(string(ours))
		if line == "" || !strings.Contains(got, line) {
			t.Errorf("the signals are %q, want our own %q", got, line)
		}
	}
}
