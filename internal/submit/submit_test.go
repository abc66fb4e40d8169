package submit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/prog"
)

// program installs a shell script as bin/qmail-queue of a new home and returns
// a process whose submissions go there.
func program(t *testing.T, script string) (*prog.Process, string) {
	t.Helper()
	conf.Home = t.TempDir()
	bin := filepath.Join(conf.Home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "qmail-queue"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &prog.Process{Env: prog.Env{"PATH=/usr/bin:/bin"}, Stderr: os.Stderr}, conf.Home
}

func send(t *testing.T, p *prog.Process) envelope.Result {
	t.Helper()
	m, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteString("text\n")
	m.From("a@b")
	m.To("c@d")
	m.To("")
	return m.Close()
}

func TestQueued(t *testing.T) {
	p, home := program(t, "cat >message; cat <&1 >envelope; pwd >where")
	if r := send(t, p); !r.OK() {
		t.Fatalf("result %q", r)
	}
	for name, want := range map[string]string{
		"message": "text\n", "envelope": "Fa@b\x00Tc@d\x00T\x00\x00", "where": home + "\n",
	} {
		if got, err := os.ReadFile(filepath.Join(home, name)); string(got) != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		script string
		want   envelope.Result
	}{
		{"exit 31", "Dmail server permanently rejected message (#5.3.0)"},
		{"cat >/dev/null; exit 53", "Zqq write error or disk full (#4.3.0)"},
		{"printf 'Dspam\\0rest' >&6; exit 82", "Dspam"},
		{"printf 'Dspam' >&6; exit 53", "Zqq write error or disk full (#4.3.0)"},
		{"kill -9 $$", "Zqq crashed (#4.3.0)"},
		{"exec /nonexistent", "Zqq temporary problem (#4.3.0)"},
	} {
		p, _ := program(t, c.script)
		if got := send(t, p); got != c.want {
			t.Errorf("%s: %q, want %q", c.script, got, c.want)
		}
	}
}

func TestCustomTextIsBounded(t *testing.T) {
	p, _ := program(t, "head -c 100000 /dev/zero | tr '\\0' 'D' >&6; exit 82")
	if got, want := send(t, p), envelope.Result(strings.Repeat("D", envelope.MaxCustom)); got != want {
		t.Errorf("kept %d bytes, want %d", len(got), len(want))
	}
}

func TestFailQueuesNothing(t *testing.T) {
	p, home := program(t, "cat >/dev/null; cat <&1 >envelope; exit 0")
	m, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteString("text\n")
	m.Fail()
	m.From("a@b")
	m.To("c@d")
	if r := m.Close(); r != envelope.TextRead {
		t.Errorf("result %q", r)
	}
	if got, _ := os.ReadFile(filepath.Join(home, "envelope")); strings.HasSuffix(string(got), "\x00\x00") {
		t.Errorf("the envelope was completed: %q", got)
	}
}

func TestNulInAddress(t *testing.T) {
	p, _ := program(t, "cat >/dev/null; cat <&1 >envelope")
	m, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	m.From("a@b\x00Tevil@h")
	m.To("c@d")
	if r := m.Close(); r.OK() {
		t.Error("a sender with a NUL was queued")
	}
}

func TestQmailqueue(t *testing.T) {
	p, home := program(t, "exit 71")
	other := filepath.Join(home, "other")
	if err := os.WriteFile(other, []byte("#!/bin/sh\nexit 72\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{"other": 72, other: 72, "": 120, "bin/qmail-queue": 71, "nothing": 120} {
		q := *p
		q.Env = p.Env.With("QMAILQUEUE", value)
		if got := send(t, &q); got != envelope.Explain(want, "") {
			t.Errorf("QMAILQUEUE=%q: %q, want %q", value, got, envelope.Explain(want, ""))
		}
	}
	conf.Home = filepath.Join(home, "gone")
	if got := send(t, p); got != envelope.Explain(envelope.StatusHome, "") {
		t.Errorf("without a home: %q", got)
	}
}

// The program gets blocking descriptors: a C program knows no others.
func TestDescriptorsBlock(t *testing.T) {
	p, home := program(t, "cat >/dev/null; for n in 0 1 6; do sed -n 's/flags:.0*//p' /proc/self/fdinfo/$n; done >flags")
	send(t, p)
	got, _ := os.ReadFile(filepath.Join(home, "flags"))
	for _, f := range strings.Fields(string(got)) {
		if len(f) >= 4 && f[len(f)-4] >= '4' {
			t.Errorf("a descriptor has O_NONBLOCK: flags %s", f)
		}
	}
}
