package tlsnet

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"quail/internal/localsocket"
)

const long = 10 * time.Second

// ends returns both ends of a connection.
func ends(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, theirs, err := localsocket.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() }) // theirs is the other's, to the end of the process
	return ours, theirs
}

// A client that takes nothing does not keep the process when the program has ended: who
// has run that counts programs, and would have any number of these. One that takes what
// is left is given all of it.
func TestRest(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes bool
		rest  time.Duration
	}{
		{"a client that takes nothing", false, 20 * time.Millisecond},
		{"a client that takes all", true, time.Hour},
	} {
		far, near := ends(t)
		conn, err := net.FileConn(near)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		program, ours := ends(t)
		done := make(chan error, 1)
		go func() { done <- pass(conn.(*net.UnixConn), ours, c.rest) }()
		// More than fits into the connection to the client, and a program that waits for
		// nobody to have read its last word.
		program.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		all, _ := program.Write([]byte(strings.Repeat("x", 4<<20)))
		program.Close()
		if c.takes {
			far.SetReadDeadline(time.Now().Add(long))
			if got, err := io.ReadAll(far); len(got) != all || err != nil {
				t.Errorf("%s: has %d bytes of %d, %v", c.name, len(got), all, err)
			}
			far.Close()
		}
		select {
		case err := <-done:
			if (err == nil) != c.takes {
				t.Errorf("%s: %v", c.name, err)
			}
		case <-time.After(long):
			t.Fatalf("%s: the session does not end", c.name)
		}
	}
}
