package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Forwarding in the ways of Sendmail: by a database of aliases in alias's home, and by
// .forward files.

// boxes makes Maildirs of joe's that joe-NAME delivers into.
func (s *suite) boxes(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.maildir("u/joe/" + name)
		s.joe(".qmail-"+name, "./"+name+"/\n", 0o644)
	}
}

// compile runs one of the programs that read standard input and replace a file.
func (s *suite) compile(program, name, text string) {
	s.t.Helper()
	must(s.t, "sh", "-c", fmt.Sprintf("cd %s && %s %s tmp <<'END'\n%s\nEND", s.path("alias"), s.path("bin/"+program), name, text))
}

// arrived wants a Maildir of joe's to hold n messages, and empties it.
func (s *suite) arrived(name string, n int) (mail []string) {
	s.t.Helper()
	mail = s.mail("u/joe/" + name)
	if len(mail) != n {
		s.t.Errorf("%d messages in %s, want %d", len(mail), name, n)
	}
	files, _ := filepath.Glob(s.path("u/joe/" + name + "/new/*"))
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			s.t.Fatal(err)
		}
	}
	return mail
}

const database = `
pair@me.example: joe-one@me.example, joe-two@me.example;
Wild@: joe-one@me.example;
team@me.example: ?joe-owner@me.example, joe-one@me.example, ./members.bin;
nested@me.example: team@me.example, joe-two@me.example;
program@: |cat\ >bar, !cat\ >bang, |echo\ $SENDER\ $RECIPIENT\ $DEFAULT, joe-two@me.example;
refuse@: |echo\ Go\ away.\;\ exit\ 100, joe-one@me.example;
circle@me.example: round@me.example; round@me.example: circle@me.example;
loop@: loop@me.example;
absent@: joe-one@me.example, ./absent.bin;
secret@: ./secret.bin;
`

func TestFastforward(t *testing.T) {
	s := install(t)
	s.boxes("one", "two", "owner", "sender")
	s.write("alias/.qmail-default", "|fastforward -d aliases.cdb\n")
	s.compile("setforward", "aliases.cdb", database)
	s.compile("setmaillist", "members.bin", "# members\njoe-two@me.example\njoe-nobody@me.example\n./members.bin")
	s.write("alias/secret.bin", "&joe-one@me.example\x00")
	if err := os.Chmod(s.path("alias/secret.bin"), 0o604); err != nil {
		t.Fatal(err)
	}
	s.start()
	deliver := func(to, want string, ended int) {
		t.Helper()
		before := s.ended()
		s.inject("joe-sender@"+me, to+"@"+me, "Subject: alias\n\nbody\n")
		if got := mask(s.outcome(to+"@"+me, 1)); got != want {
			t.Errorf("%s: %s\nwant %s", to, got, want)
		}
		s.settled(before + ended)
	}
	const forwarded = "success: fastforward:_qp_#/did_0+0+1/"

	deliver("pair", forwarded, 2)
	find(t, s.arrived("one", 1), "Return-Path: <joe-sender@me.example>\nDelivered-To: joe-one@me.example\nReceived: ")
	find(t, s.arrived("two", 1), "\nDelivered-To: pair@me.example\nReceived: ")
	deliver("WILD", forwarded, 2)
	s.arrived("one", 1)

	// Who is on a list and is nobody tells its owner, also if it was reached by another.
	deliver("team", forwarded, 3)
	find(t, s.arrived("one", 1), "Return-Path: <joe-owner@me.example>\nDelivered-To: joe-one@me.example\n")
	s.arrived("two", 1)
	find(t, s.arrived("owner", 1), "\n<joe-nobody@me.example>:\n")
	deliver("nested", forwarded, 4)
	s.arrived("one", 1)
	find(t, s.arrived("owner", 1), "\n<joe-nobody@me.example>:\n")
	find(t, s.arrived("two", 2), "Return-Path: <joe-sender@me.example>\nDelivered-To: joe-two@me.example\n")

	deliver("program", "success: joe-sender@me.example_program@me.example_program/fastforward:_qp_#/did_0+0+1/", 2)
	s.arrived("two", 1)
	bar, _ := os.ReadFile(s.path("alias/bar"))
	bang, _ := os.ReadFile(s.path("alias/bang"))
	lines := "Return-Path: <joe-sender@me.example>\nDelivered-To: program@me.example\n"
	if !strings.HasPrefix(string(bar), "Received: ") || !strings.HasPrefix(string(bang), "From joe-sender@me.example ") || !strings.HasSuffix(string(bang), "\n"+lines+string(bar)) {
		t.Errorf("the programs got\n%q\n%q", bar, bang)
	}
	deliver("refuse", "failure: Go_away./", 2)
	find(t, s.arrived("sender", 1), "\n<refuse@me.example>:\nGo away.\n")

	deliver("circle", "success: did_0+0+1/", 1)
	before := s.ended()
	s.inject("joe-sender@"+me, "loop@"+me, "Subject: alias\n\nbody\n") // which of the two deliveries ends first is not fixed
	s.settled(before + 3)
	find(t, s.arrived("sender", 1), "\n<loop@me.example>:\nThis message is looping")
	deliver("who", "failure: Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/", 2)
	s.arrived("sender", 1)
	deliver("absent", "deferral: fastforward:_fatal:_unable_to_read_./absent.bin:_file_does_not_exist/", 0)
	deliver("secret", "deferral: fastforward:_fatal:_./secret.bin_is_not_world-readable/", 0)
	s.arrived("one", 0)
}

// What is compiled can be printed, and what is printed compiles to the same.
func TestForwardingFiles(t *testing.T) {
	s := install(t)
	s.compile("setforward", "cdb", database)
	s.compile("setmaillist", "bin", "joe@me.example\n/etc/list")
	for _, c := range []struct{ set, print, file string }{{"setforward", "printforward", "cdb"}, {"setmaillist", "printmaillist", "bin"}} {
		file := s.path("alias/" + c.file)
		must(t, "sh", "-c", fmt.Sprintf("cat %[1]s | %[2]s >%[1]s.text && %[3]s %[1]s.again tmp.%[4]s <%[1]s.text && cmp %[1]s %[1]s.again",
			file, s.path("bin/"+c.print), "cd "+s.path("alias")+" && "+s.path("bin/"+c.set), c.file))
		if out, status := s.sh("no such thing", s.path("bin/"+c.print)); status != 100 || !strings.Contains(out, c.print+": fatal: bad ") {
			t.Errorf("%s of something else: %d, %q", c.print, status, out)
		}
	}
	for program, want := range map[string]string{
		"setforward":  "setforward: usage: setforward data.cdb data.tmp\n",
		"setmaillist": "setmaillist: usage: setmaillist list.bin list.tmp\n",
		"newinclude":  "newinclude: usage: newinclude list\n",
	} {
		if out, status := s.sh("", s.path("bin/"+program)); status != 100 || out != want {
			t.Errorf("%s: %d, %q, want %q", program, status, out, want)
		}
	}
	old, _ := os.ReadFile(s.path("alias/cdb"))
	if out, err := run("sh", "-c", "cd "+s.path("alias")+" && echo 'a: b' | "+s.path("bin/setforward")+" cdb tmp"); err == nil || out != "setforward: fatal: final instruction must end with semicolon\n" {
		t.Errorf("setforward: %v, %q", err, out)
	}
	if now, _ := os.ReadFile(s.path("alias/cdb")); string(now) != string(old) {
		t.Error("a database was replaced by half of one")
	}
}

// /etc/aliases and a list that it includes, as they come from Sendmail. The programs see
// an /etc of the test's.
func TestNewaliases(t *testing.T) {
	if !asRoot(t, "mounts a directory over /etc") {
		return
	}
	s := install(t)
	s.boxes("one", "two", "owner")
	etc := s.path("etc")
	s.mkdir("etc", 0o755, 0, 0)
	s.write("etc/aliases", "# aliases\nHostmaster: joe-one (Joe)\npair: joe-one,\n  Joe Two <joe-two@me>\nlist: :include:"+etc+"/list\nowner-list: joe-owner\nlog: \"|cat >log\"\n")
	s.write("etc/list", "joe-one, joe-two@Me.Example\n# gone\njoe-gone")
	s.control("defaultdomain", "example\n")
	if err := os.Symlink(s.path("bin/sendmail"), s.path("u/newaliases")); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"bin/newaliases", "u/newaliases"} {
		if err := os.RemoveAll(etc + "/aliases.cdb"); err != nil {
			t.Fatal(err)
		}
		must(t, "unshare", "-m", "sh", "-c", fmt.Sprintf("umask 077; mount --bind %s /etc && exec %s", etc, s.path(program)))
	}
	must(t, s.path("bin/newinclude"), etc+"/list")
	for _, name := range []string{"aliases.cdb", "list.bin"} {
		if st, err := os.Stat(etc + "/" + name); err != nil || st.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	s.write("alias/.qmail-default", "|fastforward -d "+etc+"/aliases.cdb\n")
	s.start()
	for to, ended := range map[string]int{"hostmaster": 2, "Pair": 2, "list": 4, "log": 1} {
		before := s.ended()
		s.inject("joe-owner@"+me, to+"@"+me, "Subject: alias "+to+"\n\n")
		if got := s.outcome(to+"@"+me, 1); !strings.HasPrefix(got, "success: ") {
			t.Errorf("%s: %s", to, got)
		}
		s.settled(before + ended)
	}
	s.arrived("one", 3)
	find(t, s.arrived("two", 2), "Return-Path: <owner-list@me.example>\n")
	find(t, s.arrived("owner", 1), "\n<joe-gone@me.example>:\n")
	if b, _ := os.ReadFile(s.path("alias/log")); !strings.HasPrefix(string(b), "From joe-owner@me.example ") {
		t.Errorf("the program got %q", b)
	}
}

func TestDotForward(t *testing.T) {
	s := install(t)
	s.boxes("one", "two", "sender")
	s.start("|dot-forward .forward\n./Maildir/")
	n := 0
	deliver := func(forward, want string, ended int) {
		t.Helper()
		if forward == "" {
			os.Remove(s.path("u/joe/.forward"))
		} else {
			s.joe(".forward", forward, 0o600)
		}
		n++
		before := s.ended()
		s.inject("joe-sender@"+me, "joe@"+me, "Subject: forward\n\nbody\n")
		if got := mask(s.outcome("joe@"+me, n)); got != want {
			t.Errorf("%q: %s\nwant %s", forward, got, want)
		}
		s.settled(before + ended)
	}
	const forwarded = "dot-forward:_info:_qp_#/"

	deliver("", "success: did_1+0+1/", 1)
	s.arrived("Maildir", 1)
	deliver("# vacation is over\n", "success: did_1+0+1/", 1)
	s.arrived("Maildir", 1)
	deliver("joe-one, Joe Two <joe-two@Me.Example> (away)\n", "success: "+forwarded+"did_0+0+1/", 2)
	find(t, s.arrived("one", 1), "Return-Path: <joe-sender@me.example>\nDelivered-To: joe-one@me.example\nReceived: ")
	find(t, s.arrived("two", 1), "\nDelivered-To: joe@me.example\nReceived: ")
	s.arrived("Maildir", 0)
	deliver("\\joe, joe-one\n\"|cat >copy; echo $RECIPIENT\"\n", "success: joe@me.example/"+forwarded+"did_1+0+1/", 2)
	s.arrived("one", 1)
	s.arrived("Maildir", 1)
	copied, _ := os.ReadFile(s.path("u/joe/copy"))
	if !strings.HasPrefix(string(copied), "From joe-sender@me.example ") || !strings.Contains(string(copied), "\nReturn-Path: <joe-sender@me.example>\nDelivered-To: joe@me.example\nReceived: ") {
		t.Errorf("the program got %q", copied)
	}
	deliver("|\"echo never; exit 100\", joe-one\n", "failure: never/", 2)
	find(t, s.arrived("sender", 1), "\n<joe@me.example>:\nnever\n")
	deliver("joe-gone\n", "success: "+forwarded+"did_0+0+1/", 3)
	find(t, s.arrived("sender", 1), "\n<joe-gone@me.example>:\n")
	deliver("joe-one, /var/mail/joe\n", "deferral: dot-forward:_fatal:_file_delivery_/var/mail/joe_not_supported/", 0)
	deliver("joe-one, \"joe\n", "deferral: dot-forward:_fatal:_unable_to_parse_this_line:_joe-one,_\"joe/", 0)
	deliver("joe-one, :include:list\n", "deferral: dot-forward:_fatal:_:include:_is_not_supported/", 0)
	s.arrived("one", 0)
	s.arrived("Maildir", 0)
}
