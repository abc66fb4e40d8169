package remote

import (
	"bufio"
	"bytes"
	"slices"
	"strings"

	"quail/internal/mailaddr"
)

// maxReply is how much of one reply is kept; a longer one is read to its end and
// the rest forgotten.
const maxReply = 5000

// reply is what the server answered to one command.
type reply struct {
	code uint64
	text []byte // all its lines with their codes, without CR; cut at maxReply
}

// readReply reads one reply of any number of lines. Like the original it takes
// the first three bytes for digits, whatever they are, and a hyphen after them for
// the promise of another line, whose digits it does not look at: what is no digit
// makes a number that is not a success where it matters.
func readReply(in *bufio.Reader) (reply, error) {
	var r reply
	for range 3 {
		c, err := r.next(in)
		if err != nil {
			return reply{}, err
		}
		r.code = r.code*10 + uint64(c) - '0' // wraps below zero to a huge number
	}
	for {
		c, err := r.next(in)
		more := c == '-'
		for err == nil && c != '\n' {
			c, err = r.next(in)
		}
		for i := 0; err == nil && more && i < 3; i++ {
			_, err = r.next(in)
		}
		if err != nil {
			return reply{}, err
		}
		if !more {
			return r, nil
		}
	}
}

// next reads one byte and collects it.
func (r *reply) next(in *bufio.Reader) (byte, error) {
	c, err := in.ReadByte()
	if err == nil && c != '\r' && len(r.text) < maxReply {
		r.text = append(r.text, c)
	}
	return c, err
}

// said is the block of text that shows the reply in a report.
func (r *reply) said() string {
	if len(r.text) == 0 {
		return ""
	}
	return "Remote host said: " + strings.ReplaceAll(string(r.text), "\x00", "?")
}

// hide takes words out of the reply, and the beginnings of long ones.
func (r *reply) hide(words []string) {
	const enough = 8
	for _, word := range words {
		mark := []byte(word[:min(len(word), enough)])
		for at := 0; len(mark) > 0; {
			found := bytes.Index(r.text[at:], mark)
			if found < 0 {
				break
			}
			at += found
			end := 0
			for end < len(word) && at+end < len(r.text) && r.text[at+end] == word[end] {
				end++
			}
			r.text = slices.Replace(r.text, at, at+end, []byte("***")...)
			at += len("***")
		}
	}
}

// offers reports whether the reply to EHLO has a line for the extension keyword,
// which is given in lower case, and what else stands in that line.
func (r *reply) offers(keyword string) (parameters []string, ok bool) {
	lines := strings.Split(string(r.text), "\n")
	for _, line := range lines[1:] {
		if len(line) < 4 || line[:3] != "250" {
			continue
		}
		word, rest, _ := strings.Cut(line[4:], " ")
		if mailaddr.Lower(word) == keyword {
			return strings.Fields(rest), true
		}
	}
	return nil, false
}
