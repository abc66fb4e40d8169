// Command qmail-getpw finds the account that controls a local address.
//
//	qmail-getpw LOCAL
//
// LOCAL is what stands before the @ of an address. Its account is the longest
// beginning of LOCAL, in lower case, that is LOCAL as a whole or ends before a
// hyphen, and that names an account which is not root and owns its home directory.
// If there is none, alias has it.
//
// qmail-getpw prints six fields, each followed by a zero byte: user, uid, gid, home
// directory, dash, ext. For LOCAL joe-info and the account joe, dash is "-" and ext
// is "info". qmail-lspawn runs it for each delivery that users/cdb does not cover.
//
// Accounts are those of /etc/passwd. If /etc/nsswitch.conf names other sources for
// them, getent, found along PATH, is asked too.
//
// # Exit status
//
// 0; 100 for a wrong call; 115 if a home directory cannot be looked at for now; 116
// if there is no account alias; 118 if a program is being replaced; 111 for
// everything else that kept it from finding out. All but 100 mean: try later.
//
// # Security
//
// Runs as qmailp, without rights, on a name that a stranger chose. What it prints
// decides what user id a delivery runs with; that of root qmail-lspawn refuses.
package main

import (
	"quail/internal/getpw"
	"quail/internal/sandbox"
	"quail/internal/warm"
)

// bounds: a lookup needs little, unless it runs getent.
var bounds = warm.Bounds{Jobs: 40, Life: 10000, Memory: 32 << 20, Files: 6}

func main() { warm.Main("qmail-getpw", getpw.Run, bounds, sandbox.NoNewPrivileges()) }
