// Package maildir2mbox moves the messages of a Maildir to the end of an mbox, for
// programs that read nothing else. See spec "Injection", section 9.
//
// The user's own program on the user's own files. Deliveries to the Maildir and to the
// mbox go on meanwhile, other readers may work in the Maildir, and the machine may stop
// at any point: a message is then in one of the two or in both, never in neither.
package maildir2mbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"quail/internal/errno"
	"quail/internal/maildir"
	"quail/internal/mbox"
	"quail/internal/prog"
	"quail/internal/received"
)

// names are the files as the user gave them, for messages, and as they are opened.
type names struct {
	mail, draft         string
	mailPath, draftPath string
	dir                 string // of the Maildir
}

// Run is maildir2mbox.
func Run(p *prog.Process) error {
	n, err := files(p)
	if err != nil {
		return err
	}
	maildir.Clean(n.dir, p.Now())
	if messages, err := scan(p, n); err != nil || len(messages) == 0 {
		return err
	}
	lock, err := mbox.Hold(n.mailPath)
	if err != nil {
		return prog.Fail("unable to lock "+n.mail, err)
	}
	defer lock.Close()
	// Another maildir2mbox may have held the lock, and moved what was there.
	messages, err := scan(p, n)
	if err != nil || len(messages) == 0 {
		return err
	}
	if err := move(n, lock, messages); err != nil {
		return err
	}
	for _, e := range messages {
		if err := os.Remove(n.dir + "/" + e.Name); err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(p.Stderr, "%s: warning: $MAILDIR/%s will be delivered twice; unable to unlink: %s\n", p.Name, e.Name, errno.Text(err))
		}
	}
	return nil
}

// files finds out where everything is. Relative names of the mbox and its draft are
// relative to the Maildir.
func files(p *prog.Process) (n names, err error) {
	var dir string
	for _, v := range []struct {
		name  string
		value *string
	}{{"MAIL", &n.mail}, {"MAILTMP", &n.draft}, {"MAILDIR", &dir}} {
		var ok bool
		if *v.value, ok = p.Env.Lookup(v.name); !ok {
			return n, errors.New(v.name + " not set")
		}
	}
	n.dir = p.Path(dir)
	err = syscall.ENOENT // no name is the name of no directory
	if dir != "" {
		_, err = os.Stat(n.dir + "/.")
	}
	if err != nil {
		return n, prog.Fail("unable to chdir to "+dir, err)
	}
	below := *p
	below.Dir = n.dir
	n.mailPath, n.draftPath = below.Path(n.mail), below.Path(n.draft)
	return n, nil
}

func scan(p *prog.Process, n names) ([]maildir.Entry, error) {
	messages, err := maildir.Scan(n.dir, p.Now())
	var where *maildir.ScanError
	if errors.As(err, &where) {
		return nil, prog.Fail("unable to scan $MAILDIR/"+where.Dir, where.Err)
	}
	return messages, err
}

// move puts a copy of the mbox with all messages at its end in the mbox's place. When
// it returns nil that is on disk.
func move(n names, lock *mbox.Lock, messages []maildir.Entry) error {
	draft, err := lock.Draft(n.draftPath)
	if err != nil {
		return prog.Fail("unable to create "+n.draft, err)
	}
	defer draft.Discard()
	unwritten := func(err error) error { return prog.Fail("unable to write to "+n.draft, err) }
	old, err := os.Open(n.mailPath)
	if err != nil {
		return prog.Fail("unable to read "+n.mail, err)
	}
	defer old.Close()
	r := &source{Reader: old}
	if err := draft.Copy(r); r.err != nil {
		return prog.Fail("unable to read "+n.mail, r.err)
	} else if err != nil {
		return unwritten(err)
	}
	for _, e := range messages {
		if unread, err := add(draft, n.dir, e); unread != nil {
			return prog.Fail("unable to read $MAILDIR/"+e.Name, unread)
		} else if err != nil {
			return unwritten(err)
		}
	}
	if err := draft.Finish(); err != nil {
		return unwritten(err)
	}
	if err := draft.Publish(); err != nil {
		return prog.Fail("unable to move "+n.draft+" to "+n.mail, err)
	}
	return nil
}

// source remembers what it failed with.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// maxFirst is how much of a message is searched for the end of its first line. Of an
// address in a longer one nobody would have taken mail.
const maxFirst = 4 << 10

// add copies one message. What went wrong with reading it is told apart.
//
// Differs from qmail, which leaves out a last line that has no end: the message is kept
// whole.
func add(draft *mbox.Draft, dir string, e maildir.Entry) (unread, err error) {
	f, err := maildir.Open(dir, e)
	if err != nil {
		return err, nil
	}
	defer f.Close()
	r := &source{Reader: f}
	message := bufio.NewReaderSize(r, maxFirst)
	first, _ := message.Peek(maxFirst) // its error is met again by the next read
	head := "From " + sender(string(first)) + " " + received.Ctime(e.Modified.UTC()) + "\n"
	err = draft.Add(head, message)
	return r.err, err
}

// sender returns the sender that a message beginning with text came from, as it stands
// in a From line. A local delivery leaves it in the first line, Return-Path.
func sender(text string) string {
	line, _, ended := strings.Cut(text, "\n")
	path, ok := strings.CutPrefix(line, "Return-Path: <")
	switch {
	case !ended || !ok:
		return "XXX"
	case strings.HasPrefix(path, ">"):
		return "MAILER-DAEMON"
	case path == "":
		return ""
	}
	return strings.NewReplacer(" ", "-", "\t", "-").Replace(path[:len(path)-1])
}
