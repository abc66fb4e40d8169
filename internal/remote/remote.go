// Package remote is qmail-remote: it takes one message to one host by SMTP and
// says what became of it. See spec "Remote delivery".
//
// What it says goes to descriptor 1, each report ended by a zero byte: one a
// recipient, in the order of the arguments, if it came to that,
//
//	r          accepted
//	hTEXT      refused for good
//	sTEXT      refused for now
//
// and at the end one for the message: KTEXT accepted, ZTEXT try again, DTEXT
// return it. The exit status is always 0.
//
// The enemy is the other host and whoever writes its DNS records. Nothing it
// sends is kept beyond a bound, no single wait for it is longer than the
// configured times, and no message can be made to speak SMTP commands. A host
// that misbehaves gets its mail later or not at all; K is said only after a reply
// to the final dot.
package remote

import (
	"bytes"
	"context"
	"os"
	"strings"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/localaddr"
	"quail/internal/prog"
	"quail/internal/resolve"
	"quail/internal/tcpto"
)

// Run is qmail-remote.
func Run(p *prog.Process) error {
	r := Remote{Resolver: &resolve.Resolver{}, Local: localaddr.Local, Port: 25}
	return r.Deliver(p)
}

// Remote is what a delivery uses of its host.
type Remote struct {
	Resolver *resolve.Resolver
	Local    func() (localaddr.Set, error) // this host's own addresses
	Port     uint16                        // where hosts listen unless a route says otherwise
}

// verdict is a report about the message: its letter and text. The empty one means
// that nothing has been decided.
type verdict string

// Verdicts that need no host to be named.
const (
	usage        verdict = "DI (qmail-remote) was invoked improperly. (#5.3.5)\n"
	noHome       verdict = "ZUnable to switch to home directory. (#4.3.0)\n"
	noControls   verdict = "ZUnable to read control files. (#4.3.0)\n"
	noSystem     verdict = "ZSystem resources temporarily unavailable. (#4.3.0)\n"
	softDNS      verdict = "ZSorry, I couldn't find any host by that name. (#4.1.2)\n"
	noAddress    verdict = "DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
	noConnection verdict = "ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
	noMessage    verdict = "ZUnable to read message. (#4.3.0)\n"
	partialLine  verdict = "DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n"
	lineBreak    verdict = "DSorry, I can't send an address with a line break in it. (#5.1.3)\n"
	itsMe        verdict = "DSorry. Although I'm listed as a best-preference MX or A for that host,\n" +
		"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n"
)

// Deliver does one delivery: arguments HOST SENDER RECIPIENT..., message on
// Stdin, reports on Stdout. It never fails; who cannot be told is not told.
func (r *Remote) Deliver(p *prog.Process) error {
	var reports bytes.Buffer
	v := r.deliver(p, &reports)
	reports.WriteString(string(v))
	reports.WriteByte(0)
	p.Stdout.Write(reports.Bytes())
	return nil
}

func (r *Remote) deliver(p *prog.Process, reports *bytes.Buffer) verdict {
	if len(p.Args) < 3 {
		return usage
	}
	c, v := readControls()
	if v != "" {
		return v
	}
	m := mail{sender: p.Args[1], recipients: p.Args[2:], text: p.Stdin}
	if m.breaksLine() {
		return lineBreak
	}
	ctx := context.Background()
	target := c.route(p.Args[0], r.Port)
	candidates, v := r.find(ctx, target)
	if v != "" {
		return v
	}
	d := dialer{
		timeout: c.timeoutConnect,
		port:    target.port,
		tcpto:   tcpto.In(conf.Home),
		now:     p.Now,
		pid:     p.PID,
	}
	conn, v := d.first(ctx, candidates)
	if v != "" {
		return v
	}
	defer conn.Close()
	// From here on there is no other address to try, whatever happens.
	return newSession(conn, c.heloHost, c.timeoutRemote, p.Now).deliver(m, reports)
}

// controls are the control files that qmail-remote reads.
type controls struct {
	heloHost       string
	timeoutConnect time.Duration
	timeoutRemote  time.Duration
	routes         control.Map
}

func readControls() (controls, verdict) {
	// The final dot makes this need what chdir needs: a directory that may be entered.
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return controls{}, noHome
	}
	dir := control.In(conf.Home)
	var c controls
	me, haveMe, err := dir.Line("me")
	if err != nil {
		return c, noControls
	}
	host, have, err := dir.Line("helohost")
	if err != nil || !have && !haveMe {
		return c, noControls
	}
	if c.heloHost = me; have {
		c.heloHost = host
	}
	if c.timeoutConnect, err = seconds(dir, "timeoutconnect", 60); err != nil {
		return c, noControls
	}
	if c.timeoutRemote, err = seconds(dir, "timeoutremote", 1200); err != nil {
		return c, noControls
	}
	if c.routes, _, err = dir.Map("smtproutes"); err != nil {
		return c, noControls
	}
	return c, ""
}

// seconds reads a time; more than a year is a year, so that it can be added to.
func seconds(dir control.Dir, name string, def int) (time.Duration, error) {
	const year = 365 * 24 * 60 * 60
	n, err := dir.Int(name, def)
	return time.Duration(min(n, year)) * time.Second, err
}

// mail is what is to be delivered.
type mail struct {
	sender     string
	recipients []string
	text       *os.File
}

// breaksLine reports whether an address cannot be written in an SMTP command.
//
// Differs from qmail: such an address is refused instead of sent; its second line
// would have been a command.
func (m mail) breaksLine() bool {
	for _, address := range append([]string{m.sender}, m.recipients...) {
		if strings.ContainsAny(address, "\r\n") {
			return true
		}
	}
	return false
}

// size returns how long the message is, or -1 if that is not known beforehand.
func (m mail) size() int64 {
	info, err := m.text.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}
