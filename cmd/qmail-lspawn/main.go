// Command qmail-lspawn runs local deliveries for qmail-send.
//
//	qmail-lspawn DEFAULTDELIVERY
//
// It takes requests from descriptor 0, runs qmail-local as the user that each
// recipient belongs to, and reports on descriptor 1. DEFAULTDELIVERY stands for a
// .qmail file where a user has none.
//
// # Exit status
//
// 0 when its input has ended and all deliveries are done; 100 without an argument;
// 111 if it cannot begin.
//
// # Security
//
// Runs as root, to become any user but root. Its requests come from qmail-send and
// hold addresses that strangers chose.
package main

import (
	"quail/internal/conf"
	"quail/internal/lspawn"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-lspawn", lspawn.Run, prog.Frugal, prog.Directory(conf.Home)) }
