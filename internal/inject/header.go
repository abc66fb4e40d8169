package inject

import (
	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/rfc822"
)

// use is what happens to a field.
type use struct {
	list      bool // an address list: parsed, completed, printed anew
	recipient bool // its addresses are recipients; a bad list is let pass
	followup  bool // its addresses count for Mail-Followup-To
	sender    bool // its first address is the envelope sender
	resent    bool // the message is being sent again
	removed   bool
}

// uses has the fields that mean something here; all others pass untouched. See
// spec "Local injection", section 4.
var uses = map[string]use{
	"to":            {list: true, recipient: true, followup: true},
	"cc":            {list: true, recipient: true, followup: true},
	"bcc":           {list: true, recipient: true, removed: true},
	"apparently-to": {list: true, recipient: true},

	"resent-to":  {list: true, recipient: true, resent: true},
	"resent-cc":  {list: true, recipient: true, resent: true},
	"resent-bcc": {list: true, recipient: true, resent: true, removed: true},

	"sender":            {list: true},
	"from":              {list: true},
	"reply-to":          {list: true},
	"return-receipt-to": {list: true},
	"errors-to":         {list: true},
	"return-path":       {list: true, sender: true, removed: true},

	"resent-sender":     {list: true, resent: true},
	"resent-from":       {list: true, resent: true},
	"resent-reply-to":   {list: true, resent: true},
	"resent-date":       {resent: true},
	"resent-message-id": {resent: true},
}

// header is what the message's own header says.
type header struct {
	from   source
	kept   []string // the fields to be passed on, as they will look
	seen   map[string]bool
	resent bool
	// recipients has those of the message and, under true, those to whom it
	// is sent again.
	recipients map[bool][]string
	followup   []string // of To and Cc, in the order found
	sender     value
}

// readHeader reads the header of message and rewrites its address fields.
func readHeader(message *rfc822.Scanner, s *settings, from source) (*header, error) {
	h := &header{seen: map[string]bool{}, recipients: map[bool][]string{}, from: from}
	for message.Next() {
		if err := h.add(message.Field(), s); err != nil {
			return nil, prog.Perm(err)
		}
	}
	switch message.Err() {
	case nil:
		return h, nil
	case rfc822.ErrTooLong:
		return nil, prog.Perm(rfc822.ErrTooLong)
	default:
		return nil, errRead
	}
}

// add takes one field in.
func (h *header) add(field string, s *settings) error {
	name, _ := rfc822.Split(field)
	name = mailaddr.Lower(name)
	if s.dropped[name] {
		return nil
	}
	h.seen[name] = true
	u := uses[name]
	h.resent = h.resent || u.resent
	if u.list {
		var err error
		if field, err = h.addList(field, u, s); err != nil {
			return err
		}
	}
	if !u.removed {
		h.kept = append(h.kept, field)
	}
	return nil
}

// addList completes the addresses of a field, puts them where they belong, and
// returns the field as it will look. Broken lists of recipients are let pass, with
// what they gave until they broke.
//
// Differs from qmail: a message to an address with a NUL or a line feed is
// refused. qmail cuts it at the NUL and mails the rest.
func (h *header) addList(field string, u use, s *settings) (string, error) {
	clean := true
	printed, err := rfc822.ParseField(field, func(a rfc822.Address) rfc822.Address {
		a = s.names.Rewrite(a)
		clean = h.collect(a, u) && clean
		return a
	})
	switch {
	case !clean:
		return "", &rfc822.FieldError{Text: field}
	case err == nil:
		return printed, nil
	case u.recipient:
		return field, nil
	default:
		return "", err
	}
}

// collect takes one address in and reports whether an envelope can hold it, if it
// must.
func (h *header) collect(a rfc822.Address, u use) bool {
	recipient := u.recipient && h.from.header
	sender := u.sender && !h.sender.set
	if !recipient && !sender && !u.followup {
		return true
	}
	envelope, err := a.Envelope()
	if err != nil {
		return !recipient && !sender
	}
	if recipient {
		h.recipients[u.resent] = append(h.recipients[u.resent], envelope)
	}
	if sender {
		h.sender = value{envelope, true}
	}
	if u.followup {
		h.followup = append(h.followup, envelope)
	}
	return true
}
