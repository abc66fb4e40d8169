package explain

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"quail/internal/prog"
)

// Report is all that qmail-explain has to say: with --json, this document. Its
// fields are an interface and described in qmail-explain(8); fields may be added.
// Strings are made by show.
type Report struct {
	Sender    string     `json:"sender"`
	MaxDepth  int        `json:"max_depth"`
	Addresses []*Address `json:"addresses"`
	Status    int        `json:"status"`
}

// Address is what happens to a message for one address.
type Address struct {
	Address string `json:"address"`
	Depth   int    `json:"depth"` // of forwarding; 0 is an argument
	Result  Result `json:"result"`
	Reason  string `json:"reason,omitempty"` // in the words of the program that would say so
	Status  int    `json:"status"`

	Channel   string `json:"channel,omitempty"`   // local or remote
	Recipient string `json:"recipient,omitempty"` // the address as it goes there

	Steps    []Step     `json:"steps"`
	Forwards []*Address `json:"forwards,omitempty"`
}

// Result is what becomes of the message.
type Result string

// The results and their statuses. That of Forwarded is the best of its forwards'.
const (
	Delivered   Result = "delivered"    // 0: to a file or a program here
	Remote      Result = "remote"       // 0: taken to another host
	Forwarded   Result = "forwarded"    // to the addresses in Forwards, and nothing else
	Discarded   Result = "discarded"    // 0: delivered to nobody, without a complaint
	Bounced     Result = "bounced"      // 100
	Deferred    Result = "deferred"     // 111: tried again later, for as long as it stays so
	Unseen      Result = "unseen"       // 111: decided by what could not be seen from here
	NotFollowed Result = "not followed" // 0: a forward beyond what is followed
)

// Step is one thing that was looked at.
type Step struct {
	Step    string  `json:"step"`
	Outcome Outcome `json:"outcome"`
	File    string  `json:"file,omitempty"`  // that decides, below the home of Quail or the user's
	Line    int     `json:"line,omitempty"`  // of that file, where it is a .qmail file
	Match   string  `json:"match,omitempty"` // what was found in it, or asked for
	Value   string  `json:"value,omitempty"` // what that leads to
	Text    string  `json:"text"`            // the same for people
}

// Outcome is what a step means for the message.
type Outcome string

// The outcomes.
const (
	Applies Outcome = "applies" // it decides or changes something
	Passes  Outcome = "passes"  // it does not
	Refuses Outcome = "refuses" // it keeps the message from going on this way
	Hidden  Outcome = "unseen"  // what it would be cannot be seen from here
)

// show returns s for a terminal, a log or JSON: as it is if it consists of printable
// ASCII, else quoted as in Go. Addresses and .qmail files are strangers'.
func show(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// add appends a step, whose strings may hold anything.
func (a *Address) add(s Step) {
	s.File, s.Match, s.Value, s.Text = show(s.File), show(s.Match), show(s.Value), show(s.Text)
	a.Steps = append(a.Steps, s)
}

// end sets the result and its status.
func (a *Address) end(r Result, reason string) {
	a.Result, a.Reason = r, show(reason)
	switch r {
	case Bounced:
		a.Status = prog.StatusPermanent
	case Deferred, Unseen:
		a.Status = prog.StatusTemporary
	case Forwarded:
		a.Status = a.best()
	default:
		a.Status = 0
	}
}

// stop adds a step that ends the way of the message, and the result.
func (a *Address) stop(s Step, r Result) {
	s.Outcome = Refuses
	if r == Unseen {
		s.Outcome = Hidden
	}
	a.add(s)
	a.end(r, s.Text)
}

// best is the status of forwards of which one suffices: 0 if any has it, else
// temporary if any may yet get there.
func (a *Address) best() int {
	status := prog.StatusPermanent
	for _, f := range a.Forwards {
		switch f.Status {
		case 0:
			return 0
		case prog.StatusTemporary:
			status = f.Status
		}
	}
	return status
}

// worst is the status of addresses that all matter.
func worst(list []*Address) int {
	status := 0
	for _, a := range list {
		status = max(status, a.Status)
	}
	return status
}

// writeJSON prints the report as one document.
func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeText prints the report for people, a step a line.
func (r *Report) writeText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i, a := range r.Addresses {
		if i > 0 {
			fmt.Fprintln(b)
		}
		a.write(b)
	}
	return b.Flush()
}

func (a *Address) write(w io.Writer) {
	indent := strings.Repeat("    ", a.Depth)
	fmt.Fprintf(w, "%s%s\n", indent, a.Address)
	for _, s := range a.Steps {
		name := s.Step
		if s.Line > 0 {
			name = fmt.Sprintf("%s %d", name, s.Line)
		}
		text := s.Text
		if s.Outcome == Hidden {
			text = "NOT SEEN: " + text
		}
		fmt.Fprintf(w, "%s  %-15s %s\n", indent, name, text)
	}
	for _, f := range a.Forwards {
		f.write(w)
	}
	result := string(a.Result)
	if a.Reason != "" {
		result += ": " + a.Reason
	}
	fmt.Fprintf(w, "%s  = %s (%d)\n", indent, result, a.Status)
}
