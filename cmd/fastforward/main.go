// Command fastforward forwards a message as a database of aliases says.
//
//	fastforward [ -nNpPdD ] DATA.cdb
//
// It is meant for ~alias/.qmail-default: "|fastforward -d /etc/aliases.cdb". The
// database is made by newaliases or setforward. Instructions are looked up for the
// whole address, then for @HOST, then for USER@.
//
//	-n  print what would be done, and do nothing
//	-N  do it (the default)
//	-p  leave addresses that are not in the database to the rest of the .qmail file
//	-P  bounce them (the default)
//	-d  the address is $DEFAULT@$HOST, or $EXT@$HOST
//	-D  the address is $RECIPIENT (the default)
//
// # Exit status
//
// 0, or with -p 99, which ends the .qmail file, if all was done; with -p 0 if the
// address is not in the database, else 100; 100 if a program or the queue refuses the
// message for good; 111 for all else.
//
// # Security
//
// Runs as alias, on an address and a message of a stranger's. Programs are named by the
// database alone. The lists that it names may be other users', who can then have any
// file opened that this program can open, and any list read that all may read.
package main

import (
	"quail/internal/fastforward"
	"quail/internal/prog"
)

func main() { prog.Main("fastforward", fastforward.Run) }
