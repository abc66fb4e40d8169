package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// qmail-getpw, as qmail-lspawn finds it, with the accounts of the recording in the place
// of the host's.
func TestSwapGetpw(t *testing.T) {
	if !asRoot(t, "a host's accounts are replaced, for one process") {
		return
	}
	s := install(t)
	passwd := filepath.Join(t.TempDir(), "passwd")
	// Owners as in that file.
	s.mkdir("u/smith", 0o755, 64011, 64010)
	s.mkdir("alias", 0o755, 999, 994)
	s.joe("file", "", 0o644)
	for _, scene := range scenes(t, "swap/getpw.tape") {
		argument, out, status := "", "", 0
		for _, p := range scene.steps {
			switch p.verb {
			case "passwd":
				if err := os.WriteFile(passwd, []byte(here(p.text)), 0o644); err != nil {
					t.Fatal(err)
				}
			case "argument":
				argument = p.text
			case "out":
				cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/passwd && exec setpriv --reuid 993 --regid 994 --clear-groups "$@"`,
					passwd, s.path("bin/qmail-getpw"), argument)
				b, err := cmd.Output()
				if cmd.ProcessState == nil {
					t.Fatal(err)
				}
				out, status = recorded(string(b)), cmd.ProcessState.ExitCode()
				if out != p.text {
					t.Errorf("%s: it says %q, want %q", scene.name, out, p.text)
				}
			case "status":
				if got := fmt.Sprint(status); got != strings.Join(p.words, " ") {
					t.Errorf("%s: status %s, want %s", scene.name, got, p.words)
				}
			}
		}
	}
}
