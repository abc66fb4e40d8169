package smtpd

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"quail/internal/conf"
)

// Without descriptors for qmail-queue a message is put off and the session goes on.
func TestNoDescriptors(t *testing.T) {
	home(t, nil, 0)
	session := filepath.Join(conf.Home, "session")
	if err := os.WriteFile(session, []byte(transaction+"DATA\r\nDATA\r\nQUIT\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(session)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(conf.Home, "replies"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = uint64(fill(t)) + 3 // enough for a control file, not for three pipes
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	status := manners[0].hold(process(in, out, peer))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(out.Name())
	if want := hi + ok + ok + "451 qqt failure (#4.3.0)\r\n" + mailFirst + bye; string(got) != want || status != 0 || err != nil {
		t.Errorf("told %q, status %d, %v, want %q", got, status, err, want)
	}
}

// fill takes all descriptors below the highest one that there is, and one more, which it
// returns.
func fill(t *testing.T) (last uintptr) {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		n, _ := strconv.Atoi(name.Name())
		last = max(last, uintptr(n))
	}
	for highest := last; ; {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if last = f.Fd(); last > highest {
			return last
		}
	}
}
