package queued

import (
	"os"
	"testing"
	"time"
)

// Whoever started us may be gone before we look, and somebody else our parent. Then
// qmail-queued used to stay for good.
func TestOrphaned(t *testing.T) {
	for _, parent := range []int{1<<22 - 1, os.Getpid()} { // one that is not there, and one that is another's
		select {
		case <-orphaned(parent):
		case <-time.After(20 * time.Second):
			t.Errorf("process %d is taken for our parent", parent)
		}
	}
	select {
	case <-orphaned(os.Getppid()):
		t.Error("our parent is taken for gone")
	default:
	}
}
