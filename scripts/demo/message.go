package main

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long the SMTP service may take to listen, and a message to arrive.
const (
	startUp  = 10 * time.Second
	delivery = 30 * time.Second
)

// message is a message that can be told from others: its Message-ID is its own.
type message struct{ id string }

func newMessage() message {
	return message{fmt.Sprintf("%d.%d@%s", time.Now().UnixNano(), os.Getpid(), host)}
}

// text returns the message with the line end of whoever takes it.
func (m message) text(subject, eol string) string {
	return strings.Join([]string{"From: demo@" + host, "To: demo@" + host, "Subject: " + subject,
		"Message-ID: <" + m.id + ">", "", "Hello from make run.", ""}, eol)
}

// sendBySMTP hands m to qmail-smtpd, once it listens.
func (d *demo) sendBySMTP(ctx context.Context, m message) error {
	fmt.Printf("\nSending a message by SMTP to %s ...\n", d.address())
	conn, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(delivery))
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if err := c.Mail("demo@" + host); err != nil {
		return err
	}
	if err := c.Rcpt("demo@" + host); err != nil {
		return err
	}
	body, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := body.Write([]byte(m.text("by SMTP", "\r\n"))); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// dial tries until the service listens.
func (d *demo) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startUp)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", d.address())
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sendBySendmail hands m to bin/sendmail.
func (d *demo) sendBySendmail(_ context.Context, m message) error {
	fmt.Printf("\nSending a message by %s/bin/sendmail ...\n", d.home)
	cmd := d.command("sendmail", "demo@"+host)
	cmd.Stdin = strings.NewReader(m.text("by sendmail", "\n"))
	cmd.Stdout = os.Stdout
	return cmd.Run()
}

// landed waits until m is in the Maildir of demo and says where.
func (d *demo) landed(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, delivery)
	defer cancel()
	dir := filepath.Join(d.home, "alias", "Maildir", "new")
	for {
		names, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			path := filepath.Join(dir, name.Name())
			if contents, err := os.ReadFile(path); err == nil && strings.Contains(string(contents), m.id) {
				fmt.Printf("It is in %s\n", path)
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the message is not in %s after %v; the log above says more", dir, delivery)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
