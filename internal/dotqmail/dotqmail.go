// Package dotqmail owns the language of .qmail files and all that it promises to
// the programs named there: which file answers for an address, what its lines
// mean, the variables a program sees and what its exit status says back.
// See contract 9 and spec "Local delivery", sections 6 to 11.
//
// The lines are the recipient's own, but addresses, and so the extension that
// picks the file and most variables, are a stranger's choice. Nothing here opens a
// file: names and values are computed, and Names never yields one that leads out of
// the home directory through the extension.
package dotqmail

import (
	"bytes"
	"errors"
	"strings"
)

// Kind says what an instruction asks for.
type Kind int

// The instructions of a .qmail file. Comments and blank lines are none.
const (
	Mbox        Kind = iota // append to the file Text
	Maildir                 // deliver into the directory Text
	Program                 // give the message to the shell command Text
	Forward                 // send the message on to the address Text
	ForwardOnly             // from here on, Forward is all that is allowed
)

// Looping is what qmail-local says of a message that it finds has been here before.
const Looping = "This message is looping: it already has my Delivered-To line. (#5.4.6)"

// NoMaildir is what qmail-local says of a Maildir that is none.
const NoMaildir = "Unable to chdir to maildir. (#4.2.1)"

// Instruction is one line of a .qmail file that does something.
type Instruction struct {
	Kind Kind
	Text string // the line without its mark and trailing blanks; it may hold a NUL
}

// Arg returns the text as the system takes it: it ends at its first NUL.
func (i Instruction) Arg() string {
	arg, _, _ := strings.Cut(i.Text, "\x00")
	return arg
}

// String returns a line that parses to the instruction.
func (i Instruction) String() string {
	switch i.Kind {
	case Program:
		return "|" + i.Text
	case Forward:
		return "&" + i.Text
	case ForwardOnly:
		return "+list"
	default:
		return i.Text
	}
}

// ErrBlank says that the first line is blank. It is not taken for an empty set of
// instructions, which would throw mail away: somebody is probably editing.
var ErrBlank = errors.New("first line of .qmail file is blank")

// Blank is what qmail-local says of ErrBlank.
const Blank = "Uh-oh: first line of .qmail file is blank. (#4.2.1)"

// Line is one line of a .qmail file.
type Line struct {
	Number int    // from 1
	Text   string // without trailing blanks
	// Does says that the line is an Instruction, not blank, a comment or one of those
	// that are left to the future.
	Does bool
	Instruction
}

// Lines returns the lines of a .qmail file. A last line without its newline counts;
// the empty string after a last newline is none.
func Lines(body []byte) ([]Line, error) {
	var out []Line
	for n := 1; n == 1 || len(body) > 0; n++ {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		line = bytes.TrimRight(line, " \t")
		blank := len(line) == 0 || line[0] == 0
		if blank && n == 1 {
			return nil, ErrBlank
		}
		l := Line{Number: n, Text: string(line)}
		if !blank {
			l.Instruction, l.Does = parseLine(l.Text)
		}
		out = append(out, l)
	}
	return out, nil
}

// Parse returns the instructions of a .qmail file in their order.
func Parse(body []byte) ([]Instruction, error) {
	lines, err := Lines(body)
	var out []Instruction
	for _, l := range lines {
		if l.Does {
			out = append(out, l.Instruction)
		}
	}
	return out, err
}

// NotAllowed returns why an instruction is not carried out where forwarding alone is
// allowed, in the words of qmail-local's report; "" if it is.
func (i Instruction) NotAllowed() string {
	switch i.Kind {
	case Mbox, Maildir:
		return "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)"
	case Program:
		return "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)"
	default:
		return ""
	}
}

// parseLine returns the instruction of a line that is not blank, if it is one.
func parseLine(line string) (Instruction, bool) {
	switch line[0] {
	case '#':
		return Instruction{}, false
	case '.', '/':
		if line[len(line)-1] == '/' {
			return Instruction{Maildir, line}, true
		}
		return Instruction{Mbox, line}, true
	case '|':
		return Instruction{Program, line[1:]}, true
	case '+':
		// Other words after + are left to the future: silently nothing.
		i := Instruction{Kind: ForwardOnly, Text: line[1:]}
		return Instruction{Kind: ForwardOnly}, i.Arg() == "list"
	case '&':
		return Instruction{Forward, line[1:]}, true
	default:
		return Instruction{Forward, line}, true
	}
}

// Verdict is what the exit status of a program says about the delivery.
type Verdict int

// The verdicts, in the words of qmail-command(8).
const (
	Continue  Verdict = iota // delivered: go on with the next line
	Stop                     // delivered: ignore all further lines
	Permanent                // failed: return the message to its sender
	Temporary                // failed: try again later
)

// Judge returns the verdict of an exit status. Everything unlisted is temporary;
// the listed ones beside 100 are those of sysexits.h that cannot get better, and
// 112, which programs of qmail's used.
func Judge(status int) Verdict {
	switch status {
	case 0:
		return Continue
	case 99:
		return Stop
	case 100, 64, 65, 70, 76, 77, 78, 112:
		return Permanent
	default:
		return Temporary
	}
}
