// Package qread is qmail-qread: it lists the messages in the queue that have been
// preprocessed, with their recipients. See spec "Administrative tools", section 1.
//
// It looks at a queue in motion and takes no lock: a message that goes while it is
// being printed is reported as trouble with that message, and the listing goes on.
//
// Addresses are strangers'; bytes that are not printable ASCII come out as
// underscores.
package qread

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/errno"
	"quail/internal/prog"
	"quail/internal/queue"
)

// Run is the program. Like qmail's it complains on standard output.
func Run(p *prog.Process) error {
	out := bufio.NewWriter(p.Stdout)
	listing := list(out, queue.In(conf.Home))
	if listing != nil {
		fmt.Fprintf(out, "fatal: %s\n", complaint(listing))
	}
	if err := out.Flush(); err != nil {
		return prog.Unwritten(err)
	}
	if listing != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}

// complaint is what the error says in qmail's words.
func complaint(err error) string {
	var e *queue.Error
	if errors.As(err, &e) {
		return e.Doing + " " + string(e.Name) + ": " + errno.Text(e.Err)
	}
	return err.Error()
}

func list(w io.Writer, dir queue.Dir) error {
	// "/." asks for what chdir needs: a directory that may be searched.
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return prog.Fail("unable to chdir", err)
	}
	for _, subdir := range queue.Splits("info") {
		if err := listSubdir(w, dir, subdir); err != nil {
			return err
		}
	}
	return nil
}

func listSubdir(w io.Writer, dir queue.Dir, subdir queue.Name) error {
	scan, err := dir.OpenScan(subdir)
	if err != nil {
		return err
	}
	defer scan.Close()
	for {
		id, err := scan.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := message(w, dir, id); err != nil {
			fmt.Fprintf(w, "warning: trouble with #%v: %s\n", id, errno.Text(err))
		}
	}
}

// message prints one message. Nothing is printed unless its first line is known.
//
// Differs from qmail: an info file that is not a record is trouble. qmail prints
// whatever is in it, and what was in memory before.
func message(w io.Writer, dir queue.Dir, id queue.ID) error {
	mess, err := os.Stat(dir.Path(id.Mess()))
	if err != nil {
		return err
	}
	info, err := dir.ReadInfo(id)
	if err != nil {
		return err
	}
	bouncing, err := dir.Exists(id.Bounce())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s  #%v  %d  <%s> ", info.Birth.UTC().Format("2 Jan 2006 15:04:05 GMT"), id, mess.Size(), ascii.Printable(info.Sender, '_'))
	if bouncing {
		fmt.Fprint(w, " bouncing")
	}
	fmt.Fprintln(w)
	for _, channel := range queue.Channels {
		if err := recipients(w, dir, id, channel); err != nil {
			return err
		}
	}
	return nil
}

// recipients prints the recipients of one channel. A channel without a file has
// none left. The last record may be unfinished; it is left out, as are records of
// other kinds.
func recipients(w io.Writer, dir queue.Dir, id queue.ID, channel queue.Channel) error {
	pass, err := dir.OpenPass(id, channel)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pass.Close()
	for {
		r, err := pass.Next()
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err == queue.ErrUnknownType:
			continue
		case err != nil:
			return err
		}
		done := ""
		if r.Done {
			done = "  done"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", done, channel, ascii.Printable(r.Address, '_'))
	}
}
