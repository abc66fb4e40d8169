package suite

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tcpserver, as the servers find it that it runs.
func TestSwapTcpserver(t *testing.T) {
	if !asRoot(t, "tcpserver becomes another user") {
		return
	}
	s := install(t)
	s.excuse(foreign, "a script is the server")
	for _, scene := range scenes(t, "swap/tcpserver.tape") {
		s.server(scene)
	}
}

// server plays a scene with tcpserver.
func (s *suite) server(scene scene) {
	s.t.Helper()
	var (
		options       []string
		script, heard string
		port          int
		env           = []string{"PATH=/usr/bin:/bin"}
	)
	for _, p := range scene.steps {
		switch p.verb {
		case "script":
			script = p.text
		case "options":
			options = p.strings
		case "env":
			env = append(env, p.text)
		case "rules":
			s.compileRules("rules", p.text)
		case "from":
			if port == 0 {
				port = s.listen(options, env, script)
			}
			heard = s.connect(p.words[0], port)
		case "out":
			if heard != p.text {
				s.t.Errorf("%s: the client hears %q, want %q", scene.name, heard, p.text)
			}
		default:
			s.t.Fatalf("%s: %s is no step", scene.name, p.verb)
		}
	}
}

// listen runs tcpserver in the root directory until the test ends, and returns its port.
func (s *suite) listen(options, env []string, script string) int {
	s.t.Helper()
	args := []string{"-1"}
	for _, option := range options {
		args = append(args, here(option))
	}
	cmd := exec.Command(s.path("bin/tcpserver"), append(args, "127.0.0.1", "0", "sh", "-c", script)...)
	cmd.Dir, cmd.Env, cmd.Stderr = "/", env, s.errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	b := make([]byte, 16)
	n, _ := out.Read(b)
	return number(s.t, strings.TrimSpace(string(b[:n])))
}

// connect returns what a client from an address hears, with its ports masked.
func (s *suite) connect(from string, port int) string {
	s.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	b, err := io.ReadAll(conn) // who is refused may be reset
	if os.IsTimeout(err) {
		s.t.Fatal(err)
	}
	remote := conn.LocalAddr().(*net.TCPAddr).Port
	return strings.NewReplacer("PORT="+strconv.Itoa(remote)+"\n", "PORT=REMOTEPORT\n", "PORT="+strconv.Itoa(port)+"\n", "PORT=LOCALPORT\n").Replace(string(b))
}
