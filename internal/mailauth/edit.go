package mailauth

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/durable"
)

// Mode is the file's: only its owner, who answers for it, and root may read it.
const Mode = 0o400

// Edit replaces the file at path by one in which a login has the entry that change
// makes of its old one, nil if it has none, or none if that is nil. The file is made
// if it does not exist and belongs to owner and group; decoy is used if it has none
// yet. Readers see the old file or the new one, which is on disk when Edit returns.
func Edit(path, login string, owner, group int, decoy [32]byte, change func(old *Entry) (*Entry, error)) error {
	locked, err := lock(path, owner, group)
	if err != nil {
		return err
	}
	defer locked.Close()
	blocks, old, err := readBlocks(locked, login, decoy)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	e, err := change(old)
	if err != nil {
		return err
	}
	if e != nil {
		blocks = place(blocks, e)
	} else {
		// A comment above the line goes with it.
		blocks = slices.DeleteFunc(blocks, func(b block) bool { return b.login == login && b.line != "" })
	}
	return replace(path, owner, group, blocks)
}

// lock returns the file, which nobody else edits until it is closed. Whoever waited for
// an editor finds that the file is another one now.
func lock(path string, owner, group int) (*os.File, error) {
	for {
		f, err := durable.OpenFile(path, os.O_RDONLY|os.O_CREATE, Mode)
		if err != nil {
			return nil, fmt.Errorf("open logins: %w", err)
		}
		if err := own(f, owner, group); err != nil {
			f.Close()
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		opened, err1 := f.Stat()
		named, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(opened, named) {
			return f, nil
		}
		f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// own gives a file its owner and mode, whatever the umask made of that.
func own(f *os.File, owner, group int) error {
	fi, err := f.Stat()
	if err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != owner || int(st.Gid) != group {
			err = f.Chown(owner, group)
		}
	}
	if err == nil {
		err = f.Chmod(Mode)
	}
	if err != nil {
		return fmt.Errorf("set owner of logins: %w", err)
	}
	return nil
}

// block is a line with the comments above it. The last one may be comments alone.
type block struct {
	comments, line string // with the ends of lines
	login          string
}

// readBlocks returns the lines sorted by login, the decoy's first, and the entry of one
// of them.
func readBlocks(r io.Reader, login string, decoy [32]byte) (blocks []block, old *Entry, err error) {
	lines := bufio.NewReaderSize(r, maxLine)
	var b block
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		if line == "" {
			break
		}
		text := strings.TrimSuffix(line, "\n")
		if len(text) >= maxLine { // which find could not pass over, whatever it is
			return nil, nil, fmt.Errorf("line %d: %w", n, errLong)
		}
		if text == "" || text[0] == '#' {
			b.comments += text + "\n"
			continue
		}
		e, err := parse(text)
		if text[0] == ':' {
			_, err = parseDecoy(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
		b.line, b.login = text+"\n", e.Login
		blocks = append(blocks, b)
		if e.Login == login {
			old = &e
		}
		b = block{}
	}
	slices.SortStableFunc(blocks, compareBlocks)
	for i := range blocks[:max(0, len(blocks)-1)] {
		if blocks[i].login == blocks[i+1].login {
			return nil, nil, fmt.Errorf("login %q has two lines", blocks[i].login)
		}
	}
	if len(blocks) == 0 || blocks[0].login != "" {
		blocks = slices.Insert(blocks, 0, block{line: decoyLine(decoy) + "\n"})
	}
	if b.comments != "" {
		blocks = append(blocks, b)
	}
	return blocks, old, nil
}

func compareBlocks(a, b block) int { return strings.Compare(a.login, b.login) }

// place puts an entry where it belongs.
func place(blocks []block, e *Entry) []block {
	sorted := blocks
	if sorted[len(sorted)-1].line == "" {
		sorted = sorted[:len(sorted)-1]
	}
	b := block{line: e.String() + "\n", login: e.Login}
	at, found := slices.BinarySearchFunc(sorted, b, compareBlocks)
	if found {
		blocks[at].line = b.line
		return blocks
	}
	return slices.Insert(blocks, at, b)
}

// replace writes the file anew. Its owner is set before there is anything in it.
func replace(path string, owner, group int, blocks []block) error {
	draft, err := durable.CreateMode(path+".tmp", Mode)
	if err != nil {
		return fmt.Errorf("create logins: %w", err)
	}
	defer draft.Close()
	if err := own(draft.File, owner, group); err != nil {
		return err
	}
	var text bytes.Buffer
	for _, b := range blocks {
		text.WriteString(b.comments)
		text.WriteString(b.line)
	}
	if _, err := draft.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write logins: %w", err)
	}
	if err := draft.Finish(); err != nil {
		return fmt.Errorf("write logins: %w", err)
	}
	if err := draft.Publish(path); err != nil {
		return fmt.Errorf("publish logins: %w", err)
	}
	return nil
}
