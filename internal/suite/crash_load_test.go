package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// place is a way that a message takes, and where its copies are found in the end.
type place int

const (
	toMaildir place = iota
	toProgram
	toForward // by a forward, into another Maildir
	toRemote  // at another host
	toBounce  // nowhere, so that a bounce has to come
	places
)

func (p place) String() string {
	return [...]string{"Maildir", "program", "forward", "remote", "bounce"}[p]
}

// address is a recipient at that place. Nobody is assigned the last one: it is
// qmail-getpw that is asked for its owner.
func (p place) address() string {
	return [...]string{"joe@" + me, "joe-program@" + me, "joe-forward@" + me, "letters@far.example", "nosuch.user@" + me}[p]
}

// bouncesTo is the sender of all messages.
const bouncesTo = "joe-back@" + me

// mailboxes makes what is behind the addresses.
func mailboxes(s *suite) {
	for _, dir := range []string{"two", "back"} {
		s.maildir("u/joe/" + dir)
	}
	s.mkdir("u/joe/program", 0o700, joeUID, joeGID)
	s.joe(".qmail-program", `|t=$(mktemp program/tmp.XXXXXXXXXX) && cat >"$t" && mv "$t" "program/got${t#program/tmp}"`+"\n", 0o644)
	s.joe(".qmail-forward", "&joe-two@"+me+"\n", 0o644)
	s.joe(".qmail-two", "./two/\n", 0o644)
	s.joe(".qmail-back", "./back/\n", 0o644)
}

// letter is one message of the load.
type letter struct {
	id   int
	size int // of the body, about
	to   []place
}

// body depends on nothing but number and size, so that a copy can be checked.
func (l letter) body() string {
	var b strings.Builder
	for n := 0; b.Len() < l.size; n++ {
		fmt.Fprintf(&b, "letter %d line %d\n.dot\n", l.id, n)
	}
	fmt.Fprintf(&b, "end of letter %d\n", l.id)
	return b.String()
}

// text is the whole of it as it is sent. The second line says what to compare a
// copy with.
func (l letter) text() string {
	return fmt.Sprintf("Subject: letter\nX-Letter: %d %d\n\n%s", l.id, l.size, l.body())
}

var marked = regexp.MustCompile(`(?m)^X-Letter: (\d+) (\d+)$`)

// read tells which letter a copy is of; whole says that nothing of it is missing.
func read(text string) (id int, whole bool) {
	m := marked.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	id, _ = strconv.Atoi(m[1])
	size, _ := strconv.Atoi(m[2])
	return id, strings.HasSuffix(text, "\n\n"+letter{id: id, size: size}.body())
}

// load sends letters and keeps account of those that were acknowledged.
type load struct {
	s        *suite
	port     int
	greeting string                            // of our own server
	largest  int                               // body, in bytes
	allowed  func() (letters int, enough bool) // how many there may be by now, and whether that is all

	mu      sync.Mutex
	random  *rand.Rand
	made    int
	begun   map[int]letter
	sent    map[int]letter // acknowledged
	again   int            // attempts that were not acknowledged
	refused []string       // answers that nothing but a fault can explain
}

// next returns a letter when it is time to send it; ok is false when there were
// enough, or no time is left.
func (l *load) next(ctx context.Context) (m letter, ok bool) {
	for {
		allowed, enough := l.allowed()
		l.mu.Lock()
		if l.made < allowed {
			break
		}
		l.mu.Unlock()
		if enough || ctx.Err() != nil {
			return letter{}, false
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
	defer l.mu.Unlock()
	l.made++
	m = letter{id: l.made, size: 100 + l.random.IntN(1500)}
	if l.random.IntN(20) == 0 { // long enough to be interrupted
		m.size = l.random.IntN(l.largest)
	}
	for _, p := range l.random.Perm(int(places))[:1+l.random.IntN(2)] {
		m.to = append(m.to, place(p))
	}
	l.begun[m.id] = m
	return m, true
}

// acknowledged counts the letters that were.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent)
}

// send has a letter sent until it is acknowledged.
func (l *load) send(ctx context.Context, m letter, attempt func(letter) error) {
	for ctx.Err() == nil {
		err := attempt(m)
		l.mu.Lock()
		if err == nil {
			l.sent[m.id] = m
		} else {
			l.again++
		}
		if answer := (*textproto.Error)(nil); errors.As(err, &answer) && answer.Code >= 500 {
			l.refused = append(l.refused, fmt.Sprintf("letter %d: %v", m.id, err))
		}
		l.mu.Unlock()
		if err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // a client that waits before it tries again, as all do
	}
}

// bySMTP is one client, with a few letters a session. Whatever is not a 250 after
// the dot is no acknowledgement.
func (l *load) bySMTP(ctx context.Context) {
	var session *textproto.Conn
	defer func() {
		if session != nil {
			session.Close()
		}
	}()
	left := 0 // letters in this session
	for m, ok := l.next(ctx); ok; m, ok = l.next(ctx) {
		l.send(ctx, m, func(m letter) (err error) {
			if session == nil {
				if session, err = l.dial(); err != nil {
					return err
				}
				left = 1 + m.id%7
			}
			err = dialogue(session, m)
			if left--; err != nil || left == 0 {
				if err == nil {
					session.Cmd("QUIT")
				}
				session.Close()
				session = nil
			}
			return err
		})
	}
}

func (l *load) dial() (*textproto.Conn, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", l.port), deadline)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(deadline))
	session := textproto.NewConn(conn)
	// While our server is away another one may have its port.
	if _, text, err := session.ReadResponse(220); err != nil || !strings.HasPrefix(text, l.greeting) {
		session.Close()
		return nil, fmt.Errorf("greeted by %q, %v", text, err)
	}
	if err := command(session, 250, "EHLO load.example"); err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

func command(session *textproto.Conn, want int, format string, args ...any) error {
	if _, err := session.Cmd(format, args...); err != nil {
		return err
	}
	_, _, err := session.ReadResponse(want)
	return err
}

// dialogue sends one letter in a session.
func dialogue(session *textproto.Conn, m letter) error {
	if err := command(session, 250, "MAIL FROM:<%s>", bouncesTo); err != nil {
		return err
	}
	for _, p := range m.to {
		if err := command(session, 250, "RCPT TO:<%s>", p.address()); err != nil {
			return err
		}
	}
	if err := command(session, 354, "DATA"); err != nil {
		return err
	}
	w := session.DotWriter()
	if _, err := w.Write([]byte(m.text())); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, _, err := session.ReadResponse(250)
	return err
}

// byProgram sends with a program of the suite, whose exit with 0 acknowledges.
func (l *load) byProgram(ctx context.Context, program string, options ...string) {
	for m, ok := l.next(ctx); ok; m, ok = l.next(ctx) {
		l.send(ctx, m, func(m letter) error {
			args := append([]string(nil), options...)
			for _, p := range m.to {
				args = append(args, p.address())
			}
			cmd := exec.CommandContext(ctx, l.s.path("bin/"+program), args...)
			cmd.Stdin = strings.NewReader(m.text())
			cmd.Env = []string{"PATH=/usr/bin:/bin", "USER=joe"}
			cmd.Dir = "/"
			if root {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(joeUID), Gid: uint32(joeGID)}}
			}
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 100 {
				return &textproto.Error{Code: 500, Msg: fmt.Sprintf("%s: %s", program, out)}
			}
			return err
		})
	}
}

// arrived is what was found of the letters.
type arrived struct {
	copies [places]map[int]int // of each letter
	wrong  []string            // copies that are not whole, or not where they belong
}

// failedRecipient finds the recipients that a bounce speaks of.
var failedRecipient = regexp.MustCompile(`(?m)^<(.*)>:$`)

// collect reads everything that has come.
func (l *load) collect(far *host) arrived {
	var a arrived
	for p := range a.copies {
		a.copies[p] = map[int]int{}
	}
	take := func(p place, text string) {
		id, whole := read(text)
		if !whole {
			a.wrong = append(a.wrong, fmt.Sprintf("%v, not whole: %q", p, tail(text, 300)))
		}
		if !slices.Contains(l.begun[id].to, p) {
			a.wrong = append(a.wrong, fmt.Sprintf("%v: letter %d was not sent there: %q", p, id, text[:min(len(text), 1000)]))
		}
		a.copies[p][id]++
	}
	for _, text := range letters(far) {
		take(toRemote, text)
	}
	for p, dir := range map[place]string{toMaildir: "u/joe/Maildir/new", toForward: "u/joe/two/new", toBounce: "u/joe/back/new"} {
		names, _ := filepath.Glob(l.s.path(dir + "/*"))
		for _, name := range names {
			text := l.s.contents(name)
			take(p, text)
			for _, m := range failedRecipient.FindAllStringSubmatch(text, -1) {
				if m[1] != toBounce.address() {
					a.wrong = append(a.wrong, "bounced: "+m[0])
				}
			}
		}
	}
	// What is still called tmp is what a killed shell has left.
	names, _ := filepath.Glob(l.s.path("u/joe/program/got.*"))
	for _, name := range names {
		take(toProgram, l.s.contents(name))
	}
	return a
}

// letters returns what has come to another host. Whoever else tests on this machine
// may have had its port before, and mail for that.
func letters(far *host) (texts []string) {
	for _, m := range far.taken() {
		if slices.Equal(m.to, []string{"<" + toRemote.address() + ">"}) {
			texts = append(texts, m.text)
		}
	}
	return texts
}

func (s *suite) contents(path string) string {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// balance is the account of one place: letters acknowledged for it, those of them that did not
// come, and copies beyond the first.
type balance struct{ acknowledged, lost, duplicates int }

// balance compares what was acknowledged with what has come.
func (l *load) balance(a arrived) (all [places]balance, lost []string) {
	for _, m := range l.sent {
		for _, p := range m.to {
			all[p].acknowledged++
			switch n := a.copies[p][m.id]; n {
			case 0:
				all[p].lost++
				lost = append(lost, fmt.Sprintf("letter %d: %v", m.id, p))
			default:
				all[p].duplicates += n - 1
			}
		}
	}
	return all, lost
}
