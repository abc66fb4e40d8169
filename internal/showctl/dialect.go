package showctl

import (
	"path"
	"slices"
	"strings"

	"quail/internal/control"
)

// Verdict says what it means that a control file of somebody else's is not read.
type Verdict int

// The verdicts. Those that come later are worse.
const (
	Understood Verdict = iota // another program than ours reads it, or it needs no reader
	Ignored                   // mail goes on without, in a way that hurts nobody
	Dangerous                 // mail is taken, sent, or lost sight of, that was not before
)

// opening is how the line about a file begins.
var opening = [...]string{
	Understood: "Understood: ",
	Ignored:    "Ignored here: ",
	Dangerous:  "DANGEROUS to ignore, and ignored here: ",
}

// Foreign is a control file, or several, that patched versions of qmail have.
type Foreign struct {
	Names   string // separated by blanks; * stands for anything
	From    string // who has it
	Verdict Verdict
	// Least is the number in the file from which on ignoring it is dangerous, for
	// files that hold a number. 0 is for all others.
	Least int
	Text  string // what it did and what to use instead, without the last full stop
}

const (
	// What several files have in common.
	filter  = "use a program in QMAILQUEUE's place, or a filter in front"
	inFront = "let a server in front of qmail-smtpd ask for them"
)

// Dialects lists the control files of patched versions of qmail that are in wide
// use, by the names under which they are found in a control directory. It is the
// one list of them.
var Dialects = []Foreign{
	// Files that need no reader among ours.
	{"defaultdelivery", "Life with qmail", Understood, 0, "the run script passes it to qmail-start"},
	{"concurrencysubmission", "Quail", Understood, 0, "rc.smtpd submission and submissions pass it to tcpserver"},
	{"concurrencyincoming concurrencysmtpd concurrencypop3d blacklists", "Life with qmail, qmailtoaster", Understood, 0, "run scripts pass it to tcpserver or rblsmtpd"},
	{"rules.smtpd.* rules.qmtpd.* tcp.smtp tcp.smtp.cdb", "s/qmail and others", Understood, 0, "rules, which tcprules compiles and tcpserver reads where its -x names them"},
	{"simcontrol simcontrol.cdb simversions simversions.cdb ssattach ssattach.cdb", "simscan", Understood, 0, "simscan reads it, in QMAILQUEUE's place"},
	{"*.lock", "vpopmail", Understood, 0, "vpopmail locks it while it edits the file of the same name"},
	{"*.sample", "packages", Understood, 0, "an example"},

	// Who may send, and to whom.
	{"badrcptto badrcptto.cdb badrcpttonorelay badrcptpatterns badmailto", "s/qmail, sagredo, indimail, badrcptto patches", Dangerous, 0,
		"recipients that were refused are taken; give them .qmail files with bouncesaying"},
	{"validrcptto validrcptto.cdb morevalidrcptto morevalidrcptto.cdb recipients", "sagredo, validrcptto patch, s/qmail, indimail", Dangerous, 0,
		"recipients that do not exist are taken and bounce later, to whoever is the forged sender; " + filter},
	{"chkrcptdomains goodrcptto goodrcptto.cdb goodrcptpatterns", "indimail, goodrcptto patch", Dangerous, 0,
		"recipients that do not exist are taken and bounce later; " + filter},
	{"badhelo badhelo.cdb badhelonorelay badhelopatterns", "s/qmail, sagredo, indimail", Dangerous, 0, "clients that were refused by what they say in HELO are let in; deny them by tcpserver's rules"},
	{"badmailfromnorelay badmailpatterns badmailfrom.cdb badmailfrom-unknown", "sagredo, indimail, qregex patch", Dangerous, 0,
		"senders that were refused are let in; list them in badmailfrom, which has no patterns"},
	{"badhost badip badip.cdb hostaccess badipaddrs", "indimail and others", Dangerous, 0, "clients that were refused are let in; deny them by tcpserver's rules"},
	{"accesslist authdomains", "indimail", Dangerous, 0, "who may write to whom is not limited; " + filter},
	{"blackholed*", "indimail", Dangerous, 0, "mail that was thrown away is delivered; use .qmail files with nothing but a comment"},
	{"mfcheck", "mfcheck patch, qmailtoaster", Dangerous, 1, "senders at domains that do not exist are let in; " + filter},
	{"nodnscheck", "indimail", Ignored, 0, "exceptions from a check that is not made"},
	{"dnsbllist", "sagredo, indimail", Dangerous, 0, "clients on DNS block lists are let in; use rblsmtpd in the run script"},
	{"dnsblfailclosed", "sagredo", Ignored, 0, "how a check fails that is not made; rblsmtpd has -C"},
	{"spfbehavior", "SPF patch, sagredo, indimail, qmailtoaster", Dangerous, 3, "no SPF check is made, so forged senders that were refused are let in; " + filter},
	{"spfexp spfguess spfrules spfignore", "SPF patch, sagredo, indimail", Ignored, 0, "how a check is made that is not made, see spfbehavior"},
	{"rejectnullsenders", "sagredo", Ignored, 0, "bounces that were refused are taken"},
	{"rejectrelaytest", "sagredo", Ignored, 0, "which answer tests for relaying get; they are refused as rcpthosts has it"},
	{"maxrcpt maxrecipients", "sagredo, indimail", Dangerous, 1, "the number of recipients is not limited; tcpserver -c and databytes are limits that there are"},
	{"brtlimit tarpitcount tarpitdelay earlytalkerdroptime", "sagredo, tarpit patch, indimail", Dangerous, 1, "who guesses recipients is not slowed down or cut off; limit connections by tcpserver"},
	{"relaymailfrom relaymailfrom.cdb relayclients relaydomains tlsclients", "indimail, TLS patch", Ignored, 0,
		"who may relay is refused; set RELAYCLIENT in tcpserver's rules, or have people log in by AUTH"},
	{"greylist.*", "indimail", Ignored, 0, "exceptions from a check that is not made"},
	{"etrnhosts", "indimail", Ignored, 0, "there is no ETRN"},

	// Contents.
	{"badmimetypes badmimetypes.cdb badloadertypes badloadertypes.cdb badext badextpatterns bodycheck signatures", "s/qmail, indimail, qmailtoaster", Dangerous, 0,
		"mail that was refused by its contents is taken; " + filter},
	{"qfilters smtpplugins", "sagredo, qmail-spp", Dangerous, 0, "programs that looked at mail are not run; name one in QMAILQUEUE"},
	{"filterargs spamfilter rejectspam spamredirect globalspamredirect", "sagredo, indimail", Dangerous, 0,
		"mail is delivered that a filter looked at; put the filter into .qmail files or QMAILQUEUE"},
	{"spamignore spamignore.cdb spamignorepatterns", "indimail", Ignored, 0, "exceptions from a filter that is not run"},
	{"surbldomain", "sagredo, indimail", Dangerous, 0, "mail with links to listed sites is taken; " + filter},
	{"surbldomainwhite surblrcpt cache cachelifetime level2-tlds level3-tlds", "sagredo, indimail", Ignored, 0, "details of surblfilter, which is no part of the suite"},
	{"taps mailarchive extraqueue quarantine", "taps patch, sagredo, indimail", Dangerous, 0, "no copies are made of mail; put a program that makes them into QMAILQUEUE"},
	{"removeheaders envheaders logheaders originipfield", "indimail", Ignored, 0, "header fields stay as they are; " + filter},
	{"from.envrules fromd.envrules rcpt.envrules auth.envrules domainqueue", "indimail", Dangerous, 0,
		"limits and filters that depend on addresses are not set; set variables in tcpserver's rules"},

	// TLS.
	{"servercerts certs", "sagredo, indimail", Ignored, 0, "certificates are those that tlscerts names"},
	{"clientca.pem clientcrl.pem", "TLS patch, sagredo, indimail", Dangerous, 0, "no certificate is asked of clients, none lets one relay; " + inFront + ", and set RELAYCLIENT there"},
	{"clientcert.pem domaincerts", "TLS patch, s/qmail, sagredo, indimail", Ignored, 0, "qmail-remote shows no certificate of its own; a route may lead to a relay that does"},
	{"tlshosts", "TLS patch, sagredo, indimail", Dangerous, 0,
		"mail for hosts that had to show a certificate is sent to whoever answers; write them into tlsroutes, with verify"},
	{"tlsdestinations tlsadomains", "s/qmail, indimail", Dangerous, 0, "mail for domains that had to be reached by TLS may be sent in the clear; write them into tlsroutes"},
	{"notlshosts notlshosts_auto tlsa.white", "TLS patch, sagredo, indimail", Ignored, 0, "TLS is tried and done without where it fails; tlsroutes with none leaves it out"},
	{"rsa*.pem dh*.pem tlsserverciphers tlsclientciphers tlsservermethod tlsclientmethod", "TLS patch, sagredo, indimail", Ignored, 0, "details of TLS, which are what Go's library has: versions 1.2 and up"},

	// Passwords and signatures.
	{"authsender authsenders", "s/qmail, sagredo, AUTH patch", Dangerous, 0, "relays that want a password refuse the mail and it bounces; write user names into smtproutes and secrets into remotesecrets"},
	{"authservid", "sagredo", Ignored, 0, "no Authentication-Results are written"},
	{"domainkeys dkim dkimdomains dkimkeys signaturedomains nosignaturedomains signkey signkeystale nosignhosts nosignmydoms", "s/qmail, sagredo, indimail, qmailtoaster", Ignored, 0,
		"mail goes out unsigned; sign it in QMAILQUEUE's or QMAILREMOTE's place"},
	{"srs_* srsdomains", "sagredo, s/qmail", Ignored, 0, "forwarded mail keeps its sender, which SPF may refuse; use .qmail files with owners, or forward by a program that rewrites it"},

	// The way out.
	{"outgoingip outgoingips bindroutes domainbindings domainips", "outgoingip patches, s/qmail, sagredo, indimail", Ignored, 0,
		"mail goes out from the address that the system picks; set it in the routing table"},
	{"qmtproutes", "s/qmail, indimail", Dangerous, 0, "mail goes to the MX records instead of these relays; write them into smtproutes"},
	{"moreipme", "moreipme patch, sagredo, indimail", Dangerous, 0, "addresses that lead back to this host are not known as its own, so mail may go in circles; list the domains in locals or virtualdomains"},
	{"notipme", "moreipme patch, sagredo, indimail", Ignored, 0, "addresses of this host stay its own; route such domains by smtproutes"},
	{"timeoutread timeoutwrite", "indimail", Ignored, 0, "timeoutsmtpd and timeoutremote are what there is"},
	{"suppls* concurrencysuppl*", "sagredo", Ignored, 0, "these recipients go by the channel for other hosts; remotelimits limits single hosts"},

	// Accounts, the queue, bounces.
	{"ldap*", "qmail-ldap", Dangerous, 0, "accounts in the directory are not known, so their mail bounces or goes to alias; write them into users/assign"},
	{"recipientmap", "qmail before 1.02", Dangerous, 0, "addresses are not rewritten; use virtualdomains"},
	{"localdomains maxdeliveredto maxhops", "indimail", Ignored, 0, "limits against loops are built in"},
	{"holdlocal holdremote", "indimail, hold patch", Dangerous, 1, "deliveries that were held are made; use concurrencylocal or concurrencyremote with 0"},
	{"todointerval", "indimail", Ignored, 0, "the queue is looked at when a message comes"},
	{"bouncemaxbytes", "bouncemaxbytes patch, s/qmail, sagredo, indimail", Ignored, 0, "bounces have the whole message"},
	{"bouncemessage bouncesubject doublebouncemessage doublebouncesubject custombouncetext", "indimail, qmail-ldap", Ignored, 0, "bounces have qmail's words"},
	{"qregex mysql_lib servicedir.conf *.sql", "indimail", Ignored, 0, "a setting of indimail's programs"},
}

// FindForeign returns the row of Dialects for a file: the first one that fits.
func FindForeign(name string) (f Foreign, ok bool) {
	i := slices.IndexFunc(Dialects, func(f Foreign) bool {
		return slices.ContainsFunc(strings.Fields(f.Names), func(pattern string) bool {
			fits, _ := path.Match(pattern, name) // the patterns are ours, and good
			return fits
		})
	})
	if i < 0 {
		return Foreign{}, false
	}
	return Dialects[i], true
}

// describeForeign returns what follows the name of a file that is not in the
// Registry.
//
// Differs from qmail, which has no idea of any file but its own.
func (v view) describeForeign(name string) string {
	f, known := FindForeign(name)
	if !known {
		return "I have no idea what this file does.\n"
	}
	if f.Verdict == Dangerous && !v.matters(name, f.Least) {
		return opening[Ignored] + "as it stands nothing is lost by that (" + f.From + ").\n"
	}
	return opening[f.Verdict] + f.Text + " (" + f.From + ").\n"
}

// matters reports whether there is something in a file, or at least that number. What
// cannot be read may hold anything.
func (v view) matters(name string, least int) bool {
	if least > 0 {
		line, _, err := v.dir.Line(name)
		return err != nil || control.Number(line) >= least
	}
	items, _, err := v.dir.List(name)
	return err != nil || len(items) > 0
}
