package clean

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
)

func TestRun(t *testing.T) {
	conf.Home = t.TempDir()
	for _, name := range []string{"pid/old", "intd/7", "mess/7/7", "todo/8", "intd/8", "intd/9/x", "mess/9/9"} {
		path := filepath.Join(conf.Home, "queue", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Join(conf.Home, "queue/pid/old"), now.Add(-37*time.Hour), now); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 10000)
	for i := range long {
		long[i] = '1'
	}
	// intd/9 is a directory and cannot be unlinked: mess/9 must stay.
	w.WriteString("foop/7\x00todo/8\x00foop/12345\x00foop/9\x00todo/../x\x00foop/7 \x00" + string(long) + "\x00\x00foop/7\x00half")
	w.Close()
	if err := Run(&prog.Process{Stdin: r, Stdout: out, Now: func() time.Time { return now }}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(out.Name()); string(got) != "+++!xxxx+" {
		t.Errorf("answers %q, want +++!xxxx+", got)
	}
	for name, want := range map[string]bool{"pid/old": false, "intd/7": false, "mess/7/7": false, "todo/8": false, "intd/8": false, "mess/9/9": true} {
		if _, err := os.Stat(filepath.Join(conf.Home, "queue", name)); (err == nil) != want {
			t.Errorf("%s there: %v, want %v", name, err == nil, want)
		}
	}
}

// Requests that come together are answered together, but no answer waits for the rest
// of a request.
func TestAnswersDoNotWait(t *testing.T) {
	conf.Home = t.TempDir()
	if err := os.Mkdir(filepath.Join(conf.Home, "queue"), 0o755); err != nil {
		t.Fatal(err)
	}
	requests, toClean, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, clean, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- Run(&prog.Process{Stdin: requests, Stdout: clean, Now: time.Now}) }()
	for _, c := range []struct{ request, want string }{
		{"todo/1\x00foop/1\x00todo/2\x00fo", "+++"},
		{"op/2\x00", "+"},
		{"x\x00todo/3", "x"},
		{"\x00", "+"},
	} {
		toClean.WriteString(c.request)
		got := make([]byte, 16)
		n, err := answers.Read(got)
		if string(got[:n]) != c.want || err != nil {
			t.Errorf("%q is answered with %q, %v, want %q in one write", c.request, got[:n], err, c.want)
		}
	}
	toClean.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
