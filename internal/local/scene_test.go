package local

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/warm"
)

// The scenes in testdata/dotqmail are what the original qmail-local did, each with
// what it was given. Their form:
//
//	== TITLE
//	file NAME CONTENT  /  dir NAME  /  maildir NAME  /  fifo NAME  /  link NAME TARGET
//	show NAME                  a .qmail file that prints the variables
//	mode NAME OCTAL            . is the home directory itself
//	env NAME=VALUE
//	message CONTENT
//	message-is NAME            descriptor 0 is opened from this file, default "message"
//	limit                      files cannot become larger than about 50000 bytes
//	queue STATUS               of the program in $QMAILQUEUE, which is there always
//	run [-n] LOCAL DASH EXT DOMAIN SENDER DEFAULTDELIVERY
//	-> STATUS
//	out CONTENT  /  err CONTENT  /  file NAME CONTENT  /  new MAILDIR CONTENT
//	queued ENVELOPE MESSAGE
//
// Words are quoted as Go strings where they need it, and *N repeats the word that
// follows it; the words of a content are put together. $HOME stands for the home
// directory, DATE for the date of a From line, N for a number.
type scene struct {
	title string
	text  string     // from the title to run
	setup [][]string // the same in words
	want  string     // everything below run
}

var update = flag.String("program", "", "run this program on the scenes instead, and write down what it did")

const childVariable = "QUAIL_TEST_QMAIL_LOCAL"

// show is a program line that prints what it finds in its environment.
const show = `|for v in USER LOCAL HOST RECIPIENT EXT EXT2 EXT3 EXT4 HOST2 HOST3 HOST4 SENDER NEWSENDER DTLINE RPLINE UFLINE; do eval "printf '%s\n' \"$v<\$$v>\""; done; test "$HOME" = "$(/bin/pwd)"
`

// nobody is who the scenes are run as if the test is run by root, for whom no file
// is closed.
const nobody = 65534

func TestMain(m *testing.M) {
	switch home := os.Getenv(childVariable); {
	case home != "":
		conf.Home = home
		os.Unsetenv(childVariable)
		if os.Getuid() == 0 {
			for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)} {
				if err != nil {
					panic(err)
				}
			}
		}
		prog.Main("qmail-local", new(Program).Run, prog.Umask(0o077))
	case filepath.Base(os.Args[0]) == "qmail-local":
		conf.Home = "/"
		warm.Main("qmail-local", new(Program).Run, warm.Bounds{Jobs: 50, Life: 200, Memory: 64 << 20}, prog.Umask(0o077))
	}
	os.Exit(m.Run())
}

func TestScenes(t *testing.T) {
	for name, scenes := range allScenes(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			check(t, err)
			head, _ := parseScenes(t, string(text))
			var out strings.Builder
			out.WriteString(head)
			for _, s := range scenes {
				got := s.play(t, execute)
				if *update == "" && got != s.want {
					t.Errorf("%s:\n%s\nwant\n%s", s.title, got, s.want)
				}
				out.WriteString(s.text + got + "\n")
			}
			if *update != "" {
				if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// allScenes returns the scenes by file.
func allScenes(t *testing.T) map[string][]*scene {
	t.Helper()
	files, err := filepath.Glob("../../testdata/dotqmail/*.scenes")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	all := map[string][]*scene{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		check(t, err)
		_, all[name] = parseScenes(t, string(text))
	}
	return all
}

func parseScenes(t *testing.T, text string) (head string, scenes []*scene) {
	t.Helper()
	parts := strings.Split("\n"+text, "\n== ")
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
	return strings.TrimLeft(parts[0], "\n"), scenes
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
	times := 1
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
		if n, ok := strings.CutPrefix(word, "*"); ok {
			times, _ = strconv.Atoi(n)
			continue
		}
		words = append(words, strings.Repeat(value, times))
		times = 1
	}
	return words
}

// invocation is what qmail-local is started with.
type invocation struct {
	args, env []string
	message   string // the name of a file
	limited   bool   // files cannot become large
}

// play sets the scene up, has qmail-local run and returns what came of it.
func (s *scene) play(t *testing.T, execute func(*testing.T, invocation) ending) string {
	t.Helper()
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	check(t, os.Mkdir(home, 0o755))
	message, queueStatus, limited := "message", "0", false
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	var run []string
	check(t, os.WriteFile(filepath.Join(dir, "message"), []byte("Subject: x\n\nhi\n"), 0o644))
	for _, w := range s.setup {
		at := func(i int) string { return filepath.Join(home, w[i]) }
		switch w[0] {
		case "file":
			check(t, os.MkdirAll(filepath.Dir(at(1)), 0o755))
			check(t, os.WriteFile(at(1), []byte(strings.Join(w[2:], "")), 0o644))
		case "show":
			check(t, os.WriteFile(at(1), []byte(show), 0o644))
		case "dir":
			check(t, os.MkdirAll(at(1), 0o755))
		case "maildir":
			for _, sub := range []string{"tmp", "new", "cur"} {
				check(t, os.MkdirAll(filepath.Join(at(1), sub), 0o755))
			}
		case "fifo":
			check(t, unix.Mkfifo(at(1), 0o644))
		case "link":
			check(t, os.Symlink(w[2], at(1)))
		case "mode":
			mode, err := strconv.ParseUint(w[2], 8, 32)
			check(t, err)
			check(t, syscall.Chmod(at(1), uint32(mode)))
			defer os.Chmod(at(1), 0o700) // or it could not be removed
		case "env":
			env = append(env, w[1])
		case "message":
			check(t, os.WriteFile(filepath.Join(dir, "message"), []byte(strings.Join(w[1:], "")), 0o644))
		case "message-is":
			message = w[1]
		case "limit":
			limited = true
		case "queue":
			queueStatus = w[1]
		case "run":
			run = w[1:]
		default:
			t.Fatalf("%s: what is %q?", s.title, w[0])
		}
	}
	queue := "#!/bin/sh\ncat >" + dir + "/queued.message\ncat <&1 >" + dir + "/queued.envelope\nexit " + queueStatus + "\n"
	check(t, os.WriteFile(filepath.Join(dir, "queue"), []byte(queue), 0o755))
	env = append(env, "QMAILQUEUE="+filepath.Join(dir, "queue"))
	giveAway(t, dir)
	before := tree(t, home)

	var args []string
	if run[0] == "-n" || run[0] == "-N" {
		args, run = append(args, run[0]), run[1:]
	}
	args = append(args, "--", "joe", home)
	args = append(args, run...)
	outcome := execute(t, invocation{args, env, filepath.Join(dir, message), limited}).lines()
	for name, content := range tree(t, home) {
		if old, ok := before[name]; !ok || old != content {
			outcome = append(outcome, place(name)+" "+quote(brief(content)))
		}
	}
	if envelope, err := os.ReadFile(filepath.Join(dir, "queued.envelope")); err == nil {
		text, _ := os.ReadFile(filepath.Join(dir, "queued.message"))
		outcome = append(outcome, "queued "+quote(brief(string(envelope)))+" "+quote(brief(string(text))))
	}
	sort.Strings(outcome[1:])
	return strings.ReplaceAll(strings.Join(outcome, "\n")+"\n", home, "$HOME")
}

// execute runs qmail-local: this test program, or the one to be written down.
func execute(t *testing.T, in invocation) ending {
	t.Helper()
	program, err := os.Executable()
	check(t, err)
	env := in.env
	if *update != "" {
		program = *update
	} else {
		env = append(env, childVariable+"=/")
	}
	cmd := exec.Command(program, in.args...)
	if in.limited {
		script := `trap "" XFSZ; ulimit -f 100; exec "$0" "$@"`
		cmd = exec.Command("/bin/sh", append([]string{"-c", script, program}, in.args...)...)
	} else {
		cmd.Args[0] = "qmail-local"
	}
	cmd.Env = env
	if *update != "" && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = "/"
	stdin := openMessage(t, in.message)
	defer stdin.Close()
	cmd.Stdin = stdin
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ending{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// openMessage opens descriptor 0. As from qmail-lspawn, it need not stand at the
// beginning.
func openMessage(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	check(t, err)
	f.Seek(2, 0)
	return f
}

// ending is how qmail-local ended and what it said.
type ending struct {
	status         int
	stdout, stderr string
}

// lines says the same as a scene does.
func (e ending) lines() []string {
	lines := []string{"-> " + strconv.Itoa(e.status)}
	if e.stdout != "" {
		lines = append(lines, "out "+quote(brief(e.stdout)))
	}
	if e.stderr != "" {
		lines = append(lines, "err "+quote(brief(e.stderr)))
	}
	return lines
}

// giveAway makes the recipient the owner of everything, if the test is run by root.
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
			return nil // closed to the recipient, so nothing has changed there
		}
		content, _ := os.ReadFile(path)
		name, err := filepath.Rel(dir, path)
		out[name] = string(content)
		return err
	}))
	return out
}

var unique = regexp.MustCompile(`^(?:(.*)/)?(new|tmp)/\d+\.\d+(_\d+)?\.[^/:]+$`)

// place names a file without what differs each time.
func place(name string) string {
	if m := unique.FindStringSubmatch(name); m != nil {
		return m[2] + " " + quote(m[1])
	}
	return "file " + quote(name)
}

var (
	date   = regexp.MustCompile(`[A-Z][a-z][a-z] [A-Z][a-z][a-z] \d\d \d\d:\d\d:\d\d \d{4}`)
	number = regexp.MustCompile(`qp \d+`)
)

// brief leaves out what differs each time and keeps scenes readable.
func brief(content string) string {
	content = date.ReplaceAllString(content, "DATE")
	content = number.ReplaceAllString(content, "qp N")
	if len(content) <= 600 {
		return content
	}
	return fmt.Sprintf("%d bytes, sha256 %x", len(content), sha256.Sum256([]byte(content)))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
