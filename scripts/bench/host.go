//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The one domain of every server, its user, and that user's mailbox, all on the medium.
const (
	domain   = "bench.example"
	owner    = "bench"
	ownerID  = 64020
	ownHome  = "/bench/home"
	inbox    = ownHome + "/Maildir"
	remotely = "remote.example" // where the sink gets mail for
)

// host is a server that has been set up on a medium, in a root of its own.
type host struct {
	*peer
	variant string // what sets it apart from other hosts of this peer, or nothing
	medium  string
	root    string
	address string // of its SMTP service, host:port
	all     group  // of the bench
	group   group  // of what runs now
	starts  int
	traced  bool // the run is one of counting, not of timing
	running []*process
	share   int // how many messages it gets in a round
	at      int // how many hosts there have been
}

// title is what the report calls the host.
func (h *host) title() string { return h.name + h.variant }

// newHost lays an overlay over this host, unpacks p's packages into it, and sets p up
// on a directory of the medium, which all find at /bench.
func (b *bench) newHost(p *peer, variant, medium string) (*host, error) {
	b.hosts++
	h := &host{peer: p, variant: variant, medium: medium, at: b.hosts}
	dir := filepath.Join(b.work, "host", fmt.Sprint(h.at))
	h.root = filepath.Join(dir, "root")
	h.address = fmt.Sprintf("127.0.0.%d:25", 10+h.at%240)
	disk := filepath.Join(b.work, medium, fmt.Sprint(h.at))
	upper, scratch := filepath.Join(dir, "files", "upper"), filepath.Join(dir, "files", "work")
	if err := errors.Join(os.MkdirAll(h.root, 0o755), os.MkdirAll(filepath.Dir(upper), 0o755), os.MkdirAll(disk, 0o755)); err != nil {
		return nil, err
	}
	if err := unix.Mount("bench", filepath.Dir(upper), "tmpfs", 0, "mode=755"); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(scratch, 0o755)); err != nil {
		return nil, err
	}
	layers := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", upper, scratch)
	if err := unix.Mount("overlay", h.root, "overlay", 0, layers); err != nil {
		return nil, fmt.Errorf("an overlay of this host's root: %w", err)
	}
	checkout, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for _, m := range [][2]string{{"/proc", "/proc"}, {"/sys", "/sys"}, {"/dev", "/dev"}, {disk, "/bench"}, {checkout, "/mnt/quail"}, {b.work, "/mnt/scratch"},
		{b.bin, "/mnt/bin"}, {debs, "/mnt/debs"}} {
		if err := h.bind(m[0], m[1]); err != nil {
			return nil, err
		}
	}
	// Any loopback address can be used, but some servers want to see it at an interface.
	if _, err := run("ip", "address", "add", strings.TrimSuffix(h.address, ":25")+"/8", "dev", "lo"); err != nil {
		return nil, err
	}
	h.all = b.group
	if err := h.furnish(); err != nil {
		return nil, fmt.Errorf("setting up %s: %w", h.title(), err)
	}
	return h, nil
}

// bind makes a directory of this host's visible in h.
func (h *host) bind(from, to string) error {
	to = filepath.Join(h.root, to)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing %s at %s: %w", from, to, err)
	}
	return nil
}

// furnish unpacks the packages, makes the accounts and the mailbox, and has the peer do
// the rest.
func (h *host) furnish() error {
	for _, name := range h.packages {
		if err := h.unpack(name); err != nil {
			return err
		}
	}
	accounts := fmt.Sprintf("groupadd -g %[1]d %[2]s && useradd -M -u %[1]d -g %[2]s -d %[3]s -s /bin/sh %[2]s", ownerID, owner, ownHome)
	if _, err := h.sh(accounts); err != nil {
		return err
	}
	if _, err := h.sh(fmt.Sprintf("chmod 755 /bench && mkdir /bench/log && mkdir -p %[1]s/cur %[1]s/new %[1]s/tmp && chown -R %[2]s:%[2]s %[3]s",
		inbox, owner, ownHome)); err != nil {
		return err
	}
	if h.home != "" && h.home != "/bench/quail" {
		if _, err := h.sh(fmt.Sprintf("mkdir -p /bench/quail %[1]s && mount --bind /bench/quail %[1]s", h.home)); err != nil {
			return err
		}
	}
	for _, f := range h.configuration(h) {
		if err := os.MkdirAll(filepath.Dir(h.path(f.path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(h.path(f.path), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	for _, command := range h.setUp {
		if _, err := h.sh(command); err != nil {
			return err
		}
	}
	return nil
}

// path is where this host finds a file of h.
func (h *host) path(name string) string { return filepath.Join(h.root, name) }

// command runs in h with an environment that is none of the caller's.
func (h *host) command(args ...string) *exec.Cmd {
	path := "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
	program := args[0]
	if !strings.Contains(program, "/") {
		for _, dir := range strings.Split(path, ":") {
			if _, err := os.Stat(h.path(dir + "/" + args[0])); err == nil {
				program = dir + "/" + args[0]
				break
			}
		}
	}
	cmd := &exec.Cmd{Path: program, Args: args, Dir: "/", Env: []string{"PATH=" + path}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: h.root, Setpgid: true}
	return cmd
}

// sh runs a shell command in h that has to succeed.
func (h *host) sh(command string) (string, error) {
	out, err := h.command("/bin/sh", "-c", command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return string(out), nil
}

// process is a service that runs.
type process struct {
	*exec.Cmd
	service
	ended chan struct{}
}

// start starts all services, under strace if there is to be a trace, and waits until
// SMTP is answered.
func (h *host) start(trace string) (err error) {
	// A group in which something was killed kills who comes later.
	h.starts++
	h.traced = trace != ""
	if h.group, err = newGroup(h.all, fmt.Sprintf("%d-%d", h.at, h.starts)); err != nil {
		return err
	}
	for _, s := range h.services(h) {
		g, err := newGroup(h.group, s.name)
		if err != nil {
			return err
		}
		dir, err := os.Open(string(g))
		if err != nil {
			return err
		}
		argv := s.argv
		if trace != "" {
			argv = append([]string{"strace", "-f", "-qq", "-e", "trace=" + traced, "-o", trace + "." + s.name}, argv...)
		}
		p := &process{h.command(argv...), s, make(chan struct{})}
		p.SysProcAttr.UseCgroupFD, p.SysProcAttr.CgroupFD = true, int(dir.Fd())
		log, err := os.OpenFile(h.path("/bench/log/"+s.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		p.Stdout, p.Stderr = log, log
		err = p.Start()
		dir.Close()
		log.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", s.argv[0], err)
		}
		go func() {
			p.Wait()
			close(p.ended)
		}()
		h.running = append(h.running, p)
	}
	return h.ready()
}

// ready waits until the SMTP service answers, or says that a service has ended.
func (h *host) ready() error {
	var dead error
	err := until(h.title()+" to answer", func() bool {
		for _, p := range h.running {
			select {
			case <-p.ended:
				dead = fmt.Errorf("%s has ended: %v\n%s", p.argv[0], p.ProcessState, h.logs())
				return true
			default:
			}
		}
		return h.answers()
	})
	return errors.Join(dead, err)
}

// logs is the end of what the services wrote.
func (h *host) logs() string {
	var out bytes.Buffer
	names, _ := filepath.Glob(h.path("/bench/log/*"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		out.Write(text[max(0, len(text)-500):])
	}
	return out.String()
}

// stop asks the services to end, the last one first, and ends what is left of them.
func (h *host) stop() error {
	if h.group == "" {
		return nil
	}
	for i := len(h.running) - 1; i >= 0; i-- {
		p := h.running[i]
		syscall.Kill(h.main(p), syscall.SIGTERM) // nothing happens if it has ended
		select {
		case <-p.ended:
		case <-time.After(5 * time.Second):
		}
	}
	// What they have started gets a moment to end, and to say what it did.
	for end := time.Now().Add(5 * time.Second); len(h.group.processes()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	err := h.group.end()
	for _, p := range h.running {
		<-p.ended
	}
	h.running = nil
	h.group.remove()
	return err
}

// main is the process of a service itself: strace, which is its parent, keeps signals
// from it.
func (h *host) main(p *process) int {
	pid := p.Process.Pid
	if h.traced {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid))
		fmt.Sscan(string(text), &pid)
	}
	return pid
}

// discard stops h and frees its medium.
func (h *host) discard(keep string) error {
	err := h.stop()
	if keep != "" {
		_, failed := run("sh", "-c", `mkdir "$2" && cp -r "$1"/bench/log/. "$2" && for f in "$1"/trace.*; do test ! -f "$f" || cp "$f" "$2"; done`,
			"sh", h.root, filepath.Join(keep, fmt.Sprintf("%s%s-%d", h.dir(), h.variant, h.at)))
		err = errors.Join(err, failed)
	}
	_, failed := h.sh("rm -rf /bench/*")
	return errors.Join(err, failed, unix.Unmount(h.root, unix.MNT_DETACH), unix.Unmount(filepath.Join(filepath.Dir(h.root), "files"), unix.MNT_DETACH))
}

// patience is how long anything may take that takes a moment.
const patience = 60 * time.Second

// until waits until something holds.
func until(what string, holds func() bool) error {
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v in vain for %s", patience, what)
		}
	}
	return nil
}
