//go:build linux

package main

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
)

// sink is an SMTP server that takes everything and counts. It offers PIPELINING, as
// most hosts do, and takes 100 recipients a transaction, which is what all must.
type sink struct {
	connections, transactions, recipients atomic.Int64
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:2525")
	if err != nil {
		return nil, err
	}
	s := new(sink)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			go s.talk(conn)
		}
	}()
	return s, nil
}

// most recipients of a transaction, RFC 5321 4.5.3.1.8.
const most = 100

// talk is one session. Replies go out when the client waits for them.
func (s *sink) talk(conn net.Conn) {
	defer conn.Close()
	r, w := bufio.NewReaderSize(conn, 16<<10), bufio.NewWriter(conn)
	recipients := 0
	w.WriteString("220 sink ESMTP\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return
		}
		switch strings.ToUpper(string(line[:4])) {
		case "EHLO":
			w.WriteString("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n")
		case "RCPT":
			if recipients == most {
				w.WriteString("452 too many recipients\r\n")
				continue
			}
			recipients++
			w.WriteString("250 ok\r\n")
		case "DATA":
			w.WriteString("354 go ahead\r\n")
			if w.Flush() != nil || !text(r) {
				return
			}
			s.transactions.Add(1)
			s.recipients.Add(int64(recipients))
			recipients = 0
			w.WriteString("250 ok\r\n")
		case "QUIT":
			w.WriteString("221 bye\r\n")
			w.Flush()
			return
		default: // HELO, MAIL, RSET
			recipients = 0
			w.WriteString("250 ok\r\n")
		}
	}
}

// text reads to the end of a message.
func text(r *bufio.Reader) bool {
	for begin := true; ; {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return false
		}
		if begin && string(line) == ".\r\n" {
			return true
		}
		begin = err == nil
	}
}
