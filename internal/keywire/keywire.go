// Package keywire owns the bytes on the socket of qmail-keys, HOME/auth/keys, by which
// servers that speak TLS have signed what they must not sign themselves; and those that
// the half of qmail-keys which reads files hands to the half that answers.
//
// Everything is a frame: the length of what follows in four bytes, the most significant
// first, a letter, and what the letter asks for. Who calls asks and waits for the answer
// before it asks again:
//
//	L id              what certificates are there, if not those of the set id
//	S id scheme text  sign text with the key of a certificate
//
//	l id chain...     the set id: of each certificate its chain, as a count in two bytes
//	                  and that many strings
//	u                 there are no others
//	s signature
//	n text            no, and why
//
// An id is 32 bytes: the SHA-256 of a certificate, or of what all the chains of a set are
// on the wire. A scheme is one of TLS (RFC 8446, section 4.2.3) in two bytes. A string is
// its length in four bytes and its bytes.
//
// Between the halves go frames of the letters F (a file or a pair of files: strings for
// name, certificate, key, trouble) and, behind the last of a set, D.
//
// What is signed is a message, not the hash of one, so that its form can be seen: see
// Signable. The reader at the socket holds every key of this host, and who calls may
// have been taken over by a stranger: nothing is believed, and all is bounded.
package keywire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

// Path is where the socket is, below the home.
const Path = "auth/keys"

// Limits, in bytes but for those that count.
const (
	MaxRequest = 1024     // a frame that is asked
	MaxAnswer  = 16 << 20 // a frame that answers
	MaxFile    = 256 << 10
	MaxEntries = 1000 // entries of a set, and thus chains
	maxChain   = 16   // certificates
	maxText    = 512
)

// ErrFormat is bytes that are not in form.
var ErrFormat = errors.New("not in form")

// ID names a certificate, or a set of them.
type ID [sha256.Size]byte

// Certificate returns the id of a certificate in DER.
func Certificate(der []byte) ID { return sha256.Sum256(der) }

// Chain is a certificate in DER, and those that lead from it to one that is known.
type Chain [][]byte

// Set returns the id of a set of chains.
func Set(chains []Chain) ID { return sha256.Sum256(appendChains(nil, chains)) }

// Kind is the letter of a frame.
type Kind byte

// The kinds of requests and answers.
const (
	List      Kind = 'L'
	Sign      Kind = 'S'
	Listed    Kind = 'l'
	Unchanged Kind = 'u'
	Signed    Kind = 's'
	Refused   Kind = 'n'

	entry Kind = 'F'
	done  Kind = 'D'
)

// Request is what is asked.
type Request struct {
	Kind   Kind
	ID     ID
	Scheme uint16 // of Sign
	Text   []byte // of Sign
}

// Append adds the bytes of the request.
func (r Request) Append(b []byte) []byte {
	b, start := begin(b, r.Kind)
	b = append(b, r.ID[:]...)
	if r.Kind == Sign {
		b = binary.BigEndian.AppendUint16(b, r.Scheme)
		b = append(b, r.Text...)
	}
	return finish(b, start)
}

// ReadRequest reads a request. At the end of the connection, before one, the error is
// io.EOF.
func ReadRequest(r io.Reader) (q Request, err error) {
	kind, body, err := readFrame(r, MaxRequest)
	if err != nil {
		return q, err
	}
	if len(body) < len(q.ID) {
		return q, ErrFormat
	}
	q.Kind = kind
	body = body[copy(q.ID[:], body):]
	switch {
	case kind == List && len(body) == 0:
		return q, nil
	case kind == Sign && len(body) >= 2:
		q.Scheme, q.Text = binary.BigEndian.Uint16(body), body[2:]
		return q, nil
	}
	return Request{}, ErrFormat
}

// Answer is what is said to a request.
type Answer struct {
	Kind      Kind
	Chains    []Chain // of Listed
	Signature []byte  // of Signed
	Text      string  // of Refused
}

// Append adds the bytes of the answer.
func (a Answer) Append(b []byte) []byte {
	b, start := begin(b, a.Kind)
	switch a.Kind {
	case Listed:
		set := Set(a.Chains)
		b = appendChains(append(b, set[:]...), a.Chains)
	case Signed:
		b = append(b, a.Signature...)
	case Refused:
		b = append(b, a.Text[:min(len(a.Text), maxText)]...)
	}
	return finish(b, start)
}

// ReadAnswer reads an answer.
func ReadAnswer(r io.Reader) (a Answer, err error) {
	kind, body, err := readFrame(r, MaxAnswer)
	if err != nil {
		return a, err
	}
	a.Kind = kind
	switch {
	case kind == Listed && len(body) >= len(ID{}):
		set := body[:len(ID{})]
		if a.Chains, err = readChains(body[len(set):]); err != nil {
			return Answer{}, err
		}
		if id := Set(a.Chains); !bytes.Equal(id[:], set) {
			return Answer{}, ErrFormat
		}
	case kind == Unchanged && len(body) == 0:
	case kind == Signed && len(body) > 0:
		a.Signature = body
	case kind == Refused && len(body) <= maxText:
		a.Text = string(body)
	default:
		return Answer{}, ErrFormat
	}
	return a, nil
}

// Entry is what the root half has read of one line of control/tlscerts.
type Entry struct {
	Name        string // as the line has it
	Certificate []byte // the contents of a file
	Key         []byte // of that beside it; nil if there is none
	Trouble     string // why there is nothing
}

// AppendEntries adds the bytes of a set of entries.
func AppendEntries(b []byte, entries []Entry) []byte {
	for _, e := range entries {
		var start int
		b, start = begin(b, entry)
		for _, field := range [][]byte{[]byte(e.Name), e.Certificate, e.Key, []byte(e.Trouble)} {
			b = appendString(b, field)
		}
		b = finish(b, start)
	}
	b, start := begin(b, done)
	return finish(b, start)
}

// ReadEntries reads a set of entries.
func ReadEntries(r io.Reader) (entries []Entry, err error) {
	for {
		kind, body, err := readFrame(r, 3*MaxFile)
		switch {
		case err == io.EOF && len(entries) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case kind == done && len(body) == 0:
			return entries, nil
		case kind != entry || len(entries) == MaxEntries:
			return nil, ErrFormat
		}
		var fields [4][]byte
		for i := range fields {
			if fields[i], body, err = cutString(body); err != nil {
				return nil, err
			}
		}
		if len(body) > 0 || len(fields[1]) > MaxFile || len(fields[2]) > MaxFile {
			return nil, ErrFormat
		}
		entries = append(entries, Entry{string(fields[0]), fields[1], fields[2], string(fields[3])})
	}
}

func appendChains(b []byte, chains []Chain) []byte {
	for _, chain := range chains {
		b = binary.BigEndian.AppendUint16(b, uint16(len(chain)))
		for _, der := range chain {
			b = appendString(b, der)
		}
	}
	return b
}

func readChains(b []byte) (chains []Chain, err error) {
	for len(b) > 0 {
		if len(b) < 2 || len(chains) == MaxEntries {
			return nil, ErrFormat
		}
		n := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if n == 0 || n > maxChain {
			return nil, ErrFormat
		}
		chain := make(Chain, n)
		for i := range chain {
			if chain[i], b, err = cutString(b); err != nil {
				return nil, err
			}
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutString(b []byte) (s, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, ErrFormat
	}
	n, b := binary.BigEndian.Uint32(b), b[4:]
	if uint64(n) > uint64(len(b)) {
		return nil, nil, ErrFormat
	}
	return b[:n:n], b[n:], nil
}

// begin adds a frame whose length is not known yet.
func begin(b []byte, kind Kind) (frame []byte, start int) {
	start = len(b)
	return append(b, 0, 0, 0, 0, byte(kind)), start
}

// finish puts the length in.
func finish(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// readFrame reads a frame of at most limit bytes behind its length. No more memory is
// taken than has come.
func readFrame(r io.Reader, limit int) (kind Kind, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > uint32(limit) {
		return 0, nil, ErrFormat
	}
	const step = 64 << 10
	left := int(n) - 1
	for left > 0 {
		at, piece := len(body), min(left, step)
		body = append(body, make([]byte, piece)...)
		if _, err := io.ReadFull(r, body[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		left -= piece
	}
	return Kind(head[4]), body, nil
}
