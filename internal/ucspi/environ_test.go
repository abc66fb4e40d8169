package ucspi

import (
	"slices"
	"strings"
	"testing"

	"quail/internal/prog"
)

func TestEnviron(t *testing.T) {
	old := prog.Env{"A=1", "TCPREMOTEHOST=evil", "TCPREMOTEINFO=root", "TCPREMOTEHOSTS=x", "PROTO=UDP", "TCPLOCALHOST=me", "RELAYCLIENT="}
	for _, c := range []struct {
		name string
		conn Connection
		want []string
	}{
		{"nothing known: variables are removed, not emptied", Connection{},
			[]string{"A=1", "TCPREMOTEHOSTS=x", "RELAYCLIENT="}},
		{"all known", Connection{"TCP", "127.0.0.1", "25", Known("a.b"), "10.0.0.1", "1025", Known("c.d"), Known("joe")},
			[]string{"A=1", "TCPREMOTEHOSTS=x", "RELAYCLIENT=", "PROTO=TCP", "TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=25",
				"TCPLOCALHOST=a.b", "TCPREMOTEIP=10.0.0.1", "TCPREMOTEPORT=1025", "TCPREMOTEHOST=c.d", "TCPREMOTEINFO=joe"}},
		{"info known and empty", Connection{RemoteInfo: Known("")},
			[]string{"A=1", "TCPREMOTEHOSTS=x", "RELAYCLIENT=", "TCPREMOTEINFO="}},
		{"a value ends at NUL", Connection{RemoteInfo: Known("joe\x00X=y")},
			[]string{"A=1", "TCPREMOTEHOSTS=x", "RELAYCLIENT=", "TCPREMOTEINFO=joe"}},
	} {
		if got := c.conn.Environ(old); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if old[1] != "TCPREMOTEHOST=evil" {
		t.Error("Environ changed the environment it was given")
	}
}

func TestOr(t *testing.T) {
	if got := (Value{}).Or("unknown"); got != "unknown" {
		t.Errorf("no value: got %q", got)
	}
	if got := Known("").Or("unknown"); got != "" {
		t.Errorf("empty value: got %q", got)
	}
}

// FuzzEnviron: what one side writes the other reads, whatever was in the
// environment before and whatever the peer called itself.
func FuzzEnviron(f *testing.F) {
	f.Add("A=1\nTCPREMOTEINFO=x\nTCPREMOTEINFO=y", "TCP", "127.0.0.1", "25", "host", true, "info", true)
	f.Add("", "", "", "", "", false, "", true)
	f.Add("=\n\nPROTO", "TCP6", "::1", "0", "a=b", true, "a\nb=c", false)
	f.Fuzz(func(t *testing.T, old, proto, ip, port, host string, hasHost bool, info string, hasInfo bool) {
		for _, s := range []string{proto, ip, port, host, info} {
			if strings.Contains(s, "\x00") {
				return // cut there, see TestEnviron
			}
		}
		c := Connection{Proto: proto, LocalIP: ip, LocalPort: port, RemoteIP: ip, RemotePort: port}
		if hasHost {
			c.RemoteHost, c.LocalHost = Known(host), Known(host)
		}
		if hasInfo {
			c.RemoteInfo = Known(info)
		}
		env := c.Environ(strings.Split(old, "\n"))
		if got := FromEnv(env); got != c {
			t.Errorf("wrote %+v, read %+v", c, got)
		}
		if again := c.Environ(env); !slices.Equal(again, env) {
			t.Errorf("not idempotent: %q then %q", env, again)
		}
	})
}
