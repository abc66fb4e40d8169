//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be the walled program: a wall cannot be taken
// down again.
func TestMain(m *testing.M) {
	if dir := os.Getenv("QUAIL_TEST_WALL"); dir != "" {
		walled(dir)
		return
	}
	os.Exit(m.Run())
}

// walled builds a wall around this process and says what it can still do.
func walled(dir string) {
	network := map[string]Network{"none": None, "callers": Callers, "local": Local, "host": Host, "clients": Clients}[os.Getenv("QUAIL_TEST_NETWORK")]
	w := Wall{Read: []string{dir + "/read", dir + "/absent"}, Write: []string{dir + "/write"}, Network: network}
	if err := w.Build(); err != nil {
		fmt.Println("build", err)
		return
	}
	say := func(what string, err error) {
		switch {
		case err == nil:
			fmt.Println(what, "yes")
		case errors.Is(err, fs.ErrPermission):
			fmt.Println(what, "no")
		default:
			fmt.Println(what, err)
		}
	}
	_, err := os.ReadFile(dir + "/read/file")
	say("read", err)
	say("write-read", os.WriteFile(dir+"/read/new", nil, 0o600))
	_, err = os.ReadFile(dir + "/other")
	say("read-other", err)
	say("write", os.WriteFile(dir+"/write/new", nil, 0o600))
	say("link", os.Link(dir+"/write/new", dir+"/write/linked"))
	say("remove", os.Remove(dir+"/write/new"))
	_, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	say("inet", err)
	_, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	say("packet", err)
	_, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	say("netlink", err)
	_, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	say("unix", err)
	_, err = net.Listen("tcp4", "127.0.0.1:0")
	say("listen", err)
	// Descriptor 0 is no socket: that is found out where the call is not refused.
	if _, _, err = syscall.Accept(0); errors.Is(err, syscall.ENOTSOCK) {
		err = nil
	}
	say("accept", err)
	say("setuid", syscall.Setuid(os.Getuid()))
	// From many threads, since a wall that one of them is outside of is none.
	for range 50 {
		done := make(chan error)
		go func() {
			_, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
			done <- err
		}()
		if err := <-done; err == nil {
			say("exec", nil)
			return
		}
	}
	fmt.Println("exec no")
}

func TestWall(t *testing.T) {
	for network, want := range map[string]string{
		"none":    "read yes|write-read no|read-other no|write yes|link yes|remove yes|inet no|packet no|netlink no|unix no|listen no|accept no|setuid no|exec no",
		"callers": "read yes|write-read no|read-other no|write yes|link yes|remove yes|inet no|packet no|netlink no|unix no|listen no|accept yes|setuid no|exec no",
		"local":   "read yes|write-read no|read-other no|write yes|link yes|remove yes|inet no|packet no|netlink no|unix yes|listen no|accept yes|setuid no|exec no",
		"host":    "read yes|write-read no|read-other no|write yes|link yes|remove yes|inet no|packet no|netlink yes|unix yes|listen no|accept no|setuid no|exec no",
		"clients": "read yes|write-read no|read-other no|write yes|link yes|remove yes|inet yes|packet no|netlink yes|unix yes|listen no|accept no|setuid no|exec no",
	} {
		dir := t.TempDir()
		for _, d := range []string{"read", "write"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []string{"read/file", "other"} {
			if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "QUAIL_TEST_WALL="+dir, "QUAIL_TEST_NETWORK="+network)
		out, err := cmd.CombinedOutput()
		if got := strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "|"); got != want || err != nil {
			t.Errorf("%s: %v\n%s, want\n%s", network, err, got, want)
		}
	}
}

func TestAvailable(t *testing.T) {
	if got := Available(); !strings.Contains(got, "seccomp") {
		t.Errorf("Available = %q", got)
	}
}
