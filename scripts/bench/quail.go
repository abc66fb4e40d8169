//go:build linux

package main

import (
	"fmt"
	"strings"
)

// qmail are the control files and assignments of a qmail in home: the bench's domain is
// local, the rest goes to the sink, and no host name is looked up.
func qmail(home string) []file {
	return []file{
		{home + "/control/me", domain + "\n"},
		{home + "/control/locals", domain + "\n"},
		{home + "/control/rcpthosts", domain + "\n" + remotely + "\n" + deferring + "\n"},
		{home + "/control/smtproutes", "remote.example:127.0.0.1:2525\n" + deferring + ":127.0.0.1:9\n"},
		{home + "/control/concurrencylocal", fmt.Sprintln(atOnce)},
		{home + "/control/concurrencyremote", fmt.Sprintln(atOnce)},
		{home + "/users/assign", fmt.Sprintf("=%[1]s:%[1]s:%[2]d:%[2]d:%[3]s:::\n+%[1]s-:%[1]s:%[2]d:%[2]d:%[3]s:-::\n.\n", owner, ownerID, ownHome)},
		{ownHome + "/.qmail-default", "./Maildir/\n"},
	}
}

// qmailServices are the queue and the SMTP service of a qmail in home, started as its
// run scripts do.
func qmailServices(home, tcpserver string) func(h *host) []service {
	return func(h *host) []service {
		address, port, _ := strings.Cut(h.address, ":")
		connections := connected
		if h.connections > 0 {
			connections = h.connections
		}
		options := "-HR"
		if h.traced {
			options = "-vHR" // it says what it did with its jobs, and every connection
		}
		smtp := fmt.Sprintf("PATH=%s/bin:$PATH exec %s %s -l 0 -c %d -b 4096 -u $(id -u qmaild) -g $(id -g qmaild) %s %s qmail-smtpd",
			home, tcpserver, options, connections, address, port)
		return []service{
			{name: "qmail-start", argv: []string{"/usr/bin/env", "-", "PATH=" + home + "/bin:/usr/bin:/bin", home + "/bin/qmail-start", "./Maildir/"}},
			{name: "tcpserver", argv: []string{"/bin/sh", "-c", smtp}, front: true},
		}
	}
}

// quail is Quail, linked for a home that it finds on the medium.
func quail(home string) *peer {
	return &peer{
		name:          "Quail",
		home:          home,
		configuration: func(*host) []file { return qmail(home) },
		setUp: []string{
			// What is there already is left alone.
			"sh /mnt/quail/scripts/install -t -b /mnt/bin " + home,
			home + "/bin/qmail-newu",
		},
		services: qmailServices(home, "tcpserver"),
		sendmail: home + "/bin/sendmail",
	}
}

// qmailInC is a qmail that somebody has built, which is copied to the medium and shown
// at its own home. Its SMTP service is under Debian's tcpserver.
func qmailInC(home string) *peer {
	return &peer{
		name:     "qmail in C",
		packages: []string{"ucspi-tcp"},
		configuration: func(*host) []file {
			return qmail("/bench/qmail")
		},
		setUp: []string{
			fmt.Sprintf("cp -a %[1]s /bench/copy && cp -r /bench/qmail/. /bench/copy/ && rm -r /bench/qmail && "+
				"mv /bench/copy /bench/qmail && mount --bind /bench/qmail %[1]s", home),
			home + "/bin/qmail-newu",
		},
		services: qmailServices(home, "/usr/bin/tcpserver"),
		sendmail: home + "/bin/sendmail",
	}
}

// ucspi is Debian's tcpserver, for the rate at which connections are taken.
func ucspi() *peer {
	return &peer{
		name:          "ucspi-tcp",
		packages:      []string{"ucspi-tcp"},
		front:         true,
		configuration: func(*host) []file { return nil },
		services:      func(h *host) []service { return []service{greeter(h, "/usr/bin/tcpserver")} },
	}
}

// greeter is a tcpserver that starts a trivial program for every connection.
func greeter(h *host, tcpserver string) service {
	address, port, _ := strings.Cut(h.address, ":")
	return service{name: "tcpserver", front: true, argv: []string{tcpserver, "-HR", "-l", "0", "-c", fmt.Sprint(connected),
		"-b", "4096", address, port, "/bin/echo", "220 hello"}}
}

// quailTCPServer is Quail's tcpserver in front of the same program.
func quailTCPServer(home string) *peer {
	p := quail(home)
	p.front = true
	p.services = func(h *host) []service { return []service{greeter(h, home+"/bin/tcpserver")} }
	return p
}
