package sasl

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
)

// FuzzServer: whatever a client says that does not know the password, the answer is not
// yes, and there is an end to it. The password is another one each time.
func FuzzServer(f *testing.F) {
	for i, mechanism := range Mechanisms() {
		co := clientOptions()
		co.Bindings = connection
		_, c, err := NewClient([]string{mechanism}, "joe", "sesame", co)
		if err != nil {
			f.Fatal(err)
		}
		first, _ := c.Next(nil)
		second, _ := c.Next([]byte(`realm="mail.example",nonce="x",qop="auth",algorithm=md5-sess`))
		f.Add(byte(i), first == nil, first, second)
	}
	f.Add(byte(0), false, []byte("p=tls-exporter,a=joe,n=joe,r=abc"), []byte("c=cD10bHMtZXhwb3J0ZXIsLA==,r=abc,p="))
	f.Add(byte(4), true, []byte(nil), []byte(`charset=utf-8,username="joe",realm="mail.example",nonce="x",nc=00000001,cnonce="y",digest-uri="smtp/x",response=0`))
	f.Fuzz(func(t *testing.T, which byte, ask bool, first, second []byte) {
		mechanism := Mechanisms()[int(which)%len(starts)]
		o := options()
		o.Bindings = connection
		secret := rand.Text()
		s, err := NewServer(mechanism, &book{passwords: map[string]string{"joe": secret}}, o)
		if err != nil {
			t.Fatal(err)
		}
		messages := [][]byte{first, second, second, second}
		if ask {
			messages = append([][]byte{nil}, messages...)
		}
		for _, m := range messages {
			challenge, done, err := s.Next(m)
			if done || s.Login() != "" {
				t.Fatalf("%s: %q and %q are taken for somebody who knows %q", mechanism, first, second, secret)
			}
			if len(challenge) > 2*MaxMessage || bytes.Contains(challenge, []byte(secret)) {
				t.Fatalf("%s: challenge %q", mechanism, challenge)
			}
			if err != nil {
				if _, done, again := s.Next(m); done || again != ErrFormat {
					t.Fatalf("%s goes on after %v", mechanism, err)
				}
				return
			}
		}
		t.Fatalf("%s has no end after %q and %q", mechanism, first, second)
	})
}

// FuzzAltered: one byte of a right answer changed gives nobody another name, and no yes
// where it is signed.
func FuzzAltered(f *testing.F) {
	for i := range Mechanisms() {
		f.Add(byte(i), byte(0), uint16(3), byte('x'))
		f.Add(byte(i), byte(1), uint16(12), byte(0))
	}
	f.Fuzz(func(t *testing.T, which, message byte, at uint16, to byte) {
		mechanism := Mechanisms()[int(which)%len(starts)]
		o, co := options(), clientOptions()
		o.Bindings, co.Bindings = connection, connection
		s, err1 := NewServer(mechanism, &book{passwords: people}, o)
		_, c, err2 := NewClient([]string{mechanism}, "joe", "sesame", co)
		if err1 != nil || err2 != nil || !strings.HasSuffix(mechanism, "-PLUS") && strings.HasPrefix(mechanism, "SCRAM") {
			return // a client that binds does not speak these here
		}
		response, _ := c.Next(nil)
		altered := false
		for n := byte(0); ; n++ {
			if n == message%3 && len(response) > 0 {
				response = bytes.Clone(response)
				i := int(at) % len(response)
				altered = response[i] != to
				response[i] = to
			}
			challenge, done, err := s.Next(response)
			if done && s.Login() != "joe" {
				t.Fatalf("%s: %q is %q", mechanism, response, s.Login())
			}
			if done && altered && strings.HasPrefix(mechanism, "SCRAM") {
				t.Fatalf("%s: %q is taken", mechanism, response)
			}
			if err != nil || done {
				return
			}
			if response, err = c.Next(challenge); err != nil {
				return
			}
		}
	})
}

// FuzzClient: a server that does not know the password is not believed, and is not told
// it but by the mechanisms that do.
func FuzzClient(f *testing.F) {
	for i := range Mechanisms() {
		f.Add(byte(i), []byte(`realm="h",nonce="x",qop="auth",algorithm=md5-sess`), []byte("rspauth=0"))
		f.Add(byte(i), []byte("r="+nonce(clientOptions().Random)+"x,s=c2FsdA==,i=4096"), []byte("v=AAAA"))
		f.Add(byte(i), []byte("<1@x>"), []byte(""))
	}
	f.Fuzz(func(t *testing.T, which byte, first, second []byte) {
		mechanism := Mechanisms()[int(which)%len(starts)]
		secret := rand.Text()
		co := clientOptions()
		co.Bindings = connection
		_, c, err := NewClient([]string{mechanism}, "joe", secret, co)
		if err != nil {
			t.Fatal(err)
		}
		shows := mechanism == "PLAIN" || mechanism == "LOGIN"
		for _, challenge := range [][]byte{nil, first, second, second} {
			if bytes.Contains(challenge, []byte("i=")) && bytes.Count(challenge, []byte("0")) > 4 {
				return // too many iterations for a test
			}
			response, err := c.Next(challenge)
			if !shows && bytes.Contains(response, []byte(secret)) {
				t.Fatalf("%s tells the password: %q", mechanism, response)
			}
			if !shows && mechanism != "CRAM-MD5" && c.Done() {
				t.Fatalf("%s believes %q and %q", mechanism, first, second)
			}
			if err != nil {
				return
			}
		}
	})
}

// FuzzDirectives: what is quoted is read as it was.
func FuzzDirectives(f *testing.F) {
	f.Add("joe", "mail.example", []byte(`a=b, c="d\"e",,`))
	f.Add(`\"`, "\x00,=", []byte(`a="`))
	f.Fuzz(func(t *testing.T, user, realm string, message []byte) {
		d, err := parseDirectives([]byte("username=" + quote(user) + " ,Realm=" + quote(realm)))
		if err != nil || d.one("username") != user || d.one("realm") != realm {
			t.Errorf("%q, %q: %v, %v", user, realm, d, err)
		}
		if d, err := parseDirectives(message); err == nil {
			for name := range d {
				if name != strings.ToLower(name) || strings.ContainsAny(name, ", =") {
					t.Errorf("%q: name %q", message, name)
				}
			}
		}
	})
}
