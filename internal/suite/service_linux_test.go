package suite

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The run directories, under the programs that they are made for.

// runDirectories puts them below home, for a port that is free and a log of the home's,
// and returns a directory with a link to each and the port.
func (s *suite) runDirectories() (services string, port int) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	here := strings.NewReplacer("/var/qmail", home, "/var/log/qmail", s.path("log"), "/etc/tcp.smtp.cdb", s.path("tcp.smtp.cdb"),
		"\nport=25\n", fmt.Sprintf("\nport=%d\n", port))
	for _, name := range []string{"rc", "rc.smtpd", "supervise/qmail-send/run", "supervise/qmail-send/log/run",
		"supervise/qmail-smtpd/run", "supervise/qmail-smtpd/log/run"} {
		text, err := os.ReadFile(filepath.Join("../../scripts", name))
		if err != nil {
			s.t.Fatal(err)
		}
		s.mkdir(filepath.Dir(name), 0o755, 0, 0)
		s.write(name, here.Replace(string(text)))
		if err := os.Chmod(s.path(name), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	s.mkdir("log", 0o755, 0, 0)
	services = s.t.TempDir()
	for _, name := range []string{"qmail-send", "qmail-smtpd"} {
		if err := os.Symlink(s.path("supervise/"+name), filepath.Join(services, name)); err != nil {
			s.t.Fatal(err)
		}
	}
	return services, port
}

// alone makes a PATH with these tools and nothing else, for every user.
func (s *suite) alone(tools []string) (path string, ok bool) {
	s.mkdir("tools", 0o755, 0, 0)
	for _, name := range tools {
		at, ok := tool(s.t, name)
		if !ok {
			return "", false
		}
		if err := os.Symlink(at, s.path("tools/"+name)); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.path("tools"), true
}

var shellTools = []string{"sh", "env", "sed", "cat", "mkdir", "chown", "chmod"}

// supervised has a program look after the services, sends mail both ways, has stop end
// everything, and reads the logs.
func supervised(t *testing.T, tools, argv []string, stop func(program *os.Process, services, path string)) {
	if !asRoot(t, "the log is written as qmaill") {
		return
	}
	s := install(t)
	path, ok := s.alone(append(shellTools, tools...))
	if !ok {
		return
	}
	services, port := s.runDirectories()
	cmd := exec.Command(filepath.Join(path, argv[0]), append(argv[1:], services)...)
	cmd.Env = []string{"PATH=" + path}
	cmd.Stderr = s.errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() { stop(cmd.Process, services, path) })
	t.Cleanup(func() {
		end() // or they would start again what the test ends
		endAll()
		cmd.Process.Kill()
		cmd.Wait()
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	eventually(t, "the SMTP service to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	if s.exists("bin/qmail-queued") {
		eventually(t, "qmail-queued to listen", s.called)
	}
	if err := submit(t, "127.0.0.1", port, "", "joe@"+me, "Subject: supervised\n\n"); err != nil {
		t.Fatal(err)
	}
	s.inject("x@"+me, "joe@"+me, "Subject: supervised\n\n")
	eventually(t, "both messages", func() bool { return len(s.mail("u/joe/Maildir")) == 2 })
	end()
	s.allEnd()
	for name, line := range map[string]string{"qmail-send": " status: exiting\n", "qmail-smtpd": " tcpserver: end "} {
		current := s.path("log/" + name + "/current")
		eventually(t, "the end in the log of "+name, func() bool {
			text, err := os.ReadFile(current)
			return err == nil && strings.Contains(string(text), line)
		})
	}
}

func TestDaemontools(t *testing.T) {
	tools := []string{"svscan", "supervise", "multilog", "setuidgid", "svc", "svok"}
	supervised(t, tools, []string{"svscan"}, func(svscan *os.Process, services, path string) {
		svscan.Kill()
		directories, _ := filepath.Glob(services + "/*")
		must(t, filepath.Join(path, "svc"), append([]string{"-dx"}, directories...)...)
		for _, dir := range directories { // the log's supervise ends with what it reads
			eventually(t, dir+" to end", func() bool { return exec.Command(filepath.Join(path, "svok"), dir).Run() != nil })
			must(t, filepath.Join(path, "svc"), "-dx", dir+"/log")
			eventually(t, dir+"/log to end", func() bool { return exec.Command(filepath.Join(path, "svok"), dir+"/log").Run() != nil })
		}
	})
}

func TestRunit(t *testing.T) {
	tools := []string{"runsvdir", "runsv", "svlogd", "chpst"}
	supervised(t, tools, []string{"runsvdir", "-P"}, func(runsvdir *os.Process, _, _ string) {
		runsvdir.Signal(syscall.SIGHUP) // which is how it ends with its services
	})
}
