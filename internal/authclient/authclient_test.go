package authclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/prog"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directory returns one with a short name, for sockets.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "auth")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func process() *prog.Process {
	return &prog.Process{Env: prog.Env{"PATH=" + os.Getenv("PATH"), "TCPREMOTEIP=192.0.2.1"}, Dir: "/", Stderr: os.Stderr, Now: time.Now}
}

// helper plays qmail-auth: it answers each question with the next text, on one connection
// until one is cut off, and then on the next one.
func helper(t *testing.T, answers ...string) (path string, heard <-chan authwire.Question) {
	t.Helper()
	path = filepath.Join(directory(t), "s")
	l, err := localsocket.Listen(path, 0o600)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	out := make(chan authwire.Question, 20)
	go func() {
		for len(answers) > 0 {
			c, err := localsocket.Accept(l)
			if err != nil {
				return
			}
			for in := bufio.NewReader(c); len(answers) > 0; {
				q, err := authwire.ReadQuestion(in)
				if err != nil {
					break
				}
				out <- q
				answer := answers[0]
				answers = answers[1:]
				io.WriteString(c, answer)
				if !strings.HasSuffix(answer, ",") {
					break // it is cut off
				}
			}
			c.Close()
		}
	}()
	return path, out
}

func bytes(a Answer) string { return string(a.Append(nil)) }

var request = Request{Service: "smtp", IP: "192.0.2.1", TLS: true}

func TestAnswers(t *testing.T) {
	path, heard := helper(t, bytes(authwire.Offer([]string{"PLAIN", "LOGIN"})), bytes(Answer{Kind: Challenge, Data: []byte("?")}),
		bytes(Answer{Kind: No, Text: "wrong"}), bytes(Answer{Kind: Yes, Login: "joe", Data: []byte("v=x")}), bytes(Answer{Kind: Yes}))
	c := Dial(process(), path)
	defer c.Close()
	if names, err := c.Mechanisms(request); strings.Join(names, " ") != "PLAIN LOGIN" || err != nil {
		t.Errorf("offered %q, %v", names, err)
	}
	for i, step := range []struct {
		do   func() (Answer, error)
		want Answer
		said authwire.Question
	}{
		{func() (Answer, error) { return c.Begin(request, "LOGIN", nil) }, Answer{Kind: Challenge, Data: []byte("?")}, authwire.Question{Verb: authwire.Begin, Request: request, Mechanism: "LOGIN"}},
		{func() (Answer, error) { return c.Continue(nil) }, Answer{Kind: No, Text: "wrong"}, authwire.Question{Verb: authwire.Continue, Data: []byte{}}},
		{func() (Answer, error) { return c.Begin(request, "PLAIN", []byte{}) }, Answer{Kind: Yes, Login: "joe", Data: []byte("v=x")}, authwire.Question{Verb: authwire.Begin, Request: request, Mechanism: "PLAIN", Data: []byte{}}},
		{func() (Answer, error) { return c.Spend(request, "joe", 1, 2) }, Answer{Kind: Yes}, authwire.Question{Verb: authwire.Spend, Request: request, Login: "joe", Messages: 1, Recipients: 2}},
	} {
		a, err := step.do()
		if i == 0 {
			<-heard // the list
		}
		if said := <-heard; !reflect.DeepEqual(a, step.want) || err != nil || !reflect.DeepEqual(said, step.said) {
			t.Errorf("%d: %+v, %v, having said %+v", i, a, err, said)
		}
	}
}

// What is no answer is no yes.
func TestNoAnswer(t *testing.T) {
	for _, answer := range []string{"", "y", "1:y", "1:z,", "200000:y", bytes(Answer{Kind: Yes}), bytes(authwire.Offer([]string{"PLAIN"}))} {
		path, _ := helper(t, answer, answer)
		c := Dial(process(), path)
		if a, err := c.Begin(request, "PLAIN", []byte("x")); a.Kind != Later || a.Login != "" || err == nil {
			t.Errorf("%q: %+v, %v", answer, a, err)
		}
		if a, err := c.Continue([]byte("x")); a.Kind != Later || err == nil {
			t.Errorf("%q, and on: %+v, %v", answer, a, err)
		}
		c.Close()
	}
	path, _ := helper(t, bytes(Answer{Kind: Later, Text: "not now"}), bytes(Answer{Kind: Yes}))
	c := Dial(process(), path)
	defer c.Close()
	if names, err := c.Mechanisms(request); names != nil || err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("offered %q, %v", names, err)
	}
	if names, err := c.Mechanisms(request); names != nil || err == nil {
		t.Errorf("offered %q, %v", names, err)
	}
}

// The list is not waited for as long as a verdict is: this clock says that it is asked for
// just before there is no more time for it.
func TestDeaf(t *testing.T) {
	path := filepath.Join(directory(t), "s")
	l, err := localsocket.Listen(path, 0o600) // nobody accepts
	check(t, err)
	defer l.Close()
	p := process()
	p.Now = func() time.Time { return time.Now().Add(50*time.Millisecond - OfferPatience) }
	c := Dial(p, path)
	defer c.Close()
	began := time.Now()
	if names, err := c.Mechanisms(request); names != nil || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > OfferPatience/2 {
		t.Errorf("offered %q, %v, after %v", names, err, time.Since(began))
	}
}

func TestNobody(t *testing.T) {
	dir := directory(t)
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, name := range []string{"absent", "file"} {
		c := Dial(process(), filepath.Join(dir, name))
		if names, err := c.Mechanisms(request); names != nil || err == nil {
			t.Errorf("%s: offered %q, %v", name, names, err)
		}
		if a, err := c.Begin(request, "PLAIN", nil); a.Kind != Later || err == nil {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		c.Close()
	}
}

// A connection is kept for an exchange and no longer, so that a session that waits holds
// none; one that is gone within an exchange is not made again.
func TestConnections(t *testing.T) {
	path, _ := helper(t, bytes(authwire.Offer([]string{"PLAIN"})), bytes(Answer{Kind: Challenge, Data: []byte{}}), "", bytes(Answer{Kind: Yes, Login: "joe"}))
	c := Dial(process(), path)
	defer c.Close()
	if _, err := c.Mechanisms(request); err != nil || c.conn != nil {
		t.Fatalf("%v, a connection is kept: %v", err, c.conn != nil)
	}
	if a, err := c.Begin(request, "PLAIN", nil); a.Kind != Challenge || err != nil || c.conn == nil {
		t.Errorf("begin: %+v, %v", a, err)
	}
	if a, err := c.Continue([]byte("x")); a.Kind != Later || err == nil {
		t.Errorf("within an exchange: %+v, %v", a, err)
	}
	if a, err := c.Begin(request, "PLAIN", []byte("x")); a.Kind != Yes || err != nil || c.conn != nil {
		t.Errorf("and again: %+v, %v", a, err)
	}
}

// A qmail-auth of our own gets its arguments as they were, our environment, and one
// connection; and it is run when there is something to ask, once.
func TestCommand(t *testing.T) {
	home := directory(t)
	conf.Home = home
	check(t, os.Mkdir(filepath.Join(home, "bin"), 0o755))
	script := fmt.Sprintf(`#!/bin/sh
echo "$# $* $TCPREMOTEIP" >>%s/ran
while read -r line; do printf %%s '%s' >&0; done
`, home, bytes(Answer{Kind: Yes, Login: "joe"}))
	check(t, os.WriteFile(filepath.Join(home, "bin/qmail-auth"), []byte(script), 0o755))
	args := []string{"check password", "true"}
	c := Command(process(), args)
	args[0] = "changed"
	if names, err := c.Mechanisms(Request{}); strings.Join(names, " ") != "CRAM-MD5" || err != nil {
		t.Errorf("offered %q, %v", names, err)
	}
	if names, err := c.Mechanisms(request); strings.Join(names, " ") != "CRAM-MD5 PLAIN LOGIN" || err != nil {
		t.Errorf("under TLS offered %q, %v", names, err)
	}
	if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
		t.Error("it has been run for that")
	}
	for range 2 {
		if a, err := c.Begin(request, "PLAIN", []byte("\n")); a.Kind != Yes || a.Login != "joe" || err != nil {
			t.Errorf("%+v, %v", a, err)
		}
	}
	c.Close()
	if ran, err := os.ReadFile(filepath.Join(home, "ran")); string(ran) != "3 -0 check password true 192.0.2.1\n" || err != nil {
		t.Errorf("ran %q, %v", ran, err)
	}
	check(t, os.Remove(filepath.Join(home, "bin/qmail-auth")))
	c = Command(process(), args)
	if a, err := c.Begin(request, "PLAIN", nil); a.Kind != Later || err == nil {
		t.Errorf("without a program: %+v, %v", a, err)
	}
}
