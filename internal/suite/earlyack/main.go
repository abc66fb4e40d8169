// Command earlyack is what qmail-queue must never be: it takes message and envelope,
// exits with 0, and only then has them queued. The crash test has to find out.
//
//	earlyack <MESSAGE 1<ENVELOPE
//
// It is installed as qmail-queue, beside the true one under the name of
// qmail-queue-real. A message must fit into a pipe.
//
// # Exit status
//
// 0, or 53 if it cannot even begin.
//
// # Security
//
// None is meant: only a test installs it.
package main

import (
	"io"
	"os"
	"syscall"
	"time"
)

// delay is how long nothing but a process has the message: longer than it takes to
// find and kill one.
const delay = 200 * time.Millisecond

// unableToWrite is what qmail-queue says when the disk is full.
const unableToWrite = 53

func main() {
	if len(os.Args) > 1 { // started by the one that has answered
		time.Sleep(delay)
		syscall.Exec(os.Args[0]+"-real", os.Args[:1], nil)
		os.Exit(unableToWrite)
	}
	if acknowledge() != nil {
		os.Exit(unableToWrite)
	}
}

// acknowledge leaves the message to a process of its own and returns.
func acknowledge() error {
	var held []*os.File
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		w.Close()
		held = append(held, r)
	}
	_, err := os.StartProcess(os.Args[0], []string{os.Args[0], "later"}, &os.ProcAttr{Files: held})
	return err
}
