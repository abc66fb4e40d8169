// Command qmail-pw2u makes users/assign out of a file like /etc/passwd.
//
//	qmail-pw2u [ -/ohHuUC ] [ -cCHAR ] < PASSWD > users/assign
//
// Each account gets the addresses NAME and NAME-ANYTHING; those of the account alias
// are all that no other has. Left out are accounts with uid 0, those whose home
// directory is not theirs or absent, and those with capital letters in their names.
//
//	-o   leave accounts without home directory out (default)
//	-h   stop at an account without home directory
//	-H   do not look at home directories
//	-U   leave accounts with capital letters out (default)
//	-u   take them
//	-c+  NAME+ANYTHING instead of NAME-ANYTHING
//	-C   NAME alone
//	-/   put .qmail files into directories: .qmail-/ANYTHING
//
// The files users/include and users/exclude say which accounts are taken,
// users/mailnames gives an account other names, users/subusers gives addresses to
// extensions of accounts, users/append is copied.
//
// # Exit status
//
// 0; 100 for a wrong option; 111 if a file cannot be read or there is no account
// alias. Unless it is 0 the output is not complete and qmail-newu will not take it.
//
// # Security
//
// Run by the administrator, on his own files; it changes nothing. Lines that are not
// complete or have no number for an id are passed over.
package main

import (
	"quail/internal/prog"
	"quail/internal/pw2u"
)

func main() { prog.Main("qmail-pw2u", pw2u.Run) }
