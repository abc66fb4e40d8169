package suite

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// qmail-send on all its pipes: the test is qmail-start, the spawners and qmail-clean, and
// says what they said to the original.

// sending is one scene with qmail-send.
type sending struct {
	s       *suite
	name    string
	id      string // of the only message
	cmd     *exec.Cmd
	pipes   map[string]*duplex
	files   [7]*os.File // its descriptors
	log     []string    // what it has to say there
	left    []string    // and to leave
	entered []string    // and to put into the queue: envelope, text, and so on
	more    int         // requests and reports that are still to come
}

// A duplex is a pipe to the program and one from it.
type duplex struct {
	hears, says *os.File
	plan        []step // what has to go through, up to the next then
}

// play goes through the steps of a scene.
func (d *sending) play(scene scene) {
	d.pipes = map[string]*duplex{"local": {}, "remote": {}, "clean": {}}
	for _, p := range scene.steps {
		if p.verb == "local" || p.verb == "remote" {
			d.more++
		}
	}
	var st stage
	for _, p := range scene.steps {
		if d.cmd == nil && (d.pipes[p.verb] != nil || p.verb == "then") {
			d.start()
		}
		switch p.verb {
		case "control":
			d.s.control(p.words[0], p.text)
		case "queue":
			d.queue(p.text)
		case "hello":
			d.pipes[p.words[0]].plan = []step{{verb: "hello", words: []string{"says"}, text: p.text}}
		case "local", "remote", "clean":
			d.pipes[p.verb].plan = append(d.pipes[p.verb].plan, step{verb: p.verb, words: p.words, text: d.mine(p.text)})
		case "then":
			d.converse()
			d.then(scene, p.words)
		case "status":
			d.converse()
			d.end(p.words[0])
		case "log":
			d.log = append(d.log, d.mine(p.text))
		case "entered", "text":
			d.entered = append(d.entered, sorted(p.text))
		case "left":
			d.left = append(d.left, d.mine(strings.Join(append(p.words, fmt.Sprintf("%q", sorted(p.text))), " ")))
		default:
			if !d.s.prepare(&st, p) {
				d.s.t.Fatalf("%s: %s is no step", d.name, p.verb)
			}
		}
	}
	d.compare()
}

// mine puts the number of this message into a text of the recording.
func (d *sending) mine(text string) string {
	if d.id == "" {
		return text
	}
	split := file("mess", number(d.s.t, d.id))
	return strings.NewReplacer("SPLIT/ID", strings.TrimPrefix(split, "queue/mess/"), "/ID", "/"+d.id, " ID", " "+d.id).Replace(text)
}

func (d *sending) queue(envelope string) {
	t := d.s.t.(*testing.T)
	cmd := exec.Command(d.s.path("bin/qmail-queue"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = holding(t, "Subject: x\n\nbody\n"), holding(t, envelope), d.s.errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(joeUID), Gid: uint32(joeGID)}}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	d.id = filepath.Base(d.s.below("todo")[0])
}

// start runs qmail-send with a pipe at each of its descriptors.
func (d *sending) start() {
	t := d.s.t
	pipe := func(from, to **os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		*from, *to = r, w
	}
	d.files[0] = d.s.log
	for i, name := range []string{"local", "remote", "clean"} {
		p := d.pipes[name]
		pipe(&p.hears, &d.files[2*i+1])
		pipe(&d.files[2*i+2], &p.says)
		t.Cleanup(func() { p.hears.Close(); p.says.Close() })
	}
	uid, gid := d.s.account("qmails", "qmail")
	d.cmd = exec.Command(d.s.path("bin/qmail-send"))
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr, d.cmd.ExtraFiles = d.files[0], d.files[1], d.files[2], d.files[3:]
	d.cmd.Env = []string{"PATH=/usr/bin:/bin", "QMAILQUEUE=" + d.s.path("bin/record")}
	d.cmd.Dir = "/"
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{uint32(gid)}}}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill(); d.cmd.Wait() })
	for _, f := range d.files[1:] {
		f.Close()
	}
}

// converse says and hears what is planned, on each pipe in its order.
func (d *sending) converse() {
	var all sync.WaitGroup
	for name, p := range d.pipes {
		all.Go(func() {
			heard := ""
			for _, step := range p.plan {
				if step.words[0] == "says" {
					if step.text == "+" {
						d.remove(heard)
					}
					io.WriteString(p.says, step.text)
					continue
				}
				b := make([]byte, len(step.text))
				p.hears.SetReadDeadline(time.Now().Add(deadline))
				n, err := io.ReadFull(p.hears, b)
				if heard = string(b[:n]); heard != step.text {
					d.s.t.Errorf("%s: to %s it says %q (%v), want %q", d.name, name, heard, err, step.text)
					return
				}
			}
		})
	}
	all.Wait()
	for name, p := range d.pipes {
		for _, step := range p.plan {
			if step.verb == name && name != "clean" {
				d.more--
			}
		}
		p.plan = nil
	}
}

// remove does what qmail-clean is asked to.
func (d *sending) remove(request string) {
	other := "todo"
	if strings.HasPrefix(request, "foop/") {
		other = "mess"
	}
	for _, dir := range []string{"intd", other} {
		os.Remove(d.s.path(file(dir, number(d.s.t, d.id))))
	}
}

// then does what comes after the reports so far have been dealt with.
func (d *sending) then(scene scene, what []string) {
	d.s.wait("status: local 0/")
	want := 0
	for _, p := range scene.steps {
		if p.verb == "log" && (d.more == 0 || !strings.HasPrefix(p.text, "delivery ")) && !strings.HasPrefix(p.text, "alert: oh no!") {
			want++
		}
	}
	for end := time.Now().Add(deadline / 4); len(d.logged()) < want && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond) // between two looks
	}
	switch what[0] {
	case "term":
		d.cmd.Process.Signal(syscall.SIGTERM)
	case "lost":
		d.pipes[what[1]].says.Close()
	default:
		d.s.t.Fatalf("%s: then %v is no step", d.name, what)
	}
}

// end waits for the end, and for the log to have one.
func (d *sending) end(status string) {
	d.cmd.Wait()
	if got := fmt.Sprint(d.cmd.ProcessState.ExitCode()); got != status {
		d.s.t.Errorf("%s: status %s, want %s", d.name, got, status)
	}
	if !strings.HasSuffix(d.s.logged(), "status: exiting\n") {
		d.s.t.Errorf("%s: the log ends in %q", d.name, tail(d.s.logged(), 100))
	}
}

var (
	reNumbered = regexp.MustCompile(`\bdelivery \d+|qp \d+|bytes \d+`)
	numbers    = map[string]string{"delivery": "delivery N", "qp": "qp QP", "bytes": "bytes SIZE"}
)

// logged returns the lines of the log without those of the status, sorted: with several
// deliveries at once their order is chance.
func (d *sending) logged() (lines []string) {
	for _, line := range strings.Split(d.s.logged(), "\n") {
		if line != "" && !strings.HasPrefix(line, "status: ") {
			lines = append(lines, reNumbered.ReplaceAllStringFunc(line, func(found string) string {
				kind, _, _ := strings.Cut(found, " ")
				return numbers[kind]
			}))
		}
	}
	slices.Sort(lines)
	return lines
}

// compare looks at what is left, in the log, in the queue, and in what was to be queued.
func (d *sending) compare() {
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"in the log", d.logged(), d.log}, {"in the queue", d.found(), d.left}, {"to be queued", d.recorded(), d.entered}} {
		if c.what != "to be queued" {
			slices.Sort(c.want)
		}
		if !slices.Equal(c.got, c.want) {
			d.s.t.Errorf("%s: %s is\n%s\nwant\n%s", d.name, c.what, strings.Join(c.got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

var reDates = regexp.MustCompile(`\d+ [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d|qmail \d+ `)

// sorted sorts the paragraphs of a bounce: they are in the order of the reports, and those
// of both channels come when they want.
func sorted(text string) string {
	parts := strings.SplitAfter(text, "\n\n")
	paragraph := func(part string) bool { return strings.HasPrefix(part, "<") }
	if first := slices.IndexFunc(parts, paragraph); first >= 0 {
		last := first
		for last < len(parts) && !strings.HasPrefix(parts[last], "--- Below") {
			last++
		}
		slices.Sort(parts[first:last])
	}
	return strings.Join(parts, "")
}

// recorded returns what was given to the program in qmail-queue's place.
func (d *sending) recorded() (all []string) {
	names, _ := filepath.Glob(d.s.path("rec/*.envelope"))
	for _, name := range names {
		text := reDates.ReplaceAllStringFunc(d.s.contents(strings.TrimSuffix(name, "envelope")+"message"), func(found string) string {
			if strings.HasPrefix(found, "qmail ") {
				return "qmail QP "
			}
			return "DATE"
		})
		all = append(all, d.s.contents(name), sorted(text))
	}
	return all
}

// found describes the files of the queue as the recording does.
func (d *sending) found() (all []string) {
	t := d.s.t
	for _, name := range d.s.below("intd", "todo", "bounce", "info", "local", "remote", "mess") {
		path := d.s.path("queue/" + name)
		dir, _, _ := strings.Cut(name, "/")
		contents, due := sorted(regexp.MustCompile(`p\d+\x00`).ReplaceAllString(d.s.contents(path), "pQP\x00")), ""
		switch dir {
		case "mess":
			contents = ""
		case "local", "remote":
			age := mtime(t, path).Unix() - mtime(t, d.s.path(file("info", number(t, d.id)))).Unix()
			root := int(math.Sqrt(float64(age)))
			if skip := map[string]int{"local": 10, "remote": 20}[dir]; root*root == int(age) && root > skip && root < skip+5 {
				root = skip // the attempt was a little later
			}
			due = fmt.Sprintf(" due %d", root)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		owner := strings.TrimSpace(must(t, "stat", "-c", "%U", path))
		all = append(all, fmt.Sprintf("%s %s %04o%s %q", name, owner, fi.Mode().Perm(), due, contents))
	}
	slices.Sort(all)
	return all
}

func TestSwapSend(t *testing.T) {
	if !asRoot(t, "qmail-send is run as its user") {
		return
	}
	for _, scene := range scenes(t, "swap/send.tape") {
		s := install(t)
		s.mkdir("rec", 0o777, 0, 0)
		(&sending{s: s, name: scene.name}).play(scene)
	}
}
