// Command newinclude compiles an :include: file for fastforward.
//
//	newinclude LIST
//
// LIST has any number of addresses on each line. Lines that begin with # are comments.
// Addresses are completed as in messages, by QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN and
// QMAILPLUSDOMAIN or the control files. :include:NAME is one more list; NAME is that
// of the compiled file. Programs and files to deliver to are refused.
//
// The list is written to LIST.tmp and renamed to LIST.bin when it is complete and on
// disk. Everybody may read it.
//
// # Exit status
//
// 0; 100 for a wrong call; 111 for a line that makes no sense or trouble with a file.
// LIST.bin is then as it was.
//
// # Security
//
// Reads and writes the caller's files with his own rights.
package main

import (
	"quail/internal/newaliases"
	"quail/internal/prog"
)

func main() { prog.Main("newinclude", newaliases.Include, prog.Umask(0o033)) }
