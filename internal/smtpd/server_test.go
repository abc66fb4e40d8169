package smtpd

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/ucspi"
	"quail/internal/warm"
)

// A walled process declines what it could not bring to the queue, and has not touched
// the connection by then.
func TestDeclined(t *testing.T) {
	home(t, nil, 0)
	for _, c := range []struct {
		name string
		env  prog.Env
	}{
		{"nobody at the queue's socket", peer},
		{"a program for the queue", append(prog.Env{"QMAILQUEUE=/bin/true"}, peer...)},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := process(r, w, c.env)
		p.Warm, p.Walled = true, true
		if err := p.Call(Program()); !errors.Is(err, warm.Declined) {
			t.Errorf("%s: %v, want that it is declined", c.name, err)
		}
		if _, err := w.WriteString("x"); err != nil {
			t.Errorf("%s: the connection is closed: %v", c.name, err)
		}
		w.Close()
		if got, _ := io.ReadAll(r); string(got) != "x" {
			t.Errorf("%s: the client was told %q", c.name, got)
		}
		r.Close()
	}
}

// age makes all control files look as if they had been left alone for long, which they
// are kept for.
func age(t *testing.T) {
	t.Helper()
	old := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	err := filepath.Walk(filepath.Join(conf.Home, "control"), func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each session sees the control files as they are when it begins, though they are read
// only when they have changed.
func TestControlsChange(t *testing.T) {
	home(t, nil, 0)
	sv := &server{}
	m := manner{"warm", sv.run}
	for _, c := range []struct {
		file, contents, want string
	}{
		{"", "", hi + ok + ok + notHere + bye},
		{"smtpgreeting", "new one\n", "220 new one ESMTP\r\n" + ok + ok + notHere + "221 new one\r\n"},
		{"rcpthosts", "evil.example\n", "220 new one ESMTP\r\n" + ok + notHere + ok + "221 new one\r\n"},
		{"badmailfrom", "a@b.example\n", "220 new one ESMTP\r\n" + ok + badFrom + badFrom + "221 new one\r\n"},
		{"smtpgreeting", absent, hi + ok + badFrom + badFrom + bye},
	} {
		path := filepath.Join(conf.Home, "control", c.file)
		var err error
		switch {
		case c.contents == absent:
			err = os.Remove(path)
		case c.file != "":
			err = os.WriteFile(path, []byte(c.contents), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			out, _ := m.converse(t, peer, transaction+"RCPT TO:<x@evil.example>\r\nQUIT\r\n", 1000)
			if out != c.want {
				t.Errorf("with %s %q: told %q, want %q", c.file, c.contents, out, c.want)
			}
			age(t)
		}
		if sv.config.value == nil {
			t.Errorf("with %s %q: nothing is kept", c.file, c.contents)
		}
	}
}

// Clients that only talk do not keep others waiting, however many they are, and are
// answered themselves.
func TestTalkers(t *testing.T) {
	home(t, nil, 0)
	m := manner{"warm", Program()}
	const talkers = 200
	var all sync.WaitGroup
	var clients []io.Closer
	for range talkers {
		client, status := m.dial(t, peer)
		clients = append(clients, client)
		all.Add(2)
		go func() {
			defer all.Done()
			for {
				if _, err := io.WriteString(client, strings.Repeat("garbage\r\n", 100)); err != nil {
					return
				}
			}
		}()
		go func() {
			defer all.Done()
			io.Copy(io.Discard, client)
			<-status
		}()
	}
	for range 20 {
		start := time.Now()
		if out, status := m.converse(t, peer, transaction+"RSET\r\nQUIT\r\n", 1000); status != 0 {
			t.Errorf("status %d, told %q", status, out)
		}
		// A turn of each of them would take 200 ms.
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a session took %v beside %d talkers", took, talkers)
		}
	}
	for _, c := range clients {
		c.Close()
	}
	all.Wait()
}

// No client can claim memory that all others need.
func TestClaims(t *testing.T) {
	sv := &server{}
	greedy, modest := &session{sv: sv}, &session{sv: sv}
	for greedy.claim(1 << 20) {
	}
	if got := sv.crowd.memory.Load(); got != maxClaims || int64(greedy.claimed) != got {
		t.Errorf("claimed %d, by the count of the session %d, want %d", got, greedy.claimed, maxClaims)
	}
	if !modest.claim(fairClaim) || modest.claim(1) {
		t.Error("the other one does not get what is fair, or more")
	}
	greedy.release()
	if !modest.claim(1 << 20) {
		t.Error("what was given back is not there")
	}
	modest.release()
	if got := sv.crowd.memory.Load(); got != 0 {
		t.Errorf("%d bytes are claimed by nobody", got)
	}
}

// What a session claims it gives back at its end, in whatever way it claimed it.
func TestClaimsEnd(t *testing.T) {
	home(t, nil, 0)
	sv := &server{}
	m := manner{"warm", sv.run}
	for _, in := range []string{
		"HELO " + strings.Repeat("x", 20000) + "\r\n" + transaction + "QUIT\r\n",
		transaction + strings.Repeat("RCPT TO:<x@here.example>\r\n", 1000),
		transaction + "RSET\r\n" + transaction + "DATA\r\nx\r\n.\r\n" + strings.Repeat("x", 10000),
		strings.Repeat("x", 40000),
	} {
		m.converse(t, peer, in, 1000)
		if got := sv.crowd.memory.Load(); got != 0 {
			t.Errorf("%.30q: %d bytes are still claimed", in, got)
		}
	}
}

// A mistake of ours costs one session: its client sees the end, and nothing is left.
func TestPanic(t *testing.T) {
	home(t, nil, 0)
	sv := &server{}
	faulty := manner{"warm", func(p *prog.Process) error {
		conn, err := ucspi.NewConn(p, time.Minute)
		if err != nil {
			return err
		}
		s := &session{p: p, sv: sv, conn: conn}
		s.claim(100)
		return s.step(func() error { panic("fault") })
	}}
	client, status := faulty.dial(t, peer)
	if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
		t.Errorf("the client reads %q, %v", got, err)
	}
	if got := <-status; got != prog.StatusTemporary {
		t.Errorf("status %d, want %d", got, prog.StatusTemporary)
	}
	if got := sv.crowd.memory.Load(); got != 0 {
		t.Errorf("%d bytes are still claimed", got)
	}
}
