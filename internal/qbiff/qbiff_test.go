package qbiff

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/prog"
)

// What is wanted is what the C program writes.
func TestAnnouncement(t *testing.T) {
	const head = "\r\n\a*** TO <joe> FROM <s@x>\r\n"
	for message, want := range map[string]string{
		"Subject: hi there\nFrom: x\n\nbody\nmore\n":     "    hi there//body/more/",
		"Subject: a\n fold\xe4\x1b[2J\nsubject:b\n\nz\n": "    a/ fold//[2J/b//z/",
		"subject:" + strings.Repeat("x", 200) + "\n\nz":  "    " + strings.Repeat("x", 74),
		"A: b\n\n" + strings.Repeat("z", 200):            "    /" + strings.Repeat("z", 73),
		"subject:y\n":                                    "    y/",
		"subject\t: y\n\nz":                              "    y//z/",
		"no header at all\n":                             "    /no header at all/",
		"\n\nbody\n":                                     "    //body/",
		"":                                               "    ",
		"Subject: \r\n hi\n\n":                           "    hi//",
		"Subject:\n\n  \n":                               "    /  /",
	} {
		if got := announcement("joe", "s@x", strings.NewReader(message)); got != head+want+"\r\n" {
			t.Errorf("%q: %q, want %q", message, got, head+want+"\r\n")
		}
	}
	if got := announcement("\x9bj", "a\x1b\n\xe4b", strings.NewReader("")); got != "\r\n\a*** TO <_j> FROM <a___b>\r\n    \r\n" {
		t.Errorf("odd addresses: %q", got)
	}
}

// FuzzAnnouncement: nothing reaches a terminal but printable ASCII between the line
// ends and the bell that are ours.
func FuzzAnnouncement(f *testing.F) {
	f.Add("joe", "s@x", "Subject: \x1b[2J\n\n\x07body")
	f.Fuzz(func(t *testing.T, local, sender, message string) {
		text := announcement(local, sender, strings.NewReader(message))
		text, ok1 := strings.CutPrefix(text, "\r\n\a")
		lines := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
		if !ok1 || len(lines) != 2 || len(lines[1]) > width || len(lines[0]) != len("*** TO <> FROM <>")+len(local)+len(sender) {
			t.Fatalf("%q", text)
		}
		for _, c := range []byte(lines[0] + lines[1]) {
			if c < ' ' || c > '~' {
				t.Errorf("%q", text)
			}
		}
	})
}

// A file that is no terminal is left alone, wherever a login says that it is one.
func TestNoTerminal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	write(name, "text", os.Getuid())
	if got, _ := os.ReadFile(name); len(got) != 0 {
		t.Errorf("wrote %q to a file", got)
	}
}

// Whatever happens, a delivery goes on.
func TestRun(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &prog.Process{Name: "qbiff", Env: prog.Env{"USER=no such user", "SENDER=", "LOCAL="}, Stdin: out, Stdout: out, Stderr: out}
	if status := p.Do(Run); status != 0 {
		t.Errorf("status %d", status)
	}
	if said, _ := io.ReadAll(out); len(said) != 0 {
		t.Errorf("said %q", said)
	}
}
