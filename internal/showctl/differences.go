package showctl

import (
	"fmt"
	"io"
)

// Difference is one thing that Quail does otherwise than qmail on purpose.
type Difference struct {
	Topic string
	Text  string
	// Packages mark the difference in their source ("Differs from qmail:"). A test
	// compares the two, so that none is marked and not told.
	Packages string
}

// Differences is printed after all that qmail's own program prints. README has
// the same list.
var Differences = []Difference{
	{"rcpthosts", "without this file every recipient with a domain is refused, unless RELAYCLIENT is set",
		"rcpthosts"},
	{"limits", "soft memory limits (softlimit, ulimit) do not bind the programs themselves: what a session or a message may use is built in",
		"limits"},
	{"numbers", "a number too large for its control file counts as the largest one there is",
		"showctl"},
	{"queue", "directory entries are synced before a message is acknowledged; a message number that is taken is passed over",
		"queue"},
	{"addresses", "IPv6 addresses are listened on, connected to and counted as this host's own",
		"localaddr resolve"},
	{"delivery", "requests between the daemons that are not exactly in form are refused whole",
		"delivery"},
	{"sending", "a line is dot-stuffed after whatever was sent as a line end, so no message can end its text early",
		"dottext"},
}

// differences prints the list as one more paragraph.
func differences(w io.Writer) {
	fmt.Fprint(w, "\nWhere Quail differs from qmail on purpose:\n")
	for _, d := range Differences {
		fmt.Fprintf(w, "%s: %s.\n", d.Topic, d.Text)
	}
}
