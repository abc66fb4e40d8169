package archtest

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/deps")

// depsDir holds the closure of every privileged program, one package a line.
const depsDir = root + "/testdata/deps"

// privileged lists the programs that run with more rights than a stranger's or a
// recipient's, and the forbidden packages that one may have nevertheless.
var privileged = []struct {
	name, as string
	allowed  map[string]string
}{
	{name: "qmail-queue", as: "set-uid qmailq, started by anybody"},
	{name: "qmail-queued", as: "qmailq, called by anybody"},
	{name: "qmail-qmqpc", as: "in qmail-queue's place, by anybody"},
	{name: "qmail-lspawn", as: "root for life"},
	{name: "qmail-start", as: "root"},
	{name: "qmail-clean", as: "qmailq, which owns the queue"},
	{name: "qmail-getpw", as: "qmailp"},
	{name: "qmail-newu", as: "root, by hand"},
	{name: "qmail-newmrh", as: "root, by hand"},
	{name: "qmail-passwd", as: "root, by hand"},
	{name: "checkpassword", as: "root, on what strangers send"},
	{name: "qmail-popup", as: "root, on what its other half hands over"},
	{name: "qmail-tls", as: "root, before programs that need that"},
	{name: "relay-ctrl-age", as: "root, where anybody has written"},
	{name: "relay-ctrl-chdir", as: "root, before tcpserver"},
	{name: "relay-ctrl-udp", as: "root, on packets of strangers"},
	{name: "qmail-auth", as: "root, where a checkpassword program needs that"},
	{name: "qmail-authd", as: "qmailp, on what qmail-smtpd passes on"},
	{name: "setuidgid", as: "root"},
	{name: "envdir", as: "root in run scripts"},
	{name: "envuidgid", as: "root in run scripts"},
	{name: "softlimit", as: "root in run scripts"},
	{name: "setlock", as: "root in run scripts"},
	{name: "qmail-keys", as: "root for life, and reads private keys"},
	{name: "qmail-keysd", as: "qmailp, with all private keys", allowed: map[string]string{
		"net": "crypto/x509 has addresses in certificates",
	}},
	{name: "tcpserver", as: "root until it has bound its port", allowed: map[string]string{
		"net": "listens and looks up names",
	}},
}

// forbidden are packages that no privileged program contains, and why.
var forbidden = map[string]string{
	"net":           "parses what the network sends; its init asks the system about sockets",
	"crypto/tls":    "is a hundred packages that parse what strangers send",
	"log":           "formats local time: it would open the file that the caller's TZ names",
	"log/slog":      "works by reflection on whatever it is given",
	"os/exec":       "internal/proc starts programs, with nothing inherited that is not named",
	"os/user":       "asks the name service",
	"encoding/json": "works by reflection on whatever it is given",
	"text/template": "runs programs of its own",
	"plugin":        "loads code",
	"flag":          "internal/prog reads options",
}

// goList runs go list for the platform whose closures are committed.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// TestPrivilegedClosures compares the packages in each privileged program with
// the committed list. What the standard library has inside itself (internal/ and
// vendor/) changes with every Go release and is left out.
func TestPrivilegedClosures(t *testing.T) {
	args := []string{"-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`}
	for _, program := range privileged {
		if find(t, "cmd/"+program.name) == nil {
			t.Fatalf("cmd/%s, which runs as %s, does not exist", program.name, program.as)
		}
		args = append(args, "./cmd/"+program.name)
	}
	closures := map[string][]string{}
	for line := range strings.Lines(goList(t, args...)) {
		words := strings.Fields(line)
		closures[filepath.Base(words[0])] = words[1:]
	}
	var files []string
	for _, program := range privileged {
		var listed []string
		for _, path := range closures[program.name] {
			if reason := forbidden[path]; reason != "" && program.allowed[path] == "" {
				t.Errorf("%s, which runs as %s, contains %s: not allowed as a dependency; reason: %s",
					program.name, program.as, path, reason)
			}
			if !insideStandard(path) {
				listed = append(listed, path)
			}
		}
		for path := range program.allowed {
			if !slices.Contains(listed, path) {
				t.Errorf("%s may contain %s, but does not: the exception is stale", program.name, path)
			}
		}
		files = append(files, program.name+".txt")
		compareClosure(t, program.name, listed)
	}
	present, err := os.ReadDir(depsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range present {
		if !slices.Contains(files, entry.Name()) {
			t.Errorf("testdata/deps/%s belongs to no privileged program", entry.Name())
		}
	}
}

func compareClosure(t *testing.T, program string, listed []string) {
	slices.Sort(listed)
	path := filepath.Join(depsDir, program+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(listed, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v: see the package comment for -update", err)
		return
	}
	want := strings.Fields(string(committed))
	for _, path := range listed {
		if !slices.Contains(want, path) {
			t.Errorf("%s now contains %s, which is not in testdata/deps: its init runs with privilege. See the package comment for -update", program, path)
		}
	}
	for _, path := range want {
		if !slices.Contains(listed, path) {
			t.Errorf("%s does not contain %s any more: see the package comment for -update", program, path)
		}
	}
}

// insideStandard reports whether an import path is one that only the standard
// library itself can import. Its paths begin with a word without a dot.
func insideStandard(path string) bool {
	elements := strings.Split(path, "/")
	standard := elements[0] != module && !strings.Contains(elements[0], ".")
	return standard && (slices.Contains(elements, "internal") || elements[0] == "vendor")
}

// A forbidden package that is gone forbids nothing: its successor would be missed.
func TestForbiddenPackagesExist(t *testing.T) {
	var args []string
	for _, table := range []map[string]string{forbidden, banned} {
		for path := range table {
			if path != "C" {
				args = append(args, path)
			}
		}
	}
	goList(t, args...)
}
