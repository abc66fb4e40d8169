package smtpd

import (
	"quail/internal/prog"
)

// startTLS makes the session one under TLS, RFC 3207. Where EHLO does not offer it the
// command is unknown, as it is to qmail.
func (s *session) startTLS(arg string) error {
	ready := s.tls == nil && s.sv.keys.Ready() == nil
	switch {
	case s.tls != nil:
		s.reply("503 there is TLS already (#5.5.1)")
	case !ready && s.offered&offersTLS == 0:
		s.reply(replyUnknown)
	case !ready:
		s.reply("454 TLS is not available now (#4.7.0)")
	case arg != "":
		s.reply("501 STARTTLS has no parameters (#5.5.4)")
	case s.mail:
		s.reply("503 not within a transaction (#5.5.1)")
	case len(s.unread) > 0:
		// Whoever sits between us and the client may have put it there, for us to take it
		// for the client's once that is protected.
		s.note("STARTTLS with more behind it in the clear: hung up")
		return s.die("554 nothing may follow STARTTLS but TLS (#5.5.1)")
	default:
		s.reply("220 ready for TLS")
		if err := s.flush(); err != nil {
			return err
		}
		return s.secure()
	}
	return nil
}

// secure begins TLS, and the session anew: nothing counts that was said before.
func (s *session) secure() error {
	conn, err := s.sv.keys.Handshake(s.clear, "")
	if err != nil {
		s.note("TLS failed: %s", said(err.Error()))
		return prog.Exit(1)
	}
	s.tls, s.conn = conn, conn
	s.forget()
	s.unclaim(len(s.helo))
	s.helo, s.greeted, s.offered, s.login = "", false, 0, nil
	s.policy = newPolicy(s.policy.config, s.policy.addresses, s.p.Env)
	return nil
}
