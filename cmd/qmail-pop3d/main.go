// Command qmail-pop3d gives the messages of a Maildir to a POP client.
//
//	qmail-pop3d MAILDIR
//
// qmail-popup and a program that checks passwords run it, as the user who has logged
// in and in his home directory. It talks to the client on descriptors 0 and 1, and knows
// STAT, LIST, UIDL, RETR, TOP, DELE, LAST, RSET, NOOP, QUIT and CAPA. Commands may be sent
// without waiting for replies.
//
// QUIT removes the messages that were deleted, and moves the others from new to cur;
// without it nothing changes. The Maildir is not locked: others may deliver to it and
// read it at the same time. A message keeps its number as long as the session
// lasts, and its UIDL as long as it exists.
//
// # Environment
//
// POP3UTF8, set by qmail-popup, is off for a client that has not asked for UTF-8: headers
// that have it are then sent in ASCII, as far as that goes.
//
// # Exit status
//
// 0, however the session ended; 1 if it was run by root.
//
// # Security
//
// Refuses to run as root. Messages are sent as they are, without being held in
// memory, and no name of a file comes from the client.
package main

import (
	"quail/internal/pop3d"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-pop3d", pop3d.Run) }
