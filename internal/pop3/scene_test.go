package pop3_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/maildir2mbox"
	"quail/internal/pop3d"
	"quail/internal/popnet"
	"quail/internal/popup"
	"quail/internal/prog"
)

// The scenes in testdata/pop3 are what the original programs did, each with what they
// were given. Their form:
//
//	== TITLE
//	maildir NAME
//	mail FILE SECONDS CONTENT   changed so many seconds after the year 2001 began
//	file NAME CONTENT  /  dir NAME  /  script NAME TEXT
//	env NAME=VALUE
//	say TEXT                    what descriptor 0 has, up to its end
//	run PROGRAM ARG ...
//	-> STATUS
//	out TEXT                    line by line
//	err TEXT
//	file NAME CONTENT           each that is there after it, but for scripts
//
// Words are quoted as Go strings where they need it, and those of a text are put
// together. N.N stands for a process and a time, $DIR for the directory.
type scene struct {
	title string
	text  string     // from the title to run
	setup [][]string // the same in words
	want  string     // everything below run
}

var record = flag.String("program", "", "run the programs in this directory instead, and write down what they did")

// home is where qmail-popup finds its other half.
var home string

const (
	childVariable = "QUAIL_TEST_PROGRAM"
	homeVariable  = "QUAIL_TEST_HOME"
	nobody        = 65534
)

var programs = map[string]struct {
	run     func(*prog.Process) error
	options []prog.Option
}{
	"qmail-popup":  {run: popup.Run},
	"qmail-popnet": {run: popnet.Run, options: []prog.Option{prog.Descriptors(5)}},
	"qmail-pop3d":  {run: pop3d.Run},
	"maildir2mbox": {run: maildir2mbox.Run, options: []prog.Option{prog.Umask(0o77)}},
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Unsetenv(childVariable)
		conf.Home = os.Getenv(homeVariable)
		os.Unsetenv(homeVariable)
		if os.Getuid() == 0 {
			for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
				if err != nil {
					panic(err)
				}
			}
		}
		prog.Main(name, programs[name].run, programs[name].options...)
	}
	os.Exit(func() int {
		var err error
		if home, err = os.MkdirTemp("", "pop3"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(home)
		if err := layOut(home); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func TestScenes(t *testing.T) {
	files, err := filepath.Glob("../../testdata/pop3/*.scenes")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			check(t, err)
			head, scenes := parseScenes(t, string(text))
			out := head
			for _, s := range scenes {
				got := s.play(t)
				if *record == "" && got != s.want {
					t.Errorf("%s:\n%s\nwant\n%s", s.title, got, s.want)
				}
				out += s.text + got + "\n"
			}
			if *record != "" {
				check(t, os.WriteFile(name, []byte(out), 0o644))
			}
		})
	}
}

func parseScenes(t *testing.T, text string) (head string, scenes []*scene) {
	t.Helper()
	parts := strings.Split(text, "\n== ")
	for _, part := range parts[1:] {
		lines := strings.Split(strings.TrimRight(part, "\n"), "\n")
		s := &scene{title: lines[0], text: "== " + lines[0] + "\n"}
		scenes = append(scenes, s)
		for i, line := range lines[1:] {
			words := split(t, line)
			s.setup = append(s.setup, words)
			s.text += line + "\n"
			if words[0] == "run" {
				s.want = strings.TrimSpace(strings.Join(lines[i+2:], "\n")) + "\n"
				break
			}
		}
	}
	return parts[0] + "\n", scenes
}

var plain = regexp.MustCompile(`^[-+a-zA-Z0-9_./@:,=$#~|&;]+$`)

func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return strconv.Quote(word)
}

func split(t *testing.T, line string) (words []string) {
	t.Helper()
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		word, _, _ := strings.Cut(rest, " ")
		value := word
		if rest[0] == '"' {
			var err error
			if word, err = strconv.QuotedPrefix(rest); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			value, _ = strconv.Unquote(word)
		}
		rest = rest[len(word):]
		words = append(words, value)
	}
	return words
}

// play sets the scene up, has the program run and returns what came of it.
func (s *scene) play(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	var say string
	var run []string
	scripts := map[string]bool{}
	for _, w := range s.setup {
		at := func() string { return filepath.Join(dir, w[1]) }
		switch w[0] {
		case "maildir":
			makeMaildir(t, at())
		case "mail":
			seconds, err := strconv.Atoi(w[2])
			check(t, err)
			check(t, os.WriteFile(at(), []byte(strings.Join(w[3:], "")), 0o644))
			when := time.Date(2001, 1, 1, 0, 0, seconds, 0, time.UTC)
			check(t, os.Chtimes(at(), when, when))
		case "file":
			check(t, os.WriteFile(at(), []byte(strings.Join(w[2:], "")), 0o644))
		case "dir":
			check(t, os.Mkdir(at(), 0o755))
		case "script":
			check(t, os.WriteFile(at(), []byte("#!/bin/sh\n"+strings.Join(w[2:], "")+"\n"), 0o755))
			scripts[w[1]] = true
		case "env":
			env = append(env, w[1])
		case "say":
			say += strings.Join(w[1:], "")
		case "run":
			run = w[1:]
		default:
			t.Fatalf("%s: what is %q?", s.title, w[0])
		}
	}
	giveAway(t, dir)
	outcome := execute(t, dir, env, run, say)
	for name, content := range tree(t, dir) {
		if !scripts[name] {
			outcome = append(outcome, "file "+quote(name)+" "+quote(content))
		}
	}
	// Files come in no order; what was said keeps its own.
	end := slices.IndexFunc(outcome, func(line string) bool { return strings.HasPrefix(line, "file ") })
	if end >= 0 {
		slices.Sort(outcome[end:])
	}
	text := strings.ReplaceAll(strings.Join(outcome, "\n")+"\n", dir, "$DIR")
	return unique.ReplaceAllString(text, "<N.N@")
}

var unique = regexp.MustCompile(`<\d+\.\d+@`)

func makeMaildir(t *testing.T, dir string) {
	t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		check(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
}

// command is a program of the suite to be run as nobody if the test is run by root:
// this test program, or the one to be written down.
func command(t *testing.T, dir string, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self, args...)
	cmd.Args[0] = name
	cmd.Env = append(env, childVariable+"="+name, homeVariable+"="+home)
	if *record != "" {
		cmd = exec.Command(filepath.Join(*record, name), args...)
		cmd.Env = env
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
	}
	cmd.Dir = dir
	return cmd
}

// layOut makes a home where qmail-popup finds this test program as qmail-popnet. It is a
// copy, since the user may not reach the one that is run.
func layOut(home string) error {
	path, err := os.Executable()
	var self []byte
	if err == nil {
		self, err = os.ReadFile(path)
	}
	if err == nil {
		err = os.Chmod(home, 0o755)
	}
	if err == nil {
		err = os.Mkdir(home+"/bin", 0o755)
	}
	if err == nil {
		err = os.WriteFile(home+"/bin/test", self, 0o755)
	}
	if err != nil {
		return err
	}
	script := "#!/bin/sh\n" + childVariable + "=qmail-popnet exec '" + home + "/bin/test' \"$@\"\n"
	return os.WriteFile(home+"/bin/qmail-popnet", []byte(script), 0o755)
}

// execute runs a program and returns how it ended and what it said.
func execute(t *testing.T, dir string, env, run []string, say string) (lines []string) {
	t.Helper()
	cmd := command(t, dir, env, run[0], run[1:]...)
	cmd.Stdin = strings.NewReader(say)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	lines = []string{"-> " + strconv.Itoa(cmd.ProcessState.ExitCode())}
	for line := range strings.Lines(stdout.String()) {
		lines = append(lines, "out "+quote(line))
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, "qmail-popup: warning: ") {
			continue // the original keeps to itself why it cannot run a program
		}
		lines = append(lines, "err "+quote(line))
	}
	return lines
}

// giveAway makes the user the owner of everything, if the test is run by root.
func giveAway(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	check(t, os.Chmod(filepath.Dir(dir), 0o755)) // as it comes, only root gets in
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}))
}

// tree returns the content of all regular files below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		check(t, err)
		name, err := filepath.Rel(dir, path)
		out[name] = string(content)
		return err
	}))
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
