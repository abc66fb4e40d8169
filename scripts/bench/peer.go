//go:build linux

package main

import "strings"

// peer is a mail server as the bench knows it.
type peer struct {
	name     string
	packages []string
	// setUp are shell commands, run once the packages, the user and the configuration
	// are in place.
	setUp []string
	// configuration are the files that make the server fair and keep its hands off the
	// network. The report prints them.
	configuration func(h *host) []file
	services      func(h *host) []service
	sendmail      string // the command that local users call, or nothing
	front         bool   // it has no queue: only connections are measured
	home          string // of Quail: where the medium's directory for it has to be seen
	connections   int    // that it takes, where a workload wants more than usual
}

// file is one file of a server's configuration.
type file struct{ path, text string }

// service is a program of a server's that runs in the foreground.
type service struct {
	name  string
	argv  []string
	front bool // what strangers talk to
}

// dir names the directory of the peer's logs.
func (p *peer) dir() string { return strings.ToLower(strings.ReplaceAll(p.name, " ", "-")) }

// atOnce is how many deliveries each server may make at a time, and connected how many
// SMTP connections it may have. The load has as many connections as atOnce.
const (
	atOnce    = 20
	connected = 200
)

// load is no server: it has the programs that make the load.
var load = &peer{
	name: "load", packages: []string{"postfix"},
	configuration: func(*host) []file { return nil },
	services:      func(*host) []service { return nil },
}
