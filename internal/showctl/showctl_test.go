package showctl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/prog"
)

// run runs the program on a home and returns what it prints and its status.
func run(t *testing.T, home string) (stdout, stderr string, status int) {
	t.Helper()
	conf.Home = home
	files := [2]*os.File{}
	for i := range files {
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	p := &prog.Process{Name: "qmail-showctl", Stdout: files[0], Stderr: files[1]}
	status = p.Do(Run)
	out, err := os.ReadFile(files[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	complaints, err := os.ReadFile(files[1].Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(out), string(complaints), status
}

// useAccounts makes every account of the suite the one that all hosts have.
func useAccounts(t *testing.T) {
	t.Helper()
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(group), ":")
	conf.GroupQmail, conf.GroupNofiles = first, first
	for _, user := range []*string{
		&conf.UserAlias, &conf.UserDaemon, &conf.UserLog,
		&conf.UserPasswd, &conf.UserQueue, &conf.UserRemote, &conf.UserSend,
	} {
		*user = "root"
	}
}

// Each directory in testdata has a control directory and what the original
// printed of it, but for the seven lines about how it was built.
func TestAsTheOriginal(t *testing.T) {
	useAccounts(t)
	homes, err := filepath.Glob("testdata/*")
	if err != nil || len(homes) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, home := range homes {
		want, err := os.ReadFile(filepath.Join(home, "want"))
		if err != nil {
			t.Fatal(err)
		}
		out, stderr, status := run(t, home)
		if status != 0 || stderr != "" {
			t.Errorf("%s: status %d, stderr %q", home, status, stderr)
		}
		lines := strings.SplitAfterN(out, "\n", 8)
		got, ours, found := strings.Cut(lines[7], "\nWhere Quail differs from qmail on purpose:\n")
		if want := knowing(string(want), home); got != want {
			t.Errorf("%s: got\n%swant\n%s", home, got, want)
		}
		if !found || strings.Count(ours, "\n") != len(Differences)+2 || !strings.Contains(ours, "\nSandboxes here are made of ") {
			t.Errorf("%s: the differences are\n%s", home, ours)
		}
	}
}

// knowing is what the original printed, but for files of which it has no idea and
// this program has.
func knowing(text, home string) string {
	v := view{dir: control.In(home)}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if name, ok := strings.CutSuffix(line, ": I have no idea what this file does.\n"); ok {
			line = name + ": " + v.describeForeign(name)
		}
		out.WriteString(line)
	}
	return out.String()
}

func TestHead(t *testing.T) {
	useAccounts(t)
	out, _, _ := run(t, "testdata/me")
	const want = `qmail home directory: testdata/me.
user-ext delimiter: -.
paternalism (in decimal): 2.
silent concurrency limit: 120.
subdirectory split: 23.
user ids: 0, 0, 0, 0, 0, 0, 0, 0.
group ids: `
	if !strings.HasPrefix(out, want) {
		t.Errorf("got\n%.400s\nwant\n%s", out, want)
	}
}

func TestCannotStart(t *testing.T) {
	useAccounts(t)
	for _, c := range []struct {
		name, want string
		make       []string // directories to make in the home
	}{
		{"no home", "Oops! Unable to chdir to HOME.\n", nil},
		{"no control", "Oops! Unable to chdir to control.\n", []string{""}},
		{"unreadable me", "Oops! Trouble reading control/me.", []string{"control/me"}},
	} {
		home := filepath.Join(t.TempDir(), "home")
		for _, dir := range c.make {
			if err := os.MkdirAll(filepath.Join(home, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		out, stderr, status := run(t, home)
		want := strings.ReplaceAll(c.want, "HOME", home)
		if status != 111 || !strings.HasSuffix(out, ".\n"+want) || strings.Contains(out, "me:") || stderr != "" {
			t.Errorf("%s: status %d, stderr %q, output %q, want it to end in %q", c.name, status, stderr, out, want)
		}
	}
}

func TestUnknownAccount(t *testing.T) {
	useAccounts(t)
	conf.UserSend = "no such user"
	out, stderr, status := run(t, "testdata/me")
	if out != "" || stderr != "fatal: unable to find user no such user\n" || status != 111 {
		t.Errorf("got %q, %q, %d", out, stderr, status)
	}
	useAccounts(t)
	conf.GroupQmail = "no such group"
	if _, stderr, status = run(t, "testdata/me"); stderr != "fatal: unable to find group no such group\n" || status != 111 {
		t.Errorf("got %q, %d", stderr, status)
	}
}

func TestCompiled(t *testing.T) {
	old := time.Unix(1e9, 0)
	for _, c := range []struct {
		source, db time.Duration // age after old; negative: no such file
		want       string
	}{
		{-1, -1, "(Default.) No effect.\n"},
		{-1, 0, "Oops! morercpthosts.cdb exists but morercpthosts doesn't.\n"},
		{0, -1, "Oops! morercpthosts exists but morercpthosts.cdb doesn't.\n"},
		{time.Second, 0, "Oops! morercpthosts.cdb is older than morercpthosts.\n"},
		{0, time.Second, "Modified recently enough; hopefully up to date.\n"},
		{900 * time.Millisecond, 100 * time.Millisecond, "Modified recently enough; hopefully up to date.\n"},
		{1100 * time.Millisecond, 900 * time.Millisecond, "Oops! morercpthosts.cdb is older than morercpthosts.\n"},
	} {
		dir := t.TempDir()
		for name, age := range map[string]time.Duration{"morercpthosts": c.source, "morercpthosts.cdb": c.db} {
			if age < 0 {
				continue
			}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, old.Add(age), old.Add(age)); err != nil {
				t.Fatal(err)
			}
		}
		s, _ := control.Find("morercpthosts.cdb")
		if got := (view{dir: control.Dir(dir)}).describe(s); got != c.want {
			t.Errorf("source %v, cdb %v: %q, want %q", c.source, c.db, got, c.want)
		}
	}
}

// Numbers are shown as the programs read them.
func TestNumbers(t *testing.T) {
	s, _ := control.Find("databytes")
	for value, want := range map[string]string{
		"99999999999999999999": "SMTP DATA limit is 9223372036854775807 bytes.\n",
		"4294967301x":          "SMTP DATA limit is 4294967301 bytes.\n",
		"007":                  "SMTP DATA limit is 7 bytes.\n",
		"-5":                   "(Default.) SMTP DATA limit is 0 bytes.\n",
		"":                     "(Default.) SMTP DATA limit is 0 bytes.\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "databytes"), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := (view{dir: control.Dir(dir)}).describe(s); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// Whatever a file has in it, one value stays on one line of printable ASCII.
func FuzzSentence(f *testing.F) {
	f.Add("host.example")
	f.Add("a\tb\x01\xff%s\n")
	f.Fuzz(func(t *testing.T, value string) {
		for _, s := range control.Registry {
			if s.Kind == control.KindCompiled {
				continue
			}
			got := sentence(s.Text, value)
			line, rest, _ := strings.Cut(got, "\n")
			if rest != "" || bytes.ContainsFunc([]byte(line), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %q", s.Name, got)
			}
			if len(got) != len(s.Text)-len("%s")-strings.Count(s.Text, "%%")+len(value)+1 {
				t.Errorf("%s: %q has lost or gained bytes", s.Name, got)
			}
		}
	})
}

// A file that qmail does not have is shown where it is there, and known then.
func TestNewFile(t *testing.T) {
	useAccounts(t)
	home := t.TempDir()
	if err := os.MkdirAll(home+"/control", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, contents string
		mode           os.FileMode
		want           string
	}{
		{"remotelimits", "a.test:1\n", 0o644, "\nLimit on remote deliveries: a.test:1\n"},
		{"tlsroutes", "a.test:verify\n:may\n", 0o644, "\nSMTP client TLS: a.test:verify\nSMTP client TLS: :may\n"},
		{"tlscas", "of me\n-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", 0o644, "SMTP client trusts 1 certificate(s) here and no other authority.\n"},
		{"remotesecrets", "relay:joe:xyzzy\nxyzzy\n", 0o400, "\nSMTP client has a secret for joe at relay.\nOops! A line is not in form.\n"},
		{"remotesecrets", "relay:joe:xyzzy\n", 0o440, "Oops! This file is not used: others than its owner may read it: its mode should be 0400.\n"},
	} {
		name := "\n" + c.name + ": "
		if err := os.RemoveAll(home + "/control/" + c.name); err != nil {
			t.Fatal(err)
		}
		if out, _, _ := run(t, home); strings.Contains(out, name) {
			t.Errorf("an absent file is shown: %s", out)
		}
		if err := os.WriteFile(home+"/control/"+c.name, []byte(c.contents), c.mode); err != nil {
			t.Fatal(err)
		}
		out, _, _ := run(t, home)
		if !strings.Contains(out, name+c.want) || strings.Contains(out, "no idea") {
			t.Errorf("got %s, want %q in it", out, name+c.want)
		}
		if strings.Contains(out, "xyzzy") {
			t.Errorf("a secret is shown: %s", out)
		}
	}
}
