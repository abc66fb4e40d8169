package remote

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/prog"
)

// Whatever a server says to jobs that share a transaction: each ends once, or is left
// for the next transaction; its reports are of the form that qmail-rspawn reads; K is
// said only to who was accepted, after the text had been sent; and DATA is not said
// for nobody.
func FuzzShared(f *testing.F) {
	for _, s := range []string{
		"250 a\r\n250 b\r\n550 c\r\n250 d\r\n354 e\r\n250 f\r\n",
		"250 a\r\n250 b\r\n452 c\r\n452 d\r\n354 e\r\n250 f\r\n",
		"250 a\r\n452 b\r\n452 c\r\n452 d\r\n",
		"250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n",
		"421 a\r\n",
		"",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	name := filepath.Join(f.TempDir(), "message")
	if err := os.WriteFile(name, []byte("hi\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte, pipelining bool) {
		client, server := net.Pipe()
		go func() {
			server.Write(says)
			server.Close()
		}()
		heard := &tap{Conn: client}
		var mails []*mail
		for i := range 3 {
			message, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer message.Close()
			mails = append(mails, newMail(&prog.Process{Args: []string{"x.test", "a@b", fmt.Sprintf("r%d@c", i)}, Stdin: message}))
		}
		s := newSession(heard, "me.test", time.Minute, time.Now)
		s.pipelining = pipelining
		tr := newTransaction(mails, true)
		if err := s.carry(tr, time.Now); err != nil {
			t.Fatalf("a new session is stale: %v", err)
		}
		client.Close()
		sent := heard.sent.String()
		for i, m := range mails {
			later := 0
			for _, moved := range tr.moved {
				if moved == m {
					later++
				}
			}
			if (m.verdict == "") != (later == 1) || later > 1 {
				t.Errorf("recipient %d has the verdict %q and is left for later %d times", i, m.verdict, later)
			}
			all := m.reports.String() + string(m.verdict) + "\x00"
			if later == 0 && !reports.MatchString(all) {
				t.Errorf("recipient %d: %q", i, all)
			}
			if strings.HasPrefix(string(m.verdict), "K") && (!m.accepted || !strings.Contains(sent, "DATA\r\nhi\r\n.\r\n")) {
				t.Errorf("recipient %d: %q after %q", i, all, sent)
			}
		}
		if tr.accepted == 0 && strings.Contains(sent, "DATA\r\n") {
			t.Errorf("sent DATA for nobody: %q", sent)
		}
	})
}
