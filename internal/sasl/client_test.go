package sasl

import (
	"errors"
	"strings"
	"testing"
)

// Servers that a client does not believe, and messages that it does not understand.
func TestClientRefuses(t *testing.T) {
	mine := nonce(clientOptions().Random)
	const digest = `realm="h",nonce="x",qop="auth",algorithm=md5-sess,charset=utf-8`
	for _, c := range []struct {
		mechanism  string
		challenges []string
		want       error
	}{
		{"CRAM-MD5", []string{""}, ErrFormat},
		{"CRAM-MD5", []string{"<1@x>"}, nil},
		{"CRAM-MD5", []string{"<1@x>", "<2@x>"}, ErrFormat},
		{"LOGIN", []string{"User Name", "Secret", "More"}, ErrFormat},
		{"PLAIN", []string{""}, ErrFormat},
		{"DIGEST-MD5", []string{digest}, nil},
		{"DIGEST-MD5", []string{`nonce="x",algorithm=md5-sess`}, nil},
		{"DIGEST-MD5", []string{`nonce="x",algorithm=md5-sess,qop="auth-int,auth",realm="a",realm="b"`}, nil},
		{"DIGEST-MD5", []string{`nonce="x",algorithm=md5-sess,qop="auth-int"`}, ErrFormat},
		{"DIGEST-MD5", []string{`nonce="x",qop="auth"`}, ErrFormat},
		{"DIGEST-MD5", []string{`qop="auth",algorithm=md5-sess`}, ErrFormat},
		{"DIGEST-MD5", []string{digest + strings.Repeat(",", MaxMessage)}, ErrFormat},
		{"DIGEST-MD5", []string{digest, ""}, ErrServer},
		{"DIGEST-MD5", []string{digest, "rspauth=00000000000000000000000000000000"}, ErrServer},
		{"DIGEST-MD5", []string{digest, `rspauth="`}, ErrFormat},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4096"}, nil},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4096,x=extension"}, nil},
		{"SCRAM-SHA-1", []string{"r=" + mine + ",s=c2FsdA==,i=4096"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=x" + mine + "x,s=c2FsdA==,i=4096"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x y,s=c2FsdA==,i=4096"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4095"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=5000001"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=99999999999999999999"}, ErrFormat},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=-4096"}, ErrFormat},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=,i=4096"}, ErrFormat},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA,i=4096"}, ErrFormat},
		{"SCRAM-SHA-1", []string{"m=x,r=" + mine + "x,s=c2FsdA==,i=4096"}, ErrFormat},
		{"SCRAM-SHA-1", []string{"e=unknown-user"}, ErrFormat},
		{"SCRAM-SHA-1", []string{""}, ErrFormat},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4096", ""}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4096", "e=invalid-proof"}, ErrServer},
		{"SCRAM-SHA-1", []string{"r=" + mine + "x,s=c2FsdA==,i=4096", "v=c2FsdA=="}, ErrServer},
	} {
		_, client, err := NewClient([]string{c.mechanism}, "joe", "sesame", clientOptions())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = client.Next(nil); err != nil {
			t.Fatal(err)
		}
		for i, challenge := range c.challenges {
			if _, err = client.Next([]byte(challenge)); err != nil && i+1 < len(c.challenges) {
				t.Fatalf("%s: message %d of %q: %v", c.mechanism, i, c.challenges, err)
			}
		}
		if !errors.Is(err, c.want) || c.want != nil && c.mechanism[0] == 'S' && client.Done() {
			t.Errorf("%s: after %q: %v, done %v, want %v", c.mechanism, c.challenges, err, client.Done(), c.want)
		}
	}
}

// A client that could bind says so where it was not offered: a server that did offer
// it knows then that somebody is between them.
func TestDowngrade(t *testing.T) {
	co := clientOptions()
	co.Bindings = connection
	name, c, err := NewClient([]string{"SCRAM-SHA-256", "SCRAM-SHA-1"}, "joe", "sesame", co)
	if err != nil || name != "SCRAM-SHA-256" {
		t.Fatal(name, err)
	}
	o := options()
	o.Bindings = connection
	s, _ := NewServer(name, &book{passwords: people}, o)
	if said, done, err := converse(s, c); done || err != ErrWrong || len(said) != 1 || !strings.HasPrefix(said[0], "C: y,,") {
		t.Errorf("%q, %v, %v", said, done, err)
	}
}

// A server is not done with before it has proven itself.
func TestEarlyYes(t *testing.T) {
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5"} {
		s, _ := NewServer(mechanism, &book{passwords: people}, options())
		_, c, _ := NewClient([]string{mechanism}, "joe", "sesame", clientOptions())
		message, err := c.Next(nil)
		for err == nil && !c.Done() {
			var challenge []byte
			var done bool
			challenge, done, err = s.Next(message)
			if done {
				if c.Done() {
					t.Errorf("%s: done before the server's last message", mechanism)
				}
				message, err = c.Next(challenge)
				if err != nil || message == nil || len(message) > 0 || !c.Done() {
					t.Errorf("%s: the server's last message: %q, %v, done %v", mechanism, message, err, c.Done())
				}
				break
			}
			if err == nil {
				message, err = c.Next(challenge)
			}
		}
		if err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}
