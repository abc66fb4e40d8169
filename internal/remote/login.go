package remote

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/nexthop"
	"quail/internal/sasl"
	"quail/internal/tlsbinding"
)

// Replies to AUTH (RFC 4954).
const (
	loggedIn  = 235
	challenge = 334
)

const (
	// maxCommand is how long a command may be with its CRLF (RFC 5321, 4.5.3.1.4). A
	// longer AUTH sends its first message as an answer.
	maxCommand = 512
	// maxRounds is more challenges than any mechanism has.
	maxRounds = 10
)

// secretFor reads the secret of a target's user. It is read for each session, and not
// kept.
func secretFor(t nexthop.Target) (string, verdict) {
	lines, _, err := control.In(conf.Home).Secrets("remotesecrets")
	if errors.Is(err, control.ErrExposed) {
		return "", verdict("ZUnable to use control/remotesecrets: " + control.ErrExposed.Error() + ". (#4.3.0)\n")
	}
	if err != nil {
		return "", "ZUnable to read control/remotesecrets: it has to belong to qmailr, with mode 0400. (#4.3.0)\n"
	}
	secret, ok := nexthop.FindSecret(lines, t)
	if !ok || secret == "" {
		return "", verdict("ZThere is no secret in control/remotesecrets for " + account(t) + ", which control/smtproutes names. (#4.3.0)\n")
	}
	return secret, ""
}

// account names a user at a relay in a report.
func account(t nexthop.Target) string {
	return ascii.Printable(t.User, '?') + " at " + ascii.Printable(t.Host, '?')
}

// login proves to the server who sends, if it is to be told. Whatever prevents that
// is temporary: passwords are the administrator's to mend, not the sender's.
func (s *session) login() (verdict, error) {
	if s.terms.user == "" {
		return "", nil
	}
	if len(s.auth) == 0 {
		return s.noLogin("it offers no AUTH"), nil
	}
	o := sasl.ClientOptions{Host: s.terms.name, TLS: s.secure != nil}
	rand.Read(o.Random[:])
	if s.secure != nil {
		state := s.secure.ConnectionState()
		o.Bindings = tlsbinding.Of(&state, state.PeerCertificates[0])
	}
	name, client, err := sasl.NewClient(s.auth, s.terms.user, s.terms.secret, o)
	switch {
	case errors.Is(err, sasl.ErrFormat):
		return s.noLogin("that name or secret can be nobody's"), nil
	case err != nil:
		why := "of its mechanisms none will do: " + ascii.Printable(strings.Join(s.auth, " "), '?')
		if s.secure == nil {
			why += " (without TLS)"
		}
		return s.noLogin(why), nil
	}
	code, err := s.exchange(name, client)
	switch {
	case errors.Is(err, errNonsense):
		return s.noLogin(name + " makes no sense as it speaks it"), nil
	case err != nil:
		return "", err
	case code != loggedIn:
		return s.says("ZConnected to ", " but it refused the secret of "+account(s.target)+" in control/remotesecrets"), nil
	case !client.Done():
		return s.noLogin("it agreed to " + name + " without knowing the secret"), nil
	}
	s.last = reply{}
	return "", nil
}

// noLogin is the verdict where there is no use in trying to log in.
func (s *session) noLogin(why string) verdict {
	return verdict("ZConnected to " + s.peer + " but " + why + ", so I can't log in as " + account(s.target) + ". (#4.7.0)\n")
}

// errNonsense is the error of an exchange that the client has cancelled.
var errNonsense = errors.New("the server does not keep to the mechanism")

// exchange is AUTH up to the reply that ends it, of which nobody is told what has been
// said of the secret: there are servers that repeat a command which they refuse.
func (s *session) exchange(name string, client sasl.Client) (code uint64, err error) {
	command, first, err := begin(name, client)
	if err != nil {
		return 0, errNonsense
	}
	said := []string{s.terms.secret, base64.StdEncoding.EncodeToString([]byte(s.terms.secret))}
	said = append(said, strings.Fields(command)[2:]...)
	defer func() { s.last.hide(said) }()
	code, err = s.ask(command)
	for range maxRounds {
		if err != nil || code != challenge {
			return code, err
		}
		response := first
		if first == nil {
			response, err = respond(client, &s.last)
		}
		first = nil
		if err != nil {
			break
		}
		answer := base64.StdEncoding.EncodeToString(response)
		said = append(said, answer)
		code, err = s.ask(answer + "\r\n")
	}
	if _, err := s.ask("*\r\n"); err != nil {
		return 0, err
	}
	return 0, errNonsense
}

// begin returns the command AUTH, and the first message where that does not fit into it.
func begin(name string, client sasl.Client) (command string, first []byte, err error) {
	first, err = client.Next(nil)
	command = "AUTH " + name
	if first == nil || err != nil {
		return command + "\r\n", nil, err
	}
	initial := base64.StdEncoding.EncodeToString(first)
	if initial == "" {
		initial = "="
	}
	if whole := command + " " + initial + "\r\n"; len(whole) <= maxCommand {
		return whole, nil, nil
	}
	return command + "\r\n", first, nil
}

// respond reads a challenge and returns the client's answer.
func respond(client sasl.Client, r *reply) ([]byte, error) {
	line, _, whole := strings.Cut(string(r.text), "\n")
	if !whole {
		return nil, errNonsense // longer than what is kept of a reply
	}
	message, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[min(len(line), 4):]))
	if err != nil {
		return nil, err
	}
	if message == nil {
		message = []byte{} // not the first call
	}
	return client.Next(message)
}
