// Command relay-ctrl-udp takes the word of other hosts that a client has logged in there.
//
//	relay-ctrl-udp
//
// It waits at UDP port RELAY_CTRL_PORT (811) of every IPv4 address of this host. A packet
// is an address; a file of that name is made in the directory RELAY_CTRL_DIR, or that of
// RELAY_CTRL_DIR_FD, and the sender gets one byte, 1. A packet that is no address is told
// on descriptor 2 and not answered.
//
// # Exit status
//
// 111 if there is no directory, or the port cannot be opened.
//
// # Security
//
// Nothing shows that a packet comes from a host of yours: whoever can send one to this
// port can let any address send mail through this host. It is for networks of which
// everybody is trusted with that, behind a filter. Runs as root for its port. On Linux it
// can then write in that directory and nothing else, start no program and open no
// connection.
package main

import (
	"quail/internal/grant"
	"quail/internal/prog"
	"quail/internal/sandbox"
)

func main() {
	prog.Main("relay-ctrl-udp", grant.Receive(func(directory string) error {
		return sandbox.Wall{Write: []string{directory}, Network: sandbox.None}.Build()
	}))
}
