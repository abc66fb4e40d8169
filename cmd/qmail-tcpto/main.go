// Command qmail-tcpto prints the table of hosts that did not answer.
//
//	qmail-tcpto
//
// A host that lets connections time out is left alone for a while by all deliveries.
// The table holds those that did so lately: the address, how many seconds ago the
// last timeout was counted, and how many there were. See qmail-tcpok for how to
// forget them.
//
// # Exit status
//
// 0, or 111 if the table cannot be read; the reason is on standard output, as with
// qmail's own.
//
// # Security
//
// Runs as its caller, who has to be root, or qmailr in the group qmail, to lock the
// table, and changes nothing.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quail/internal/conf"
	"quail/internal/errno"
	"quail/internal/prog"
	"quail/internal/tcpto"
)

func main() { prog.Main("qmail-tcpto", run) }

func run(p *prog.Process) error {
	entries, err := tcpto.In(conf.Home).Entries()
	if err != nil {
		fmt.Fprintf(p.Stdout, "fatal: unable to %s: %s\n", doing(err), errno.Text(err))
		return prog.Exit(prog.StatusTemporary)
	}
	now := p.Now().Unix()
	for _, e := range entries {
		ago := uint64(now - e.Last.Unix()) // of a time to come a huge number, as ever
		_, err := fmt.Fprintf(p.Stdout, "%s timed out %d seconds ago; # recent timeouts: %d\n", e.Addr, ago, e.Count)
		if err != nil {
			return err
		}
	}
	return nil
}

// doing returns what could not be done, in qmail's words.
func doing(err error) string {
	var trouble *tcpto.Error
	if _, cause := os.Stat(filepath.Dir(string(tcpto.In(conf.Home)))); cause != nil || !errors.As(err, &trouble) {
		return "chdir"
	}
	return trouble.Doing + " tcpto"
}
