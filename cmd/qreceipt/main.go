// Command qreceipt answers requests for a notice that a message was delivered.
//
//	qreceipt ADDRESS
//
// It is meant for a line "|qreceipt joe@example.org" in a .qmail file, beside one
// that delivers. If the message has a field Notice-Requested-Upon-Delivery-To that
// lists ADDRESS, exactly as written, a notice goes to the envelope sender. There is
// none for bounces, and the notice itself has no sender, so that nothing answers it.
//
// # Exit status
//
// 0, also if no notice was asked for; 100 if the field cannot be understood, the
// notice is refused or ADDRESS or the variable SENDER is missing; 111 for trouble that
// may pass.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, who decides by the
// sender where the notice goes. It has the Message-ID of the message in it, and no
// more.
package main

import (
	"quail/internal/prog"
	"quail/internal/qreceipt"
)

func main() { prog.Main("qreceipt", qreceipt.Run) }
