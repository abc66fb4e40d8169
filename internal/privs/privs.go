// Package privs finds the suite's accounts and changes identity to them.
//
// It reads /etc/passwd and /etc/group itself: os/user and the name service behind
// it would run inside set-uid and root programs for nothing, since only the
// suite's own accounts are asked for here. Recipients are qmail-getpw's business.
package privs

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Where accounts are listed. Variables so that tests can point at their own.
var (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// UnknownError says that the host has no such account. Its text is what qmail's
// programs print (spec "The queue", section 1).
type UnknownError struct{ Kind, Name string }

func (e *UnknownError) Error() string { return "unable to find " + e.Kind + " " + e.Name }

// maxLine bounds a line of these files: groups may have thousands of members.
const maxLine = 1 << 20

// User returns the user id of the account name.
func User(name string) (uid int, err error) {
	ids, err := lookup(passwdFile, "user", name, 1)
	return ids[0], err
}

// Group returns the group id of the group name.
func Group(name string) (gid int, err error) {
	ids, err := lookup(groupFile, "group", name, 1)
	return ids[0], err
}

// Login returns the identity of the account name: its user, and of all groups the one
// that stands in the same line.
func Login(name string) (Identity, error) {
	ids, err := lookup(passwdFile, "user", name, 2)
	return Identity{UID: ids[0], GID: ids[1]}, err
}

// lookup finds the line "name:x:ID:…" or "name:x:ID:ID:…" in file, with n numbers.
func lookup(file, kind, name string, n int) (ids [2]int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return ids, fmt.Errorf("unable to find %s %s: %w", kind, name, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 5)
		if len(fields) < 2+n || fields[0] != name {
			continue
		}
		for i, field := range fields[2 : 2+n] {
			id, err := strconv.ParseUint(field, 10, 31)
			if err != nil {
				return [2]int{}, fmt.Errorf("unable to find %s %s: %s: bad id %q", kind, name, file, field)
			}
			ids[i] = int(id)
		}
		return ids, nil
	}
	if err := lines.Err(); err != nil {
		return ids, fmt.Errorf("unable to find %s %s: %w", kind, name, err)
	}
	return ids, &UnknownError{kind, name}
}

// Groups returns the ids of the groups that list the account name as a member.
func Groups(name string) ([]int, error) {
	f, err := os.Open(groupFile)
	if err != nil {
		return nil, fmt.Errorf("unable to find groups of %s: %w", name, err)
	}
	defer f.Close()
	var gids []int
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), name) {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 31); err == nil {
			gids = append(gids, int(id))
		}
	}
	return gids, lines.Err()
}

// Identity is who a process is: never more than one group, as in qmail, unless
// Groups names more.
type Identity struct {
	UID, GID int
	Groups   []int // supplementary groups; GID alone if nil
}

// Account returns the identity made of one account and one group.
func Account(user, group string) (Identity, error) {
	uid, err := User(user)
	if err != nil {
		return Identity{}, err
	}
	gid, err := Group(group)
	if err != nil {
		return Identity{}, err
	}
	return Identity{UID: uid, GID: gid}, nil
}

// Credential returns what a child needs to start as id, or nil if it needs
// nothing: a suite that runs without root, all of it as one user, changes to
// nobody, and a change to anybody else is refused.
func (id Identity) Credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		if id.UID != os.Geteuid() {
			return nil, fmt.Errorf("unable to become uid %d: %w", id.UID, syscall.EPERM)
		}
		return nil, nil
	}
	c := &syscall.Credential{Uid: uint32(id.UID), Gid: uint32(id.GID)}
	for _, g := range id.groups() {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c, nil
}

func (id Identity) groups() []int {
	if id.Groups == nil {
		return []int{id.GID}
	}
	return id.Groups
}

// DropTo makes the whole process id, for good. Afterwards it proves that root
// cannot be had back.
func DropTo(id Identity) error {
	c, err := id.Credential()
	if err != nil || c == nil {
		return err
	}
	// 1. Groups and group first: they cannot be changed without root.
	if err := syscall.Setgroups(id.groups()); err != nil {
		return fmt.Errorf("unable to set groups: %w", err)
	}
	if err := syscall.Setgid(id.GID); err != nil {
		return fmt.Errorf("unable to set gid %d: %w", id.GID, err)
	}
	// 2. The user: real, effective and saved.
	if err := syscall.Setuid(id.UID); err != nil {
		return fmt.Errorf("unable to set uid %d: %w", id.UID, err)
	}
	// 3. Never trust a system call with this: try to go back.
	if id.UID != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("uid %d could become root again", id.UID)
	}
	return nil
}
