package proc

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestWaitHoldsNoThread: a limit on threads must not limit how many programs can
// be waited for.
func TestWaitHoldsNoThread(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const programs = 60
	before := threads(t)
	var children []*Child
	for range programs {
		child, err := Command{Args: []string{"/bin/sh", "-c", "read x; exit 3"}, Dir: "/", Stdin: r}.Start()
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
	}
	var waiting, done sync.WaitGroup
	waiting.Add(programs)
	for _, child := range children {
		done.Go(func() {
			waiting.Done()
			if status, err := child.Wait(); err != nil || status.Raw() != 3<<8 {
				t.Errorf("status %v, error %v", status, err)
			}
		})
	}
	waiting.Wait()
	if more := threads(t) - before; more > programs/2 {
		t.Errorf("%d programs are waited for by %d threads", programs, more)
	}
	w.Close()
	done.Wait()
}

func threads(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nThreads:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
