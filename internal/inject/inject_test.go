package inject

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/rfc822"
)

var now = time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC)

// outcome is all that a run of the program leaves behind.
type outcome struct {
	status            int
	stdout, stderr    string
	message, envelope string
}

func (o outcome) String() string {
	return fmt.Sprintf("status %d, out %.400q, error %.400q, message %.400q, envelope %.400q",
		o.status, o.stdout, o.stderr, o.message, o.envelope)
}

// home makes a qmail home whose qmail-queue is a script that keeps what it is given.
func home(t testing.TB, script string) {
	t.Helper()
	conf.Home = t.TempDir()
	for _, dir := range []string{"bin", "control"} {
		if err := os.Mkdir(filepath.Join(conf.Home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "bin/qmail-queue", "#!/bin/sh\n"+script)
	if err := os.Chmod(filepath.Join(conf.Home, "bin/qmail-queue"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, contents string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(conf.Home, name), []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

// keep is the script of most tests.
const keep = "cat >message; cat <&1 >envelope"

// run runs the program in the directory of the home.
func run(t testing.TB, in string, env prog.Env, args ...string) outcome {
	t.Helper()
	for _, name := range []string{"message", "envelope"} {
		os.Remove(filepath.Join(conf.Home, name))
	}
	write(t, "in", in)
	p := &prog.Process{
		Name: "qmail-inject", Args: args, Env: env, Dir: conf.Home, PID: 7777,
		Now: func() time.Time { return now },
	}
	for name, to := range map[string]**os.File{"in": &p.Stdin, "out": &p.Stdout, "err": &p.Stderr} {
		flag := os.O_RDWR | os.O_CREATE
		if name != "in" {
			flag |= os.O_TRUNC
		}
		f, err := os.OpenFile(filepath.Join(conf.Home, name), flag, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		*to = f
	}
	o := outcome{status: p.Do(Run)}
	for name, to := range map[string]*string{
		"out": &o.stdout, "err": &o.stderr, "message": &o.message, "envelope": &o.envelope,
	} {
		b, err := os.ReadFile(filepath.Join(conf.Home, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		*to = string(b)
	}
	return o
}

var baseEnv = prog.Env{
	"PATH=/bin:/usr/bin", "USER=u",
	"QMAILDEFAULTDOMAIN=def.org", "QMAILDEFAULTHOST=dh", "QMAILPLUSDOMAIN=ex.net", "QMAILIDHOST=id.org",
}

// unmask puts the time and number of this test's runs into what was recorded.
var unmask = strings.NewReplacer(
	"Date: D\n", "Date: 5 Jan 2026 04:46:54 -0000\n",
	"<ID.qmail@", "<20260105044654.7777.qmail@",
	"-TIME.PID", "-"+strconv.FormatInt(now.Unix(), 10)+".7777",
)

// What goes in and what comes out are the original's, case by case.
func TestOriginal(t *testing.T) {
	home(t, keep)
	write(t, "lists", "b@c.def.org  \n#foo\nx y@z.org\nA@DH.def.org\nu1@h.def.org\nx@y.z\n")
	recorded, err := os.ReadFile("testdata/original.txt")
	if err != nil {
		t.Fatal(err)
	}
	paragraphs := strings.Split(strings.TrimSpace(string(recorded)), "\n\n")[1:]
	if len(paragraphs) < 500 {
		t.Fatalf("only %d cases", len(paragraphs))
	}
	for _, paragraph := range paragraphs {
		in, args, env, want := parseCase(t, paragraph)
		if got := run(t, in, env, args...); got != want {
			t.Errorf("%s\n got %v", paragraph, got)
		}
	}
}

func parseCase(t *testing.T, paragraph string) (in string, args []string, env prog.Env, want outcome) {
	env = baseEnv
	for _, line := range strings.Split(paragraph, "\n") {
		key, quoted, _ := strings.Cut(line, " ")
		if key == "status" {
			want.status, _ = strconv.Atoi(quoted)
			continue
		}
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		switch key {
		case "in":
			in = s
		case "arg":
			args = append(args, s)
		case "env":
			name, value, _ := strings.Cut(s, "=")
			env = env.With(name, value)
		case "error":
			want.stderr = s + "\n"
		case "out":
			want.stdout = unmask.Replace(s)
		case "message":
			want.message = unmask.Replace(s)
		case "envelope":
			want.envelope = unmask.Replace(s)
		default:
			t.Fatalf("unknown key in %q", line)
		}
	}
	return in, args, env, want
}

// Where this program differs from the original on purpose.
func TestRefused(t *testing.T) {
	home(t, keep)
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"To: \"a\x00Tevil@x\"@b\n", nil, "unable to parse this line:\nTo: \"a\x00Tevil@x\"@b\n"},
		{"To: a\x00b@c, d\n", nil, "unable to parse this line:\nTo: a\x00b@c, d\n"},
		{"To: b\nBcc: \"a\n b\"@c\n", nil, "unable to parse this line:\nBcc: \"a\n b\"@c\n"},
		{"Return-Path: a\x00b\nTo: c\n", nil, "unable to parse this line:\nReturn-Path: a\x00b\n"},
		{"To: a\n", []string{"b\nc@d"}, "unable to parse address: b\nc@d\n"},
		{"To: a\n", []string{"-f", "b\nc@d"}, "unable to parse this line:\n\"b\\\nc\"@d\n"},
	} {
		got := run(t, c.in, baseEnv, c.args...)
		if want := (outcome{status: 100, stderr: "qmail-inject: fatal: " + c.want}); got != want {
			t.Errorf("%q %q: %v, want %v", c.in, c.args, got, want)
		}
	}
	got := run(t, "To: x\n", baseEnv.With("QMAILUSER", "a\nTevil@x"))
	if got.status != 100 || got.envelope != "" {
		t.Errorf("a user name with a line feed: %v", got)
	}
}

// A recipient that nobody asked for does no harm.
func TestUnusedRecipientWithNul(t *testing.T) {
	home(t, keep)
	got := run(t, "To: \"a\x00b\"@c\n", baseEnv, "-a", "d")
	if got.status != 0 || got.envelope != "Fu@dh.def.org\x00Td@dh.def.org\x00\x00" {
		t.Errorf("%v", got)
	}
}

// A lone backslash before the end of a field is nothing.
func TestLoneBackslash(t *testing.T) {
	home(t, keep)
	got := run(t, "To: a\\\n", baseEnv)
	if got.status != 0 || got.envelope != "Fu@dh.def.org\x00Ta@dh.def.org\x00\x00" || !strings.HasSuffix(got.message, "\nTo: a@dh.def.org\n") {
		t.Errorf("%v", got)
	}
}

func TestControls(t *testing.T) {
	home(t, keep)
	env := prog.Env{"USER=u"}
	for _, c := range []struct {
		name, contents string
		want, idHost   string
	}{
		{"", "", "Fu@defaulthost.defaultdomain\x00Tp@h.plusdomain\x00\x00", "idhost"},
		{"me", "me.org\n", "Fu@me.org\x00Tp@h.me.org\x00\x00", "me.org"},
		{"defaulthost", "dh\n", "Fu@dh.me.org\x00Tp@h.me.org\x00\x00", "me.org"},
		{"defaultdomain", "dd \n", "Fu@dh.dd\x00Tp@h.me.org\x00\x00", "me.org"},
		{"plusdomain", "pd", "Fu@dh.dd\x00Tp@h.pd\x00\x00", "me.org"},
		{"idhost", "", "Fu@dh.dd\x00Tp@h.pd\x00\x00", ""},
	} {
		if c.name != "" {
			write(t, "control/"+c.name, c.contents)
		}
		got := run(t, "", env, "p@h+")
		if got.envelope != c.want || !strings.Contains(got.message, "7777.qmail@"+c.idHost+">\n") {
			t.Errorf("after %s: envelope %q, want %q; message %q", c.name, got.envelope, c.want, got.message)
		}
	}
	if err := os.Remove(filepath.Join(conf.Home, "control/idhost")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(conf.Home, "control/idhost"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", env); got != (outcome{status: 111, stderr: "qmail-inject: fatal: read error\n"}) {
		t.Errorf("unreadable control file: %v", got)
	}
}

func TestQueueFailure(t *testing.T) {
	for _, c := range []struct {
		script string
		status int
		want   string
	}{
		{"exit 31", 100, "mail server permanently rejected message (#5.3.0)"},
		{"exit 53", 111, "qq write error or disk full (#4.3.0)"},
		{"kill -9 $$", 111, "qq crashed (#4.3.0)"},
		{"exec /nonexistent", 111, "qq temporary problem (#4.3.0)"},
		{"cat >/dev/null; printf 'Dnot here' >&6; exit 82", 100, "not here"},
	} {
		home(t, c.script)
		got := run(t, "To: a\n\n"+strings.Repeat("x\n", 100000), baseEnv)
		// The shell may have words of its own before ours.
		if got.status != c.status || !strings.HasSuffix(got.stderr, "qmail-inject: fatal: "+c.want+"\n") {
			t.Errorf("%s: %v", c.script, got)
		}
	}
}

// A message that cannot be read to its end is not queued: the envelope has no end.
func TestReadError(t *testing.T) {
	home(t, keep)
	for _, name := range []string{"in", "."} {
		f, err := os.OpenFile(filepath.Join(conf.Home, name), os.O_RDONLY|os.O_CREATE, 0o644)
		if name == "." {
			f, err = os.Open(conf.Home)
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "in" {
			f.Close() // a descriptor that is not open
		}
		p := &prog.Process{Name: "qmail-inject", Env: baseEnv, Dir: conf.Home, Stdin: f, Stdout: os.Stdout, Stderr: os.Stderr,
			Now: func() time.Time { return now }}
		if err := Run(p); err != errRead {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(conf.Home, "message")); err == nil {
			t.Errorf("%s: qmail-queue was started", name)
		}
	}
}

// failing is a body that breaks off.
type failing struct{ left int }

func (f *failing) Read(b []byte) (int, error) {
	if f.left == 0 {
		return 0, os.ErrClosed
	}
	f.left--
	return copy(b, "text\n"), nil
}

func TestReadErrorInBody(t *testing.T) {
	home(t, keep)
	err := queue(&prog.Process{Env: baseEnv, Stderr: os.Stderr}, "a", []string{"b"}, []string{"To: b\n"}, &failing{10})
	if err != errRead {
		t.Errorf("error %v", err)
	}
	envelope, _ := os.ReadFile(filepath.Join(conf.Home, "envelope"))
	if strings.HasSuffix(string(envelope), "\x00\x00") {
		t.Errorf("the envelope was completed: %q", envelope)
	}
}

func TestLongHeader(t *testing.T) {
	home(t, keep)
	var to []string
	for i := range 60000 {
		to = append(to, fmt.Sprintf("user%d@example.org", i))
	}
	got := run(t, "To: "+strings.Join(to, ", ")+"\n\nb\n", baseEnv)
	slices.Reverse(to)
	if want := "Fu@dh.def.org\x00T" + strings.Join(to, "\x00T") + "\x00\x00"; got.status != 0 || got.envelope != want {
		t.Errorf("status %d, %q, an envelope of %d bytes, want %d", got.status, got.stderr, len(got.envelope), len(want))
	}
	got = run(t, "X: "+strings.Repeat("x", rfc822.MaxHeader), baseEnv)
	if want := (outcome{status: 100, stderr: "qmail-inject: fatal: header of more than 33554432 bytes\n"}); got != want {
		t.Errorf("%v", got)
	}
}

func TestOutputFails(t *testing.T) {
	home(t, keep)
	write(t, "in", "To: a\n\n"+strings.Repeat("x\n", 100000))
	stdin, err := os.Open(filepath.Join(conf.Home, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	r, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	r.Close()
	p := &prog.Process{Name: "qmail-inject", Args: []string{"-n"}, Env: baseEnv, Dir: conf.Home,
		Stdin: stdin, Stdout: stdout, Stderr: os.Stderr, Now: func() time.Time { return now }}
	if err := Run(p); err == nil || !strings.HasPrefix(err.Error(), "unable to write message: ") {
		t.Errorf("error %v", err)
	}
}

// Whatever a header says, sender and recipients are one record each, and what is
// passed on is header fields and nothing else.
func FuzzHeader(f *testing.F) {
	f.Add("To: a, b <c@d>\nBcc: x\nReturn-Path: y\n")
	f.Add("Cc: \"a\n b\"@c, d\\\nResent-To: \x00\n")
	f.Add("From: a\\\n (\n)\nSender: \"x\r\n y\"\n")
	names, err := rfc822.NewNames("dh", "def.org", "ex.net")
	if err != nil {
		f.Fatal(err)
	}
	s := &settings{now: now, pid: 1, user: "u", senderUser: "u", names: names}
	f.Fuzz(func(t *testing.T, in string) {
		h, err := readHeader(rfc822.NewScanner(strings.NewReader(in)), s, source{header: true})
		if err != nil {
			return
		}
		generated, err := s.generate(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range append(append(h.recipients[true], h.recipients[false]...), h.sender.text) {
			if strings.ContainsAny(r, "\x00\n") {
				t.Errorf("envelope address %q", r)
			}
		}
		fields := append(generated, h.kept...)
		again := rfc822.NewScanner(strings.NewReader(strings.Join(fields, "") + "\nbody\n"))
		for _, field := range fields {
			if !again.Next() || again.Field() != field {
				t.Fatalf("field %q is read as %q", field, again.Field())
			}
		}
		body, _ := io.ReadAll(again.Body())
		if again.Next() || string(body) != "\nbody\n" {
			t.Errorf("the header of %q went on to %q", fields, body)
		}
	})
}
