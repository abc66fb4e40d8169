package tcpserver

import (
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// How much is written to stderr.
const (
	silent  = iota // -q: nothing, not even why the program ends
	terse          // -Q
	verbose        // -v: the life of each connection too
)

// options is the command line.
type options struct {
	verbosity  int
	limit      int    // of concurrent connections
	rules      string // cdb file; "" if there are no rules
	mayLackCDB bool   // allow all if the file does not exist
	banner     string
	uid, gid   int // 0: leave
	printPort  bool
	backlog    int
	keepIP     bool // leave IP options alone
	noDelay    bool
	remoteHost bool // look it up
	paranoid   bool // and back
	localHost  ucspi.Value
	remoteInfo bool // ask ident
	identLimit time.Duration
	tls        bool // have qmail-tls shake hands before the program

	host, port string
	program    []string
}

func parseOptions(p *prog.Process) (options, error) {
	o := options{
		verbosity: terse, limit: 40, backlog: 20,
		remoteHost: true, remoteInfo: true, identLimit: 26 * time.Second,
	}
	g := p.Getopt("dDvqQhHrRsS1UXx:t:u:g:l:b:B:c:pPoO")
	for g.Next() {
		if !o.flag(g.Opt) && !o.argument(p, g.Opt, g.Arg) {
			return o, prog.Usage(usage)
		}
	}
	// A banner would be in plain, where the client waits for a handshake.
	if len(g.Rest) < 3 || o.tls && o.banner != "" {
		if o.verbosity == silent {
			return o, prog.Exit(prog.StatusPermanent)
		}
		return o, prog.Usage(usage)
	}
	o.host, o.port, o.program = g.Rest[0], g.Rest[1], g.Rest[2:]
	if o.tls {
		o.program = append([]string{conf.Home + "/bin/qmail-tls"}, o.program...)
	}
	return o, nil
}

// flag takes an option without argument, and reports whether it is one.
func (o *options) flag(opt byte) bool {
	switch opt {
	case 'q':
		o.verbosity = silent
	case 'Q':
		o.verbosity = terse
	case 'v':
		o.verbosity = verbose
	case 'h', 'H':
		o.remoteHost = opt == 'h'
	case 'p', 'P':
		o.paranoid = opt == 'p'
	case 'r', 'R':
		o.remoteInfo = opt == 'r'
	case 's', 'S':
		o.tls = opt == 's'
	case 'o', 'O':
		o.keepIP = opt == 'o'
	case 'd', 'D':
		o.noDelay = opt == 'D'
	case 'X':
		o.mayLackCDB = true
	case '1':
		o.printPort = true
	default:
		return false
	}
	return true
}

// argument takes any other option, and reports whether it is one with an argument
// that makes sense.
//
// Differs from qmail: a user or group that is no number, or is missing for -U, and
// a limit below 1, are usage errors. The original goes on as root, or without ever
// accepting a connection.
func (o *options) argument(p *prog.Process, opt byte, arg string) (ok bool) {
	n, isNumber := prog.Number(arg)
	switch opt {
	case 'c':
		o.limit = n
		return n > 0
	case 'b':
		o.backlog = n
	case 't':
		o.identLimit = time.Duration(n) * time.Second
	case 'u':
		o.uid = n
		return isNumber
	case 'g':
		o.gid = n
		return isNumber
	case 'U':
		var uidOK, gidOK bool
		o.uid, uidOK = prog.Number(p.Env.Get("UID"))
		o.gid, gidOK = prog.Number(p.Env.Get("GID"))
		return uidOK && gidOK
	case 'x':
		o.rules = arg
	case 'B':
		o.banner = arg
	case 'l':
		o.localHost = ucspi.Known(arg)
	default:
		return false
	}
	return true
}
