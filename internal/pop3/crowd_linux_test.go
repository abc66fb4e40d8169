package pop3_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var mostMemory = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// 50,000 messages, one of which has a line of 64 MiB: memory is bounded by the number of
// messages alone.
func TestCrowd(t *testing.T) {
	const n, limit = 50000, 80 << 10
	dir := t.TempDir()
	makeMaildir(t, filepath.Join(dir, "md"))
	path := func(i int) string {
		return filepath.Join(dir, "md/cur", fmt.Sprintf("1795334058.M%06dP4711.mail.example.org,S=1234:2,S", i))
	}
	write := func(i int, text string) {
		t.Helper()
		at := time.Unix(978307200+int64(i), 0)
		check(t, os.WriteFile(path(i), []byte(text), 0o644))
		check(t, os.Chtimes(path(i), at, at))
	}
	write(1, "x\n")
	for i := 2; i < n; i++ {
		check(t, os.Link(path(1), path(i)))
	}
	write(n, strings.Repeat("x", 64<<20))
	giveAway(t, dir)
	cmd := command(t, dir, []string{"PATH=/usr/bin:/bin"}, "qmail-pop3d", "md")
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	r := bufio.NewReader(out)
	hear := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); string(got) != want || err != nil {
			t.Fatalf("%.100q, %v, want %.100q", got, err, want)
		}
	}
	_, err = io.WriteString(in, "STAT\r\nUIDL\r\nLIST 1\r\nDELE 49999\r\nRETR 50000\r\nNOOP\r\n")
	check(t, err)
	hear(fmt.Sprintf("+OK \r\n+OK %d %d\r\n+OK \r\n", n, 64<<20+2*(n-1)))
	for i := 1; i <= n; i++ {
		hear(fmt.Sprintf("%d 1795334058.M%06[1]dP4711.mail.example.org,S=1234\r\n", i))
	}
	hear(".\r\n+OK 1 2\r\n+OK \r\n+OK \r\n")
	for range 64 {
		hear(strings.Repeat("x", 1<<20))
	}
	hear("\r\n\r\n.\r\n+OK \r\n")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	check(t, err)
	m := mostMemory.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	if kib, _ := strconv.Atoi(string(m[1])); kib > limit {
		t.Errorf("it has taken %d KiB", kib)
	} else {
		t.Logf("it has taken %d KiB", kib)
	}
	in.Close()
	check(t, cmd.Wait())
}
