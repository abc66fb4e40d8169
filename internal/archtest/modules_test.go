package archtest

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// modules gives the reason for every module in go.mod. What only tests import is
// marked, and must stay so.
var modules = map[string]struct {
	reason   string
	testOnly bool
}{
	"github.com/go-crypt/crypt":                     {reason: "has the hashes of crypt(3) that /etc/shadow is written with, for checkpassword alone"},
	"github.com/go-crypt/x":                         {reason: "is needed by github.com/go-crypt/crypt"},
	"github.com/google/go-cmp":                      {reason: "is needed by the tests of github.com/mdlayher/netlink"},
	"github.com/josharian/native":                   {reason: "is needed by github.com/mdlayher/netlink"},
	"github.com/jsimonetti/rtnetlink/v2":            {reason: "tells long-lived programs of changes of this host's addresses, see internal/addrwatch"},
	"github.com/landlock-lsm/go-landlock":           {reason: "walls a program in on Linux, for all its threads at once"},
	"github.com/mdlayher/netlink":                   {reason: "is the socket below github.com/jsimonetti/rtnetlink, and its settings"},
	"github.com/mdlayher/socket":                    {reason: "is needed by github.com/mdlayher/netlink"},
	"github.com/miekg/dns":                          {reason: "encodes DNS messages; the resolver on top of it is ours, since qmail's classes of errors are"},
	"github.com/spf13/pflag":                        {reason: "reads the command lines of the new tools, which are not bound to qmail's getopt"},
	"golang.org/x/net":                              {reason: "is needed by github.com/miekg/dns"},
	"golang.org/x/sync":                             {reason: "is needed by github.com/mdlayher/socket"},
	"golang.org/x/sys":                              {reason: "has the system calls that the standard library has not: flock, poll, descriptor passing"},
	"kernel.org/pub/linux/libs/security/libcap/psx": {reason: "changes all threads of a process at once, for internal/sandbox and go-landlock"},
}

func TestModules(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct{ Path string }
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod replaces %s: others could not build the module", r.Old.Path)
	}
	required := map[string]bool{}
	for _, m := range mod.Require {
		required[m.Path] = true
		if modules[m.Path].reason == "" {
			t.Errorf("go.mod requires %s without a reason in the table modules", m.Path)
		}
	}
	for path := range modules {
		if !required[path] {
			t.Errorf("%s has a reason and is not in go.mod: the row is stale", path)
		}
	}
}

func TestTestOnlyModules(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.code() {
			for _, path := range f.imports() {
				for name, m := range modules {
					if m.testOnly && testOnly[p.dir] == "" && (path == name || strings.HasPrefix(path, name+"/")) {
						t.Errorf("%s imports %s, which is for tests only", f.path, path)
					}
				}
			}
		}
	}
}
