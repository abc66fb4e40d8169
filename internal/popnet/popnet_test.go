package popnet

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/attempt"
	"quail/internal/conf"
	"quail/internal/pop3"
	"quail/internal/prog"
)

// What the original does too is in testdata/pop3, which internal/pop3 tests.

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	timestamp = "<42.978307200@h.example>"
	greeting  = "+OK " + timestamp + "\r\n"
	later     = time.Minute
)

// TestMain has the programs in a home where no qmail-keys is.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "popnet")
	if err != nil {
		panic(err)
	}
	conf.Home = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// half is a session, and all its other ends.
type half struct {
	t                     *testing.T
	client, control, data *os.File
	done                  chan error
}

// begin starts a session.
func begin(t *testing.T, timeout time.Duration, env ...string) *half {
	t.Helper()
	client, server := pair(t)
	control, itsControl := pair(t)
	data, itsData := pair(t)
	p := &prog.Process{Args: []string{"h.example", timestamp}, Env: env, Stdin: server, Stdout: server, Stderr: os.Stderr,
		Extra: []*os.File{itsControl, itsData}, Now: time.Now}
	h := &half{t, client, control, data, make(chan error, 1)}
	go func() {
		err := p.Call(func(p *prog.Process) error { return run(p, timeout) })
		for _, f := range []*os.File{server, itsControl, itsData} {
			shut(f) // it may be read from to the end of this process
			f.Close()
		}
		h.done <- err
	}()
	return h
}

func pair(t *testing.T) (ours, its *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(t, err)
	for _, fd := range fds {
		check(t, syscall.SetNonblock(fd, true)) // so that it knows deadlines
	}
	ours, its = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "its")
	check(t, ours.SetDeadline(time.Now().Add(later)))
	t.Cleanup(func() { ours.Close() })
	return ours, its
}

// end waits for the end of the session.
func (h *half) end() error {
	h.t.Helper()
	select {
	case err := <-h.done:
		return err
	case <-time.After(later):
		h.t.Fatal("the session does not end")
		return nil
	}
}

// talk says something, which is all, and returns everything that is answered, and the
// record that is handed over.
func talk(t *testing.T, said string, env ...string) (heard, record string) {
	t.Helper()
	h := begin(t, later, env...)
	// The session may end before it has heard all.
	if _, err := h.client.WriteString(said); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	check(t, shut(h.client))
	if err := h.end(); err != nil {
		t.Errorf("after %.60q the session ended with %v", said, err)
	}
	out, err := io.ReadAll(h.client)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(out), greeting)
	if !ok {
		t.Fatalf("%.60q is answered with %q", said, out)
	}
	b, err := io.ReadAll(h.control)
	check(t, err)
	return rest, string(b)
}

func TestSession(t *testing.T) {
	const ok, syntax = "+OK \r\n", "-ERR syntax error\r\n"
	const capabilities = "+OK \r\nUSER\r\nTOP\r\nUIDL\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n.\r\n"
	for _, c := range []struct{ said, heard, record string }{
		{"CAPA\r\ncapa x\r\n", capabilities + capabilities, ""},
		{"USER a\r\nPASS b\r\nSTAT\r\n", ok, "\x00a\x00b\x00"},
		{"USER a\nPASS  b c \n", ok, "\x00a\x00b c \x00"},
		{"APOP a b\r\n", "", "\x00a\x00b\x00"},
		{"APOP a\r\nAPOP\r\nAPOP a  b\r\n", syntax + syntax, "\x00a\x00 b\x00"},
		// Names and passwords are whatever they are.
		{"USER j\u00fcrgen\r\nPASS \u65e5\u672c\r\n", ok, "\x00j\u00fcrgen\x00\u65e5\u672c\x00"},
		{"USER j\xfcrgen\r\nPASS \xff\r\n", ok, "\x00j\xfcrgen\x00\xff\x00"},
		{"UTF8\r\nUSER a\r\nPASS b\r\n", ok + ok, "u\x00a\x00b\x00"},
		{"utf8 x\r\nAPOP a b\r\n", syntax, "\x00a\x00b\x00"},
		// There are no keys.
		{"STLS\r\nSTLS x\r\nQUIT\r\n", strings.Repeat("-ERR authorization first\r\n", 2) + ok, ""},
		// Commands that are cut off, or have a NUL.
		{"USER a\r\nPASS b\r", ok, ""},
		{"USER a\r\nPA", ok, ""},
		{"APOP a b", "", ""},
		{"USER a\x00b\r\nPASS c\x00d\r\n", ok, "\x00a\x00c\x00"},
		// Lines are bounded.
		{"NOOP " + strings.Repeat("x", pop3.MaxLine-6) + "\r\n", ok, ""},
		{"NOOP " + strings.Repeat("x", pop3.MaxLine) + "\r\nUSER a\r\n", pop3.NoMemory + "\r\n", ""},
		{"USER " + strings.Repeat("a", 10<<20), pop3.NoMemory + "\r\n", ""},
	} {
		if heard, record := talk(t, c.said); heard != c.heard || record != c.record {
			t.Errorf("%.60q: %q and record %q, want %q and %q", c.said, heard, record, c.heard, c.record)
		}
	}
}

// Where TLS is demanded nobody logs in without.
func TestForced(t *testing.T) {
	const no = "-ERR STLS first\r\n"
	heard, record := talk(t, "USER a\r\nPASS b\r\nAPOP a b\r\nCAPA\r\nUTF8\r\nQUIT\r\n", "FORCETLS=1")
	want := no + no + no + "+OK \r\nTOP\r\nUIDL\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n.\r\n+OK \r\n+OK \r\n"
	if heard != want || record != "" {
		t.Errorf("%q and record %q, want %q", heard, record, want)
	}
	if _, record := talk(t, "APOP a b\r\n", "FORCETLS=0"); record == "" {
		t.Error("FORCETLS=0 is FORCETLS=1")
	}
}

// A client that says nothing, or takes nothing, is left alone after a while.
func TestTimeout(t *testing.T) {
	if timeout != 1200*time.Second {
		t.Errorf("clients have %v", timeout)
	}
	for _, said := range []string{"", "USER a\r\nPASS", strings.Repeat("NOOP\r\n", 1<<20)} {
		h := begin(t, 50*time.Millisecond)
		go h.client.WriteString(said)
		if err := h.end(); err != nil {
			t.Errorf("%.40q: ended with %v", said, err)
		}
		if record, err := io.ReadAll(h.control); len(record) > 0 || err != nil {
			t.Errorf("%.40q: handed over %q, %v", said, record, err)
		}
	}
}

// When the other half has gone there is nobody to log in with.
func TestAlone(t *testing.T) {
	h := begin(t, later)
	_, err := io.ReadFull(h.client, make([]byte, len(greeting)))
	check(t, err)
	h.control.Close()
	if err := h.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// By hand it is of no use.
func TestUsage(t *testing.T) {
	_, its := pair(t)
	defer its.Close()
	for _, p := range []*prog.Process{{Args: []string{"x", "y"}}, {Args: []string{"x", "y"}, Extra: []*os.File{its, nil}}, {Extra: []*os.File{its, its}}} {
		p.Stderr = os.Stderr
		if err := Run(p); err == nil || err.Error() != "qmail-popup runs qmail-popnet" {
			t.Errorf("%v", err)
		}
	}
}

// Whatever a client says, each line that it hears is one of a reply, and what is handed
// over is an attempt in form that leaves the rest where it is.
func FuzzSession(f *testing.F) {
	f.Add([]byte("USER a\r\nPASS b\r\nSTAT\r\n"))
	f.Add([]byte("apop a b\nx"))
	f.Add([]byte("CAPA\r\nPASS x\r\nUSER\r\nquit\r\n"))
	f.Add([]byte("UTF8\r\nSTLS\r\nUSER \xff\r\nAPOP \xc3\xbc  \r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		in, err := os.CreateTemp(t.TempDir(), "in")
		check(t, err)
		defer in.Close()
		_, err = in.Write(said)
		check(t, err)
		_, err = in.Seek(0, io.SeekStart)
		check(t, err)
		out, err := os.CreateTemp(t.TempDir(), "out")
		check(t, err)
		defer out.Close()
		control, its := pair(t)
		p := &prog.Process{Args: []string{"h.example", timestamp}, Stdin: in, Stdout: out, Stderr: os.Stderr, Extra: []*os.File{its, its}, Now: time.Now}
		if err := p.Call(Run); err != nil {
			t.Fatal(err)
		}
		shut(its)
		record, err := io.ReadAll(control)
		check(t, err)
		heard, err := os.ReadFile(out.Name())
		check(t, err)
		lines := bytes.Split(bytes.TrimSuffix(heard, []byte("\r\n")), []byte("\r\n"))
		for _, line := range lines {
			switch word, _, _ := bytes.Cut(line, []byte(" ")); string(word) {
			case "+OK", "-ERR", "USER", "TOP", "UIDL", "PIPELINING", "EXPIRE", "UTF8", ".":
			default:
				t.Fatalf("%q is answered with %q", said, heard)
			}
		}
		if len(record) == 0 {
			return
		}
		if _, err := attempt.Parse(record); err != nil {
			t.Errorf("%q hands over %q", said, record)
		}
		at, err := in.Seek(0, io.SeekCurrent)
		check(t, err)
		if !bytes.HasSuffix(said[:at], []byte("\n")) {
			t.Errorf("%q leaves %q", said, said[at:])
		}
	})
}
