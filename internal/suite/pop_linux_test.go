package suite

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// popProcess is a process of a POP session.
type popProcess struct {
	pid    int
	name   string
	status map[string]string // of /proc/PID/status
}

// below lists the processes that a process has started, and those that they have.
func below(pid int) (all []popProcess) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(b)) {
			child, _ := strconv.Atoi(word)
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
			if err != nil {
				continue
			}
			p := popProcess{pid: child, status: map[string]string{}}
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				p.status[name] = strings.TrimSpace(value)
			}
			p.name = p.status["Name"]
			all = append(append(all, p), below(child)...)
		}
	}
	return all
}

// session returns the processes of the one POP session that tcpserver has, by name, once
// those are there.
func (s *suite) popSession(t *testing.T, names ...string) map[string]popProcess {
	t.Helper()
	tcpserver := s.processes[len(s.processes)-1].Process.Pid
	var found map[string]popProcess
	eventually(t, fmt.Sprint(names, " to be there alone"), func() bool {
		found = map[string]popProcess{}
		all := below(tcpserver)
		for _, p := range all {
			found[p.name] = p
		}
		for _, name := range names {
			if _, ok := found[name]; !ok {
				return false
			}
		}
		return len(all) == len(names)
	})
	return found
}

// The half that a stranger speaks with is qmaild and behind a wall, from the first byte to
// the last, and has nothing of TLS's beside it in the one that is root.
func TestPOPHalves(t *testing.T) {
	s := install(t)
	_, trust := s.underTLS()
	port := s.pop3()
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	if root {
		uid, gid = account(t, "passwd", "qmaild"), account(t, "group", "nofiles")
	}
	look := func(names ...string) {
		t.Helper()
		processes := s.popSession(t, names...)
		half, mine := processes["qmail-popnet"].status, processes["qmail-popup"].status
		ids := func(id string) string { return strings.TrimSpace(strings.Repeat(id+"\t", 4)) }
		if half["Uid"] != ids(uid) || half["Gid"] != ids(gid) || root && half["Groups"] != gid || half["Seccomp"] != "2" || half["NoNewPrivs"] != "1" || root && half["CapEff"] != "0000000000000000" {
			t.Errorf("qmail-popnet runs as %s, %s, %s, Seccomp %s, NoNewPrivs %s, CapEff %s", half["Uid"], half["Gid"], half["Groups"], half["Seccomp"], half["NoNewPrivs"], half["CapEff"])
		}
		if mine["Uid"] != ids(strconv.Itoa(os.Getuid())) {
			t.Errorf("qmail-popup runs as %s", mine["Uid"])
		}
	}
	c := s.popClient(t, port)
	look("qmail-popup", "qmail-popnet")
	c.stls(trust)
	c.say("USER joe\r\nPASS secret\r\nNOOP\r\n", "+OK", "+OK", "+OK")
	look("qmail-popup", "qmail-popnet", "qmail-pop3d")
	c.say("QUIT\r\n", "+OK")
	c.end()
	s.popSession(t) // nobody is left

	// Without TLS only the server has the connection after the login.
	c = s.popClient(t, port)
	c.say("USER joe\r\nPASS secret\r\nNOOP\r\n", "+OK", "+OK", "+OK")
	s.popSession(t, "qmail-popup", "qmail-pop3d")
	c.conn.Close()
	s.popSession(t)
}

// Whichever side of a session goes, all go.
func TestPOPEnds(t *testing.T) {
	s := install(t)
	_, trust := s.underTLS()
	port := s.pop3()
	kill := func(t *testing.T, p popProcess) {
		t.Helper()
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(t *testing.T, all map[string]popProcess) {
		t.Helper()
		for name, p := range all {
			eventually(t, name+" to end", func() bool {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
				return err != nil || strings.Contains(string(b), ") Z ")
			})
		}
	}
	for _, killed := range []string{"qmail-popup", "qmail-popnet", "the client"} {
		t.Run(killed+" before the login", func(t *testing.T) {
			c := s.popClient(t, port)
			all := s.popSession(t, "qmail-popup", "qmail-popnet")
			if killed == "the client" {
				c.conn.Close()
			} else {
				kill(t, all[killed])
				if _, err := io.ReadAll(c.r); err != nil {
					t.Error(err)
				}
			}
			gone(t, all)
		})
	}
	for _, killed := range []string{"qmail-popup", "qmail-popnet", "qmail-pop3d", "the client", "the client's connection"} {
		t.Run(killed+" under TLS", func(t *testing.T) {
			c := s.popClient(t, port)
			plain := c.conn
			c.stls(trust)
			c.say("USER joe\r\nPASS secret\r\nNOOP\r\n", "+OK", "+OK", "+OK")
			all := s.popSession(t, "qmail-popup", "qmail-popnet", "qmail-pop3d")
			switch killed {
			case "the client":
				c.conn.Close()
			case "the client's connection":
				plain.Close()
			default:
				kill(t, all[killed])
				io.ReadAll(c.r)
			}
			gone(t, all)
		})
	}
}
