package inject

import (
	"slices"
	"strconv"
	"strings"

	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/received"
	"quail/internal/rfc822"
)

// generate returns the fields that the message lacks, in the order in which they
// go before its own.
func (s *settings) generate(h *header) ([]string, error) {
	prefix := ""
	if h.resent {
		prefix = "Resent-"
	}
	missing := func(name string) bool { return !h.seen[mailaddr.Lower(prefix+name)] }
	var out []string
	add := func(field string) { out = append(out, prefix+field) }
	if missing("Date") {
		add("Date: " + received.Date(s.now) + "\n")
	}
	if missing("Message-ID") {
		add("Message-ID: <" + s.now.Format("20060102150405") + "." + strconv.Itoa(s.pid) + ".qmail@" + s.idHost + ">\n")
	}
	if missing("From") {
		from, err := s.fromField()
		if err != nil {
			return nil, err
		}
		add(from)
	}
	if missing("To") && missing("Cc") {
		add("Cc: recipient list not shown: ;\n")
	}
	if !h.resent && missing("Mail-Followup-To") && s.wantsFollowup(h.followup) {
		add(followupField(h.followup))
	}
	return out, nil
}

// fromField returns the From field of the user, completed as if it had been
// written in the message.
func (s *settings) fromField() (string, error) {
	user := rfc822.Token{Kind: rfc822.Atom, Text: s.user}
	if mailaddr.QuoteLocal(s.user) != s.user {
		user.Kind = rfc822.Quoted
	}
	address := user.String()
	if s.host.set {
		address += "@" + rfc822.Token{Kind: rfc822.Atom, Text: s.host.text}.String()
	}
	name := rfc822.Token{Kind: rfc822.Quoted, Text: s.name.text}
	switch {
	case s.name.set && s.nameAsComment:
		name.Kind = rfc822.Comment
		address += " " + name.String()
	case s.name.set:
		address = name.String() + " <" + address + ">"
	}
	field, err := rfc822.ParseField("From: "+address+"\n", s.names.Rewrite)
	if err != nil {
		return "", prog.Perm(err)
	}
	return field, nil
}

// wantsFollowup reports whether the message goes to a mailing list of the user's.
func (s *settings) wantsFollowup(list []string) bool {
	return slices.ContainsFunc(list, s.mailingLists.Has)
}

// followupField returns the Mail-Followup-To field: everybody in To and Cc, last
// found first, each on a line of its own.
func followupField(list []string) string {
	var b strings.Builder
	b.WriteString("Mail-Followup-To: ")
	for i, a := range slices.Backward(list) {
		b.WriteString(mailaddr.Quote(a))
		if i > 0 {
			b.WriteString(",\n  ")
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// sender returns the envelope sender.
func (s *settings) sender(o options, h *header) (string, error) {
	switch {
	case o.sender.set:
		return o.sender.text, nil
	case h.sender.set:
		return h.sender.text + s.verp(), nil
	}
	sender, err := s.defaultSender()
	return sender + s.verp(), err
}

// givenSender completes the sender of option -f, if there is one.
func (s *settings) givenSender(v value) (value, error) {
	if !v.set {
		return v, nil
	}
	sender, err := s.envelopeAddress(v.text)
	if err != nil {
		return v, prog.Perm(&rfc822.FieldError{Text: mailaddr.Quote(v.text)})
	}
	return value{sender, true}, nil
}

// verp is the ending that makes qmail-send put each recipient into the sender.
func (s *settings) verp() string {
	if s.perRecipient {
		return "-@[]"
	}
	return ""
}

// defaultSender returns the user's own address. The user is one word however it
// looks; the host is read as part of a header field would be.
func (s *settings) defaultSender() (string, error) {
	user := s.senderUser
	if s.perMessage {
		user += "-" + strconv.FormatInt(s.now.Unix(), 10) + "." + strconv.Itoa(s.pid)
	}
	if s.perRecipient {
		user += "-"
	}
	field := "Return-Path: " + rfc822.Token{Kind: rfc822.Quoted, Text: user}.String()
	if s.senderHost.set {
		field += "@" + rfc822.Token{Kind: rfc822.Atom, Text: s.senderHost.text}.String()
	}
	// Several addresses, from a host with a comma, count as they would in the
	// field: the rightmost is the sender.
	h := &header{}
	if _, err := h.addList(field+"\n", uses["return-path"], s); err != nil {
		return "", prog.Perm(err)
	}
	return h.sender.text, nil
}

// envelopeAddress completes an address given as an argument.
func (s *settings) envelopeAddress(text string) (string, error) {
	a, err := rfc822.ParseAddress(text)
	if err != nil {
		return "", err
	}
	return s.names.Rewrite(a).Envelope()
}
