//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report writes what was measured. It names no host and no directory of this machine.
func (b *bench) report() error {
	var w strings.Builder
	fmt.Fprintf(&w, "# Quail beside other mail servers\n\nWritten by `make bench`; nothing here is typed by hand. Medians of %d.\n\n", b.rounds)
	b.machine(&w)
	b.table(&w)
	for _, work := range workloads {
		if r := b.results[work.name]; r != nil {
			r.describe(&w, work)
		}
	}
	b.shares(&w)
	b.colds(&w)
	b.method(&w)
	b.configurations(&w)
	text := w.String()
	if b.qmail != "" {
		text = strings.ReplaceAll(text, b.qmail, "HOME")
	}
	return os.WriteFile(b.out, []byte(text), 0o644)
}

// machine says what was run where.
func (b *bench) machine(w *strings.Builder) {
	var kernel unix.Utsname
	unix.Uname(&kernel) // cannot fail
	var memory unix.Sysinfo_t
	unix.Sysinfo(&memory)
	cpu := "unknown"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/etc/debian_version")
	fmt.Fprintf(w, "- command: `make bench%s`, %s\n", b.arguments(), time.Now().UTC().Format("2 January 2006"))
	fmt.Fprintf(w, "- machine: %s, %d cores, %.0f GiB of memory, Linux %s, Debian %s\n", cpu, runtime.NumCPU(),
		float64(memory.Totalram)*float64(memory.Unit)/(1<<30), unix.ByteSliceToString(kernel.Release[:]), strings.TrimSpace(string(release)))
	commit, err := run("git", "rev-parse", "--short", "HEAD")
	if err != nil {
		commit = "sources without a history"
	}
	fmt.Fprintf(w, "- versions: Quail %s with %s", strings.TrimSpace(commit), runtime.Version())
	for _, p := range b.peers {
		for _, name := range p.packages {
			if file, err := deb(name); err == nil && p.name != "qmail in C" {
				fmt.Fprintf(w, ", %s %s", name, strings.ReplaceAll(strings.Split(filepath.Base(file), "_")[1], "%3a", ":"))
			}
		}
	}
	fmt.Fprintf(w, "\n- load: %d connections, messages of %d bytes, at most %d a round\n", atOnce, size, b.messages)
}

// arguments are the options given, as make takes them.
func (b *bench) arguments() string {
	given := []string{}
	if b.only != "" {
		given = append(given, "--only "+b.only)
	}
	if b.options.peers != nil {
		given = append(given, "--peers "+strings.Join(b.options.peers, ","))
	}
	if b.rounds != 3 {
		given = append(given, fmt.Sprintf("--rounds %d", b.rounds))
	}
	if b.qmail != "" {
		given = append(given, "--qmail HOME")
	}
	if len(given) == 0 {
		return ""
	}
	return fmt.Sprintf(" BENCH='%s'", strings.Join(given, " "))
}

// table shows every bar beside what was measured.
func (b *bench) table(w *strings.Builder) {
	w.WriteString("\n## The bar\n\n| work | bar | measured | reached |\n| --- | --- | --- | --- |\n")
	for _, r := range bars {
		measured, reached := r.verdict(b.results)
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.work, r.text(), measured, reached)
	}
}

// describe shows the medians of a workload, with Quail's as a ratio to each.
func (r *result) describe(w *strings.Builder, work workload) {
	fmt.Fprintf(w, "\n## %s: %s (%s)\n\n|", work.name, work.title, work.medium)
	for _, c := range work.columns {
		fmt.Fprintf(w, " | %s", c)
	}
	fmt.Fprintf(w, " | Quail's %s |\n| ---%s | --- |\n", work.columns[0], strings.Repeat(" | ---", len(work.columns)))
	own, measured := r.median("Quail", work.columns[0])
	for _, host := range r.order {
		fmt.Fprintf(w, "| %s", host)
		for _, c := range work.columns {
			cell := "–"
			if v, ok := r.median(host, c); ok {
				cell = number(v)
			}
			fmt.Fprintf(w, " | %s", cell)
		}
		ratio := "–"
		if v, ok := r.median(host, work.columns[0]); ok && measured && v > 0 {
			ratio = number(own/v) + " ×"
		}
		fmt.Fprintf(w, " | %s |\n", ratio)
	}
	for _, err := range r.failed {
		line, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Fprintf(w, "\nNot measured: %s.\n", line)
	}
}

// colds repeats what Quail's programs said about their jobs when they ended.
func (b *bench) colds(w *strings.Builder) {
	w.WriteString("\n## Jobs of Quail's, warm and cold\n\n")
	if len(b.jobs) == 0 {
		w.WriteString("No program said anything about jobs: all were started cold.\n")
		return
	}
	fmt.Fprintf(w, "```\n%s\n```\n", strings.Join(b.jobs, "\n"))
}

// method says how to read the figures.
func (b *bench) method(w *strings.Builder) {
	w.WriteString(`
## How it was measured

- Each server runs in a root of its own, an overlay of this host's with the packages unpacked, in one network that has
  loopback alone. All hosts of a workload are up at once and take turns; each had 100 messages to warm up,
  and gets as many a round as it takes in ten seconds, and no more than the others.
- tmpfs: queue, mailbox and logs in memory. ext4: on an image behind a loop device with direct I/O, so that a sync is one of
  the disk.
- The load is Postfix's smtp-source; the remote host is a sink of the bench's own that counts. "Accepted" is when the last 250
  came, "delivered" when the last message was in the mailbox or the sink.
- CPU is that of the server's control group, with all its children, until it was at rest; the load is not in it. Memory is the
  proportional set size (PSS).
- Syncs and forks are counted by strace in a run of their own: fsync, fdatasync, sync_file_range, syncfs, sync, msync, files
  opened with O_SYNC or O_DSYNC; processes, not threads.
- A call of sendmail is charged with its process and those that it waited for; "with the daemons" has all that it caused.
- No host has a syslog service, so Postfix and OpenSMTPD log into nothing; Quail and Exim log into files.
- OpenSMTPD's listen queue has five places, which no setting changes: of 20 new connections at once some wait a second for
  TCP to try again.
- Of idle connections, Quail gets 10,000, or as many as this machine's limit of open files allows with two for each, and each
  of the others 2,000, unless 2 GiB are full before.
`)
}

// configurations prints what each server was given.
func (b *bench) configurations(w *strings.Builder) {
	w.WriteString("\n## Configurations\n")
	h := &host{address: "127.0.0.2:25"}
	for _, p := range b.peers {
		h.peer = p
		files := p.configuration(h)
		if len(files) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n### %s\n\n```\n", p.name)
		for _, f := range files {
			fmt.Fprintf(w, "# %s\n%s", f.path, f.text)
		}
		for _, s := range p.services(h) {
			fmt.Fprintf(w, "# started as\n%s\n", strings.Join(slices.DeleteFunc(slices.Clone(s.argv), func(s string) bool { return s == "" }), " "))
		}
		w.WriteString("```\n")
	}
}
