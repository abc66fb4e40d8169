package peer

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/dnstest"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// patient bounds what should take no time; a test that runs into it has failed.
const patient = 20 * time.Second

// zone is what the name server of these tests knows.
const zone = `
2.1.0.127.in-addr.arpa. 60 IN PTR Foo.Example.COM.
3.1.0.127.in-addr.arpa. 60 IN PTR liar.example.com.
4.1.0.127.in-addr.arpa. 60 IN PTR a\032b.example.com.
5.1.0.127.in-addr.arpa. 60 IN PTR .
6.1.0.127.in-addr.arpa. 60 IN PTR single.
foo.example.com. 60 IN A 10.0.0.1
foo.example.com. 60 IN A 127.0.1.2
liar.example.com. 60 IN A 10.0.0.1
single. 60 IN A 127.0.1.6
six.example.com. 60 IN AAAA ::1
`

// testResolver asks the name server of the test instead of port 53.
func testResolver(t *testing.T) *Resolver {
	t.Helper()
	port := dnstest.Zone(t, zone, nil).Port
	r := NewResolver(prog.Env{"DNSCACHEIP=127.0.0.1"})
	r.Port = uint16(port)
	return r
}

func TestNames(t *testing.T) {
	r := testResolver(t)
	for _, c := range []struct {
		ip        string
		want      ucspi.Value
		confirmed bool
	}{
		{"127.0.1.2", ucspi.Known("foo.example.com"), true},
		{"127.0.1.3", ucspi.Known("liar.example.com"), false},
		{"127.0.1.4", ucspi.Value{}, false}, // no name for a host
		{"127.0.1.5", ucspi.Value{}, false},
		{"127.0.1.6", ucspi.Known("single"), true},
		{"127.0.1.7", ucspi.Value{}, false}, // no such name
	} {
		ip := netip.MustParseAddr(c.ip)
		if got, err := r.Name(ip); got != c.want || err != nil {
			t.Errorf("name of %s: %+v, %v, want %+v", c.ip, got, err, c.want)
		}
		if got := c.want.Set && r.Confirms(c.want.Text, ip); got != c.confirmed {
			t.Errorf("%s confirmed by %s: %v", c.ip, c.want.Text, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	r := testResolver(t)
	for _, c := range []struct{ host, want string }{
		{"::", "[::]"},
		{"127.0.0.1", "[127.0.0.1]"},
		{"::ffff:127.0.0.1", "[127.0.0.1]"},
		{"liar.example.com", "[10.0.0.1]"},
		{"six.example.com", "[::1]"},
	} {
		if got, err := r.Addresses(c.host); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("Addresses(%q) = %v, %v; want %s", c.host, got, err, c.want)
		}
	}
	if got, err := r.Addresses("foo.example.com"); err != nil || len(got) != 2 {
		t.Errorf("two addresses: %v, %v", got, err)
	}
	if _, err := r.Addresses("no.example.com."); err == nil || err.Error() != "no IP address for no.example.com." {
		t.Errorf("no such name: %v", err)
	}
	r.Port = closedPort(t)
	want := "temporarily unable to figure out IP address for foo.example.com.: "
	if _, err := r.Addresses("foo.example.com."); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("no name server: %v, want %s", err, want)
	}
	if name, err := r.Name(netip.MustParseAddr("127.0.1.2")); err == nil {
		t.Errorf("no name server: the name is %v", name)
	}
}

// closedPort returns a port of 127.0.0.1 that nobody listens on.
func closedPort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String()).Port()
}

func TestServers(t *testing.T) {
	for s, want := range map[string]string{
		"":                             "[]",
		"127.0.0.1":                    "[127.0.0.1]",
		"127.0.0.1.10.0.0.1":           "[127.0.0.1 10.0.0.1]",
		"127.0.0.1..10.0.0.1..":        "[127.0.0.1 10.0.0.1]",
		"127.0.0.1.300.0.0.1":          "[127.0.0.1]",
		"1.2.3":                        "[]",
		"x":                            "[]",
		strings.Repeat("1.2.3.4.", 20): fmt.Sprint(strings.Fields(strings.Repeat("1.2.3.4 ", 16))),
	} {
		if got := fmt.Sprint(Servers(prog.Env{"DNSCACHEIP=" + s})); got != want {
			t.Errorf("Servers(%q) = %s, want %s", s, got, want)
		}
	}
}

// identServer answers each question with answer and says what was asked. It then
// closes the connection, or holds it.
func identServer(t *testing.T, answer string, hold bool) (at netip.AddrPort, asked <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	questions := make(chan string, 1)
	var done sync.WaitGroup
	release := make(chan struct{})
	done.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		question := make([]byte, 100)
		n, _ := c.Read(question)
		questions <- string(question[:n])
		io.WriteString(c, answer)
		if hold {
			<-release
		}
	})
	t.Cleanup(func() { close(release); l.Close(); done.Wait() })
	return netip.MustParseAddrPort(l.Addr().String()), questions
}

func TestIdent(t *testing.T) {
	local := netip.MustParseAddrPort("127.0.0.1:25")
	at, asked := identServer(t, "1025, 25 : USERID : UNIX : joe\r\n", false)
	if user, err := askIdent(at, local, 1025, patient); user != "joe" || err != nil {
		t.Errorf("got %q, error %v", user, err)
	}
	if got := <-asked; got != "1025 , 25\r\n" {
		t.Errorf("asked %q", got)
	}
	// Silence ends with the limit, and so does an answer without end.
	at, _ = identServer(t, "1025, 25 : USER", true)
	before := time.Now()
	if user, err := askIdent(at, local, 1025, 50*time.Millisecond); err == nil {
		t.Errorf("half an answer gave %q", user)
	}
	if took := time.Since(before); took > patient/2 {
		t.Errorf("waited %v for an answer", took)
	}
}

func TestReadInfo(t *testing.T) {
	for _, c := range []struct {
		answer, want string
		ok           bool
	}{
		{"1 , 2 : USERID : UNIX : joe\r\n", "joe", true},
		{"1,2:USERID:UNIX: j o\te :x\r\n", "joe:x", true},
		{"1,2:ERROR:NO-USER\r\n", "", true}, // known, and empty
		{"\n", "", true},
		{"1,2:USERID:UNIX:joe", "", false}, // cut off
		{"", "", false},
		{"1:2:3:jo\x00e\n", "jo", true},
		{"1:2:3:" + strings.Repeat("a", 257), strings.Repeat("a", 257), true},
		{"1:2:3:" + strings.Repeat("a", 256), "", false},
		{strings.Repeat(" ", 1020) + ":::\n", "", true},
		{strings.Repeat(" ", 1021) + ":::\n", "", false},
	} {
		got, err := readInfo(strings.NewReader(c.answer))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%.40q: %q, error %v; want %q", c.answer, got, err, c.want)
		}
	}
}

// FuzzReadInfo: whatever the peer says, the name is short and has no byte that
// would end a line or a variable, and what follows it is not looked at.
func FuzzReadInfo(f *testing.F) {
	f.Add([]byte("1 , 2 : USERID : UNIX : joe\r\n"))
	f.Add([]byte(":::\x00\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		user, err := readInfo(bytes.NewReader(answer))
		if err != nil && user != "" || len(user) > longestInfo || strings.ContainsAny(user, " \t\r\n\x00") {
			t.Errorf("%q, error %v", user, err)
		}
		if line, _, ok := bytes.Cut(answer, []byte("\n")); ok {
			again, _ := readInfo(bytes.NewReader(append(line, '\n')))
			if again != user {
				t.Errorf("%q alone gives %q, with more behind it %q", line, again, user)
			}
		}
	})
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"Mail.Example.COM.": "mail.example.com",
		"a_b-1.x":           "a_b-1.x",
		"a b:c":             `a\040b\072c`,
		"\xff\x00%":         `\377\000\045`,
		`a\b`:               `a\134b`,
	} {
		if got := cleanName(name); got != want {
			t.Errorf("cleanName(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzCleanName: a name has none but harmless bytes, its length is bounded, and
// cleaning it again changes only backslashes.
func FuzzCleanName(f *testing.F) {
	f.Add("Mail.Example.COM.")
	f.Add("a b\xff")
	f.Fuzz(func(t *testing.T, name string) {
		got := cleanName(name)
		if len(got) > 4*longestName || strings.Trim(got, `abcdefghijklmnopqrstuvwxyz0123456789-_.\`) != "" {
			t.Errorf("cleanName(%q) = %q", name, got)
		}
		if !strings.Contains(got, `\`) && !strings.HasSuffix(got, ".") && cleanName(got) != got {
			t.Errorf("cleanName(%q) = %q, not %q again", got, cleanName(got), got)
		}
	})
}

func TestPort(t *testing.T) {
	for s, want := range map[string]uint16{"": 0, "0": 0, "25": 25, "0025": 25, "65535": 65535, "smtp": 25} {
		if got, err := Port(s); err != nil || got != want {
			t.Errorf("Port(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"65536", "-1", "+1", " 1", "1x", "0x19", "no-such-service", "4294967321"} {
		if got, err := Port(s); err == nil {
			t.Errorf("Port(%q) = %d", s, got)
		}
	}
}
