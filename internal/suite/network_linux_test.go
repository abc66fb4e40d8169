package suite

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A network is two hosts that have nothing to do with the network of this one: here,
// where the programs under test run, and there, where the rest of the world is. They
// are gone when the test ends, however it ends.
type network struct{ here, there *namespace }

// namespace is a host of such a network. It lasts as long as a process is in it: the
// one that waits for the pipe, or whatever the test has started there.
type namespace struct {
	t    testing.TB
	pid  int
	pipe io.Closer
}

// newNetwork links two hosts. resolvConf is what is in /etc/resolv.conf here.
func newNetwork(t testing.TB, resolvConf string) network {
	t.Helper()
	n := network{newNamespace(t, resolvConf), newNamespace(t, "")}
	n.here.must("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", fmt.Sprint(n.there.pid))
	n.here.must("ip", "link", "set", "veth0", "up")
	n.there.must("ip", "link", "set", "veth1", "up")
	return n
}

func newNamespace(t testing.TB, resolvConf string) *namespace {
	t.Helper()
	script := "ip link set lo up && "
	if resolvConf != "" {
		script += "mount --make-rprivate / && mount --bind '" + resolvConf + "' /etc/resolv.conf && "
	}
	cmd := exec.Command("sh", "-c", script+"echo ready && exec cat >&2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("a network of the test's own: %v", err)
	}
	t.Cleanup(func() {
		pipe.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("a network of the test's own: %v", err)
	}
	return &namespace{t, cmd.Process.Pid, pipe}
}

// enter is what comes before a command line that is to run in the namespace.
func (n *namespace) enter() []string {
	return []string{"nsenter", "-t", fmt.Sprint(n.pid), "-n", "-m", "--"}
}

func (n *namespace) must(args ...string) {
	n.t.Helper()
	args = append(n.enter(), args...)
	must(n.t, args[0], args[1:]...)
}

// addresses gives a host addresses at its end of the link.
func (n *namespace) addresses(device string, list ...string) {
	n.t.Helper()
	for _, a := range list {
		args := []string{"ip", "address", "add", a, "dev", device}
		if strings.Contains(a, ":") {
			args = append(args, "nodad") // nobody else can have it
		}
		n.must(args...)
	}
}

// do calls f in the namespace: what sockets it opens belong there for good.
func (n *namespace) do(f func() error) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

// serve starts a host at an address and port of the namespace.
func (n *namespace) serve(address string, script script) *host {
	n.t.Helper()
	var l net.Listener
	n.do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return serveOn(n.t, l, script)
}

// nsd runs a name server with one zone for everything, and one that is broken.
func (n *namespace) nsd(program, address, zone string) {
	n.t.Helper()
	dir, err := os.MkdirTemp(*work, "nsd")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	conf := strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(`server:
	ip-address: ADDRESS
	username: ""
	zonesdir: "DIR"
	database: ""
	pidfile: "DIR/pid"
	xfrdfile: "DIR/xfrd"
	xfrdir: "DIR"
	zonelistfile: "DIR/list"
	logfile: "DIR/log"
	server-count: 1
remote-control:
	control-enable: no
zone:
	name: "."
	zonefile: "zone"
zone:
	name: "broken.test"
	zonefile: "absent"
`)
	for name, contents := range map[string]string{"conf": conf, "zone": zone} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	args := append(n.enter(), program, "-d", "-c", filepath.Join(dir, "conf"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	eventually(n.t, "the name server", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Contains(string(log), "nsd started")
	})
}
