//go:build linux

// Command bench is `make bench`: it measures Quail beside the mail servers that
// Debian packages, on this machine, in one run, and writes BENCH.md.
//
//	bench [--only PATTERN] [--peers LIST] [--rounds N] [--messages N] [--quick]
//	      [--home DIR --bin DIR] [--qmail HOME] [--work DIR] [--keep] [--out FILE]
//
// Each mail server lives in a root of its own: an overlay of this host's, into which
// its packages are unpacked and never installed, with a user of its own to deliver to,
// and with its queue and that user's home on a medium made for the run, in memory or
// on a journaled image. All of them share a network that has nothing but a loopback
// interface. Mounts and network belong to a namespace, so nothing stays behind.
//
// It builds Quail for a home of its own, unless --bin says where programs are that
// were linked for --home.
//
// Within a workload the servers take turns, so that what changes on the machine
// meanwhile meets all of them. Whether a bar is reached is computed, never typed.
//
// # Exit status
//
// 0 if everything was measured, whether or not the bars are reached; 1 if something
// did not work; 100 for bad usage.
//
// # Security
//
// A tool for developers that runs as root. Services listen on loopback addresses of a
// network of their own. The host's files are changed below --work and at --out alone.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// options are what the command line says.
type options struct {
	only     string
	peers    []string
	rounds   int
	messages int
	quick    bool
	home     string // what Quail is linked for
	bin      string // its programs
	qmail    string // the home of a qmail in C, or nothing
	work     string
	keep     bool
	out      string
	inside   bool   // this is the process in the namespace
	molest   string // this is the one that is slow to the service at this address
}

func main() {
	var o options
	pflag.StringVar(&o.only, "only", "", "measure only the workloads whose names match this pattern")
	pflag.StringSliceVar(&o.peers, "peers", nil, "measure only these servers")
	pflag.IntVar(&o.rounds, "rounds", 3, "rounds of each workload; the median counts")
	pflag.IntVar(&o.messages, "messages", 2000, "messages a round")
	pflag.BoolVar(&o.quick, "quick", false, "Quail alone, in memory, a few messages: does the bench still work?")
	pflag.StringVar(&o.home, "home", "/bench/quail", "what the programs in --bin are linked for")
	pflag.StringVar(&o.bin, "bin", "", "Quail's programs")
	pflag.StringVar(&o.qmail, "qmail", "", "the home of a qmail in C on this host, to be measured too")
	pflag.StringVar(&o.work, "work", "/var/tmp/quail-bench", "a directory for up to 5 GB")
	pflag.BoolVar(&o.keep, "keep", false, "leave the logs and traces in the work directory")
	pflag.StringVar(&o.out, "out", "BENCH.md", "the report")
	pflag.BoolVar(&o.inside, "inside", false, "")
	pflag.CommandLine.MarkHidden("inside")
	pflag.StringVar(&o.molest, "molest", "", "")
	pflag.CommandLine.MarkHidden("molest")
	pflag.Parse()
	_, err := regexp.Compile(o.only)
	if pflag.NArg() > 0 || err != nil || o.rounds < 1 || o.messages < 20 || !filepath.IsAbs(o.work) {
		fmt.Fprintln(os.Stderr, "usage: bench [--only pattern] [--peers list] [--rounds n] [--messages n] [--quick] "+
			"[--qmail home] [--work directory] [--keep] [--out file]")
		os.Exit(100)
	}
	if o.quick {
		o.rounds, o.messages = 1, 40
		o.peers, o.only = []string{"Quail"}, "^(fresh|remote)$"
	}
	if n := len(o.chosen()); o.peers != nil && n < len(o.peers) {
		fmt.Fprintf(os.Stderr, "bench: only %d of %q are servers that can be measured (%q with --qmail)\n", n, o.peers, "qmail in C")
		os.Exit(100)
	}
	if err := o.run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run prepares what needs the host's network, and has the rest done inside.
func (o *options) run() error {
	switch {
	case o.inside:
		return measure(o)
	case o.molest != "":
		return laggards(o.molest)
	}
	// What is to be killed is killed by the process inside, which is told.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := wanting(); err != nil {
		return err
	}
	os.RemoveAll(o.work)
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return err
	}
	if !o.keep {
		defer os.RemoveAll(o.work)
	}
	if err := o.build(); err != nil {
		return err
	}
	for _, p := range append(o.chosen(), load) {
		for _, name := range p.packages {
			if err := fetch(name); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return o.reenter(ctx)
}

// chosen are the servers to be measured.
func (o *options) chosen() []*peer {
	all := []*peer{quail(o.home), postfix(), opensmtpd(), exim(), ucspi()}
	if o.qmail != "" {
		all = append(all, qmailInC(o.qmail))
	}
	if o.peers == nil {
		return all
	}
	var out []*peer
	for _, p := range all {
		for _, name := range o.peers {
			if strings.EqualFold(p.name, name) {
				out = append(out, p)
			}
		}
	}
	return out
}

// build compiles Quail, unless that has been done, and the program that does nothing.
func (o *options) build() error {
	if _, err := run("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(o.work, "empty"), "./scripts/bench/empty"); err != nil {
		return err
	}
	if o.bin != "" {
		return nil
	}
	o.bin = filepath.Join(o.work, "bin")
	_, err := run("make", "--no-print-directory", "build", "QMAIL="+o.home, "ACCOUNTS=qmail", "BIN="+o.bin)
	return err
}
