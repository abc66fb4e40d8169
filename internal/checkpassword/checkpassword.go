// Package checkpassword is the program of that name, whose interface is D. J.
// Bernstein's: see spec "Receiving mail", section 10, and package checkpw.
//
// It runs as root on a name and a password from the network. A stranger learns nothing
// but yes or no, and no sooner for a name that does not exist than for one that does.
// Nothing here reads from or writes to the network, whose connection PROGRAM inherits.
package checkpassword

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"quail/internal/checkpw"
	"quail/internal/conf"
	"quail/internal/mailauth"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// Exit statuses, besides 111.
const (
	statusRefused = 1
	statusMisused = 2
)

// errRefused ends the program for whoever may not log in, whatever the reason.
var errRefused = prog.Exit(statusRefused)

// Run is checkpassword.
func Run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Status(statusMisused, errors.New("usage: checkpassword program [ arg ... ], with a record on descriptor 3"))
	}
	name, password, timestamp, err := read(p)
	if err != nil {
		return err
	}
	c := &check{p: p, name: name, password: password, timestamp: timestamp}
	a, err := c.account()
	if err != nil {
		return err
	}
	return become(p, a)
}

// read returns the record on descriptor 3.
func read(p *prog.Process) (name, password, timestamp string, err error) {
	if len(p.Extra) == 0 || p.Extra[0] == nil {
		return "", "", "", prog.Status(statusMisused, errors.New("there is no record on descriptor 3"))
	}
	in := p.Extra[0]
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, checkpw.MaxRecord+1))
	if err != nil {
		return "", "", "", prog.Fail("unable to read descriptor 3", err)
	}
	defer clear(b)
	if len(b) > checkpw.MaxRecord {
		return "", "", "", errRefused
	}
	name, password, timestamp, ok := checkpw.Parse(b)
	if !ok {
		return "", "", "", prog.Status(statusMisused, errors.New("the record on descriptor 3 is not name, password and timestamp, each ended by a NUL"))
	}
	return name, password, timestamp, nil
}

// check is one attempt to log in.
type check struct {
	p                         *prog.Process
	name, password, timestamp string
}

// account returns the account that the user may log in to.
func (c *check) account() (account, error) {
	e, known, right, err := c.byMail()
	if err != nil {
		return account{}, err
	}
	today := c.p.Now().Unix() / (24 * 60 * 60)
	if known && right {
		return c.mailbox(e, today)
	}
	// The password is hashed again for a login that the file has decided about, so that
	// nobody can tell by the time which names it has.
	t, err := hostAccount(c.name, c.password, today)
	if known {
		return account{}, errRefused
	}
	if err != nil {
		return account{}, err
	}
	if t.refusal != "" {
		fmt.Fprintf(c.p.Stderr, "%s: account %q may not log in: %s\n", c.p.Name, c.name, t.refusal)
	}
	if !t.right || t.refusal != "" {
		return account{}, errRefused
	}
	return t.account, nil
}

// byMail asks users/mailauth: whether it has the login, and whether what the client sent
// is the password or was made of the secret.
func (c *check) byMail() (e mailauth.Entry, known, right bool, err error) {
	f, err := mailauth.Open(conf.Home + "/" + mailauth.Path)
	if err != nil {
		return e, false, false, err
	}
	e, known, err = f.Lookup(c.name)
	if err == sasl.ErrUnsupported {
		return e, false, false, nil
	}
	if err != nil {
		return e, false, false, err
	}
	_, err1 := f.Password(c.name, c.password)
	err2, err3 := sasl.ErrWrong, sasl.ErrWrong
	// Without a challenge the digest would be always the same: as good as a password.
	if c.timestamp != "" {
		_, err2 = f.APOP(c.name, c.timestamp, strings.ToLower(c.password))
		_, err3 = f.Digest(c.name, c.timestamp, strings.ToLower(c.password))
	}
	for _, err := range []error{err1, err2, err3} {
		switch {
		case err == nil:
			right = true
		case err != sasl.ErrWrong:
			return e, false, false, err
		}
	}
	return e, known, right, nil
}

// mailbox returns the account that a login of users/mailauth has its mail in.
func (c *check) mailbox(e mailauth.Entry, today int64) (a account, err error) {
	name := e.Account
	if name == "" {
		name = e.Login
	}
	a, ok, err := findAccount(name)
	if err != nil {
		return a, err
	}
	refusal := fmt.Sprintf("there is no account %q, and qmail-passwd -u has not named another", name)
	if ok {
		if refusal, err = a.refused(today); err != nil {
			return a, err
		}
	}
	if refusal != "" {
		fmt.Fprintf(c.p.Stderr, "%s: login %q has no mailbox: %s\n", c.p.Name, e.Login, refusal)
		return account{}, errRefused
	}
	return a, nil
}

// become gives up root for good and turns into the user's program.
func become(p *prog.Process, a account) error {
	// 1. Groups, group, user; root cannot be had back.
	groups, err := privs.Groups(a.name)
	if err != nil {
		return err
	}
	if err := privs.DropTo(privs.Identity{UID: a.uid, GID: a.gid, Groups: append([]int{a.gid}, groups...)}); err != nil {
		return err
	}
	// 2. As the user, who may be able to reach the home directory where root is not.
	env := p.Env.With("USER", a.name).With("HOME", a.home).With("SHELL", a.shell)
	return &prog.Become{Args: p.Args, Env: env, Dir: a.home}
}
