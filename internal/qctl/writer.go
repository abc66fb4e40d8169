package qctl

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/order"
	"quail/internal/prog"
)

// writer prints messages as they come.
type writer struct {
	p   *prog.Process
	out *bufio.Writer
	command
	status int // what the program will exit with
}

// message prints a message. What went wrong with one is a line on descriptor 2.
func (w *writer) message(m order.Message) {
	wrong := 0
	switch {
	case m.Outcome == order.Missing:
		wrong = prog.StatusPermanent
	case strings.HasPrefix(m.Outcome, order.Failed):
		wrong = prog.StatusTemporary
	}
	w.status = max(w.status, wrong)
	switch {
	case w.json:
		w.asJSON(m)
	case wrong != 0:
		fmt.Fprintf(w.p.Stderr, "%s: %d: %s\n", w.p.Name, m.ID, ascii.Printable(m.Outcome, '_'))
	case w.Verb.Changes() && !w.DryRun:
		fmt.Fprintf(w.out, "%d: %s\n", m.ID, ascii.Printable(m.Outcome, '_'))
	default:
		w.text(m)
	}
}

// text prints a line about a message, and if it is to be shown its recipients.
func (w *writer) text(m order.Message) {
	fmt.Fprintf(w.out, "%d  %s  %s  %d bytes  <%s>  %d left, %d done", m.ID, ascii.Printable(m.State, '_'), date(m.Birth), m.Size, ascii.Printable(m.Sender, '_'), m.Left, m.Done)
	if m.Bouncing {
		fmt.Fprint(w.out, ", bouncing")
	}
	if m.Outcome != "" {
		fmt.Fprint(w.out, "  ", ascii.Printable(m.Outcome, '_'))
	}
	fmt.Fprintln(w.out)
	if w.Verb != order.Show {
		return
	}
	for c, due := range m.Due {
		if due != 0 {
			fmt.Fprintf(w.out, "\t%s\tdue %s\n", order.Channels[c], date(due))
		}
	}
	for _, r := range m.Recipients {
		done := ""
		if r.Done {
			done = "  done"
		}
		fmt.Fprintf(w.out, "%s\t%s\t%s\n", done, ascii.Printable(r.Channel, '_'), ascii.Printable(r.Address, '_'))
	}
	if more := m.Left + m.Done - len(m.Recipients); more > 0 {
		fmt.Fprintf(w.out, "\tand %d more\n", more)
	}
}

func date(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2 Jan 2006 15:04:05 GMT")
}

// jsonMessage is a line of the listing for programs. Times are seconds of the clock.
type jsonMessage struct {
	ID         uint64           `json:"id"`
	State      string           `json:"state,omitempty"`
	Bytes      int64            `json:"bytes,omitempty"`
	Queued     int64            `json:"queued,omitempty"`
	Sender     *string          `json:"sender,omitempty"`
	Due        map[string]int64 `json:"due,omitempty"`
	Left       int              `json:"left"`
	Done       int              `json:"done"`
	Bouncing   bool             `json:"bouncing,omitempty"`
	Recipients []jsonRecipient  `json:"recipients,omitempty"`
	Outcome    string           `json:"outcome,omitempty"`
}

type jsonRecipient struct {
	Channel string `json:"channel,omitempty"`
	Address string `json:"address"`
	Done    bool   `json:"done"`
}

// asJSON prints a message as one line. Bytes of an address that are not UTF-8 come out
// as U+FFFD.
func (w *writer) asJSON(m order.Message) {
	line := jsonMessage{ID: m.ID, State: m.State, Bytes: m.Size, Queued: m.Birth, Left: m.Left, Done: m.Done, Bouncing: m.Bouncing, Outcome: m.Outcome}
	if m.State != "" {
		line.Sender = &m.Sender
	}
	for c, due := range m.Due {
		if due != 0 {
			if line.Due == nil {
				line.Due = map[string]int64{}
			}
			line.Due[order.Channels[c]] = due
		}
	}
	for _, r := range m.Recipients {
		line.Recipients = append(line.Recipients, jsonRecipient(r))
	}
	b, err := json.Marshal(line)
	if err != nil { // it has nothing that could not be said
		return
	}
	w.out.Write(append(b, '\n'))
}
