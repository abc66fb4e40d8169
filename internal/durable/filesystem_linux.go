package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// trusted are the types of file system of which syncfs(2) makes everything durable
// and reports what failed. Ext stands for ext2, ext3 and ext4, see journaled.
var trusted = [...]int64{
	unix.EXT4_SUPER_MAGIC,
	unix.XFS_SUPER_MAGIC,
	unix.BTRFS_SUPER_MAGIC,
	unix.F2FS_SUPER_MAGIC,
	unix.TMPFS_MAGIC,
}

// oldest is the first Linux whose syncfs reports every failure: writing back data
// since 5.8, committing the journal since 5.17.
var oldest = [2]int{5, 17}

// fileSystem can be synced as a whole.
type fileSystem struct {
	dir    *os.File // the kernel keeps for it which errors have been reported
	device uint64
}

// openFileSystem returns the file system of dir, or nil if a sync of the whole of it
// cannot be relied on.
func openFileSystem(dir string) *fileSystem {
	var uname unix.Utsname
	if unix.Uname(&uname) != nil || !recent(unix.ByteSliceToString(uname.Release[:])) {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	fs := &fileSystem{dir: f}
	var st unix.Stat_t
	var info unix.Statfs_t
	fd := int(f.Fd())
	if unix.Fstat(fd, &st) == nil && unix.Fstatfs(fd, &info) == nil && slices.Contains(trusted[:], int64(info.Type)) &&
		(info.Type != unix.EXT4_SUPER_MAGIC || journaled(st.Dev)) {
		fs.device = st.Dev
		return fs
	}
	f.Close()
	return nil
}

// recent reports whether a release of Linux, such as "6.1.0-18-amd64", is not older
// than oldest.
func recent(release string) bool {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	x, err := strconv.Atoi(major)
	y, err2 := strconv.Atoi(minor)
	return err == nil && err2 == nil && (x > oldest[0] || x == oldest[0] && y >= oldest[1])
}

// journaled reports whether the ext file system on a block device has a journal.
// Without one, syncfs writes directories and inodes after it has told the disk to
// empty its cache, and fsync is what must be used.
func journaled(device uint64) bool {
	name, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(device), unix.Minor(device)))
	if err != nil {
		return false
	}
	task, err := os.ReadFile("/sys/fs/ext4/" + filepath.Base(name) + "/journal_task")
	_, err2 := strconv.Atoi(strings.TrimSpace(string(task))) // "<none>" without a journal
	return err == nil && err2 == nil
}

// has reports whether all files and directories of calls are on the file system.
func (fs *fileSystem) has(calls []*call) bool {
	var st unix.Stat_t
	for _, c := range calls {
		for _, f := range c.files {
			if unix.Fstat(int(f.Fd()), &st) != nil || st.Dev != fs.device {
				return false
			}
		}
		for _, dir := range c.dirs {
			if unix.Stat(dir, &st) != nil || st.Dev != fs.device {
				return false
			}
		}
	}
	return true
}

// sync brings all that has been written to the file system to disk.
func (fs *fileSystem) sync() error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(fs.dir.Fd())))
}
