//go:build linux

package main

import (
	"fmt"
	"strings"
)

const postfixText = `compatibility_level = 3.6
queue_directory = /bench/postfix
data_directory = /bench/postfix-data
myhostname = DOMAIN
mydestination = DOMAIN
mynetworks = 127.0.0.0/8
inet_interfaces = ADDRESS
inet_protocols = ipv4
relayhost = [127.0.0.1]:2525
smtp_bind_address = ADDRESS
disable_dns_lookups = yes
smtpd_peername_lookup = no
alias_maps =
alias_database =
recipient_delimiter = -
home_mailbox = HOME
biff = no
default_process_limit = CONNECTED
default_destination_concurrency_limit = ATONCE
local_destination_concurrency_limit = ATONCE
initial_destination_concurrency = ATONCE
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
`

// postfix without what its defaults do against floods: limits a client, the delay when
// mail comes in faster than it goes out, and slow starts. It syncs as it does by
// default.
func postfix() *peer {
	return &peer{
		name:     "Postfix",
		packages: []string{"postfix"},
		configuration: func(h *host) []file {
			address, _, _ := strings.Cut(h.address, ":")
			return []file{{"/etc/postfix/main.cf", strings.NewReplacer("ADDRESS", address, "DOMAIN", domain,
				"ATONCE", fmt.Sprint(atOnce), "CONNECTED", fmt.Sprint(max(connected, h.connections)),
				"HOME", strings.TrimPrefix(inbox, ownHome+"/")+"/").Replace(postfixText)}}
		},
		setUp: []string{
			"for g in postfix postdrop; do getent group $g || groupadd -r $g; done; getent passwd postfix || useradd -r -M -g postfix -d /bench/postfix postfix",
			"mkdir -p /bench/postfix /bench/postfix-data && chown postfix /bench/postfix-data",
			"cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf && cp /usr/share/postfix/dynamicmaps.cf /etc/postfix/",
			"chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue && chmod 2755 /usr/sbin/postdrop /usr/sbin/postqueue && postfix check",
		},
		services: func(*host) []service {
			return []service{{name: "master", front: true, argv: []string{"postfix", "start-fg"}}}
		},
		sendmail: "/usr/sbin/sendmail",
	}
}

const opensmtpdText = `listen on ADDRESS port 25
listen on socket
smtp limit max-mails 1000000
mda limit max-session-per-user ATONCE
smtp sub-addr-delim "-"
action "here" maildir "INBOX"
action "there" relay host "smtp://127.0.0.1:2525" src ADDRESS helo DOMAIN
match from any for domain "DOMAIN" action "here"
match from any for any action "there"
`

// opensmtpd as its manual sets it up, with its limits a session and a host out of the way.
func opensmtpd() *peer {
	return &peer{
		name:     "OpenSMTPD",
		packages: []string{"opensmtpd"},
		configuration: func(h *host) []file {
			address, _, _ := strings.Cut(h.address, ":")
			return []file{{"/etc/smtpd.conf", strings.NewReplacer("ADDRESS", address, "DOMAIN", domain,
				"INBOX", inbox, "ATONCE", fmt.Sprint(atOnce)).Replace(opensmtpdText)}}
		},
		setUp: []string{
			"for u in opensmtpd opensmtpq; do groupadd -r $u; useradd -r -M -g $u -d /var/lib/opensmtpd/empty -s /usr/sbin/nologin $u; done",
			"mkdir -p /var/lib/opensmtpd/empty /bench/opensmtpd /var/spool/smtpd && chmod 711 /bench/opensmtpd && mount --bind /bench/opensmtpd /var/spool/smtpd",
			"chgrp opensmtpq /usr/sbin/smtpctl && chmod 2755 /usr/sbin/smtpctl && ln -sf smtpctl /usr/sbin/sendmail && echo " + domain + " >/etc/mailname",
			": >/etc/aliases",
		},
		services: func(*host) []service {
			return []service{{name: "smtpd", front: true, argv: []string{"/usr/sbin/smtpd", "-F"}}}
		},
		sendmail: "/usr/sbin/sendmail",
	}
}

const eximText = `primary_hostname = DOMAIN
spool_directory = /bench/exim
log_file_path = /bench/log/exim_%slog
local_interfaces = ADDRESS
daemon_smtp_ports = 25
tls_advertise_hosts =
rfc1413_hosts =
host_lookup =
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
smtp_accept_max = CONNECTED
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 4096
remote_max_parallel = ATONCE
begin routers
here:
  driver = accept
  domains = DOMAIN
  local_part_suffix = -*
  local_part_suffix_optional
  local_parts = OWNER
  transport = maildir
there:
  driver = manualroute
  domains = ! DOMAIN
  route_list = * 127.0.0.1
  self = send
  transport = sink
begin transports
maildir:
  driver = appendfile
  user = OWNER
  directory = INBOX
  maildir_format
  create_directory = false
sink:
  driver = smtp
  port = 2525
  interface = ADDRESS
begin retry
* * F,1h,15m
`

// exim with one router and transport for here and for there. It delivers each message
// at once, in a process of the message's own.
func exim() *peer {
	return &peer{
		name:     "Exim",
		packages: []string{"exim4-base", "exim4-daemon-light"},
		configuration: func(h *host) []file {
			address, _, _ := strings.Cut(h.address, ":")
			return []file{{"/etc/exim4/exim4.conf", strings.NewReplacer("ADDRESS", address, "DOMAIN", domain, "OWNER", owner,
				"INBOX", inbox, "ATONCE", fmt.Sprint(atOnce), "CONNECTED", fmt.Sprint(max(connected, h.connections))).Replace(eximText)}}
		},
		setUp: []string{
			"groupadd -r Debian-exim && useradd -r -M -g Debian-exim -d /bench/exim -s /usr/sbin/nologin Debian-exim",
			"install -d -o Debian-exim -g Debian-exim -m 750 /bench/exim && chown root:Debian-exim /bench/log && chmod 775 /bench/log && chmod 4755 /usr/sbin/exim4",
		},
		services: func(*host) []service {
			return []service{{name: "exim", front: true, argv: []string{"/usr/sbin/exim4", "-bdf", "-q30m"}}}
		},
		sendmail: "/usr/sbin/exim4",
	}
}
