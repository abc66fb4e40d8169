// Package authwire owns the bytes on HOME/auth/login: what a server that faces the
// network, such as qmail-smtpd, asks of qmail-auth, and what that answers.
//
// Both ways go messages, each a netstring. Its contents are a letter and then fields, a
// letter and a netstring each, of which all but b come at most once and those with
// nothing to say are left out. Numbers are decimal. A question is
//
//	M  which mechanisms may be offered?      request
//	B  begin an exchange                     request, m mechanism, d initial response
//	C  go on with it                         d response
//	S  may this much be submitted?           request, u login, n messages, r recipients
//
// where a request is s service, i address of the client, l address of this host, t that
// there is TLS, p that passwords may come without it, and b for each channel binding: its
// type, a colon, its bytes. An answer is
//
//   - a challenge     d
//     y  yes             u login, d what a mechanism says at its end
//     n  no              x text
//     l  later           x text
//     f  bad form        x text
//     m  mechanisms      x names, with blanks between them, the one to be offered first first
//
// Field d is there, if empty, where there is such a response; its absence is another
// thing. Every question has one answer. B in the middle of an exchange ends that.
//
// The server has just been spoken to by anybody and may be anybody's: qmail-auth believes
// what it says of the client, as there is nobody else to ask, and holds against it that
// every byte is checked and every length bounded here. What qmail-auth says is checked as
// well.
package authwire

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"quail/internal/conf"
	"quail/internal/netstring"
	"quail/internal/sasl"
)

// Path is where the socket is, below the home. Nobody but root and members of nofiles
// can reach into its directory, and nobody but root can put another one in its place.
const Path = conf.LoginSocket

// Limits.
const (
	MaxData     = 1 << 14 // bytes of a response, which RFC 4954 has at 12288 in base64, or a challenge
	MaxText     = 1 << 10 // bytes of any other field
	MaxBindings = 4
	maxMessage  = 2*MaxData + 16*MaxText
	maxNumber   = 1 << 30
)

// ErrFormat is a question, or an answer, that is none.
var ErrFormat = errors.New("not in form")

// Verb is what is asked.
type Verb byte

// The verbs.
const (
	Mechanisms Verb = 'M'
	Begin      Verb = 'B'
	Continue   Verb = 'C'
	Spend      Verb = 'S'
)

// Request is who the client is, and how it is connected.
type Request struct {
	Service   string // "smtp", "submission" or "pop3"
	IP, Local string // addresses of the client and of this host; "" where there is none
	TLS       bool
	PlainOK   bool // passwords may come without TLS
	Bindings  []sasl.Binding
}

// Question is what a server asks.
type Question struct {
	Verb       Verb
	Request    Request
	Mechanism  string
	Data       []byte // nil: there is none
	Login      string
	Messages   int
	Recipients int
}

// Kind is what an answer comes to.
type Kind byte

// The kinds of answers.
const (
	Challenge Kind = '+' // the client's turn
	Yes       Kind = 'y'
	No        Kind = 'n' // a wrong name or password
	Later     Kind = 'l' // nothing is known, or too much is asked for
	BadFormat Kind = 'f' // what the client sent is not what the mechanism has
	offer     Kind = 'm'
)

// Answer is what qmail-auth says.
type Answer struct {
	Kind  Kind
	Data  []byte // a challenge; with Yes what the client is still to be told, nil if nothing
	Login string // with Yes: who it is
	Text  string // with No, Later and BadFormat: why, for the log and for the client
}

// Offer is the answer to Mechanisms.
func Offer(names []string) Answer { return Answer{Kind: offer, Text: strings.Join(names, " ")} }

// Offered returns the names of an Offer, and whether it is one.
func (a Answer) Offered() ([]string, bool) { return strings.Fields(a.Text), a.Kind == offer }

// ProgramMechanisms are those that can be had of a checkpassword program.
var ProgramMechanisms = []string{"CRAM-MD5", "PLAIN", "LOGIN"}

// Allowed returns those of names that the client may use: none that shows its password to
// whoever listens, unless PlainOK says so, and none that is bound to a TLS connection
// whose bindings are not known.
func (r Request) Allowed(names []string) (allowed []string) {
	for _, name := range names {
		switch {
		case (name == "PLAIN" || name == "LOGIN") && !r.TLS && !r.PlainOK:
		case strings.HasSuffix(name, "-PLUS") && len(r.Bindings) == 0:
		default:
			allowed = append(allowed, name)
		}
	}
	return allowed
}

// Append adds the bytes of the question.
func (q Question) Append(b []byte) []byte {
	w := writer{[]byte{byte(q.Verb)}}
	if q.Verb != Continue {
		w.request(q.Request)
	}
	w.text('m', q.Mechanism)
	w.data(q.Data)
	w.text('u', q.Login)
	w.number('n', q.Messages)
	w.number('r', q.Recipients)
	return append(b, netstring.Format(string(w.b))...)
}

// Append adds the bytes of the answer.
func (a Answer) Append(b []byte) []byte {
	w := writer{[]byte{byte(a.Kind)}}
	w.data(a.Data)
	w.text('u', a.Login)
	w.text('x', a.Text)
	return append(b, netstring.Format(string(w.b))...)
}

// writer collects the contents of a message.
type writer struct{ b []byte }

func (w *writer) field(letter byte, text string) {
	w.b = append(append(w.b, letter), netstring.Format(text)...)
}

// text adds a field. What is only there to be read by people may be cut; anything else
// that is too long must not turn into something shorter, and is refused by the reader.
func (w *writer) text(letter byte, text string) {
	if letter == 'x' {
		text = text[:min(len(text), MaxText)]
	}
	if text != "" {
		w.field(letter, text)
	}
}

func (w *writer) data(data []byte) {
	if data != nil {
		w.field('d', string(data))
	}
}

func (w *writer) number(letter byte, n int) {
	if n != 0 {
		w.field(letter, strconv.Itoa(n))
	}
}

func (w *writer) flag(letter byte, set bool) {
	if set {
		w.field(letter, "")
	}
}

func (w *writer) request(r Request) {
	w.text('s', r.Service)
	w.text('i', r.IP)
	w.text('l', r.Local)
	w.flag('t', r.TLS)
	w.flag('p', r.PlainOK)
	for _, b := range r.Bindings {
		w.field('b', b.Type+":"+string(b.Data))
	}
}

// fields are the letters that each kind of message may have.
var (
	questionFields = map[byte]string{'M': "siltpb", 'B': "siltpbmd", 'C': "d", 'S': "siltpbunr"}
	answerFields   = map[byte]string{'+': "d", 'y': "du", 'n': "x", 'l': "x", 'f': "x", 'm': "x"}
)

// ReadQuestion reads a question. The end of r before one is io.EOF.
func ReadQuestion(r *bufio.Reader) (q Question, err error) {
	var verb byte
	err = read(r, questionFields, func(v byte) { verb = v }, func(letter byte, text string) bool { return q.set(letter, text) })
	if err != nil {
		return Question{}, err
	}
	q.Verb = Verb(verb)
	if (q.Verb == Begin) != (q.Mechanism != "") || q.Verb == Continue && q.Data == nil || q.Verb == Spend && q.Login == "" && q.Request.IP == "" {
		return Question{}, ErrFormat
	}
	return q, nil
}

// ReadAnswer reads an answer.
func ReadAnswer(r *bufio.Reader) (a Answer, err error) {
	err = read(r, answerFields, func(kind byte) { a.Kind = Kind(kind) }, func(letter byte, text string) bool {
		switch letter {
		case 'd':
			a.Data = []byte(text)
		case 'u':
			a.Login = text
		case 'x':
			a.Text = text
		}
		return true
	})
	if err == nil && (a.Kind == Challenge) && a.Data == nil {
		err = ErrFormat
	}
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

// read reads a message: its letter, which decides what fields there may be, and those.
func read(r *bufio.Reader, fields map[byte]string, begin func(byte), set func(byte, string) bool) error {
	message, err := netstring.Open(r)
	if err != nil {
		return form(err)
	}
	if message.Left() > maxMessage {
		return ErrFormat
	}
	letter, err := message.ReadByte()
	if err != nil && err != io.EOF { // which is an empty message
		return form(err)
	}
	allowed, known := fields[letter]
	if !known {
		return ErrFormat
	}
	begin(letter)
	var had []byte
	for message.Left() > 0 {
		letter, err := message.ReadByte()
		if err != nil {
			return form(err)
		}
		if strings.IndexByte(allowed, letter) < 0 || slices.Contains(had, letter) && letter != 'b' {
			return ErrFormat
		}
		had = append(had, letter)
		field, err := netstring.Open(message)
		if err != nil {
			return form(err)
		}
		text, fits, err := field.Text(most(letter))
		if err != nil {
			return form(err)
		}
		if !fits || text == "" && strings.IndexByte("dtp", letter) < 0 || !set(letter, text) {
			return ErrFormat
		}
	}
	return form(message.Close())
}

// most is how long a field may be.
func most(letter byte) int {
	if letter == 'd' {
		return MaxData
	}
	return MaxText
}

// form turns what netstrings may have against them into the one error for bad form.
func form(err error) error {
	if err == netstring.ErrFormat || err == netstring.ErrTooLong {
		return ErrFormat
	}
	return err
}

// set takes a field of a question.
func (q *Question) set(letter byte, text string) (ok bool) {
	ok = true
	switch letter {
	case 's':
		q.Request.Service = text
	case 'i':
		q.Request.IP = text
	case 'l':
		q.Request.Local = text
	case 't':
		q.Request.TLS, ok = true, text == ""
	case 'p':
		q.Request.PlainOK, ok = true, text == ""
	case 'b':
		kind, data, found := strings.Cut(text, ":")
		ok = found && kind != "" && len(q.Request.Bindings) < MaxBindings
		q.Request.Bindings = append(q.Request.Bindings, sasl.Binding{Type: kind, Data: []byte(data)})
	case 'm':
		q.Mechanism = text
	case 'd':
		q.Data = []byte(text)
	case 'u':
		q.Login = text
	case 'n':
		q.Messages, ok = number(text)
	case 'r':
		q.Recipients, ok = number(text)
	}
	return ok
}

// number reads a number that is more than zero, in the one way that it is written.
func number(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0 && n <= maxNumber && strconv.Itoa(n) == text
}
