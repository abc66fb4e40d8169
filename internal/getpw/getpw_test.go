package getpw

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/accounts"
	"quail/internal/prog"
	"quail/internal/users"
)

// host is a made-up host: its /etc, its homes and its getent.
type host struct {
	t   *testing.T
	dir string
	uid int // of the owner of all homes
	p   *prog.Process
}

func newHost(t *testing.T, nsswitch string) *host {
	h := &host{t: t, dir: t.TempDir(), uid: os.Getuid()}
	if h.uid == 0 {
		h.uid = 2001 // root may give homes away, and gets no mail of its own
	}
	for _, home := range []string{"joe", "js", "foreign"} {
		if err := os.Mkdir(filepath.Join(h.dir, home), 0o755); err != nil {
			t.Fatal(err)
		}
		if home != "foreign" && os.Getuid() == 0 {
			if err := os.Chown(filepath.Join(h.dir, home), h.uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	accounts.PasswdFile, accounts.NsswitchFile = filepath.Join(h.dir, "passwd"), filepath.Join(h.dir, "nsswitch.conf")
	long := "a1234567890123456789012345678901" // 32 bytes
	h.write("passwd", fmt.Sprintf(strings.ReplaceAll(`root:x:0:0:root:DIR/joe:/bin/sh
alias:x:999:998::DIR/alias:/bin/sh
joe:x:UID:100:Joe,,,:DIR/joe:/bin/sh
joe:x:UID:200:second:DIR/js:/bin/sh
joe-smith:x:UID:101::DIR/js:/bin/sh
Up:x:UID:102::DIR/joe:/bin/sh
thief:x:12345:103::DIR/joe:/bin/sh
away:x:UID:104::DIR/absent:/bin/sh
homeless:x:UID:105:::/bin/sh
%s:x:UID:106::DIR/joe:/bin/sh
%s:x:UID:107::DIR/joe:/bin/sh
noshell:x:UID:108::DIR/joe
badid:x:1x:109::DIR/joe:/bin/sh
short:x:UID:110
-minus:x:UID:111::DIR/joe:/bin/sh
:x:UID:112::DIR/joe:/bin/sh
last:x:UID:113::DIR/joe:/bin/sh`, "UID", strconv.Itoa(h.uid)), long[:31], long))
	if nsswitch != "" {
		h.write("nsswitch.conf", nsswitch)
	}
	h.p = &prog.Process{Name: "qmail-getpw", Dir: h.dir, Env: prog.Env{"PATH=" + h.dir + ":/bin:/usr/bin"}}
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	text = strings.ReplaceAll(text, "DIR", h.dir)
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// run runs qmail-getpw and returns its status and what it printed.
func (h *host) run(args ...string) (status int, stdout string) {
	h.t.Helper()
	out, err := os.Create(filepath.Join(h.dir, "stdout"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer out.Close()
	if h.p.Stderr, err = os.Create(filepath.Join(h.dir, "stderr")); err != nil {
		h.t.Fatal(err)
	}
	defer h.p.Stderr.Close()
	h.p.Args, h.p.Stdout = args, out
	status = h.p.Do(Run)
	b, err := os.ReadFile(out.Name())
	if err != nil {
		h.t.Fatal(err)
	}
	return status, string(b)
}

// record returns what is printed for an account of the made-up host.
func (h *host) record(user string, gid int, home, dash, ext string) string {
	uid := h.uid
	if user == "alias" {
		uid = 999
	}
	return fmt.Sprintf("%s\x00%d\x00%d\x00%s\x00%s\x00%s\x00", user, uid, gid, filepath.Join(h.dir, home), dash, ext)
}

func TestFiles(t *testing.T) {
	h := newHost(t, "")
	alias := func(ext string) string { return h.record("alias", 998, "alias", "-", ext) }
	joe := func(dash, ext string) string { return h.record("joe", 100, "joe", dash, ext) }
	js := func(dash, ext string) string { return h.record("joe-smith", 101, "js", dash, ext) }
	long := "a1234567890123456789012345678901"
	for _, c := range []struct{ local, want string }{
		{"joe", joe("", "")}, // the first line for the name
		{"JOE", joe("", "")},
		{"joe-", joe("-", "")},
		{"joe-X-y", joe("-", "X-y")},
		{"joe-smith", js("", "")}, // the longest name
		{"Joe-Smith-A", js("-", "A")},
		{"joe-smithy", joe("-", "smithy")},
		{"joe.smith", alias("joe.smith")},
		{"up", alias("up")}, // names with capitals are not found
		{"Up", alias("Up")},
		{"root", alias("root")},
		{"thief", alias("thief")}, // somebody else's home
		{"away-x", alias("away-x")},
		{"homeless", alias("homeless")}, // not the working directory
		{"unknown", alias("unknown")},
		{"", alias("")},
		{"-", alias("-")},
		{"-minus", alias("-minus")},
		{"-joe", alias("-joe")},
		{"joe:x", alias("joe:x")}, // a colon is part of the name
		{"joe\n", alias("joe\n")},
		{strconv.Itoa(h.uid), alias(strconv.Itoa(h.uid))},
		{long[:31] + "-x", h.record(long[:31], 106, "joe", "-", "x")},
		{long, alias(long)}, // longer than any account that is looked for
		{long + "-x", alias(long + "-x")},
		{"joe-" + strings.Repeat("-", 2000), joe("-", strings.Repeat("-", 2000))},
		{"noshell", h.record("noshell", 108, "joe", "", "")},
		{"last", h.record("last", 113, "joe", "", "")}, // the line has no end
	} {
		if status, got := h.run(c.local); status != 0 || got != c.want {
			t.Errorf("qmail-getpw %q: status %d, %q, want %q", c.local, status, got, c.want)
		}
	}
}

func TestStatus(t *testing.T) {
	h := newHost(t, "")
	for _, c := range []struct {
		args   []string
		status int
	}{
		{nil, 100},
		{[]string{"badid"}, 111}, // there is such an account: its mail waits
		{[]string{"short-x"}, 111},
		{[]string{"joe\x00-x"}, 111}, // no exec passes this; a record cannot either
	} {
		if status, got := h.run(c.args...); status != c.status || got != "" {
			t.Errorf("qmail-getpw %q: status %d, %q, want %d", c.args, status, got, c.status)
		}
	}
	h.write("passwd", "root:x:0:0::/root:/bin/sh\n")
	if status, got := h.run("joe"); status != StatusNoAlias || got != "" {
		t.Errorf("without alias: status %d, %q, want %d", status, got, StatusNoAlias)
	}
	os.Remove(accounts.PasswdFile)
	if status, got := h.run("joe"); status != 111 || got != "" {
		t.Errorf("without /etc/passwd: status %d, %q, want 111", status, got)
	}
}

func TestUnreadableNsswitch(t *testing.T) {
	h := newHost(t, "")
	if err := os.Mkdir(accounts.NsswitchFile, 0o755); err != nil {
		t.Fatal(err)
	}
	if status, got := h.run("joe"); status != 111 || got != "" {
		t.Errorf("nsswitch.conf unreadable: status %d, %q, want 111", status, got)
	}
}

// The made-up getent writes down what it is asked, and knows three accounts. As
// the real one does, it takes a number for a user id.
const getent = `#!/bin/sh
echo "$1 $2" >>DIR/asked
case $2 in
jane) echo "jane:*:UID:300:Jane:DIR/joe:/bin/sh" ;;
joe) echo "joe:*:UID:301:the other Joe:DIR/js:/bin/sh" ;;
jim) echo "jim@corp:*:UID:302::DIR/js:/bin/sh"; echo more ;;
1000) echo "jane:*:UID:300:Jane:DIR/joe:/bin/sh" ;;
fails) exit 1 ;;
crashes) kill -9 $$ ;;
lies) ;;
mangled) echo "mangled:*:x:y::DIR/joe:/bin/sh" ;;
floods) while echo "jane:*:UID:300:Jane:DIR/joe:/bin/sh"; do :; done ;;
*) exit 2 ;;
esac
`

func TestGetent(t *testing.T) {
	for _, c := range []struct {
		nsswitch, local string
		status          int
		user            string
		gid             int
		asked           string
	}{
		{"passwd: files sss", "jane-x", 0, "jane", 300, "jane-x jane"},
		{"passwd: files sss", "joe", 0, "joe", 100, ""},
		{"passwd: sss files", "joe", 0, "joe", 301, "joe"},
		{"passwd: files sss", "jim", 0, "jim@corp", 302, "jim"}, // a service may spell names its way
		{"passwd: files sss", "1000", 0, "alias", 998, "1000"},  // but a number is no name
		{"passwd: files sss", "nobody", 0, "alias", 998, "nobody"},
		{"passwd: files sss", "-q-jane", 0, "alias", 998, ""},
		{"passwd: files sss", "fails", 111, "", 0, "fails"},
		{"passwd: files sss", "fails-x", 111, "", 0, "fails-x fails"},
		{"passwd: files sss", "crashes", 111, "", 0, "crashes"},
		{"passwd: files sss", "lies", 111, "", 0, "lies"},
		{"passwd: files sss", "mangled", 111, "", 0, "mangled"},
		{"passwd: files sss", "floods", 111, "", 0, "floods"},
		{"passwd: files systemd", "jane", 0, "alias", 998, ""},
		{"passwd: compat", "jane", 0, "jane", 300, "jane"}, // passwd has a -line
	} {
		h := newHost(t, c.nsswitch)
		h.write("getent", strings.ReplaceAll(getent, "UID", strconv.Itoa(h.uid)))
		status, got := h.run(c.local)
		if status != c.status {
			t.Errorf("%q, local %q: status %d, want %d", c.nsswitch, c.local, status, c.status)
		}
		if status == 0 {
			a, err := users.ParseRecord(got)
			if err != nil || a.User != c.user || a.GID != c.gid {
				t.Errorf("%q, local %q: %+v, %v, want %s with group %d", c.nsswitch, c.local, a, err, c.user, c.gid)
			}
		}
		asked, _ := os.ReadFile(filepath.Join(h.dir, "asked"))
		if got := strings.Join(strings.Fields(strings.ReplaceAll(string(asked), "passwd ", "")), " "); got != c.asked {
			t.Errorf("%q, local %q: getent was asked for %q, want %q", c.nsswitch, c.local, got, c.asked)
		}
	}
}

func TestGetentAbsent(t *testing.T) {
	h := newHost(t, "passwd: files sss")
	h.p.Env = prog.Env{"PATH=" + h.dir}
	if status, got := h.run("jane"); status != 111 || got != "" {
		t.Errorf("without getent: status %d, %q, want 111", status, got)
	}
}

func TestGetentHangs(t *testing.T) {
	defer func(d time.Duration) { accounts.Patience = d }(accounts.Patience)
	accounts.Patience = 50 * time.Millisecond
	h := newHost(t, "passwd: files sss")
	h.write("getent", "#!/bin/sh\nexec sleep 600\n")
	if status, got := h.run("jane"); status != 111 || got != "" {
		t.Errorf("getent hangs: status %d, %q, want 111", status, got)
	}
}

func TestGetentBusy(t *testing.T) {
	h := newHost(t, "passwd: files sss")
	h.write("getent", getent)
	f, err := os.OpenFile(filepath.Join(h.dir, "getent"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The kernel refuses to run a file that is open for writing.
	if status, got := h.run("jane"); status != StatusSystem || got != "" {
		t.Errorf("getent being written: status %d, %q, want %d", status, got, StatusSystem)
	}
}

// Many lookups in one process go on beside each other, and each finds the accounts as
// they are when it begins.
func TestLookupsAtOnce(t *testing.T) {
	h := newHost(t, "passwd: files other\n")
	h.write("getent", "#!/bin/sh\nexit 2\n")
	for _, c := range []struct{ passwd, user string }{
		{"alias:x:999:998::DIR/alias:/bin/sh\njoe:x:UID:100::DIR/joe:/bin/sh\n", "joe"},
		{"alias:x:999:998::DIR/alias:/bin/sh\n", "alias"},
	} {
		h.write("passwd", strings.ReplaceAll(c.passwd, "UID", strconv.Itoa(h.uid)))
		var all sync.WaitGroup
		for i := range 20 {
			all.Add(1)
			go func() {
				defer all.Done()
				r, w, err := os.Pipe()
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				p := *h.p
				p.Args, p.Stdout, p.Stderr = []string{fmt.Sprintf("joe-%d", i)}, w, os.Stderr
				status := p.Do(Run)
				w.Close()
				record, _ := io.ReadAll(r)
				a, err := users.ParseRecord(string(record))
				if status != 0 || err != nil || a.User != c.user || !strings.HasSuffix(a.Ext, strconv.Itoa(i)) {
					t.Errorf("joe-%d: status %d, %+v, %v, want %s", i, status, a, err, c.user)
				}
			}()
		}
		all.Wait()
	}
}
