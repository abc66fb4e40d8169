//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run.
type bench struct {
	*options
	peers   []*peer
	group   group
	load    *host
	sink    *sink
	hosts   int // that there have been
	results map[string]*result
	jobs    []string // what Quail's programs said about warm and cold jobs
}

// result is what a workload has shown.
type result struct {
	rounds map[string][]figures // by host
	order  []string
	failed []error
}

// measure is the process in the namespace: it measures everything and writes the report.
func measure(o *options) (err error) {
	if err := errors.Join(settle(), mountMedia(o.work)); err != nil {
		return err
	}
	b := &bench{options: o, peers: o.chosen(), results: map[string]*result{}}
	top, err := unifiedHierarchy()
	if err != nil {
		return err
	}
	if b.group, err = newGroup(group(top), fmt.Sprintf("quail-bench-%d", os.Getpid())); err != nil {
		return err
	}
	defer b.group.remove()
	b.mortal()
	if b.sink, err = newSink(); err != nil {
		return err
	}
	if b.load, err = b.newHost(load, "", inMemory); err != nil {
		return err
	}
	selected := regexp.MustCompile(o.only) // main has looked at it
	var failed []error
	for _, w := range workloads {
		if selected.MatchString(w.name) {
			failed = append(failed, b.carry(w))
		}
	}
	failed = append(failed, b.load.discard(""), b.report(), unix.Unmount(filepath.Join(o.work, journaled), unix.MNT_DETACH))
	return errors.Join(failed...)
}

// mortal has everything ended that was started, if somebody ends this process.
func (b *bench) mortal() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-told
		b.group.end()
		b.group.remove()
		os.Exit(1)
	}()
}

// carry measures one workload: its hosts are all up, and take turns. One that fails is
// left out from then on, and the report says why.
func (b *bench) carry(w workload) error {
	fmt.Printf("%s: %s\n", w.name, w.title)
	r := &result{rounds: map[string][]figures{}}
	b.results[w.name] = r
	var hosts []*host
	broken := map[*host]bool{}
	for _, v := range w.hosts(b) {
		h, err := b.up(w, v)
		if h != nil {
			hosts = append(hosts, h)
			r.order = append(r.order, h.title())
			broken[h] = err != nil
		}
		if err != nil {
			r.failed = append(r.failed, fmt.Errorf("%s: %w", v.name, err))
		}
	}
	for range b.rounds {
		for _, h := range hosts {
			if broken[h] {
				continue
			}
			m, err := w.round(b, h)
			if err != nil {
				broken[h] = true
				r.failed = append(r.failed, fmt.Errorf("%s: %w\n%s", h.title(), err, h.logs()))
				continue
			}
			r.rounds[h.title()] = append(r.rounds[h.title()], m)
			fmt.Printf("  %-24s %s\n", h.title(), m.line(w.columns))
			if err := h.empty(); err != nil {
				return err
			}
		}
	}
	return b.down(w, hosts)
}

// long is how long a round may take, about.
const long = 10 * time.Second

// up sets up and starts a host, and lets it warm up.
func (b *bench) up(w workload, v variant) (*host, error) {
	h, err := b.newHost(v.peer, v.suffix, w.medium)
	if err != nil {
		return nil, err
	}
	if v.prepare != nil {
		err = v.prepare(b, h)
	}
	trace := ""
	if w.name == "counts" {
		trace = "/trace"
	}
	if err == nil {
		err = h.start(trace)
	}
	if err == nil && !h.front {
		n := min(100, b.messages)
		var m figures
		m, err = b.maildir(h, n, false)
		// Whoever is slow is measured with fewer messages.
		h.share = min(b.messages, max(n, int(m[delivered]*long.Seconds())))
	}
	return h, errors.Join(err, h.empty())
}

// down ends the hosts of a workload and keeps what Quail's say about their jobs.
func (b *bench) down(w workload, hosts []*host) error {
	var failed []error
	keep := ""
	if b.keep {
		keep = filepath.Join(b.work, "logs")
		failed = append(failed, os.MkdirAll(keep, 0o755))
	}
	for _, h := range hosts {
		failed = append(failed, h.stop())
		if h.name == "Quail" {
			logs, _ := filepath.Glob(h.path("/bench/log/*"))
			for _, log := range logs {
				b.jobs = append(b.jobs, jobLines(w.name, h.title(), log)...)
			}
		}
		failed = append(failed, h.discard(keep))
	}
	for _, err := range b.results[w.name].failed {
		fmt.Println(" ", err)
	}
	return errors.Join(append(failed, b.results[w.name].failed...)...)
}

// jobLines are the lines of a log that count jobs.
func jobLines(workload, host, log string) []string {
	text, _ := os.ReadFile(log)
	var out []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "jobs:") {
			out = append(out, fmt.Sprintf("%s, %s, %s: %s", workload, host, filepath.Base(log), strings.TrimSpace(line)))
		}
	}
	return out
}

// empty removes what has been delivered.
func (h *host) empty() error {
	_, err := h.sh("rm -rf " + inbox + "/new && mkdir " + inbox + "/new && chown " + owner + ":" + owner + " " + inbox + "/new")
	return err
}

// line shows some of the figures.
func (m figures) line(columns []metric) string {
	var out []string
	for _, c := range columns {
		if v, ok := m[c]; ok {
			out = append(out, fmt.Sprintf("%s %s", number(v), c))
		}
	}
	return strings.Join(out, ", ")
}

// number writes a figure with three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// median of a host's rounds.
func (r *result) median(host string, m metric) (float64, bool) {
	var all []float64
	for _, f := range r.rounds[host] {
		if v, ok := f[m]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}
