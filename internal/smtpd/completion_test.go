package smtpd

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// What is added to a message, by what is missing.
const (
	addedFrom = "From: <joe@me.example>\n"
	addedDate = "Date: 5 Jan 2026 12:00:00 -0000\n"
	addedID   = "Message-ID: <ID@me.example>\n"
)

func complete(sender, message string, piece int) string {
	var out bytes.Buffer
	c := newCompletion(&out, sender, "ID@me.example", noon)
	for b := []byte(message); len(b) > 0; {
		n := min(piece, len(b))
		c.Write(b[:n])
		b = b[n:]
	}
	c.end()
	return out.String()
}

func TestCompletion(t *testing.T) {
	const all = addedFrom + addedDate + addedID
	long := strings.Repeat("x", maxName)
	for _, c := range []struct{ message, want string }{
		{"", all},
		{"\n", all + "\n"},
		{"\nbody\n", all + "\nbody\n"},
		{"Subject: x\n", "Subject: x\n" + all},
		{"Subject: x\n\nDate: in the body\n", "Subject: x\n" + all + "\nDate: in the body\n"},
		{"FROM: a\ndAte: b\nMessage-Id: c\n\nd\n", "FROM: a\ndAte: b\nMessage-Id: c\n\nd\n"},
		{"From : a\nDate\t: b\n\n", "From : a\nDate\t: b\n" + addedID + "\n"},
		{"To: a,\n Date: b\n\tFrom: c\n\nd\n", "To: a,\n Date: b\n\tFrom: c\n" + all + "\nd\n"},
		{"Date: b\n \nFrom: a\n\n", "Date: b\n \nFrom: a\n" + addedID + "\n"},
		{"Datex: b\nX-Date: c\nFro: d\n\n", "Datex: b\nX-Date: c\nFro: d\n" + all + "\n"},
		{"Resent-Date: b\n\n", "Resent-Date: b\n" + all + "\n"},
		// No header at all, or one that ends without an empty line.
		{"hello\nthere\n", all + "\nhello\nthere\n"},
		{"two words: x\n", all + "\ntwo words: x\n"},
		{" folded: nothing\n", all + "\n folded: nothing\n"},
		{": no name\n", all + "\n: no name\n"},
		{"Date: x\nhello\nFrom: y\n", "Date: x\n" + addedFrom + addedID + "\nhello\nFrom: y\n"},
		{"D\xc3\xa4te: x\n", all + "\nD\xc3\xa4te: x\n"},
		{long + ": x\n\n", all + "\n" + long + ": x\n\n"},
		{long[2:] + ": x\n\n", long[2:] + ": x\n" + all + "\n"},
		// What is signed stays as it is.
		{"DKIM-Signature: h=date:date\nSubject: x\n\nd\n", "DKIM-Signature: h=date:date\nSubject: x\n\nd\n"},
		{"X: dkim-signature:\n\nDKIM-Signature: x\n", "X: dkim-signature:\n" + all + "\nDKIM-Signature: x\n"},
	} {
		for _, piece := range []int{1, 7, 10000} {
			if got := complete("joe@me.example", c.message, piece); got != c.want {
				t.Errorf("%q in pieces of %d became\n%q, want\n%q", c.message, piece, got, c.want)
			}
		}
	}
	for _, sender := range []string{"", "a\nb@c", "a\x7f@c"} {
		if got := complete(sender, "", 1); got != addedDate+addedID {
			t.Errorf("from %q: %q", sender, got)
		}
	}
	if got := complete("a b@c", "", 1); !strings.HasPrefix(got, "From: <\"a b\"@c>\n") {
		t.Errorf("a sender with a blank became %q", got)
	}
}

func TestMessageID(t *testing.T) {
	if got := messageID(noon, 4711, 2, "id.example"); got != "20260105120000.4711.2.qmail@id.example" {
		t.Errorf("got %q", got)
	}
}

// FuzzCompletion: whatever a message is and however it comes, it is there without a
// change but for lines that are added at one place, and what is complete stays so.
func FuzzCompletion(f *testing.F) {
	f.Add("From: a\n\nb\n", 3)
	f.Add("x", 1)
	f.Fuzz(func(t *testing.T, message string, piece int) {
		got := complete("joe@me.example", message, max(1, piece))
		if whole := complete("joe@me.example", message, len(message)+1); got != whole {
			t.Errorf("in pieces of %d: %q, in one: %q", piece, got, whole)
		}
		added := len(got) - len(message)
		at := 0
		for at < len(message) && got[at] == message[at] {
			at++
		}
		// The place may be found too late if what was added begins as what follows.
		found := false
		for ; at >= 0 && !found; at-- {
			found = got[at+added:] == message[at:]
		}
		if added < 0 || !found {
			t.Errorf("%q became %q", message, got)
		}
		if strings.HasSuffix(message, "\n") {
			if twice := complete("joe@me.example", got, len(got)); twice != got {
				t.Errorf("%q was complete and became %q", got, twice)
			}
		}
	})
}
