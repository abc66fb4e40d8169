package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Hashes of SCRAM, as Users.Verifier is asked for them.
const (
	SHA1   = "SHA-1"
	SHA256 = "SHA-256"
)

// newHash returns the function that a name stands for.
func newHash(name string) func() hash.Hash {
	if name == SHA1 {
		return sha1.New
	}
	return sha256.New
}

// Verifier is what a server keeps of a password for SCRAM (RFC 5802, section 3). Who
// steals it can check guesses and pose as the server, but not log in.
type Verifier struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// NewVerifier makes a verifier of a password, for the hash SHA1 or SHA256. A password
// is taken as the bytes that it is: SASLprep leaves ASCII as it is, and what is not
// ASCII has to be sent by the client in the form in which it was set.
func NewVerifier(hash, password string, salt []byte, iterations int) (Verifier, error) {
	_, v, err := derive(hash, password, salt, iterations)
	return v, err
}

// derive computes the client's key and the verifier.
func derive(hash, password string, salt []byte, iterations int) (clientKey []byte, v Verifier, err error) {
	h := newHash(hash)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return nil, v, fmt.Errorf("derive key from password: %w", err)
	}
	clientKey = keyed(hash, salted, "Client Key")
	return clientKey, Verifier{iterations, bytes.Clone(salt), digest(hash, clientKey), keyed(hash, salted, "Server Key")}, nil
}

// Matches reports whether the verifier was made of this password.
func (v Verifier) Matches(hash, password string) (bool, error) {
	got, err := NewVerifier(hash, password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey, v.StoredKey) == 1, err
}

func keyed(hash string, key []byte, message string) []byte {
	h := hmac.New(newHash(hash), key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func digest(hash string, b []byte) []byte {
	h := newHash(hash)()
	h.Write(b)
	return h.Sum(nil)
}

// nonce returns the printable form of what is unpredictable about an exchange.
func nonce(random [32]byte) string { return base64.StdEncoding.EncodeToString(random[:24]) }

// decode64 reads base64 in its one form: the library's passes over ends of lines.
func decode64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, ErrFormat
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// scramServer is what a server remembers from one message of SCRAM to the next.
type scramServer struct {
	*server
	hash string
	plus bool

	header   string // how the client binds, and its authorization id
	bound    []byte // what it has to show of the connection
	nonce    string
	messages string // the client's first, ours: what both sign
	v        Verifier
	unknown  bool // v is made up
}

// first takes the client's first message: "n,,n=user,r=nonce".
func (s *scramServer) first(response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, s.first, nil
	}
	flag, rest, ok1 := strings.Cut(string(response), ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return nil, nil, ErrFormat
	}
	s.header = flag + "," + authzid + ","
	if err := s.bind(flag); err != nil {
		return nil, nil, err
	}
	user, clientNonce, err := parseFirst(bare)
	if err != nil {
		return nil, nil, err
	}
	if authzid != "" {
		id, ok := strings.CutPrefix(authzid, "a=")
		name, err := unescape(id)
		if !ok || err != nil {
			return nil, nil, ErrFormat
		}
		if !actsAs([]byte(name), user) {
			return nil, nil, ErrWrong
		}
	}
	login, v, err := s.users.Verifier(user, s.hash)
	if s.unknown = err == ErrWrong && v.Iterations > 0; err != nil && !s.unknown {
		return nil, nil, err
	}
	s.login, s.v = login, v
	s.nonce = clientNonce + s.fresh
	ours := "r=" + s.nonce + ",s=" + base64.StdEncoding.EncodeToString(v.Salt) + ",i=" + strconv.Itoa(v.Iterations)
	s.messages = bare + "," + ours
	return []byte(ours), s.final, nil
}

// bind looks at how the client means to bind the exchange to the connection.
func (s *scramServer) bind(flag string) error {
	name, binds := strings.CutPrefix(flag, "p=")
	switch {
	case binds != s.plus, !binds && flag != "n" && flag != "y":
		return ErrFormat
	case flag == "y" && len(s.o.Bindings) > 0:
		// The client was able to and was told that we are not: somebody between us
		// changed the list of mechanisms (RFC 5802, section 6).
		return ErrWrong
	case !binds:
		return nil
	}
	for _, b := range s.o.Bindings {
		if b.Type == name {
			s.bound = b.Data
			return nil
		}
	}
	return ErrFormat
}

// parseFirst reads user and nonce. Extensions may follow; one that must be understood
// would come first.
func parseFirst(bare string) (user, nonce string, err error) {
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return "", "", ErrFormat
	}
	name, ok1 := strings.CutPrefix(fields[0], "n=")
	nonce, ok2 := strings.CutPrefix(fields[1], "r=")
	if !ok1 || !ok2 || !isNonce(nonce) {
		return "", "", ErrFormat
	}
	if name, err = unescape(name); err != nil {
		return "", "", err
	}
	user, err = userName([]byte(name))
	return user, nonce, err
}

func isNonce(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// escape and unescape are for names, which may have the two bytes that divide fields.
func escape(name string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
}

func unescape(s string) (string, error) {
	name := strings.NewReplacer("=3D", "=", "=2C", ",").Replace(s)
	if strings.Count(s, "=") != strings.Count(s, "=3D")+strings.Count(s, "=2C") || strings.Contains(s, ",") {
		return "", ErrFormat
	}
	return name, nil
}

// final takes the client's last message: "c=binding,r=nonce,p=proof".
func (s *scramServer) final(response []byte) ([]byte, step, error) {
	at := bytes.LastIndex(response, []byte(",p="))
	if at < 0 {
		return nil, nil, ErrFormat
	}
	unproven := string(response[:at])
	proof, err := decode64(string(response[at+3:]))
	fields := strings.Split(unproven, ",")
	if err != nil || len(proof) != len(s.v.StoredKey) || len(fields) < 2 {
		return nil, nil, ErrFormat
	}
	bound, ok := strings.CutPrefix(fields[0], "c=")
	if !ok || !strings.HasPrefix(fields[1], "r=") {
		return nil, nil, ErrFormat
	}
	want := base64.StdEncoding.EncodeToString(append([]byte(s.header), s.bound...))
	signed := s.messages + "," + unproven
	clientKey := make([]byte, len(proof))
	subtle.XORBytes(clientKey, proof, keyed(s.hash, s.v.StoredKey, signed))
	right := subtle.ConstantTimeCompare(digest(s.hash, clientKey), s.v.StoredKey) == 1
	if !right || s.unknown || bound != want || fields[1] != "r="+s.nonce {
		return nil, nil, ErrWrong
	}
	v := "v=" + base64.StdEncoding.EncodeToString(keyed(s.hash, s.v.ServerKey, signed))
	return []byte(v), nil, nil
}
