// Package warm keeps programs running between their jobs.
//
// Starting a process is most of what a message costs. A program that is started once
// a job may instead be started once and handed its jobs: what exec would have given
// it, arguments, environment, directory and descriptors, comes over a socket, and
// what wait would have given, the raw status, goes back. WARM.md has every byte.
//
// A Keeper is the parent's side: it runs each command warm if the file of its program
// ends with Mark and cold, by exec, if not. Nothing is ever run to find that out.
// Main is the program's side: the same function serves one job cold and many warm.
//
// What stays as it is: one process has one user, one wall and one duty. A program
// that dies costs the jobs in its hands a temporary failure. When the parent goes the
// jobs in hand are finished and no new ones taken. A file that was replaced is taken
// up at the next job.
//
// Both ends distrust each other. The program may have been taken over by the user it
// runs as: of what it says only answers about jobs that it holds are believed,
// descriptors that it sends are thrown away, and what it wants to become is run as
// the user that it was. The parent may be anybody: whoever can start a program with a
// socket for descriptor 3 has its rights already.
package warm

import (
	"errors"
	"fmt"

	"quail/internal/proc"
)

// Declined is what a job returns that must be run cold. The job must not have
// touched a descriptor before.
var Declined = errors.New("declined: to be run by itself")

// Outdated is Declined of a process that cannot serve further jobs either, because
// the host has changed since it built its wall. It gets no more of them.
var Outdated = fmt.Errorf("%w: the process is outdated", Declined)

// pidBits is how many bits of a job's number are a process id; no system has larger
// ones.
const pidBits = 22

// Number returns the number of the sequence-th job, from 1, of process pid. No other
// job on the host has it, and no process, as long as pid lives.
func Number(pid, sequence int) int { return sequence<<pidBits | pid }

// IsJob reports whether a number, as Start returns it, is that of a job and not a
// process id.
func IsJob(number int) bool { return number>>pidBits != 0 }

// Command is a program to be run, warm or cold.
type Command = proc.Command
