package maildir

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/durable"
)

// Abandoned is how long nobody may have looked at a file in tmp before Clean removes
// it. No delivery takes so long, see Deadline.
const Abandoned = 36 * time.Hour

// Clean removes what deliveries that never came to an end have left in tmp of the
// Maildir dir. What it cannot remove it leaves: the next reader tries again.
func Clean(dir string, now time.Time) {
	walk(dir, "tmp", func(name string) {
		var st unix.Stat_t
		path := dir + "/" + name
		if unix.Stat(path, &st) == nil && now.Unix() > int64(st.Atim.Sec)+int64(Abandoned/time.Second) {
			os.Remove(path)
		}
	})
}

// Entry is a message in a Maildir.
type Entry struct {
	Name     string // below the Maildir: new/X or cur/X
	Size     int64  // as it is stored
	Modified time.Time
}

// ScanError says which of a Maildir's directories could not be read.
type ScanError struct {
	Dir string // new or cur
	Err error
}

func (e *ScanError) Error() string { return e.Dir + ": " + e.Err.Error() }
func (e *ScanError) Unwrap() error { return e.Err }

// Scan lists the messages in new and cur of the Maildir dir, oldest first. Those of
// the present second are left out: what is listed now comes before anything that is
// delivered later, so that the next listing goes on where this one ends. Other readers
// may move and remove messages at any time; what is gone while it is listed is not
// listed. The error is a *ScanError.
//
// Differs from qmail, where messages of the same second come in any order: they are
// ordered by their full time, then by name.
func Scan(dir string, now time.Time) ([]Entry, error) {
	var found []Entry
	for _, sub := range []string{"new", "cur"} {
		err := walk(dir, sub, func(name string) {
			fi, err := os.Stat(dir + "/" + name)
			if err == nil && fi.ModTime().Unix() < now.Unix() {
				found = append(found, Entry{name, fi.Size(), fi.ModTime()})
			}
		})
		if err != nil {
			return nil, &ScanError{sub, err}
		}
	}
	slices.SortFunc(found, func(a, b Entry) int {
		if c := a.Modified.Compare(b.Modified); c != 0 {
			return c
		}
		return strings.Compare(a.Name[len("new/"):], b.Name[len("cur/"):])
	})
	return found, nil
}

// walk calls use with SUB/NAME for each file in dir/sub whose name does not begin
// with a dot.
func walk(dir, sub string, use func(name string)) error {
	f, err := os.Open(dir + "/" + sub)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(1000)
		for _, name := range names {
			if name[0] != '.' {
				use(sub + "/" + name)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
	}
}

// Open opens a message for reading. Something else that stands in its place, a fifo
// for one, is none: who reads it might wait for ever.
func Open(dir string, e Entry) (*os.File, error) {
	f, err := durable.OpenFile(dir+"/"+e.Name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case fi.IsDir():
		err = &os.PathError{Op: "read", Path: f.Name(), Err: unix.EISDIR}
	case !fi.Mode().IsRegular():
		err = &os.PathError{Op: "read", Path: f.Name(), Err: unix.EINVAL}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ID returns what the name of a message keeps while it is moved and marked, which is
// what POP3 and IMAP know it by.
func (e Entry) ID() string {
	id, _, _ := strings.Cut(e.Name[len("new/"):], ":")
	return id
}

// See moves a message that is in new to cur, the sign that a reader has seen it. A
// failure, as when another reader was first, changes nothing and is nobody's concern.
func See(dir string, e Entry) {
	if name, ok := strings.CutPrefix(e.Name, "new/"); ok {
		os.Rename(dir+"/"+e.Name, dir+"/cur/"+name+":2,")
	}
}
