package qbiff

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
	"quail/internal/utmp"
)

// terminal makes a terminal and returns its other end and its name below /dev.
func terminal(t *testing.T) (master *os.File, line string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	line = "pts/" + strconv.Itoa(n)
	// Somebody has to hold the terminal open, or it hangs up between two writes.
	holder, err := os.OpenFile("/dev/"+line, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Close() })
	return master, line
}

// A terminal is written to once for each login there, if it wants that.
func TestWrite(t *testing.T) {
	master, line := terminal(t)
	path := "/dev/" + line
	stdin := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(stdin, []byte("Subject: x\n\nhi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := prog.Env{"USER=joe", "SENDER=s@x", "LOCAL=joe-x"}
	const text = "\r\n\a*** TO <joe-x> FROM <s@x>\r\n    x//hi/\r\n"
	for _, c := range []struct {
		what   string
		env    prog.Env
		logins []utmp.Entry
		mode   os.FileMode
		uid    int
		want   string
	}{
		{"one", env, []utmp.Entry{{User: "joe", Line: line}}, 0o720, os.Getuid(), text},
		{"two", env, []utmp.Entry{{User: "joe", Line: line}, {User: "joe", Line: line}}, 0o720, os.Getuid(), text + text},
		{"somebody else's login", env, []utmp.Entry{{User: "jane", Line: line}, {User: "jo", Line: line}}, 0o720, os.Getuid(), ""},
		{"biff n", env, []utmp.Entry{{User: "joe", Line: line}}, 0o620, os.Getuid(), ""},
		{"somebody else's terminal", env, []utmp.Entry{{User: "joe", Line: line}}, 0o720, os.Getuid() + 1, ""},
		{"no sender", env.Without("SENDER"), []utmp.Entry{{User: "joe", Line: line}}, 0o720, os.Getuid(), ""},
		{"bounce", env.With("SENDER", ""), []utmp.Entry{{User: "joe", Line: line}}, 0o720, os.Getuid(), strings.Replace(text, "s@x", "", 1)},
		{"absent", env, []utmp.Entry{{User: "joe", Line: "pts/none"}, {User: "joe", Line: "../" + line}}, 0o720, os.Getuid(), ""},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		message, err := os.Open(stdin)
		if err != nil {
			t.Fatal(err)
		}
		announce(&prog.Process{Env: c.env, UID: c.uid, Stdin: message}, c.logins)
		message.Close()
		// What we write last ends what there is to read.
		write(path, "end", os.Getuid())
		if c.mode != 0o720 {
			os.Chmod(path, 0o720)
			write(path, "end", os.Getuid())
		}
		got := ""
		for !strings.HasSuffix(got, "end") {
			b := make([]byte, 1000)
			n, err := master.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got += string(b[:n])
		}
		// The terminal itself makes CR LF of LF.
		if got = strings.ReplaceAll(got, "\r\r\n", "\r\n"); got != c.want+"end" {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
