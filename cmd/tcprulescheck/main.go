// Command tcprulescheck shows what tcpserver would do with a connection.
//
//	TCPREMOTEIP=1.2.3.4 tcprulescheck RULES.cdb
//
// It looks in RULES.cdb, made by tcprules, for the address in $TCPREMOTEIP
// (0.0.0.0 if not set) and, where they are set, the host name in $TCPREMOTEHOST
// and the user name in $TCPREMOTEINFO. It prints the rule that decides, or
// "default:" if there is none, and what the rule says.
//
// # Exit status
//
// 0, whatever the rule says; 100 for a wrong call; 111 if RULES.cdb cannot be read.
//
// # Security
//
// Reads the administrator's file with the caller's own rights.
package main

import (
	"fmt"
	"strings"

	"quail/internal/cdbfile"
	"quail/internal/prog"
	"quail/internal/tcprules"
)

func main() { prog.Main("tcprulescheck", run) }

func run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("tcprulescheck rules.cdb")
	}
	name := p.Args[0]
	file, err := cdbfile.Open(p.Path(name))
	if err != nil {
		return prog.Fail("unable to read "+name, err)
	}
	defer file.Close()
	peer := tcprules.Peer{IP: "0.0.0.0"}
	if ip, ok := p.Env.Lookup("TCPREMOTEIP"); ok {
		peer.IP = ip
	}
	peer.Host, peer.HasHost = p.Env.Lookup("TCPREMOTEHOST")
	peer.Info, peer.HasInfo = p.Env.Lookup("TCPREMOTEINFO")
	decision, err := tcprules.Lookup(file.Reader, peer)
	if err != nil {
		return prog.Fail("unable to read "+name, err)
	}
	_, err = fmt.Fprint(p.Stdout, describe(decision))
	return err
}

// describe puts a decision into words. Of a denied connection the environment is
// not shown: nobody will see it.
func describe(d tcprules.Decision) string {
	var b strings.Builder
	if d.Matched {
		b.WriteString("rule " + d.Rule + ":\n")
	} else {
		b.WriteString("default:\n")
	}
	if d.Deny {
		b.WriteString("deny connection\n")
		return b.String()
	}
	for _, setting := range d.Env {
		b.WriteString("set environment variable " + setting + "\n")
	}
	b.WriteString("allow connection\n")
	return b.String()
}
