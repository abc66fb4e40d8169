package qmtp

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"quail/internal/conf"
	"quail/internal/netstring"
	"quail/internal/prog"
)

// differing are the answers that qmail's servers do not give.
var differing = map[string]string{
	"junk after": "<ok>", // theirs is lost, and the message sent again
}

func TestQMTPScenes(t *testing.T) {
	for _, s := range scenes(t, "qmtpd.scenes") {
		if out, differs := differing[s.title]; differs {
			s.out = out
		}
		s.play(t, QMTP, len(s.in))
	}
}

func TestQMQPScenes(t *testing.T) {
	for _, s := range scenes(t, "qmqpd.scenes") {
		s.play(t, QMQP, len(s.in))
	}
}

// However the bytes come, the conversation is the same.
func TestScenesInPieces(t *testing.T) {
	for name, run := range map[string]func(*prog.Process) error{"qmtpd.scenes": QMTP, "qmqpd.scenes": QMQP} {
		for _, s := range scenes(t, name)[:4] {
			s.play(t, run, 1)
		}
	}
}

// packages are complete ones.
var packages = map[string]struct {
	run      func(*prog.Process) error
	in       string
	envelope string
}{
	"QMTP": {QMTP, "4:\rh\r\n,1:a,16:3:c@h,3:x@f,1:d,,", "Fa\x00Tc@h\x00Td\x00\x00"},
	"QMQP": {QMQP, "18:2:h\n,0:,3:c@d,1:e,,", "F\x00Tc@d\x00Te\x00\x00"},
}

// A package that is cut anywhere is neither queued nor answered, and the server does not
// wait for the rest.
func TestCutAnywhere(t *testing.T) {
	for name, c := range packages {
		s := &scene{control: map[string]string{"rcpthosts": "h\n"}}
		for n := range len(c.in) + 1 {
			s.setUp(t)
			out, status := converse(t, c.run, peer, c.in[:n], len(c.in))
			_, envelope, queued := taken()
			whole := n == len(c.in)
			if status != 0 || queued != whole || whole != (out != "") || whole && envelope != c.envelope {
				t.Errorf("%s cut after %d bytes: said %q, exited with %d, queued %q", name, n, out, status, envelope)
			}
		}
	}
}

// Where a byte is missing or there is one too many, what is after it means something else
// or nothing; it is never a message to somebody who was not named.
func TestDamagedAnywhere(t *testing.T) {
	for name, c := range packages {
		s := &scene{control: map[string]string{"rcpthosts": "h\n"}}
		for n := range c.in {
			for _, in := range []string{c.in[:n] + c.in[n+1:], c.in[:n] + "," + c.in[n:]} {
				s.setUp(t)
				out, status := converse(t, c.run, peer, in, len(in))
				if _, envelope, queued := taken(); queued && envelope != c.envelope || (out == "") == queued {
					t.Errorf("%s: %q was answered %q with status %d, and queued for %q", name, in, out, status, envelope)
				}
			}
		}
	}
}

// A client may send the next package only when it has heard of the one before.
func TestAnswersInTime(t *testing.T) {
	(&scene{control: map[string]string{"rcpthosts": "here.example\n"}}).setUp(t)
	client, status := dial(t, QMTP, peer)
	for range 3 {
		io.WriteString(client, "2:\nx,3:a@b,20:16:joe@here.example,,")
		b := make([]byte, 100)
		if n, err := client.Read(b); err != nil || mask(string(b[:n])) != "<ok>" {
			t.Fatalf("said %q, %v", b[:n], err)
		}
	}
	client.Close()
	if s := <-status; s != 0 {
		t.Errorf("exited with %d", s)
	}
}

// A client that goes away without a word leaves nothing behind, be it in the middle of a
// message or without having read the answers.
func TestClientGone(t *testing.T) {
	for _, in := range []string{"100:\nx", "2:\nx,3:a@b,20:16:joe@here.example,,"} {
		(&scene{control: map[string]string{"rcpthosts": "here.example\n"}}).setUp(t)
		client, status := dial(t, QMTP, peer)
		io.WriteString(client, in)
		client.Close()
		if s := <-status; s != 0 {
			t.Errorf("%q and gone: exited with %d", in, s)
		}
	}
}

// What a session ends with decides how its process does: a client's fault is permanent,
// and what another time may be better is not.
func TestEnd(t *testing.T) {
	late := &os.PathError{Op: "read", Path: "client", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		err    error
		status int
	}{
		{nil, 0},
		{io.EOF, 0},
		{hungUp(syscall.ECONNRESET), 0},
		{hungUp(late), prog.StatusTemporary},
		{netstring.ErrFormat, prog.StatusPermanent},
		{netstring.ErrTooLong, prog.StatusTemporary},
		{syscall.EIO, prog.StatusTemporary},
	} {
		p := &prog.Process{} // whose complaints nobody reads
		if got := p.Do(func(*prog.Process) error { return end(c.err) }); got != c.status {
			t.Errorf("%v: %d, want %d", c.err, got, c.status)
		}
	}
}

// Trouble with what is ours is no answer to the client, who then tries again.
func TestTrouble(t *testing.T) {
	const in = "2:\nx,3:a@b,19:15:x@there.example,,"
	for name, spoil := range map[string]func(string) error{
		"control/rcpthosts":         func(path string) error { os.Remove(path); return os.Mkdir(path, 0o700) },
		"control/databytes":         func(path string) error { return os.Mkdir(path, 0o700) },
		"control/morercpthosts.cdb": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	} {
		(&scene{control: map[string]string{"rcpthosts": "here.example\n"}}).setUp(t)
		if err := spoil(filepath.Join(conf.Home, name)); err != nil {
			t.Fatal(err)
		}
		out, status := converse(t, QMTP, peer, in, len(in))
		if _, _, queued := taken(); out != "" || status != prog.StatusTemporary || queued {
			t.Errorf("with a bad %s: said %q, exited with %d", name, out, status)
		}
	}
}

// Without a list no recipient with a domain is taken.
func TestNoRcpthosts(t *testing.T) {
	(&scene{}).setUp(t)
	in := "2:\nx,3:a@b," + netstring.Format(netstring.Format("x@there.example")+netstring.Format("joe"))
	out, status := converse(t, QMTP, peer, in, len(in))
	if want := netstring.Format(refusals[foreign]) + "<ok>"; mask(out) != want || status != 0 {
		t.Errorf("said %q, exited with %d", out, status)
	}
}

// Too many recipients are too many for our memory, and the message waits at the client.
func TestTooManyRecipients(t *testing.T) {
	(&scene{}).setUp(t)
	list := strings.Repeat("1:@,", maxRecipients+1)
	in := "2:\nx,3:a@b," + netstring.Format(list)
	out, status := converse(t, QMTP, peer, in, len(in))
	if _, _, queued := taken(); out != "" || status != prog.StatusTemporary || queued {
		t.Errorf("said %.99q, exited with %d, queued %v", out, status, queued)
	}
}

// A message passes through; it is not held.
func TestLargeMessage(t *testing.T) {
	const size = 64 << 20
	for name, run := range map[string]func(*prog.Process) error{"QMTP": QMTP, "QMQP": QMQP} {
		(&scene{control: map[string]string{"rcpthosts": "here.example\n"}}).setUp(t)
		begin, behind := netstring.Begin(size)+"\r", ",3:a@b,20:16:joe@here.example,,"
		if name == "QMQP" {
			behind = ",3:a@b,3:c@d,"
			begin = netstring.Begin(netstring.Size(size)+12) + netstring.Begin(size) + "\r"
			behind += ","
		}
		client, status := dial(t, run, peer)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go func() {
			io.WriteString(client, begin)
			block := strings.Repeat("line\r\n", 10922) + "...."
			for left := size - 1; left > 0; left -= len(block) {
				io.WriteString(client, block[:min(left, len(block))])
			}
			io.WriteString(client, behind)
			client.CloseWrite()
		}()
		out, err := io.ReadAll(client)
		runtime.ReadMemStats(&after)
		if s := <-status; mask(string(out)) != "<ok>" || s != 0 || err != nil {
			t.Errorf("%s: said %q, exited with %d", name, out, s)
		}
		if more := int64(after.HeapSys) - int64(before.HeapSys); more > size/4 {
			t.Errorf("%s: %d bytes more of memory for a message of %d", name, more, size)
		}
	}
}

// FuzzServers: whatever a client says, the server ends when the client has, with a status
// that means something, and nothing is queued that has not been answered or answered that
// it was queued and is not.
func FuzzServers(f *testing.F) {
	for name, c := range packages {
		f.Add(c.in, name == "QMTP")
	}
	f.Add("0:,", true)
	f.Add("2000000009:\n", false)
	f.Fuzz(func(t *testing.T, in string, qmtp bool) {
		(&scene{control: map[string]string{"rcpthosts": "h\n"}}).setUp(t)
		run := QMQP
		if qmtp {
			run = QMTP
		}
		out, status := converse(t, run, peer, in, max(1, len(in)))
		if status != 0 && status != prog.StatusPermanent && status != prog.StatusTemporary {
			t.Errorf("exited with %d", status)
		}
		if _, _, queued := taken(); queued != strings.Contains(mask(out), "<ok>") {
			t.Errorf("said %q, queued %v", out, queued)
		}
	})
}
