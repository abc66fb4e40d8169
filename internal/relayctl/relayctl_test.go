package relayctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestName(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"::ffff:c000:207", "192.0.2.7"},
		{"2001:DB8:0:0::7", "2001:db8::7"},
		{"::1", "::1"},
		{"::", "::"},
		{"fe80::1%eth0", "fe80::1"},
		{"fe80::1%../../x", "fe80::1"},
		{"", ""},
		{".", ""},
		{"..", ""},
		{"192.0.2", ""},
		{"192.0.2.7/../x", ""},
		{"/192.0.2.7", ""},
		{".192.0.2.7", ""},
		{"192.0.2.7 ", ""},
		{"192.0.2.07", ""},
		{"192.0.2.256", ""},
		{"1.2.3.4\x00", ""},
		{"unknown", ""},
	} {
		if got, ok := Name(c.address); got != c.want || ok != (c.want != "") {
			t.Errorf("Name(%q) = %q, %v, want %q", c.address, got, ok, c.want)
		}
	}
}

// FuzzName: a name is always that of a file in the directory, and of an entry.
func FuzzName(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "::ffff:1.2.3.4", "fe80::1%x/y", "../x", ".x", "2001:db8::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		name, ok := Name(address)
		if ok && (name == "" || name[0] == '.' || len(name) > 39 || strings.Trim(name, "0123456789abcdef.:") != "") {
			t.Errorf("%q has the name %q", address, name)
		}
		if again, _ := Name(name); ok && again != name {
			t.Errorf("%q has the name %q, and that %q", address, name, again)
		}
	})
}

func TestSettings(t *testing.T) {
	s := Select([]string{"DOMAIN=x.y", "HOME=/", "USER=joe", "USERX=1", "USER=jim", "AUTHUSER=x"})
	// As relay-ctrl 3.2 writes it.
	if got := string(s.print()); got != "USER=joe\x00DOMAIN=x.y\x00" {
		t.Errorf("printed as %q", got)
	}
	for _, c := range []struct {
		contents string
		want     Settings
	}{
		{"USER=joe\x00DOMAIN=x.y\x00", Settings{"USER=joe", "DOMAIN=x.y"}},
		{"", nil},
		{"USER=joe", nil},
		{"USER=\x00DOMAIN=x", Settings{"USER="}},
		{"\x00\x00USER\x00=\x00USER=a=b\x00", Settings{"USER=a=b"}},
		{"QMAILQUEUE=/tmp/x\x00PATH=/tmp\x00LD_PRELOAD=x\x00RELAYCLIENT=y\x00USER=joe\x00", Settings{"USER=joe"}},
		{"DOMAIN=" + strings.Repeat("x", longest) + "\x00USER=joe\x00", nil},
		{"USER=joe\x00DOMAIN=" + strings.Repeat("x", longest) + "\x00", Settings{"USER=joe"}},
	} {
		if got := parse([]byte(c.contents)); !slices.Equal(got, c.want) {
			t.Errorf("%.50q is %q, want %q", c.contents, got, c.want)
		}
	}
}

// FuzzParse: what is read sets no other variable than the two, and is written as it was.
func FuzzParse(f *testing.F) {
	f.Add([]byte("USER=joe\x00DOMAIN=x.y\x00"))
	f.Add([]byte("PATH=x\x00\x00=\x00USER"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := parse(b)
		for _, setting := range s {
			name, value, _ := strings.Cut(setting, "=")
			if name != "USER" && name != "DOMAIN" || strings.Contains(value, "\x00") {
				t.Errorf("%q sets %q", b, setting)
			}
		}
		if again := parse(s.print()); !slices.Equal(again, s) {
			t.Errorf("%q is %q, and written and read again %q", b, s, again)
		}
	})
}

// both has f look at a directory by its name and by a descriptor.
func both(t *testing.T, f func(t *testing.T, path string, dir Dir)) {
	t.Run("path", func(t *testing.T) {
		path := t.TempDir()
		f(t, path, At(path))
	})
	t.Run("descriptor", func(t *testing.T) {
		path := t.TempDir()
		dir, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(dir.FD())
		f(t, path, dir)
	})
}

func TestRecord(t *testing.T) {
	both(t, func(t *testing.T, path string, dir Dir) {
		outside := filepath.Join(t.TempDir(), "outside")
		if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, there := range []error{
			nil,
			os.Symlink(outside, path+"/::2"),
			unix.Mkfifo(path+"/::3", 0o666),
			os.WriteFile(path+"/::4", []byte("old"), 0o600),
			os.Link(path+"/::4", path+"/::5"),
		} {
			if there != nil {
				t.Fatal(there)
			}
		}
		now := time.Now()
		for _, name := range []string{"192.0.2.7", "::2", "::3", "::4", "::5"} {
			if err := dir.Record(name, Settings{"USER=joe"}, 0o666, now, 7); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			e, err := dir.Find(name)
			if err != nil || !slices.Equal(e.Settings, Settings{"USER=joe"}) || e.Expired(now, time.Minute) || !e.Expired(now.Add(time.Hour), time.Minute) {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
			if fi, err := os.Lstat(path + "/" + name); err != nil || fi.Mode() != 0o666 {
				t.Errorf("%s: %v, %v", name, fi.Mode(), err)
			}
		}
		if b, _ := os.ReadFile(outside); string(b) != "mine" {
			t.Errorf("a link was written through: %q", b)
		}
		if err := os.Mkdir(path+"/::6", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := dir.Record("::6", nil, 0o600, now, 7); err == nil || !strings.HasPrefix(err.Error(), "Could not rename '.") {
			t.Errorf("over a directory: %v", err)
		}
		if left, _ := filepath.Glob(path + "/.*"); len(left) > 0 {
			t.Errorf("left are %q", left)
		}
	})
}

func TestFind(t *testing.T) {
	both(t, func(t *testing.T, path string, dir Dir) {
		outside := filepath.Join(t.TempDir(), "outside")
		for _, err := range []error{
			os.WriteFile(outside, []byte("USER=x\x00"), 0o644),
			os.Symlink(outside, path+"/::2"),
			os.Symlink("::9", path+"/::3"),
			unix.Mkfifo(path+"/::4", 0o666),
			os.Mkdir(path+"/::5", 0o777),
			unix.Mknod(path+"/::6", unix.S_IFSOCK|0o666, 0),
			os.WriteFile(path+"/::7", make([]byte, 1<<20), 0o644),
			os.WriteFile(path+"/::8", []byte(strings.Repeat("=", longest)+"USER=x\x00"), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]error{
			"::1": fs.ErrNotExist, "::2": unix.ELOOP, "::3": unix.ELOOP, "::4": ErrForm, "::5": ErrForm, "::6": unix.ENXIO, "::7": nil, "::8": nil,
		} {
			if e, err := dir.Find(name); !errors.Is(err, want) || len(e.Settings) > 0 {
				t.Errorf("%s: %+v, %v, want %v", name, e, err, want)
			}
		}
	})
}

func TestExpired(t *testing.T) {
	last := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {10 * time.Second, false}, {10*time.Second + 999*time.Millisecond, false}, {11 * time.Second, true}, {-10 * time.Second, false}, {-11 * time.Second, true}} {
		if got := (Entry{Last: last}).Expired(last.Add(c.after), 10*time.Second); got != c.want {
			t.Errorf("%v after a login that counts 10 s it has expired: %v", c.after, got)
		}
	}
}

func TestCheck(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(path, "gone")
	if err := os.Mkdir(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(gone)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(opened.FD())
	if err := opened.Check(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir  Dir
		want error
	}{
		{At(path), nil}, {At(gone), unix.ENOENT}, {At(file), unix.ENOTDIR}, {opened, unix.ENOENT}, {Descriptor(1 << 20), unix.EBADF},
	} {
		if err := c.dir.Check(); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.dir, err, c.want)
		}
	}
	if _, err := Open(file); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
}

// A login that is noted between the look at an old one and its removal is not lost.
func TestExpire(t *testing.T) {
	both(t, func(t *testing.T, path string, dir Dir) {
		now := time.Now().Truncate(time.Second)
		for _, err := range []error{
			os.WriteFile(path+"/::1", []byte("USER=new\x00"), 0o644),
			os.WriteFile(path+"/::2", nil, 0o644),
			os.WriteFile(path+"/::3", nil, 0o644),
			unix.Mkfifo(path+"/::4", 0o600),
			os.Mkdir(path+"/::5", 0o755),
			os.Chtimes(path+"/::2", now, now.Add(-time.Hour)),
			os.Chtimes(path+"/::3", now, now.Add(time.Hour)),
			os.Chtimes(path+"/::4", now, now.Add(-time.Hour)),
			os.Chtimes(path+"/::5", now, now.Add(-time.Hour)),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]error{"::1": nil, "::2": nil, "::3": nil, "::4": nil, "::5": unix.EISDIR, "::6": fs.ErrNotExist} {
			if err := dir.Expire(name, now, time.Minute, 7); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		if e, err := dir.Find("::1"); err != nil || !slices.Equal(e.Settings, Settings{"USER=new"}) {
			t.Errorf("the login that was noted meanwhile: %+v, %v", e, err)
		}
		var left []string
		entries, _ := os.ReadDir(path)
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if want := []string{"::1", "::5"}; !slices.Equal(left, want) {
			t.Errorf("left are %q, want %q", left, want)
		}
	})
}

func TestAge(t *testing.T) {
	path := t.TempDir()
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir.FD())
	now := time.Now().Truncate(time.Second)
	times := map[string]time.Duration{
		"192.0.2.1": 0, "192.0.2.2": -time.Minute, "192.0.2.3": -time.Minute - time.Second, ".1.2:3": -time.Hour, "garbage": -time.Hour, ".new": 0, "dir": -time.Hour,
		// The clock has been set back: as long as a login counts that may be one.
		"192.0.2.4": time.Minute, "192.0.2.5": time.Hour, ".9.9:3": time.Hour, "::1": -time.Hour,
	}
	for name, ago := range times {
		err := os.WriteFile(filepath.Join(path, name), nil, 0o644)
		if name == "dir" {
			err = errors.Join(os.Remove(filepath.Join(path, name)), os.Mkdir(filepath.Join(path, name), 0o755))
		}
		if err := errors.Join(err, os.Chtimes(filepath.Join(path, name), now, now.Add(ago))); err != nil {
			t.Fatal(err)
		}
	}
	// What a link leads to has nothing to do with it.
	if err := os.Symlink("/etc/passwd", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := dir.Age(now, time.Minute, 7); err == nil || !strings.HasPrefix(err.Error(), "Could not remove 'dir': ") {
		t.Errorf("a directory: %v", err)
	}
	var left []string
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".new", "192.0.2.1", "192.0.2.2", "192.0.2.4", "dir", "link"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
	if err := dir.Age(now.Add(time.Hour), time.Minute, 7); err == nil {
		t.Error("the directory is gone")
	}
	if left, _ := os.ReadDir(path); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}
