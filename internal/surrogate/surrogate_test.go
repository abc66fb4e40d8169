package surrogate

import (
	"errors"
	"io"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func made(t testing.TB, message string) string {
	t.Helper()
	b, err := io.ReadAll(NewReader(strings.NewReader(message)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const nobody = "invalid@internationalized-address.invalid"

// What an ordinary client reads in the surrogate.
func TestAddresses(t *testing.T) {
	for _, c := range []struct{ field, want string }{
		{"Jürgen <j@x.example>", "Jürgen <j@x.example>"},
		{`"Ü, Bär" <a@x>, b@y`, "Ü, Bär <a@x>|<b@y>"},
		{"jürgen@x.example", "jürgen@x.example <" + nobody + ">"},
		{"<a@bücher.example>, c@d", "a@bücher.example <" + nobody + ">|<c@d>"},
		{"日本 太郎 <用户@例子.广告>", "日本 太郎 <用户@例子.广告> <" + nobody + ">"},
		{"Plain Name <a@x> (Größe), Ö <b@y>", "Plain Name <a@x>|Ö <b@y>"},
		{"größe: ä <a@x>, b@y;, c@z", "ä <a@x>|<b@y>|<c@z>"},
		{`"unended ü <a@x>`, `"unended ü <a@x> <` + nobody + ">"},
		{"ü" + strings.Repeat("ö", 300) + " <a@x>", "ü" + strings.Repeat("ö", 300) + " <a@x>"},
	} {
		got := made(t, "From: "+c.field+"\nDate: x\n\nbody\n")
		m, err := mail.ReadMessage(strings.NewReader(got))
		if err != nil || foreign(got) || m.Header.Get("Date") != "x" {
			t.Fatalf("%s: %q, %v", c.field, got, err)
		}
		list, err := m.Header.AddressList("From")
		if err != nil {
			t.Errorf("%s: %q: %v", c.field, got, err)
		}
		var all []string
		for _, a := range list {
			all = append(all, strings.TrimPrefix(a.Name+" <"+a.Address+">", " "))
		}
		if s := strings.Join(all, "|"); s != c.want {
			t.Errorf("%s: %q is %s, want %s", c.field, got, s, c.want)
		}
		for line := range strings.Lines(got) {
			if len(line) > 200 {
				t.Errorf("%.40s: a line of %d bytes", c.field, len(line))
			}
		}
	}
}

func TestFields(t *testing.T) {
	long := "X-Long: " + strings.Repeat("ü", MaxField)
	for _, c := range []struct{ header, want string }{
		{"Subject: plain\nX: y\n", "Subject: plain\nX: y\n"},
		{"Subject: größer\n", "Subject: =?utf-8?b?Z3LDtsOfZXI=?=\n"},
		{"SUBJECT : a\n ü\n", "SUBJECT: =?utf-8?b?YSDDvA==?=\n"},
		{"X-Note: ü\nReceived: by ü\nA: b\n", "X-Note: =?utf-8?b?w7w=?=\nA: b\n"},
		{"Message-ID: <ü@x>\nReturn-Path: <ü@x>\n", ""},
		// What is no UTF-8 is not touched: it is in another character set.
		{"Subject: gr\xf6\xdfer\nTo: \xff\n", "Subject: gr\xf6\xdfer\nTo: \xff\n"},
		{"Subject: \x1b$B%F\x1b(B\n", "Subject: \x1b$B%F\x1b(B\n"},
		{"Content-Type: text/plain; name=\"ü;\\\"x\"; charset=utf-8\n", "Content-Type: text/plain; name*=utf-8''%C3%BC%3B%22x; charset=utf-8\n"},
		{"Content-Disposition: attachment;\n filename=ü.pdf\n", "Content-Disposition: attachment; filename*=utf-8''%C3%BC.pdf\n"},
		{"Content-Type: ü; charset=utf-8\n", "Content-Type: charset=utf-8\n"},
		{"no field: ü\n\tx\nneither ü\nÜ: x\n", "no field: ü\n\tx\nneither ü\nÜ: x\n"},
		{long + "\nSubject: ü\n", "X-Long: " + strings.Repeat("?", 2*MaxField) + "\nSubject: =?utf-8?b?w7w=?=\n"},
		{long + "\n " + long + "\nA: b\n", "X-Long: " + strings.Repeat("?", 2*MaxField) + "\n X-Long: " + strings.Repeat("?", 2*MaxField) + "\nA: b\n"},
	} {
		const body = "\nbody ü\n\n--x\nSubject: ü\n\nno end"
		if got := made(t, c.header+body); got != c.want+body {
			t.Errorf("%.60q: %.200q, want %.200q", c.header, strings.TrimSuffix(got, body), c.want)
		}
		if got := made(t, strings.ReplaceAll(c.header, "\n", "\r\n")+"\r\n\xc3\xbc\r\n"); !strings.HasSuffix(got, "\r\n\xc3\xbc\r\n") {
			t.Errorf("%.60q with CR: %.200q", c.header, got)
		}
	}
	for _, message := range []string{"", "\n", "a: b", "\n\n\xc3\xbc", "a: b\n"} {
		if got := made(t, message); got != message {
			t.Errorf("%q becomes %q", message, got)
		}
	}
}

// Parts and messages inside have headers too.
func TestParts(t *testing.T) {
	const message = "Content-Type: multipart/mixed;\n boundary=\"b 1\"\nSubject: ü\n\n" +
		"Subject: ü, in no part\n--b 1x\nSubject: ü\n" +
		"--b 1\nContent-Description: ü\n\nSubject: ü\n" +
		"--b 1 \nContent-Type: message/global\nX-A: ü\n\nSubject: ü\nContent-Type: Multipart/x; boundary=in\n\n" +
		"--in\nX-B: ü\n--in--\nX-C: ü\n\nX-D: ü\n" +
		"--b 1\nContent-Type: text/plain; name=ü\n\nü\n--b 1--\nSubject: ü\n\nSubject: ü\n"
	const e = "=?utf-8?b?w7w=?="
	const want = "Content-Type: multipart/mixed;\n boundary=\"b 1\"\nSubject: " + e + "\n\n" +
		"Subject: ü, in no part\n--b 1x\nSubject: ü\n" +
		"--b 1\nContent-Description: " + e + "\n\nSubject: ü\n" +
		"--b 1 \nContent-Type: message/global\nX-A: " + e + "\n\nSubject: " + e + "\nContent-Type: Multipart/x; boundary=in\n\n" +
		"--in\nX-B: " + e + "\n--in--\nX-C: ü\n\nX-D: ü\n" +
		"--b 1\nContent-Type: text/plain; name*=utf-8''%C3%BC\n\nü\n--b 1--\nSubject: ü\n\nSubject: ü\n"
	if got := made(t, message); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestFails(t *testing.T) {
	broken := errors.New("broken")
	for _, before := range []string{"", "a", "a: b\n", "a: b\n\nc"} {
		r := NewReader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)))
		if got, err := io.ReadAll(r); err != broken || string(got) != before {
			t.Errorf("after %q: %q, %v", before, got, err)
		}
	}
}

// Of a line that has no end no more is held than a piece.
func TestEndless(t *testing.T) {
	r := NewReader(io.MultiReader(strings.NewReader("\n"), io.LimitReader(endless{}, 100<<20)))
	if n, err := io.Copy(io.Discard, r); n != 100<<20+1 || err != nil || r.out.Cap() > 4*pieceSize {
		t.Errorf("%d bytes, %v, with %d in hand", n, err, r.out.Cap())
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// The fields of a surrogate are ASCII, or not UTF-8 as before; a message in ASCII stands
// for itself; the body is that of the message; nothing is left of the encoded words that
// cannot be read.
func FuzzReader(f *testing.F) {
	f.Add("Subject: ü\n\nü\n")
	f.Add("From: \"ü\\\" <a@b>, <ü@x>;:(ü\n \nx")
	f.Add("Content-Type: multipart/x; boundary=\"a\n\n--a\nX-: ü\n\n--a--")
	f.Fuzz(func(t *testing.T, message string) {
		got := made(t, message)
		if !foreign(message) && got != message {
			t.Fatalf("%q becomes %q", message, got)
		}
		header, body, ended := strings.Cut("\n"+got, "\n\n")
		for line := range strings.Lines(header) {
			name, _, ok := strings.Cut(line, ":")
			if ok && foreign(line) && !foreign(name) && !strings.ContainsAny(name, " \t") && utf8.ValidString(header) {
				t.Fatalf("%q has the header %q", message, header)
			}
		}
		if ended && !strings.Contains(message, "--") && !strings.Contains(strings.ToLower(message), "message/") && !strings.HasSuffix(message, body) {
			t.Fatalf("%q has the body %q", message, body)
		}
		decoder := mime.WordDecoder{}
		if utf8.ValidString(message) && !strings.Contains(message, "=?") {
			if _, err := decoder.DecodeHeader(header); err != nil {
				t.Fatalf("%q: %q: %v", message, header, err)
			}
		}
	})
}
