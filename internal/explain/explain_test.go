package explain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"quail/internal/accounts"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/dnstest"
	"quail/internal/localaddr"
	"quail/internal/nexthop"
	"quail/internal/prog"
	"quail/internal/resolve"
	"quail/internal/tcpto"
	"quail/internal/users"
)

var now = time.Unix(1_700_000_000, 0).UTC()

// host is a home of Quail's with a few users.
type host struct {
	t   testing.TB
	dir string
	p   *prog.Process
	dns *dnstest.Server
}

const zone = `
plain.test. MX 20 b.test.
plain.test. MX 10 a.test.
a.test. A 192.0.2.10
a.test. AAAA 2001:db8::10
b.test. A 192.0.2.11
mine.test. MX 10 here.test.
backup.test. MX 5 a.test.
backup.test. MX 10 here.test.
backup.test. MX 20 b.test.
here.test. A 192.0.2.1
null.test. MX 0 .
half.test. MX 5 broken.test.
half.test. MX 10 b.test.
tired.test. A 192.0.2.99
nearly.test. A 192.0.2.98
nearly.test. A 192.0.2.99
`

var controls = map[string]string{
	"me": "me.test\n", "locals": "me.test\nlocalhost\n", "rcpthosts": "me.test\n.virt.test\n", "percenthack": "hack.test\n",
	"virtualdomains": "virt.test:joe-v\n.virt.test:joe-sub\nnot.virt.test:\none@full.test:joe-one\n",
	"smtproutes":     ".routed.test:a.test:26\nplain.routed.test:\n",
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	for _, dir := range []string{"control", "users", "queue/lock", "joe/Maildir", "bare", "sticky", "open"} {
		h.must(os.MkdirAll(filepath.Join(h.dir, dir), 0o755))
	}
	for name, contents := range controls {
		h.write("control/"+name, contents)
	}
	for name, contents := range map[string]string{
		".qmail-list": "# members\n&ann@plain.test\n\nann@plain.test\n", ".qmail-list-owner": "", ".qmail-list-owner-default": "",
		".qmail-own": "&x@plain.test\n", ".qmail-own-owner": "",
		".qmail-default": "./Maildir/\n", ".qmail-v-default": "|exit 0\n./Mailbox\n", ".qmail-one-default": "./nowhere/\n",
		".qmail-empty": "", ".qmail-nothing": "# nothing\n", ".qmail-blank": "\n&a@b\n", ".qmail-x": "&a@null.test\n./Maildir/\n",
		".qmail-loop": "&joe-pool@me.test\n", ".qmail-pool": "&joe-loop@me.test\n", ".qmail-both": "joe-loop\njoe-v-x\n+list\n+else\n|no\n",
		".qmail-far": "&a@null.test\n", ".qmail-soft": "&a@broken.test\n&a@null.test\n", ".qmail-writable": "&a@b\n",
		".qmail-self": "&joe-self\n./Maildir/\n", ".qmail-odd": "|echo '\x1b[31m'\n",
		".qmail-wide": strings.Repeat("&joe-wide-2\n", 150), ".qmail-wide-2": strings.Repeat("&joe-nothing\n", 2),
		".qmail-deep-default": "&joe-deep-x$DEFAULT\n",
	} {
		h.write("joe/"+name, contents)
	}
	for i := range 9 {
		h.write(fmt.Sprintf("joe/.qmail-step%d", i), fmt.Sprintf("&joe-step%d\n", i+1))
	}
	h.must(os.Chmod(h.path("joe/.qmail-x"), 0o744))
	h.must(os.Chmod(h.path("joe/.qmail-writable"), 0o646))
	h.must(os.Chmod(h.path("sticky"), 0o755|os.ModeSticky))
	h.must(os.Chmod(h.path("open"), 0o777))
	h.assign("=joe:joe:1001:1001:DIR/joe:::\n+joe-:joe:1001:1001:DIR/joe:-::\n=root:root:0:0:/root:::\n=sticky:s:1:1:DIR/sticky:::\n" +
		"=open:o:1:1:DIR/open:::\n=gone:g:1:1:DIR/gone:::\n=bare:b:1:1:DIR/bare:::\n=bad:bad:x:1:/:::\n.\n")
	h.write("passwd", "daemon:x:1:1::/nowhere:\n")
	accounts.PasswdFile, accounts.NsswitchFile = h.path("passwd"), h.path("nsswitch.conf")
	h.write("queue/lock/tcpto", string(make([]byte, 1024)))
	conf.Home = h.dir
	file := tcpto.In(h.dir)
	for _, at := range []time.Time{now.Add(-20 * time.Minute), now.Add(-10 * time.Minute)} {
		file.TimedOut(netip.MustParseAddr("192.0.2.99"), at)
	}
	file.TimedOut(netip.MustParseAddr("192.0.2.98"), now.Add(-2*time.Hour))
	h.dns = &dnstest.Server{Config: "/dev/null", Port: 1}
	if t, ok := t.(*testing.T); ok { // a fuzz target does without
		h.dns = dnstest.Zone(t, zone, map[string]dnstest.Handler{"broken.test.": dnstest.Rcode(dns.RcodeServerFailure)})
	}
	h.p = &prog.Process{Name: "qmail-explain", Dir: h.dir, UID: os.Getuid(), Now: func() time.Time { return now }}
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, contents string) {
	h.t.Helper()
	h.must(os.WriteFile(h.path(name), []byte(contents), 0o644))
}

func (h *host) assign(text string) {
	h.t.Helper()
	draft, err := cdbfile.Create(h.path("users/cdb.tmp"))
	h.must(err)
	for record, err := range users.Assign(strings.NewReader(strings.ReplaceAll(text, "DIR", h.dir))) {
		h.must(err)
		h.must(draft.Add(record))
	}
	h.must(draft.Finish())
	h.must(draft.Publish(h.path("users/cdb")))
}

func (h *host) explainer() *Explainer {
	own := func() (localaddr.Set, error) {
		return localaddr.NewSet([]netip.Addr{netip.MustParseAddr("192.0.2.1")}), nil
	}
	return New(h.p, nexthop.Finder{Resolver: &resolve.Resolver{Config: h.dns.Config, Port: h.dns.Port}, Local: own})
}

// explain returns what is said about one address.
func (h *host) explain(address string) *Address {
	e := h.explainer()
	e.sender = "sender@example.net"
	return e.Explain([]string{address}).Addresses[0]
}

// step returns the steps of that name, outcome and text.
func (a *Address) step(name string) string {
	var out []string
	for _, s := range a.Steps {
		if s.Step == name {
			out = append(out, string(s.Outcome)+" "+s.Text)
		}
	}
	return strings.Join(out, " | ")
}

func TestResults(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		address string
		result  Result
		status  int
		step    string // the one to be looked at
		want    string // what begins what it says
	}{
		{"joe@me.test", Delivered, 0, "default", "applies the default delivery"},
		{"joe", Delivered, 0, "envnoathost", "applies no @ in the address: it is at me.test"},
		{"JOE-Empty@localhost", Delivered, 0, ".qmail", "applies .qmail-empty answers, but is empty"},
		{"joe-any.one@me.test", Delivered, 0, ".qmail", "passes .qmail-any:one is not there | applies .qmail-default answers, DEFAULT is any.one"},
		{"joe-any@me.test", Delivered, 0, "users/cdb", "applies the line +joe-: user joe, uid 1001"},
		{"a%virt.test@hack.test", Delivered, 0, "percenthack", "applies becomes a@virt.test"},
		{"x@virt.test", Delivered, 0, "virtualdomains", "applies by the line virt.test:joe-v local, as joe-v-x@virt.test"},
		{"x@virt.test", Delivered, 0, "line", "applies program exit 0 (not run here: by its exit status it may end the delivery) | applies mbox ./Mailbox"},
		{"x@not.virt.test", Bounced, 100, "virtualdomains", "applies by the line not.virt.test: not virtual"},
		{"x@sub.virt.test", Delivered, 0, "virtualdomains", "applies by the line .virt.test:joe-sub local"},
		{"one@full.test", Deferred, 111, "line", "refuses Maildir ./nowhere/: Unable to chdir to maildir. (#4.2.1)"},
		{"joe-nothing@me.test", Discarded, 0, "line", "passes comment: # nothing"},
		{"@me.test", Discarded, 0, "qmail-lspawn", "applies an address without a local part"},
		{"joe-blank@me.test", Deferred, 111, "line", "refuses Uh-oh: first line of .qmail file is blank. (#4.2.1)"},
		{"joe-x@me.test", Deferred, 111, "line", "applies forward to a@null.test | refuses Uh-oh: .qmail has file delivery but has x bit set."},
		{"joe-writable@me.test", Deferred, 111, ".qmail", "applies .qmail-writable answers | refuses Uh-oh: .qmail file is writable."},
		{"joe-both@me.test", Deferred, 111, "line", "applies forward to joe-loop | applies forward to joe-v-x | applies from here on only forwarding is allowed | passes not known, ignored: +else | refuses Uh-oh: .qmail has prog"},
		{"joe-list@me.test", Forwarded, 0, "owner", "applies .qmail-list-owner and .qmail-list-owner-default exists"},
		{"joe-own@me.test", Forwarded, 0, "owner", "applies .qmail-own-owner exists: forwards go out from joe-own-owner@me.test"},
		{"joe-far@me.test", Forwarded, 100, "line", "applies forward to a@null.test"},
		{"joe-soft@me.test", Forwarded, 111, "owner", ""},
		{"joe-loop@me.test", Forwarded, 100, "line", "applies forward to joe-pool@me.test"},
		{"joe-self@me.test", Delivered, 0, "line", "applies forward to joe-self | applies Maildir ./Maildir/"},
		{"root@me.test", Deferred, 111, "qmail-lspawn", "refuses Not allowed to perform deliveries as root."},
		{"sticky@me.test", Deferred, 111, "home", "refuses Home directory is sticky: user is editing his .qmail file. (#4.2.1)"},
		{"open@me.test", Deferred, 111, "home", "refuses Uh-oh: home directory is writable. (#4.7.0)"},
		{"gone@me.test", Deferred, 111, "home", "refuses Unable to switch to "},
		{"bad@me.test", Deferred, 111, "users/cdb", "refuses Internal qmail-lspawn bug."},
		{"daemon@me.test", Deferred, 111, "qmail-getpw", "passes not the user daemon: its home directory cannot be reached: file does not exist | refuses Unable to find alias user!"},
		{"x@plain.test", Remote, 0, "MX", "applies 10 a.test: 2001:db8::10 192.0.2.10 | applies 20 b.test: 192.0.2.11"},
		{"x@plain.test", Remote, 0, "try", "applies [2001:db8::10]:25, preference 10 | applies 192.0.2.10:25, preference 10 | applies 192.0.2.11:25, preference 20"},
		{"x@plain.test", Remote, 0, "rcpthosts", "refuses refused by SMTP from strangers: neither rcpthosts nor morercpthosts.cdb has plain.test"},
		{"x@any.routed.test", Remote, 0, "try", "applies [2001:db8::10]:26, preference 0 | applies 192.0.2.10:26"},
		{"x@any.routed.test", Remote, 0, "smtproutes", "applies by the line .routed.test:a.test:26 to a.test, port 26"},
		{"x@plain.routed.test", Bounced, 100, "smtproutes", "applies by the line plain.routed.test: no relay"},
		{"x@null.test", Bounced, 100, "addresses", "refuses Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)"},
		{"x@broken.test", Deferred, 111, "addresses", "refuses Sorry, I couldn't find any host by that name. (#4.1.2)"},
		{"x@half.test", Remote, 0, "MX", "passes 5 broken.test: no address, look up "},
		{"x@nowhere.test", Bounced, 100, "addresses", "refuses Sorry, I couldn't find any host named nowhere.test. (#5.1.2)"},
		{"x@mine.test", Bounced, 100, "addresses", "refuses Sorry. Although I'm listed as a best-preference MX or A for that host, it isn't"},
		{"x@backup.test", Remote, 0, "passed over", "passes 192.0.2.1, preference 10 | passes 192.0.2.11, preference 20"},
		{"x@backup.test", Remote, 0, "me", "applies 192.0.2.1, preference 10, is this host"},
		{"x@tired.test", Deferred, 111, "try", "refuses 192.0.2.99:25, preference 0, 2 timeouts, last 2023-11-14T22:03:20Z: left alone"},
		{"x@nearly.test", Remote, 0, "try", "applies 192.0.2.98:25, preference 0, 1 timeouts, last 2023-11-14T20:13:20Z | refuses"},
		{"x@[192.0.2.10]", Remote, 0, "addresses", "applies of [192.0.2.10] itself"},
		{"joe@[192.0.2.1]", Delivered, 0, "localiphost", "applies this host's own address: by SMTP the recipient becomes joe@me.test"},
		{"a\x1b[31m\n@me.test", Deferred, 111, "rcpthosts", "applies accepted by SMTP from strangers: rcpthosts has me.test"},
	} {
		a := h.explain(c.address)
		if a.Result != c.result || a.Status != c.status {
			t.Errorf("%q is %s, %d (%s), want %s, %d", c.address, a.Result, a.Status, a.Reason, c.result, c.status)
		}
		if got := a.step(c.step); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: step %s says %q, want %q", c.address, c.step, got, c.want)
		}
	}
}

// By what sessions mail goes: the policy for TLS, and a user whose secret has to be
// there and is not told.
func TestSessions(t *testing.T) {
	h := newHost(t)
	h.write("control/smtproutes", "a.test:[192.0.2.10]:587 joe\nb.test:[192.0.2.10]:587 sue\n")
	const hidden = "xyzzy"
	for _, c := range []struct {
		policies, secrets string
		mode              os.FileMode
		address           string
		result            Result
		step, want        string
	}{
		{"a.test:require\n", "", 0o400, "x@plain.test", Remote, "tlsroutes", "passes no line applies: TLS where the server offers it"},
		{":implicit\n", "", 0o400, "x@plain.test", Remote, "tlsroutes", "applies by the line :implicit TLS from the first byte"},
		{"a.test none\n", "", 0o400, "x@plain.test", Deferred, "tlsroutes", `refuses control/tlsroutes: "a.test none" is not HOST:POLICY`},
		{"", "[192.0.2.10]:joe:" + hidden, 0o400, "x@a.test", Remote, "tlsroutes", "applies no line applies, and there is a user: no mail without TLS and a certificate for the name"},
		{"", "[192.0.2.10]:joe:" + hidden, 0o400, "x@a.test", Remote, "remotesecrets", "applies logs in as joe"},
		{"", "[192.0.2.10]:joe:" + hidden, 0o400, "x@b.test", Deferred, "remotesecrets", "refuses there is no secret for sue at [192.0.2.10]"},
		{"", "[192.0.2.10]:joe:" + hidden, 0o440, "x@a.test", Deferred, "remotesecrets", "refuses others than its owner may read it"},
	} {
		h.write("control/tlsroutes", c.policies)
		h.must(os.RemoveAll(h.path("control/remotesecrets")))
		h.write("control/remotesecrets", c.secrets)
		h.must(os.Chmod(h.path("control/remotesecrets"), c.mode))
		a := h.explain(c.address)
		if got := a.step(c.step); a.Result != c.result || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, step %s says %q, want %s, %q", c.address, a.Result, c.step, got, c.result, c.want)
		}
		if _, out, _ := h.run("--json", c.address); strings.Contains(out, hidden) {
			t.Errorf("%s: the secret is told: %s", c.address, out)
		}
	}
}

// Forwards are followed, with the sender that they go out from, but not in circles,
// and not without end.
func TestForwards(t *testing.T) {
	h := newHost(t)
	a := h.explain("joe-list@me.test")
	if len(a.Forwards) != 2 || a.Forwards[0].Result != Remote || a.Forwards[0].Depth != 1 {
		t.Fatalf("the list's forwards are %+v", a.Forwards)
	}
	if got := a.Forwards[0].step("sender"); got != "applies a sender for each recipient: joe-list-owner-ann=plain.test@me.test" {
		t.Errorf("a member sees the sender %q", got)
	}
	if rcpt := a.Forwards[0].step("rcpthosts"); rcpt != "" {
		t.Errorf("a forward comes from a stranger: %s", rcpt)
	}
	back := h.explain("joe-loop@me.test").Forwards[0].Forwards[0]
	if back.Result != Bounced || !strings.HasPrefix(back.Reason, "This message is looping: ") || back.Recipient != "joe-loop@me.test" {
		t.Errorf("a loop ends in %+v", back)
	}
	depth := 0
	for a = h.explain("joe-step0@me.test"); len(a.Forwards) > 0; a = a.Forwards[0] {
		depth++
	}
	if depth != maxDepth+1 || a.Result != NotFollowed {
		t.Errorf("a chain ends after %d forwards in %s", depth, a.Result)
	}
	a = h.explain("joe-wide@me.test")
	var count func(*Address) (followed, not int)
	count = func(a *Address) (followed, not int) {
		if a.Result == NotFollowed {
			return 0, 1
		}
		followed = 1
		for _, f := range a.Forwards {
			x, y := count(f)
			followed, not = followed+x, not+y
		}
		return followed, not
	}
	if followed, not := count(a); followed != maxAddresses || not == 0 || len(a.Forwards) != 150 {
		t.Errorf("of a wide list %d addresses were followed, %d were not", followed, not)
	}
}

// run runs the program and returns its status and what it printed.
func (h *host) run(args ...string) (status int, stdout, stderr string) {
	h.t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(h.t.TempDir(), "out"))
		h.must(err)
		defer f.Close()
		files[i] = f
	}
	h.p.Args, h.p.Stdout, h.p.Stderr = args, files[0], files[1]
	status = h.p.Do(func(*prog.Process) error { return h.explainer().Run() })
	out, err := os.ReadFile(files[0].Name())
	h.must(err)
	complaints, err := os.ReadFile(files[1].Name())
	h.must(err)
	return status, string(out), string(complaints)
}

// Lists and files that are missing.
func TestMissing(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		gone, address string
		result        Result
		step, want    string
	}{
		{"control/rcpthosts", "joe@me.test", Delivered, "rcpthosts", "refuses refused by SMTP from strangers: there is no control/rcpthosts"},
		{"users/cdb", "nobody@me.test", Deferred, "users/cdb", "passes no entry"},
		{"queue/lock/tcpto", "x@plain.test", Remote, "tcpto", "unseen which addresses did not answer of late: "},
		{"control/locals", "joe@me.test", Delivered, "locals", "applies me.test is local"},
		{"control/me", "joe@me.test", Deferred, "control", "refuses qmail-send cannot start: "}, // without locals, too
	} {
		h.must(os.Remove(h.path(c.gone)))
		a := h.explain(c.address)
		if c.gone == "users/cdb" {
			h.assign("+joe:joe:1001:1001:DIR/joe:::\n.\n")
		}
		if got := a.step(c.step); a.Result != c.result || !strings.HasPrefix(got, c.want) {
			t.Errorf("without %s, %s: %s, step %s says %q, want %s, %q", c.gone, c.address, a.Result, c.step, got, c.result, c.want)
		}
	}
}

func TestRun(t *testing.T) {
	h := newHost(t)
	status, out, _ := h.run("joe-nothing@me.test", "joe-far@me.test")
	const want = `joe-nothing@me.test
  rcpthosts       accepted by SMTP from strangers: rcpthosts has me.test
  locals          me.test is local
  users/cdb       the line +joe-: user joe, uid 1001, gid 1001, home DIR/joe, .qmail files ".qmail-nothing"
  home            DIR/joe may be delivered in
  .qmail          .qmail-nothing answers
  line 1          comment: # nothing
  = discarded: no line delivers (0)

joe-far@me.test
  rcpthosts       accepted by SMTP from strangers: rcpthosts has me.test
  locals          me.test is local
  users/cdb       the line +joe-: user joe, uid 1001, gid 1001, home DIR/joe, .qmail files ".qmail-far"
  home            DIR/joe may be delivered in
  .qmail          .qmail-far answers
  line 1          forward to a@null.test
    a@null.test
      locals          null.test is not among them
      virtualdomains  no line applies
      smtproutes      no line applies
      tlsroutes       no line applies: TLS where the server offers it and it works
      MX              0 "": no address
      addresses       Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)
      = bounced: Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4) (100)
  = forwarded (100)
`
	if got := strings.ReplaceAll(out, h.dir, "DIR"); got != want || status != 100 {
		t.Errorf("status %d, printed\n%s\nwant\n%s", status, got, want)
	}
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{nil, 100, "qmail-explain: usage: " + usage + "\n"},
		{[]string{"--help"}, 100, "qmail-explain: usage: " + usage + "\n"},
		{[]string{"--no\x1b", "a@b"}, 100, "qmail-explain: \"unknown flag: --no\\x1b\"\nqmail-explain: usage: " + usage + "\n"},
		{[]string{"--", "-odd-@plain.test"}, 0, ""},
		{[]string{"joe@me.test", "joe-x@me.test", "x@null.test"}, 111, ""},
		{[]string{"joe@me.test", "x@null.test"}, 100, ""},
	} {
		if status, _, stderr := h.run(c.args...); status != c.status || stderr != c.stderr {
			t.Errorf("%q: status %d, %q, want %d, %q", c.args, status, stderr, c.status, c.stderr)
		}
	}
}

// The options: a default delivery, and another sender.
func TestOptions(t *testing.T) {
	h := newHost(t)
	_, out, _ := h.run("--default-delivery", "|preline procmail\n./Maildir/", "joe@me.test")
	for _, want := range []string{"default 1 ", "program preline procmail", "default 2 ", "Maildir ./Maildir/"} {
		if !strings.Contains(out, want) {
			t.Errorf("with a default delivery no %q in\n%s", want, out)
		}
	}
	for sender, want := range map[string]bool{"": false, "#@[]": false, "a@b": true} {
		_, out, _ := h.run("--sender", sender, "joe-list@me.test")
		if got := strings.Contains(out, "forwards go out from joe-list-owner-@me.test-@[]"); got != want {
			t.Errorf("from %q: forwards go out from the owner: %v, want %v", sender, got, want)
		}
	}
}

// The document has the fields that qmail-explain(8) promises.
func TestJSON(t *testing.T) {
	h := newHost(t)
	status, out, _ := h.run("--json", "joe-far@me.test", "a\x1b\x7f\u0085@me.test")
	var document map[string]any
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	keys := func(v any) string {
		var out []string
		for k := range v.(map[string]any) {
			out = append(out, k)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	addresses := document["addresses"].([]any)
	first := addresses[0].(map[string]any)
	step := first["steps"].([]any)[2]
	if got := keys(document); got != "addresses max_depth sender status" {
		t.Errorf("the document has the fields %s", got)
	}
	if got := keys(first); got != "address channel depth forwards recipient result status steps" {
		t.Errorf("an address has the fields %s", got)
	}
	if got := keys(step); got != "file match outcome step text value" {
		t.Errorf("a step has the fields %s: %v", got, step)
	}
	if document["status"] != float64(status) || status != 111 || len(addresses) != 2 {
		t.Errorf("status %v, exit status %d, %d addresses", document["status"], status, len(addresses))
	}
	checkPrintable(t, out)
}

func checkPrintable(t *testing.T, out string) {
	t.Helper()
	for i := 0; i < len(out); i++ {
		if c := out[i]; (c < ' ' || c > '~') && c != '\n' {
			t.Fatalf("byte %#x in %q", c, out)
		}
	}
}

// Any address is explained, in printable ASCII, and what is said about it does not
// contradict itself.
func FuzzAddress(f *testing.F) {
	h := newHost(f)
	for _, s := range []string{"joe-list@me.test", "", "@", "a@b@c", "x\x00y\n@\x1b[31m", "%%@hack.test", "joe-" + strings.Repeat("-", 300), "joe-../../x@me.test", "a@[192.0.2.1]"} {
		f.Add(s, "s@example.net")
	}
	f.Add("joe-list", "o-@h-@[]")
	f.Fuzz(func(t *testing.T, address, sender string) {
		e := h.explainer()
		e.sender = sender
		r := e.Explain([]string{address})
		var text, document strings.Builder
		if err := r.writeText(&text); err != nil {
			t.Fatal(err)
		}
		if err := r.writeJSON(&document); err != nil {
			t.Fatal(err)
		}
		checkPrintable(t, text.String())
		checkPrintable(t, document.String())
		var back Report
		if err := json.Unmarshal([]byte(document.String()), &back); err != nil || back.Status != r.Status || len(back.Addresses) != 1 {
			t.Errorf("%q: the document reads %+v, %v", address, back, err)
		}
		a := r.Addresses[0]
		if len(a.Steps) == 0 || a.Result == "" || a.Status != 0 && a.Status != 100 && a.Status != 111 {
			t.Errorf("%q: %+v", address, a)
		}
	})
}
