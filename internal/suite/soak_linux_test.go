package suite

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A suite that runs for a year must not grow. What grows shows within a minute, under a
// load that is steady and mixed: by SMTP with a session for each letter and with many
// in one, from programs; to Maildirs, programs and forwards; to another host that takes
// some of it later or never, and breaks off now and then.

// An ordinary user's suite does the same with one identity, and less of it will do.
var soak = flag.Duration("soak", time.Duration(pick(60, 20))*time.Second, "how long TestSoak goes on")

// slopes are those of the steady part.
type slopes struct{ memory, descriptors, goroutines float64 } // bytes, and so on, a second

// bearable are slopes that chance can make: whatever goes up and down by so much shows
// one, and a smaller one the longer it is looked at.
func bearable(steady time.Duration) slopes {
	s := steady.Seconds()
	return slopes{memory: 6e6 / s, descriptors: 30 / s, goroutines: 60 / s}
}

// daemons are the programs that stay.
var daemons = []string{
	"tcpserver", "qmail-smtpd", "qmail-send", "qmail-clean", "qmail-lspawn", "qmail-rspawn",
	"qmail-local", "qmail-remote", "qmail-getpw", "qmail-queued", takesMessages,
}

// sample is one look at a program: all its processes together.
type sample struct {
	at                              time.Duration
	memory, descriptors, goroutines float64
}

func TestSoak(t *testing.T) {
	if warmOnly(t) {
		return
	}
	s := install(t)
	far := sometimes(t)
	s.control("smtproutes", ":"+far.route()+"\n")
	s.control("rcpthosts", me+"\nfar.example\n")
	mailboxes(s)
	send := s.start()
	port := s.smtpd()
	ctx, cancel := context.WithTimeout(context.Background(), *soak)
	defer cancel()
	l := &load{
		s: s, port: port, greeting: me, largest: 50000, random: rand.New(rand.NewPCG(1, 2)),
		begun: map[int]letter{}, sent: map[int]letter{},
	}
	begin := time.Now()
	const rate = 40 // letters a second: steady, and less than any machine can do
	l.allowed = func() (int, bool) {
		return int(time.Since(begin).Seconds() * rate), ctx.Err() != nil
	}
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() { l.bySMTP(ctx) })
	}
	clients.Go(func() { l.byProgram(ctx, "sendmail", "-f", bouncesTo, "--") })
	clients.Go(func() { s.tidy(ctx, send) })
	samples := map[string][]sample{}
	for ctx.Err() == nil {
		for program, looked := range s.look() {
			looked.at = time.Since(begin)
			samples[program] = append(samples[program], looked)
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(500*time.Millisecond, *soak/1000)): // samples enough, and no load of their own
		}
	}
	clients.Wait()
	report := s.judge(samples)
	keepReport(t, fmt.Sprintf("%s%d letters acknowledged, %d attempts in vain", report, len(l.sent), l.again))
	t.Log(report)
	for _, wrong := range l.refused {
		t.Error(wrong)
	}
	if len(l.sent) < int(soak.Seconds())*rate/2 {
		t.Errorf("only %d letters were taken", len(l.sent))
	}
}

// sometimes is a host that takes nine letters of ten. Of the others some are for later
// and some find it gone.
func sometimes(t *testing.T) *host {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	good := &host{t: t, listener: l, forgetful: true}
	later := &host{t: t, script: script{"RCPT": "450 later", "dot": "451 later"}, forgetful: true}
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			switch {
			case err != nil:
				return
			case n%20 == 7:
				conn.Close()
			case n%20 == 13:
				go later.session(conn)
			default:
				go good.session(conn)
			}
		}
	}()
	return good
}

// tidy keeps the home from filling up, and has deferred mail tried again.
func (s *suite) tidy(ctx context.Context, send *process) {
	for n := 0; ctx.Err() == nil; n++ {
		for _, dir := range []string{"Maildir/new", "two/new", "back/new", "program"} {
			entries, _ := os.ReadDir(s.path("u/joe/" + dir))
			for _, e := range entries {
				os.Remove(s.path("u/joe/" + dir + "/" + e.Name()))
			}
		}
		if n%10 == 9 {
			send.Process.Signal(syscall.SIGALRM)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second): // as a cron job would
		}
	}
}

var goroutinesSaid = regexp.MustCompile(`(?m)^([a-z-]+): .*; (\d+) goroutines$`)

// look takes a sample of every daemon. Their goroutines are those that they said last.
func (s *suite) look() map[string]sample {
	out := map[string]sample{}
	for pid, program := range sighted() {
		if !slices.Contains(daemons, program) {
			continue
		}
		b := out[program]
		b.memory += private(pid)
		b.descriptors += float64(descriptors(pid))
		out[program] = b
		if slices.Contains([]string{"tcpserver", "qmail-lspawn", "qmail-rspawn"}, program) || isWarm(pid) {
			syscall.Kill(pid, syscall.SIGUSR1)
		}
	}
	for _, m := range goroutinesSaid.FindAllSubmatch(append(lately(s.t, s.errors), lately(s.t, s.log)...), -1) {
		program := string(m[1])
		if b, there := out[program]; there {
			b.goroutines, _ = strconv.ParseFloat(string(m[2]), 64)
			out[program] = b
		}
	}
	return out
}

// lately returns what was written to a file last.
func lately(t testing.TB, f *os.File) []byte {
	t.Helper()
	const much = 256 << 10
	r, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, much)
	fi, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	n, _ := r.ReadAt(b, max(0, fi.Size()-much)) // its end is no error
	return b[:n]
}

// private returns the memory that a process has to itself, in bytes.
func private(pid int) (bytes float64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil { // the kernel may not have it
		return float64(memory(pid, "RssAnon"))
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "Private_") {
			kilobytes, _ := strconv.Atoi(strings.Fields(line)[1])
			bytes += float64(kilobytes << 10)
		}
	}
	return bytes
}

// judge fits lines to what was seen in the steady part, the second half, and says how
// they rise.
func (s *suite) judge(samples map[string][]sample) string {
	var b strings.Builder
	bound := bearable(*soak / 2)
	fmt.Fprintf(&b, "%-18s %12s %22s %22s\n", "in the second half", "KiB, /min", "descriptors, /min", "goroutines, /min")
	for _, program := range slices.Sorted(maps.Keys(samples)) {
		var steady []sample
		for _, look := range samples[program] {
			if look.at > *soak/2 {
				steady = append(steady, look)
			}
		}
		if len(steady) < 5 {
			continue
		}
		last := steady[len(steady)-1]
		m := slope(steady, func(x sample) float64 { return x.memory })
		d := slope(steady, func(x sample) float64 { return x.descriptors })
		g := slope(steady, func(x sample) float64 { return x.goroutines })
		fmt.Fprintf(&b, "%-18s %8.0f %+8.1f %12.0f %+9.2f %12.0f %+9.2f\n", program,
			last.memory/1024, m*60/1024, last.descriptors, d*60, last.goroutines, g*60)
		if m > bound.memory || d > bound.descriptors || g > bound.goroutines {
			s.t.Errorf("%s grows by %.0f bytes, %.2f descriptors and %.2f goroutines a second; at most %.0f, %.2f and %.2f may be",
				program, m, d, g, bound.memory, bound.descriptors, bound.goroutines)
		}
	}
	fmt.Fprintf(&b, "at most a minute: %.1f KiB, %.1f descriptors, %.1f goroutines\n", bound.memory*60/1024, bound.descriptors*60, bound.goroutines*60)
	return b.String()
}

// slope is that of the straight line with the least squares, a second.
func slope(samples []sample, of func(sample) float64) float64 {
	var n, x, y, xx, xy float64
	for _, s := range samples {
		at, value := s.at.Seconds(), of(s)
		n, x, y, xx, xy = n+1, x+at, y+value, xx+at*at, xy+at*value
	}
	if d := n*xx - x*x; d != 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

func TestSlope(t *testing.T) {
	var line []sample
	for i := range 10 {
		line = append(line, sample{at: time.Duration(i) * time.Second, memory: 5 + 3*float64(i), descriptors: float64(i % 2)})
	}
	if got := slope(line, func(s sample) float64 { return s.memory }); got < 2.999 || got > 3.001 {
		t.Errorf("the slope is %v, want 3", got)
	}
	if got := slope(line, func(s sample) float64 { return s.descriptors }); got < -0.05 || got > 0.05 {
		t.Errorf("the slope is %v, want about none", got)
	}
}
