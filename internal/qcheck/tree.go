package qcheck

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/layout"
	"quail/internal/queue"
)

// treeItem is a file or directory of the queue that is always there.
type treeItem struct {
	layout.Item
	name     queue.Name
	uid, gid int
	mode     fs.FileMode
}

// tcptoSize is the size of lock/tcpto, in bytes.
const tcptoSize = 1024

// tree returns what there is always to be in the queue, directories first.
func tree(table string, accounts *layout.Accounts) (items []treeItem, err error) {
	all, err := layout.Parse(table)
	for _, i := range all {
		below, ok := strings.CutPrefix(i.Path, "queue")
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		t := treeItem{Item: i, name: queue.Name(path.Clean("./" + below))}
		if t.uid, t.gid, t.mode, err = accounts.Expected(i); err != nil {
			return nil, err
		}
		items = append(items, t)
		for n := uint64(0); i.Kind == "s" && n < conf.Split; n++ {
			sub := t
			sub.name += queue.Name("/" + strconv.FormatUint(n, 10))
			items = append(items, sub)
		}
	}
	return items, err
}

// tree looks at what is always there.
func (j *judge) tree(items []treeItem) error {
	for _, i := range items {
		fi, err := os.Stat(j.dir.Path(i.name)) // the administrator may have put links
		var st unix.Stat_t
		if err == nil {
			if err := unix.Stat(j.dir.Path(i.name), &st); err != nil {
				return err
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		what := ""
		switch {
		case err != nil:
			what = "is not there"
		case fi.Mode().Type() != i.Type():
			what = "has the wrong type"
		case int(st.Uid) != i.uid:
			what = "has the wrong owner, not " + i.Owner
		case int(st.Gid) != i.gid:
			what = "has the wrong group, not " + i.Group
		case fi.Mode()&layout.ModeBits != i.mode:
			what = "has the wrong mode, not " + layout.Octal(i.mode)
		case i.Kind == "t" && fi.Size() != tcptoSize:
			what = "has the wrong size, not " + strconv.Itoa(tcptoSize)
		}
		if what != "" {
			j.findings = append(j.findings, finding{kind: kindTree, name: i.name, inode: uint64(st.Ino), text: what, item: &i})
		}
	}
	return nil
}
