package route

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"quail/internal/control"
	"quail/internal/queue"
)

func mustRead(t *testing.T, files map[string]string) Table {
	t.Helper()
	r, err := Read(controls(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// controls makes a control directory.
func controls(t *testing.T, files map[string]string) control.Dir {
	t.Helper()
	d := t.TempDir()
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(d, name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return control.Dir(d)
}

var virtual = "joe@v.example:alice\n" +
	"v.example:virt\n" +
	".w.example:wild\n" +
	"x.w.example:\n" + // an exception: remote
	"Dup.example:first\ndup.example:second\n"

func TestRoute(t *testing.T) {
	r := mustRead(t, map[string]string{
		"me": "me.example\n", "locals": "local.example\nme.example\n",
		"percenthack": "pct.example\n", "virtualdomains": virtual,
	})
	for _, c := range []struct{ in, want string }{
		{"joe", "local joe@me.example"},
		{"Joe@LOCAL.example", "local Joe@LOCAL.example"},
		{"", "local @me.example"},
		{"a@far.example", "remote a@far.example"},
		{"a@", "remote a@"},
		{"a%b@far.example", "remote a%b@far.example"},
		{"a%local.example@pct.example", "local a@local.example"},
		{"a%b%pct.example@PCT.example", "remote a@b"}, // once more, since the result is in percenthack too
		{"a%far.example@pct.example", "remote a@far.example"},
		{"a@pct.example", "remote a@pct.example"},
		{"a%b@local.example@pct.example", "local a@b@local.example"},
		{"joe@v.example", "local alice-joe@v.example"},
		{"JOE@V.example", "local alice-JOE@V.example"},
		{"sue@v.example", "local virt-sue@v.example"},
		{"a@y.w.example", "local wild-a@y.w.example"},
		{"a@w.example", "remote a@w.example"}, // .w.example is not w.example
		{"a@x.w.example", "remote a@x.w.example"},
		{"a@z.x.w.example", "local wild-a@z.x.w.example"},
		{"a@dup.example", "local second-a@dup.example"},
		{"q@r@local.example", "local q@r@local.example"},
	} {
		ch, address := r.Route(c.in)
		if got := ch.String() + " " + address; got != c.want {
			t.Errorf("Route(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// The host that an address is given is one domain to percenthack, whatever is in it.
func TestRouteOddHost(t *testing.T) {
	r := mustRead(t, map[string]string{"me": "m\n", "envnoathost": "x@h.example\n", "percenthack": "h.example\n", "locals": "h.example\n"})
	for in, want := range map[string]string{
		"a%b":           "local a%b@x@h.example",
		"a%b@h.example": "remote a@b",
	} {
		ch, address := r.Route(in)
		if got := ch.String() + " " + address; got != want {
			t.Errorf("Route(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRouteCatchAll(t *testing.T) {
	r := mustRead(t, map[string]string{"me": "m\n", "locals": "", "virtualdomains": ":all\nout.example:\n"})
	for in, want := range map[string]string{
		"a@any.example": "local all-a@any.example",
		"a@out.example": "remote a@out.example",
		"a":             "local all-a@m", // an empty locals means that nothing is local
		"a@":            "local all-a@",
	} {
		ch, address := r.Route(in)
		if got := ch.String() + " " + address; got != want {
			t.Errorf("Route(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWithoutPrefix(t *testing.T) {
	r := mustRead(t, map[string]string{"me": "m\n", "virtualdomains": virtual})
	for in, want := range map[string]string{
		"virt-sue@v.example":   "sue@v.example",
		"alice-joe@v.example":  "alice-joe@v.example", // virtual by its whole address: kept, as qmail does
		"wild-a@y.w.example":   "a@y.w.example",
		"a@m":                  "a@m",
		"no at":                "no at",
		"other-a@z.w.example":  "other-a@z.w.example",
		"wild-a@x.w.example":   "wild-a@x.w.example",
		"second-b@DUP.EXAMPLE": "b@DUP.EXAMPLE",
	} {
		if got := r.WithoutPrefix(in); got != want {
			t.Errorf("WithoutPrefix(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSenderFor(t *testing.T) {
	for _, c := range []struct{ sender, recipient, want string }{
		{"owner-@host-@[]", "rcpt@dom", "owner-rcpt=dom@host"},
		{"owner-@host-@[]", "virt-r@q@dom", "owner-virt-r@q=dom@host"},
		{"a@b", "r@d", "a@b"},
		{"", "r@d", ""},
		{"#@[]", "r@d", "#@[]"},
		{"-@[]", "r@d", "-@[]"},
		{"owner-@host-@[]", "noat", "owner-@host-@[]"},
	} {
		if got := SenderFor(c.sender, c.recipient); got != c.want {
			t.Errorf("SenderFor(%q, %q) = %q, want %q", c.sender, c.recipient, got, c.want)
		}
	}
}

// What decided, for whoever wants to know.
func TestFind(t *testing.T) {
	r := mustRead(t, map[string]string{
		"me": "me.example\n", "percenthack": "pct.example\n", "virtualdomains": virtual + ":all\n",
	})
	for _, c := range []struct {
		in   string
		want Way
	}{
		{"joe", Way{Channel: queue.Local, Address: "joe@me.example", NoHost: true, Local: true}},
		{"a%b%pct.example@pct.example", Way{Channel: queue.Local, Address: "all-a@b", Virtual: true, Prefix: "all",
			Unwrapped: []string{"a%b@pct.example", "a@b"}}},
		{"JOE@V.example", Way{Channel: queue.Local, Address: "alice-JOE@V.example", Virtual: true, Key: "JOE@V.example", Prefix: "alice"}},
		{"a@y.w.example", Way{Channel: queue.Local, Address: "wild-a@y.w.example", Virtual: true, Key: ".w.example", Prefix: "wild"}},
		{"a@x.w.example", Way{Channel: queue.Remote, Address: "a@x.w.example", Virtual: true, Key: "x.w.example"}},
	} {
		if got := r.Find(c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Find(%q) = %+v, want %+v", c.in, got, c.want)
		}
	}
}

// A file that cannot be read again leaves both as they were.
func TestReread(t *testing.T) {
	d := controls(t, map[string]string{"me": "m\n", "virtualdomains": "v.example:one\n"})
	r, err := Read(d)
	if err != nil {
		t.Fatal(err)
	}
	for name, contents := range map[string]string{"virtualdomains": "v.example:two\n", "me": "other\n"} {
		if err := os.WriteFile(filepath.Join(string(d), name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(string(d), "locals"), 0o755); err != nil {
		t.Fatal(err)
	}
	var unread *RereadError
	if err := r.Reread(d); !errors.As(err, &unread) || unread.Name != "locals" {
		t.Errorf("with an unreadable locals: %v", err)
	}
	if _, got := r.Route("a@v.example"); got != "one-a@v.example" {
		t.Errorf("after a failure a@v.example goes to %q", got)
	}
	if err := os.Remove(filepath.Join(string(d), "locals")); err != nil {
		t.Fatal(err)
	}
	if err := r.Reread(d); err != nil {
		t.Fatal(err)
	}
	_, got := r.Route("a@v.example")
	if ch, _ := r.Route("a@m"); got != "two-a@v.example" || ch != queue.Local {
		t.Errorf("a@v.example goes to %q, a@m to %v: want virtualdomains as it is now, and me as it was", got, ch)
	}
	if _, err := Read(controls(t, nil)); err == nil {
		t.Error("read without control/me and control/locals")
	}
}

// No recipient is lost or doubled by rewriting, and what a bounce shows of a
// virtual recipient is what was rewritten, unless a whole-address key was at work.
func FuzzRoute(f *testing.F) {
	f.Add("a%b@pct.example")
	f.Add("x@y.w.example")
	dir := f.TempDir()
	for name, contents := range map[string]string{"me": "m.example", "percenthack": "pct.example", "virtualdomains": "v.example:virt\n.w.example:wild\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	r, err := Read(control.Dir(dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in string) {
		ch, address := r.Route(in)
		if !strings.Contains(address, "@") {
			t.Fatalf("Route(%q) = %q: no host", in, address)
		}
		back := r.WithoutPrefix(address)
		if ch == queue.Local && back != address {
			if again, _ := r.Route(back); again != ch {
				t.Errorf("Route(%q) = %v %q, whose bounce says %q", in, ch, address, back)
			}
		}
		if strings.Count(address, "\n") != strings.Count(in, "\n") {
			t.Errorf("Route(%q) = %q", in, address)
		}
	})
}
