// Command newaliases compiles /etc/aliases for fastforward.
//
//	newaliases
//
// A line of /etc/aliases is an alias, a colon and the addresses that its mail is sent
// to, as in "root: joe, jane@example.org". Lines that begin with a blank continue the
// one before, lines that begin with # are comments. "|command" is a program, and
// :include:/name/of/list a list that newinclude has compiled. An alias owner-LIST is
// the sender of what is forwarded for LIST. Addresses are completed as in messages.
//
// The database is written to /etc/aliases.tmp and renamed to /etc/aliases.cdb when it
// is complete and on disk. Everybody may read it.
//
// # Exit status
//
// 0; 100 for an address of more than 800 bytes; 111 for any other line that makes no
// sense or trouble with a file. /etc/aliases.cdb is then as it was.
//
// # Security
//
// Reads and writes the administrator's files with his own rights.
package main

import (
	"quail/internal/newaliases"
	"quail/internal/prog"
)

func main() { prog.Main("newaliases", newaliases.Program("/etc/aliases").Run, prog.Umask(0o033)) }
