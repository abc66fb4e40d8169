package suite

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Any one program may be somebody else's, who knows nothing of warm programs or has
// learned about them from WARM.md. The conversations here are written down byte by
// byte, so that both sides of ours cannot have misread it alike. In them ␀ is a zero
// byte, and HOME, BIN, JOE, UID and GID stand for what they say.

func (s *suite) bytes(text string) string {
	return strings.NewReplacer("␀", "\x00", "HOME", home, "BIN", s.path("bin"), "JOE", s.path("u/joe"),
		"UID", fmt.Sprint(joeUID), "GID", fmt.Sprint(joeGID)).Replace(text)
}

// One program without its mark is run once a job, and all others as ever.
func TestMixedPrograms(t *testing.T) {
	if warmOnly(t) {
		return
	}
	for _, c := range []struct{ program, parent string }{
		{"qmail-smtpd", "tcpserver"}, {"qmail-local", "qmail-lspawn"}, {"qmail-getpw", "qmail-lspawn"},
		{"qmail-remote", "qmail-rspawn"}, {"qmail-queued", ""},
	} {
		t.Run(c.program, func(t *testing.T) {
			s := install(t)
			s.chilled(c.program, "it is another's")
			if c.parent == "" {
				s.excuse(declined, "nobody takes messages at the queue's socket")
			}
			s.mixedFlow(t)
			sums, _ := s.tallies()
			want := map[string]tally{"tcpserver": {warm: 6}, "qmail-lspawn": {warm: 9}, "qmail-rspawn": {warm: 3}}
			switch c.program {
			case "qmail-local":
				want[c.parent] = tally{warm: 3, foreign: 6}
			case "qmail-getpw":
				want[c.parent] = tally{warm: 6, foreign: 3}
			case "qmail-smtpd", "qmail-remote":
				want[c.parent] = tally{foreign: want[c.parent].warm}
			case "qmail-queued":
				want["tcpserver"] = tally{warm: 6, declined: 6}
			}
			for parent, w := range want {
				if sums[parent] != w {
					t.Errorf("%s counts %+v, want %+v", parent, sums[parent], w)
				}
			}
		})
	}
}

// mixedFlow has messages come by SMTP for somebody here and somebody elsewhere, and from
// a program for somebody whom qmail-getpw has to look for, three of each, and ends
// everything.
func (s *suite) mixedFlow(t *testing.T) {
	far := serve(t, nil)
	s.control("rcpthosts", me+"\nfar.example\n")
	s.control("smtproutes", ":"+far.route()+"\n")
	s.assign("=joe:joe:" + s.bytes("UID:GID:JOE:::\n")) // nobody else
	send := s.start()
	port := s.smtpd()
	smtpd := s.processes[len(s.processes)-1]
	for n := range 3 {
		for _, to := range []string{"joe@" + me, "you@far.example"} {
			if err := submit(t, "127.0.0.1", port, "", to, "Subject: mixed\n\n"); err != nil {
				t.Fatal(err)
			}
		}
		// From one to whom no failure is told.
		s.inject("#@[]", "Someone@"+me, "Subject: mixed\n\n")
		s.outcome("Someone@"+me, n+1)
		s.outcome("joe@"+me, n+1)
		s.outcome("you@far.example", n+1)
	}
	send.stop()
	smtpd.stop()
	eventually(t, "all programs to end", func() bool { return len(running()) == 0 })
}

// parent is the side of a conversation that starts a program and hands it jobs.
type parent struct {
	s      *suite
	cmd    *exec.Cmd
	socket int
}

// parent starts a program of the home as a warm one.
func (s *suite) parent(program string, uid, gid int) *parent {
	s.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	cmd := exec.Command(s.path("bin/" + program))
	cmd.Env, cmd.Dir = []string{"QUAIL_WARM=1"}, "/"
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, s.errors
	if root {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &parent{s, cmd, pair[0]}
	// Nothing is waited for longer than anything may take.
	unix.SetsockoptTimeval(p.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(deadline / time.Second)})
	s.t.Cleanup(func() { p.end() })
	return p
}

func (p *parent) say(text string, fds ...int) {
	p.s.t.Helper()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(p.socket, []byte(p.s.bytes(text)), rights, nil, 0); err != nil {
		p.s.t.Fatal(err)
	}
}

// packet returns the next one.
func (p *parent) packet() (string, error) {
	b := make([]byte, 1<<17)
	for {
		n, err := unix.Read(p.socket, b)
		if err != unix.EINTR {
			return string(b[:max(n, 0)]), err
		}
	}
}

func (p *parent) hear(want string) {
	p.s.t.Helper()
	if got, err := p.packet(); err != nil || got != p.s.bytes(want) {
		p.s.t.Errorf("%s says %q, %v, want %q", filepath.Base(p.cmd.Path), got, err, p.s.bytes(want))
	}
}

// end hangs up and returns how the program ends.
func (p *parent) end() (status int) {
	unix.Close(p.socket)
	p.socket = -1
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// pipe returns a pipe, and a function that returns all that was written to it.
func (s *suite) pipe() (w *os.File, read func() string) {
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	return w, func() string {
		w.Close()
		defer r.Close()
		b, _ := io.ReadAll(r)
		return string(b)
	}
}

func TestMixedParentOfLocal(t *testing.T) {
	s := install(t)
	p := s.parent("qmail-local", joeUID, joeGID)
	p.hear("G1␀256␀")
	out, read := s.pipe()
	message := holding(t, letter{id: 1, size: 100}.text())
	p.say("J4194311␀0 1 1␀HOME␀10␀bin/qmail-local␀--␀joe␀JOE␀joe␀␀␀me.example␀far@away.example␀./Maildir/␀PATH=/usr/bin:/bin␀", int(message.Fd()), int(out.Fd()))
	p.hear("D4194311␀0␀")
	if got := read(); got != "did 1+0+0\n" {
		t.Errorf("qmail-local reports %q", got)
	}
	if got := s.copies("u/joe/Maildir/new"); got[1] != 1 {
		t.Errorf("the Maildir has %v", got)
	}
	out, read = s.pipe()
	message = holding(t, letter{id: 2, size: 100}.text())
	p.say("J8388615␀0 1 1␀HOME␀10␀bin/qmail-local␀--␀joe␀JOE␀joe-nosuch␀-␀nosuch␀me.example␀␀./Maildir/␀", int(message.Fd()), int(out.Fd()))
	p.hear("D8388615␀25600␀")
	if got := read(); got != "Sorry, no mailbox here by that name. (#5.1.1)\n" {
		t.Errorf("qmail-local reports %q", got)
	}
	if status := p.end(); status != 0 {
		t.Errorf("without a parent it ends with %d", status)
	}
	// A parent who does not know the language is none.
	p = s.parent("qmail-local", joeUID, joeGID)
	p.hear("G1␀256␀")
	p.say("J1␀0 1␀HOME␀1␀bin/qmail-local␀") // descriptors that have not come
	p.hear("")
	if status := p.end(); status != 111 {
		t.Errorf("a wrong job ends it with %d, want 111", status)
	}
}

func TestMixedParentOfRemote(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", ":"+far.route()+"\n")
	uid, gid := s.account("qmailr", "qmail")
	p := s.parent("qmail-remote", uid, gid)
	p.hear("G1␀256␀")
	for number, recipient := range []string{"you@far.example", "them@far.example"} {
		out, read := s.pipe()
		message := holding(t, letter{id: 1, size: 100}.text())
		p.say(fmt.Sprintf("J%d␀0 1 1␀HOME/queue/mess␀4␀qmail-remote␀far.example␀joe@me.example␀%s␀PATH=/bin␀", number+1<<22, recipient), int(message.Fd()), int(out.Fd()))
		p.hear(fmt.Sprintf("D%d␀0␀", number+1<<22))
		if got, want := read(), "r\x00K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\x00"; got != want {
			t.Errorf("qmail-remote reports %q, want %q", got, want)
		}
	}
	if far.recipients() != 2 || far.met() != 1 {
		t.Errorf("%d messages went there in %d sessions, want 2 in one", far.recipients(), far.met())
	}
	if status := p.end(); status != 0 {
		t.Errorf("without a parent it ends with %d", status)
	}
}

func TestMixedParentOfGetpw(t *testing.T) {
	s := install(t)
	name := "root" // never anybody's
	uid, gid := s.account("qmailp", "nofiles")
	p := s.parent("qmail-getpw", uid, gid)
	p.hear("G1␀40␀")
	out, read := s.pipe()
	p.say("J4194311␀- 0 -␀HOME␀2␀bin/qmail-getpw␀"+name+"␀PATH=/usr/bin:/bin␀", int(out.Fd()))
	p.hear("D4194311␀0␀")
	alias := strings.Split(must(t, "getent", "passwd", aliasName()), ":")
	if got, want := read(), s.bytes(strings.Join([]string{alias[0], alias[2], alias[3], alias[5], "-", name, ""}, "␀")); got != want {
		t.Errorf("qmail-getpw says %q, want %q", got, want)
	}
	if status := p.end(); status != 0 {
		t.Errorf("without a parent it ends with %d", status)
	}
}

func aliasName() string {
	if root {
		return "alias"
	}
	name, _ := run("id", "-un")
	return strings.TrimSpace(name)
}

func TestMixedParentOfSmtpd(t *testing.T) {
	if warmOnly(t) { // there is nobody to queue its message
		return
	}
	s := install(t)
	uid, gid := s.account("qmaild", "nofiles")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	connection, err := server.(*net.TCPConn).File()
	server.Close()
	if err != nil {
		t.Fatal(err)
	}
	p := s.parent("qmail-smtpd", uid, gid)
	if got, _ := p.packet(); !regexp.MustCompile("^G1\x00[0-9]+\x00$").MatchString(got) {
		t.Errorf("it greets with %q", got)
	}
	unix.SetNonblock(int(connection.Fd()), false)
	const environment = "␀/␀1␀BIN/qmail-smtpd␀PROTO=TCP␀TCPREMOTEIP=192.0.2.7␀TCPLOCALHOST=here.example␀"
	p.say("J4194311␀0 0 ="+environment, int(connection.Fd()))
	p.hear("N4194311␀") // nobody listens at the queue's socket
	s.queuedAlone()
	p.say("J8388615␀0 0 ="+environment, int(connection.Fd()))
	connection.Close()
	io.WriteString(client, smtpMail+"Subject: mixed\r\n\r\n.\r\n"+smtpQuit)
	replies, _ := io.ReadAll(client)
	if got, want := reQueued.ReplaceAllString(string(replies), "250 queued"), smtpHello+smtpOK+smtpOK+smtpGo+smtpQueued+smtpBye; got != want {
		t.Errorf("the client is told %q, want %q", got, want)
	}
	p.hear("D8388615␀0␀")
	if status := p.end(); status != 0 {
		t.Errorf("without a parent it ends with %d", status)
	}
	mess, _ := filepath.Glob(s.path("queue/mess/*/*"))
	if len(mess) != 1 || !strings.Contains(s.contents(mess[0]), " (192.0.2.7)\n  by here.example with SMTP; ") {
		t.Errorf("%d messages are queued, or another", len(mess))
	}
}

// standIn puts a player in a program's place, with what it is to say, and returns a
// function that returns what it says of its performance.
func (s *suite) standIn(program, play string) (review func() string) {
	s.t.Helper()
	player := filepath.Join(*work, "standin")
	must(s.t, "go", "build", "-o", player, "./standin")
	file := s.path("bin/" + program)
	for _, step := range [][]string{
		{"mv", file, file + ".real"}, {"cp", player, file}, {"sh", "-c", `printf '\nquail-warm-1\n' >>"$0"`, file},
		{"chmod", "755", file, file + ".real"}, {"touch", file + ".review"}, {"chmod", "666", file + ".review"},
	} {
		must(s.t, step[0], step[1:]...)
	}
	s.write("bin/"+program+".play", s.bytes(play))
	return func() string {
		s.t.Helper()
		path := file + ".review"
		eventually(s.t, program+" to end its play", func() bool { return s.contents(path) != "" })
		return strings.TrimSpace(s.contents(path))
	}
}

// quoted are the bytes of a conversation as a regular expression in a Go string, in
// which # stands for a number that can be said again as $1.
func (s *suite) quoted(text string) string {
	return fmt.Sprintf("%q", strings.ReplaceAll(regexp.QuoteMeta(s.bytes(text)), "#", "([0-9]+)"))
}

const searched = "PATH=BIN:/usr/sbin:/usr/bin:/sbin:/bin␀"

func TestMixedLocal(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	review := s.standIn("qmail-local", strings.Join([]string{
		`say "G1\x003\x00"`,
		"hear " + s.quoted("J#␀0 1 1␀HOME␀10␀bin/qmail-local␀--␀joe␀JOE␀joe␀␀␀me.example␀far@away.example␀./Maildir/␀"+searched),
		`put 1 "well played\n"`, `close`, `say "D$1\x000\x00"`,
		"hear " + s.quoted("J#␀0 1 1␀HOME␀10␀bin/qmail-local␀--␀joe␀JOE␀joe-two␀-␀two␀me.example␀far@away.example␀./Maildir/␀"+searched),
		`put 1 "no more\n"`, `close`, `say "D$1\x0025600\x00"`,
		"hear " + s.quoted("J#␀0 1 1␀HOME␀10␀bin/qmail-local␀--␀joe␀JOE␀joe-three␀-␀three␀me.example␀far@away.example␀./Maildir/␀"+searched),
		`put 1 "not cold\n"`, `close`, `say "B$1\x00/\x003\x00/bin/sh\x00-c\x00echo $became; pwd\x00became=else\x00"`,
		`say "R\x00"`, `ended`,
	}, "\n"))
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	s.control("smtproutes", "away.example:127.0.0.1:9\n") // nobody listens there: the bounce waits, and is not bounced to us
	s.excuse(foreign, "what it becomes")
	send := s.start()
	for _, c := range [][2]string{{"joe", "success: well_played/"}, {"joe-two", "failure: no_more/"}, {"joe-three", "success: not_cold/else///"}} {
		s.inject("far@away.example", c[0]+"@"+me, "Subject: mixed\n\n")
		if got := s.outcome(c[0]+"@"+me, 1); got != c[1] {
			t.Errorf("to %s: %q, want %q", c[0], got, c[1])
		}
	}
	send.stop()
	if got := review(); got != "well played" {
		t.Error(got)
	}
}

func TestMixedGetpw(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	s.assign("=nobody:joe:1:1:/:::\n")
	review := s.standIn("qmail-getpw", strings.Join([]string{
		`say "G1\x001\x00"`,
		"hear " + s.quoted("J#␀- 0 -␀HOME␀2␀bin/qmail-getpw␀Someone-Else␀"+searched),
		"put 0 " + fmt.Sprintf("%q", s.bytes("joe␀UID␀GID␀JOE␀␀␀")), `close`, `say "D$1\x000\x00"`, `ended`,
	}, "\n"))
	send := s.start()
	s.inject("", "Someone-Else@"+me, "Subject: mixed\n\n")
	if got := s.outcome("Someone-Else@"+me, 1); got != "success: did_1+0+0/" {
		t.Error(got)
	}
	send.stop()
	if got := review(); got != "well played" {
		t.Error(got)
	}
}

func TestMixedRemote(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	review := s.standIn("qmail-remote", strings.Join([]string{
		`say "G1\x001000\x00"`,
		"hear " + s.quoted("J#␀0 1 1␀HOME/queue/mess␀4␀qmail-remote␀far.example␀joe@me.example␀you@far.example␀"+searched),
		`put 1 "r\x00Kfine\n\x00"`, `close`, `say "D$1\x000\x00"`,
		"hear " + s.quoted("J#␀0 1 1␀HOME/queue/mess␀4␀qmail-remote␀far.example␀joe@me.example␀them@far.example␀"+searched),
		`close`, `say "D$1\x009\x00"`, `ended`,
	}, "\n"))
	send := s.start()
	for _, c := range [][2]string{{"you", "success: fine/"}, {"them", "deferral: qmail-remote_crashed./"}} {
		s.inject("joe@"+me, c[0]+"@far.example", "Subject: mixed\n\n")
		if got := s.outcome(c[0]+"@far.example", 1); got != c[1] {
			t.Errorf("to %s: %q, want %q", c[0], got, c[1])
		}
	}
	send.stop()
	if got := review(); got != "well played" {
		t.Error(got)
	}
}

func TestMixedSmtpd(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	review := s.standIn("qmail-smtpd", strings.Join([]string{
		`say "G1\x001000\x00"`,
		"hear " + s.quoted("J#␀0 0 =␀"+directory(t)+"␀1␀BIN/qmail-smtpd␀"+searched+
			"PROTO=TCP␀TCPLOCALIP=127.0.0.1␀TCPLOCALPORT=#␀TCPLOCALHOST=0␀TCPREMOTEIP=127.0.0.1␀TCPREMOTEPORT=#␀"),
		`put 0 "220 well played\r\n"`, `close`, `say "D$1\x000\x00"`, `ended`,
	}, "\n"))
	port := s.smtpd()
	if got := s.ask(port); got != "220 well played\r\n" {
		t.Errorf("a client is told %q", got)
	}
	s.processes[len(s.processes)-1].stop()
	if got := review(); got != "well played" {
		t.Error(got)
	}
}

func directory(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The queue's socket, from the client's side.
func TestMixedQueueClient(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	s.start()
	conn, err := net.Dial("unix", s.path(queueSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	for range 2 { // one after the other
		io.WriteString(conn, "M\x00\x00\x0fSubject: mixed\n"+"M\x00\x00\x01\n"+"E\x00\x00\x03F\x00T"+"E\x00\x00\x10joe@me.example\x00\x00")
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer[:4]) != "\x00\x00\x00\x00" || binary.BigEndian.Uint64(answer[4:])>>22 == 0 {
			t.Fatalf("the answer is %q, %v", answer, err)
		}
	}
	s.settled(2)
	if got := s.mail("u/joe/Maildir"); len(got) != 2 || !strings.HasSuffix(got[0], "\nSubject: mixed\n\n") {
		t.Errorf("what has come is %q", got)
	}
	io.WriteString(conn, "E\x00\x00\x02X\x00")
	if answer, err := io.ReadAll(conn); len(answer) != 12 || string(answer[:4]) != "\x00\x00\x5b\x00" || err != nil {
		t.Errorf("to a wrong envelope the answer is %q, %v, want status 91", answer, err)
	}
}

// And from the server's.
func TestMixedQueueServer(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	s.mkdir("run", 0o755, 0, 0)
	listener, err := net.Listen("unix", s.path(queueSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	os.Chmod(s.path(queueSocket), 0o666)
	for _, c := range []struct {
		answer string
		said   string
		status int
	}{
		{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x01", "", 0},
		{"\x00\x00\x35\x00\x00\x00\x00\x00\x00\x40\x00\x01", "qmail-inject: fatal: qq write error or disk full (#4.3.0)\n", 111},
		{"\x00\x00\x1f\x00\x00\x00\x00\x00\x00\x40\x00\x01", "qmail-inject: fatal: mail server permanently rejected message (#5.3.0)\n", 100},
		{"\x00\x00\x00\x09\x00\x00\x00\x00\x00\x40\x00\x01", "qmail-inject: fatal: qq crashed (#4.3.0)\n", 111},
		{"\x00\x00\x00\x00\x00\x00", "qmail-inject: fatal: qq crashed (#4.3.0)\n", 111},
		{"\xff\xff\x00\x00\x00\x00\x00\x00\x00\x40\x00\x01", "qmail-inject: fatal: qq crashed (#4.3.0)\n", 111},
	} {
		heard := make(chan string, 1)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(deadline))
			// The end is known by its bytes: the client waits.
			var all []byte
			b := make([]byte, 4096)
			for !strings.HasSuffix(string(all), "\x00\x00") {
				n, err := conn.Read(b)
				if all = append(all, b[:n]...); err != nil {
					break
				}
			}
			heard <- string(all)
			io.WriteString(conn, c.answer)
		}()
		out, status := s.sh("From: joe\nDate: x\nMessage-Id: <y>\nTo: joe\n\nmixed\n", "exec sendmail -f a@b.example joe@"+me)
		if out != c.said || status != c.status {
			t.Errorf("after %q sendmail says %q and exits with %d, want %q and %d", c.answer, out, status, c.said, c.status)
		}
		got := <-heard
		if n := strings.IndexByte(got, 'E'); !strings.HasPrefix(got, "M\x00\x00") || len(got) < 4 || !strings.HasSuffix(got, "\n\nmixed\nE\x00\x00\x1eFa@b.example\x00Tjoe@me.example\x00\x00") {
			t.Errorf("the server hears %q (%d)", got, n)
		} else if text := got[4 : len(got)-34]; int(got[3]) != len(text) {
			t.Errorf("a frame of %d bytes has %d: %q", got[3], len(text), text)
		}
	}
}
