package suite

import (
	"bytes"
	"fmt"
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
)

// Any one program may be the original. What its originals said on every pipe, and left
// in every file, that two programs share was written down once by running them (the
// heads of the files in testdata/swap say how); here ours are given the same, and have
// to say and leave the same, byte for byte.

// A step is a line of a recording: a verb, words, and strings, which are quoted. text is
// all of these together.
type step struct {
	verb    string
	words   []string
	strings []string
	text    string
}

// A scene is a name and what stands below it, after the lines that all scenes begin with.
type scene struct {
	name  string
	steps []step
}

// scenes reads a recording.
func scenes(t *testing.T, name string) (all []scene) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var common []step
	for n, line := range strings.Split(string(b), "\n") {
		switch name, heading := strings.CutPrefix(line, "== "); {
		case heading:
			all = append(all, scene{name, append([]step(nil), common...)})
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			t.Fatalf("%s, line %d: %v", name, n+1, err)
		}
		if len(all) == 0 {
			common = append(common, s)
		} else {
			last := &all[len(all)-1]
			last.steps = append(last.steps, s)
		}
	}
	return all
}

// parseStep parses a line: strings as in Go, and *N after a string for as many of it.
func parseStep(line string) (s step, err error) {
	s.verb, line, _ = strings.Cut(line, " ")
	last := ""
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return s, err
			}
			line = line[len(quoted):]
			last, _ = strconv.Unquote(quoted)
			s.strings = append(s.strings, last)
			s.text += last
			continue
		}
		var word string
		word, line, _ = strings.Cut(line, " ")
		times, repeated := strings.CutPrefix(word, "*")
		n, err := strconv.Atoi(times)
		switch {
		case !repeated:
			s.words = append(s.words, word)
		case err != nil:
			return s, err
		default:
			s.text += strings.Repeat(last, n-1)
		}
	}
	return s, nil
}

// here puts this home in the place of the recording's.
func here(text string) string { return strings.ReplaceAll(text, "HOME", home) }

// recorded is the other way round.
func recorded(text string) string { return strings.ReplaceAll(text, home, "HOME") }

// stage is what the steps of a scene have prepared.
type stage struct {
	env  []string
	in   string
	undo []func() // what the next scene must not find
}

// clear makes room for the next scene.
func (st *stage) clear() {
	for _, undo := range st.undo {
		undo()
	}
	*st = stage{}
}

// prepare carries out a step that says how things are, and reports whether it is one.
func (s *suite) prepare(st *stage, p step) bool {
	s.t.Helper()
	switch p.verb {
	case "assign":
		s.write("users/assign", here(p.text))
		must(s.t, s.path("bin/qmail-newu"))
	case "file":
		mode, err := strconv.ParseUint(p.words[1], 8, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		s.forScene(st, p.words[0])
		s.make(p.words[0], here(p.text), os.FileMode(mode))
	case "remove":
		s.forScene(st, p.words[0])
	case "env":
		st.env = append(st.env, here(p.text))
	case "message":
		s.make("queue/mess/0/1", here(p.text), 0o644)
		st.undo = append(st.undo, func() { os.Remove(s.path("queue/mess/0/1")) })
		uid, gid := s.account("qmailq", "qmail")
		if err := os.Chown(s.path("queue/mess/0/1"), uid, gid); err != nil {
			s.t.Fatal(err)
		}
	case "in":
		st.in = here(p.text)
	default:
		return false
	}
	return true
}

// forScene takes a file away, and has it be after the scene what it was.
func (s *suite) forScene(st *stage, rel string) {
	s.t.Helper()
	path := s.path(rel)
	old := filepath.Join(s.t.TempDir(), "old")
	there := exec.Command("mv", path, old).Run() == nil
	st.undo = append(st.undo, func() {
		os.RemoveAll(path)
		if there {
			must(s.t, "mv", old, path)
		}
	})
}

// make makes a file of root's, in the place of any other.
func (s *suite) make(rel, contents string, mode os.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(rel)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.write(rel, contents)
	if err := os.Chmod(s.path(rel), mode); err != nil {
		s.t.Fatal(err)
	}
}

// converse runs a program as the recording's was, feeds it, and returns what it said and
// its status.
func (s *suite) converse(st *stage, uid, gid int, program string, args ...string) (said string, status int) {
	s.t.Helper()
	cmd := exec.Command(s.path("bin/"+program), args...)
	cmd.Env = append([]string{"PATH=" + s.path("bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}, st.env...)
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(st.in)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, s.errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{uint32(gid)}}}
	if err := cmd.Run(); cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// The spawners, on both of their sides: the requests and reports of qmail-send, and what
// qmail-getpw, qmail-local and qmail-remote are given and how they end.
func TestSwapSpawners(t *testing.T) {
	if !asRoot(t, "the spawners run others as users of their own") {
		return
	}
	gid := number(t, account(t, "group", "qmail"))
	for _, c := range []struct {
		name, program string
		args          []string
		uid           int
	}{
		{"swap/lspawn.tape", "qmail-lspawn", []string{"./Mailbox"}, 0},
		{"swap/rspawn.tape", "qmail-rspawn", nil, number(t, account(t, "passwd", "qmailr"))},
	} {
		t.Run(c.program, func(t *testing.T) {
			s := install(t)
			s.rough("a program's place is taken by a script or by nothing")
			s.excuse(foreign, "a script is in a program's place")
			for _, scene := range scenes(t, c.name) {
				if err := os.RemoveAll(s.path("users/cdb")); err != nil {
					t.Fatal(err)
				}
				s.spawner(scene, c.uid, gid, c.program, c.args...)
			}
		})
	}
}

// saferReports are those in which ours differ: a program that could not be run, or that
// ended as one of Go's that crashed, is no reason to return mail.
var saferReports = map[string]string{
	"status 2":                      "x\x00Zqmail-PROGRAM crashed.\n\x00",
	"no qmail-local":                "x\x00ZUnable to run qmail-local.\n\x00",
	"qmail-local is not executable": "x\x00ZUnable to run qmail-local.\n\x00",
	"qmail-local is nothing":        "x\x00ZUnable to run qmail-local.\n\x00",
}

// reports divides what a spawner says: reports may come in any order, and qmail-send keeps
// 10,000 bytes of each, which is where ours are cut already.
func reports(said string) (all []string) {
	for said != "" {
		n := 1 // the number of deliveries that it can have under way, or of this one
		if len(all) > 0 {
			end := strings.IndexByte(said[1:], 0)
			if end < 0 {
				end = len(said) - 2
			}
			n += end + 1
		}
		all = append(all, said[:n])
		if len(all[len(all)-1]) > 10000 {
			all[len(all)-1] = said[:10000]
		}
		said = said[n:]
	}
	slices.Sort(all)
	return all
}

// spawner plays a scene with a spawner.
func (s *suite) spawner(scene scene, uid, gid int, program string, args ...string) {
	s.t.Helper()
	var st stage
	defer st.clear()
	said, status := "", 0
	for _, p := range scene.steps {
		if s.prepare(&st, p) {
			continue
		}
		switch p.verb {
		case "out":
			want := p.text
			if ours, differs := saferReports[scene.name]; differs {
				want = strings.Replace(ours, "qmail-PROGRAM", strings.Replace(program, "spawn", map[byte]string{'l': "ocal", 'r': "emote"}[program[6]], 1), 1)
			}
			said, status = s.converse(&st, uid, gid, program, args...)
			if said = recorded(said); !slices.Equal(reports(said), reports(want)) {
				s.t.Errorf("%s: it says %q, want %q", scene.name, said, want)
			}
		case "status":
			if got := fmt.Sprint(status); got != p.words[0] {
				s.t.Errorf("%s: status %s, want %s", scene.name, got, p.words[0])
			}
		default:
			s.t.Fatalf("%s: %s is no step", scene.name, p.verb)
		}
	}
}

// qmail-clean, on both sides of its pipe: requests of qmail-send, and what is left.
func TestSwapClean(t *testing.T) {
	if !asRoot(t, "qmail-clean is run as the user whose files it removes") {
		return
	}
	s := install(t)
	uid, gid := s.account("qmailq", "qmail")
	for _, scene := range scenes(t, "swap/clean.tape") {
		st, status := stage{}, 0
		var has, left, dirs []string
		for _, p := range scene.steps {
			switch p.verb {
			case "directory":
				s.make("queue/"+p.words[0]+"/x", "", 0o644)
				dirs = p.words
			case "has":
				for _, name := range p.words {
					s.make("queue/"+name, "", 0o644)
				}
				has = p.words
			case "old":
				for _, name := range has {
					s.touch("queue/"+name, old)
				}
			case "in":
				st.in = p.text
			case "out":
				want := p.text
				if ours, differs := wholeAnswers[scene.name]; differs {
					want = ours
				}
				var said string
				if said, status = s.converse(&st, uid, gid, "qmail-clean"); said != want {
					t.Errorf("%s: it answers %q, want %q", scene.name, said, want)
				}
			case "status":
				if got := fmt.Sprint(status); got != p.words[0] {
					t.Errorf("%s: status %s, want %s", scene.name, got, p.words[0])
				}
			case "left":
				left = p.words
			}
		}
		if ours, differs := wholeAnswers[scene.name]; differs && strings.Trim(ours, "x") == "" {
			left = slices.Sorted(slices.Values(has)) // what is refused removes nothing
		}
		if got := s.below("pid", "intd", "todo", "mess"); !slices.Equal(got, left) {
			t.Errorf("%s: %v are left, want %v", scene.name, got, left)
		}
		s.sweep()
		for _, dir := range dirs {
			os.Remove(s.path("queue/" + dir))
		}
	}
}

// wholeAnswers are those to requests that qmail-send never makes, which ours refuses as
// a whole and with one answer.
var wholeAnswers = map[string]string{
	"a letter in the number": "x",
	"a split path":           "x",
	"another fifth byte":     "x",
}

// sweep empties the queue.
func (s *suite) sweep() {
	s.t.Helper()
	for _, name := range s.below("pid", "intd", "todo", "info", "local", "remote", "bounce", "mess") {
		if err := os.Remove(s.path("queue/" + name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// below lists the files below some directories of the queue.
func (s *suite) below(dirs ...string) (names []string) {
	s.t.Helper()
	for _, dir := range dirs {
		filepath.WalkDir(s.path("queue/"+dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, strings.TrimPrefix(path, s.path("queue")+"/"))
			}
			return nil
		})
	}
	slices.Sort(names)
	return names
}

// qmail-queue, as all who queue messages find it, and as qmail-send finds the queue.
func TestSwapQueue(t *testing.T) {
	if !asRoot(t, "messages are queued by several users") {
		return
	}
	s := install(t)
	for _, scene := range scenes(t, "swap/queue.tape") {
		q := submittal{s: s, name: scene.name}
		for _, p := range scene.steps {
			q.step(p)
		}
		slices.Sort(q.wanted)
		if got := q.left(); !slices.Equal(got, q.wanted) {
			t.Errorf("%s: what is left is\n%s\nwant\n%s", scene.name, strings.Join(got, "\n"), strings.Join(q.wanted, "\n"))
		}
		s.sweep()
	}
}

// submittal is one message that is queued.
type submittal struct {
	s                     *suite
	name, message, by     string
	listener              *os.File // at the trigger, or nil
	untriggered           bool
	uid, gid, pid, status int
	wanted                []string
}

func (q *submittal) step(p step) {
	t := q.s.t
	switch p.verb {
	case "by":
		q.by = p.words[0]
		q.uid, q.gid = joeUID, joeGID
		switch q.by {
		case "root":
			q.uid, q.gid = 0, 0
		case "qmails", "qmailr":
			q.uid, q.gid = q.s.account(q.by, "qmail")
		case "qmaild", "alias":
			q.uid, q.gid = q.s.account(q.by, "nofiles")
		}
	case "untriggered":
		q.untriggered = true
	case "message":
		q.message = p.text
	case "envelope":
		q.run(p.text)
	case "trigger":
		b := make([]byte, 100)
		n, _ := syscall.Read(int(q.listener.Fd()), b)
		q.listener.Close() // and what is in it is gone
		if got := string(b[:max(n, 0)]); got != p.text {
			t.Errorf("%s: the trigger is pulled by %q, want %q", q.name, got, p.text)
		}
	case "status":
		if got := fmt.Sprint(q.status); got != p.words[0] {
			t.Errorf("%s: status %s, want %s", q.name, got, p.words[0])
		}
	case "left":
		q.want(strings.Join(p.words, " "), p.text)
	case "links":
		q.wanted = append(q.wanted, "links "+strings.Join(p.words, " "))
	default:
		t.Fatalf("%s: %s is no step", q.name, p.verb)
	}
}

// want notes a file that has to be left. How much of an envelope that is refused has
// come to disk is for buffers to say.
func (q *submittal) want(file, contents string) {
	if q.status != 0 && strings.HasPrefix(file, "intd ") {
		contents = ""
	}
	q.wanted = append(q.wanted, fmt.Sprintf("%s %q", file, contents))
}

// run runs qmail-queue.
func (q *submittal) run(envelope string) {
	t := q.s.t
	if !q.untriggered {
		fd, err := syscall.Open(q.s.path("queue/lock/trigger"), syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		q.listener = os.NewFile(uintptr(fd), "trigger")
	}
	cmd := exec.Command(q.s.path("bin/qmail-queue"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = holding(t.(*testing.T), q.message), holding(t.(*testing.T), envelope), q.s.errors, "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(q.uid), Gid: uint32(q.gid)}}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	q.pid, q.status = cmd.Process.Pid, cmd.ProcessState.ExitCode()
}

// left describes what is in the queue as the recording does.
func (q *submittal) left() (all []string) {
	t := q.s.t
	inode, links := 0, map[uint64]string{}
	names := q.s.below("pid", "intd", "todo", "info", "local", "remote", "bounce", "mess")
	for _, name := range names {
		var st syscall.Stat_t
		if err := syscall.Stat(q.s.path("queue/"+name), &st); err != nil {
			t.Fatal(err)
		}
		dir, _, _ := strings.Cut(name, "/")
		if dir == "mess" {
			inode = int(st.Ino)
		}
		contents := strings.NewReplacer(fmt.Sprintf("qmail %d invoked", q.pid), "qmail QP invoked", fmt.Sprintf("p%d\x00", q.pid), "pQP\x00",
			fmt.Sprintf("u%d\x00", q.uid), "uUID\x00", fmt.Sprintf("by uid %d)", q.uid), "by uid UID)").Replace(q.s.contents(q.s.path("queue/" + name)))
		if date := reQueuedDate.FindStringIndex(contents); dir == "mess" && date != nil {
			contents = contents[:date[0]] + "DATE" + contents[date[1]:]
		}
		if q.status != 0 && dir == "intd" {
			contents = ""
		}
		owner := strings.TrimSpace(must(t, "stat", "-c", "%U", q.s.path("queue/"+name)))
		all = append(all, fmt.Sprintf("%s %s %04o %q", dir, owner, st.Mode&0o7777, contents))
		links[st.Ino] = strings.TrimSpace(links[st.Ino] + " " + dir)
	}
	for _, dirs := range links {
		if strings.Contains(dirs, " ") {
			all = append(all, "links "+dirs)
		}
	}
	for _, name := range names {
		dir, _, _ := strings.Cut(name, "/")
		if want := strings.TrimPrefix(file(dir, inode), "queue/"); name != want {
			t.Errorf("%s: it leaves %s, want %s", q.name, name, want)
		}
	}
	slices.Sort(all)
	return all
}

var reQueuedDate = regexp.MustCompile(`\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d`)
