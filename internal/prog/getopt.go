package prog

import (
	"fmt"
	"strconv"
	"strings"
)

// Getopt reads options the way qmail's private getopt does (spec README, "Option
// parsing"): letters may be bundled, an argument may be attached or the next
// word, any word beginning with two dashes ends the options and is swallowed, a
// lone dash or the first other word ends them and is kept.
//
//	g := p.Getopt("ab:")
//	for g.Next() {
//		switch g.Opt {
//		case 'a': …
//		case 'b': … g.Arg …
//		default: return prog.Usage("…") // the reason is on stderr already
//		}
//	}
//	operands := g.Rest
type Getopt struct {
	Opt  byte     // the option just read; '?' after an error
	Arg  string   // its argument
	Rest []string // after the last Next: the operands

	p       *Process
	spec    string
	bundled string
}

// Getopt starts reading the options in p.Args; a letter in spec that is followed
// by a colon takes an argument.
func (p *Process) Getopt(spec string) *Getopt {
	return &Getopt{p: p, spec: spec, Rest: p.Args}
}

// Next reads one option and reports whether there was one.
func (g *Getopt) Next() bool {
	if g.bundled == "" && !g.nextWord() {
		return false
	}
	g.Opt, g.Arg = g.bundled[0], ""
	g.bundled = g.bundled[1:]
	at := strings.IndexByte(g.spec, g.Opt)
	if at < 0 || g.Opt == ':' {
		return g.complain("illegal option")
	}
	if at+1 == len(g.spec) || g.spec[at+1] != ':' {
		return true
	}
	g.Arg, g.bundled = g.bundled, ""
	if g.Arg == "" {
		if len(g.Rest) == 0 {
			return g.complain("option requires an argument")
		}
		g.Arg, g.Rest = g.Rest[0], g.Rest[1:]
	}
	return true
}

// Skip drops the rest of the word that the option just read stands in.
func (g *Getopt) Skip() { g.bundled = "" }

// nextWord moves to the next bundle of options.
func (g *Getopt) nextWord() bool {
	if len(g.Rest) == 0 || len(g.Rest[0]) < 2 || g.Rest[0][0] != '-' {
		return false
	}
	word := g.Rest[0]
	g.Rest = g.Rest[1:]
	if word[1] == '-' {
		return false
	}
	g.bundled = word[1:]
	return true
}

func (g *Getopt) complain(what string) bool {
	fmt.Fprintf(g.p.Stderr, "%s: %s -- %c\n", g.p.Name, what, g.Opt)
	g.Opt = '?'
	return true
}

// Number reads the digits that s begins with, as all numbers of options are read,
// and reports whether there are any. What does not fit is cut to what does.
func Number(s string) (n int, ok bool) {
	end := 0
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, false
	}
	n64, err := strconv.ParseUint(s[:end], 10, 31)
	if err != nil {
		return 1<<31 - 1, true
	}
	return int(n64), true
}
