// Package maildirwatch shows on a terminal what is new in a Maildir.
//
// The messages are strangers', and a terminal obeys what it is sent: no byte of theirs
// gets there but printable ASCII. Of a message no more is read than is shown of it.
package maildirwatch

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/maildir"
	"quail/internal/prog"
	"quail/internal/rfc822"
)

// Interval is the time from one list to the next.
const Interval = 30 * time.Second

// What a VT100 takes for instructions.
const (
	clearScreen = "\x1b[;H\x1b[;J"
	bold        = "\x1b[1m"
	normal      = "\x1b[0m"
)

// Run is maildirwatch.
func Run(p *prog.Process) error {
	name, set := p.Env.Lookup("MAILDIR")
	if !set {
		return errors.New("MAILDIR not set")
	}
	dir := p.Path(name)
	out := bufio.NewWriter(p.Stdout) // a Maildir may have any number of messages
	for {
		if err := page(out, dir, p.Now()); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return prog.Fail("unable to write output", err)
		}
		time.Sleep(Interval)
	}
}

// page writes a whole screen: the messages in new of a Maildir. Writing to a terminal
// that has gone is an error at the next Flush.
func page(w *bufio.Writer, dir string, now time.Time) error {
	maildir.Clean(dir, now)
	entries, err := maildir.Scan(dir, now)
	if err != nil {
		var trouble *maildir.ScanError
		if errors.As(err, &trouble) {
			return prog.Fail("unable to scan $MAILDIR/"+trouble.Dir, trouble.Err)
		}
		return err
	}
	w.WriteString(clearScreen)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name, "new/") {
			continue
		}
		f, err := maildir.Open(dir, e)
		if err != nil {
			continue // its reader was faster
		}
		text, err := summary(f)
		f.Close()
		if err == nil {
			w.WriteString(text)
		}
	}
	return nil
}

// What is shown of a message, in bytes: of a field, and of subject and text together.
const (
	fieldWidth = 1000
	textWidth  = 158
	// headerSize is how much of a message is looked at for fields.
	headerSize = 1 << 16
)

// summary returns the lines for a message.
func summary(message io.Reader) (string, error) {
	head := make([]byte, headerSize)
	n, err := io.ReadFull(message, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	s := rfc822.NewScanner(bytes.NewReader(head[:n]))
	var returnPath, deliveredTo, from, subject string
	for s.Next() {
		name, value := rfc822.Split(s.Field())
		value = strings.TrimLeft(value+"\n", " \t\r\n")
		switch strings.ToLower(name) {
		case "return-path":
			returnPath = strings.TrimSuffix(value, "\n")
		case "delivered-to":
			deliveredTo = strings.TrimSuffix(value, "\n")
		case "from":
			from = strings.TrimSuffix(s.Field(), "\n")
		case "subject":
			subject += value
		}
	}
	text := make([]byte, textWidth)
	n, _ = io.ReadFull(s.Body(), text)
	var b strings.Builder
	fmt.Fprintf(&b, "FROM %s TO <%s>\n", shown(cmp.Or(returnPath, "?"), fieldWidth, '?'), shown(cmp.Or(deliveredTo, "?"), fieldWidth, '?'))
	if from != "" {
		fmt.Fprintf(&b, "%s%s%s\n", bold, shown(from, fieldWidth, '/'), normal)
	}
	fmt.Fprintf(&b, "%s\n\n", shown(subject+string(text[:n]), textWidth, '/'))
	return b.String(), nil
}

// shown returns the first width bytes of s, those that are not printable ASCII
// replaced.
func shown(s string, width int, by byte) string {
	return ascii.Printable(s[:min(len(s), width)], by)
}
