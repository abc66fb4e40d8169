package dotqmail

import (
	"strings"
	"time"

	"quail/internal/mailaddr"
	"quail/internal/received"
)

// Delivery is what is known about one delivery: the arguments of qmail-local.
type Delivery struct {
	User, Home  string
	Local, Host string // the recipient's address around its @
	Dash, Ext   string // what follows the user's name in Local, as the file names have it
	Sender      string // of the envelope; "" for a bounce, "#@[]" for a double bounce
}

// Recipient returns the address that is delivered to.
func (d Delivery) Recipient() string { return d.Local + "@" + d.Host }

// DeliveredTo returns the header line, newline included, that marks a message
// which has been here. It must stay one line whatever the address holds: loops are
// found by comparing it with the lines of the header.
func (d Delivery) DeliveredTo() string { return oneLine("Delivered-To: " + d.Recipient()) }

// ReturnPath returns the header line, newline included, that keeps the sender.
func (d Delivery) ReturnPath() string {
	return oneLine("Return-Path: <" + mailaddr.Quote(d.Sender) + ">")
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "_") + "\n" }

// FromLine returns the line, newline included, that begins a message in an mbox.
// Readers split it at blanks, so the sender has none there.
func (d Delivery) FromLine(t time.Time) string {
	sender := strings.NewReplacer(" ", "-", "\t", "-", "\n", "-").Replace(d.Sender)
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	return "From " + sender + " " + received.Ctime(t) + "\n"
}

// NewSender returns the sender of forwarded mail. owner and ownerDefault say
// whether the files Owner and OwnerDefault exist. Bounces keep their sender, or a
// bounce could make another one.
func (d Delivery) NewSender(owner, ownerDefault bool) string {
	switch {
	case !owner || !d.CanBounce():
		return d.Sender
	case ownerDefault:
		// qmail-send puts each recipient's address in place of the last "@[]".
		return d.Local + "-owner-@" + d.Host + "-@[]"
	default:
		return d.Local + "-owner@" + d.Host
	}
}

// CanBounce reports whether the message has a sender that is told of failures.
func (d Delivery) CanBounce() bool { return d.Sender != "" && d.Sender != "#@[]" }

// Variable is a name and its value in the environment of a program.
type Variable struct{ Name, Value string }

// Variables returns what programs find in their environment, apart from DEFAULT,
// which depends on the file (Name), and NEWSENDER. Values are raw: whoever writes
// to the address chose them.
func (d Delivery) Variables(t time.Time) []Variable {
	ext2 := afterHyphen(d.Ext)
	ext3 := afterHyphen(ext2)
	host2 := beforeDot(d.Host)
	host3 := beforeDot(host2)
	return []Variable{
		{"HOST", d.Host},
		{"HOME", d.Home},
		{"USER", d.User},
		{"LOCAL", d.Local},
		{"RECIPIENT", d.Recipient()},
		{"DTLINE", d.DeliveredTo()},
		{"SENDER", d.Sender},
		{"RPLINE", d.ReturnPath()},
		{"UFLINE", d.FromLine(t)},
		{"EXT", d.Ext},
		{"EXT2", ext2},
		{"EXT3", ext3},
		{"EXT4", afterHyphen(ext3)},
		{"HOST2", host2},
		{"HOST3", host3},
		{"HOST4", beforeDot(host3)},
	}
}

// afterHyphen returns what follows the first hyphen, or "".
func afterHyphen(s string) string {
	_, after, _ := strings.Cut(s, "-")
	return after
}

// beforeDot returns what precedes the last dot, or s without one.
func beforeDot(s string) string {
	if dot := strings.LastIndexByte(s, '.'); dot >= 0 {
		return s[:dot]
	}
	return s
}
