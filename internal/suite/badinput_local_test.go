package suite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// spoil makes a file unreadable: by its mode, or by a directory in its place, which
// stops root too. It returns how to undo that.
func (s *suite) spoil(rel string, byMode bool) (repair func()) {
	s.t.Helper()
	file := s.path(rel)
	kept := file + ".kept"
	if _, err := os.Stat(file); err != nil {
		s.write(rel, "")
		kept = ""
	}
	var err error
	switch {
	case byMode:
		err = os.Chmod(file, 0)
	case kept == "":
		if err = os.Remove(file); err == nil {
			err = os.Mkdir(file, 0o755)
		}
	default:
		if err = os.Rename(file, kept); err == nil {
			err = os.Mkdir(file, 0o755)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return func() {
		switch {
		case kept == "":
			err = os.Remove(file)
		case byMode:
			err = os.Chmod(file, 0o644)
		default:
			if err = os.Remove(file); err == nil {
				err = os.Rename(kept, file)
			}
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// Control files that cannot be read stop what would need them, and only that. A
// guess would be an open relay, or a bounce.
func TestBadInputControl(t *testing.T) {
	s := install(t)
	s.excuse(declined, "what a process behind a wall cannot read another one may")
	port := s.smtpd()
	for i, name := range []string{"me", "smtpgreeting", "timeoutsmtpd", "databytes", "localiphost", "badmailfrom", "rcpthosts", "morercpthosts.cdb"} {
		repair := s.spoil("control/"+name, i%2 == 0)
		if got, want := talk(t, port, smtpMail), "421 unable to read controls (#4.3.0)\r\n"; !strings.HasSuffix(got, want) {
			t.Errorf("without %s qmail-smtpd says %q, want %q", name, got, want)
		}
		repair()
	}
	for i, name := range []string{"defaultdomain", "defaulthost", "plusdomain", "idhost"} {
		repair := s.spoil("control/"+name, i%2 == 0)
		out, status := s.sh("To: joe\n\n", s.path("bin/qmail-inject"))
		if out != "qmail-inject: fatal: read error\n" || status != 111 {
			t.Errorf("without %s qmail-inject says %q and exits with %d", name, out, status)
		}
		repair()
	}
	s.keeps()
	s.refuseToStart(t)
	s.remoteControl(t)
}

// refuseToStart checks qmail-send, at start and on HUP.
func (s *suite) refuseToStart(t *testing.T) {
	s.newLog()
	const want = "alert: cannot start: unable to read controls\n"
	for i, name := range []string{"me", "queuelifetime", "concurrencylocal", "concurrencyremote", "envnoathost", "bouncefrom", "bouncehost",
		"doublebouncehost", "doublebounceto", "locals", "percenthack", "virtualdomains"} {
		repair := s.spoil("control/"+name, i%2 == 0)
		p := s.spawn(s.log, nil, "bin/qmail-start", "./Maildir/")
		<-p.done
		if got := p.ProcessState.ExitCode(); got != 111 || s.logged() != strings.Repeat(want, i+1) {
			t.Fatalf("without %s qmail-send exits with %d; the log is %q", name, got, s.logged())
		}
		repair()
	}
	p := s.start()
	for _, name := range []string{"locals", "virtualdomains"} {
		repair := s.spoil("control/"+name, name == "locals")
		p.Process.Signal(syscall.SIGHUP)
		s.wait("alert: unable to reread control/" + name + "\n")
		repair()
	}
	s.inject("", "joe@"+me, "Subject: all the same\n\n")
	s.settled(1)
	if got := len(s.mail("u/joe/Maildir")); got != 1 {
		t.Errorf("after rereading in vain %d messages arrived, want 1", got)
	}
	p.stop()
}

// remoteControl checks qmail-remote.
func (s *suite) remoteControl(t *testing.T) {
	far := serve(t, nil)
	s.control("smtproutes", "far.example:"+far.route()+"\n")
	s.newLog()
	p := s.start()
	for i, name := range []string{"helohost", "timeoutremote", "timeoutconnect", "smtproutes"} {
		repair := s.spoil("control/"+name, i%2 == 0)
		if i == 0 {
			s.inject("", "you@far.example", "Subject: later\n\n")
		} else {
			p.Process.Signal(syscall.SIGALRM)
		}
		if got, want := s.outcome("you@far.example", i+1), "deferral: Unable_to_read_control_files._(#4.3.0)/"; got != want {
			t.Errorf("without %s: %q, want %q", name, got, want)
		}
		repair()
	}
	p.Process.Signal(syscall.SIGALRM)
	s.settled(1)
	if got := far.taken(); len(got) != 1 || !strings.HasSuffix(got[0].text, "Subject: later\n\n") {
		t.Errorf("in the end the other host has %q", got)
	}
	s.keeps()
}

// Control files that somebody is just writing.
func TestBadInputHalfWritten(t *testing.T) {
	s := install(t)
	port := s.smtpd()
	const notHere = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
	for _, c := range []struct{ name, contents, reply string }{
		{"rcpthosts", "", smtpOK + notHere},
		{"rcpthosts", me[:5], smtpOK + notHere},
		{"rcpthosts", me, smtpOK + smtpOK}, // a last line without its end counts
		{"databytes", "1x", smtpOK + smtpOK},
		{"badmailfrom", "@away.exampl", smtpOK + smtpOK},
		{"morercpthosts.cdb", "", smtpOK + "421 unable to read controls (#4.3.0)\r\n"},
		{"morercpthosts.cdb", strings.Repeat("\xff", 2047), smtpOK + "421 unable to read controls (#4.3.0)\r\n"},
		{"morercpthosts.cdb", strings.Repeat("\xff", 2048), smtpOK + "421 unable to read controls (#4.3.0)\r\n"},
	} {
		s.control(c.name, c.contents)
		input := "MAIL FROM:<far@away.example>\r\nRCPT TO:<joe@" + me + ">\r\n"
		if c.name == "morercpthosts.cdb" {
			input = strings.Replace(input, "joe@"+me, "joe@elsewhere.example", 1)
		}
		if got, want := talk(t, port, input), smtpHello+c.reply; got != want {
			t.Errorf("with %q in %s: %q, want %q", c.contents, c.name, got, want)
		}
		os.Remove(s.path("control/" + c.name))
		s.control("rcpthosts", me+"\n")
	}
	// Half of an assignment never becomes the database: the old one stays.
	cdb, err := os.ReadFile(s.path("users/cdb"))
	if err != nil {
		t.Fatal(err)
	}
	assign, err := os.ReadFile(s.path("users/assign"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(assign) - 2 {
		s.write("users/assign", string(assign[:n]))
		out, err := run(s.path("bin/qmail-newu"))
		if err == nil || !strings.Contains(out, "qmail-newu: fatal: bad format in users/assign") {
			t.Errorf("qmail-newu with %d of %d bytes: %v, it says %q", n, len(assign), err, out)
		}
	}
	if now, _ := os.ReadFile(s.path("users/cdb")); !slices.Equal(now, cdb) {
		t.Error("users/cdb has changed")
	}
}

// A users/cdb that is none delays mail, and costs qmail-lspawn nothing.
func TestBadInputUsers(t *testing.T) {
	s := install(t)
	const file = "users/cdb"
	good, err := os.ReadFile(s.path(file))
	if err != nil {
		t.Fatal(err)
	}
	var bad [][]byte
	for n := 0; n < len(good); n += 1 + len(good)/50 {
		bad = append(bad, good[:n])
	}
	bad = append(bad, good[:2047], good[:2048], good[:len(good)-1])
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		b := make([]byte, 2000+random.IntN(3000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		bad = append(bad, b)
	}
	p := s.start()
	before := running()
	const later = "deferral: Trouble_reading_users/cdb_in_qmail-lspawn./"
	deferrals, sent, again := 0, 0, false
	for i, b := range append(bad, nil) {
		repair := func() {}
		if i < len(bad) {
			s.write(file, string(b))
		} else {
			s.write(file, string(good))
			repair = s.spoil(file, false)
		}
		if again {
			p.Process.Signal(syscall.SIGALRM)
		} else {
			s.inject("", "joe@"+me, "Subject: whose?\n\n")
			sent++
		}
		got := s.outcome("joe@"+me, i+1)
		again = got == later
		switch {
		case again:
			deferrals++
		case got != "success: did_1+0+0/" || i >= len(bad)-40: // the damage may be where nobody looks
			t.Errorf("with %d bytes that begin with %q: %q", len(b), b[:min(len(b), 20)], got)
		}
		repair()
	}
	s.write(file, string(good))
	p.Process.Signal(syscall.SIGALRM)
	s.settled(sent)
	if got := len(s.mail("u/joe/Maildir")); got != sent || deferrals < 70 {
		t.Errorf("%d of %d messages arrived after %d deferrals, want all and 70 or more", got, sent, deferrals)
	}
	for pid, program := range running() {
		if before[pid] != program && program != "qmail-local" {
			t.Errorf("%s is not the one that was started", program)
		}
	}
	s.keeps()
}

// trouble is something wrong with joe's home, made by spoil(true) and put right by
// spoil(false).
type trouble struct {
	name  string
	spoil func(bool) error
	want  string // the text of the deferral
}

// withMode gives a file a bad mode.
func (s *suite) withMode(path string, bad, good os.FileMode) func(bool) error {
	return func(spoil bool) error {
		if spoil {
			return os.Chmod(path, bad)
		}
		return os.Chmod(path, good)
	}
}

// without moves a file away.
func (s *suite) without(path string) func(bool) error {
	kept := s.path("u/away")
	return func(spoil bool) error {
		if spoil {
			return os.Rename(path, kept)
		}
		return os.Rename(kept, path)
	}
}

// asFile has a plain file in the place of a directory.
func (s *suite) asFile(path string) func(bool) error {
	move := s.without(path)
	return func(spoil bool) error {
		if spoil {
			return errors.Join(move(true), os.WriteFile(path, nil, 0o644))
		}
		return errors.Join(os.Remove(path), move(false))
	}
}

// withDotQmail gives joe another .qmail.
func (s *suite) withDotQmail(text string) func(bool) error {
	return func(spoil bool) error {
		if !spoil {
			text = "./Maildir/\n"
		}
		s.joe(".qmail", text, 0o644)
		return nil
	}
}

// strangers gives a directory to somebody else, where that can be done, and closes
// it.
func (s *suite) strangers(path string) func(bool) error {
	if !root {
		return s.withMode(path, 0, 0o700)
	}
	return func(spoil bool) error {
		if spoil {
			return errors.Join(os.Chown(path, 0, 0), os.Chmod(path, 0o700))
		}
		return errors.Join(os.Chown(path, joeUID, joeGID), os.Chmod(path, 0o755))
	}
}

// troubles are what users do to their own homes and .qmail files.
func (s *suite) troubles() []trouble {
	joe, dotqmail, maildir := s.path("u/joe"), s.path("u/joe/.qmail"), s.path("u/joe/Maildir")
	return []trouble{
		{"a .qmail that others may write", s.withMode(dotqmail, 0o666, 0o644), "Uh-oh: .qmail file is writable. (#4.7.0)\n"},
		{"a .qmail that joe may not read", s.withMode(dotqmail, 0, 0o644), "Unable to open .qmail: access denied. (#4.3.0)\n"},
		{"a .qmail with a blank line first", s.withDotQmail("\n./Maildir/\n"), "Uh-oh: first line of .qmail file is blank. (#4.2.1)\n"},
		{"a .qmail with the x bit", s.withMode(dotqmail, 0o744, 0o644), "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)\n"},
		{"a list with a program", s.withDotQmail("+list\n|true\n"), "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)\n"},
		{"no home", s.without(joe), "Unable to switch to " + joe + ": file does not exist. (#4.3.0)\n"},
		{"a file as home", s.asFile(joe), "Unable to switch to " + joe + ": not a directory. (#4.3.0)\n"},
		{"a sticky home", s.withMode(joe, 0o755|os.ModeSticky, 0o755), "Home directory is sticky: user is editing his .qmail file. (#4.2.1)\n"},
		{"a home that others may write", s.withMode(joe, 0o777, 0o755), "Uh-oh: home directory is writable. (#4.7.0)\n"},
		{"somebody else's home", s.strangers(joe), "Unable to switch to " + joe + ": access denied. (#4.3.0)\n"},
		{"no Maildir", s.without(maildir), "Unable to chdir to maildir. (#4.2.1)\n"},
		{"a file as Maildir", s.asFile(maildir), "Unable to chdir to maildir. (#4.2.1)\n"},
		{"a Maildir without tmp", s.without(maildir + "/tmp"), "Temporary error on maildir delivery. (#4.3.0)\n"},
		{"a Maildir without new", s.without(maildir + "/new"), "Temporary error on maildir delivery. (#4.3.0)\n"},
		{"somebody else's tmp", s.strangers(maildir + "/tmp"), "Temporary error on maildir delivery. (#4.3.0)\n"},
		{"a directory as mbox", s.withDotQmail("./directory\n"), "Unable to open ./directory: is a directory. (#4.2.1)\n"},
		{"a fifo as mbox", s.withDotQmail("./fifo\n"), "Unable to open ./fifo: device not configured. (#4.2.1)\n"},
		{"no directory of the mbox", s.withDotQmail("./nowhere/box\n"), "Unable to open ./nowhere/box: file does not exist. (#4.2.1)\n"},
		{"a program that fails", s.withDotQmail("|echo no luck; exit 1\n./Maildir/\n"), "no luck\n"},
		{"a program that is not there", s.withDotQmail("|./nosuch 2>/dev/null\n"), ""},
		{"a program that is killed", s.withDotQmail("|kill -9 $$\n"), "Aack, child crashed. (#4.3.0)\n"},
	}
}

// All of them delay mail until they are put right.
func TestBadInputHomes(t *testing.T) {
	s := install(t)
	joe, tmp := s.path("u/joe"), s.path("u/joe/Maildir/tmp")
	s.mkdir("u/joe/directory", 0o755, joeUID, joeGID)
	if err := errors.Join(unix.Mkfifo(s.path("u/joe/fifo"), 0o666), os.Chmod(s.path("u/joe/fifo"), 0o666)); err != nil {
		t.Fatal(err)
	}
	s.joe(".qmail", "./Maildir/\n", 0o644)
	p := s.start()
	for i, c := range s.troubles() {
		if err := c.spoil(true); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			s.inject("", "joe@"+me, "Subject: at last\n\n")
		} else {
			p.Process.Signal(syscall.SIGALRM)
		}
		if got, want := s.outcome("joe@"+me, i+1), "deferral: "+safe(c.want); got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if err := c.spoil(false); err != nil {
			t.Fatal(err)
		}
	}
	if root { // nobody asks whose home it is if joe may use it
		if err := os.Chown(joe, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	p.Process.Signal(syscall.SIGALRM)
	s.settled(1)
	if got := s.mail("u/joe/Maildir"); len(got) != 1 {
		t.Errorf("%d messages arrived, want 1", len(got))
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("tmp has %v, %v", left, err)
	}
	s.permanent(t)
}

// permanent checks what no waiting helps against: it is bounced, once.
func (s *suite) permanent(t *testing.T) {
	s.joe(".qmail-x", "&"+long(1003, "@"+me)+"\n", 0o644)
	s.joe(".qmail-bounces", "./Maildir/\n", 0o644)
	for i, c := range []struct{ recipient, header, want string }{
		{"joe-nosuch@" + me, "", "Sorry, no mailbox here by that name. (#5.1.1)\n"},
		{"joe@" + me, "Delivered-To: joe@" + me + "\n", "This message is looping: it already has my Delivered-To line. (#5.4.6)\n"},
		{"joe-x@" + me, "", "Unable to forward message: envelope address too long for qq (#5.1.3).\n"},
	} {
		before := len(s.outcomes()[c.recipient])
		s.inject("joe-bounces@"+me, c.recipient, c.header+fmt.Sprintf("Subject: permanent %d\n\n", i))
		if got, want := s.outcome(c.recipient, before+1), "failure: "+safe(c.want); got != want {
			t.Errorf("to %s: %q, want %q", c.recipient, got, want)
		}
		s.settled(1 + 2*(i+1))
		bounce := find(t, s.mail("u/joe/Maildir"), fmt.Sprintf("\nSubject: permanent %d\n", i))
		if want := "\n\n<" + c.recipient + ">:\n" + c.want + "\n--- Below this line is a copy of the message.\n"; !strings.Contains(bounce, want) {
			t.Errorf("the bounce is %q, want %q in it", bounce, want)
		}
	}
	// The address that was too long has left what qmail-queue may not remove.
	eventually(t, "nothing else to be in the queue", func() bool { return s.added(nil) == refused })
}
