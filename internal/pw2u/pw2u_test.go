package pw2u

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/users"
)

// newHome makes a home with the directory users, and files in it.
func newHome(t testing.TB, files map[string]string) {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(conf.Home+"/users", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, contents := range files {
		if err := os.WriteFile(conf.Home+"/users/"+name, []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// do runs the program and returns its status and what it said.
func do(t testing.TB, passwd string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	scratch := t.TempDir()
	if err := os.WriteFile(scratch+"/in", []byte(passwd), 0o600); err != nil {
		t.Fatal(err)
	}
	var files [3]*os.File
	for i, name := range []string{"in", "out", "err"} {
		f, err := os.OpenFile(filepath.Join(scratch, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	p := &prog.Process{Name: "qmail-pw2u", Args: args, Dir: "/", Stdin: files[0], Stdout: files[1], Stderr: files[2]}
	status = p.Do(Run)
	out, _ := os.ReadFile(files[1].Name())
	said, _ := os.ReadFile(files[2].Name())
	return status, string(out), string(said)
}

const (
	joe   = "joe:x:1001:100:Joe:/h/joe:/bin/sh\n"
	alias = "alias:x:5:6::/h/alias:/x\n"
	up    = "Up:x:1003:100::/h/Up:\n"

	// What the C program makes of joe and alias with -H.
	joeLines   = "=joe:joe:1001:100:/h/joe:::\n+joe-:joe:1001:100:/h/joe:-::\n"
	aliasLines = "+:alias:5:6:/h/alias:-::\n=alias:alias:5:6:/h/alias:::\n+alias-:alias:5:6:/h/alias:-::\n"
)

// What is wanted is what the C program prints for the same input.
func TestPrints(t *testing.T) {
	for _, c := range []struct {
		files  map[string]string
		args   string
		passwd string
		want   string
	}{
		{nil, "-H", joe + alias, joeLines + aliasLines + ".\n"},
		{nil, "-H", alias + joe[:len(joe)-1], aliasLines + joeLines + ".\n"},
		{nil, "-H extra", alias, aliasLines + ".\n"},
		{nil, "-H -/", alias, "+:alias:5:6:/h/alias:-/::\n=alias:alias:5:6:/h/alias:::\n+alias-:alias:5:6:/h/alias:-/::\n.\n"},
		{nil, "-HC", joe + alias, "=joe:joe:1001:100:/h/joe:::\n+:alias:5:6:/h/alias:-::\n=alias:alias:5:6:/h/alias:::\n.\n"},
		{nil, "-H -c+b", alias, strings.Replace(aliasLines, "+alias-", "+alias+", 1) + ".\n"},
		{nil, "-H", up + alias, aliasLines + ".\n"},
		{nil, "-H -u -U", up + alias, aliasLines + ".\n"},
		{nil, "-uH", up + alias, "=Up:Up:1003:100:/h/Up:::\n+Up-:Up:1003:100:/h/Up:-::\n" + aliasLines + ".\n"},
		// Neither complete nor an account that mail may go to.
		{nil, "-H", "\nroot:x:0:0::/root:\nfive:x:1:1::/h\n:x:1:1::/h:\nn\x00l:x:1:1::/h:\nempty:x::1::/h:\n+::::::\n" + alias, aliasLines + ".\n"},
		{map[string]string{"include": "JOE\nalias\n#jane\n jane\n"}, "-H", "jane:x:1:1::/h:\n" + joe + alias, joeLines + aliasLines + ".\n"},
		{map[string]string{"exclude": "joe  \n"}, "-H", joe + alias, aliasLines + ".\n"},
		{map[string]string{"mailnames": "joe:one:Two::one:\njane:\nnocolon\n"}, "-HC", joe + "jane:x:1:1::/h:\n" + alias,
			"=one:joe:1001:100:/h/joe:::\n=Two:joe:1001:100:/h/joe:::\n=one:joe:1001:100:/h/joe:::\n+:alias:5:6:/h/alias:-::\n=alias:alias:5:6:/h/alias:::\n.\n"},
		{map[string]string{"subusers": "sub:JOE:Pre:more\n#c\nshort:joe:pre\n:joe::\n"}, "-H", joe + alias, joeLines + aliasLines +
			"=sub:joe:1001:100:/h/joe:-:Pre:\n+sub-:joe:1001:100:/h/joe:-:Pre-:\n=:joe:1001:100:/h/joe:-::\n+-:joe:1001:100:/h/joe:-:-:\n.\n"},
		{map[string]string{"append": "=x:append\nno newline"}, "-H", alias, aliasLines + "=x:append\nno newline.\n"},
	} {
		newHome(t, c.files)
		status, stdout, stderr := do(t, c.passwd, strings.Fields(c.args)...)
		if status != 0 || stdout != c.want || stderr != "" {
			t.Errorf("%s with %q of %q: %d, %q\n%s\nwant\n%s", c.args, c.files, c.passwd, status, stderr, stdout, c.want)
		}
	}
}

// An id that is none was printed as it was, and read as another one later.
func TestOddIDs(t *testing.T) {
	newHome(t, nil)
	odd := "a:x:1x:1::/h:\nb:x:1:zz::/h:\nc:x:-1:1::/h:\nd:x:4294968297:1::/h:\ne:x:4294967295:1::/h:\nf:x: 1:1::/h:\n"
	if status, stdout, _ := do(t, odd+alias, "-H"); status != 0 || stdout != aliasLines+".\n" {
		t.Errorf("%d\n%s", status, stdout)
	}
}

func TestHomes(t *testing.T) {
	newHome(t, nil)
	uid := os.Getuid()
	for _, name := range []string{"mine", "other"} {
		if err := os.Mkdir(conf.Home+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if uid == 0 { // whose mail goes nowhere
		uid = 1001
		if err := os.Chown(conf.Home+"/mine", uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	line := func(name, home string, uid int) string { return fmt.Sprintf("%s:x:%d:1::%s:\n", name, uid, home) }
	mine := line("alias", conf.Home+"/mine", uid)
	for _, c := range []struct {
		args, passwd string
		printed      string // names
		stderr       string
	}{
		{"", mine + line("a", conf.Home+"/other", uid+1) + line("b", conf.Home+"/absent", uid), "alias", ""},
		{"-H", mine + line("a", conf.Home+"/other", uid+1) + line("b", conf.Home+"/absent", uid), "alias a b", ""},
		{"-H -o", mine + line("b", conf.Home+"/absent", uid), "alias", ""},
		{"-h", mine + line("b", "", uid), "alias", "unable to stat "},
		{"-h", mine + line("b", conf.Home+"/absent", uid), "alias", "unable to stat " + conf.Home + "/absent"},
		{"-o", mine + line("b", conf.Home+"/users/x/y", uid) + line("c", "/dev/null/x", uid), "alias", "unable to stat /dev/null/x"},
		{"", mine + line("rel", "mine", uid), "alias rel", ""}, // relative to the home of the suite
	} {
		status, stdout, stderr := do(t, c.passwd, strings.Fields("-C "+c.args)...)
		var printed []string
		for l := range strings.Lines(stdout) {
			if name, found := strings.CutPrefix(l, "="); found {
				name, _, _ = strings.Cut(name, ":")
				printed = append(printed, name)
			}
		}
		wantStatus, wantErr := 0, ""
		if c.stderr != "" {
			wantStatus, wantErr = 111, "qmail-pw2u: fatal: "+c.stderr+"\n"
		}
		if status != wantStatus || stderr != wantErr || !slices.Equal(printed, strings.Fields(c.printed)) {
			t.Errorf("%q: %d, %q, printed %q, want %d, %q, %s", c.args, status, stderr, printed, wantStatus, wantErr, c.printed)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		what   string
		ruin   func() error
		passwd string
		args   []string
		status int
		stderr string
	}{
		{"option", nil, alias, []string{"-x"}, 100, "qmail-pw2u: illegal option -- x\n"},
		{"separator", nil, alias, []string{"-c:"}, 100, "qmail-pw2u: usage: qmail-pw2u [ -/ohHuUC ] [ -cchar ]\n"},
		{"no alias", nil, joe, []string{"-H"}, 111, "qmail-pw2u: fatal: unable to find alias user\n"},
		{"alias excluded", func() error { return os.WriteFile(conf.Home+"/users/exclude", []byte("alias"), 0o644) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to find alias user\n"},
		{"unknown user", func() error { return os.WriteFile(conf.Home+"/users/subusers", []byte("a:b:c:"), 0o644) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to find b user for subuser\n"},
		{"include", func() error { return os.Mkdir(conf.Home+"/users/include", 0o755) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to read controls\n"},
		{"mailnames", func() error { return os.Mkdir(conf.Home+"/users/mailnames", 0o755) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to read controls\n"},
		{"subusers", func() error { return os.Mkdir(conf.Home+"/users/subusers", 0o755) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to read input\n"},
		{"append", func() error { return os.Mkdir(conf.Home+"/users/append", 0o755) }, alias,
			[]string{"-H"}, 111, "qmail-pw2u: fatal: unable to read input\n"},
	} {
		newHome(t, nil)
		if c.ruin != nil {
			if err := c.ruin(); err != nil {
				t.Fatal(err)
			}
		}
		status, stdout, stderr := do(t, c.passwd, c.args...)
		if status != c.status || stderr != c.stderr {
			t.Errorf("%s: %d, %q, want %d, %q", c.what, status, stderr, c.status, c.stderr)
		}
		if strings.HasSuffix("\n"+stdout, "\n.\n") {
			t.Errorf("%s: failed, and printed what qmail-newu would take", c.what)
		}
	}
}

// FuzzPasswd: whatever the accounts are called, what is printed is a text that
// qmail-newu takes, with two lines or three for an account, and none makes root.
func FuzzPasswd(f *testing.F) {
	f.Add(joe+up, "sub:joe:pre:\n")
	f.Add("a:x:1x:1::/h:\n+::::::\n.:x:1:1::/h:", "a:.:b:")
	f.Add("=:x:1:1:::\n#:x:1:1:::\n\r:x:1:1:\xff:\r:\r", ".:\r:+:")
	f.Fuzz(func(t *testing.T, passwd, subusers string) {
		var out strings.Builder
		text := &table{homes: 'H', capitals: true, separator: "-", dash: "-",
			byUser: map[string]users.Assignment{}, out: bufio.NewWriter(&out)}
		if eachLine(strings.NewReader(passwd), text.account) != nil || eachLine(strings.NewReader(subusers), text.subuser) != nil {
			return // a subuser of nobody
		}
		text.out.WriteString(".\n")
		text.out.Flush()
		stdout, records := out.String(), 0
		for record, err := range users.Assign(strings.NewReader(stdout)) {
			if err != nil {
				t.Fatalf("%v in\n%s", err, stdout)
			}
			if record.Key == "" {
				continue
			}
			records++
			if a, err := users.ParseRecord(record.Value + "\x00"); err != nil || a.UID == 0 {
				t.Errorf("%q is %+v, %v", record.Key, a, err)
			}
		}
		if lines := strings.Count(stdout, "\n"); records != lines-1 {
			t.Errorf("%d assignments in %d lines", records, lines-1)
		}
	})
}
