package authd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"

	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/mailauth"
	"quail/internal/sasl"
)

// local is an exchange that this process takes part in. It waits for its turn when it is
// known whom the client claims to be and before it is known whether that is true.
type local struct {
	sasl.Server
	sasl.Users
	try  *try
	name string
}

// begin begins an exchange about users.
func (sv *server) exchange(mechanism string, r authwire.Request, y *try, users sasl.Users) (exchange, error) {
	me, err := sv.dir.LineOr("me", "localhost")
	if err != nil {
		return nil, err
	}
	o := sasl.Options{Realm: me, Now: sv.p.Now().Unix(), PID: sv.p.PID, Bindings: r.Bindings, TLS: r.TLS || r.PlainOK}
	if _, err := rand.Read(o.Random[:]); err != nil {
		return nil, err
	}
	l := &local{Users: users, try: y}
	l.Server, err = sasl.NewServer(mechanism, l, o)
	return l, err
}

func (l *local) user() string { return l.name }
func (l *local) close()       {}

// Next waits if the name is known from an earlier message: then this one is the proof.
func (l *local) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.name != "" {
		if err := l.try.enter(l.name); err != nil {
			return nil, false, err
		}
	}
	return l.Server.Next(response)
}

func (l *local) Password(user, password string) (string, error) {
	l.name = user
	if err := l.try.enter(user); err != nil {
		return "", err
	}
	return l.Users.Password(user, password)
}

func (l *local) Digest(user, challenge, digest string) (string, error) {
	l.name = user
	if err := l.try.enter(user); err != nil {
		return "", err
	}
	return l.Users.Digest(user, challenge, digest)
}

func (l *local) Secret(user string) (login, secret string, err error) {
	l.name = user
	if err := l.try.enter(user); err != nil {
		return "", "", err
	}
	return l.Users.Secret(user)
}

func (l *local) Verifier(user, hash string) (string, sasl.Verifier, error) {
	l.name = user
	return l.Users.Verifier(user, hash)
}

// mailusers is users/mailauth.
type mailusers struct {
	*mailauth.File
	path string
	sv   *server
}

func newMailusers(sv *server) (*mailusers, error) {
	path := conf.Home + "/" + mailauth.Path
	f, err := mailauth.Open(path)
	return &mailusers{f, path, sv}, err
}

// mechanisms leaves out those that need a secret where nobody has one, and has none
// where there is no file, or nothing in it.
func (m *mailusers) mechanisms() ([]string, error) {
	if fi, err := os.Stat(m.path); errors.Is(err, os.ErrNotExist) || err == nil && fi.Size() == 0 {
		return nil, nil
	}
	secrets, err := m.Secrets()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", mailauth.Path, err)
	}
	return slices.DeleteFunc(sasl.Mechanisms(), func(name string) bool {
		return !secrets && (name == "CRAM-MD5" || name == "DIGEST-MD5")
	}), nil
}

func (m *mailusers) begin(mechanism string, r authwire.Request, y *try) (exchange, error) {
	return m.sv.exchange(mechanism, r, y, m)
}
