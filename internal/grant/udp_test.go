package grant

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// free returns a UDP port that nobody has.
func free(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// receiver starts relay-ctrl-udp.
func receiver(t *testing.T, dir string) (s started, port int) {
	t.Helper()
	port = free(t)
	s = start(t, nil, []string{"RELAY_CTRL_DIR=" + dir, fmt.Sprintf("RELAY_CTRL_PORT=%d", port)}, named(t, "relay-ctrl-udp"))
	s.await(t, "ready\n")
	return s, port
}

func TestReceive(t *testing.T) {
	dir := t.TempDir()
	s, port := receiver(t, dir)
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.Symlink("/etc/passwd", dir+"/192.0.2.3"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/192.0.2.4", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ packet, name string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.2", "192.0.2.2"},
		{"192.0.2.1\x00junk", "192.0.2.1"},
		{"192.0.2.3", "192.0.2.3"},
		{"2001:db8::1", "2001:db8::1"},
		{"", ""},
		{"../x", ""},
		{"192.0.2.4", ""}, // a directory is in its place
		{strings.Repeat("1", 60000), ""},
		{"192.0.2.5" + strings.Repeat(" ", longest), ""},
	} {
		if _, err := io.WriteString(c, p.packet); err != nil {
			t.Fatal(err)
		}
		if p.name == "" {
			s.await(t, "\n") // it says what is wrong
			continue
		}
		answer := make([]byte, 9)
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := c.Read(answer)
		fi, statErr := os.Lstat(dir + "/" + p.name)
		if err != nil || string(answer[:n]) != "\x01" || statErr != nil || fi.Mode() != 0o644 || fi.Size() != 0 {
			t.Errorf("%q: answered %q, %v; %v, %v", p.packet, answer[:n], err, fi, statErr)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 5 {
		t.Errorf("there are %v", entries)
	}
}

// told takes a packet.
func told(t *testing.T, at net.PacketConn, want string) (from net.Addr) {
	t.Helper()
	at.SetReadDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 100)
	n, from, err := at.ReadFrom(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("%v was told %q, %v, want %q", at.LocalAddr(), b[:n], err, want)
	}
	return from
}

// The next program runs and ends while hosts that have not answered are waited for, and
// has the client to itself.
func TestSend(t *testing.T) {
	one, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	port := one.LocalAddr().(*net.UDPAddr).Port
	other, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	send := named(t, "relay-ctrl-send")
	env := []string{"TCPREMOTEIP=::ffff:192.0.2.7", fmt.Sprintf("RELAY_CTRL_PORT=%d", port), "RELAY_CTRL_REMOTES=127.0.0.1,x,,127.0.0.2,::1"}
	var stdout bytes.Buffer
	s := start(t, &stdout, append(env, "RELAY_CTRL_TRIES=1", "RELAY_CTRL_TIMEOUT=1000"), send, "sh", "-c", "echo served; env | grep -c QUAIL_")
	s.Wait() // for the end of the program and of its output: nobody else holds that
	if stdout.String() != "served\n0\n" {
		t.Errorf("the program printed %q", stdout.String())
	}
	for _, at := range []net.PacketConn{one, other} {
		if _, err := at.WriteTo([]byte{1}, told(t, at, "192.0.2.7")); err != nil {
			t.Fatal(err)
		}
	}
	s.hears(t, "Could not parse IP 'x'.", "Could not parse IP '::1'.")
	s = start(t, nil, append(env, "RELAY_CTRL_TRIES=2"), send, "true")
	from := told(t, one, "192.0.2.7")
	told(t, other, "192.0.2.7")
	if _, err := one.WriteTo([]byte("1 or anything"), from); err != nil {
		t.Fatal(err)
	}
	told(t, other, "192.0.2.7")
	s.hears(t, "Could not parse IP 'x'.", "Could not parse IP '::1'.", "Timed out waiting for response from '127.0.0.2'.")
}

// hears reads all that a program and its child say, and wants these warnings.
func (s started) hears(t *testing.T, want ...string) {
	t.Helper()
	said, err := io.ReadAll(s.says)
	if err != nil {
		t.Fatalf("the child does not end: %v", err)
	}
	for _, text := range want {
		if !strings.Contains(string(said), "]: Warning: "+text+"\n") {
			t.Errorf("%q is not said in %q", text, said)
		}
	}
	if n := bytes.Count(said, []byte("\n")); n != len(want) {
		t.Errorf("said %q", said)
	}
}

func TestSendWithout(t *testing.T) {
	for _, c := range []struct {
		env    []string
		args   []string
		status int
		says   string
	}{
		{nil, nil, 111, "Fatal: usage: relay-ctrl-send program [ arg ... ]\n"},
		{[]string{"TCPREMOTEIP=x"}, []string{"true"}, 111, "Fatal: Must be run from tcp-env or tcpserver.\n"},
		{[]string{"TCPREMOTEIP=::1"}, []string{"true"}, 0, "Warning: $RELAY_CTRL_REMOTES is not set.\n"},
		{[]string{"TCPREMOTEIP=::1", "RELAY_CTRL_REMOTES=127.0.0.1", "AUTHUSER=", "AUTHARGV0="}, []string{"true"}, 0, ""},
		{[]string{"TCPREMOTEIP=::1", "RELAY_CTRL_REMOTES=", sender + "=1"}, nil, 0, ""},
	} {
		_, status, said := call(t, Send, "/", c.env, c.args...)
		if status != c.status || strings.TrimPrefix(said, "relay-ctrl-x[7]: ") != c.says {
			t.Errorf("%q %q: status %d, said %q, want %d, %q", c.env, c.args, status, said, c.status, c.says)
		}
	}
}

// What strangers send while answers are waited for neither counts nor takes time.
func TestHear(t *testing.T) {
	socket, err := datagrams(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	at, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				c.Write([]byte{1})
			}
		}
	}()
	defer close(stop)
	p := newProgram(process(), true)
	w := p.remotes("127.0.0.2")
	begun := time.Now()
	p.hear(socket, w, 200*time.Millisecond)
	if took := time.Since(begun); took > 10*time.Second || len(w) != 1 {
		t.Errorf("it took %v, and %v are left", took, w)
	}
	w = p.remotes("127.0.0.1")
	if p.hear(socket, w, time.Minute); len(w) != 0 {
		t.Errorf("%v are left", w)
	}
}
