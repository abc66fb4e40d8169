//go:build !linux

package suite

import "testing"

func TestDNS(t *testing.T) {
	leaveOut(t, "makes a network of its own, which takes Linux")
}

func TestExplainDNS(t *testing.T) {
	leaveOut(t, "makes a network of its own, which takes Linux")
}

func TestBlockLists(t *testing.T) {
	leaveOut(t, "makes a network of its own, which takes Linux")
}
