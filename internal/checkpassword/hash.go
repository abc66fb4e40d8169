package checkpassword

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// methods are those of crypt(5) that are read here, by the beginnings of their hashes.
// Not among them are DES, which takes 8 letters of a password, and what only few systems
// write: $7$, $gy$, $sm3$, and those of Solaris and the BSDs.
var methods = []struct {
	prefix string
	decode func(string) (algorithm.Digest, error)
}{
	{"$y$", scrypt.DecodeVariant(scrypt.VariantYescrypt)},
	{"$6$", shacrypt.DecodeVariant(shacrypt.VariantSHA512)},
	{"$5$", shacrypt.DecodeVariant(shacrypt.VariantSHA256)},
	{"$2a$", bcrypt.Decode},
	{"$2b$", bcrypt.Decode},
	{"$2y$", bcrypt.Decode},
	{"$1$", md5crypt.Decode},
}

// known reports whether a field of /etc/shadow is a hash that can be checked.
func known(hash string) bool {
	for _, m := range methods {
		if strings.HasPrefix(hash, m.prefix) {
			return true
		}
	}
	return false
}

// matches reports whether a hash is that of a password.
func matches(hash, password string) (bool, error) {
	for _, m := range methods {
		if !strings.HasPrefix(hash, m.prefix) {
			continue
		}
		d, err := m.decode(hash)
		if err != nil {
			return false, fmt.Errorf("unable to read the hash of the password: %w", err)
		}
		return d.MatchAdvanced(password)
	}
	return false, errors.New("not a hash of a password")
}
