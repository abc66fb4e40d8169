package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quail/internal/explain"
)

// What qmail-explain says, and what then happens.

// explained runs qmail-explain for one address.
func (s *suite) explained(inside []string, as *syscall.Credential, args ...string) *explain.Address {
	s.t.Helper()
	args = append(slices.Clip(inside), append([]string{s.path("bin/qmail-explain"), "--json"}, args...)...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = []string{"PATH=" + os.Getenv("PATH")}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	var report explain.Report
	if err := json.Unmarshal(out, &report); err != nil || len(report.Addresses) != 1 {
		s.t.Fatalf("qmail-explain %q: %v, %s", args, err, out)
	}
	if status := cmd.ProcessState.ExitCode(); status != report.Status || status != report.Addresses[0].Status {
		s.t.Errorf("qmail-explain %q: exit status %d, the document has %d", args, status, report.Status)
	}
	return report.Addresses[0]
}

// steps returns the steps of an address that have that name.
func steps(a *explain.Address, name string) (out []explain.Step) {
	for _, s := range a.Steps {
		if s.Step == name {
			out = append(out, s)
		}
	}
	return out
}

// happens compares what was said with what the log has of the delivery, and of
// those that it leads to. seen counts the deliveries to each recipient.
func (s *suite) happens(a *explain.Address, seen map[string]int) {
	s.t.Helper()
	if a.Channel == "" {
		s.t.Errorf("%s: nothing is said of where it goes: %+v", a.Address, a)
		return
	}
	seen[a.Recipient]++
	got := s.outcome(safe(a.Recipient), seen[a.Recipient])
	want := []string{"success: "}
	switch a.Result {
	case explain.Delivered, explain.Forwarded, explain.Discarded:
		counts := map[string]int{}
		lines := append(steps(a, "line"), steps(a, "default")...)
		for _, line := range lines {
			counts[line.Match]++
		}
		want = append(want, fmt.Sprintf("did_%d+%d+%d/", counts["mbox"]+counts["maildir"], counts["forward"], counts["program"]))
		if len(steps(a, "home")) == 0 {
			want = want[:1] // nobody's
		}
		if counts["program"] > 0 {
			file := steps(a, ".qmail")
			chosen := file[len(file)-1]
			want = append(want, safe("by "+chosen.File+" "+chosen.Value+"\n"))
		}
	case explain.Bounced:
		want = []string{"failure: ", safe(a.Reason)}
	case explain.Deferred:
		want = []string{"deferral: ", safe(a.Reason)}
	case explain.Remote:
		want = append(want, steps(a, "try")[0].Match+"_accepted_message.")
	default:
		s.t.Errorf("%s: the result is %s", a.Address, a.Result)
	}
	for _, text := range want {
		// In the log a line's end is a slash, in a reason a blank.
		if !strings.Contains(strings.ReplaceAll(got, "/", "_"), strings.ReplaceAll(text, "/", "_")) {
			s.t.Errorf("%s, to %s: %s (%s), but what happened was %q", a.Address, a.Recipient, a.Result, text, got)
		}
	}
	for _, f := range a.Forwards {
		s.happens(f, seen)
	}
}

func TestExplain(t *testing.T) {
	s := install(t)
	far := serve(t, nil)
	s.control("smtproutes", "far.example:"+far.route()+"\n.far.example:"+far.route()+"\nno.far.example:\n")
	s.control("percenthack", "hack.example\n")
	s.control("virtualdomains", "virt.example:joe-virt\n.virt.example:joe-sub\nno.far.example:\none@far.example:joe-one\n")
	for name, text := range map[string]string{
		"default": "PROGRAM", "virt-default": "# any\nPROGRAM./Maildir/\n", "sub-any-default": "PROGRAM", "one-one@far:example": "PROGRAM",
		"list": "&one@far.example\n&ann@far.example\n\n# more\njoe-member\n", "list-owner": "", "list-owner-default": "",
		"member": "PROGRAM", "nothing": "#\n", "empty": "", "a:b": "PROGRAM", "loop": "&joe-pool\n", "pool": "./Maildir/\n&joe-loop@" + me + "\n",
		"blank": " \n./Maildir/\n", "missing": "./nowhere/\n", "x": "&ann@far.example\n|exit 0\n", "writable": "./Maildir/\n",
		"plus": "+list\n&joe-member\n./Maildir/\n",
	} {
		text = strings.ReplaceAll(text, "PROGRAM", `|echo by .qmail-`+name+` "$DEFAULT"`+"\n")
		mode := os.FileMode(0o644)
		switch name {
		case "x":
			mode = 0o744
		case "writable":
			mode = 0o646
		}
		s.joe(".qmail-"+name, text, mode)
	}
	s.maildir("u/joe/bounces")
	s.joe(".qmail-bounces", "./bounces/\n", 0o644)
	s.mkdir("u/sticky", 0o755|os.ModeSticky, joeUID, joeGID)
	s.mkdir("u/open", 0o777, joeUID, joeGID)
	s.assign(s.assigned("=sticky:s:%[1]d:%[2]d:%[3]s/u/sticky:::\n=open:o:%[1]d:%[2]d:%[3]s/u/open:::\n=gone:g:%[1]d:%[2]d:%[3]s/u/gone:::\n" +
		"=sys:root:0:0:%[3]s/u/joe:::\n=joe-exact:joe:%[1]d:%[2]d:%[3]s/u/joe:-:member:\n"))
	s.start()
	seen := map[string]int{}
	for _, address := range []string{
		"joe@" + me, "JOE-Any.One@localhost", "joe", "joe-a.b@" + me, "joe-exact@" + me, "joe-exactly@" + me, "nobody-here@" + me,
		"@" + me, "joe-empty@" + me, "joe-nothing@" + me, "joe-blank@" + me, "joe-missing@" + me, "joe-x@" + me, "joe-writable@" + me,
		"joe-plus@" + me, "joe-list@" + me, "joe-loop@" + me, "sticky@" + me, "open@" + me, "gone@" + me, "sys@" + me,
		"any@virt.example", "Any%virt.example@hack.example", "any-x@deep.virt.example", "x@deep.virt.example", "one@far.example",
		"two@far.example", "x@sub.far.example", "you@127.0.0.1", "odd \x01\xff\"@" + me,
	} {
		args := []string{"--sender", "joe-bounces@" + me, "--default-delivery", "./Maildir/", "--", address}
		a := s.explained(nil, nil, args...)
		s.enter("joe-bounces@"+me, []string{address}, "Subject: explained\n\n")
		a.Recipient = strings.ReplaceAll(a.Recipient, `"odd \x01\xff\"@me.example"`, "odd \x01\xff\"@me.example")
		s.happens(a, seen)
	}
	if n := len(far.taken()); n != 3 {
		t.Errorf("the other host has got %d messages", n)
	}
}

// Accounts of the host's, as qmail-getpw finds them.
func TestExplainAccount(t *testing.T) {
	if !asRoot(t, "makes accounts") {
		return
	}
	s := install(t)
	s.assign(fmt.Sprintf("=joe:joe:%d:%d:%s/u/joe:::\n", joeUID, joeGID, home)) // nobody else
	name := fmt.Sprintf("e%08x", crc32.ChecksumIEEE([]byte(*work)))
	uid, gid := s.useradd(name)
	for file, text := range map[string]string{".qmail": "|echo by .qmail ''\n", ".qmail-ext-default": "|echo by .qmail-ext-default \"$DEFAULT\"\n"} {
		s.write("u/"+name+"/"+file, text)
		if err := os.Chown(s.path("u/"+name+"/"+file), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	seen := map[string]int{}
	for _, address := range []string{name + "@" + me, strings.ToUpper(name) + "-Ext-More@" + me, name + "-other@" + me} {
		a := s.explained(nil, nil, "--sender", "joe@"+me, address)
		if found := steps(a, "qmail-getpw"); len(found) != 1 || found[0].Value != name {
			t.Errorf("%s: qmail-getpw finds %+v", address, found)
		}
		s.enter("joe@"+me, []string{address}, "Subject: explained\n\n")
		s.happens(a, seen)
	}
}

// Who may not see something is told so; the rest is the same for all.
func TestExplainUnseen(t *testing.T) {
	if !asRoot(t, "runs it as different users") {
		return
	}
	s := install(t)
	s.control("smtproutes", ":127.0.0.1:9\n")
	s.joe(".qmail-secret", "./Maildir/\n", 0o600)
	id := func(user, group string) *syscall.Credential {
		uid, _ := strconv.Atoi(account(t, "passwd", user))
		gid, _ := strconv.Atoi(account(t, "group", group))
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	nobody, joe := id("nobody", "nogroup"), &syscall.Credential{Uid: uint32(joeUID), Gid: uint32(joeGID)}
	for _, c := range []struct {
		as           *syscall.Credential
		close        string // to others, while it is asked
		address      string
		result       explain.Result
		step, reason string
	}{
		{nobody, "", "joe@" + me, explain.Delivered, "", ""},
		{nobody, "u/joe", "joe@" + me, explain.Unseen, "home", "access denied"},
		{joe, "u/joe", "joe@" + me, explain.Delivered, "", ""},
		{nobody, "", "joe-secret@" + me, explain.Unseen, ".qmail", "access denied"},
		{joe, "", "joe-secret@" + me, explain.Delivered, "", ""},
		{nil, "u/joe", "joe-secret@" + me, explain.Delivered, "", ""},
		{nobody, "users/cdb", "joe@" + me, explain.Unseen, "users/cdb", "access denied"},
		{nobody, "control", "joe@" + me, explain.Unseen, "rcpthosts", "access denied"},
		{nobody, "control/rcpthosts", "joe@" + me, explain.Delivered, "rcpthosts", "access denied"},
		{nobody, "control/smtproutes", "x@far.example", explain.Unseen, "smtproutes", "access denied"},
		{nobody, "", "x@far.example", explain.Remote, "tcpto", "access denied"},
		{nil, "", "x@far.example", explain.Remote, "", ""},
	} {
		var mode os.FileMode
		if c.close != "" {
			fi, err := os.Stat(s.path(c.close))
			if err != nil {
				t.Fatal(err)
			}
			mode = fi.Mode()
			if err := os.Chmod(s.path(c.close), mode&^0o077); err != nil {
				t.Fatal(err)
			}
		}
		a := s.explained(nil, c.as, "--default-delivery", "./Maildir/", c.address)
		if c.close != "" {
			if err := os.Chmod(s.path(c.close), mode); err != nil {
				t.Fatal(err)
			}
		}
		told := c.step == ""
		for _, step := range steps(a, c.step) {
			told = told || step.Outcome == explain.Hidden && strings.Contains(step.Text, c.reason)
		}
		if a.Result != c.result || !told {
			t.Errorf("%s, %q closed, as %v: %s (%s), step %q %+v; want %s", c.address, c.close, c.as, a.Result, a.Reason, c.step, steps(a, c.step), c.result)
		}
	}
}
