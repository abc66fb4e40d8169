package sasl

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// digestMD5 sends the challenge. A client that begins with a message of its own wants
// to go on from an earlier exchange (subsequent authentication), which is refused:
// nothing of one is kept, and the same answer must not be good twice.
func (s *server) digestMD5(response []byte) ([]byte, step, error) {
	challenge := "realm=" + quote(s.o.Realm) + `,nonce="` + s.fresh + `",qop="auth",charset=utf-8,algorithm=md5-sess`
	return ask(response, []byte(challenge), s.digestAnswer)
}

// digestAnswer takes the directives of the client and answers with what shows that
// this side knows the secret too.
func (s *server) digestAnswer(response []byte) ([]byte, step, error) {
	d, err := parseDirectives(response)
	if err != nil {
		return nil, nil, err
	}
	user, err := d.user()
	if err != nil {
		return nil, nil, err
	}
	for _, needed := range []string{"nonce", "cnonce", "nc", "digest-uri", "response"} {
		if d.one(needed) == "" {
			return nil, nil, ErrFormat
		}
	}
	if qop := d.one("qop"); qop != "" && qop != "auth" || !utf8.ValidString(user) {
		return nil, nil, ErrFormat
	}
	login, secret, err := s.users.Secret(user)
	if err != nil && err != ErrWrong {
		return nil, nil, err
	}
	unknown := err == ErrWrong
	hashed := digestOf{user: user, realm: d.one("realm"), secret: secret, authzid: d.one("authzid"),
		nonce: d.one("nonce"), cnonce: d.one("cnonce"), nc: d.one("nc"), uri: d.one("digest-uri")}
	// RFC 2831 has ISO 8859-1 hashed for whatever is in it, name and password by
	// themselves. Clients do so for both, for one of them or for none.
	right := false
	for i := range 4 {
		other := hashed
		other.userAsIs, other.secretAsIs = i&1 != 0, i&2 != 0
		if other.is(d.one("response")) {
			hashed, right = other, true
		}
	}
	// The URI names a host by whatever name the client knows, so it is only hashed.
	switch {
	case !right, unknown, hashed.nonce != s.fresh, hashed.nc != firstUse,
		hashed.realm != "" && hashed.realm != s.o.Realm, !actsAs([]byte(hashed.authzid), user):
		return nil, nil, ErrWrong
	}
	s.login = login
	return []byte("rspauth=" + hashed.response(":")), nil, nil
}

// firstUse is the nonce count of an exchange that goes on from no other.
const firstUse = "00000001"

// digestOf is what both sides hash (RFC 2831, section 2.1.2.1).
type digestOf struct {
	user, realm, secret, authzid string
	nonce, cnonce, nc, uri       string
	userAsIs, secretAsIs         bool // UTF-8, not turned into ISO 8859-1
}

// is reports whether this is what a client has hashed.
func (d digestOf) is(response string) bool {
	return subtle.ConstantTimeCompare([]byte(d.response("AUTHENTICATE:")), []byte(strings.ToLower(response))) == 1
}

// response returns the hash in hexadecimal digits; method tells the directions apart.
func (d digestOf) response(method string) string {
	h := md5.New()
	h.Write(latin1(d.user, d.userAsIs))
	h.Write([]byte{':'})
	h.Write(latin1(d.realm, false))
	h.Write([]byte{':'})
	h.Write(latin1(d.secret, d.secretAsIs))
	a1 := string(h.Sum(nil)) + ":" + d.nonce + ":" + d.cnonce
	if d.authzid != "" {
		a1 += ":" + d.authzid
	}
	return hexMD5(hexMD5(a1) + ":" + d.nonce + ":" + d.nc + ":" + d.cnonce + ":auth:" + hexMD5(method+d.uri))
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// latin1 returns a string as it is hashed: in ISO 8859-1 if it can be, else, or asIs, in
// UTF-8.
func latin1(s string, asIs bool) []byte {
	var b []byte
	for _, r := range s {
		if r > 0xff || asIs {
			return []byte(s)
		}
		b = append(b, byte(r))
	}
	return b
}

// directives are NAME=VALUE pairs, names in lower case.
type directives map[string][]string

// one returns the only value of a directive, or "".
func (d directives) one(name string) string {
	if len(d[name]) != 1 {
		return ""
	}
	return d[name][0]
}

// user returns the client's name for itself in UTF-8, which it is not sent in unless
// the client says so.
func (d directives) user() (string, error) {
	name := d.one("username")
	if d.one("charset") == "" {
		var b []rune
		for i := range len(name) {
			b = append(b, rune(name[i]))
		}
		name = string(b)
	}
	return userName([]byte(name))
}

// parseDirectives reads a list of directives: values are words or quoted, and only
// realm may come more than once.
func parseDirectives(b []byte) (directives, error) {
	d := directives{}
	for {
		b = bytes.TrimLeft(b, " \t\r\n,")
		if len(b) == 0 {
			return d, nil
		}
		name, rest, ok := bytes.Cut(b, []byte{'='})
		key := strings.ToLower(string(bytes.TrimRight(name, " \t\r\n")))
		if !ok || key == "" || strings.ContainsAny(key, " \t\r\n,\"") || key != "realm" && d[key] != nil {
			return nil, ErrFormat
		}
		value, rest, err := parseValue(bytes.TrimLeft(rest, " \t\r\n"))
		if err != nil {
			return nil, err
		}
		d[key] = append(d[key], value)
		b = bytes.TrimLeft(rest, " \t\r\n")
		if len(b) > 0 && b[0] != ',' {
			return nil, ErrFormat
		}
	}
}

// parseValue reads a value and returns what follows it.
func parseValue(b []byte) (value string, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		end := bytes.IndexAny(b, ", \t\r\n\"")
		if end < 0 {
			end = len(b)
		}
		return string(b[:end]), b[end:], nil
	}
	var out []byte
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return string(out), b[i+1:], nil
		case b[i] == '\\' && i+1 < len(b):
			i++
		}
		out = append(out, b[i])
	}
	return "", nil, ErrFormat
}

// quote writes a value that parseValue reads.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
