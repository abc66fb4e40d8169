// Command qmail-qstat counts the messages in the queue.
//
//	qmail-qstat
//
// It prints two lines: how many messages there are, with those that are still
// being written and the remains of interrupted ones, and how many qmail-send has
// not looked at yet.
//
// # Exit status
//
// 0, or 111 if the queue could not be read.
//
// # Security
//
// Runs as its caller, which has to be in the group qmail to read the queue. It
// opens no message.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/queue"
)

func main() { prog.Main("qmail-qstat", run) }

func run(p *prog.Process) error {
	mess, err := count("mess")
	if err != nil {
		return err
	}
	todo, err := count("todo")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "messages in queue: %d\nmessages in queue but not yet preprocessed: %d\n", mess, todo)
	return err
}

// count returns the number of regular files below a directory of the queue,
// whatever their names.
//
// Differs from qmail: what cannot be read is an error and does not count as empty.
func count(dir queue.Name) (n int, err error) {
	top := queue.In(conf.Home).Path(dir) + "/." // the directory may be a symbolic link
	err = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != top {
			return nil // gone meanwhile
		}
		if err != nil {
			return prog.Fail("unable to read "+path, err)
		}
		if entry.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n, err
}
