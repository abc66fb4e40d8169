package suite

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is not as it should be: from clients, from users and in the files of the
// administrator. Each gets the answer that the documents promise, nothing that was
// taken is lost, and nothing stays in the queue but what they say.

// dial connects to a server that must have said everything before the deadline.
func dial(t testing.TB, port int) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

var reQueued = regexp.MustCompile(`250 ok \d+ qp \d+`)

// talk sends everything at once, like no honest client, and returns what the server
// says until it hangs up.
func talk(t testing.TB, port int, input string) string {
	t.Helper()
	conn := dial(t, port)
	go func() {
		io.WriteString(conn, input)
		conn.CloseWrite()
	}()
	// The server may hang up with some of the input unread: no error of the test's.
	out, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the session does not end; so far the server said %q", out)
	}
	return reQueued.ReplaceAllString(string(out), "250 queued")
}

// added returns what has come into the queue since before, as directories: a
// message in state S4 is "intd mess todo".
func (s *suite) added(before []string) string {
	var out []string
	for _, file := range s.queued() {
		if !slices.Contains(before, file) {
			dir, _, _ := strings.Cut(file, "/")
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// States of the queue after one submission.
const (
	nothing = ""
	entered = "intd mess todo"
	// refused is what qmail-queue may not remove: an envelope that is wrong leaves it
	// to the 36-hour clean-up. (spec "The queue", section 6)
	refused = "intd mess"
)

// keeps waits until nothing but these files is in the queue. The end of a message is
// in the log before its files go.
func (s *suite) keeps(want ...string) {
	s.t.Helper()
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // between two looks
		got = s.queued()
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if len(got) < len(want) {
			break // it will not come back
		}
	}
	s.t.Errorf("in the queue is %v, want %v", got, want)
}

// body returns the message without what was put on top of it on the way: all up to
// and with the line that ends in a marker.
func body(t testing.TB, message, marker string) string {
	t.Helper()
	_, rest, ok := strings.Cut(message, marker)
	if !ok {
		t.Fatalf("no %q in the message %q", marker, tail(message, 300))
	}
	return rest
}

// newLog begins a log of its own: another qmail-send numbers its deliveries from 1
// again.
func (s *suite) newLog() {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = log
	s.logs = append(s.logs, log)
}
