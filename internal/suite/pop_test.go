package suite

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Programs by which people read what was delivered: by POP, by IMAP in the same Maildir,
// and in an mbox.

// checkpassword is a program that knows joe, whose password is secret, and his digests of
// the timestamp. Like all of its kind it becomes the user and runs the next one.
const checkpassword = `#!/bin/sh
record=$(tr '\000' '\n' <&3)
part() { printf '%%s\n' "$record" | sed -n "$1p"; }
test "$(part 1)" = joe || exit 1
digest=$(printf '%%ssecret' "$(part 3)" | md5sum | cut -c1-32)
case $(part 2) in secret|"$digest") ;; *) exit 1 ;; esac
part 2 | cut -c1-6 >>%[1]s/logins
exec 3<&-
cd %[1]s/u/joe || exit 111
USER=joe HOME=%[1]s/u/joe SHELL=/bin/sh exec %[2]s "$@"
`

// asJoe is what runs a program as joe.
func asJoe() string {
	if !root {
		return "env"
	}
	return fmt.Sprintf("setpriv --reuid %d --regid %d --clear-groups --", joeUID, joeGID)
}

// pop3 runs tcpserver with qmail-popup and returns its port.
func (s *suite) pop3(env ...string) int {
	s.t.Helper()
	if err := os.WriteFile(s.path("checkpassword"), fmt.Appendf(nil, checkpassword, home, asJoe()), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.excuse(foreign, "each POP session is a process of its own")
	return s.tcpserver([]string{s.path("bin/qmail-popup"), me, s.path("checkpassword"), s.path("bin/qmail-pop3d"), "Maildir"}, env...)
}

// stored puts messages of every kind into joe's Maildir, oldest first, and returns them
// as a client has to see them, each with lines ended by LF.
func (s *suite) stored() (seen []string) {
	s.t.Helper()
	for i, text := range []string{
		"Subject: plain\nMessage-Id: <1@x>\n\nhello\n",
		"Subject: dots\nMessage-Id: <2@x>\n\n.\n..\n.dot\nend\n",
		"Subject: no end\nMessage-Id: <3@x>\n\nlast line",
		"Subject: long line\nMessage-Id: <4@x>\n\n" + strings.Repeat("x", 300000) + "\n",
		"Subject: many lines\nMessage-Id: <5@x>\n\n" + strings.Repeat("a line of text\n", 20000),
		"Subject: only a header\nMessage-Id: <6@x>\n\n",
		"Subject: high bytes\nMessage-Id: <7@x>\n\n\xff\xfe\x80 \xc3\xbc\n",
	} {
		name := fmt.Sprintf("Maildir/new/%d.%d.host", 1000+i, i)
		s.joe(name, text, 0o600)
		s.age("u/joe/"+name, 1000+i)
		seen = append(seen, strings.TrimSuffix(text, "\n")+"\n\n")
	}
	return seen
}

// age sets the time of a file.
func (s *suite) age(rel string, seconds int) {
	s.t.Helper()
	at := time.Unix(int64(seconds), 0)
	if err := os.Chtimes(s.path(rel), at, at); err != nil {
		s.t.Fatal(err)
	}
}

// inMaildir lists joe's messages in new and cur.
func (s *suite) inMaildir() (names []string) {
	for _, sub := range []string{"new", "cur"} {
		found, _ := filepath.Glob(s.path("u/joe/Maildir/" + sub + "/*"))
		for _, name := range found {
			names = append(names, sub+"/"+filepath.Base(name))
		}
	}
	return names
}

func TestCurlPOP(t *testing.T) {
	curl, ok := tool(t, "curl")
	if !ok {
		return
	}
	s := install(t)
	seen := s.stored()
	url := fmt.Sprintf("pop3://127.0.0.1:%d/", s.pop3())
	get := func(path string, args ...string) string {
		t.Helper()
		out := must(t, curl, append([]string{"-sS", "--max-time", "60", "-u", "joe:secret", url + path}, args...)...)
		return strings.ReplaceAll(out, "\r\n", "\n")
	}
	var sizes []string
	for i := range seen {
		fi, err := os.Stat(s.path(fmt.Sprintf("u/joe/Maildir/new/%d.%d.host", 1000+i, i)))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, fmt.Sprintf("%d %d\n", i+1, fi.Size()))
	}
	if got := get(""); got != strings.Join(sizes, "") {
		t.Errorf("LIST is %q", got)
	}
	for i, want := range seen {
		if got := get(strconv.Itoa(i + 1)); got != want {
			t.Errorf("message %d is %.200q, want %.200q", i+1, got, want)
		}
	}
	if got := get("", "-X", "UIDL"); !strings.HasPrefix(got, "1 1000.0.host\n2 1001.1.host\n") {
		t.Errorf("UIDL is %q", got)
	}
	if got, want := get("", "-X", "TOP 2 2"), "Subject: dots\nMessage-Id: <2@x>\n\n.\n..\n\n"; got != want {
		t.Errorf("TOP is %q, want %q", got, want)
	}
	if got := get("2", "-X", "DELE", "-l"); got != "" {
		t.Errorf("DELE says %q", got)
	}
	left := s.inMaildir()
	if len(left) != len(seen)-1 || slices.Contains(left, "cur/1001.1.host:2,") || !slices.Contains(left, "cur/1000.0.host:2,") {
		t.Errorf("left are %q", left)
	}
	// curl logs in by APOP, as the greeting invites it to. A wrong password is told.
	if b, _ := os.ReadFile(s.path("logins")); strings.Contains(string(b), "secret") || len(b) == 0 {
		t.Errorf("logged in with %q", b)
	}
	for _, user := range []string{"joe:wrong", "nobody:secret"} {
		if out, err := run(curl, "-sS", "--max-time", "60", "-u", user, url); err == nil || !strings.Contains(out, "67") {
			t.Errorf("%s: %v, %s", user, err, out)
		}
	}
}

func TestFetchmail(t *testing.T) {
	fetchmail, ok := tool(t, "fetchmail")
	if !ok {
		return
	}
	s := install(t)
	seen := s.stored()
	dir := t.TempDir()
	port := s.pop3()
	fetch := func(options string) (status int, got []string) {
		t.Helper()
		os.RemoveAll(dir + "/got")
		text := fmt.Sprintf("set no bouncemail\nset invisible\npoll 127.0.0.1 service %d protocol pop3 uidl timeout 60:\n\tuser joe password secret mda \"mkdir -p %[2]s/got; cat >%[2]s/got/$(ls %[2]s/got | wc -l)\" %[3]s sslproto ''\n", port, dir, options)
		rc := dir + "/rc"
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(fetchmail, "-N", "-f", rc, "-i", dir+"/ids", "--pidfile", dir+"/pid")
		cmd.Env = []string{"HOME=" + dir, "USER=joe", "PATH=/usr/bin:/bin", "LC_ALL=C", "FETCHMAILHOME=" + dir}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code > 1 {
			t.Errorf("fetchmail %s: %v\n%s", options, err, out)
		}
		names, _ := filepath.Glob(dir + "/got/*")
		for _, name := range names {
			b, _ := os.ReadFile(name)
			got = append(got, string(b))
		}
		return cmd.ProcessState.ExitCode(), got
	}
	for _, round := range []struct {
		options           string
		status, got, left int
	}{
		{"keep", 0, len(seen), len(seen)},
		{"keep", 1, 0, len(seen)}, // it knows them by their UIDL
		{"fetchall nokeep", 0, len(seen), 0},
		{"fetchall nokeep", 1, 0, 0},
	} {
		status, got := fetch(round.options)
		if status != round.status || len(got) != round.got {
			t.Errorf("%s: status %d and %d messages, want %d and %d", round.options, status, len(got), round.status, round.got)
		}
		for i, text := range got {
			_, body, _ := strings.Cut(seen[i], "\n\n")
			if strings.Contains(body, strings.Repeat("x", 10000)) {
				body = "" // fetchmail divides a line that is longer than its buffer, with bytes of its own in between
			}
			if !strings.Contains(text, "\nMessage-Id: <"+strconv.Itoa(i+1)+"@x>\n") || !strings.HasSuffix(text, body) {
				t.Errorf("message %d is %.300q, want %.100q", i+1, text, seen[i])
			}
		}
		if left := s.inMaildir(); len(left) != round.left {
			t.Errorf("after %s there are %q", round.options, left)
		}
	}
}

// mpop sends commands without waiting for replies, if the server says that it may.
func TestMpop(t *testing.T) {
	mpop, ok := tool(t, "mpop")
	if !ok {
		return
	}
	s := install(t)
	seen := s.stored()
	port := s.pop3()
	dir := t.TempDir()
	for _, auth := range []string{"user", "apop"} {
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(dir, auth, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		keep := map[string]string{"user": "on", "apop": "off"}[auth]
		text := fmt.Sprintf("account default\nhost 127.0.0.1\nport %d\nuser joe\npassword secret\ntls off\nauth %s\nkeep %s\nreceived_header off\npipelining auto\ntimeout 60\nuidls_file %s/uidls-%[2]s\ndelivery maildir %[4]s/%[2]s\n", port, auth, keep, dir)
		rc := dir + "/rc"
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out := must(t, mpop, "-C", rc, "-d")
		if !strings.Contains(out, "PIPELINING") {
			t.Errorf("mpop has not seen PIPELINING:\n%s", tail(out, 2000))
		}
		if left, want := len(s.inMaildir()), map[string]int{"on": len(seen), "off": 0}[keep]; left != want {
			t.Errorf("keep %s leaves %d messages, want %d", keep, left, want)
		}
		var got []string
		names, _ := filepath.Glob(filepath.Join(dir, auth, "new/*"))
		for _, name := range names {
			b, _ := os.ReadFile(name)
			got = append(got, string(b))
		}
		want := slices.Clone(seen)
		sort.Strings(got)
		sort.Strings(want)
		if !slices.Equal(got, want) {
			t.Errorf("by %s mpop got %.2000q, want %.2000q", auth, got, want)
		}
	}
}

// imap is a session of Dovecot's with joe's Maildir.
type imap struct {
	t  *testing.T
	w  io.Writer
	r  *bufio.Reader
	n  int
	in io.Closer
}

// imap starts a session, run as joe, who is logged in from the beginning.
func (s *suite) imap(t *testing.T, program string) *imap {
	t.Helper()
	args := strings.Fields(asJoe())
	args = append(args, "env", "-i", "DOVECONF_ENV=1", "USER=joe", "PATH=/usr/bin:/bin", "HOME="+s.path("u/joe"), "MAIL_LOCATION=maildir:"+s.path("u/joe/Maildir"), program)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.path("u/joe")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = s.errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	m := &imap{t: t, w: in, r: bufio.NewReader(out), in: in}
	if line, err := m.r.ReadString('\n'); !strings.HasPrefix(line, "* PREAUTH ") {
		t.Fatalf("imap says %q, %v", line, err)
	}
	return m
}

// do gives a command and returns all that is said before it is done.
func (m *imap) do(command string) string {
	m.t.Helper()
	m.n++
	tag := fmt.Sprintf("a%d", m.n)
	fmt.Fprintf(m.w, "%s %s\r\n", tag, command)
	var heard strings.Builder
	for {
		line, err := m.r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, tag+" ") {
			if !strings.HasPrefix(line, tag+" OK") {
				m.t.Fatalf("%s: %q, %v\n%s", command, line, err, heard.String())
			}
			return heard.String()
		}
		heard.WriteString(line)
	}
}

var exists = regexp.MustCompile(`\* (\d+) EXISTS\r\n`)

// Dovecot reads the Maildir while messages are delivered to it, and a POP client reads it
// and removes from it: all see each message once, whole, and under one name.
func TestDovecot(t *testing.T) {
	dovecot, ok := tool(t, "dovecot-imap")
	if !ok {
		return
	}
	curl, ok := tool(t, "curl")
	if !ok {
		return
	}
	s := install(t)
	s.start()
	url := fmt.Sprintf("pop3://127.0.0.1:%d/", s.pop3())
	const n = 40
	m := s.imap(t, dovecot)
	m.do("SELECT INBOX")
	go func() {
		for i := range n {
			s.sh(fmt.Sprintf("Subject: number %d\n\nbody %[1]d\n%s", i, strings.Repeat("line\n", i*100)), home+"/bin/sendmail joe@"+me)
		}
	}()
	// Dovecot moves what it sees to cur, in the middle of deliveries.
	seen := 0
	eventually(t, "all messages to be seen by IMAP", func() bool {
		if found := exists.FindAllStringSubmatch(m.do("NOOP"), -1); len(found) > 0 {
			seen, _ = strconv.Atoi(found[len(found)-1][1])
		}
		return seen == n
	})
	heard := m.do("FETCH 1:* (UID BODY.PEEK[])")
	for i := range n {
		text := fmt.Sprintf("\r\nSubject: number %d\r\n\r\nbody %[1]d\r\n%s", i, strings.Repeat("line\r\n", i*100))
		if strings.Count(heard, text+" UID")+strings.Count(heard, text+")\r\n") != 1 {
			t.Errorf("by IMAP message %d is not there once", i)
		}
	}
	// The same by POP. The messages of this second are not listed yet.
	s.settled(n)
	var uidl string
	eventually(t, "all messages to be listed by POP", func() bool {
		uidl = must(t, curl, "-sS", "--max-time", "60", "-u", "joe:secret", url)
		return strings.Count(uidl, "\n") == n
	})
	// A flag changes the name of the file and not that of the message.
	m.do(`STORE 1:5 +FLAGS (\Seen \Flagged)`)
	// What one side removes the other loses. Dovecot's first message may be any of POP's.
	for range 2 {
		must(t, curl, "-sS", "--max-time", "60", "-u", "joe:secret", "-X", "DELE", "-l", url+"1")
	}
	eventually(t, "messages to be gone by IMAP", func() bool {
		heard := m.do("STATUS INBOX (MESSAGES)") + m.do("CHECK") + m.do("NOOP")
		return strings.Contains(m.do("SEARCH ALL")+heard, " "+strconv.Itoa(n-2)+"\r\n")
	})
	m.do(`STORE 1:3 +FLAGS (\Deleted)`)
	m.do("EXPUNGE")
	if got := must(t, curl, "-sS", "--max-time", "60", "-u", "joe:secret", url); strings.Count(got, "\n") != n-5 {
		t.Errorf("POP lists %q", got)
	}
	if left := s.inMaildir(); len(left) != n-5 {
		t.Errorf("there are %q", left)
	}
	m.do("LOGOUT")
	if b, _ := os.ReadFile(s.errors.Name()); regexp.MustCompile(`(?i)error|warning|corrupt`).Match(b) {
		t.Errorf("complaints: %s", b)
	}
}

// maildir2mbox among deliveries to the Maildir and to the mbox, and s-nail, which reads
// what comes of it.
func TestMaildir2mbox(t *testing.T) {
	nail, ok := tool(t, "s-nail")
	if !ok {
		return
	}
	s := install(t)
	s.joe(".qmail-mbox", "./mbox\n", 0o644)
	s.start()
	const n = 20
	delivered := make(chan bool)
	go func() {
		defer close(delivered)
		for i := range n {
			for _, to := range []string{"joe", "joe-mbox"} {
				s.sh(fmt.Sprintf("Subject: %s %d\n\nFrom here to there\n>From there\nno end", to, i), home+"/bin/sendmail -f far@away.example "+to+"@"+me)
			}
		}
	}()
	move := func() {
		t.Helper()
		out, status := s.sh("", home+"/bin/maildir2mbox", "MAILDIR="+s.path("u/joe/Maildir"), "MAIL=../mbox", "MAILTMP=../mbox.tmp")
		if status != 0 || out != "" {
			t.Fatalf("maildir2mbox: %d, %s", status, out)
		}
	}
	for busy := true; busy; move() {
		select {
		case <-delivered:
			busy = false
		default:
		}
	}
	s.settled(2 * n)
	eventually(t, "the Maildir to be empty", func() bool { move(); return len(s.inMaildir()) == 0 })
	mbox, err := os.ReadFile(s.path("u/joe/mbox"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count("\n"+string(mbox), "\nFrom far@away.example "); got != 2*n {
		t.Errorf("the mbox has %d messages, want %d", got, 2*n)
	}
	if s.exists("u/joe/mbox.tmp") {
		t.Error("mbox.tmp was left")
	}
	// s-nail wants to know the name of whoever runs it.
	if err := os.Chmod(s.path("u/joe/mbox"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) string {
		t.Helper()
		args = ordinary(append([]string{"env", "-i", "HOME=/", "PATH=/usr/bin:/bin", nail, "-n", "-R", "-S", "v15-compat", "-S", "showlast"}, args...)...)
		return must(t, args[0], args[1:]...)
	}
	headers := read("-S", "screen=100", "-S", "headline=%s|", "-H", "-f", s.path("u/joe/mbox"))
	for _, to := range []string{"joe", "joe-mbox"} {
		for i := range n {
			if strings.Count(headers, fmt.Sprintf("%s %d|", to, i)) != 1 {
				t.Fatalf("s-nail does not show %s %d once:\n%s", to, i, tail(headers, 3000))
			}
		}
	}
	if body := read("-Y", "type 1", "-Y", "xit", "-f", s.path("u/joe/mbox")); !strings.Contains(body, "\n>From here to there\n>>From there\nno end\n") {
		t.Errorf("s-nail shows\n%s", body)
	}
}

// maildir2mbox is killed before each of its changes: each message is then in the Maildir
// or in the mbox, or in both, and what the mbox had is in it. Another run gets over it.
func TestCrashStatesMaildir2mbox(t *testing.T) {
	watch, ok := killat(t)
	if !ok {
		return
	}
	s := install(t)
	const old, n = "From old\n\nold message\n\n", 3
	number := func(i int) string { return fmt.Sprintf("Subject: number %d\n\nbody\n", i) }
	whole := func(at string) {
		t.Helper()
		mbox := s.contents(s.path("u/joe/mbox"))
		if !strings.HasPrefix(mbox, old) {
			t.Errorf("%s the mbox is %q", at, mbox)
		}
		for i := range n {
			there := s.exists(fmt.Sprintf("u/joe/Maildir/new/%d", i))
			moved := strings.Count(mbox, number(i)+"\n")
			if !there && moved == 0 || moved > 2 {
				t.Errorf("%s message %d is in the mbox %d times, and in the Maildir: %v", at, i, moved, there)
			}
		}
	}
	env := []string{"MAILDIR=" + s.path("u/joe/Maildir"), "MAIL=../mbox", "MAILTMP=../mbox.tmp"}
	states := eachState(t, func(change int) int {
		s.joe("mbox", old, 0o600)
		for i := range n {
			s.joe(fmt.Sprintf("Maildir/new/%d", i), number(i), 0o600)
			s.age(fmt.Sprintf("u/joe/Maildir/new/%d", i), 1000+i)
		}
		args := append(strings.Fields(asJoe()), watch, strconv.Itoa(change), s.path("bin/maildir2mbox"))
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = env
		got := status(t, cmd)
		whole(fmt.Sprintf("after %d changes", change-1))
		if out, again := s.sh("", home+"/bin/maildir2mbox", env...); again != 0 || out != "" {
			t.Errorf("after a kill before change %d: %d, %s", change, again, out)
		}
		whole(fmt.Sprintf("after another run after %d changes", change-1))
		if left := s.inMaildir(); len(left) > 0 || s.exists("u/joe/mbox.tmp") {
			t.Errorf("after another run after %d changes: left are %q", change-1, left)
		}
		return got
	})
	if states < 5+n {
		t.Errorf("only %d states were seen", states)
	}
}
