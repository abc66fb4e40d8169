// Command demo is `make run`: it sets up a qmail home of its own, starts the mail
// system there, sends two messages through it and waits for Ctrl-C.
//
//	demo --home DIR --bin DIR [--port N]
//
// --bin holds the programs, linked for the home. As root every program runs as its
// own user, as on a real host. An ordinary user is all of them. Nothing outside
// the home is changed, but that as root the suite's accounts are made if absent.
//
// # Exit status
//
// 0 after Ctrl-C, 1 if something did not work, 100 for bad usage.
//
// # Security
//
// A tool for developers. The SMTP service listens on 127.0.0.1 alone and takes mail
// for quail.example alone, which is delivered inside the home. No mail leaves the
// host unless somebody sends it out by hand.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

// host is the name of the demonstration's mail host. RFC 2606 keeps it free.
const host = "quail.example"

// demo is one demonstration.
type demo struct {
	home string // absolute
	bin  string // the built programs
	port int
	who  account // who owns HOME/alias, and gets the mail
	root bool
}

func main() {
	var d demo
	pflag.StringVar(&d.home, "home", "", "the home to set up")
	pflag.StringVar(&d.bin, "bin", "", "the directory with the programs")
	pflag.IntVar(&d.port, "port", 2525, "the SMTP port on 127.0.0.1")
	pflag.Parse()
	if !filepath.IsAbs(d.home) || d.bin == "" || pflag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: demo --home directory --bin directory [--port number]")
		os.Exit(100)
	}
	d.root = os.Geteuid() == 0
	// Signals stay caught to the end: a second one must not cut the cleaning up short.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := d.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "\nmake run: %v\n", err)
		os.Exit(1)
	}
}

// run returns after a signal, or with an error when something does not work. All
// processes that it started have ended by then.
func (d *demo) run(ctx context.Context) error {
	if err := d.setUp(ctx); err != nil {
		return err
	}
	var running services
	defer func() { running.stop() }()
	if err := running.start("qmail-start", d.command("qmail-start", "./Maildir/")); err != nil {
		return err
	}
	tcpserver, err := d.tcpserver()
	if err != nil {
		return err
	}
	if err := running.start("tcpserver", tcpserver); err != nil {
		return err
	}
	for _, send := range []func(context.Context, message) error{d.sendBySMTP, d.sendBySendmail} {
		m := newMessage()
		if err := running.orDead(ctx, func(ctx context.Context) error { return send(ctx, m) }); err != nil {
			return err
		}
		if err := running.orDead(ctx, func(ctx context.Context) error { return d.landed(ctx, m) }); err != nil {
			return err
		}
	}
	d.suggest()
	return running.orDead(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
}

// suggest says what else to do while everything runs.
func (d *demo) suggest() {
	fmt.Printf(`
It runs. Try, in another terminal:

    echo 'Subject: hello' | %[1]s/bin/sendmail demo@%[2]s; ls %[1]s/alias/Maildir/new
    echo 'Subject: who?' | %[1]s/bin/sendmail -f demo@%[2]s nobody@%[2]s     # bounces to demo
    %[1]s/bin/qmail-showctl

SMTP is on 127.0.0.1 port %[3]d. The log comes here. Ctrl-C ends it all.

`, d.home, host, d.port)
}
