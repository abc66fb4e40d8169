package sasl

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// ErrServer says that a server does not know the password that it asks for, or not the
// connection: it is not the one that the password is for.
var ErrServer = errors.New("the server has not proven that it knows the password")

// Client is the client's side of one exchange.
type Client interface {
	// Next takes a challenge and returns what to answer. Next(nil) at first asks for the
	// initial response: nil if there is none, since the server speaks first. An error
	// means that the exchange is to be cancelled.
	Next(challenge []byte) (response []byte, err error)
	// Done reports whether the client has shown and seen all that it must. A server that
	// says yes before has not proven that it knows the user, and is not to be believed.
	Done() bool
}

// ClientOptions are the circumstances of an exchange that a client takes part in.
type ClientOptions struct {
	Host     string    // name of the server
	Random   [32]byte  // for this exchange alone
	Bindings []Binding // of the TLS connection, best first
	TLS      bool      // nobody but the server reads: PLAIN and LOGIN may be used
}

// answer is one challenge taken and one answer to it. Without a next one the client
// has nothing more to say.
type answer func(challenge []byte) (response []byte, next answer, err error)

// client runs the answers of one exchange.
type client struct {
	user, secret string
	o            ClientOptions
	fresh        string // what is unpredictable about the exchange
	next         answer
	done         bool
}

// answers are the first ones of each mechanism.
var answers = map[string]func(*client) answer{
	"SCRAM-SHA-256-PLUS": func(c *client) answer { return (&scramClient{client: c, hash: SHA256, plus: true}).first },
	"SCRAM-SHA-1-PLUS":   func(c *client) answer { return (&scramClient{client: c, hash: SHA1, plus: true}).first },
	"SCRAM-SHA-256":      func(c *client) answer { return (&scramClient{client: c, hash: SHA256}).first },
	"SCRAM-SHA-1":        func(c *client) answer { return (&scramClient{client: c, hash: SHA1}).first },
	"DIGEST-MD5":         func(c *client) answer { return wait(c.digest) },
	"CRAM-MD5":           func(c *client) answer { return wait(c.cram) },
	"PLAIN":              func(c *client) answer { return c.plain },
	"LOGIN":              func(c *client) answer { return wait(c.loginUser) },
}

// NewClient begins an exchange by the best of the mechanisms that a server offers.
// ErrMechanism: none will do. ErrFormat: user or secret can be nobody's.
func NewClient(offered []string, user, secret string, o ClientOptions) (name string, c Client, err error) {
	if _, err := userName([]byte(user)); err != nil || secret == "" || strings.Contains(secret, "\x00") {
		return "", nil, ErrFormat
	}
	for _, m := range starts {
		if !slices.Contains(offered, m.name) || m.plain && !o.TLS || m.bound && len(o.Bindings) == 0 {
			continue
		}
		c := &client{user: user, secret: secret, o: o, fresh: nonce(o.Random)}
		c.next = answers[m.name](c)
		return m.name, c, nil
	}
	return "", nil, ErrMechanism
}

func (c *client) Next(challenge []byte) (response []byte, err error) {
	answer := c.next
	c.next = nil
	if answer == nil || len(challenge) > MaxMessage {
		c.done = false
		return nil, ErrFormat
	}
	response, c.next, err = answer(challenge)
	if err != nil {
		c.next = nil
		return nil, err
	}
	c.done = c.next == nil
	return response, nil
}

func (c *client) Done() bool { return c.done }

// wait lets the server begin.
func wait(next answer) answer {
	return func(challenge []byte) ([]byte, answer, error) {
		if challenge != nil {
			return next(challenge)
		}
		return nil, next, nil
	}
}

func (c *client) plain([]byte) ([]byte, answer, error) {
	return []byte("\x00" + c.user + "\x00" + c.secret), nil, nil
}

// loginUser and loginPassword do not look at the questions: their wording varies.
func (c *client) loginUser([]byte) ([]byte, answer, error) {
	return []byte(c.user), c.loginPassword, nil
}

func (c *client) loginPassword([]byte) ([]byte, answer, error) {
	return []byte(c.secret), nil, nil
}

func (c *client) cram(challenge []byte) ([]byte, answer, error) {
	if len(challenge) == 0 {
		return nil, nil, ErrFormat
	}
	return []byte(c.user + " " + CRAM(c.secret, string(challenge))), nil, nil
}

// digest answers with what DIGEST-MD5 hashes and its hash.
func (c *client) digest(challenge []byte) ([]byte, answer, error) {
	d, err := parseDirectives(challenge)
	if err != nil {
		return nil, nil, err
	}
	qop := strings.FieldsFunc(d.one("qop"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if d.one("nonce") == "" || d.one("algorithm") != "md5-sess" || d["qop"] != nil && !slices.Contains(qop, "auth") {
		return nil, nil, ErrFormat
	}
	hashed := digestOf{user: c.user, secret: c.secret, nonce: d.one("nonce"), cnonce: c.fresh, nc: firstUse, uri: "smtp/" + c.o.Host}
	if len(d["realm"]) > 0 {
		hashed.realm = d["realm"][0]
	}
	user, charset := c.user, "charset=utf-8,"
	if d.one("charset") == "" {
		user, charset = string(latin1(c.user, false)), ""
	}
	response := charset + "username=" + quote(user) + ",realm=" + quote(hashed.realm) + ",nonce=" + quote(hashed.nonce) +
		`,cnonce="` + hashed.cnonce + `",nc=` + firstUse + ",qop=auth,digest-uri=" + quote(hashed.uri) +
		",response=" + hashed.response("AUTHENTICATE:")
	return []byte(response), func(challenge []byte) ([]byte, answer, error) {
		d, err := parseDirectives(challenge)
		if err != nil {
			return nil, nil, err
		}
		if subtle.ConstantTimeCompare([]byte(d.one("rspauth")), []byte(hashed.response(":"))) != 1 {
			return nil, nil, ErrServer
		}
		return []byte{}, nil, nil
	}, nil
}

// Bounds of what a server may ask of a client: fewer iterations would let it guess the
// password cheaply (RFC 7677, section 4), more would keep the client busy.
const (
	minIterations = 4096
	maxIterations = 5_000_000
)

// scramClient is what a client remembers from one message of SCRAM to the next.
type scramClient struct {
	*client
	hash string
	plus bool

	header, bare string
	bound        []byte
}

func (c *scramClient) first([]byte) ([]byte, answer, error) {
	c.header = "n,,"
	switch {
	case c.plus:
		c.header, c.bound = "p="+c.o.Bindings[0].Type+",,", c.o.Bindings[0].Data
	case len(c.o.Bindings) > 0:
		// Whoever took -PLUS off the server's list will be found out by this.
		c.header = "y,,"
	}
	c.bare = "n=" + escape(c.user) + ",r=" + c.fresh
	return []byte(c.header + c.bare), c.prove, nil
}

// prove answers "r=nonce,s=salt,i=iterations".
func (c *scramClient) prove(challenge []byte) ([]byte, answer, error) {
	fields := strings.Split(string(challenge), ",")
	if len(fields) < 3 {
		return nil, nil, ErrFormat
	}
	both, ok1 := strings.CutPrefix(fields[0], "r=")
	salt64, ok2 := strings.CutPrefix(fields[1], "s=")
	count, ok3 := strings.CutPrefix(fields[2], "i=")
	salt, err1 := decode64(salt64)
	iterations, err2 := strconv.ParseUint(count, 10, 31)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || len(salt) == 0 {
		return nil, nil, ErrFormat
	}
	if !strings.HasPrefix(both, c.fresh) || both == c.fresh || !isNonce(both) || iterations < minIterations || iterations > maxIterations {
		return nil, nil, ErrServer
	}
	clientKey, v, err := derive(c.hash, c.secret, salt, int(iterations))
	if err != nil {
		return nil, nil, err
	}
	bound := base64.StdEncoding.EncodeToString(append([]byte(c.header), c.bound...))
	unproven := "c=" + bound + ",r=" + both
	signed := c.bare + "," + string(challenge) + "," + unproven
	subtle.XORBytes(clientKey, clientKey, keyed(c.hash, v.StoredKey, signed))
	want := "v=" + base64.StdEncoding.EncodeToString(keyed(c.hash, v.ServerKey, signed))
	return []byte(unproven + ",p=" + base64.StdEncoding.EncodeToString(clientKey)), func(challenge []byte) ([]byte, answer, error) {
		shown, _, _ := strings.Cut(string(challenge), ",")
		if subtle.ConstantTimeCompare([]byte(shown), []byte(want)) != 1 {
			return nil, nil, ErrServer
		}
		return []byte{}, nil, nil
	}, nil
}
