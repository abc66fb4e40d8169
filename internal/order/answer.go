package order

import (
	"bufio"
	"strconv"
	"strings"
)

// States of a message in an answer.
const (
	StateTodo    = "todo"    // not preprocessed
	StateWaiting = "waiting" // for its next attempt
	StateInHand  = "in hand" // being delivered
	StateHeld    = "held"    // until it is released
	StateEnding  = "ending"  // no recipient is left
)

// What becomes of an order, for one message. A dry run puts Would before the verb.
const (
	Done    = "done"
	InHand  = "in hand: what is being delivered now still counts"
	Held    = "held: nothing but release moves it"
	NotHeld = "not held"
	Ending  = "ending: no recipient is left"
	Gone    = "gone meanwhile"
	Missing = "no such message"
	Would   = "would "
	Failed  = "failed: "
)

// Channels names the two ways out of the queue, in the order of Message.Due.
var Channels = [2]string{"local", "remote"}

// Recipient is one of a message's. Its channel is empty before the message has been
// preprocessed.
type Recipient struct {
	Channel, Address string
	Done             bool
}

// Message is what an answer says of one.
type Message struct {
	ID       uint64
	State    string
	Size     int64 // bytes
	Birth    int64 // seconds of the clock
	Sender   string
	Due      [2]int64 // by channel, seconds of the clock; 0 if it has nothing to do there
	Left     int      // recipients
	Done     int
	Bouncing bool
	// Recipients is for Show alone, MaxShown at most.
	Recipients []Recipient
	Outcome    string // for changes
}

// Append adds the bytes of a message.
func (m Message) Append(b []byte) []byte {
	number := func(kind byte, n int64) {
		if n != 0 {
			b = appendRecord(b, kind, strconv.FormatInt(n, 10))
		}
	}
	b = appendRecord(b, 'i', strconv.FormatUint(m.ID, 10))
	b = appendRecord(b, 'S', m.State)
	number('z', m.Size)
	number('b', m.Birth)
	b = appendRecord(b, 'F', m.Sender)
	number('l', m.Due[0])
	number('r', m.Due[1])
	number('n', int64(m.Left))
	number('k', int64(m.Done))
	if m.Bouncing {
		b = appendRecord(b, 'B', "")
	}
	for _, r := range m.Recipients {
		kind := byte('T')
		if r.Done {
			kind = 'D'
		}
		b = appendRecord(b, kind, r.Channel+" "+r.Address)
	}
	if m.Outcome != "" {
		b = appendRecord(b, 'o', m.Outcome)
	}
	return append(b, 0)
}

// End is what an answer ends with.
type End struct {
	Status int // exit status of the asker
	Text   string
}

// Append adds the bytes of the end.
func (e End) Append(b []byte) []byte {
	return appendRecord(b, 'E', strconv.Itoa(e.Status)+" "+e.Text)
}

// ReadAnswer reads one message of an answer, or its end.
func ReadAnswer(r *bufio.Reader) (m Message, end *End, err error) {
	for first := true; ; first = false {
		kind, text, err := readRecord(r)
		switch {
		case err != nil:
			return m, nil, err
		case first && kind == 'E':
			end, err := parseEnd(text)
			return m, end, err
		case first != (kind == 'i'):
			return m, nil, ErrFormat
		case kind == 0:
			return m, nil, nil
		}
		if err := m.set(kind, text); err != nil {
			return m, nil, err
		}
	}
}

func parseEnd(text string) (*End, error) {
	number, text, found := strings.Cut(text, " ")
	status, err := strconv.Atoi(number)
	if err != nil || !found || status < 0 || status > 255 {
		return nil, ErrFormat
	}
	return &End{status, text}, nil
}

func (m *Message) set(kind byte, text string) (err error) {
	switch kind {
	case 'i':
		m.ID, err = strconv.ParseUint(text, 10, 64)
	case 'S':
		m.State = text
	case 'z':
		m.Size, err = strconv.ParseInt(text, 10, 64)
	case 'b':
		m.Birth, err = strconv.ParseInt(text, 10, 64)
	case 'F':
		m.Sender = text
	case 'l':
		m.Due[0], err = strconv.ParseInt(text, 10, 64)
	case 'r':
		m.Due[1], err = strconv.ParseInt(text, 10, 64)
	case 'n':
		m.Left, err = strconv.Atoi(text)
	case 'k':
		m.Done, err = strconv.Atoi(text)
	case 'B':
		m.Bouncing = true
	case 'T', 'D':
		channel, address, found := strings.Cut(text, " ")
		if !found || len(m.Recipients) == MaxShown {
			return ErrFormat
		}
		m.Recipients = append(m.Recipients, Recipient{channel, address, kind == 'D'})
	case 'o':
		m.Outcome = text
	default:
		return ErrFormat
	}
	if err != nil {
		return ErrFormat
	}
	return nil
}
