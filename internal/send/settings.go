package send

import (
	"quail/internal/control"
	"quail/internal/queue"
	"quail/internal/route"
)

// settings is what the control files say. Only routes change while qmail-send
// runs (on HUP).
type settings struct {
	lifetime     int64 // seconds
	concurrency  [len(queue.Channels)]int
	bounceFrom   string // user part
	bounceHost   string
	doubleBounce string // whole address
	routes       route.Table
}

// readSettings reads everything, at start. An error names what could not be read
// only for the few who ask; the log line that users know says no more than that.
func readSettings(d control.Dir) (s settings, err error) {
	r := reader{d: d}
	s.lifetime = int64(r.int("queuelifetime", 604800))
	s.concurrency[queue.Local] = r.int("concurrencylocal", 10)
	s.concurrency[queue.Remote] = r.int("concurrencyremote", 20)
	s.bounceHost = r.lineOr("bouncehost", "bouncehost")
	host := r.lineOr("doublebouncehost", "doublebouncehost")
	var set bool
	if s.bounceFrom, set = r.line("bouncefrom"); !set {
		s.bounceFrom = "MAILER-DAEMON"
	}
	user, set := r.line("doublebounceto")
	if !set {
		user = "postmaster"
	}
	s.doubleBounce = user + "@" + host
	if r.err != nil {
		return s, r.err
	}
	s.routes, err = route.Read(d)
	return s, err
}

// reader reads several files and keeps the first error.
type reader struct {
	d   control.Dir
	err error
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) line(name string) (string, bool) {
	v, set, err := r.d.Line(name)
	r.keep(err)
	return v, set
}

func (r *reader) lineOr(name, word string) string {
	v, err := r.d.LineOr(name, word)
	r.keep(err)
	return v
}

func (r *reader) int(name string, def int) int {
	v, err := r.d.Int(name, def)
	r.keep(err)
	return v
}
