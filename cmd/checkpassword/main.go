// Command checkpassword finds out whether a user may log in, and runs a program as that
// user.
//
//	checkpassword PROGRAM [ ARG ... ]
//
// It reads a name, a password and a timestamp, each ended by a NUL, from descriptor 3: at
// most 512 bytes in all. For a challenge and its response (APOP, CRAM-MD5) the response
// stands in place of the password and the challenge in that of the timestamp.
//
// A name that users/mailauth has is checked by that file alone. Any other is the name of
// an account of this host, whose password is in /etc/shadow. Refused are then accounts
// that login would refuse: without a password, locked, expired, or with a shell that
// /etc/shells does not have. No account with user id 0 may log in.
//
// PROGRAM is run with the account's user id, group id and groups, in its home
// directory, with USER, HOME and SHELL set.
//
// # Exit status
//
// That of PROGRAM; 1 if the user may not log in, 2 if checkpassword is used wrongly, 111
// if it cannot tell for now.
//
// # Security
//
// Runs as root on a name and a password that a stranger has sent, and does nothing with
// them but to look for the one and to hash the other. For a name that does not exist it
// hashes as well.
package main

import (
	"quail/internal/checkpassword"
	"quail/internal/checkpw"
	"quail/internal/prog"
)

func main() { prog.Main("checkpassword", checkpassword.Run, prog.Input(checkpw.Descriptor)) }
