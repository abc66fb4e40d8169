// Command qmail-explain says what would happen to a message for an address.
//
//	qmail-explain [--json] [--sender ADDRESS] [--default-delivery INSTRUCTIONS] ADDRESS ...
//
// For each ADDRESS it prints, step by step: whether qmail-smtpd takes mail for it
// from strangers; what control/envnoathost, percenthack, locals and virtualdomains
// make of it; whose it is by users/cdb or qmail-getpw; which .qmail file answers and
// what each of its lines does; or by which line of control/smtproutes, or by which
// MX records, mail goes to which addresses in which order, and which of them are
// left alone since they did not answer. Forwards are followed up to five deep.
//
// The message would come from --sender, sender@example.net without it. What
// qmail-start was told to do where a .qmail file is absent or empty is not written
// down anywhere: --default-delivery repeats it.
//
// Nothing is sent and no program run. With --json the same is one JSON document,
// see qmail-explain(8).
//
// # Exit status
//
// 0 if every ADDRESS is delivered, forwarded to where it is, or discarded; 100 if
// one would bounce, or the call was wrong; 111 if one would be deferred, or that
// could not be seen.
//
// # Security
//
// Runs as its caller and only reads; what the caller may not read is reported as not
// seen. It asks the DNS about hosts that .qmail files and other people's DNS records
// name. Addresses, files and records are strangers', and come out in printable ASCII.
package main

import (
	"quail/internal/explain"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-explain", explain.Run) }
