package tcpclient

import (
	"net/netip"
	"strings"
	"time"

	"quail/internal/dial"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

const usage = "tcpclient [ -hHrRdDqQv ] [ -i localip ] [ -p localport ] [ -T timeoutconn ]" +
	" [ -l localname ] [ -t timeoutinfo ] host port program"

// options is the command line.
type options struct {
	dial.Target
	remoteHost bool // look it up
	localHost  ucspi.Value
	remoteInfo bool // ask ident
	identLimit time.Duration
	program    []string
}

func parseOptions(p *prog.Process) (options, error) {
	o := options{Target: dial.Usual(), remoteHost: true, remoteInfo: true, identLimit: 26 * time.Second}
	wrong := func() error {
		if o.Verbosity == dial.Silent {
			return prog.Exit(prog.StatusPermanent)
		}
		return prog.Usage(usage)
	}
	g := p.Getopt("dDvqQhHrRi:p:t:T:l:")
	for g.Next() {
		if !o.flag(g.Opt) && !o.argument(g.Opt, g.Arg) {
			return o, wrong()
		}
	}
	if len(g.Rest) < 3 {
		return o, wrong()
	}
	o.Host, o.Port, o.program = g.Rest[0], g.Rest[1], g.Rest[2:]
	return o, nil
}

// flag takes an option without argument, and reports whether it is one.
func (o *options) flag(opt byte) bool {
	switch opt {
	case 'q':
		o.Verbosity = dial.Silent
	case 'Q':
		o.Verbosity = dial.Terse
	case 'v':
		o.Verbosity = dial.Verbose
	case 'h', 'H':
		o.remoteHost = opt == 'h'
	case 'r', 'R':
		o.remoteInfo = opt == 'r'
	case 'd', 'D':
		o.NoDelay = opt == 'D'
	default:
		return false
	}
	return true
}

// argument takes any other option, and reports whether it is one with an argument
// that makes sense.
func (o *options) argument(opt byte, arg string) (ok bool) {
	switch opt {
	case 'i':
		ip, err := netip.ParseAddr(arg)
		o.Local = netip.AddrPortFrom(ip.Unmap(), o.Local.Port())
		return err == nil && ip.Zone() == ""
	case 'p':
		n, _ := prog.Number(arg)
		o.Local = netip.AddrPortFrom(o.Local.Addr(), uint16(n))
		return n < 1<<16
	case 'T':
		first, second, _ := strings.Cut(arg, "+")
		o.Patience = [2]time.Duration{seconds(first), seconds(second)}
	case 't':
		o.identLimit = seconds(arg)
	case 'l':
		o.localHost = ucspi.Known(arg)
	default:
		return false
	}
	return true
}

func seconds(arg string) time.Duration {
	n, _ := prog.Number(arg)
	return time.Duration(n) * time.Second
}
