package suite

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Deliveries by programs: what their exits mean, those that come with qmail for
// .qmail files, and mail filters of others.

func TestProgramExits(t *testing.T) {
	s := install(t)
	rows := []struct{ name, qmail, want string }{
		{"0", "|exit 0\n./Maildir/\n", "success: did_1+0+1/"},
		{"99", "&joe-fw@" + me + "\n|echo enough; exit 99\n./Maildir/\n", "success: enough/did_0+1+1/qp_#/"},
		{"100", "&joe-never@" + me + "\n|echo no; echo never >&2; exit 100\n./Maildir/\n", "failure: no/never/"},
		{"64", "|exit 64\n", "failure: "},
		{"112", "|exit 112\n", "failure: "},
		{"111", "|echo later; exit 111\n./Maildir/\n", "deferral: later/"},
		{"1", "|exit 1\n", "deferral: "},
		{"75", "|exit 75\n", "deferral: "},
		{"127", "|no-such-program 2>/dev/null\n", "deferral: "},
		{"killed", "|kill -9 $$\n", "deferral: Aack,_child_crashed._(#4.3.0)/"},
		{"segfault", "|kill -SEGV $$\n", "deferral: Aack,_child_crashed._(#4.3.0)/"},
		{"last", "./Maildir/\n|echo $RECIPIENT $EXT $HOST; exit 100\n", "failure: joe-last@me.example_last_me.example/"},
		{"long", "|head -c 9000 /dev/zero | tr '\\0' x; exit 100\n", "failure: " + strings.Repeat("x", 2966) + "/Error_report_too_long,_sorry./"},
	}
	var recipients []string
	for _, r := range rows {
		s.joe(".qmail-"+r.name, r.qmail, 0o644)
		recipients = append(recipients, "joe-"+r.name+"@"+me)
	}
	s.joe(".qmail-fw", "./Maildir/\n", 0o644)
	s.maildir("u/joe/bounces")
	s.joe(".qmail-sender", "./bounces/\n", 0o644)
	s.start()
	s.enter("joe-sender@"+me, recipients, "Subject: run\n\n")
	for i, r := range rows {
		if got := mask(s.outcome(recipients[i], 1)); got != r.want {
			t.Errorf("exit %s: %s\nwant %s", r.name, got, r.want)
		}
	}
	s.settled(1) // what 99 let be forwarded
	mail := s.mail("u/joe/Maildir")
	for _, to := range []string{"joe-0", "joe-fw", "joe-last"} {
		find(t, mail, "Delivered-To: "+to+"@me.example\nReceived: ")
	}
	if len(mail) != 3 {
		t.Errorf("%d messages arrived, want 3", len(mail))
	}
	if n := len(s.mail("u/joe/bounces")); n != 0 {
		t.Errorf("%d bounces before all of the message has ended", n)
	}
}

// Output in a bounce is as the program wrote it.
func TestProgramBounce(t *testing.T) {
	s := install(t)
	s.joe(".qmail-no", "|printf 'first\\n\\nlast'; exit 100\n", 0o644)
	s.start()
	s.inject("joe@"+me, "joe-no@"+me, "Subject: run\n\n")
	s.settled(2)
	find(t, s.mail("u/joe/Maildir"), "\n\n<joe-no@me.example>:\nfirst\n/last\n\n--- Below")
}

func TestHelpers(t *testing.T) {
	s := install(t)
	for _, box := range []string{"one", "two", "kept"} {
		s.maildir("u/joe/" + box)
		s.joe(".qmail-"+box, "./"+box+"/\n", 0o644)
	}
	s.joe(".qmail-preline", "|preline cat >preline\n|preline -fd cat >preline-r\n|preline -d sh -c 'cat >/dev/null; exit 99'\n|exit 100\n", 0o644)
	s.joe(".qmail-forward", "|forward \"one-$EXT@"+me+"\" joe-two@"+me+"\n", 0o644)
	s.joe(".qmail-list-owner", "", 0o644)
	s.joe(".qmail-list", "|forward joe-one@"+me+"\n", 0o644)
	s.joe(".qmail-redirect", "|condredirect joe-two@"+me+" grep -q '^X-Red'\n./kept/\n", 0o644)
	s.joe(".qmail-bounce", "|bouncesaying 'Go away.' grep -q '^X-Red'\n./kept/\n", 0o644)
	s.joe(".qmail-except", "|except grep -q '^X-Red'\n./kept/\n", 0o644)
	s.assign(s.assigned("=one-forward:joe:%d:%d:%s/u/joe:-:one:\n"))
	s.start()
	deliver := func(n int, to, message, want string) {
		t.Helper()
		s.inject("joe-nobody-cares@"+me, to+"@"+me, message)
		if got := mask(s.outcome(to+"@"+me, n)); got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	const plain, red = "Subject: plain\n\nbody\n", "X-Red: yes\nSubject: red\n\nbody\n"
	deliver(1, "joe-preline", plain, "success: did_0+0+3/")
	b, err := os.ReadFile(s.path("u/joe/preline"))
	lines := strings.SplitN(string(b), "\n", 4)
	if err != nil || len(lines) != 4 || !strings.HasPrefix(lines[0], "From joe-nobody-cares@me.example ") ||
		lines[1] != "Return-Path: <joe-nobody-cares@me.example>" || lines[2] != "Delivered-To: joe-preline@me.example" ||
		!strings.HasPrefix(lines[3], "Received: (qmail ") || !strings.HasSuffix(lines[3], "\nSubject: plain\n\nbody\n") {
		t.Errorf("preline made %q, %v", b, err)
	}
	if b, _ := os.ReadFile(s.path("u/joe/preline-r")); !strings.HasPrefix(string(b), "Return-Path: <joe-nobody-cares@me.example>\nReceived: ") {
		t.Errorf("preline -fd made %q", b)
	}

	deliver(1, "joe-forward", plain, "success: forward:_qp_#/did_0+0+1/")
	deliver(1, "joe-list", plain, "success: forward:_qp_#/did_0+0+1/")
	deliver(1, "joe-redirect", plain, "success: did_1+0+1/")
	deliver(2, "joe-redirect", red, "success: condredirect:_qp_#/did_0+0+1/")
	deliver(1, "joe-bounce", plain, "success: did_1+0+1/")
	deliver(2, "joe-bounce", red, "failure: Go_away./")
	deliver(1, "joe-except", plain, "success: did_1+0+1/")
	deliver(2, "joe-except", red, "failure: ")
	s.empty()
	for box, want := range map[string][]string{
		"one":  {"<joe-nobody-cares@me.example>\nDelivered-To: one-forward@me.example\n", "<joe-list-owner@me.example>\nDelivered-To: joe-one@me.example\n"},
		"two":  {"\nDelivered-To: joe-redirect@me.example\n", "\nDelivered-To: joe-forward@me.example\n"},
		"kept": {"\nDelivered-To: joe-redirect@me.example\n", "\nDelivered-To: joe-bounce@me.example\n", "\nDelivered-To: joe-except@me.example\n"},
	} {
		mail := s.mail("u/joe/" + box)
		for _, w := range want {
			find(t, mail, w)
		}
		if len(mail) != len(want) {
			t.Errorf("%d messages in %s, want %d", len(mail), box, len(want))
		}
	}
}

// assigned is the usual users/assign with lines before it; %d %d %s in them are
// joe's numbers and the home.
func (s *suite) assigned(lines string) string {
	b, err := os.ReadFile(s.path("users/assign"))
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf(lines, joeUID, joeGID, home) + strings.TrimSuffix(string(b), ".\n")
}

// guest makes guest and guest-anything, who have an account: mail filters ask for it.
func (s *suite) guest() {
	s.t.Helper()
	user, uid, gid := "nobody", os.Getuid(), os.Getgid()
	if root {
		uid, _ = strconv.Atoi(account(s.t, "passwd", "nobody"))
		gid, _ = strconv.Atoi(account(s.t, "group", "nogroup"))
	} else {
		user, _, _ = strings.Cut(must(s.t, "getent", "passwd", fmt.Sprint(uid)), ":")
	}
	s.assign(fmt.Sprintf("=guest:%[1]s:%[2]d:%[3]d:%[4]s/u/guest:::\n+guest-:%[1]s:%[2]d:%[3]d:%[4]s/u/guest:-::\n", user, uid, gid, home) + s.assigned(""))
	for _, dir := range []string{"", "/Maildir", "/Maildir/tmp", "/Maildir/new", "/Maildir/cur"} {
		s.mkdir("u/guest"+dir, 0o700, uid, gid)
	}
}

func (s *suite) guests(rel, contents string) {
	s.t.Helper()
	s.write("u/guest/"+rel, contents)
	if err := os.Chmod(s.path("u/guest/"+rel), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if root {
		must(s.t, "chown", "nobody:nogroup", s.path("u/guest/"+rel))
	}
}

// filtered sends four messages and looks where a mail filter put them.
func filtered(t *testing.T, s *suite) {
	t.Helper()
	for n, c := range []struct{ subject, begin, end string }{
		{"ham", "success: ", "did_0+0+1/"},
		{"spam", "failure: ", "No_spam_please./"},
		{"stop", "success: ", "did_0+0+1/"},
		{"later", "deferral: ", ""},
	} {
		s.inject("joe-lost@"+me, "guest@"+me, "Subject: some "+c.subject+"\n\nbody\n")
		if got := s.outcome("guest@"+me, n+1); !strings.HasPrefix(got, c.begin) || !strings.HasSuffix(got, c.end) {
			t.Errorf("%s: %s, want %s…%s", c.subject, got, c.begin, c.end)
		}
	}
	mail := s.mail("u/guest/Maildir")
	for _, subject := range []string{"ham", "stop"} {
		m := find(t, mail, "\nSubject: some "+subject+"\n")
		if !strings.Contains(m, "Return-Path: <joe-lost@me.example>\nDelivered-To: guest@me.example\nReceived: ") || !strings.HasSuffix(m, "\n\nbody\n") {
			t.Errorf("the filter kept\n%s", m)
		}
	}
	if len(mail) != 2 {
		t.Errorf("the filter kept %d messages, want 2", len(mail))
	}
}

func TestProcmail(t *testing.T) {
	procmail, ok := tool(t, "procmail")
	if !ok {
		return
	}
	s := install(t)
	s.guest()
	s.guests(".qmail", "|preline "+procmail+" -m rc\n|exit 100\n")
	// It takes its own word for where the account's home is.
	s.guests("rc", "SHELL=/bin/sh\nMAILDIR="+s.path("u/guest")+"\nDEFAULT=./Maildir/\nORGMAIL=./Maildir/\n"+`
:0
* ^Subject:.*spam
{
	LOG="No spam please.
"
	EXITCODE=100
	HOST=_no_more_
}
:0
* ^Subject:.*later
{
	EXITCODE=75
	HOST=_no_more_
}
EXITCODE=99
`)
	s.start()
	filtered(t, s)
}

func TestMaildrop(t *testing.T) {
	maildrop, ok := tool(t, "maildrop")
	if !ok {
		return
	}
	s := install(t)
	s.guest()
	s.guests(".qmail", "|preline -f "+maildrop+" ./mailfilter\n")
	s.guests("mailfilter", `if (/^Subject: .*spam/)
{
	echo "No spam please."
	EXITCODE=100
	exit
}
if (/^Subject: .*later/)
{
	EXITCODE=111
	exit
}
to "./Maildir/"
`)
	s.start()
	filtered(t, s)
}
