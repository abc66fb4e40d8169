package newaliases

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

const testdata = "../../testdata/fastforward/"

// home makes a home with control files, and returns a directory to work in.
func home(t *testing.T) string {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(conf.Home+"/control", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, conf.Home+"/control/me", "me.example\n")
	write(t, conf.Home+"/control/plusdomain", "plus.example\n")
	return t.TempDir()
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// do runs a program and returns its status and complaints.
func do(t *testing.T, run func(*prog.Process) error, dir string, env prog.Env, args ...string) (status int, complaint string) {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p := &prog.Process{Name: "new", Args: args, Env: env, Dir: dir, Stderr: stderr}
	status = p.Do(run)
	return status, string(read(t, stderr.Name()))
}

// What C's programs made of the same files.
func TestGolden(t *testing.T) {
	dir := home(t)
	for _, name := range []string{"aliases", "list"} {
		write(t, dir+"/"+name, string(read(t, testdata+name)))
	}
	if status, complaint := do(t, Program(dir+"/aliases").Run, dir, nil); status != 0 || complaint != "" {
		t.Errorf("newaliases: %d, %q", status, complaint)
	}
	if status, complaint := do(t, Include, dir, nil, "list"); status != 0 || complaint != "" {
		t.Errorf("newinclude: %d, %q", status, complaint)
	}
	for _, name := range []string{"aliases.cdb", "list.bin"} {
		if !bytes.Equal(read(t, dir+"/"+name), read(t, testdata+name)) {
			t.Errorf("%s is not that of fastforward 0.51", name)
		}
	}
	if names, _ := filepath.Glob(dir + "/*.tmp"); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestVariables(t *testing.T) {
	dir := home(t)
	write(t, dir+"/list", "joe, x@y, z@+\n")
	env := prog.Env{"QMAILDEFAULTHOST=host", "QMAILDEFAULTDOMAIN=domain", "QMAILPLUSDOMAIN=plus"}
	if status, complaint := do(t, Include, "/", env, dir+"/list"); status != 0 {
		t.Errorf("%d, %q", status, complaint)
	}
	if got := string(read(t, dir+"/list.bin")); got != "&z@.plus\x00&x@y.domain\x00&joe@host.domain\x00" {
		t.Errorf("got %q", got)
	}
}

// Whatever is wrong is said in a line, and what was there stays.
func TestErrors(t *testing.T) {
	dir := home(t)
	file := dir + "/file"
	aliases := Program(file).Run
	for _, c := range []struct {
		run    func(*prog.Process) error
		text   string
		args   []string
		status int
		want   string
	}{
		{aliases, "a: b\nroot:\n", nil, 111, "new: fatal: unable to parse this line: root:\n"},
		{aliases, "a: /b\n", nil, 111, "new: fatal: file delivery /b not supported\n"},
		{aliases, "a: " + strings.Repeat("x", 900), nil, 100, "new: fatal: addresses must be under 800 bytes\n"},
		{Include, "a\n\"b\n", []string{file}, 111, "new: fatal: unable to parse this line: \"b\n"},
		{Include, "|a\n", []string{file}, 111, "new: fatal: program delivery |a not supported\n"},
		{Include, strings.Repeat("x", 900), []string{file}, 111, "new: fatal: addresses must be under 800 bytes\n"},
		{Include, "", nil, 100, "new: usage: newinclude list\n"},
		{Include, "", []string{"absent"}, 111, "new: fatal: unable to read absent: file does not exist\n"},
		{Program(dir + "/absent").Run, "", nil, 111, "new: fatal: unable to read " + dir + "/absent: file does not exist\n"},
	} {
		write(t, file, c.text)
		write(t, file+".cdb", "old")
		write(t, file+".bin", "old")
		status, complaint := do(t, c.run, dir, nil, c.args...)
		if status != c.status || complaint != c.want {
			t.Errorf("%.20q: %d, %q, want %d, %q", c.text, status, complaint, c.status, c.want)
		}
		if old := string(read(t, file+".cdb")) + string(read(t, file+".bin")); old != "oldold" {
			t.Errorf("%.20q has replaced what was there", c.text)
		}
	}
	if err := os.Remove(conf.Home + "/control/me"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(conf.Home+"/control/me", 0o755); err != nil {
		t.Fatal(err)
	}
	if status, complaint := do(t, aliases, dir, nil); status != 111 || complaint != "new: fatal: unable to read controls: is a directory\n" {
		t.Errorf("control files that cannot be read: %d, %q", status, complaint)
	}
}
