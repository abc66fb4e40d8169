package prog

import (
	"path/filepath"
	"testing"
)

// They stay when those that made sure of them are done.
func TestThreads(t *testing.T) {
	const many = 50
	Threads(many)
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) <= many {
		t.Errorf("%d threads (%v), want more than %d", len(tasks), err, many)
	}
}
