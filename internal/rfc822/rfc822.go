// Package rfc822 reads and writes the header of a message: its fields, and the
// address lists in them. No other package parses headers. See spec "Local
// injection", sections 3, 5 and 6.
//
// The grammar is qmail's. It is wider than RFC 5322: an address may lack its
// domain, a space may stand where a comma should, and 8-bit words are let in and
// come out quoted. Reading a field and printing it normalises its form.
//
// Headers come from strangers, through programs that pass them on. A field may be
// as long as the header may; every reader here takes time in proportion to what
// it reads. No address that could end a record of an envelope leaves the package.
package rfc822
