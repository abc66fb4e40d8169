// Command qmail-showctl explains the configuration of the suite.
//
//	qmail-showctl
//
// It prints the values fixed when the suite was built, what each file in
// HOME/control means or what stands for it if it is absent, the names of files
// there that no program reads, and where Quail differs from qmail. Of files that
// patched versions of qmail read it says whether they are dangerous to ignore. A
// file that it may not read is reported as trouble; run it as root to see all.
//
// # Exit status
//
// 0, or 111 if the control directory or control/me could not be read, or if an
// account of the suite does not exist.
//
// # Security
//
// Runs as its caller and only reads. Values are the administrator's; bytes that
// could steer a terminal are printed as question marks.
package main

import (
	"quail/internal/prog"
	"quail/internal/showctl"
)

func main() { prog.Main("qmail-showctl", showctl.Run) }
