package keys

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/control"
	"quail/internal/keywire"
	"quail/internal/prog"
)

// home is a directory with files in it, and a log.
type home struct {
	t   *testing.T
	dir string
	log *os.File
	*files
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir()}
	var err error
	if h.log, err = os.Create(filepath.Join(h.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.log.Close() })
	h.files = &files{p: &prog.Process{Stderr: h.log}, control: control.In(h.dir)}
	h.mkdir("control")
	return h
}

func (h *home) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) mkdir(name string) { h.check(os.MkdirAll(filepath.Join(h.dir, name), 0o700)) }

// write puts a file in place as a careful program does.
func (h *home) write(name, text string) {
	path := filepath.Join(h.dir, name)
	h.check(os.WriteFile(path+".new", []byte(text), 0o600))
	h.check(os.Rename(path+".new", path))
}

// link does the same with a link.
func (h *home) link(name, target string) {
	path := filepath.Join(h.dir, name)
	h.check(os.Symlink(target, path+".new"))
	h.check(os.Rename(path+".new", path))
}

func (h *home) said() string {
	text, err := os.ReadFile(h.log.Name())
	h.check(err)
	return string(text)
}

// show writes a set as one line.
func show(t *testing.T, set []byte) string {
	t.Helper()
	if set == nil {
		return "nothing new"
	}
	entries, err := keywire.ReadEntries(bytes.NewReader(set))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		line := fmt.Sprintf("%s=%s,%s", e.Name, e.Certificate, e.Key)
		if e.Trouble != "" {
			line = e.Name + ": " + e.Trouble
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

// Every form of an entry is found where it lies, and trouble with a file is that of its
// entry alone.
func TestSources(t *testing.T) {
	h := newHome(t)
	if got := show(t, h.read()); got != "" {
		t.Errorf("without a file: %q", got)
	}
	h.write("control/servercert.pem", "one")
	if got := show(t, h.read()); got != "servercert.pem=one," {
		t.Errorf("without tlscerts: %q", got)
	}
	h.mkdir("live")
	h.write("live/fullchain.pem", "chain")
	h.write("live/privkey.pem", "key")
	h.mkdir("half")
	h.write("half/fullchain.pem", "chain")
	h.write("lego.crt", "cert")
	h.write("lego.key", "its key")
	h.write("large", strings.Repeat("x", keywire.MaxFile+1))
	h.check(unix.Mkfifo(filepath.Join(h.dir, "fifo"), 0o600))
	for _, c := range []struct{ line, want string }{
		{"servercert.pem", "=one,"},
		{"HOME/live", "=chain,key"},
		{"../live/", "=chain,key"},
		{"HOME/lego.crt", "=cert,its key"},
		{"HOME/live/fullchain.pem", "=chain,"},
		{"HOME/half", ": unable to read HOME/half/privkey.pem: file does not exist"},
		{"HOME/none", ": unable to read HOME/none: file does not exist"},
		{"HOME/lego.crt/x", ": unable to read HOME/lego.crt/x: not a directory"},
		{"HOME/fifo", ": unable to read HOME/fifo: not a file"},
		{"HOME/large", ": unable to read HOME/large: more than 262144 bytes"},
	} {
		line, want := strings.ReplaceAll(c.line, "HOME", h.dir), strings.ReplaceAll(c.want, "HOME", h.dir)
		h.write("control/tlscerts", "# "+line+"\n"+line+"\n")
		if got := show(t, h.read()); got != line+want {
			t.Errorf("%q: %q, want %q", line, got, line+want)
		}
	}
	h.write("control/tlscerts", "")
	if got := show(t, h.read()); got != "" {
		t.Errorf("an empty tlscerts: %q", got)
	}
	if said := h.said(); said != "" {
		t.Errorf("it says %q", said)
	}
	h.write("control/tlscerts", strings.Repeat("servercert.pem\n", keywire.MaxEntries+1))
	for range 2 {
		if got := strings.Count(show(t, h.read()), ";") + 1; got != keywire.MaxEntries {
			t.Errorf("%d entries", got)
		}
	}
	if said := h.said(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "only the first 1000 lines are used") {
		t.Errorf("it says %q", said)
	}
	h.check(os.Remove(filepath.Join(h.dir, "control/tlscerts")))
	h.mkdir("control/tlscerts")
	if set := h.read(); set != nil || !strings.Contains(h.said(), "unable to read "+h.dir+"/control/tlscerts: ") {
		t.Errorf("tlscerts that cannot be read: %q, %q", set, h.said())
	}
}

// What certbot and lego do when they renew a certificate is taken when it is done, and
// files that are the same are not read.
func TestChanges(t *testing.T) {
	h := newHome(t)
	h.mkdir("live/a.test")
	h.mkdir("archive/a.test")
	for _, name := range []string{"fullchain", "privkey"} {
		h.write("archive/a.test/"+name+"1.pem", name+" 1")
		h.link("live/a.test/"+name+".pem", "../../archive/a.test/"+name+"1.pem")
	}
	h.write("b.crt", "cert 1")
	h.write("b.key", "key 1")
	a, b := h.dir+"/live/a.test", h.dir+"/b.crt"
	h.write("control/tlscerts", a+"\n"+b+"\n")
	h.seen = nil
	if got, want := show(t, h.read()), a+"=fullchain 1,privkey 1; "+b+"=cert 1,key 1"; got != want {
		t.Fatalf("at first %q, want %q", got, want)
	}
	look := func(when, want string) {
		t.Helper()
		if got := show(t, h.changed()); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	look("nothing changed", "nothing new")
	look("nothing changed, again", "nothing new")

	h.write("archive/a.test/fullchain2.pem", "fullchain 2")
	h.write("archive/a.test/privkey2.pem", "privkey 2")
	h.link("live/a.test/privkey.pem", "../../archive/a.test/privkey2.pem")
	look("certbot is at it", "nothing new")
	h.link("live/a.test/fullchain.pem", "../../archive/a.test/fullchain2.pem")
	look("certbot has done it now", "nothing new")
	look("certbot has done it", a+"=fullchain 2,privkey 2; "+b+"=cert 1,key 1")
	look("nothing more", "nothing new")

	h.write("b.crt", "cert 2")
	h.write("b.key", "key 2")
	look("lego is at it", "nothing new")
	look("lego has done it", a+"=fullchain 2,privkey 2; "+b+"=cert 2,key 2")

	h.check(os.Chmod(b, 0o640))
	look("another mode", "nothing new")
	look("another mode and the same contents", "nothing new")

	h.check(os.Remove(b))
	look("removed", "nothing new")
	look("removed for good", a+"=fullchain 2,privkey 2; "+b+": unable to read "+b+": file does not exist")

	h.write("control/tlscerts", a+"\n")
	look("tlscerts", "nothing new")
	look("another tlscerts", a+"=fullchain 2,privkey 2")
	h.write("b.crt", "cert 3")
	look("what it names no more", "nothing new")
	look("what it names no more", "nothing new")

	h.write("live/a.test/fullchain.pem", "by hand")
	h.forget()
	look("an order to look at once", a+"=by hand,privkey 2")
	h.check(os.Remove(filepath.Join(h.dir, "control/tlscerts")))
	h.write("control/servercert.pem", "one")
	look("tlscerts has gone", "nothing new")
	look("tlscerts has gone", "servercert.pem=one,")
}
