package smtpd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"quail/internal/addrwatch"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/keywire"
	"quail/internal/prog"
	"quail/internal/rcpthosts"
	"quail/internal/servertls"
	"quail/internal/submit"
	"quail/internal/ucspi"
	"quail/internal/warm"
)

// server is what the sessions of a process have in common.
type server struct {
	crowd     crowd
	lounge    ucspi.Lounge
	addresses addrwatch.Watch

	queue submit.Client

	start sync.Once
	keys  *servertls.Keys
	asked asked // of qmail-auth

	config   kept[*config]
	accounts kept[*accounts]
}

// kept is what some control files say. They are looked at for each session and read
// again if one has changed.
type kept[T any] struct {
	mu    sync.Mutex
	stamp control.Stamp
	value T
}

// get returns what the files say. Beside an error there is what read returns with one.
func (k *kept[T]) get(p *prog.Process, files []string, read func(control.Dir) (T, error)) (T, error) {
	dir := control.In(conf.Home)
	if !p.Warm {
		return read(dir)
	}
	k.mu.Lock()
	stamp, value := k.stamp, k.value
	k.mu.Unlock()
	if stamp.Valid(dir) {
		return value, nil
	}
	stamp = dir.Stamp(files...)
	value, err := read(dir)
	if err == nil && stamp.Settled(p.Now()) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stamp, k.value = stamp, value
	}
	return value, err
}

// config is what the control files say. It is not changed: sessions share it.
type config struct {
	timeout     time.Duration
	greeting    string // who we say we are
	limit       int    // databytes
	localIPHost string // the name for a domain that is an address of this host
	hasIPHost   bool
	badMailFrom control.Map
	rcptHosts   *rcpthosts.Rcpthosts
}

// configFiles are what config is made of.
var configFiles = [...]string{".", "timeoutsmtpd", "smtpgreeting", "me", "databytes", "localiphost", "badmailfrom",
	"rcpthosts", "morercpthosts.cdb"}

// defaultTimeout is that of timeoutsmtpd.
const defaultTimeout = 1200

// Program returns the program qmail-smtpd. Where one process has many of its jobs they
// share what they know of the control files and what they may use of the machine.
func Program() func(*prog.Process) error { return new(server).run }

// Bounds returns how much a warm process takes upon itself: as many sessions as it may
// have descriptors for, and memory for those.
func Bounds() warm.Bounds {
	const (
		most     = 100_000
		own      = 64       // descriptors that are no session's
		each     = 2        // the connection, and that to the queue
		waiting  = 32 << 10 // bytes of a session under TLS; others take a quarter
		together = 192 << 20
	)
	jobs := 0
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		jobs = int((max(files.Cur, own) - own) / each)
	}
	jobs = min(max(1, jobs), most)
	return warm.Bounds{Jobs: jobs, Life: 10_000_000, Memory: together + int64(jobs)*waiting, Polled: true}
}

// run serves the client on descriptors 0 and 1. The status is 0 after QUIT and 1
// however else the session ends.
func (sv *server) run(p *prog.Process) error {
	// Behind a wall no program can be run: neither what $QMAILQUEUE names, nor
	// qmail-queue where qmail-queued is not there.
	if p.Walled && !sv.queue.Ready(p) {
		return warm.Declined
	}
	// Nor what the command line names to check passwords.
	if p.Warm && hasChecker(p.Args) {
		return warm.Declined
	}
	sv.start.Do(func() { sv.keys = servertls.New(filepath.Join(conf.Home, keywire.Path), p.Now) })
	c, unreadable := sv.config.get(p, configFiles[:], readConfig)
	if p.Walled && errors.Is(unreadable, fs.ErrPermission) {
		return warm.Declined // a link that leads out of the wall, perhaps
	}
	conn, err := ucspi.NewConn(p, c.timeout)
	switch {
	case err != nil && p.Warm:
		return warm.Declined
	case err != nil:
		return fmt.Errorf("connection: %w", err)
	}
	s := &session{p: p, sv: sv, conn: conn, clear: conn, policy: newPolicy(c, &sv.addresses, p.Env)}
	if unreadable != nil {
		return s.step(func() error { return s.die(replyControls) })
	}
	return s.step(s.begin)
}

// readConfig reads the control files. Beside an error there is the timeout at least.
func readConfig(dir control.Dir) (*config, error) {
	c := &config{timeout: defaultTimeout * time.Second}
	seconds, err := dir.Int("timeoutsmtpd", defaultTimeout)
	if err != nil {
		return c, err
	}
	c.timeout = time.Duration(min(max(1, seconds), 1<<31)) * time.Second
	var set bool
	if c.greeting, set, err = lineOrMe(dir, "smtpgreeting"); err != nil {
		return c, err
	}
	if !set {
		return c, errors.New("neither smtpgreeting nor me is there")
	}
	if c.limit, err = dir.Int("databytes", 0); err != nil {
		return c, err
	}
	if c.localIPHost, c.hasIPHost, err = lineOrMe(dir, "localiphost"); err != nil {
		return c, err
	}
	if c.badMailFrom, _, err = dir.Set("badmailfrom"); err != nil {
		return c, err
	}
	c.rcptHosts, err = rcpthosts.Load(dir)
	return c, err
}

// lineOrMe returns the first line of a control file, or that of me.
func lineOrMe(dir control.Dir, name string) (value string, set bool, err error) {
	value, set, err = dir.Line(name)
	if set || err != nil {
		return value, set, err
	}
	return dir.Line("me")
}
