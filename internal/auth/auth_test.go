package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
)

func TestUsage(t *testing.T) {
	for _, args := range []string{"-0", "-d", "-x", "-d socket program", "-0 -d socket", "-0 -d socket program"} {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		check(t, err)
		p := &prog.Process{Name: "qmail-auth", Args: strings.Fields(args), Dir: "/", Stdin: null, Stderr: null, Now: time.Now}
		if status := p.Do(Run); status != prog.StatusPermanent {
			t.Errorf("qmail-auth %s: status %d", args, status)
		}
		null.Close()
	}
}

// Without its directory there is no socket, and an error that says where it should be.
func TestNoDirectory(t *testing.T) {
	was := conf.GroupNofiles
	conf.GroupNofiles = "root"
	t.Cleanup(func() { conf.GroupNofiles = was })
	path := filepath.Join(t.TempDir(), "auth/login")
	if _, err := listen(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	conf.GroupNofiles = "nosuchgroup"
	if _, err := listen(path); err == nil || !strings.Contains(err.Error(), "unable to find group nosuchgroup") {
		t.Errorf("%v", err)
	}
}
