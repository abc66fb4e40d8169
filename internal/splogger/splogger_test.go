package splogger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// clock returns a clock that moves on by a microsecond a look.
func clock() func() time.Time {
	now := time.Unix(1795310910, 999_998_999).UTC()
	return func() time.Time {
		now = now.Add(time.Microsecond)
		return now
	}
}

// split returns the messages made of input, each as "PRIORITY TEXT".
func split(input string) []string {
	var got []string
	s := splitter{now: clock(), log: func(priority int, _ time.Time, text string) {
		got = append(got, fmt.Sprint(priority, " ", text))
	}}
	for i := range len(input) {
		s.put(input[i])
	}
	return got
}

func TestSplit(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	const first, second, third = "1795310910.999999", "1795310911.000000", "1795310911.000001"
	for _, c := range []struct {
		name, input string
		want        []string
	}{
		{"a line", "hello\n", []string{"6 " + first + " hello"}},
		{"priorities", "warning: x\nalert:\nWarning: x\n", []string{
			"4 " + first + " warning: x", "1 " + second + " alert:", "6 " + third + " Warning: x"}},
		{"not at the start", " alert: x\n", []string{"6 " + first + "  alert: x"}},
		{"empty lines", "\n\n\na\n\n", []string{"6 " + first + " a"}},
		{"unended", "a\nb", []string{"6 " + first + " a"}},
		{"unprintable", "\x00\t\x1f ~\x7f\x80\xff\r%s\n", []string{"6 " + first + " ??? ~????%s"}},
		{"just full", x(799) + "\n", []string{"6 " + first + " " + x(799)}},
		{"full and unended", x(799), nil},
		{"more than full and unended", x(800), []string{"6 " + first + " " + x(799)}},
		{"one too many", x(800) + "\n", []string{"6 " + first + " " + x(799), "6 " + first + "+x"}},
		{"twice full", x(1598) + "\na\n", []string{
			"6 " + first + " " + x(799), "6 " + first + "+" + x(799), "6 " + third + " a"}},
		{"three pieces", x(1599) + "\n", []string{
			"6 " + first + " " + x(799), "6 " + first + "+" + x(799), "6 " + first + "+x"}},
		{"priority stays", "alert: " + x(792) + "warning: a\n", []string{
			"1 " + first + " alert: " + x(792), "1 " + first + "+warning: a"}},
		{"priority is not that of a later piece", x(799) + "alert: a\n", []string{
			"6 " + first + " " + x(799), "6 " + first + "+alert: a"}},
		{"priority word cut", "aler\nt: x\n", []string{"6 " + first + " aler", "6 " + second + " t: x"}},
	} {
		got := split(c.input)
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %.100q, want %.100q", c.name, got, c.want)
		}
	}
}

// What comes out is what went in: the pieces of each line joined are the line,
// printable, whole, and none is longer than syslogd must take.
func FuzzSplit(f *testing.F) {
	f.Add("hello\n\nalert: x\n\xff")
	f.Add(strings.Repeat("x", 1700) + "\n" + strings.Repeat("y", 799) + "\n")
	f.Fuzz(func(t *testing.T, input string) {
		var lines []string
		for _, message := range split(input) {
			if i := strings.IndexFunc(message, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
				t.Errorf("unprintable: %q", message)
			}
			_, rest, _ := strings.Cut(message, " ") // priority
			at := strings.IndexAny(rest, " +")
			text := rest[at+1:]
			if text == "" || len(text) > maxPiece {
				t.Errorf("a piece of %d bytes", len(text))
			}
			if rest[at] == ' ' {
				lines = append(lines, "")
			}
			lines[len(lines)-1] += text
		}
		want := []byte(input[:strings.LastIndexByte(input, '\n')+1])
		for i, c := range want {
			if c != '\n' && (c < ' ' || c > '~') {
				want[i] = '?'
			}
		}
		var wantLines []string
		for _, line := range strings.Split(string(want), "\n") {
			if line != "" {
				wantLines = append(wantLines, line)
			}
		}
		tail := input[len(want):]
		if len(tail) > maxPiece {
			lines = lines[:len(lines)-1] // the full pieces of an unended line
		}
		if strings.Join(lines, "\n") != strings.Join(wantLines, "\n") {
			t.Errorf("%q came out as %q", input, lines)
		}
	})
}

func TestFacility(t *testing.T) {
	for word, want := range map[string]int{
		"0": 0, "2": 2, "16": 16, "3x": 3, "127": 127, // as the original
		"128": 1, "300": 1, "99999999999999999999": 1,
		"": 0, "mail": 0, "-1": 0,
	} {
		if got := facility(word); got != want {
			t.Errorf("facility(%q) = %d, want %d", word, got, want)
		}
	}
}
