package suite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Disks that are full: nothing that was acknowledged is lost, nothing that was not
// is kept, and all goes on when there is room again.

// disk is a small file system of its own.
type disk struct {
	t    testing.TB
	path string
}

// page is what tmpfs gives out at once.
const page = 4096

// ownMounts gives the test file systems that nobody else sees, and that go away with
// it however it ends.
func ownMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// smallDisk puts a file system under a directory of the home, and into it what is
// there.
func (s *suite) smallDisk(rel, options string) disk {
	s.t.Helper()
	d := disk{s.t, s.path(rel)}
	must(s.t, "mv", d.path, d.path+".kept")
	must(s.t, "mkdir", d.path)
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, options); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
			s.t.Error(err)
		}
	})
	must(s.t, "cp", "-a", d.path+".kept/.", d.path)
	for _, program := range []string{"chown", "chmod"} {
		must(s.t, program, "--reference="+d.path+".kept", d.path)
	}
	return d
}

// leave takes all room but that for so many pages.
func (d disk) leave(pages int) {
	d.t.Helper()
	f, err := os.Create(d.path + "/ballast")
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		d.t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, (int64(st.Bavail)-int64(pages))*page); err != nil {
		d.t.Fatal(err)
	}
}

// leaveNames takes all inodes but so many. On tmpfs a second name of a file needs
// one too.
func (d disk) leaveNames(n int) {
	d.t.Helper()
	dir := d.path + "/names"
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	var made []string
	for {
		name := fmt.Sprint(dir, "/", len(made))
		if f, err := os.Create(name); err != nil {
			break
		} else {
			f.Close()
		}
		made = append(made, name)
	}
	for _, name := range made[:n] {
		if err := os.Remove(name); err != nil {
			d.t.Fatal(err)
		}
	}
}

// free gives all room back.
func (d disk) free() {
	d.t.Helper()
	if err := errors.Join(os.RemoveAll(d.path+"/ballast"), os.RemoveAll(d.path+"/names")); err != nil {
		d.t.Fatal(err)
	}
}

const noMounts = "an ordinary user cannot mount a small file system"

func TestDiskFullQueueing(t *testing.T) {
	if !asRoot(t, noMounts) {
		return
	}
	ownMounts(t)
	s := install(t)
	d := s.smallDisk("queue", "size=1m,nr_inodes=300")
	port := s.smtpd()
	const (
		full  = "qq write error or disk full (#4.3.0)"
		files = "qq trouble creating files in queue (#4.3.0)"
	)
	arrive := 0
	for _, c := range []struct {
		name, text string
		make       func()
		status     int // of qmail-queue
		reply      string
		state      string
	}{
		{"no room at all", "small", func() { d.leave(0) }, 53, full, nothing},
		{"room for half a message", strings.Repeat("large ", 2*page), func() { d.leave(2) }, 53, full, nothing},
		{"room for the message alone", "small", func() { d.leave(1) }, 53, full, nothing},
		{"room enough", "small", func() { d.leave(2) }, 0, "", entered},
		{"no name", "small", func() { d.leaveNames(0) }, 63, files, nothing},
		{"one name", "small", func() { d.leaveNames(1) }, 64, files, "pid"},
		{"two names", "small", func() { d.leaveNames(2) }, 66, files, "intd mess"},
		{"names enough", "small", func() { d.leaveNames(3) }, 0, "", entered},
	} {
		check := func(by string, submit func()) {
			before := s.queued()
			c.make()
			submit()
			d.free()
			if got := s.added(before); got != c.state {
				t.Errorf("%s: %s leaves %q in the queue, want %q", c.name, by, got, c.state)
			}
			if c.state == entered {
				arrive++
			}
		}
		check("qmail-queue", func() {
			if got := s.queue(strings.NewReader(c.text), "F\x00Tjoe@"+me+"\x00\x00"); got != c.status {
				t.Errorf("%s: qmail-queue exits with %d, want %d", c.name, got, c.status)
			}
		})
		check("qmail-smtpd", func() {
			want := "\r\n451 " + c.reply + "\r\n" + smtpBye
			if c.reply == "" {
				want = "\r\n" + smtpQueued + smtpBye
			}
			if got := talk(t, port, smtpMail+c.text+"\r\n.\r\n"+smtpQuit); !strings.HasSuffix(got, want) {
				t.Errorf("%s: qmail-smtpd says %q, want %q in the end", c.name, got, want)
			}
		})
		check("sendmail", func() {
			want, wantStatus := "qmail-inject: fatal: "+c.reply+"\n", 111
			if c.reply == "" {
				want, wantStatus = "", 0
			}
			if out, status := s.sh(c.text, s.path("bin/sendmail")+" joe@"+me); out != want || status != wantStatus {
				t.Errorf("%s: sendmail says %q and exits with %d, want %q and %d", c.name, out, status, want, wantStatus)
			}
		})
	}
	debris := slices.DeleteFunc(s.queued(), func(name string) bool {
		_, err := os.Stat(s.path("queue/todo/" + filepath.Base(name)))
		return err == nil
	})
	s.start()
	s.settled(arrive)
	if got := len(s.mail("u/joe/Maildir")); got != arrive {
		t.Errorf("%d messages arrived, want %d", got, arrive)
	}
	s.keeps(debris...)
}

func TestDiskFullDelivering(t *testing.T) {
	if !asRoot(t, noMounts) {
		return
	}
	ownMounts(t)
	s := install(t)
	s.joe("box", "From x Thu Jan 01 00:00:00 1970\n\nold\n\n", 0o600)
	s.joe(".qmail-box", "./box\n", 0o644)
	s.joe(".qmail-copy", "|cat >copy\n", 0o644)
	d := s.smallDisk("u/joe", "size=1m")
	p := s.start()
	d.leave(3)
	text := "Subject: large\n\n" + strings.Repeat("0123456789abcde\n", page/4)
	recipients := map[string]string{
		"joe":      "Temporary_error_on_maildir_delivery._(#4.3.0)/",
		"joe-box":  "Unable_to_write_./box:_out_of_disk_space._(#4.3.0)/",
		"joe-copy": "cat:_write_error:_No_space_left_on_device/",
	}
	n := 0
	for _, to := range []string{"joe", "joe-box", "joe-copy"} {
		s.inject("", to+"@"+me, text)
		if got, want := s.outcome(to+"@"+me, 1), "deferral: "+recipients[to]; got != want {
			t.Errorf("to %s: %q, want %q", to, got, want)
		}
		n++
	}
	if tmp, _ := os.ReadDir(s.path("u/joe/Maildir/tmp")); len(tmp) != 0 || len(s.mail("u/joe/Maildir")) != 0 {
		t.Errorf("the Maildir has %v in tmp and %d messages", tmp, len(s.mail("u/joe/Maildir")))
	}
	box, err := os.ReadFile(s.path("u/joe/box"))
	if got := string(box); got != "From x Thu Jan 01 00:00:00 1970\n\nold\n\n" {
		t.Errorf("the mbox is %q, %v; want it as it was", tail(got, 100), err)
	}
	d.free()
	p.Process.Signal(syscall.SIGALRM)
	s.settled(n)
	if mail := s.mail("u/joe/Maildir"); len(mail) != 1 || !strings.HasSuffix(mail[0], text) {
		t.Errorf("%d messages arrived in the Maildir, want this one", len(mail))
	}
	box, _ = os.ReadFile(s.path("u/joe/box"))
	if got := string(box); strings.Count(got, "\nSubject: large\n") != 1 || !strings.HasSuffix(got, text[16:]+"\n") {
		t.Errorf("the mbox ends in %q", tail(got, 100))
	}
}

func TestDiskFullSending(t *testing.T) {
	if !asRoot(t, noMounts) {
		return
	}
	ownMounts(t)
	s := install(t)
	s.joe(".qmail-bounces", "./Maildir/\n", 0o644)
	s.joe(".qmail-forward", "&joe@"+me+"\n", 0o644)
	d := s.smallDisk("queue", "size=1m")
	p := s.unpreprocessed(d)
	s.unforwarded(d, p)
	s.unbounced(d, p)
}

// large is the text of a message that needs some pages.
var large = strings.Repeat("0123456789abcde\n", page/4)

// unpreprocessed has no room to preprocess: that is done again at the next scan.
func (s *suite) unpreprocessed(d disk) *process {
	s.t.Helper()
	// To two: one alone would be tried before anything is written.
	s.enter("", []string{"joe@" + me, "joe-forward@" + me}, "Subject: first\n\n")
	d.leave(0)
	p := s.start()
	id := filepath.Base(s.queued()[0])
	s.wait("warning: trouble writing to " + strings.TrimPrefix(file("info", number(s.t, id)), "queue/") + "\n")
	d.free()
	s.inject("", "joe@"+me, "Subject: second\n\n")
	s.settled(3)
	return p
}

// unforwarded has no room to forward.
func (s *suite) unforwarded(d disk, p *process) {
	s.t.Helper()
	d.leave(10)
	s.inject("", "joe-forward@"+me, "Subject: third\n\n")
	s.wait("to local joe-forward@")
	if got, want := s.outcome("joe-forward@"+me, 2), "success: did_0+1+0/"; !strings.HasPrefix(got, want) {
		s.t.Errorf("with room the forward is %q", got)
	}
	s.settled(5)
	d.free()
	d.leave(len(large)/page + 5) // once in the queue and not twice
	s.inject("", "joe-forward@"+me, "Subject: fourth\n\n"+large)
	if got, want := s.outcome("joe-forward@"+me, 3), "deferral: Unable_to_forward_message:_qq_write_error_or_disk_full_(#4.3.0)./"; got != want {
		s.t.Errorf("without room the forward is %q, want %q", got, want)
	}
	d.free()
	p.Process.Signal(syscall.SIGALRM)
	s.settled(7)
}

// unbounced has no room to note a failure, and then none to tell of it.
func (s *suite) unbounced(d disk, p *process) {
	s.t.Helper()
	// A delivery that fails when the test says so.
	s.joe(".qmail-dead", "|read line <told; echo is dead; exit 100\n", 0o644)
	told := s.path("u/joe/told")
	if err := errors.Join(unix.Mkfifo(told, 0o666), os.Chmod(told, 0o666)); err != nil {
		s.t.Fatal(err)
	}
	tell := func() {
		s.t.Helper()
		if err := os.WriteFile(told, []byte("\n"), 0); err != nil {
			s.t.Fatal(err)
		}
	}

	// A failure that cannot be noted is not forgotten, nor is the message tried again.
	// (To two, as above.)
	s.enter("joe-bounces@"+me, []string{"joe-dead@" + me, "joe-bounces@" + me}, "Subject: fifth\n\n")
	s.wait("to local joe-dead@")
	s.outcome("joe-bounces@"+me, 1)
	d.leave(0)
	tell()
	s.wait("alert: unable to append to bounce message; HELP! sleeping...\n")
	d.free()
	s.settled(9)
	find(s.t, s.mail("u/joe/Maildir"), "\n\n<joe-dead@"+me+">:\nis dead\n\n---")

	// One that is noted but cannot be told is told by whoever comes next.
	s.inject("joe-bounces@"+me, "joe-dead@"+me, "Subject: sixth\n\n"+large)
	s.outcome("joe-dead@"+me, 1)
	eventually(s.t, "the second delivery", func() bool { return strings.Count(s.logged(), "to local joe-dead@") == 2 })
	d.leave(3)
	tell()
	s.wait("warning: trouble injecting bounce message, will try later\n")
	if got := s.added(nil); got != "bounce info mess" {
		s.t.Errorf("with a bounce to be sent in the queue is %q", got)
	}
	d.free()
	p.stop()
	s.newLog()
	s.start()
	s.settled(2)
	mail := s.mail("u/joe/Maildir")
	find(s.t, mail, "\nSubject: sixth\n")
	if len(mail) != 8 {
		s.t.Errorf("%d messages arrived, want 8", len(mail))
	}
	s.keeps()
}
