package suite

import (
	"fmt"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A queue as qmail leaves it, whatever it was doing: files written here by hand from
// spec "The queue", with not one line of the programs' own code.

// split is in how many directories the queue is divided.
const split = 23

// mess makes the text of a message and returns its number, that of its inode.
func (s *suite) mess(subject string) int {
	s.t.Helper()
	const born = "queue/mess/0/being-born"
	s.write(born, "Received: (qmail 99 invoked by uid 1000); 21 Nov 2026 22:48:24 -0000\nSubject: "+subject+"\n\n")
	var st syscall.Stat_t
	if err := syscall.Stat(s.path(born), &st); err != nil {
		s.t.Fatal(err)
	}
	id := int(st.Ino)
	if err := os.Rename(s.path(born), s.path(file("mess", id))); err != nil {
		s.t.Fatal(err)
	}
	s.own("mess", id)
	return id
}

// file returns the path of a message's file in one of the queue's directories.
func file(dir string, id int) string {
	switch dir {
	case "mess", "info", "local", "remote":
		dir += "/" + strconv.Itoa(id%split)
	}
	return "queue/" + dir + "/" + strconv.Itoa(id)
}

// put makes another file of the message.
func (s *suite) put(dir string, id int, contents string) {
	s.t.Helper()
	s.write(file(dir, id), contents)
	s.own(dir, id)
}

// own gives a file to the user who would have made it.
func (s *suite) own(dir string, id int) {
	s.t.Helper()
	owner, mode := "qmails", os.FileMode(0o600)
	switch dir {
	case "pid", "mess", "intd", "todo":
		owner, mode = "qmailq", 0o644
	}
	name := s.path(file(dir, id))
	err := os.Chmod(name, mode)
	if root && err == nil {
		uid, _ := strconv.Atoi(account(s.t, "passwd", owner))
		gid, _ := strconv.Atoi(account(s.t, "group", "qmail"))
		err = os.Chown(name, uid, gid)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// enterByHand puts a message into S4: its envelope under both names, one inode.
func (s *suite) enterByHand(id int, sender string, recipients ...string) {
	s.t.Helper()
	s.put("intd", id, "u1000\x00p99\x00F"+sender+"\x00"+records("T", recipients...))
	if err := os.Link(s.path(file("intd", id)), s.path(file("todo", id))); err != nil {
		s.t.Fatal(err)
	}
}

func records(kind string, recipients ...string) string {
	var b strings.Builder
	for _, r := range recipients {
		b.WriteString(kind + r + "\x00")
	}
	return b.String()
}

// touch sets both times of a file to that long before now.
func (s *suite) touch(name string, age time.Duration) time.Time {
	s.t.Helper()
	at := time.Now().Add(-age).Truncate(time.Second)
	if err := os.Chtimes(s.path(name), at, at); err != nil {
		s.t.Fatal(err)
	}
	return at
}

var reAttempt = regexp.MustCompile(`(?m)^starting delivery \d+: msg (\d+) to (local|remote) (.*)$`)

// attempts returns the deliveries that the log has, by message: those of messages
// written here, since the number of one that has gone may be given to another.
func (s *suite) attempts() map[int]string {
	all := map[int][]string{}
	for _, m := range reAttempt.FindAllStringSubmatch(s.logged(), -1) {
		id, _ := strconv.Atoi(m[1])
		if to := strings.TrimSuffix(m[3], "@"+me); to != "joe-bounces" && to != "joe-other" {
			all[id] = append(all[id], to)
		}
	}
	out := map[int]string{}
	for id, recipients := range all {
		slices.Sort(recipients)
		out[id] = strings.Join(recipients, " ")
	}
	return out
}

// handwritten is one message of the queue that is taken over.
type handwritten struct {
	id       int
	name     string
	attempts string // recipients that are tried at once
	later    string // and those that are tried when all are
	left     string // what is there in the end
	new      bool   // the log has to announce it
	ends     bool   // and its end
}

const away = "far@away.example"

// old and young are ages of debris.
const (
	old   = 37 * time.Hour
	young = 35 * time.Hour
)

// takeover writes messages in all states.
func (s *suite) takeover() (all []*handwritten) {
	message := func(h handwritten) int {
		h.id = s.mess(h.name)
		all = append(all, &h)
		return h.id
	}
	// S2 and S3: what submissions that never came to an end have left.
	for _, state := range []string{"mess", "intd mess"} {
		for _, age := range []time.Duration{old, young} {
			h := handwritten{name: state + " " + age.String()}
			if age == young {
				h.left = state
			}
			id := message(h)
			if state == "intd mess" {
				s.put("intd", id, "u1000\x00p99\x00Fhalf an envel")
			}
			s.touch(file("mess", id), age)
		}
	}
	// S4, with and without the other name of the envelope, long ago too.
	s.enterByHand(message(handwritten{name: "S4", attempts: "joe-s4 you@far.example", new: true, ends: true}), away, "joe-s4@"+me, "you@far.example")
	id := message(handwritten{name: "S4 without intd", attempts: "joe-bare", new: true, ends: true})
	s.put("todo", id, "u1000\x00p99\x00F"+away+"\x00"+records("T", "joe-bare@"+me))
	s.touch(file("mess", id), old)
	s.enterByHand(message(handwritten{name: "S4 to nobody", new: true, ends: true}), away)
	id = message(handwritten{name: "S4 of some other kind", left: "info intd mess todo"})
	s.put("todo", id, "u1000\x00Q\x00")
	s.put("intd", id, "u1000\x00Q\x00")
	// S5, half done.
	id = message(handwritten{name: "S5", attempts: "joe-todo them@far.example", ends: true})
	s.put("info", id, "F"+away+"\x00")
	s.put("local", id, records("D", "joe-done@"+me)+records("T", "joe-todo@"+me))
	s.put("remote", id, records("T", "them@far.example")+records("D", "you@far.example"))
	s.touch(file("mess", id), old)
	id = message(handwritten{name: "S5 with a failure", attempts: "joe-alive", ends: true})
	s.put("info", id, "Fjoe-bounces@"+me+"\x00")
	s.put("local", id, records("D", "joe-dead@"+me)+records("T", "joe-alive@"+me))
	s.put("bounce", id, "<joe-dead@"+me+">:\nIs dead.\n\n")
	id = message(handwritten{name: "S5 with a record of another kind", left: "info local mess"})
	s.put("info", id, "F"+away+"\x00")
	s.put("local", id, "Xjoe-x@"+me+"\x00")
	// S5, at its end.
	id = message(handwritten{name: "S5, all done", ends: true})
	s.put("info", id, "F"+away+"\x00")
	s.put("local", id, records("D", "joe-done@"+me, "joe-too@"+me))
	s.put("info", message(handwritten{name: "S5, finished", ends: true}), "F"+away+"\x00")
	id = message(handwritten{name: "S5, finished but for the bounce", ends: true})
	s.put("info", id, "Fjoe-bounces@"+me+"\x00")
	s.put("bounce", id, "<you@far.example>:\nIs far too far.\n\n")
	// S5, not due.
	for _, c := range []struct{ dir, recipient string }{{"local", "joe-future@" + me}, {"remote", "future@far.example"}} {
		id := message(handwritten{name: "S5, not due, " + c.dir, later: strings.TrimSuffix(c.recipient, "@"+me), ends: true})
		s.put("info", id, "F"+away+"\x00")
		s.put(c.dir, id, records("T", c.recipient))
		s.touch(file(c.dir, id), -time.Hour)
	}
	// S5, tried in vain.
	for _, c := range []struct{ dir, recipient string }{{"local", "joe-defer@" + me}, {"remote", "you@ill.example"}} {
		to := strings.TrimSuffix(c.recipient, "@"+me)
		id := message(handwritten{name: "S5, in vain, " + c.dir, attempts: to, later: to, ends: true})
		s.put("info", id, "F"+away+"\x00")
		s.touch(file("info", id), 10000*time.Second)
		s.put(c.dir, id, records("T", c.recipient))
	}
	return all
}

func TestTakeover(t *testing.T) {
	s := install(t)
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	s.joe(".qmail-defer", "|exit 111\n", 0o644)
	far, ill := serve(t, nil), serve(t, script{"greeting": "421 not now"})
	s.control("smtproutes", "far.example:"+far.route()+"\nill.example:"+ill.route()+"\n")
	all := s.takeover()
	// What no message is: names that are not numbers, a number where it does not
	// belong, and submissions that got no further than pid.
	others := []string{"todo/x1", "todo/1x", "info/0/5-", "mess/1/being-born", "local/2/a", "info/3/100", "bounce/b"}
	for _, name := range others {
		s.write("queue/"+name, "F\x00Tjoe@"+me+"\x00")
	}
	for name, age := range map[string]time.Duration{"pid/77.1767588414.1": old, "pid/78.1767588414.1": young} {
		s.write("queue/"+name, "")
		s.touch("queue/"+name, age)
	}
	others = append(others, "pid/78.1767588414.1")
	p := s.start()
	s.checkAtOnce(t, all)
	p.stop()
	s.checkSchedule(t, all)

	// Whoever comes next finds nothing to do, until he is told to.
	s.newLog()
	p = s.start()
	s.joe(".qmail-defer", "", 0o644)
	ill.recover()
	s.inject(away, "joe-other@"+me, "Subject: another\n\n")
	s.settled(1)
	if got := s.attempts(); len(got) != 0 {
		t.Errorf("before its time something is tried: %v", got)
	}
	p.Process.Signal(syscall.SIGALRM)
	s.settled(5)
	attempts := s.attempts()
	for _, h := range all {
		if got := attempts[h.id]; got != h.later {
			t.Errorf("%s: in the end %q are tried, want %q", h.name, got, h.later)
		}
	}
	s.checkLeft(all, others)
	s.checkMail(t, all, far, ill)
}

// checkAtOnce waits for what is due at start and compares the log.
func (s *suite) checkAtOnce(t *testing.T, all []*handwritten) {
	s.settled(8 + 2) // two of them bounces
	for _, h := range all {
		if strings.HasPrefix(h.name, "S5, in vain") {
			to := h.attempts
			if !strings.Contains(to, "@") {
				to += "@" + me
			}
			s.outcome(to, 1)
		}
	}
	for _, h := range all {
		if h.left == "" && h.later == "" {
			eventually(t, h.name+" to go", func() bool {
				_, err := os.Stat(s.path(file("mess", h.id)))
				return os.IsNotExist(err)
			})
		}
	}
	attempts, log := s.attempts(), s.logged()
	for _, h := range all {
		if got := attempts[h.id]; got != h.attempts {
			t.Errorf("%s: %q are tried, want %q", h.name, got, h.attempts)
		}
		// The size is that of the text above, with this subject.
		info := fmt.Sprintf("\nnew msg %d\ninfo msg %[1]d: bytes %d from <%s> qp 99 uid 1000\n", h.id, 80+len(h.name), away)
		if got := strings.Contains(log, info); got != h.new {
			t.Errorf("%s: that the log has %q is %v, want %v", h.name, info, got, h.new)
		}
		if h.left == "" && !h.ends {
			continue // old debris, whose number another message may have by now
		}
		if got := strings.Contains(log, fmt.Sprintf("\nend msg %d\n", h.id)); got != (h.ends && h.later == "") {
			t.Errorf("%s: its end is logged: %v", h.name, got)
		}
		switch h.name {
		case "S4 of some other kind":
			s.wait("warning: unknown record type in " + strings.TrimPrefix(file("todo", h.id), "queue/") + "\n")
		case "S5 with a record of another kind":
			s.wait("warning: unknown record type in " + strings.TrimPrefix(file("local", h.id), "queue/") + "!\n")
		}
	}
}

// checkSchedule looks at the times that qmail-send leaves behind at its end: the
// time of the next attempt, by the age that the message had at the last one.
func (s *suite) checkSchedule(t *testing.T, all []*handwritten) {
	for _, h := range all {
		for dir, skip := range map[string]int64{"local": 10, "remote": 20} {
			fi, err := os.Stat(s.path(file(dir, h.id)))
			if err != nil {
				continue
			}
			got := fi.ModTime().Unix()
			birth := mtime(t, s.path(file("info", h.id))).Unix()
			age := got - birth
			switch root := int64(math.Sqrt(float64(age))); {
			case strings.HasPrefix(h.name, "S5, not due"):
				if d := got - time.Now().Unix(); d < 3500 || d > 3600 {
					t.Errorf("%s: due %d seconds from now, want an hour as before", h.name, d)
				}
			case strings.HasPrefix(h.name, "S5, in vain"):
				if want := 100 + skip; root*root != age || root < want || root > want+1 {
					t.Errorf("%s: due %d seconds after its birth, want the square of %d", h.name, age, want)
				}
			default: // born just now
				if root*root != age || root < skip || root > skip+8 {
					t.Errorf("%s: due %d seconds after its birth, want the square of %d or a little more", h.name, age, skip)
				}
			}
		}
	}
}

// checkLeft compares what is in the queue in the end.
func (s *suite) checkLeft(all []*handwritten, others []string) {
	want := slices.Clone(others)
	for _, h := range all {
		for _, dir := range strings.Fields(h.left) {
			want = append(want, strings.TrimPrefix(file(dir, h.id), "queue/"))
		}
	}
	s.keeps(want...)
}

// checkMail looks for every message where it belongs, once.
func (s *suite) checkMail(t *testing.T, all []*handwritten, hosts ...*host) {
	mail := s.mail("u/joe/Maildir")
	for _, h := range hosts {
		for _, m := range h.taken() {
			mail = append(mail, m.text)
		}
	}
	bounces := 0
	for _, h := range all {
		want := len(strings.Fields(h.attempts))
		if h.later != "" {
			want = 1
		}
		if h.name == "S5 with a failure" || h.name == "S5, finished but for the bounce" {
			want++ // in the bounce
			bounces++
		}
		got := 0
		for _, m := range mail {
			got += strings.Count(m, "\nSubject: "+h.name+"\n")
		}
		if got != want {
			t.Errorf("%s arrived %d times, want %d", h.name, got, want)
		}
	}
	for _, paragraph := range []string{"<joe-dead@" + me + ">:\nIs dead.\n\n", "<you@far.example>:\nIs far too far.\n\n"} {
		find(t, mail, "Sorry it didn't work out.\n\n"+paragraph+"--- Below this line is a copy of the message.\n\nReturn-Path: <joe-bounces@"+me+">\nReceived: ")
	}
	if bounces != 2 {
		t.Errorf("%d bounces, want 2", bounces)
	}
}

// wrong is a recipient of another life of the number.
const wrong = "joe-wrong@" + me

// files are those of a message, by directory.
type files map[string]string

// preprocessing is what an interruption of it can leave of a message to joe-step and
// step@far.example, and what cannot have come from there.
var preprocessing = []files{
	{},
	{"info": ""},
	{"info": "Ffar@aw"},
	{"info": "F" + away + "\x00"},
	{"info": "F" + away + "\x00", "local": ""},
	{"info": "F" + away + "\x00", "local": "Tjoe-ste"},
	{"info": "F" + away + "\x00", "local": records("T", "joe-step@"+me)},
	{"info": "F" + away + "\x00", "local": records("T", "joe-step@"+me), "remote": "T"},
	{"info": "F" + away + "\x00", "local": records("T", "joe-step@"+me), "remote": records("T", "step@far.example")},
	{"info": "F" + wrong + "\x00", "local": records("T", wrong), "remote": records("D", "step@far.example")},
	{"local": records("T", wrong)},
	{"remote": records("D", "step@far.example")},
}

// ending is what can be left from the last mark on. The next step is debris.
var ending = []files{
	{"info": "F" + away + "\x00", "local": records("D", wrong), "remote": records("D", wrong)},
	{"info": "F" + away + "\x00", "remote": records("D", wrong)},
	{"info": "F" + away + "\x00"},
}

// Preprocessing, interrupted anywhere, is done again from the envelope; the end of a
// message, interrupted anywhere, goes on; and nobody gets anything twice or not.
func TestTakeoverInterrupted(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", "far.example:"+far.route()+"\n")
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	var ids []int
	for i, step := range preprocessing {
		for _, intd := range []bool{true, false} {
			id := s.mess(fmt.Sprintf("step %d %v", i, intd))
			s.enterByHand(id, away, "joe-step@"+me, "step@far.example")
			if !intd { // qmail-clean removes this name first
				if err := os.Remove(s.path(file("intd", id))); err != nil {
					t.Fatal(err)
				}
			}
			for dir, contents := range step {
				s.put(dir, id, contents)
			}
			ids = append(ids, id)
		}
	}
	for _, step := range ending {
		id := s.mess("end")
		for dir, contents := range step {
			s.put(dir, id, contents)
		}
		ids = append(ids, id)
	}
	s.start()
	s.settled(len(ids))
	s.keeps()
	s.checkSteps(t, far, ids)
}

// checkSteps makes sure that all got their mail, once.
func (s *suite) checkSteps(t *testing.T, far *host, ids []int) {
	mail := s.mail("u/joe/Maildir")
	for _, m := range far.taken() {
		if m.from != "<"+away+">" || path.Join(m.to...) != "<step@far.example>" {
			t.Errorf("a message went from %s to %v", m.from, m.to)
		}
		mail = append(mail, m.text)
	}
	for i := range preprocessing {
		for _, intd := range []bool{true, false} {
			n := 0
			for _, m := range mail {
				n += strings.Count(m, fmt.Sprintf("\nSubject: step %d %v\n", i, intd))
			}
			if n != 2 {
				t.Errorf("step %d with intd %v: %d copies, want one here and one there", i, intd, n)
			}
		}
	}
	if len(mail) != 4*len(preprocessing) {
		t.Errorf("%d messages arrived, want %d", len(mail), 4*len(preprocessing))
	}
	for _, id := range ids {
		if n := strings.Count(s.logged(), fmt.Sprintf("\nend msg %d\n", id)); n != 1 {
			t.Errorf("message %d ends %d times", id, n)
		}
	}
}
