package suite

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A queue that qmail really left, with all that there can be in one.

// taken is a message of the queue that is taken over.
type taken struct {
	id    int
	files map[string]string // contents by directory
	times map[string]int64  // and when they were changed last, in Unix time
}

// lay makes a file as it was.
func (s *suite) lay(path string, p step, owner, mode, atime, mtime string) int64 {
	s.t.Helper()
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(p.text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	uid, gid := s.account(owner, "qmail")
	if err := os.Chown(path, uid, gid); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(path, os.FileMode(bits)); err != nil {
		s.t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	at := func(seconds string) time.Time { return now.Add(time.Duration(number(s.t, seconds)) * time.Second) }
	if err := os.Chtimes(path, at(atime), at(mtime)); err != nil {
		s.t.Fatal(err)
	}
	return at(mtime).Unix()
}

// layQueue lays out the recorded queue and returns its messages by their names.
func (s *suite) layQueue(t *testing.T) map[string]*taken {
	t.Helper()
	all := map[string]*taken{}
	for _, scene := range scenes(t, "takeover/notqmail.queue") {
		m := &taken{files: map[string]string{}, times: map[string]int64{}}
		for _, p := range scene.steps {
			if strings.Contains(p.verb, "/") {
				s.lay(s.path("queue/"+p.verb), p, p.words[0], p.words[1], p.words[2], p.words[3])
				continue
			}
			if p.verb == "link" {
				if err := os.Link(s.path(file("intd", m.id)), s.path(file("todo", m.id))); err != nil {
					t.Fatal(err)
				}
				m.files["todo"] = m.files["intd"]
				continue
			}
			path := s.path("queue/mess/0/being-born")
			if p.verb != "mess" {
				path = s.path(file(p.verb, m.id))
			}
			m.times[p.verb] = s.lay(path, p, p.words[0], p.words[1], p.words[2], p.words[3])
			m.files[p.verb] = p.text
			if p.verb == "mess" {
				var st syscall.Stat_t
				if err := syscall.Stat(path, &st); err != nil {
					t.Fatal(err)
				}
				m.id = int(st.Ino)
				if err := os.Rename(path, s.path(file("mess", m.id))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if m.id != 0 {
			all[scene.name] = m
		}
	}
	return all
}

// due are the recipients of each message that are to be tried as soon as somebody takes
// the queue over, and later those that are not until their time has come.
var (
	due = map[string]string{
		"in the middle of deliveries":        "joe-slow",
		"a host that times out":              "me@slow.example",
		"in the middle of preprocessing":     "joe-pre pre@far.example",
		"not preprocessed":                   "joe-new joe-newer new@far.example",
		"not preprocessed, from the network": "joe-net",
	}
	later = map[string]string{
		"both channels, half done": "him@ill.example joe-defer",
		"local, deferred":          "joe-defer",
		"remote, deferred":         "her@ill.example",
		"list":                     "joe-defer",
	}
)

// recordedHome makes the home that the queue is of. far takes all mail, now for everybody.
func recordedHome(t *testing.T) (s *suite, far *host, all map[string]*taken) {
	s = install(t)
	far = serve(t, nil)
	s.control("smtproutes", ":"+far.route()+"\n")
	s.joe(".qmail", "./Maildir/\n", 0o644)
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	s.joe(".qmail-dead", "|echo dead; exit 100\n", 0o644)
	return s, far, s.layQueue(t)
}

func TestTakeoverRecorded(t *testing.T) {
	if !asRoot(t, "the files have the owners that they had") {
		return
	}
	s, far, all := recordedHome(t)
	if got := must(t, s.path("bin/qmail-tcpto")); !regexp.MustCompile(`^10\.9\.9\.5 timed out \d+ seconds ago; # recent timeouts: 1\n$`).MatchString(got) {
		t.Errorf("qmail-tcpto says %q", got)
	}
	p := s.start()
	s.settled(len(due) + 4) // two of the others have but their bounces left
	p.stop()
	if got := must(t, s.path("bin/qmail-tcpto")); got != "" { // as qmail-rspawn begins
		t.Errorf("qmail-tcpto says %q in the end", got)
	}
	s.checkDue(t, all)
	s.checkKept(t, all)
	s.checkArrived(t, all, due, far, false)

	s.newLog()
	p = s.start()
	p.Process.Signal(syscall.SIGALRM)
	s.settled(len(later) + 1) // and a bounce
	attempts := s.attempts()
	for name, m := range all {
		if got := attempts[m.id]; got != later[name] {
			t.Errorf("%s: in the end %q are tried, want %q", name, got, later[name])
		}
	}
	s.checkArrived(t, all, later, far, false)
	for _, m := range far.taken() {
		if slices.Equal(m.to, []string{"<s@away.example>"}) && strings.Contains(m.text, "\n\n"+all["both channels, half done"].files["bounce"]+"--- Below this line is a copy of the message.\n") {
			return
		}
	}
	t.Error("the bounce that was begun by another has not arrived")
}

// checkDue looks at what has been tried, and what the log says of it.
func (s *suite) checkDue(t *testing.T, all map[string]*taken) {
	attempts, log := s.attempts(), s.logged()
	for name, m := range all {
		if strings.HasPrefix(name, "debris") {
			continue // its number may be another message's by now
		}
		if got := attempts[m.id]; got != due[name] {
			t.Errorf("%s: %q are tried, want %q", name, got, due[name])
		}
		if got := strings.Contains(log, fmt.Sprintf("\nend msg %d\n", m.id)); got != (later[name] == "") {
			t.Errorf("%s: its end is logged: %v", name, got)
		}
		info := regexp.MustCompile(`^u(\d+)\x00p(\d+)\x00F([^\x00]*)\x00`).FindStringSubmatch(m.files["todo"])
		want := fmt.Sprintf("\nnew msg %d\n", m.id)
		if info != nil {
			want += fmt.Sprintf("info msg %d: bytes %d from <%s> qp %s uid %s\n", m.id, len(m.files["mess"]), info[3], info[2], info[1])
		}
		// The number of one that has gone may be a bounce's by now.
		if got := strings.Contains(log, want); got != (info != nil) && (!got || later[name] != "") {
			t.Errorf("%s: that the log has %q is %v", name, want, info == nil)
		}
	}
}

// checkKept looks at what has to be as it was: the times of births and next attempts, the
// marks, the failures so far; and that nothing else is there.
func (s *suite) checkKept(t *testing.T, all map[string]*taken) {
	want := []string{"pid/14988.1795338194.1"}
	for name, m := range all {
		if later[name] == "" && name != "debris, message" && name != "debris, envelope" {
			continue
		}
		for dir, contents := range m.files {
			path := s.path(file(dir, m.id))
			want = append(want, strings.TrimPrefix(file(dir, m.id), "queue/"))
			if got := s.contents(path); got != contents {
				t.Errorf("%s: %s is %q, want %q", name, dir, got, contents)
			}
			if got := mtime(t, path).Unix(); got != m.times[dir] {
				t.Errorf("%s: the time of %s is %d seconds later than it was", name, dir, got-m.times[dir])
			}
		}
	}
	s.keeps(want...)
}

// checkArrived makes sure that each of these has got its message, once, unless what was
// not marked may have come again; and the senders their bounces.
func (s *suite) checkArrived(t *testing.T, all map[string]*taken, recipients map[string]string, far *host, again bool) {
	mail := s.mail("u/joe/Maildir")
	for _, m := range far.taken() {
		for _, to := range m.to {
			mail = append(mail, "Delivered-To: "+strings.Trim(to, "<>")+"\n"+m.text)
		}
	}
	for name, list := range recipients {
		for _, to := range strings.Fields(list) {
			if !strings.Contains(to, "@") {
				to += "@" + me
			}
			n := 0
			for _, m := range mail {
				if strings.Contains(m, "Delivered-To: "+to+"\n") && strings.Contains(m, "\n"+all[name].files["mess"]) {
					n++
				}
			}
			if n != 1 && !(again && n > 1) {
				t.Errorf("%s has come to %s %d times", name, to, n)
			}
		}
	}
	for _, text := range []string{all["bounce pending"].files["bounce"], all["all of several failed"].files["bounce"]} {
		n := strings.Count(strings.Join(mail, ""), "Sorry it didn't work out.\n\n"+text+"--- Below this line is a copy of the message.\n\nReturn-Path: <joe-bounces@"+me+">\nReceived: ")
		if n != 1 && !(again && n > 1) {
			t.Errorf("%d bounces have come with %q", n, text)
		}
	}
}

// Whoever is killed in the middle of it leaves one of the states that qmail knows, for
// all messages, and nobody who was not due is touched.
func TestTakeoverRecordedKilled(t *testing.T) {
	if !asRoot(t, "the files have the owners that they had") {
		return
	}
	for _, moment := range []string{"status: local 0/", "\nnew msg ", "\nstarting delivery ", ": success: ", "\nend msg ", "bounce msg "} {
		s, far, all := recordedHome(t)
		s.rough("everything is killed")
		p := s.start()
		s.wait(moment)
		endAll()
		<-p.done // with its lock
		eventually(t, "all programs to go", func() bool { return len(running()) == 0 })
		s.checkStates(t)
		s.newLog()
		p = s.start()
		eventually(t, "all that was due to be delivered", func() bool { return len(s.below("todo")) == 0 && len(s.below("info")) == len(later) })
		p.stop()
		s.checkStates(t)
		s.checkArrived(t, all, due, far, true)
		for name := range later {
			m := all[name]
			for dir, contents := range m.files {
				if got := s.contents(s.path(file(dir, m.id))); got != contents || mtime(t, s.path(file(dir, m.id))).Unix() != m.times[dir] {
					t.Errorf("%s: %s has changed to %q", name, dir, got)
				}
			}
		}
	}
}

// states are those of spec "The queue", section 5, as the directories that a message has a
// file in: those that it must have one in, and those that it may.
var states = []struct{ must, may string }{
	{"mess", ""},                            // S2
	{"intd mess", ""},                       // S3
	{"mess todo", "info intd local remote"}, // S4
	{"info mess", "bounce local remote"},    // S5
}

// checkStates makes sure that every number is in one of the states.
func (s *suite) checkStates(t *testing.T) {
	t.Helper()
	dirs := map[int][]string{}
	for _, name := range s.below("bounce", "info", "intd", "local", "mess", "remote", "todo") {
		dir, _, _ := strings.Cut(name, "/")
		id := number(t, name[strings.LastIndexByte(name, '/')+1:])
		dirs[id] = append(dirs[id], dir)
		if want := strings.TrimPrefix(file(dir, id), "queue/"); name != want {
			t.Errorf("%s ought to be %s", name, want)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(s.path("queue/"+name), &st); err != nil || dir == "mess" && int(st.Ino) != id {
			t.Errorf("%s has inode number %d (%v)", name, st.Ino, err)
		}
	}
	for id, has := range dirs {
		if !slices.ContainsFunc(states, func(state struct{ must, may string }) bool {
			must, may := strings.Fields(state.must), strings.Fields(state.may)
			rest := slices.DeleteFunc(slices.Clone(has), func(dir string) bool { return slices.Contains(must, dir) || slices.Contains(may, dir) })
			return len(rest) == 0 && !slices.ContainsFunc(must, func(dir string) bool { return !slices.Contains(has, dir) })
		}) {
			t.Errorf("message %d has files in %v, which is none of the states", id, has)
		}
	}
}
