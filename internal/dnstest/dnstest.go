// Package dnstest is a name server for tests. It listens on 127.0.0.1 alone, by
// UDP and TCP on one port, and knows what the test tells it, so that the code
// under test speaks real DNS to it and no test asks the outside world.
package dnstest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Server is a running name server.
type Server struct {
	Port   int
	Config string // path of a resolv.conf that names it
}

// Handler answers one query of one name itself.
type Handler func(w dns.ResponseWriter, query *dns.Msg)

// Zone answers from records, one a line as in a zone file, following aliases. A
// name without any record does not exist. Names in odd, written with the final
// dot and in lower case, are answered by their handler.
func Zone(t *testing.T, records string, odd map[string]Handler) *Server {
	t.Helper()
	var zone []dns.RR
	for _, line := range strings.Split(records, "\n") {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if rr != nil {
			zone = append(zone, rr)
		}
	}
	return Serve(t, func(w dns.ResponseWriter, query *dns.Msg) {
		q := query.Question[0]
		if h := odd[strings.ToLower(q.Name)]; h != nil {
			h(w, query)
			return
		}
		reply := new(dns.Msg).SetReply(query)
		reply.RecursionAvailable = true
		reply.Answer, reply.Rcode = look(zone, q)
		send(w, reply)
	})
}

// look returns the records that answer q, aliases on the way first.
func look(zone []dns.RR, q dns.Question) (answer []dns.RR, rcode int) {
	name, rcode := q.Name, dns.RcodeNameError
	for hops := 0; hops < 32; hops++ {
		next := ""
		for _, rr := range zone {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			rcode = dns.RcodeSuccess
			alias, isAlias := rr.(*dns.CNAME)
			if isAlias {
				next = alias.Target
			}
			if isAlias || rr.Header().Rrtype == q.Qtype {
				answer = append(answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	return answer, rcode
}

// send cuts the answer as servers do when it does not fit a datagram.
func send(w dns.ResponseWriter, reply *dns.Msg) {
	reply.Compress = true
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
		reply.Truncate(dns.MinMsgSize)
	}
	w.WriteMsg(reply)
}

// Rcode answers every query with that code.
func Rcode(code int) Handler {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(query, code))
	}
}

// Serve answers by handler until the test ends.
func Serve(t *testing.T, handler Handler) *Server {
	t.Helper()
	packets, streams := listen(t)
	mux := dns.HandlerFunc(handler)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: mux}, {Listener: streams, Handler: mux}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	config := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(config, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return &Server{Port: streams.Addr().(*net.TCPAddr).Port, Config: config}
}

// listen finds a port that is free for both protocols.
func listen(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		streams, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", streams.Addr().String())
		if err == nil {
			return packets, streams
		}
		streams.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}
