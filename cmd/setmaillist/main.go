// Command setmaillist compiles a mailing list for fastforward.
//
//	setmaillist LIST.bin LIST.tmp < LIST
//
// Each line of LIST is a recipient's address, with or without & before it, or the name
// of another compiled list, which begins with a slash or dot. Empty lines and those
// that begin with # are ignored, and so are blanks at the end.
//
// The list is written to LIST.tmp, in the same file system, and renamed to LIST.bin
// when it is complete and on disk. Everybody may read it.
//
// # Exit status
//
// 0; 100 for a wrong call; 111 for a line that is none of a list or trouble with a
// file. LIST.bin is then as it was.
//
// # Security
//
// Reads and writes the caller's files with his own rights.
package main

import (
	"bufio"
	"io"

	"quail/internal/durable"
	"quail/internal/maillist"
	"quail/internal/prog"
)

func main() { prog.Main("setmaillist", run, prog.Umask(0o033)) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("setmaillist list.bin list.tmp")
	}
	name, tmp := p.Args[0], p.Args[1]
	draft, err := durable.Create(p.Path(tmp))
	if err != nil {
		return prog.Fail("unable to create "+tmp, err)
	}
	defer draft.Close()
	in, out := bufio.NewReader(p.Stdin), bufio.NewWriter(draft)
	for end := false; !end; {
		line, err := in.ReadString('\n')
		if end = err == io.EOF; err != nil && !end {
			return prog.Fail("unable to read input", err)
		}
		entry, ok, err := maillist.Line(line)
		if err != nil {
			return err
		}
		if ok {
			out.Write(maillist.Append(nil, entry))
		}
	}
	if err := out.Flush(); err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	if err := draft.Finish(); err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	if err := draft.Publish(p.Path(name)); err != nil {
		return prog.Fail("unable to move "+tmp+" to "+name, err)
	}
	return nil
}
