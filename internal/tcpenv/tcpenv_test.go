package tcpenv

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// connection returns a connection to address, as inetd hands it over, and its two ends.
func connection(t *testing.T, address string) (file *os.File, local, remote netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if file, err = server.(*net.TCPConn).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, netip.MustParseAddrPort(l.Addr().String()), netip.MustParseAddrPort(client.LocalAddr().String())
}

// become runs tcp-env and returns what it turns into, having said nothing.
func become(t *testing.T, stdin *os.File, env prog.Env, args ...string) (*prog.Become, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = Run(&prog.Process{Name: "tcp-env", Args: args, Env: env, Stdin: stdin, Stderr: w})
	w.Close()
	if said, _ := io.ReadAll(r); len(said) > 0 {
		t.Errorf("%q: said %q", args, said)
	}
	var b *prog.Become
	errors.As(err, &b)
	return b, err
}

func TestRun(t *testing.T) {
	for _, c := range []struct{ address, proto string }{{"127.0.0.1:0", "TCP"}, {"[::1]:0", "TCP6"}} {
		file, local, remote := connection(t, c.address)
		env := prog.Env{"A=b", "PROTO=UDP", "TCPREMOTEINFO=old", "DNSCACHEIP=127.0.0.1"}
		b, err := become(t, file, env, "-Rx", "-t", "3", "server", "-R")
		if b == nil {
			t.Fatal(err)
		}
		got := ucspi.FromEnv(b.Env)
		got.LocalHost, got.RemoteHost = ucspi.Value{}, ucspi.Value{} // whatever this host is called
		want := ucspi.Connection{Proto: c.proto, LocalIP: local.Addr().String(), LocalPort: portOf(local), RemoteIP: remote.Addr().String(), RemotePort: portOf(remote)}
		if got != want || b.Env.Get("A") != "b" || strings.Join(b.Args, " ") != "server -R" || !b.Quiet {
			t.Errorf("became %q with %+v, want %+v", b.Args, got, want)
		}
	}
}

func portOf(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func TestNothingToDo(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, proto := range []string{"PROTO=TCP", "PROTO=TCP6"} {
		env := prog.Env{proto, "TCPREMOTEIP=whatever"}
		if b, err := become(t, null, env, "server"); b == nil || strings.Join(b.Env, " ") != strings.Join(env, " ") {
			t.Errorf("%s: %+v, %v", proto, b, err)
		}
	}
	for _, args := range [][]string{{"server"}, {}, {"-R"}} {
		b, err := become(t, null, nil, args...)
		if status := (&prog.Process{}).Conclude(err); b != nil || status != 111 {
			t.Errorf("%q with no connection: %+v, %v", args, b, err)
		}
	}
}

// A name server that has trouble is told from one that knows no name.
func TestName(t *testing.T) {
	server := dnstest.Zone(t, "2.1.0.127.in-addr.arpa. 60 IN PTR Mail.Example.COM.", map[string]dnstest.Handler{
		"3.1.0.127.in-addr.arpa.": dnstest.Rcode(dns.RcodeServerFailure),
	})
	names := peer.NewResolver(prog.Env{"DNSCACHEIP=127.0.0.1"})
	names.Port = uint16(server.Port)
	var got bytes.Buffer
	for _, ip := range []string{"127.0.1.2", "127.0.1.3", "127.0.1.4"} {
		got.WriteString(name(names, netip.MustParseAddr(ip)).Or("(none)") + "\n")
	}
	if want := "mail.example.com\nsoftdnserror\n(none)\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}
