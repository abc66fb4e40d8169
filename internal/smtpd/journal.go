package smtpd

import (
	"fmt"
	"os"
	"strings"

	"quail/internal/ascii"
)

// Bounds on what a client can have written into the log.
const (
	maxNotes = 50  // lines of a session
	maxShown = 200 // bytes of an address, a name or a reason
)

// note writes a line of the log on descriptor 2: one for each refusal for lack of a right,
// each login, and each message that a login by POP let through.
//
//	qmail-smtpd: pid 4711 from 192.0.2.9: refused sender=<a@b> recipient=<c@d>: there is no control/rcpthosts
//
// What others chose is in it with ? for every byte that could be something else than a
// letter on a terminal, or divide the line otherwise. An inetd that has put the client on
// descriptor 2 as well must not have it told there.
//
// Differs from qmail: which says nothing to anybody but the client.
func (s *session) note(format string, args ...any) {
	s.notes++
	if s.notes > maxNotes || s.p.Stderr == nil || !s.p.Warm && sameFile(s.p.Stdout, s.p.Stderr) {
		return
	}
	text := fmt.Sprintf(format, args...)
	if s.notes == maxNotes {
		text = "no more of this session is logged"
	}
	from := "unknown"
	if ip := s.p.Env.Get("TCPREMOTEIP"); ip != "" {
		from = shown(ip)
	}
	fmt.Fprintf(s.p.Stderr, "%s: pid %d from %s: %s\n", s.p.Name, s.p.PID, from, text)
}

func sameFile(a, b *os.File) bool {
	one, err := a.Stat()
	if err != nil {
		return false
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other)
}

// shown makes a string of a stranger's fit for the log.
func shown(s string) string {
	more := ""
	if len(s) > maxShown {
		s, more = s[:maxShown], "..."
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" <>=", r) {
			return '?'
		}
		return r
	}, ascii.Printable(s, '?')) + more
}

// said makes a text of several words, such as an error's, fit for the log.
func said(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return ascii.Printable(text, '?')
}

// rights says who the client is known to be, for the end of a line: by AUTH, and by a
// login by POP or IMAP before this session, which relay-ctrl-check tells where it lets the
// client relay. Otherwise USER is whoever has started tcpserver.
func (s *session) rights() string {
	var b strings.Builder
	if s.login != nil {
		b.WriteString(" login=" + shown(s.login.name))
	}
	for _, name := range [...]string{"USER", "DOMAIN"} {
		if value, set := s.p.Env.Lookup(name); set && s.policy.byAddress {
			b.WriteString(" " + strings.ToLower(name) + "=" + shown(value))
		}
	}
	return b.String()
}

// refused notes that a client wanted what it has no right to. The recipient is left out
// where it is about the sender.
func (s *session) refused(sender, recipient, why string) {
	to := ""
	if recipient != "" {
		to = " recipient=<" + shown(recipient) + ">"
	}
	s.note("refused sender=<%s>%s%s: %s", shown(sender), to, s.rights(), why)
}

// passed notes a message that was taken for other hosts since its sender read mail
// before by POP or IMAP.
func (s *session) passed(sender string, recipients, qp int) {
	_, user := s.p.Env.Lookup("USER")
	_, domain := s.p.Env.Lookup("DOMAIN")
	if s.policy.byAddress && s.login == nil && (user || domain) {
		s.note("relayed sender=<%s> recipients=%d qp=%d%s", shown(sender), recipients, qp, s.rights())
	}
}
