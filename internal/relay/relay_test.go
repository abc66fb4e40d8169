package relay_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
	"quail/internal/relay"
)

// TestMain lets the test binary be a relay that marks each piece, and a program that
// does as its arguments say.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "marker" {
		prog.Main("marker", func(p *prog.Process) error {
			return relay.Become(p, func(pid string) relay.Ways {
				return relay.Ways{ToProgram: mark("<"), ToNetwork: mark(">"), Piece: 4096}
			})
		})
	}
	os.Exit(m.Run())
}

func mark(with string) relay.Stage {
	return func(piece []byte) []byte {
		if len(piece) == 0 {
			os.Stderr.WriteString(with + "end\n")
			return nil
		}
		return append([]byte(with), piece...)
	}
}

// marker is a relay before the shell script. Its file has the name that the relay is run
// by, too.
func marker(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "marker")
	if err := os.WriteFile(path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return exec.Command(path, "sh", "-c", script)
}

func TestBecome(t *testing.T) {
	for _, c := range []struct{ name, script, stdin, stdout, stderr string }{
		{"both ways", "cat", "abcdef", "><abcdef", "<end\n>end\n"},
		{"status and process id", `test "$(cat)" = "<ab" && test -d /proc/$$ && exit 7`, "ab", "", "<end\n>end\nstatus 7\n"},
		{"nothing to read", "cat; echo x", "", ">x\n", "<end\n>end\n"},
		{"an environment as it was", `cat; test -z "$QUAIL_RELAY" || echo "$QUAIL_RELAY"`, "", "", "<end\n>end\n"},
		{"no descriptors left over", "for n in 3 4 5 6 7 8 9; do (exec <&$n) 2>/dev/null && echo $n; done; exec cat", "", "", "<end\n>end\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := marker(t, c.script)
			var out, says bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &says
			cmd.Run() // until the relay has let go of stdout and stderr too
			if code := cmd.ProcessState.ExitCode(); code != 0 {
				says.WriteString("status " + string(rune('0'+code)) + "\n")
			}
			if out.String() != c.stdout || says.String() != c.stderr {
				t.Errorf("wrote %q and said %q, want %q and %q", out.String(), says.String(), c.stdout, c.stderr)
			}
		})
	}
}

// A program that reads no more but still has something to say, as a server after QUIT,
// is heard to its end, by a client that has sent more than was read.
func TestProgramThatStopsReading(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := server.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := marker(t, "exec <&-; echo go; read x <"+fifo+"; echo bye")
	cmd.Stdin, cmd.Stdout = socket, socket
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	socket.Close()
	client.SetDeadline(time.Now().Add(20 * time.Second))
	begun := make([]byte, 4)
	if _, err := io.ReadFull(client, begun); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: it is read to the end, though not by the program.
	if _, err := client.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	client.(*net.TCPConn).CloseWrite()
	end := make([]byte, len("<end"))
	if _, err := io.ReadFull(says, end); err != nil || string(end) != "<end" {
		t.Fatalf("said %q, %v", end, err)
	}
	if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(client)
	if got := string(begun) + string(rest); got != ">go\n>bye\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	cmd.Wait()
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  prog.Env
		want string
		code int
	}{
		{nil, nil, "marker: usage: marker program [ arg ... ]\n", 100},
		{nil, prog.Env{"QUAIL_RELAY=1"}, "", 111}, // somebody plays with the environment
	} {
		cmd := marker(t, "")
		cmd.Args, cmd.Env = append(cmd.Args[:1], c.args...), c.env
		var says strings.Builder
		cmd.Stderr = &says
		cmd.Run()
		if says.String() != c.want || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%q %q: %q, status %d, want %q, %d", c.args, c.env, says.String(), cmd.ProcessState.ExitCode(), c.want, c.code)
		}
	}
}
