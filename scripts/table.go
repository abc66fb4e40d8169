// Package scripts is the directory of what builds, installs and starts the suite. In
// Go there is only the table of what an installation consists of.
package scripts

import _ "embed" // for Files

// Files is the table that install makes an installation from, and that instcheck
// holds one against: the file "files" in this directory, whose comment explains it.
//
//go:embed files
var Files string
