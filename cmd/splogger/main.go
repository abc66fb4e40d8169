// Command splogger makes entries in syslog.
//
//	splogger [ TAG [ FACILITY ] ]
//
// Each line of its input becomes one entry, with the time to the microsecond in
// front of it; a line of more than 799 bytes becomes several, the later ones
// marked by a plus sign. Lines that begin with "alert:" or "warning:" get that
// priority, all others the priority "info". TAG is the name of the program in the
// entries, FACILITY a number, 2 (mail) if it is not given.
//
// Entries are dropped while syslogd is away.
//
// # Exit status
//
// 0, when the input ends.
//
// # Security
//
// Runs as qmaill, which owns nothing. The lines contain what strangers wrote:
// bytes that are not printable ASCII are logged as question marks.
package main

import (
	"quail/internal/prog"
	"quail/internal/sandbox"
	"quail/internal/splogger"
)

func main() {
	prog.Main("splogger", splogger.Run, sandbox.Around(sandbox.Wall{
		Read:    []string{"/etc/localtime", "/usr/share/zoneinfo"},
		Network: sandbox.Syslog,
	}))
}
