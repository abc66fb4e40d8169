package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is warm runs as somebody who may have taken it over, and the queue's socket is
// open to all. Nobody gets more than his own uid by that, or keeps others from their
// mail.

// Plays of a qmail-local that is joe's and no longer ours. The last line of each takes
// what comes until the parent has had enough.
var hostilePlays = []struct{ name, play string }{
	{"answers for others", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `say "D4194311\x000\x00"`},
	{"answers twice", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `close` + "\n" + `repeat 2 "D$1\x000\x00"`},
	{"sends descriptors", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `close` + "\n" + `attach 200 "D$1\x000\x00"` + "\n" + `attach 200 "R\x00"`},
	{"becomes something", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `say "B$1\x00/\x003\x00/bin/sh\x00-c\x00id -u; id -g; cat /proc/self/status >/dev/null\x00PATH=/usr/bin:/bin\x00"`},
	{"becomes a warm program", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `say "B$1\x00/\x001\x00BIN/qmail-getpw.real\x00PATH=/usr/bin:/bin\x00"`},
	{"sends much at once", `say "G1\x00256\x00"` + "\n" + `hear "J([0-9]+)\x00.*"` + "\n" + `repeat 1 "LARGE"`},
	{"sends much", `repeat 100000 "G1\x00256\x00"`},
	{"tires again and again", `say "G1\x00256\x00"` + "\n" + `repeat 100000 "R\x00"`},
	{"says nothing", `stay`},
	{"hangs up", `say "G1\x00256\x00"` + "\n" + `shut` + "\n" + `stay`},
	{"promises too much", `say "G1\x00999999999999999999999\x00"` + "\n" + `stay`},
}

func TestHostileProgram(t *testing.T) {
	if warmOnly(t) || !asRoot(t, "joe and ann are one user") {
		return
	}
	c := newChaos(t)
	c.rough("joe has his own idea of qmail-local")
	c.excuse(foreign, "what joe becomes")
	c.standIn("qmail-local", "")
	if err := os.Remove(c.path("bin/qmail-local.play")); err != nil {
		t.Fatal(err)
	}
	lspawn := c.process("qmail-lspawn", 0)
	c.must(toAnn)
	eventually(t, "ann's mail", func() bool { return c.arrived(toAnn.to) == c.come[toAnn.to] })
	play := c.path(fmt.Sprintf("bin/qmail-local.play.%d", joeUID))
	files, size := descriptors(lspawn), memory(lspawn, "VmRSS")
	for _, h := range hostilePlays {
		text := strings.ReplaceAll(c.bytes(h.play), "LARGE", strings.Repeat("x", 150<<10))
		if err := os.WriteFile(play, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		// A new file is no old acquaintance.
		must(t, "sh", "-c", `cp "$0" "$0.new" && mv "$0.new" "$0"`, c.path("bin/qmail-local"))
		before := len(c.outcomes()[toJoe.to])
		for range 3 {
			c.inject("", toJoe.to, "Subject: chaos\n\n")
		}
		for range 5 {
			c.must(toAnn)
		}
		eventually(t, "ann's mail while joe "+h.name, func() bool { return c.arrived(toAnn.to) >= c.come[toAnn.to] })
		eventually(t, "joe's mail while he "+h.name, func() bool { return len(c.outcomes()[toJoe.to]) >= before+3 })
		for _, outcome := range c.outcomes()[toJoe.to][before:] {
			if h.name == "becomes something" && strings.HasPrefix(outcome, "success: ") && !strings.HasPrefix(outcome, fmt.Sprintf("success: %d/%d/", joeUID, joeGID)) && outcome != "success: did_1+0+0/" {
				t.Errorf("joe has become %s", outcome)
			}
		}
	}
	if err := os.Remove(play); err != nil {
		t.Fatal(err)
	}
	if got := c.arrived(toAnn.to); got != c.come[toAnn.to] {
		t.Errorf("ann has got %d messages, want %d", got, c.come[toAnn.to])
	}
	// Processes that were ended may take their time.
	eventually(t, "qmail-lspawn to close what joe opened", func() bool { return descriptors(lspawn) <= files+2 })
	if got := memory(lspawn, "VmRSS"); got > size+8<<20 {
		t.Errorf("qmail-lspawn has grown from %d bytes to %d", size, got)
	}
	if c.process("qmail-lspawn", 0) != lspawn {
		t.Error("qmail-lspawn is not the one that was started")
	}
}

// A local user does with the queue's socket what he wants.
func TestHostileCaller(t *testing.T) {
	if warmOnly(t) || !asRoot(t, "one user is everybody") {
		return
	}
	c := newChaos(t)
	takes := c.process(takesMessages, -1)
	files, size := descriptors(takes), memory(takes, "VmRSS")
	flood := filepath.Join(*work, "flood")
	must(t, "go", "build", "-o", flood, "./flood")
	var floods []*exec.Cmd
	for _, how := range []string{"connect", "halves", "descriptors", "letters"} {
		cmd := exec.Command(flood, how, c.path(queueSocket))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(annUID), Gid: uint32(joeGID)}}
		cmd.Stderr = c.errors
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		floods = append(floods, cmd)
	}
	time.Sleep(500 * time.Millisecond) // until they are at it; whatever comes earlier is easier
	for range 20 {
		begin := time.Now()
		c.must(toJoe)
		c.must(bySMTP)
		if took := time.Since(begin); took > deadline/4 {
			t.Errorf("two messages take %v", took)
		}
	}
	eventually(t, "joe's mail", func() bool { return c.arrived(toJoe.to) >= c.come[toJoe.to] })
	if got := memory(takes, "VmRSS"); got > size+64<<20 {
		t.Errorf("qmail-queued has grown from %d bytes to %d", size, got)
	}
	for _, cmd := range floods {
		cmd.Process.Kill()
		cmd.Wait()
	}
	eventually(t, "qmail-queued to close what was opened", func() bool { return descriptors(takes) <= files+2 })
	if got := c.process(takesMessages, -1); got != takes {
		t.Error("qmail-queued is not the one that was started")
	}
}
