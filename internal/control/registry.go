package control

// Kind says how a control file is read.
type Kind int

const (
	// KindLine is a file whose first line is the value.
	KindLine Kind = iota
	// KindNumber is a file whose first line begins with the value in decimal.
	KindNumber
	// KindList is a file with one item a line.
	KindList
	// KindCompiled is a cdb file that a program makes from another control file.
	KindCompiled
	// KindSecrets is a list whose items end in secrets, which only its owner may read.
	KindSecrets
	// KindPEM is certificates, perhaps with keys, in the usual form of text.
	KindPEM
)

// Me as a Default means that an absent file stands for what the file me says.
const Me = "me"

// Setting is one control file.
type Setting struct {
	Name    string
	Kind    Kind
	Default string // what an absent file stands for; "" is no value at all
	Readers string // the programs that read it, separated by blanks; "all" for the whole suite
	New     bool   // qmail has no such file, so qmail-showctl says nothing where it is absent

	// What qmail-showctl says of it (spec "Administrative tools", section 4). Other
	// software reads this, so it is kept to the byte. %s is a value or, in a list,
	// one item.
	Text   string
	Absent string // of a file that is not there, if it is not Text with the default
}

// Registry lists every control file, in the order qmail-showctl prints them. The
// tables of README.md and control/README.md are compared with it, and so are the
// names and defaults that the programs ask for.
var Registry = []Setting{
	{Name: "badmailfrom", Kind: KindList, Readers: "qmail-smtpd",
		Text: "%s not accepted in MAIL FROM.", Absent: "Any MAIL FROM is allowed."},
	{Name: "bouncefrom", Default: "MAILER-DAEMON", Readers: "qmail-send",
		Text: "Bounce user name is %s."},
	{Name: "bouncehost", Default: Me, Readers: "qmail-send",
		Text: "Bounce host name is %s."},
	{Name: "concurrencylocal", Kind: KindNumber, Default: "10", Readers: "qmail-send",
		Text: "Local concurrency is %s."},
	{Name: "concurrencyremote", Kind: KindNumber, Default: "20", Readers: "qmail-send",
		Text: "Remote concurrency is %s."},
	{Name: "databytes", Kind: KindNumber, Default: "0", Readers: "qmail-smtpd qmail-qmtpd",
		Text: "SMTP DATA limit is %s bytes."},
	{Name: "defaultdomain", Default: Me, Readers: "qmail-inject dot-forward newaliases newinclude",
		Text: "Default domain name is %s."},
	{Name: "defaulthost", Default: Me, Readers: "qmail-inject dot-forward newaliases newinclude",
		Text: "Default host name is %s."},
	{Name: "doublebouncehost", Default: Me, Readers: "qmail-send",
		Text: "2B recipient host: %s."},
	{Name: "doublebounceto", Default: "postmaster", Readers: "qmail-send",
		Text: "2B recipient user: %s."},
	{Name: "envnoathost", Default: Me, Readers: "qmail-send",
		Text: "Presumed domain name is %s."},
	{Name: "helohost", Default: Me, Readers: "qmail-remote",
		Text: "SMTP client HELO host name is %s."},
	{Name: "idhost", Default: Me, Readers: "qmail-inject qmail-smtpd",
		Text: "Message-ID host name is %s."},
	{Name: "localiphost", Default: Me, Readers: "qmail-smtpd",
		Text: "Local IP address becomes %s."},
	{Name: "locals", Kind: KindList, Default: Me, Readers: "qmail-send qmail-smtpd",
		Text: "Messages for %s are delivered locally.", Absent: "Messages for me are delivered locally."},
	{Name: Me, Readers: "all",
		Text: "My name is %s.", Absent: "My name is undefined! Uh-oh."},
	{Name: "percenthack", Kind: KindList, Readers: "qmail-send",
		Text: "The percent hack is allowed for user%%host@%s.", Absent: "The percent hack is not allowed."},
	{Name: "plaintextauth", Kind: KindNumber, Default: "0", New: true, Readers: "qmail-smtpd",
		Text: "SMTP AUTH: passwords without TLS (1 is yes): %s."},
	{Name: "plusdomain", Default: Me, Readers: "qmail-inject dot-forward newaliases newinclude",
		Text: "Plus domain name is %s."},
	{Name: "qmqpservers", Kind: KindList, Readers: "qmail-qmqpc",
		Text: "QMQP server: %s.", Absent: "No QMQP servers."},
	{Name: "queuelifetime", Kind: KindNumber, Default: "604800", Readers: "qmail-send",
		Text: "Message lifetime in the queue is %s seconds."},
	{Name: "rcpthosts", Kind: KindList, Readers: "qmail-smtpd qmail-qmtpd",
		Text: "SMTP clients may send messages to recipients at %s.", Absent: "SMTP clients may send messages to any recipient."},
	{Name: "morercpthosts", Kind: KindList, Readers: "qmail-newmrh",
		Text: "SMTP clients may send messages to recipients at %s.", Absent: "No effect."},
	{Name: "morercpthosts.cdb", Kind: KindCompiled, Readers: "qmail-smtpd qmail-qmtpd",
		Absent: "No effect."},
	{Name: "remotelimits", Kind: KindList, New: true, Readers: "qmail-remote",
		Text: "Limit on remote deliveries: %s", Absent: "No limits on deliveries to one host."},
	{Name: "remotesecrets", Kind: KindSecrets, New: true, Readers: "qmail-remote",
		Text: "SMTP client has a secret for %s.", Absent: "SMTP client has no secrets."},
	{Name: "senderlogins", Kind: KindList, New: true, Readers: "qmail-smtpd",
		Text: "Sender and who may use it: %s", Absent: "Who logs in to submit mail is its sender."},
	{Name: "servercert.pem", Kind: KindPEM, New: true, Readers: "qmail-keys",
		Text: "Servers show %s where tlscerts names no others.", Absent: "No certificate."},
	{Name: "smtpgreeting", Default: Me, Readers: "qmail-smtpd",
		Text: "SMTP greeting: 220 %s."},
	{Name: "smtproutes", Kind: KindList, Readers: "qmail-remote",
		Text: "SMTP route: %s", Absent: "No artificial SMTP routes."},
	{Name: "submissionlimits", Kind: KindList, New: true, Readers: "qmail-authd",
		Text: "Limit on submissions an hour: %s", Absent: "No limits on submissions."},
	{Name: "timeoutconnect", Kind: KindNumber, Default: "60", Readers: "qmail-remote",
		Text: "SMTP client connection timeout is %s seconds."},
	{Name: "timeoutremote", Kind: KindNumber, Default: "1200", Readers: "qmail-remote",
		Text: "SMTP client data timeout is %s seconds."},
	{Name: "timeoutsmtpd", Kind: KindNumber, Default: "1200", Readers: "qmail-smtpd",
		Text: "SMTP server data timeout is %s seconds."},
	{Name: "tlscas", Kind: KindPEM, New: true, Readers: "qmail-remote",
		Text: "SMTP client trusts %s here and no other authority.", Absent: "SMTP client trusts the authorities of the system."},
	{Name: "tlscerts", Kind: KindList, New: true, Readers: "qmail-keys",
		Text: "Servers show a certificate: %s", Absent: "Servers show servercert.pem, if it is there."},
	{Name: "tlsroutes", Kind: KindList, New: true, Readers: "qmail-remote",
		Text: "SMTP client TLS: %s", Absent: "SMTP client uses TLS where it can."},
	{Name: "virtualdomains", Kind: KindList, Readers: "qmail-send",
		Text: "Virtual domain: %s", Absent: "No virtual domains."},
}

// Find returns the setting of that name.
func Find(name string) (s Setting, ok bool) {
	for _, s := range Registry {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}
