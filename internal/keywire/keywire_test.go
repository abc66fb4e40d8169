package keywire

import (
	"bufio"
	"bytes"
	"crypto"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func id(b byte) (id ID) {
	id[0], id[31] = b, b
	return id
}

func TestRequests(t *testing.T) {
	for _, q := range []Request{
		{Kind: List}, {Kind: List, ID: id(7)},
		{Kind: Sign, ID: id(1), Scheme: Ed25519, Text: []byte("text")},
		{Kind: Sign, Scheme: PSSSHA256, Text: bytes.Repeat([]byte("x"), MaxRequest-1-len(ID{})-2)},
	} {
		got, err := ReadRequest(bytes.NewReader(q.Append(nil)))
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("wrote %+v, read %+v, %v", q, got, err)
		}
	}
}

// Bytes that are no request end the connection, and none takes more memory than a
// request may have.
func TestBadRequests(t *testing.T) {
	zero := string(make([]byte, len(ID{})))
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"nothing", "", io.EOF},
		{"half a length", "\x00\x00", io.ErrUnexpectedEOF},
		{"a length and no more", "\x00\x00\x00\x21", io.ErrUnexpectedEOF},
		{"half an id", "\x00\x00\x00\x21L" + zero[:16], io.ErrUnexpectedEOF},
		{"no letter, and more", "\x00\x00\x00\x00LLLL", ErrFormat},
		{"a short id", "\x00\x00\x00\x02Lx", ErrFormat},
		{"more behind the id", "\x00\x00\x00\x22L" + zero + "x", ErrFormat},
		{"no scheme", "\x00\x00\x00\x22S" + zero + "x", ErrFormat},
		{"an answer", "\x00\x00\x00\x21l" + zero, ErrFormat},
		{"a letter of nobody's", "\x00\x00\x00\x21?" + zero, ErrFormat},
		{"one byte too long", "\x00\x00\x04\x01S" + strings.Repeat("x", MaxRequest), ErrFormat},
		{"four gigabytes", "\xff\xff\xff\xffS", ErrFormat},
		{"a TLS record", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ErrFormat},
	} {
		if q, err := ReadRequest(strings.NewReader(c.bytes)); err != c.want {
			t.Errorf("%s: %+v, %v, want %v", c.name, q, err, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, a := range []Answer{
		{Kind: Unchanged}, {Kind: Signed, Signature: []byte{0, 1}}, {Kind: Refused}, {Kind: Refused, Text: "no"},
		{Kind: Listed}, {Kind: Listed, Chains: []Chain{{[]byte("a")}, {[]byte("b"), []byte("")}}},
	} {
		got, err := ReadAnswer(bytes.NewReader(a.Append(nil)))
		if err != nil || got.Kind != a.Kind || got.Text != a.Text || !bytes.Equal(got.Signature, a.Signature) ||
			len(got.Chains) != len(a.Chains) || Set(got.Chains) != Set(a.Chains) {
			t.Errorf("wrote %+v, read %+v, %v", a, got, err)
		}
	}
	long := Answer{Kind: Refused, Text: strings.Repeat("x", 2*maxText)}
	if got, err := ReadAnswer(bytes.NewReader(long.Append(nil))); err != nil || len(got.Text) != maxText {
		t.Errorf("a long text: %d bytes, %v", len(got.Text), err)
	}
	list := Answer{Kind: Listed, Chains: []Chain{{[]byte("a")}}}.Append(nil)
	list[len(list)-1]++
	if _, err := ReadAnswer(bytes.NewReader(list)); err != ErrFormat {
		t.Errorf("a set that is not the one that it says: %v", err)
	}
}

func TestEntries(t *testing.T) {
	sets := [][]Entry{nil, {{"a", []byte("cert"), []byte("key"), ""}, {"b", nil, nil, "trouble"}}}
	var b []byte
	for _, set := range sets {
		b = AppendEntries(b, set)
	}
	r := bufio.NewReader(bytes.NewReader(b))
	for _, want := range sets {
		got, err := ReadEntries(r)
		if err != nil || !slices.EqualFunc(got, want, same) {
			t.Errorf("read %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := ReadEntries(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for name, cut := range map[string][]byte{"a set without an end": b[5 : len(b)-5], "half an entry": b[5:20]} {
		if _, err := ReadEntries(bytes.NewReader(cut)); err != io.ErrUnexpectedEOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := AppendEntries(nil, make([]Entry, MaxEntries+1))
	if _, err := ReadEntries(bytes.NewReader(many)); err != ErrFormat {
		t.Errorf("too many: %v", err)
	}
	large := AppendEntries(nil, []Entry{{Certificate: make([]byte, MaxFile+1)}})
	if _, err := ReadEntries(bytes.NewReader(large)); err != ErrFormat {
		t.Errorf("a large file: %v", err)
	}
}

func same(a, b Entry) bool {
	return a.Name == b.Name && a.Trouble == b.Trouble && bytes.Equal(a.Certificate, b.Certificate) && bytes.Equal(a.Key, b.Key)
}

func TestSignable(t *testing.T) {
	spaces, randoms := strings.Repeat(" ", 64), strings.Repeat("r", 64)
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"TLS 1.3 with SHA-256", spaces + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("h", 32), true},
		{"TLS 1.3 with SHA-384", spaces + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("h", 48), true},
		{"no hash", spaces + "TLS 1.3, server CertificateVerify\x00", false},
		{"another length", spaces + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("h", 33), false},
		{"a client's", spaces + "TLS 1.3, client CertificateVerify\x00" + strings.Repeat("h", 32), false},
		{"spaces missing", spaces[1:] + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("h", 32), false},
		{"X25519", randoms + "\x03\x00\x1d\x20" + strings.Repeat("p", 32), true},
		{"P-256", randoms + "\x03\x00\x17\x41" + strings.Repeat("p", 65), true},
		{"P-384", randoms + "\x03\x00\x18\x61" + strings.Repeat("p", 97), true},
		{"P-521", randoms + "\x03\x00\x19\x85" + strings.Repeat("p", 133), true},
		{"a curve of its own", randoms + "\x01\x00\x17\x41" + strings.Repeat("p", 65), false},
		{"an unknown curve", randoms + "\x03\x00\x16\x41" + strings.Repeat("p", 65), false},
		{"a short point", randoms + "\x03\x00\x17\x41" + strings.Repeat("p", 64), false},
		{"a length that is another", randoms + "\x03\x00\x17\x40" + strings.Repeat("p", 65), false},
		{"more behind it", randoms + "\x03\x00\x1d\x20" + strings.Repeat("p", 33), false},
		{"DER, as of a certificate", "\x30\x82\x01\x0a\xa0\x03\x02\x01\x02" + strings.Repeat("c", 260), false},
		{"a hash", strings.Repeat("h", 32), false},
		{"nothing", "", false},
	} {
		if got := Signable([]byte(c.text)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestSchemes(t *testing.T) {
	for scheme := range schemes {
		family, hash, ok := Parts(scheme)
		again, there := Scheme(family, hash)
		if !ok || !there || again != scheme {
			t.Errorf("%#x is %v with %v, which is %#x", scheme, family, hash, again)
		}
	}
	if s, ok := Scheme(RSA, crypto.SHA1); ok {
		t.Errorf("SHA-1 is %#x", s)
	}
	if _, _, ok := Parts(0x0201); ok {
		t.Error("0x0201, with SHA-1, is a scheme")
	}
}

// FuzzRequest: what is read is what was written, bounded, and nothing else is read.
func FuzzRequest(f *testing.F) {
	f.Add(Request{Kind: List}.Append(nil))
	f.Add(Request{Kind: Sign, Scheme: 1, Text: []byte("x")}.Append(nil))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		q, err := ReadRequest(r)
		if err != nil {
			return
		}
		if taken := b[:len(b)-r.Len()]; !bytes.Equal(q.Append(nil), taken) || len(taken) > MaxRequest+4 {
			t.Errorf("%q is read as %+v", taken, q)
		}
	})
}

// FuzzAnswer is FuzzRequest the other way.
func FuzzAnswer(f *testing.F) {
	f.Add(Answer{Kind: Listed, Chains: []Chain{{[]byte("a"), []byte("b")}, {nil}}}.Append(nil))
	f.Add(Answer{Kind: Signed, Signature: []byte("s")}.Append(nil))
	f.Add(Answer{Kind: Refused, Text: "t"}.Append(nil))
	f.Add(Answer{Kind: Unchanged}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		a, err := ReadAnswer(r)
		if err != nil {
			return
		}
		if taken := b[:len(b)-r.Len()]; !bytes.Equal(a.Append(nil), taken) {
			t.Errorf("%q is read as %+v", taken, a)
		}
		for _, chain := range a.Chains {
			if len(chain) == 0 || len(chain) > maxChain {
				t.Errorf("a chain of %d", len(chain))
			}
		}
	})
}

// FuzzEntries: a set is read whole or not at all.
func FuzzEntries(f *testing.F) {
	f.Add(AppendEntries(nil, []Entry{{"a", []byte("cert"), []byte("key"), ""}, {"b", nil, nil, "trouble"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		entries, err := ReadEntries(r)
		if err != nil {
			if entries != nil {
				t.Errorf("%q, and %v", entries, err)
			}
			return
		}
		if taken := b[:len(b)-r.Len()]; !bytes.Equal(AppendEntries(nil, entries), taken) {
			t.Errorf("%q is read as %+v", taken, entries)
		}
	})
}
