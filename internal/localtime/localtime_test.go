package localtime

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is wanted is what the C library makes of the same TZ, for a moment in winter
// and one in summer.
func TestZone(t *testing.T) {
	winter := time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC)
	summer := time.Date(2026, 7, 5, 4, 46, 54, 0, time.UTC)
	for _, c := range []struct{ tz, winter, summer string }{
		{"", "5 04:46 +0000", "5 04:46 +0000"},
		{"UTC", "5 04:46 +0000", "5 04:46 +0000"},
		{"nonsense", "5 04:46 +0000", "5 04:46 +0000"},
		{"../../etc/passwd", "5 04:46 +0000", "5 04:46 +0000"},
		{"/etc/passwd", "5 04:46 +0000", "5 04:46 +0000"},
		{"/", "5 04:46 +0000", "5 04:46 +0000"},
		{"/dev/zero", "5 04:46 +0000", "5 04:46 +0000"},
		{"/nonexistent", "5 04:46 +0000", "5 04:46 +0000"},
		{"EST5", "4 23:46 -0500", "4 23:46 -0500"},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "5 05:46 +0100", "5 06:46 +0200"},
		{"NZST-12NZDT,M9.5.0,M4.1.0/3", "5 17:46 +1300", "5 16:46 +1200"},
		{"<+0545>-5:45", "5 10:31 +0545", "5 10:31 +0545"},
		{"<-0330>3:30:15", "5 01:16 -0330", "5 01:16 -0330"},
		{"EST5\nUTC0", "5 04:46 +0000", "5 04:46 +0000"},
	} {
		zone := Zone(c.tz, true)
		const format = "2 15:04 -0700"
		if got := winter.In(zone).Format(format); got != c.winter {
			t.Errorf("TZ=%q: %s, want %s", c.tz, got, c.winter)
		}
		if got := summer.In(zone).Format(format); got != c.summer {
			t.Errorf("TZ=%q: %s, want %s", c.tz, got, c.summer)
		}
	}
}

// Without TZ a file of the system counts, in the format that zones have, as do one
// that TZ names by its path and one of the system's database.
func TestFile(t *testing.T) {
	systemZone = filepath.Join(t.TempDir(), "localtime")
	offset := func(zone *time.Location) int {
		_, seconds := time.Date(2026, 7, 5, 4, 46, 54, 0, time.UTC).In(zone).Zone()
		return seconds
	}
	if got := offset(Zone("", false)); got != 0 {
		t.Errorf("no file: %d", got)
	}
	if err := os.WriteFile(systemZone, tzfile("TEST-3"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tz := range []string{systemZone, ":" + systemZone} {
		if got := offset(Zone(tz, true)); got != 3*3600 {
			t.Errorf("TZ=%s: %d, want three hours", tz, got)
		}
	}
	if got := offset(Zone("", false)); got != 3*3600 {
		t.Errorf("TZ not set: %d, want three hours", got)
	}
	if err := os.WriteFile(systemZone, bytes.Repeat([]byte("TZif2"), maxFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := offset(Zone("", false)); got != 0 {
		t.Errorf("a huge file: %d", got)
	}
}

// A FIFO was waited for.
func TestFIFO(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if zone := Zone(name, true); zone != time.UTC {
		t.Errorf("%v", zone)
	}
}

// FuzzZone: whatever TZ or a file say, there is a zone, and it leaves the moment alone.
func FuzzZone(f *testing.F) {
	f.Add("CET-1CEST,M3.5.0,M10.5.0/3", int64(0))
	f.Add(string(tzfile("EST5EDT")), int64(1_780_000_000))
	f.Fuzz(func(t *testing.T, tz string, at int64) {
		moment := time.Unix(at%(1<<40), 0)
		for _, zone := range []*time.Location{byRule(tz), parse("fuzz", []byte(tz))} {
			if got := moment.In(zone); !got.Equal(moment) || got.Format("-0700") == "" {
				t.Errorf("%v became %v", moment, got)
			}
		}
	})
}
