// Package sasl has the exchanges of messages by which a client proves who it is:
// both sides of PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), DIGEST-MD5 (RFC 2831,
// qop auth alone), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, 7677), these two also
// bound to a TLS connection (-PLUS; RFC 5929, 9266).
//
// Messages are without the base64 of SMTP and POP3. A Server asks its Users for what
// it needs to know about one and never keeps it; a Client gives away a password only
// where nobody else reads it.
//
// The enemy is the other side. A client may send anything at any step, learns no more
// than yes or no, and for a user that does not exist meets the same steps and the
// same work as for one that does. A server may be anybody's: with SCRAM the client
// does not believe a yes that is not proven, see Client.
package sasl

import (
	"errors"
	"slices"
)

// What a caller tells apart. Any other error of a Server comes from a method of Users
// and means that the answer is not known now.
var (
	ErrWrong       = errors.New("user name or password is wrong")
	ErrFormat      = errors.New("malformed authentication message")
	ErrMechanism   = errors.New("no such authentication mechanism")
	ErrUnsupported = errors.New("not supported by this source of users")
)

// MaxMessage is how long a message of either side may be. DIGEST-MD5 sets it (RFC
// 2831, section 2.1.2); it is more than the others need.
const MaxMessage = 4096

// MaxName is how long the name of a user may be, as in RFC 4616.
const MaxName = 255

// Users knows who may log in. Each method returns the login that it knows the user
// by; ErrWrong if what the client sent is not that user's or there is no such user;
// ErrUnsupported if it has no means of telling by this method; and any other error if
// the answer is not known now. Methods take as long for users that do not exist.
type Users interface {
	// Password checks a password. PLAIN, LOGIN.
	Password(user, password string) (login string, err error)
	// Digest checks what the client made of the challenge, as sent to it: HMAC-MD5 keyed
	// with the secret, in lower-case hexadecimal digits. CRAM-MD5.
	Digest(user, challenge, digest string) (login string, err error)
	// Secret returns the shared secret itself. DIGEST-MD5.
	Secret(user string) (login, secret string, err error)
	// Verifier returns what SCRAM checks by; hash is SHA1 or SHA256. For a user that
	// does not exist it is ErrWrong together with a verifier that looks like anybody
	// else's, with a salt that is always the same for this name.
	Verifier(user, hash string) (login string, v Verifier, err error)
}

// Binding is what one TLS connection and no other is known by. Type is
// "tls-exporter", "tls-unique" or "tls-server-end-point".
type Binding struct {
	Type string
	Data []byte
}

// Server is the server's side of one exchange.
type Server interface {
	// Next takes a message of the client and returns the next one to send. Next(nil) at
	// first asks for the challenge of a client that sent no initial response, and an
	// empty one is not nil. With done the client is who it claims to be; a challenge
	// that is not nil then still has to be sent, and the client answers it with an
	// empty message, which is not for Next. After done or an error nothing follows.
	Next(response []byte) (challenge []byte, done bool, err error)
	// Login is who the client has proven to be: "" before done.
	Login() string
}

// Options are the circumstances of an exchange that a server takes part in.
type Options struct {
	Realm  string   // name of this host, in challenges
	Random [32]byte // for this exchange alone
	Now    int64    // seconds since 1970, in a challenge
	PID    int      // of this process, in a challenge
	// Bindings are those of the client's TLS connection; the -PLUS mechanisms need one.
	Bindings []Binding
	// TLS says that nobody reads along. PLAIN and LOGIN need it: a caller who is told to
	// allow them nevertheless (control/plaintextauth) sets it.
	TLS bool
}

// step is one message of the client taken, and one to send. Without a next step the
// exchange is over: the client is who it claims to be.
type step func(response []byte) (challenge []byte, next step, err error)

// server runs the steps of one exchange.
type server struct {
	users Users
	o     Options
	fresh string // what is unpredictable about the exchange
	login string // by the last step
	next  step
	done  bool
}

// starts are the first steps of each mechanism, in the order in which they are
// offered: strongest first.
var starts = []struct {
	name  string
	plain bool // shows the password
	bound bool // needs a Binding
	first func(*server) step
}{
	{name: "SCRAM-SHA-256-PLUS", bound: true, first: func(s *server) step { return (&scramServer{server: s, hash: SHA256, plus: true}).first }},
	{name: "SCRAM-SHA-1-PLUS", bound: true, first: func(s *server) step { return (&scramServer{server: s, hash: SHA1, plus: true}).first }},
	{name: "SCRAM-SHA-256", first: func(s *server) step { return (&scramServer{server: s, hash: SHA256}).first }},
	{name: "SCRAM-SHA-1", first: func(s *server) step { return (&scramServer{server: s, hash: SHA1}).first }},
	{name: "DIGEST-MD5", first: func(s *server) step { return s.digestMD5 }},
	{name: "CRAM-MD5", first: func(s *server) step { return s.cramMD5 }},
	{name: "PLAIN", plain: true, first: func(s *server) step { return s.plain }},
	{name: "LOGIN", plain: true, first: func(s *server) step { return s.loginUser }},
}

// Mechanisms lists all mechanisms in the order in which they are offered.
func Mechanisms() []string {
	var names []string
	for _, m := range starts {
		names = append(names, m.name)
	}
	return names
}

// NewServer begins an exchange by a mechanism, named in capitals. ErrMechanism: there
// is none of this name, or not under these circumstances.
func NewServer(mechanism string, u Users, o Options) (Server, error) {
	for _, m := range starts {
		if m.name != mechanism || m.plain && !o.TLS || m.bound && len(o.Bindings) == 0 {
			continue
		}
		s := &server{users: u, o: o, fresh: nonce(o.Random)}
		s.o.Bindings = slices.Clone(o.Bindings)
		s.next = m.first(s)
		return s, nil
	}
	return nil, ErrMechanism
}

func (s *server) Next(response []byte) (challenge []byte, done bool, err error) {
	step := s.next
	s.next = nil
	if step == nil || len(response) > MaxMessage {
		return nil, false, ErrFormat
	}
	challenge, s.next, err = step(response)
	if err != nil {
		s.next = nil
		return nil, false, err
	}
	s.done = s.next == nil
	return challenge, s.done, nil
}

func (s *server) Login() string {
	if !s.done {
		return ""
	}
	return s.login
}

// ask sends a challenge to a client whose first message has to wait for it. One that
// comes before is out of form (RFC 4954, section 4).
func ask(response, challenge []byte, next step) ([]byte, step, error) {
	if response != nil {
		return nil, nil, ErrFormat
	}
	return challenge, next, nil
}

// userName returns the name that a client gave itself. Control characters are in
// nobody's name and would end it early in a record of checkpassword.
func userName(b []byte) (string, error) {
	if len(b) == 0 || len(b) > MaxName {
		return "", ErrFormat
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return "", ErrFormat
		}
	}
	return string(b), nil
}
