package mailauth

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"quail/internal/sasl"
)

// entry returns one that is cheap: its keys fit no password.
func entry(login string) Entry {
	v := func(size int) sasl.Verifier {
		return sasl.Verifier{Iterations: 4096, Salt: []byte("salt"), StoredKey: make([]byte, size), ServerKey: make([]byte, size)}
	}
	return Entry{Login: login, SHA1: v(20), SHA256: v(32)}
}

func TestParse(t *testing.T) {
	plain := entry("joe").String()
	for _, c := range []struct {
		line string
		ok   bool
	}{
		{plain, true},
		{plain + " {SECRET}c2VzYW1l {UNIX}joe-smith", true},
		{plain + " {UNIX}joe", true},
		{strings.Replace(plain, "joe", "joe@example.net", 1), true},
		{strings.Replace(plain, "joe", "jürgen", 1), true},
		{plain + " ", false},
		{plain + "\r", false},
		{plain + " {SECRET}", false},
		{plain + " {SECRET}c2VzYW1l {SECRET}c2VzYW1l", false},
		{plain + " {SECRET}c2VzY", false},
		{plain + " {UNIX}a:b", false},
		{plain + " {UNIX}", false},
		{plain + " {PLAIN}sesame", false},
		{strings.Replace(plain, " ", "  ", 1), false},
		{strings.Replace(plain, "joe", "", 1), false},
		{strings.Replace(plain, "joe", "jo e", 1), false},
		{strings.Replace(plain, "joe", "joe,sue", 1), false},
		{strings.Replace(plain, "joe", "\xff", 1), false},
		{strings.Replace(plain, "4096", "0", 1), false},
		{strings.Replace(plain, "4096", "-1", 1), false},
		{strings.Replace(plain, "4096", "99999999999", 1), false},
		{strings.Replace(plain, "c2FsdA==", "", 1), false},
		{strings.Replace(plain, "c2FsdA==", "c2FsdA", 1), false},
		{strings.Replace(plain, "AAAA", "", 1), false},
		{strings.Replace(plain, "SHA-256", "SHA-512", 1), false},
		{"joe:" + strings.SplitN(plain, " ", 2)[1], false},
		{"joe", false},
		{"joe:", false},
		{"", false},
	} {
		e, err := parse(c.line)
		if (err == nil) != c.ok || c.ok && e.String() != c.line {
			t.Errorf("parse(%q) = %q, %v, want ok %v", c.line, e.String(), err, c.ok)
		}
		if err != nil && strings.Contains(err.Error(), "AAAA") {
			t.Errorf("the error tells the line: %v", err)
		}
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		login, password string
		ok              bool
	}{
		{"joe", "sesame", true},
		{"joe", "päss wörd", true},
		{"joe", strings.Repeat("x", MaxPassword), true},
		{"joe", strings.Repeat("x", MaxPassword+1), false},
		{"joe", "", false},
		{"joe", "a\tb", false},
		{"", "sesame", false},
		{"#joe", "sesame", false},
		{"jo e", "sesame", false},
		{"a,b", "sesame", false},
		{"a:b", "sesame", false},
		{"a\nb", "sesame", false},
		{strings.Repeat("x", 256), "sesame", false},
	} {
		e, err := New(c.login, c.password, [2][16]byte{{1}, {2}})
		if (err == nil) != c.ok || c.ok && (e.Login != c.login || e.Secret != "") {
			t.Errorf("New(%q, %q) = %+v, %v", c.login, c.password, e, err)
		}
	}
	long, err := New(strings.Repeat("x", sasl.MaxName), strings.Repeat("y", MaxPassword), [2][16]byte{})
	if err != nil {
		t.Fatal(err)
	}
	long.Secret, long.Account = strings.Repeat("y", MaxPassword), strings.Repeat("z", 255)
	if n := len(long.String()); n >= maxLine {
		t.Errorf("a line may have %d bytes, more than are read", n)
	}
}

// edit puts a login with a password into a file.
func edit(t testing.TB, path, login, password string, more func(*Entry)) {
	t.Helper()
	var random [3][32]byte
	for i := range random {
		rand.Read(random[i][:])
	}
	e, err := New(login, password, [2][16]byte{[16]byte(random[0][:]), [16]byte(random[1][:])})
	if err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(&e)
	}
	err = Edit(path, login, os.Geteuid(), os.Getegid(), random[2], func(*Entry) (*Entry, error) { return &e, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func apop(timestamp, secret string) string {
	sum := md5.Sum([]byte(timestamp + secret))
	return hex.EncodeToString(sum[:])
}

func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailauth")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Password("joe", "sesame"); err != sasl.ErrUnsupported {
		t.Errorf("without a file: %v", err)
	}
	edit(t, path, "joe", "sesame", nil)
	if has, err := f.Secrets(); has || err != nil {
		t.Errorf("without secrets: %v, %v", has, err)
	}
	edit(t, path, "sue", "söder", func(e *Entry) { e.Secret = "söder" })
	if has, err := f.Secrets(); !has || err != nil {
		t.Errorf("with a secret: %v, %v", has, err)
	}
	wrong := sasl.ErrWrong
	for _, c := range []struct {
		user, password string
		password1      error // what Password says
		secret         error // what the others say
	}{
		{"joe", "sesame", nil, wrong},
		{"sue", "söder", nil, nil},
		{"sue", "sesame", wrong, wrong},
		{"joe", "", wrong, wrong},
		{"jo", "sesame", wrong, wrong},
		{"joe:", "sesame", wrong, wrong},
		{"Joe", "sesame", wrong, wrong},
		{"", "", wrong, wrong},
		{"#", "", wrong, wrong},
		{"sue\n", "söder", wrong, wrong},
	} {
		_, err1 := f.Password(c.user, c.password)
		_, err2 := f.Digest(c.user, "<1@x>", sasl.CRAM(c.password, "<1@x>"))
		_, err3 := f.APOP(c.user, "<1@x>", apop("<1@x>", c.password))
		if err1 != c.password1 || err2 != c.secret || err3 != c.secret {
			t.Errorf("%q with %q: %v, %v, %v", c.user, c.password, err1, err2, err3)
		}
	}
	if login, secret, err := f.Secret("sue"); login != "sue" || secret != "söder" || err != nil {
		t.Errorf("the secret: %q, %q, %v", login, secret, err)
	}
	for _, user := range []string{"joe", "nobody", ""} {
		if login, secret, err := f.Secret(user); login+secret != "" || err != wrong {
			t.Errorf("the secret of %q: %q, %q, %v", user, login, secret, err)
		}
	}
}

// Who does not exist looks like everybody else, always the same, to every process.
func TestNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailauth")
	edit(t, path, "joe", "sesame", nil)
	f, _ := Open(path)
	for _, hash := range []string{sasl.SHA1, sasl.SHA256} {
		_, joe, err1 := f.Verifier("joe", hash)
		_, jim, err2 := f.Verifier("jim", hash)
		_, jon, err3 := f.Verifier("jon", hash)
		if err1 != nil || err2 != sasl.ErrWrong || err3 != sasl.ErrWrong {
			t.Fatal(err1, err2, err3)
		}
		if joe.Iterations != jim.Iterations || len(joe.Salt) != len(jim.Salt) || len(joe.StoredKey) != len(jim.StoredKey) || bytes.Equal(jim.Salt, jon.Salt) {
			t.Errorf("joe is %+v, jim %+v, jon %+v", joe, jim, jon)
		}
		edit(t, path, "sue", "sesame", nil)
		other, _ := Open(path)
		if _, again, _ := other.Verifier("jim", hash); !bytes.Equal(again.Salt, jim.Salt) {
			t.Errorf("after a change jim's salt is %x, was %x", again.Salt, jim.Salt)
		}
	}
}

// The client of package sasl logs in by every mechanism that the file is for.
func TestExchange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailauth")
	edit(t, path, "joe", "sesame", func(e *Entry) { e.Secret = "sesame" })
	f, _ := Open(path)
	for _, mechanism := range sasl.Mechanisms() {
		for _, password := range []string{"sesame", "simsim"} {
			bindings := []sasl.Binding{{Type: "tls-exporter", Data: []byte("x")}}
			if strings.HasPrefix(mechanism, "SCRAM") && !strings.HasSuffix(mechanism, "PLUS") {
				bindings = nil
			}
			s, err1 := sasl.NewServer(mechanism, f, sasl.Options{Realm: "h", TLS: true, Bindings: bindings})
			_, c, err2 := sasl.NewClient([]string{mechanism}, "joe", password, sasl.ClientOptions{Host: "h", TLS: true, Bindings: bindings})
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			message, err := c.Next(nil)
			for done := false; err == nil && !done; {
				var challenge []byte
				if challenge, done, err = s.Next(message); err == nil && challenge != nil {
					message, err = c.Next(challenge)
				}
			}
			if right := password == "sesame"; (err == nil) != right || (s.Login() == "joe") != right || !right && err != sasl.ErrWrong {
				t.Errorf("%s with %s: %v, login %q", mechanism, password, err, s.Login())
			}
		}
	}
}

func TestBroken(t *testing.T) {
	decoy := decoyLine([32]byte{1}) + "\n"
	line := func(login string) string { return entry(login).String() + "\n" }
	for _, c := range []struct{ text, login, want string }{
		{decoy + line("a"), "a", ""},
		{decoy + strings.TrimSuffix(line("a"), "\n"), "a", ""},
		{decoy + "#a comment\n\n" + line("a") + "# and another", "a", ""},
		{line("a"), "a", ""},
		{line("a"), "b", "{DECOY}"},
		{decoy + line("b") + line("a") + line("c"), "c", "not sorted"},
		{decoy + "a:x\n", "a", `login "a": malformed`},
		{decoy + strings.Repeat("x", maxLine+1) + "\n", "a", "line too long"},
		{":{DECOY}AAAA\n", "a", "{DECOY}"},
	} {
		path := filepath.Join(t.TempDir(), "mailauth")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			if c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v, want %q", err, c.want)
			}
			continue
		}
		_, known, err := f.Lookup(c.login)
		if c.want == "" && (err != nil || !known) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.80q: %v, %v, want %q", c.text, known, err, c.want)
		}
	}
	if f, err := Open(t.TempDir()); err == nil {
		_, _, err = f.Lookup("joe")
		t.Errorf("a directory: %v", err)
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailauth")
	start := "# the logins\n\n" + entry("b").String() + "\n# a is on leave\n" + entry("a").String() + "\n# the end\n"
	if err := os.WriteFile(path, []byte(start), 0o644); err != nil {
		t.Fatal(err)
	}
	put := func(e Entry) error {
		return Edit(path, e.Login, os.Geteuid(), os.Getegid(), [32]byte{7}, func(old *Entry) (*Entry, error) { return &e, nil })
	}
	for _, login := range []string{"c", "aa", "c"} {
		if err := put(entry(login)); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(old *Entry) (*Entry, error) { return nil, nil }
	if err := Edit(path, "b", os.Geteuid(), os.Getegid(), [32]byte{8}, remove); err != nil {
		t.Fatal(err)
	}
	want := decoyLine([32]byte{7}) + "\n# a is on leave\n" + entry("a").String() + "\n" + entry("aa").String() + "\n" + entry("c").String() + "\n# the end\n"
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode() != Mode {
		t.Errorf("the file is %v, %v", fi.Mode(), err)
	}
	no := errors.New("no")
	if err := Edit(path, "a", os.Geteuid(), os.Getegid(), [32]byte{}, func(old *Entry) (*Entry, error) { return nil, no }); err != no {
		t.Errorf("a change that fails: %v", err)
	}
	for _, bad := range []string{"a:x\n", entry("a").String() + "\n" + entry("a").String() + "\n", ":{DECOY}\n", "#\n" + strings.Repeat(" ", 5000) + "\n",
		"#" + strings.Repeat("-", maxLine) + "\n"} { // was written again, and no login near it found any more
		os.Remove(path)
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := put(entry("joe")); err == nil {
			t.Errorf("%.80q was replaced", bad)
		}
		if got, _ := os.ReadFile(path); string(got) != bad {
			t.Errorf("%.80q became %.80q", bad, got)
		}
	}
}

// Many at once, and a reader: nobody's change is lost, and nobody sees half a file.
func TestEditConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailauth")
	f, _ := Open(path)
	var all sync.WaitGroup
	var done sync.WaitGroup
	stop := make(chan struct{})
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, _, err := f.Lookup("nobody"); err != nil && err != sasl.ErrUnsupported {
					t.Error(err)
					return
				}
			}
		}
	})
	var want []string
	for i := range 40 {
		login := fmt.Sprintf("user%02d", i)
		want = append(want, login)
		all.Go(func() {
			e := entry(login)
			if err := Edit(path, login, os.Geteuid(), os.Getegid(), [32]byte{}, func(*Entry) (*Entry, error) { return &e, nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(stop)
	done.Wait()
	text, _ := os.ReadFile(path)
	var got []string
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, ":"); name != "" {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the file has %q", got)
	}
}

// The owner is who asks the file, not who writes it.
func TestOwner(t *testing.T) {
	owner, group := os.Geteuid(), os.Getegid()
	if owner == 0 {
		owner, group = 4711, 4712
	}
	path := filepath.Join(t.TempDir(), "mailauth")
	e := entry("joe")
	if err := Edit(path, "joe", owner, group, [32]byte{}, func(*Entry) (*Entry, error) { return &e, nil }); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); int(st.Uid) != owner || int(st.Gid) != group || fi.Mode() != Mode {
		t.Errorf("owner %d, group %d, %v", st.Uid, st.Gid, fi.Mode())
	}
}

// big is a sorted file of n logins with even numbers.
func big(n int) []byte {
	var b bytes.Buffer
	b.WriteString(decoyLine([32]byte{1}) + "\n")
	for i := range n {
		if i%7 == 0 {
			b.WriteString("# a comment\n\n")
		}
		b.WriteString(entry(fmt.Sprintf("user%06d@example.net", 2*i)).String() + "\n")
	}
	return b.Bytes()
}

func TestFind(t *testing.T) {
	text := big(3000)
	for i := -1; i < 6001; i++ {
		login := fmt.Sprintf("user%06d@example.net", i)
		line, err := find(bytes.NewReader(text), int64(len(text)), login)
		if want := i >= 0 && i < 6000 && i%2 == 0; err != nil || strings.HasPrefix(line, login+":") != want || (line != "") != want {
			t.Fatalf("%s: %q, %v", login, line, err)
		}
	}
}

// FuzzFind: of a sorted file of any lines, halving finds what reading through it finds.
func FuzzFind(f *testing.F) {
	f.Add("a b c", "b", uint16(500))
	f.Add("ab #x c", "", uint16(3000))
	f.Fuzz(func(t *testing.T, names, login string, width uint16) {
		var lines []string
		for _, name := range strings.Fields(names) {
			lines = append(lines, name+":"+strings.Repeat("x", int(width)%3000)+"\n")
		}
		slices.SortFunc(lines, func(a, b string) int {
			x, _, _ := strings.Cut(a, ":")
			y, _, _ := strings.Cut(b, ":")
			return strings.Compare(x, y)
		})
		want := ""
		for _, line := range lines {
			if name, _, _ := strings.Cut(line, ":"); name == login && line[0] != '#' && want == "" {
				want = strings.TrimSuffix(line, "\n")
			}
		}
		text := strings.Join(lines, "")
		got, err := find(strings.NewReader(text), int64(len(text)), login)
		if err == nil && got != want {
			a, _, _ := strings.Cut(got, ":")
			if b, _, _ := strings.Cut(want, ":"); a != b || got == "" || want == "" {
				t.Errorf("%q in %q: %.40q, want %.40q", login, names, got, want)
			}
		}
		if err != nil && err != errOrder && err != errLong {
			t.Errorf("%q in %q: %v", login, names, err)
		}
	})
}

// FuzzParse: what is read is written the same, and no line is anybody else's.
func FuzzParse(f *testing.F) {
	f.Add(entry("joe").String() + " {SECRET}c2VzYW1l {UNIX}joe")
	f.Add(decoyLine([32]byte{1}))
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parse(line)
		if err != nil {
			return
		}
		again, err := parse(e.String())
		if err != nil || again.String() != e.String() || !strings.HasPrefix(line, e.Login+":") || strings.Contains(e.String(), "\n") {
			t.Errorf("%q is %+v, %v", line, e, err)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "mailauth")
	if err := os.WriteFile(path, big(100_000), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		if _, known, err := f.Lookup(fmt.Sprintf("user%06d@example.net", 2*(i*7919%100_000))); !known || err != nil {
			b.Fatal(known, err)
		}
	}
}
