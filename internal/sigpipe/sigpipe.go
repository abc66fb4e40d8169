// Package sigpipe makes writing to a pipe that nobody reads an error and nothing else,
// on descriptors 1 and 2 as well, where the library would have the program die as one in
// C does. The signal is caught and not ignored, so that programs that are started find it
// at its default.
//
// To have the library catch a signal takes two threads, a good part of all that a small
// program does. So where the machine is known the library is told to ignore it, and the
// kernel gets a handler that does nothing.
package sigpipe

import (
	"os"
	"os/signal"
	"syscall"
)

// Outlive is called once, before anything is started.
func Outlive() {
	if !quietly() {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}
