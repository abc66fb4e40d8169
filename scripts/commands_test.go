package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newCommands installs the scripts of commands in a home, beside stand-ins for the
// programs of the suite and of the system: each a line of shell.
func newCommands(t *testing.T, standins map[string]string) (bin string) {
	t.Helper()
	home := t.TempDir()
	bin = filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir("commands")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		contents, err := os.ReadFile(filepath.Join("commands", name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		// As install does.
		write(t, filepath.Join(bin, name.Name()), strings.ReplaceAll(string(contents), "/var/qmail", home))
	}
	for name, line := range standins {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n"+line+"\n")
	}
	if err := os.Mkdir(filepath.Join(home, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

// runScript runs an installed script, with the stand-ins before the system's programs.
func runScript(t *testing.T, bin, stdin, name string, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command("dash", append([]string{filepath.Join(bin, name)}, args...)...)
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestMailsubj(t *testing.T) {
	bin := newCommands(t, map[string]string{"qmail-inject": `echo "$# arguments"; cat`})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"hi  there", "joe@x", "jane"}, "Subject: hi  there\nTo: joe@x jane\n\nbody\n"},
		{[]string{""}, "Subject: \nTo: \n\nbody\n"},
		{[]string{"-n \\c %s *", "-x"}, "Subject: -n \\c %s *\nTo: -x\n\nbody\n"},
		{[]string{"a\nBcc: b@x\r\n\nc", "d\nCc: e"}, "Subject: a Bcc: b@x   c\nTo: d Cc: e\n\nbody\n"}, // a field stays one
	} {
		if got, err := runScript(t, bin, "body\n", "mailsubj", c.args...); err != nil || got != "0 arguments\n"+c.want {
			t.Errorf("%q: %v, %q, want %q", c.args, err, got, c.want)
		}
	}
	if _, err := runScript(t, bin, "", "mailsubj"); err == nil {
		t.Error("no subject is a success")
	}
	bin = newCommands(t, map[string]string{"qmail-inject": "exit 111"})
	if _, err := runScript(t, bin, "", "mailsubj", "x", "y"); err == nil || err.Error() != "exit status 111" {
		t.Errorf("qmail-inject exited with 111, mailsubj with %v", err)
	}
}

func TestDatemail(t *testing.T) {
	bin := newCommands(t, map[string]string{"predate": `for i; do echo "<$i>"; done; exit 7`})
	got, err := runScript(t, bin, "", "datemail", "-t", "a b", "")
	if want := "<" + bin + "/sendmail>\n<-t>\n<a b>\n<>\n"; got != want || err == nil || err.Error() != "exit status 7" {
		t.Errorf("%v, %q, want %q", err, got, want)
	}
}

func TestReaders(t *testing.T) {
	for script, reader := range map[string]string{"qail": "Mail", "elq": "elm", "pinq": "pine"} {
		show := `echo "` + reader + `"; for i; do echo "<$i>"; done`
		bin := newCommands(t, map[string]string{"maildir2mbox": "echo moved", reader: show})
		if got, err := runScript(t, bin, "", script, "-f", "a b"); err != nil || got != "moved\n"+reader+"\n<-f>\n<a b>\n" {
			t.Errorf("%s: %v, %q", script, err, got)
		}
		bin = newCommands(t, map[string]string{"maildir2mbox": "exit 111", reader: show})
		if got, err := runScript(t, bin, "", script); err == nil || got != "" {
			t.Errorf("%s: maildir2mbox failed, and then %v, %q", script, err, got)
		}
	}
}

// controlFiles returns the first control files that there are below a home, a line each.
func controlFiles(t *testing.T, bin string) string {
	t.Helper()
	var out strings.Builder
	for _, name := range []string{"me", "defaultdomain", "plusdomain", "locals", "rcpthosts"} {
		contents, err := os.ReadFile(filepath.Join(bin, "../control", name))
		if err == nil {
			out.WriteString(name + ": " + strings.Join(strings.Fields(string(contents)), " ") + "\n")
		}
	}
	return out.String()
}

// hosts is a stand-in for getent: ADDRESS NAME pairs, in both directions.
func hosts(table string) string {
	return `while read -r address name; do case $2 in "$address" | "$name") echo "$address   $name alias" ;; esac; done <<END
` + table + `END`
}

func TestConfigFinds(t *testing.T) {
	const names = "192.0.2.1 Mail.Example.ORG\n10.0.0.1 intern.example.org\n"
	for _, c := range []struct {
		what, uname, getent string
		want                string // "" if nothing is written
	}{
		{"full name", "mail.example.org", hosts(""),
			"me: mail.example.org\ndefaultdomain: example.org\nplusdomain: example.org\nlocals: localhost mail.example.org\nrcpthosts: localhost mail.example.org\n"},
		{"short name", "mail", `case $2 in mail) echo 192.0.2.1 mail mail.example.org ;; esac`,
			"me: mail.example.org\ndefaultdomain: example.org\nplusdomain: example.org\nlocals: localhost mail.example.org\nrcpthosts: localhost mail.example.org\n"},
		{"names of addresses", "mail.example.org", hosts(strings.ToLower(names)),
			"me: mail.example.org\ndefaultdomain: example.org\nplusdomain: example.org\nlocals: localhost mail.example.org intern.example.org\nrcpthosts: localhost mail.example.org intern.example.org\n"},
		{"a name that leads elsewhere", "mail.example.org", `case $2 in 192.0.2.1) echo 192.0.2.1 big.example.com ;; big.example.com) echo 192.0.2.99 big.example.com ;; esac`,
			"me: mail.example.org\ndefaultdomain: example.org\nplusdomain: example.org\nlocals: localhost mail.example.org\nrcpthosts: localhost mail.example.org\n"},
		{"no full name", "mail", hosts(""), ""},
	} {
		bin := newCommands(t, map[string]string{"uname": "echo " + c.uname, "getent": c.getent,
			"ipmeprint": "echo 0.0.0.0; echo ::; echo 127.0.0.1; echo 192.0.2.1; echo 10.0.0.1"})
		output, err := runScript(t, bin, "", "config")
		if (err == nil) != (c.want != "") || controlFiles(t, bin) != c.want {
			t.Errorf("%s: %v, %s, left\n%swant\n%s", c.what, err, output, controlFiles(t, bin), c.want)
		}
		if c.want == "" {
			continue
		}
		if output, err := runScript(t, bin, "", "config"); err != nil || controlFiles(t, bin) != c.want || !strings.Contains(output, "nothing is changed") {
			t.Errorf("%s, again: %v, %s, left\n%s", c.what, err, output, controlFiles(t, bin))
		}
	}
}

// A host whose name had no dot got control files with which not even root's mail arrived.
func TestHostname(t *testing.T) {
	source, err := os.ReadFile("hostname")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ uname, getent, want string }{
		{"mail.example.org", hosts(""), "mail.example.org\n"},
		{"mail", `case $2 in mail) echo 192.0.2.1 mail mail.example.org ;; esac`, "mail.example.org\n"},
		{"mail", `echo 192.0.2.1 mailer.example.org mail`, "mail.localdomain\n"},
		{"mail", "exit 2", "mail.localdomain\n"},
	} {
		bin := newCommands(t, map[string]string{"uname": "echo " + c.uname, "getent": c.getent, "hostname": string(source)})
		if output, err := runScript(t, bin, "", "hostname"); err != nil || output != c.want {
			t.Errorf("%s, %s: %v, %q, want %q", c.uname, c.getent, err, output, c.want)
		}
	}
}

// A list that is there is the administrator's.
func TestConfigLeaves(t *testing.T) {
	bin := newCommands(t, map[string]string{"uname": "echo mail.example.org", "getent": hosts("192.0.2.1 other.example.org\n"), "ipmeprint": "echo 192.0.2.1"})
	write(t, filepath.Join(bin, "../control/rcpthosts"), "mine.example\n")
	const want = "me: mail.example.org\ndefaultdomain: example.org\nplusdomain: example.org\n" +
		"locals: localhost mail.example.org other.example.org\nrcpthosts: mine.example\n"
	if output, err := runScript(t, bin, "", "config"); err != nil || controlFiles(t, bin) != want {
		t.Errorf("%v, %s, left\n%swant\n%s", err, output, controlFiles(t, bin), want)
	}
}

func TestConfigFast(t *testing.T) {
	bin := newCommands(t, nil)
	for _, args := range [][]string{nil, {"a", "b", "c"}} {
		if output, err := runScript(t, bin, "", "config-fast", args...); err == nil || !strings.Contains(output, "usage") {
			t.Errorf("%q: %v, %s", args, err, output)
		}
	}
	const want = "me: a.b.c\ndefaultdomain: b.c\nplusdomain: b.c\nlocals: localhost a.b.c\nrcpthosts: localhost a.b.c\n"
	if output, err := runScript(t, bin, "", "config-fast", "A.b.c"); err != nil || controlFiles(t, bin) != want {
		t.Errorf("%v, %s, left\n%s", err, output, controlFiles(t, bin))
	}
}
