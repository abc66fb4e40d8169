package mailauth

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"quail/internal/sasl"
)

// File is the file at one path. It is looked at anew for each question, so that a
// change counts at once, and a question reads a few kilobytes of it, however long it
// is. Goroutines may share it.
//
// Since the file is replaced and not written to, a program that gives up its rights
// has to keep that of opening files in its directory.
type File struct {
	path string

	mu      sync.Mutex
	looked  os.FileInfo // the file that secrets was found out of
	secrets bool
}

// Open returns the file at path, which need not exist yet: without it, or if it is
// empty, every question is answered with sasl.ErrUnsupported.
func Open(path string) (*File, error) {
	f := &File{path: path}
	_, err := f.Secrets()
	return f, err
}

// open returns the file as it is now.
func (f *File) open() (*os.File, os.FileInfo, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, sasl.ErrUnsupported
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open logins: %w", err)
	}
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", f.path)
	}
	if err == nil && fi.Size() == 0 {
		err = sasl.ErrUnsupported
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, fi, nil
}

// Secrets reports whether any login has a secret, so that CRAM-MD5, DIGEST-MD5 and APOP
// can succeed. It reads the whole file once after each change.
func (f *File) Secrets() (bool, error) {
	file, fi, err := f.open()
	if err == sasl.ErrUnsupported {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looked != nil && os.SameFile(f.looked, fi) && f.looked.ModTime().Equal(fi.ModTime()) && f.looked.Size() == fi.Size() {
		return f.secrets, nil
	}
	f.looked, f.secrets = nil, false
	lines := bufio.NewReaderSize(file, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 && line[0] != '#' && bytes.Contains(line, []byte(" "+fieldSecret)) {
			f.secrets = true
		}
		switch {
		case err == io.EOF || f.secrets:
			f.looked = fi
			return f.secrets, nil
		case err == bufio.ErrBufferFull:
			return false, fmt.Errorf("read %s: %w", f.path, errLong)
		case err != nil:
			return false, fmt.Errorf("read logins: %w", err)
		}
	}
}

// Lookup returns the entry of a login, and whether there is one. If not, it is one
// that looks alike, and the same each time, but for which no password is known.
func (f *File) Lookup(login string) (e Entry, known bool, err error) {
	file, fi, err := f.open()
	if err != nil {
		return e, false, err
	}
	defer file.Close()
	// Both lines are looked for whatever the other is: it takes as long for everybody.
	line, err1 := find(file, fi.Size(), login)
	decoy, err2 := find(file, fi.Size(), "")
	if err := errors.Join(err1, err2); err != nil {
		return e, false, fmt.Errorf("read %s: %w", f.path, err)
	}
	if line != "" && login != "" {
		if e, err = parse(line); err != nil {
			return e, false, fmt.Errorf("read %s: login %q: %w", f.path, login, err)
		}
		return e, true, nil
	}
	key, err := parseDecoy(decoy)
	if err != nil {
		return e, false, fmt.Errorf("read %s: the line of {DECOY}: %w: run qmail-passwd for any login to have one", f.path, err)
	}
	return madeUp(key, login), false, nil
}

// madeUp is the entry of a login that does not exist.
func madeUp(key [32]byte, login string) Entry {
	bytes := func(what string, size int) []byte {
		h := hmac.New(sha256.New, key[:])
		h.Write([]byte(what + login))
		return h.Sum(nil)[:size]
	}
	like := func(what string, size int) sasl.Verifier {
		return sasl.Verifier{Iterations: Iterations, Salt: bytes(what+" salt ", 16),
			StoredKey: bytes(what+" stored ", size), ServerKey: bytes(what+" server ", size)}
	}
	return Entry{Login: login, SHA1: like("1", 20), SHA256: like("256", 32), Secret: hex.EncodeToString(bytes("secret ", 32))}
}

// Password is for PLAIN and LOGIN, see sasl.Users. It checks against the verifier of
// SCRAM-SHA-256.
func (f *File) Password(user, password string) (login string, err error) {
	e, known, err := f.Lookup(user)
	if err != nil {
		return "", err
	}
	return e.answer(known, func() (bool, error) { return e.SHA256.Matches(sasl.SHA256, password) })
}

// Digest is for CRAM-MD5, see sasl.Users.
func (f *File) Digest(user, challenge, digest string) (login string, err error) {
	return f.digest(user, digest, func(secret string) string { return sasl.CRAM(secret, challenge) })
}

// APOP checks what a client of POP3 made of the timestamp in the greeting: MD5 of it
// and the secret, in hexadecimal digits (RFC 1939, section 7).
func (f *File) APOP(user, timestamp, digest string) (login string, err error) {
	return f.digest(user, digest, func(secret string) string {
		sum := md5.Sum([]byte(timestamp + secret))
		return hex.EncodeToString(sum[:])
	})
}

func (f *File) digest(user, digest string, of func(secret string) string) (login string, err error) {
	e, known, err := f.Lookup(user)
	if err != nil {
		return "", err
	}
	return e.answer(known && e.Secret != "", func() (bool, error) {
		return subtle.ConstantTimeCompare([]byte(of(e.Secret)), []byte(digest)) == 1, nil
	})
}

// answer returns the login if there is one and the check succeeds, which is made in any
// case.
func (e Entry) answer(known bool, check func() (bool, error)) (login string, err error) {
	right, err := check()
	if err != nil {
		return "", err
	}
	if !right || !known {
		return "", sasl.ErrWrong
	}
	return e.Login, nil
}

// Secret is for DIGEST-MD5, see sasl.Users.
func (f *File) Secret(user string) (login, secret string, err error) {
	e, known, err := f.Lookup(user)
	if err != nil {
		return "", "", err
	}
	if !known || e.Secret == "" {
		return "", "", sasl.ErrWrong
	}
	return e.Login, e.Secret, nil
}

// Verifier is for SCRAM, see sasl.Users.
func (f *File) Verifier(user, hash string) (login string, v sasl.Verifier, err error) {
	e, known, err := f.Lookup(user)
	if err != nil {
		return "", v, err
	}
	v = e.SHA256
	if hash == sasl.SHA1 {
		v = e.SHA1
	}
	if !known {
		return "", v, sasl.ErrWrong
	}
	return e.Login, v, nil
}
