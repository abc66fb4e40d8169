package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// cramMD5 sends the challenge: like a message id, and never the same twice.
func (s *server) cramMD5(response []byte) ([]byte, step, error) {
	challenge := fmt.Sprintf("<%d.%d.%d@%s>", s.o.PID, binary.BigEndian.Uint64(s.o.Random[:]), s.o.Now, s.o.Realm)
	return ask(response, []byte(challenge), func(response []byte) ([]byte, step, error) {
		return s.cramAnswer(challenge, response)
	})
}

// cramAnswer takes user, space, digest. The user may have spaces in its name.
func (s *server) cramAnswer(challenge string, response []byte) (_ []byte, _ step, err error) {
	at := bytes.LastIndexByte(response, ' ')
	if at < 0 {
		return nil, nil, ErrFormat
	}
	user, err := userName(response[:at])
	if err != nil {
		return nil, nil, err
	}
	digest, err := hex.DecodeString(string(response[at+1:]))
	if err != nil || len(digest) != md5.Size {
		return nil, nil, ErrFormat
	}
	s.login, err = s.users.Digest(user, challenge, hex.EncodeToString(digest))
	return nil, nil, err
}

// CRAM returns what the holder of a secret makes of a challenge in CRAM-MD5: what
// Users.Digest compares with.
func CRAM(secret, challenge string) string {
	h := hmac.New(md5.New, []byte(secret))
	h.Write([]byte(challenge))
	return hex.EncodeToString(h.Sum(nil))
}
