// Package rblsmtpd refuses the mail of clients that are on a list. See spec "Network",
// A4.
//
// It stands before an SMTP server in a chain. Whoever is on no list gets that server:
// nothing of the connection has been touched then. Whoever is on one is answered here,
// by a server that knows no other answer to RCPT and DATA than a refusal.
//
// The client chooses what it says, and the owner of a list the text that it is refused
// with; both are bounded and no byte of the text can end a line. The answers of name
// servers can be suppressed by an attacker, and -c and -C say what silence means.
//
// Differs from qmail: an IPv6 address is looked up by its hexadecimal digits (RFC 5782,
// section 2.4), and an IPv4 address that is written as one by its own four numbers.
package rblsmtpd

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/resolve"
)

const usage = "rblsmtpd [ -b ] [ -B ] [ -c ] [ -C ] [ -t timeout ] [ -r base ] [ -a base ] smtpd [ arg ... ]"

// decision is what is to become of the client. The first one made counts.
type decision int

const (
	undecided decision = iota
	accept
	later // refused for now: 451
	never // refused for good: 553
)

// judge decides about one client.
type judge struct {
	lists  resolve.Resolver
	client string // as lists have it: backwards, with a dot at its end

	bounce     bool // -b: never, not later
	failClosed bool // -c: no answer is a bad one
	doubt      bool // a list gave no answer, so never is too much

	decision decision
	text     string // why it is later or never
}

// program is rblsmtpd with the name servers at a port.
type program struct{ port int }

// Run is the program rblsmtpd.
func Run(p *prog.Process) error { return program{}.run(p) }

func (pr program) run(p *prog.Process) error {
	j := &judge{
		lists:  resolve.Resolver{Port: pr.port, Servers: peer.Servers(p.Env)},
		client: backwards(p.Env.Get("TCPREMOTEIP")),
	}
	if told, set := p.Env.Lookup("RBLSMTPD"); set {
		j.obey(told)
	}
	timeout := 60
	g := p.Getopt("bBcCt:r:a:")
	for g.Next() {
		switch g.Opt {
		case 'b', 'B':
			j.bounce = g.Opt == 'b'
		case 'c', 'C':
			j.failClosed = g.Opt == 'c'
		case 't':
			timeout, _ = prog.Number(g.Arg)
		case 'r': // at once: what was set before counts for it, and what follows does not
			j.ask(g.Arg)
		case 'a':
			j.askWelcome(g.Arg)
		default:
			return prog.Usage(usage)
		}
	}
	if len(g.Rest) == 0 {
		return prog.Usage(usage)
	}
	if j.decision == later || j.decision == never {
		return refuse(p, j.reply(), time.Duration(timeout)*time.Second)
	}
	return &prog.Become{Args: g.Rest, Env: p.Env}
}

// obey decides as $RBLSMTPD says.
func (j *judge) obey(told string) {
	switch text, hyphen := strings.CutPrefix(told, "-"); {
	case told == "":
		j.decision = accept
	case hyphen:
		j.decision, j.text = never, text
	default:
		j.decision, j.text = later, text
	}
}

// ask looks the client up in a list of those whose mail is refused.
func (j *judge) ask(base string) {
	if j.decision != undecided {
		return
	}
	text, err := j.lists.TXT(context.Background(), j.client+base)
	switch {
	case resolve.IsSoft(err):
		j.doubt = true
		if j.failClosed {
			j.decision, j.text = later, "temporary RBL lookup error"
		}
	case text != "" && j.bounce:
		j.decision, j.text = never, text
	case text != "":
		j.decision, j.text = later, text
	}
}

// askWelcome looks the client up in a list of those whose mail is welcome.
func (j *judge) askWelcome(base string) {
	if j.decision != undecided {
		return
	}
	addresses, err := j.lists.A(context.Background(), j.client+base)
	if resolve.IsSoft(err) {
		j.doubt = true
	}
	if len(addresses) > 0 || resolve.IsSoft(err) && !j.failClosed {
		j.decision = accept
	}
}

// longestText is how much of a list's text the client is told, in bytes.
const longestText = 200

// reply returns what the client is told, without an end of line.
func (j *judge) reply() string {
	code := "451 "
	if j.decision == never && !j.doubt {
		code = "553 "
	}
	return ascii.Printable(code+j.text[:min(len(j.text), longestText)], '?')
}

// backwards returns the name of an address in lists, each part followed by a dot: the
// four numbers of an IPv4 address, the 32 hexadecimal digits of an IPv6 one, last first.
// What is no address is divided at its dots.
func backwards(address string) string {
	if address == "" {
		return ""
	}
	parts := strings.Split(address, ".")
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is4In6() {
		parts = strings.Split(ip.Unmap().String(), ".")
	} else if err == nil && ip.Is6() {
		parts = strings.Split(fmt.Sprintf("%x", ip.AsSlice()), "")
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "."
}
