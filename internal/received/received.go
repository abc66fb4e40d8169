// Package received writes the trace lines that programs put on top of a message,
// and the two forms of date that qmail uses. Only this package knows their bytes.
// See spec "The queue", section 6, and "Receiving mail", section 5.
//
// What a stranger chose (names from DNS, HELO, ident) reaches a header only
// through safe, which leaves nothing that could end a line or a comment.
package received

import (
	"fmt"
	"strings"
	"time"

	"quail/internal/mailaddr"
)

// Date returns the 822 date of t, "5 Jan 2026 04:46:54 -0000": always UTC,
// without weekday, the day of the month unpadded.
func Date(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04:05 -0000") }

// Ctime returns the date of a From_ line, "Mon Jan 05 04:46:54 2026": UTC, the
// day padded with a zero, unlike C's asctime.
func Ctime(t time.Time) string { return t.UTC().Format("Mon Jan 02 15:04:05 2006") }

// Queue returns qmail-queue's line. qp is the number of the job, who is one of
// the By functions' results.
func Queue(qp int, who string, t time.Time) string {
	return fmt.Sprintf("Received: (qmail %d invoked %s); %s\n", qp, who, Date(t))
}

// Who invoked qmail-queue, for Queue.
const (
	ByAlias     = "by alias"
	FromNetwork = "from network"
	ForBounce   = "for bounce"
)

// ByUID is the invoker that is none of the suite's own.
func ByUID(uid int) string { return fmt.Sprintf("by uid %d", uid) }

// Session is what a network server knows of its peer. Helo is shown if HasHelo and
// unless it equals Host but for ASCII case; Info is shown if HasInfo. Both may be
// empty and shown.
type Session struct {
	Protocol string // SMTP, QMTP, QMQP; ESMTPA, ESMTPS or ESMTPSA (RFC 3848) with AUTH, TLS or both
	// Secrecy is the version of TLS and the cipher, with a blank between them, or "".
	Secrecy  string
	Host, IP string // of the peer
	Info     string
	HasInfo  bool
	Helo     string
	HasHelo  bool
	Local    string // name or address of this host
}

// Network returns the two-line trace of a message that came by network.
func Network(s Session, t time.Time) string {
	var b strings.Builder
	b.WriteString("Received: from " + safe(s.Host))
	if s.HasHelo && mailaddr.Lower(s.Helo) != mailaddr.Lower(s.Host) {
		b.WriteString(" (HELO " + safe(s.Helo) + ")")
	}
	b.WriteString(" (")
	if s.HasInfo {
		b.WriteString(safe(s.Info) + "@")
	}
	b.WriteString(safe(s.IP) + ")\n  by " + safe(s.Local) + " with " + s.Protocol)
	if s.Secrecy != "" {
		b.WriteString(" (" + s.Secrecy + ")")
	}
	b.WriteString("; " + Date(t) + "\n")
	return b.String()
}

// safe replaces every byte that has no business in a host name or address.
func safe(s string) string {
	b := []byte(s)
	for i, c := range b {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte(".@%+/=:-[]", c) < 0 {
			b[i] = '?'
		}
	}
	return string(b)
}
