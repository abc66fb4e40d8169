// Package tcpserver accepts connections and runs a program for each: spec
// "Network", A1.
//
// One goroutine accepts, and does nothing else. Each connection has one of its
// own from then until its program has been started, and shares nothing with the
// others but the log and the limit on how many there may be: a name server or an
// ident server that takes its time delays nobody but its own client. Programs are
// run by a warm.Keeper: one that can be kept warm costs no process a connection, and
// while it serves one nothing but a descriptor is held here. Where the original
// forks and lets the child ask for names, here the names are asked for first and
// the program is started afterwards, with descriptors 0, 1 and 2 and with those
// that the caller of tcpserver left open for it.
//
// Strangers choose the moment and the number of connections, what their name
// servers say, and what their ident servers say. All of it is bounded in length
// and time, and no error of theirs ends the server. Root, where it is needed to
// bind a low port, is given up before the first connection is accepted.
//
// Differs from qmail: the "pid" line of a connection stands directly before its
// "ok" line, when the program has been started and has a process id, so that the
// lines can be joined with those that the program writes itself; one that writes
// at once may be before them. A connection that never gets a program (denied,
// dropped) has a number above all process ids, which is unique on the host too, as
// that of a connection served by a warm program is: see warm.Number.
package tcpserver

import (
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"quail/internal/crew"
	"quail/internal/limits"
	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/warm"
)

const usage = "tcpserver [ -1UXpPhHrRsSoOdDqQv ] [ -c limit ] [ -x rules.cdb ] [ -B banner ]" +
	" [ -g gid ] [ -u uid ] [ -b backlog ] [ -l localname ] [ -t timeout ] host port program"

// server is a running tcpserver. Nothing in it changes once it accepts.
type server struct {
	options
	p         *prog.Process
	log       *journal
	names     *peer.Resolver
	keeper    *warm.Keeper
	listener  *listener
	localPort string        // the port listened on
	slots     chan struct{} // one entry a connection, at most as many as allowed
	crew      *crew.Crew    // begins connections
	count     atomic.Uint64 // connections that never got a program
}

// Run is the program tcpserver.
func Run(p *prog.Process) error {
	o, err := parseOptions(p)
	if err != nil {
		return err
	}
	if err := serve(p, o); err != nil && o.verbosity > silent {
		return err
	} else if err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}

// serve runs until SIGTERM. The programs it has started live on.
func serve(p *prog.Process, o options) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if err := occupyStandard(); err != nil {
		return err
	}
	// 1. What may need root: descriptors for all connections,
	asked := o.limit
	o.limit = room(asked)
	s := newServer(p, o)
	if o.limit < asked {
		s.log.warn(fmt.Sprintf("no more than %d connections at once, not %d: too few descriptors (see ulimit -Hn)", o.limit, asked))
	}
	//    the port, and the address whose name is asked for here.
	if err := s.listen(); err != nil {
		return err
	}
	// 2. Root goes, before a byte of a stranger is seen.
	if err := drop(o.uid, o.gid); err != nil {
		return err
	}
	// 3. Whoever waits for the port number may connect now.
	if o.printPort {
		fmt.Fprintln(p.Stdout, s.localPort)
	}
	if err := detach(p.Stdin, p.Stdout); err != nil {
		return err
	}
	s.log.start()
	go s.accept()
	<-term
	if o.verbosity >= verbose {
		s.keeper.LogCounts()
	}
	return nil
}

// Descriptors of tcpserver itself, and of each connection: the socket, and then, if its
// program is not a warm one, what tells of the end of that, which are two.
const (
	ownDescriptors        = 32
	connectionDescriptors = 2
)

// room returns how many connections there can be, at most limit, having raised the
// limit on descriptors as far as it may be.
//
// Differs from qmail: a connection takes descriptors here, and one that is too many
// would be accepted only to be dropped. So it waits with those above the limit.
func room(limit int) int {
	files, err := limits.Files(uint64(limit)*connectionDescriptors + ownDescriptors)
	if err != nil {
		return limit // then it will show
	}
	return min(limit, max(1, (int(min(files, 1<<30))-ownDescriptors)/connectionDescriptors))
}

// idle is how long a warm program is kept while there are no connections.
const idle = 15 * time.Minute

func newServer(p *prog.Process, o options) *server {
	return &server{
		options: o,
		p:       p,
		names:   peer.NewResolver(p.Env),
		log:     &journal{out: p.Stderr, verbosity: o.verbosity, limit: o.limit},
		keeper:  warm.NewKeeper(warm.Settings{Idle: idle, Spare: 1, Name: "tcpserver", Log: p.Stderr, Quiet: o.verbosity == silent, Now: p.Now}),
		slots:   make(chan struct{}, o.limit),
		crew:    crew.New(spare),
	}
}

// listen resolves the two operands and opens the port.
func (s *server) listen() error {
	ip, err := s.address()
	if err != nil {
		return err
	}
	port, err := peer.Port(s.port)
	if err != nil {
		return err
	}
	if s.listener, err = listen(netip.AddrPortFrom(ip, port), s.backlog); err != nil {
		return err
	}
	s.localPort = strconv.Itoa(int(s.listener.port))
	return nil
}

// address returns the address that the operand host means, an IPv4 one if there is a
// choice.
func (s *server) address() (netip.Addr, error) {
	if s.host == "" || s.host == "0" {
		return netip.IPv4Unspecified(), nil
	}
	all, err := s.names.Addresses(s.host)
	if err != nil {
		return netip.Addr{}, err
	}
	return all[max(0, slices.IndexFunc(all, netip.Addr.Is4))], nil
}

// occupyStandard opens /dev/null as each of the descriptors 0, 1 and 2 that the
// caller left closed, so that no socket takes their place.
func occupyStandard() error {
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return prog.Fail("unable to open /dev/null", err)
		}
		if fd > 2 {
			return syscall.Close(fd)
		}
	}
}

// detach lets go of descriptors, so that whoever reads the port from a pipe sees
// its end.
func detach(files ...*os.File) error {
	for _, f := range files {
		f.Close()
	}
	return occupyStandard()
}

// spare is how many goroutines wait for connections.
const spare = 16

// accept hands each connection to a goroutine. While as many as allowed are
// there, it leaves further ones to the kernel.
func (s *server) accept() {
	for {
		s.slots <- struct{}{}
		fd, remote := s.next()
		s.log.accepted()
		s.crew.Go(func() { s.connection(fd, remote) })
	}
}

// pause is how long no connection is accepted after the system had no descriptor
// or no memory for one. The original tries again at once, for as long as it takes.
const pause = time.Second

// next returns the next connection. No error ends the server: one of a connection
// that is gone already is no matter, any other is reported once a pause.
func (s *server) next() (fd int, remote netip.AddrPort) {
	for {
		fd, remote, err := s.listener.accept()
		if err == nil {
			return fd, remote
		}
		if !ofConnection(err) {
			s.log.warn(prog.Fail("unable to accept", err).Error())
			time.Sleep(pause)
		}
	}
}
