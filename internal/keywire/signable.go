package keywire

import (
	"bytes"
	"crypto"
	"encoding/binary"
)

// The schemes by which is signed, of RFC 8446, section 4.2.3. In those of ECDSA the
// number says which hash is used, not which curve: TLS 1.2 allows any pair.
const (
	RSASHA256   = 0x0401
	RSASHA384   = 0x0501
	RSASHA512   = 0x0601
	PSSSHA256   = 0x0804
	PSSSHA384   = 0x0805
	PSSSHA512   = 0x0806
	ECDSASHA256 = 0x0403
	ECDSASHA384 = 0x0503
	ECDSASHA512 = 0x0603
	Ed25519     = 0x0807
)

// Family is the kind of key that a scheme needs.
type Family int

// The families.
const (
	RSA Family = iota + 1
	PSS
	ECDSA
	EdDSA
)

// schemes says what each scheme stands for. Ed25519 has no hash of its own.
var schemes = map[uint16]struct {
	family Family
	hash   crypto.Hash
}{
	RSASHA256: {RSA, crypto.SHA256}, RSASHA384: {RSA, crypto.SHA384}, RSASHA512: {RSA, crypto.SHA512},
	PSSSHA256: {PSS, crypto.SHA256}, PSSSHA384: {PSS, crypto.SHA384}, PSSSHA512: {PSS, crypto.SHA512},
	ECDSASHA256: {ECDSA, crypto.SHA256}, ECDSASHA384: {ECDSA, crypto.SHA384}, ECDSASHA512: {ECDSA, crypto.SHA512},
	Ed25519: {EdDSA, 0},
}

// Scheme returns the scheme of a family and a hash, or ok false if there is none.
func Scheme(family Family, hash crypto.Hash) (scheme uint16, ok bool) {
	for scheme, s := range schemes {
		if s.family == family && s.hash == hash {
			return scheme, true
		}
	}
	return 0, false
}

// Parts returns family and hash of a scheme, or ok false if it is none.
func Parts(scheme uint16) (family Family, hash crypto.Hash, ok bool) {
	s, ok := schemes[scheme]
	return s.family, s.hash, ok
}

// verify13 is what a server signs in TLS 1.3 but for the hash of what went before (RFC
// 8446, section 4.4.3).
var verify13 = append(bytes.Repeat([]byte{' '}, 64), "TLS 1.3, server CertificateVerify\x00"...)

// points says how long the public half of a key exchange is, by its group, for those of
// TLS 1.2.
var points = map[uint16]int{23: 65, 24: 97, 25: 133, 29: 32}

// Signable reports whether text is what a server signs in a handshake: in TLS 1.3 a
// fixed sentence and a hash; in TLS 1.2 two random numbers and the parameters of a key
// exchange by elliptic curves (RFC 8422, section 5.4). No certificate, request for one,
// or client's proof is of that form.
func Signable(text []byte) bool {
	if hash, ok := bytes.CutPrefix(text, verify13); ok {
		return len(hash) == 32 || len(hash) == 48
	}
	const randoms, params = 64, 4
	if len(text) < randoms+params || text[randoms] != 3 { // named_curve
		return false
	}
	point := points[binary.BigEndian.Uint16(text[randoms+1:])]
	return point > 0 && int(text[randoms+3]) == point && len(text) == randoms+params+point
}
