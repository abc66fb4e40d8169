package inject

import (
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/prog"
	"quail/internal/rfc822"
)

// value is a setting that may be absent, which is not the same as empty.
type value struct {
	text string
	set  bool
}

// settings is what environment, control files and the system say.
type settings struct {
	now time.Time
	pid int

	names  rfc822.Names
	idHost string // right of the @ in Message-ID

	user string // of the From field
	host value
	name value // the user's full name

	senderUser string // of the default envelope sender
	senderHost value

	nameAsComment bool
	perMessage    bool // variable sender: time and process id
	perRecipient  bool // variable sender: qmail-send puts the recipient in
	dropped       map[string]bool
	mailingLists  control.Map // addresses that ask for Mail-Followup-To
}

// readSettings reads the environment, which wins over control files.
func readSettings(p *prog.Process) (*settings, error) {
	s := &settings{now: p.Now().UTC(), pid: p.PID}
	s.readLetters(p.Env.Get("QMAILINJECT"))
	s.user = first(p.Env, "QMAILUSER", "MAILUSER", "USER", "LOGNAME").or("anonymous")
	s.host = first(p.Env, "QMAILHOST", "MAILHOST")
	s.name = first(p.Env, "QMAILNAME", "MAILNAME", "NAME")
	s.senderUser = first(p.Env, "QMAILSUSER").or(s.user)
	if s.senderHost = first(p.Env, "QMAILSHOST"); !s.senderHost.set {
		s.senderHost = s.host
	}
	if err := s.readMailingLists(p); err != nil {
		return nil, err
	}
	return s, s.readNames(p.Env)
}

// readLetters reads QMAILINJECT. Letters without a meaning are for somebody else.
func (s *settings) readLetters(letters string) {
	s.dropped = map[string]bool{"content-length": true}
	for _, letter := range letters {
		switch letter {
		case 'c':
			s.nameAsComment = true
		case 's':
			s.dropped["return-path"] = true
		case 'f':
			s.dropped["from"] = true
		case 'i':
			s.dropped["message-id"] = true
		case 'm':
			s.perMessage = true
		case 'r':
			s.perRecipient = true
		}
	}
}

// readMailingLists reads the file that QMAILMFTFILE names. An absent file is an
// empty one.
func (s *settings) readMailingLists(p *prog.Process) error {
	name, set := p.Env.Lookup("QMAILMFTFILE")
	if !set || name == "" {
		return nil
	}
	var err error
	if s.mailingLists, _, err = control.Dir("").Set(p.Path(name)); err != nil {
		return errRead
	}
	return nil
}

// readNames reads what completes addresses.
func (s *settings) readNames(env prog.Env) error {
	lines := control.Lines{Dir: control.In(conf.Home)}
	var host, domain, plus string
	for _, n := range []struct {
		to             *string
		variable, file string
	}{
		{&domain, "QMAILDEFAULTDOMAIN", "defaultdomain"},
		{&host, "QMAILDEFAULTHOST", "defaulthost"},
		{&plus, "QMAILPLUSDOMAIN", "plusdomain"},
		{&s.idHost, "QMAILIDHOST", "idhost"},
	} {
		var err error
		if v := first(env, n.variable); v.set {
			*n.to = v.text
		} else if *n.to, err = lines.Or(n.file, n.file); err != nil {
			return errRead
		}
	}
	var err error
	if s.names, err = rfc822.NewNames(host, domain, plus); err != nil {
		return prog.Perm(err)
	}
	return nil
}

// first returns the first of the variables that is set.
func first(env prog.Env, names ...string) value {
	for _, name := range names {
		if text, set := env.Lookup(name); set {
			return value{text, true}
		}
	}
	return value{}
}

func (v value) or(text string) string {
	if v.set {
		return v.text
	}
	return text
}
