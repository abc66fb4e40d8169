// The shell scripts of this directory run under dash here, with stand-ins for
// programs: an installer looks at files, never runs them.

package scripts_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quail/internal/control"
)

// entry is a line of the table in scripts/files.
type entry struct{ kind, mode, owner, group, path string }

func table(t *testing.T) (entries []entry) {
	t.Helper()
	contents, err := os.ReadFile("files")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(contents)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			if len(f) != 5 {
				t.Fatalf("files: not five fields: %q", line)
			}
			entries = append(entries, entry{f[0], f[1], f[2], f[3], f[4]})
		}
	}
	return entries
}

// built returns a directory with stand-ins for all programs, linked as mark says.
func built(t *testing.T, mark string) string {
	t.Helper()
	bin := t.TempDir()
	for _, e := range table(t) {
		if e.kind == "x" {
			write(t, filepath.Join(bin, filepath.Base(e.path)), "\x7fELF\x00\x01\xff\n"+mark+"\x00rest:\n")
		}
	}
	return bin
}

func write(t *testing.T, name, contents string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(contents), 0o755); err != nil {
		t.Fatal(err)
	}
}

// dash runs a script and returns what it printed.
func dash(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command("dash", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustDash(t *testing.T, args ...string) string {
	t.Helper()
	output, err := dash(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", args, err, output)
	}
	return output
}

// replaced are the files that a second installation renames new ones onto, and the
// directories of those.
var replaced = regexp.MustCompile(`^/(var|opt)/qmail/(bin|doc|man)`)

// snapshot describes every file below dir, what is replaced without its times: a second
// installation must leave the rest exactly as it was.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		name := strings.TrimPrefix(path, dir)
		files[name] = fmt.Sprint(info.Mode(), st.Uid, st.Gid)
		if !replaced.MatchString(name) {
			files[name] += fmt.Sprint(st.Ino, info.ModTime())
		}
		if info.Mode().IsRegular() {
			contents, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files[name] += string(contents)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func compare(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, was := range before {
		if is, ok := after[name]; !ok || is != was {
			t.Errorf("%s was %q, is %q", name, was, is)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s is new", name)
		}
	}
}

const mark = "quail-linked-for:/var/qmail:23:alias:"

func TestInstall(t *testing.T) {
	const linked = "/opt/qmail"
	bin, dest := built(t, "quail-linked-for:"+linked+":23:alias:"), t.TempDir()
	home := filepath.Join(dest, linked)
	mustDash(t, "install", "-b", bin, "-d", dest, linked)
	for _, e := range table(t) {
		path := filepath.Join(home, e.path)
		info, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.kind == "l" {
			if target, _ := os.Readlink(path); target != e.mode {
				t.Errorf("%s is a link to %q, want %q", e.path, target, e.mode)
			}
			continue
		}
		want, _ := strconv.ParseUint(e.mode, 8, 32)
		if st := info.Sys().(*syscall.Stat_t); uint64(st.Mode)&0o7777 != want {
			t.Errorf("%s has mode %o, want %o", e.path, st.Mode&0o7777, want)
		}
		if e.kind == "m" {
			checkDocument(t, path, linked, e.path)
		}
		if e.kind == "s" {
			subdirectories, err := os.ReadDir(path)
			if err != nil || len(subdirectories) != 23 {
				t.Errorf("%s has %d subdirectories, %v, want 23", e.path, len(subdirectories), err)
			}
		}
	}
	if contents, err := os.ReadFile(home + "/queue/lock/tcpto"); err != nil || !bytes.Equal(contents, make([]byte, 1024)) {
		t.Errorf("tcpto has %d bytes, %v, want 1024 zeros", len(contents), err)
	}
	if info, err := os.Lstat(home + "/queue/lock/trigger"); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("trigger is %v, %v, want a FIFO", info.Mode(), err)
	}
	before := snapshot(t, dest)
	mustDash(t, "install", "-b", bin, "-d", dest, linked)
	compare(t, before, snapshot(t, dest))
}

// checkDocument wants a document to be the checkout's; pages name the home that is
// linked in.
func checkDocument(t *testing.T, installed, home, path string) {
	t.Helper()
	source := "../" + filepath.Base(path)
	if strings.HasPrefix(path, "man/") {
		source = "man/" + filepath.Base(path)
	}
	want, err := os.ReadFile(source)
	if err != nil {
		t.Error(err)
		return
	}
	if strings.HasPrefix(path, "man/") {
		want = bytes.ReplaceAll(want, []byte("/var/qmail"), []byte(home))
	}
	if got, err := os.ReadFile(installed); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is %q, %v, want %q", path, got, err, want)
	}
}

// What is there is somebody's: only what is missing beside it is made.
func TestInstallTouchesNothing(t *testing.T) {
	bin, dest := built(t, mark), t.TempDir()
	home := filepath.Join(dest, "var/qmail")
	mustDash(t, "install", "-b", bin, "-d", dest, "/var/qmail")
	for _, name := range []string{"alias/.qmail-root", "alias/.qmail-mailer-daemon"} {
		if err := os.Remove(filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"queue/mess/7/123", "queue/lock/tcpto", "control/me", "control/rcpthosts",
		"alias/.qmail-default", "alias/.qmail-postmaster", "users/assign", "users/cdb", "rc"} {
		write(t, filepath.Join(home, name), "the administrator's\n")
	}
	if err := os.Chmod(home+"/control", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(home + "/queue/bounce"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dest)
	output := mustDash(t, "install", "-b", bin, "-d", dest, "/var/qmail")
	if !strings.Contains(output, "leaving "+home+"/rc as it is") {
		t.Errorf("nothing said about a foreign rc: %s", output)
	}
	if err := os.Remove(home + "/queue/bounce"); err != nil {
		t.Errorf("the missing directory was not made: %v", err)
	}
	after := snapshot(t, dest)
	delete(before, "/var/qmail/queue") // whose times have changed with bounce
	delete(after, "/var/qmail/queue")
	compare(t, before, after)
}

func TestInstallRefuses(t *testing.T) {
	withSplit := func(n int) string {
		dest := t.TempDir()
		for i := range n {
			if err := os.MkdirAll(fmt.Sprintf("%s/var/qmail/queue/mess/%d", dest, i), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dest
	}
	good := built(t, mark)
	mixed := built(t, mark)
	write(t, mixed+"/qmail-send", "quail-linked-for:/var/qmail:7:alias:")
	incomplete := built(t, mark)
	if err := os.Remove(incomplete + "/preline"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ bin, dest, says string }{
		{built(t, "quail-linked-for:/opt/qmail:23:alias:"), "", "was linked for /opt/qmail, not /var/qmail: make build QMAIL=/var/qmail first, or make install QMAIL=/opt/qmail"},
		{built(t, "quail-linked-for:/var/qmail2:23:alias:"), "", "not /var/qmail: make"},
		{built(t, "quail-linked-for:/var/qmail:23:joe:"), "", "was linked for joe alone: make build QMAIL=/var/qmail ACCOUNTS=qmail first"},
		{built(t, "quail-linked-for:"), "", "was not built by make"},
		{built(t, ""), "", "was not built by make"},
		{mixed, "", "qmail-send was linked with another SPLIT"},
		{incomplete, "", "there is no "},
		{good, withSplit(7), "the queue has 7 subdirectories, not 23: make build QMAIL=/var/qmail SPLIT=7 first"},
		{good, withSplit(24), "the queue has 24 subdirectories"},
	} {
		dest := c.dest
		if dest == "" {
			dest = t.TempDir()
		}
		before := snapshot(t, dest)
		output, err := dash(t, "install", "-b", c.bin, "-d", dest, "/var/qmail")
		if err == nil || !strings.Contains(output, c.says) {
			t.Errorf("install: %v, said %q, want %q", err, output, c.says)
		}
		compare(t, before, snapshot(t, dest))
	}
	for _, args := range [][]string{{}, {"relative"}, {"/a", "/b"}, {"-x", "/a"}} {
		if output, err := dash(t, append([]string{"install"}, args...)...); err == nil || !strings.Contains(output, "usage: install") {
			t.Errorf("install %q: %v, said %q, want the usage", args, err, output)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, me, domain, plus string }{
		{"a.b.c", "a.b.c", "b.c", "b.c"},
		{"b.c", "b.c", "b.c", "b.c"}, // one label alone is no domain
		{"host", "host", "host", "host"},
		{"Mail.A.Example.ORG", "mail.a.example.org", "a.example.org", "example.org"},
	} {
		dir := t.TempDir()
		mustDash(t, "commands/config-fast", c.name, dir)
		for file, want := range map[string]string{
			"me": c.me, "defaultdomain": c.domain, "plusdomain": c.plus,
			"locals": "localhost\n" + c.me, "rcpthosts": "localhost\n" + c.me,
		} {
			if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want+"\n" {
				t.Errorf("config %s: %s = %q, %v, want %q", c.name, file, got, err, want+"\n")
			}
		}
		before := snapshot(t, dir)
		mustDash(t, "commands/config-fast", "another.example", dir)
		compare(t, before, snapshot(t, dir))
	}
	for _, name := range []string{"", "a b", "../x", ".x", "x.", "a..b", "a/b", "a&b"} {
		dir := t.TempDir()
		if output, err := dash(t, "commands/config-fast", name, dir); err == nil {
			t.Errorf("config %q was accepted: %s", name, output)
		}
		if files, _ := os.ReadDir(dir); len(files) != 0 {
			t.Errorf("config %q wrote %v", name, files)
		}
	}
}

// The table names the programs that there are.
func TestPrograms(t *testing.T) {
	var listed, exist []string
	for _, e := range table(t) {
		if e.kind == "x" {
			listed = append(listed, filepath.Base(e.path))
		}
	}
	commands, err := os.ReadDir("../cmd")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		exist = append(exist, c.Name())
	}
	slices.Sort(listed)
	if !slices.Equal(listed, exist) {
		t.Errorf("scripts/files lists %q, cmd/ has %q", listed, exist)
	}
}

var shell = regexp.MustCompile(`^#!/s?bin/sh\n`)

func TestSyntax(t *testing.T) {
	for _, pattern := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			contents, err := os.ReadFile(name)
			if err != nil || !shell.Match(contents) {
				continue
			}
			if output, err := dash(t, "-n", name); err != nil {
				t.Errorf("%s: %v: %s", name, err, output)
			}
			if regexp.MustCompile(`(?m)^\s*(local|function|source|declare) |\[\[|<<<|&>`).Match(contents) {
				t.Errorf("%s uses a word of bash's", name)
			}
		}
	}
}

// Scripts that run at boot also run under shells older than POSIX.
func TestBootScriptsAreOld(t *testing.T) {
	young := regexp.MustCompile(`\$\(|\[ |test -e|(^|[;&|]|\bif|\bwhile)\s*! |\$\{[^}]*[#%:]|export [a-z]*=|\$[({]{2}|~/|grep -q|echo -n`)
	for _, name := range []string{"init.d/qmail", "rc", "rc.smtpd", "rc.auth", "rc.relay-ctrl", "smf/qmail"} {
		contents, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(contents), "\n") {
			if !strings.HasPrefix(line, "#") && young.MatchString(line) {
				t.Errorf("%s:%d: not for Solaris's /sbin/sh: %s", name, i+1, line)
			}
		}
	}
}

// control/README.md is the table of internal/control in words.
func TestControlFiles(t *testing.T) {
	contents, err := os.ReadFile("../control/README.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[control.Kind]string{control.KindLine: "line", control.KindNumber: "number",
		control.KindList: "list", control.KindCompiled: "compiled", control.KindSecrets: "secrets", control.KindPEM: "PEM"}
	var want, got []string
	for _, s := range control.Registry {
		if s.Default == control.Me {
			s.Default = "`me`"
		}
		want = append(want, fmt.Sprintf("`%s` %s %s %s", s.Name, kinds[s.Kind], s.Default, s.Readers))
	}
	for line := range strings.Lines(string(contents)) {
		if f := strings.Split(line, "|"); len(f) == 7 && strings.HasPrefix(f[1], " `") {
			for i := range f {
				f[i] = strings.TrimSpace(f[i])
			}
			got = append(got, strings.Join(f[1:5], " "))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("control/README.md lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
