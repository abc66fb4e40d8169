// Package pop3 is the form in which a POP3 client and its server speak: command
// lines one way, replies and messages the other. See spec "Receiving mail",
// sections 9 and 11, and RFC 1939.
//
// The client may be anybody's until it has logged in, and the message anybody's
// after that. Neither decides how much memory is used: a command line has a limit,
// and a message is never held as a whole, nor is one of its lines.
package pop3

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"quail/internal/mailaddr"
)

// MaxLine is how long a command line may be. It leaves room for any name and
// password that a checkpassword takes, which are 512 bytes together.
//
// Differs from qmail, which is limited by its memory alone.
const MaxLine = 16 << 10

// ErrLong says that a command line is longer than MaxLine.
var ErrLong = errors.New("command line too long")

// Command is a command line taken apart.
type Command struct {
	Verb string // in lower case
	Arg  string // the rest of the line, without the blanks before it
}

// ReadCommand reads one command line, which ends with LF or CR LF, and nothing
// behind it. The text of a line ends at its first NUL. A last line without its end
// is no command: the error is that of r.
func ReadCommand(r io.ByteReader) (Command, error) {
	var line []byte
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return Command{}, err
		case c == '\n':
			return parse(string(line)), nil
		case len(line) == MaxLine:
			return Command{}, ErrLong
		}
		line = append(line, c)
	}
}

func parse(line string) Command {
	line = strings.TrimSuffix(line, "\r")
	line, _, _ = strings.Cut(line, "\x00")
	verb, arg, _ := strings.Cut(line, " ")
	return Command{mailaddr.Lower(verb), strings.TrimLeft(arg, " ")}
}

// Replies that both servers give. The blank after OK is qmail's.
const (
	OK       = "+OK "
	Syntax   = "-ERR syntax error"
	NoMemory = "-ERR out of memory"
)

// Capabilities are those of qmail-pop3d, RFC 2449, which hold before the login as well.
var Capabilities = []string{"TOP", "UIDL", "PIPELINING", "EXPIRE NEVER"}

// CapabilityUTF8 says that UTF8 is understood before the login. It does not promise that
// names and passwords in UTF-8 are brought into one form (RFC 6856, section 2.2): they are
// compared as they are.
const CapabilityUTF8 = "UTF8"

// All is the number of lines that stands for all of them.
const All = ^uint64(0)

// Copy writes a stored message as a client gets it: LF becomes CR LF, also where
// there was a CR already, a line that begins with a dot gets another, and a last
// line without its end gets one. One more empty line follows, which is qmail's, and
// the dot that ends the text.
//
// The header and the empty line below it go out whole, of the lines after that only
// as many as lines says. What r fails with is returned as it is.
func Copy(w *bufio.Writer, r io.Reader, lines uint64) error {
	in := bufio.NewReaderSize(r, 16<<10)
	for inHeader := true; ; {
		if _, err := in.Peek(1); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if !inHeader {
			if lines == 0 {
				break
			}
			if lines != All {
				lines--
			}
		}
		empty, err := copyLine(w, in)
		if err != nil {
			return err
		}
		inHeader = inHeader && !empty
	}
	_, err := w.WriteString("\r\n.\r\n")
	return err
}

// copyLine copies one line, of any length, and reports whether nothing is in it.
func copyLine(w *bufio.Writer, in *bufio.Reader) (empty bool, err error) {
	for first := true; ; first = false {
		part, err := in.ReadSlice('\n')
		ended := err == nil
		if ended {
			part = part[:len(part)-1]
		}
		if first {
			empty = ended && len(part) == 0
			if len(part) > 0 && part[0] == '.' {
				w.WriteByte('.') // its error is met again by the next write
			}
		}
		if _, err := w.Write(part); err != nil {
			return false, err // now: the line may have no end
		}
		switch err {
		case nil, io.EOF:
			_, err := w.WriteString("\r\n")
			return empty, err
		case bufio.ErrBufferFull:
		default:
			return false, err
		}
	}
}
