// Command qmail-tcpok forgets which hosts did not answer.
//
//	qmail-tcpok
//
// It empties the table that qmail-tcpto prints, so that the next delivery to each of
// those hosts tries to connect. Messages that wait are tried when they are due, or
// at once after an ALRM signal to qmail-send.
//
// # Exit status
//
// 0, or 111 if the table cannot be emptied.
//
// # Security
//
// Runs as its caller, who has to be root or qmailr to write to the table.
package main

import (
	"errors"
	"os"
	"path/filepath"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/tcpto"
)

func main() { prog.Main("qmail-tcpok", run) }

func run(*prog.Process) error {
	file := tcpto.In(conf.Home)
	err := file.Wipe()
	if err == nil {
		return nil
	}
	dir := filepath.Dir(string(file))
	if _, cause := os.Stat(dir); cause != nil {
		return prog.Fail("unable to chdir to "+dir, cause)
	}
	doing := "write" // qmail's word for opening it
	if trouble := new(tcpto.Error); errors.As(err, &trouble) && trouble.Doing != "open" {
		doing = trouble.Doing
	}
	return prog.Fail("unable to "+doing+" "+string(file), err)
}
