package addrwatch

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"quail/internal/localaddr"
)

// TestMain lets the test binary be a program in a network of its own.
func TestMain(m *testing.M) {
	if os.Getenv("QUAIL_TEST_NETWORK") != "" {
		if err := inNetwork(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The kernel tells of a change: the next look sees it, and those between changes ask
// nobody.
func TestChange(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUAIL_TEST_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// inNetwork adds an address to a network that has none and takes it away again.
func inNetwork() error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	reads := 0
	w := Watch{read: func() (localaddr.Set, error) {
		reads++
		return localaddr.Local()
	}}
	addr := netip.MustParseAddr("192.0.2.77")
	wait := func(what string, want bool) error {
		for range 5000 {
			set, err := w.Local()
			if err != nil {
				return err
			}
			if set.Has(addr) == want {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		return fmt.Errorf("%s: not seen", what)
	}
	message := &rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: 32, Index: uint32(lo.Index),
		Attributes: &rtnetlink.AddressAttributes{Address: net.IP(addr.AsSlice()), Local: net.IP(addr.AsSlice())},
	}
	up := &rtnetlink.LinkMessage{Index: uint32(lo.Index), Flags: unix.IFF_UP, Change: unix.IFF_UP}
	down := &rtnetlink.LinkMessage{Index: uint32(lo.Index), Change: unix.IFF_UP}
	for _, step := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"nothing", func() error { return nil }, false},
		{"interface up", func() error { return conn.Link.Set(up) }, false},
		{"address added", func() error { return conn.Address.New(message) }, true},
		{"interface down", func() error { return conn.Link.Set(down) }, false},
		{"interface up again", func() error { return conn.Link.Set(up) }, true},
		{"address removed", func() error { return conn.Address.Delete(message) }, false},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := wait(step.what, step.want); err != nil {
			return err
		}
	}
	if !w.watching {
		return fmt.Errorf("the kernel was not asked to tell")
	}
	time.Sleep(50 * time.Millisecond) // for news of the last step that came in parts
	if _, err := w.Local(); err != nil {
		return err
	}
	before := reads
	for range 1000 {
		if _, err := w.Local(); err != nil {
			return err
		}
	}
	if reads != before {
		return fmt.Errorf("read %d times without a change", reads-before)
	}
	return nil
}
