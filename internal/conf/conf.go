// Package conf holds what is fixed when Quail is linked: the home directory, the
// queue split, the spawn limit, the user-extension separator and the names of the
// suite's accounts. See spec "The queue", section 1.
//
// The values come from the linker (-X quail/internal/conf.home=/var/qmail, see
// Makefile), never from the environment: in a setuid program a home directory
// that the caller may choose is a hole. Tests set the variables of this package
// before they start anything.
package conf

import (
	"strconv"
	"strings"
)

// The linker can set strings only, so numbers are parsed below, once.
var (
	home      = "/var/qmail"
	split     = "23"
	spawn     = "120"
	patrn     = "002"
	separator = "-"

	userAlias  = "alias"
	userDaemon = "qmaild"
	userLog    = "qmaill"
	userPasswd = "qmailp"
	userQueue  = "qmailq"
	userRemote = "qmailr"
	userSend   = "qmails"

	groupQmail   = "qmail"
	groupNofiles = "nofiles"

	// mark repeats the values above that must fit an installation, in a form that
	// scripts/install finds in the file without running it: a word, the home, the
	// split and the owner of HOME/alias, each followed by a colon. Only make sets it.
	mark string

	// build is a number that two programs have in common if they were built from
	// the same sources. Only make sets it.
	build string
)

var _ = consistent(mark)

// Where the suite lives and how its queue is laid out.
var (
	// Home is the absolute path of the qmail home, without a trailing slash.
	Home = home
	// Split is the number of subdirectories of mess, info, local and remote.
	Split = number(split, 10)
	// Spawn is how many deliveries one spawner runs at once: 1 to 255, since the
	// limit crosses a pipe as one byte.
	Spawn = int(number(spawn, 10))
	// Patrn holds the mode bits that a home directory and a .qmail file must not have.
	Patrn = uint32(number(patrn, 8))
	// Break separates an account name from the extension of an address.
	Break = separator[0]
)

// Accounts of the suite, looked up by name whenever an id is needed.
var (
	UserAlias  = userAlias  // owner of HOME/alias, takes mail for unknown accounts
	UserDaemon = userDaemon // network servers
	UserLog    = userLog    // splogger
	UserPasswd = userPasswd // qmail-getpw
	UserQueue  = userQueue  // qmail-queue, qmail-clean; owner of the queue
	UserRemote = userRemote // qmail-rspawn, qmail-remote
	UserSend   = userSend   // qmail-send

	GroupQmail   = groupQmail
	GroupNofiles = groupNofiles
)

// LoginSocket is where qmail-auth is called, below the home. Package authwire owns what is
// said there; who makes the socket may be root, and has nothing to do with that.
const LoginSocket = "auth/login"

// Mark returns what the file of a program ends with, put there by make, if it was
// built from the same sources as this one; "" if this one was not built by make.
func Mark(program string) string {
	if build == "" {
		return ""
	}
	return "\nquail-build-" + build + ":" + program + "\n"
}

// consistent holds the mark against the values that it repeats. It is also what
// keeps the linker from leaving an unused string out.
func consistent(mark string) bool {
	if mark != "" && !strings.HasSuffix(mark, ":"+home+":"+split+":"+userAlias+":") {
		panic("conf: linked with the wrong mark " + strconv.Quote(mark))
	}
	return true
}

// number parses a linked-in number. A build with a bad one must not start at all.
func number(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 32)
	if err != nil || n == 0 {
		panic("conf: linked with the bad number " + strconv.Quote(s))
	}
	return n
}
