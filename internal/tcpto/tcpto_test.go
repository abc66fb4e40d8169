package tcpto_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/tcpto"
)

var epoch = time.Unix(1_700_000_000, 0)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// file makes a tcpto file with those contents.
func file(t testing.TB, contents []byte) tcpto.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tcpto")
	if err := os.WriteFile(name, contents, 0o644); err != nil {
		t.Fatal(err)
	}
	return tcpto.File(name)
}

func contents(t testing.TB, f tcpto.File) []byte {
	t.Helper()
	b, err := os.ReadFile(string(f))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// last reads the time of record n.
func last(b []byte, n int) time.Time {
	return time.Unix(int64(binary.LittleEndian.Uint32(b[16*n+8:])), 0)
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/tcpto", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The fixtures were written by the original: three hosts that timed out, the
// first one 200 seconds earlier; the same after the first two timed out again; 64
// hosts; and those after one more.
func TestGolden(t *testing.T) {
	three, again := fixture(t, "three"), fixture(t, "three-again")
	f := file(t, three)
	entries, err := f.Entries()
	want := []tcpto.Entry{
		{Addr: ip("127.0.0.2"), Count: 1, Last: last(three, 0).UTC()},
		{Addr: ip("127.0.0.3"), Count: 1, Last: last(three, 1).UTC()},
		{Addr: ip("127.0.0.4"), Count: 1, Last: last(three, 2).UTC()},
	}
	if err != nil || !reflect.DeepEqual(entries, want) {
		t.Errorf("Entries = %v, %v, want %v", entries, err, want)
	}
	now := last(again, 0)
	f.TimedOut(ip("127.0.0.2"), now)
	f.TimedOut(ip("127.0.0.3"), now.Add(time.Second))
	if got := contents(t, f); !bytes.Equal(got, again) {
		t.Errorf("after two more timeouts\n%x, want\n%x", got, again)
	}

	full, again := fixture(t, "full"), fixture(t, "full-again")
	f = file(t, full)
	for n := range 64 {
		if !bytes.Equal(full[16*n:16*n+16], again[16*n:16*n+16]) {
			now = last(again, n)
		}
	}
	f.TimedOut(ip("127.0.0.5"), now)
	if got := contents(t, f); !bytes.Equal(got, again) {
		t.Errorf("the full file became\n%x, want\n%x", got, again)
	}
}

func TestQuery(t *testing.T) {
	f := file(t, make([]byte, 1024))
	addr := ip("192.0.2.1")
	check := func(when string, now time.Time, pid int, skip, known bool) {
		t.Helper()
		if s, k := f.Query(addr, now, pid); s != skip || k != known {
			t.Errorf("%s: Query = %v, %v, want %v, %v", when, s, k, skip, known)
		}
	}
	check("at first", epoch, 0, false, false)
	f.TimedOut(addr, epoch)
	check("after one timeout", epoch, 0, false, true)
	f.TimedOut(addr, epoch.Add(119*time.Second))
	check("after another at once", epoch, 0, false, true)
	second := epoch.Add(120 * time.Second)
	f.TimedOut(addr, second)
	check("after two", second, 0, true, true)
	check("until 3840 s later", second.Add(3839*time.Second), 32, true, true)
	check("but no longer", second.Add(3840*time.Second), 32, false, true)
	check("other processes up to 5824 s", second.Add(5823*time.Second), 31, true, true)
	check("and no longer", second.Add(5824*time.Second), 31, false, true)
	check("when the clock was put back", epoch.Add(-time.Hour), 0, true, true)
	f.Answered(addr)
	check("after an answer", second, 0, false, true)
	f.TimedOut(addr, second.Add(time.Second))
	check("a timeout right after an answer counts", second, 0, false, true)
	if e, err := f.Entries(); err != nil || len(e) != 1 || e[0].Count != 1 {
		t.Errorf("Entries = %v, %v", e, err)
	}
	for i := range 20 {
		f.TimedOut(addr, second.Add(time.Duration(i)*time.Hour))
	}
	if e, err := f.Entries(); err != nil || len(e) != 1 || e[0].Count != 10 {
		t.Errorf("after many timeouts Entries = %v, %v, want count 10", e, err)
	}
	if err := f.Wipe(); err != nil {
		t.Error(err)
	}
	check("after Wipe", second, 0, false, false)
}

// What an entry says of waiting is what Query makes deliveries do.
func TestSpared(t *testing.T) {
	f := file(t, make([]byte, 1024))
	host := ip("192.0.2.1")
	f.TimedOut(host, epoch)
	entries, err := f.Entries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if _, _, ok := entries[0].Spared(); ok {
		t.Error("a host is left alone after one timeout")
	}
	f.TimedOut(host, epoch.Add(time.Hour))
	if entries, err = f.Entries(); err != nil {
		t.Fatal(err)
	}
	first, last, ok := entries[0].Spared()
	if !ok {
		t.Fatal("a host is not left alone after two timeouts")
	}
	for _, c := range []struct {
		at    time.Time
		tried int // by how many of 64 processes
	}{{first.Add(-time.Second), 0}, {first, 2}, {last.Add(-time.Second), 62}, {last, 64}} {
		tried := 0
		for pid := range 64 {
			if skip, _ := f.Query(host, c.at, pid); !skip {
				tried++
			}
		}
		if tried != c.tried {
			t.Errorf("%v after the timeout %d processes try, want %d", c.at.Sub(epoch.Add(time.Hour)), tried, c.tried)
		}
	}
}

func TestIPv6(t *testing.T) {
	f := file(t, make([]byte, 1024))
	f.TimedOut(ip("2001:db8::1"), epoch)
	f.Answered(ip("2001:db8::1"))
	f.TimedOut(netip.Addr{}, epoch)
	if skip, known := f.Query(ip("::"), epoch, 0); skip || known {
		t.Error("the file knows ::")
	}
	if got := contents(t, f); !bytes.Equal(got, make([]byte, 1024)) {
		t.Errorf("IPv6 addresses got in: %x", got)
	}
	f.TimedOut(ip("::ffff:192.0.2.1"), epoch)
	if _, known := f.Query(ip("192.0.2.1"), epoch, 0); !known {
		t.Error("an IPv4 address written as IPv6 is not known")
	}
}

// Whatever is wrong with the file, there is no information, and nothing is made.
func TestTrouble(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "absent"), dir, fifo} {
		f := tcpto.File(name)
		f.TimedOut(ip("192.0.2.1"), epoch)
		f.Answered(ip("192.0.2.1"))
		f.Reset()
		if skip, known := f.Query(ip("192.0.2.1"), epoch, 0); skip || known {
			t.Errorf("%s is information", name)
		}
		if _, err := f.Entries(); err == nil {
			t.Errorf("Entries of %s succeeded", name)
		}
		if err := f.Wipe(); err == nil {
			t.Errorf("Wipe of %s succeeded", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); err == nil {
		t.Error("the file was made")
	}
	for _, size := range []int{0, 1, 15, 16, 40} { // a short file has fewer records
		f := file(t, make([]byte, size))
		f.TimedOut(ip("192.0.2.1"), epoch)
		if _, known := f.Query(ip("192.0.2.1"), epoch, 0); known != (size >= 16) {
			t.Errorf("with %d bytes: known %v", size, known)
		}
		if n := len(contents(t, f)); n != size {
			t.Errorf("the file of %d bytes has %d now", size, n)
		}
	}
}

// The lock is a flock on the file: while somebody has it, reports wait, and are
// not lost.
func TestLock(t *testing.T) {
	f := file(t, make([]byte, 1024))
	other, err := os.Open(string(f))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		f.TimedOut(ip("192.0.2.1"), epoch)
		close(done)
	}()
	select {
	case <-done:
		t.Error("the file was written while locked")
	case <-time.After(100 * time.Millisecond):
	}
	f.Reset() // does not wait
	other.Close()
	<-done
	if _, known := f.Query(ip("192.0.2.1"), epoch, 0); !known {
		t.Error("the report was lost")
	}
}

// Whatever the file holds, the size stays, and a report touches no record but the
// one of its address; and after a report of a timeout the address is known.
func FuzzFile(f *testing.F) {
	f.Add(fixture(f, "three"), uint32(0x7f000002), uint32(1795310973))
	f.Add(fixture(f, "full"), uint32(0), uint32(0))
	f.Add([]byte("short"), uint32(1), uint32(1))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, before []byte, address, seconds uint32) {
		file := tcpto.File(filepath.Join(dir, "tcpto"))
		if err := os.WriteFile(string(file), before, 0o644); err != nil {
			t.Fatal(err)
		}
		addr := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, address)))
		now := time.Unix(int64(seconds), 0)
		_, known := file.Query(addr, now, int(seconds))
		file.Answered(addr)
		middle := contents(t, file)
		if changed(t, before, middle, addr) > 0 && !known {
			t.Error("an answer of an unknown address changed the file")
		}
		if skip, _ := file.Query(addr, now, 0); skip {
			t.Error("left alone after an answer")
		}
		file.TimedOut(addr, now)
		after := contents(t, file)
		if n := changed(t, middle, after, addr); n > 1 || n == 0 && len(before) >= 16 && len(before) < 1024 && seconds > 0 {
			t.Errorf("a timeout changed %d records", n)
		}
		if _, known := file.Query(addr, now, 0); known != (len(before) >= 16) {
			t.Errorf("after a timeout known is %v", known)
		}
	})
}

// changed counts the records that differ, all of which must be addr's now.
func changed(t *testing.T, before, after []byte, addr netip.Addr) (n int) {
	if len(before) != len(after) {
		t.Fatalf("%d bytes became %d", len(before), len(after))
	}
	for at := 0; at < len(before); at += 16 {
		end := min(at+16, len(before))
		if bytes.Equal(before[at:end], after[at:end]) {
			continue
		}
		n++
		if end-at < 16 || netip.AddrFrom4([4]byte(after[at:at+4])) != addr {
			t.Errorf("record at %d changed, which is not of %s", at, addr)
		}
	}
	return n
}
