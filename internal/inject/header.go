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
		list, err := rfc822.ParseField(field, s.names.Rewrite)
		if err != nil && !u.recipient {
			return err
		}
		if !h.collect(u, list.Addresses) {
			return &rfc822.FieldError{Text: field}
		}
		if err == nil {
			field = list.Field
		}
	}
	if !u.removed {
		h.kept = append(h.kept, field)
	}
	return nil
}

// collect puts the addresses of a field where they belong and reports whether an
// envelope can hold them.
//
// Differs from qmail: a message to an address with a NUL or a line feed is
// refused. qmail cuts it at the NUL and mails the rest.
func (h *header) collect(u use, list []rfc822.Address) bool {
	for _, a := range list {
		envelope, err := a.Envelope()
		ok := err == nil
		if u.recipient && h.from.header {
			if !ok {
				return false
			}
			h.recipients[u.resent] = append(h.recipients[u.resent], envelope)
		}
		if u.sender && !h.sender.set {
			if !ok {
				return false
			}
			h.sender = value{envelope, true}
		}
		if u.followup && ok {
			h.followup = append(h.followup, envelope)
		}
	}
	return true
}
