package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"quail/internal/ucspi"
)

// identPort is where the peer says who opened the connection: RFC 1413.
const identPort = 113

// Bounds on what the peer may say.
const (
	longestAnswer = 1024 // bytes read in all
	longestInfo   = 257  // bytes of the user kept
)

// User asks the host of remote which of its users opened the connection from there to
// local, within limit for the whole exchange.
func User(local, remote netip.AddrPort, limit time.Duration) ucspi.Value {
	user, err := askIdent(netip.AddrPortFrom(remote.Addr(), identPort), local, remote.Port(), limit)
	if err != nil {
		return ucspi.Value{}
	}
	return ucspi.Known(user)
}

// askIdent asks server about the connection from remotePort of its host to local.
func askIdent(server, local netip.AddrPort, remotePort uint16, limit time.Duration) (user string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// From the address that was connected to, or the answer is about another pair.
	from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local.Addr(), 0))}
	conn, err := from.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := fmt.Fprintf(conn, "%d , %d\r\n", remotePort, local.Port()); err != nil {
		return "", err
	}
	return readInfo(conn)
}

var errLongAnswer = errors.New("ident answer too long")

// readInfo reads an answer, "25 , 1025 : USERID : UNIX : joe", and returns what
// follows the third colon, without blanks. Where there are fewer colons, as in an
// error, that is empty. The answer must end with its line, or be long enough.
func readInfo(r io.Reader) (string, error) {
	var user strings.Builder
	colons := 0
	in := bufio.NewReaderSize(r, 128)
	for range longestAnswer {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '\n':
			return upToNUL(user.String()), nil
		case c == ' ' || c == '\t' || c == '\r':
		case colons < 3:
			if c == ':' {
				colons++
			}
		default:
			user.WriteByte(c)
			if user.Len() == longestInfo {
				return upToNUL(user.String()), nil
			}
		}
	}
	return "", errLongAnswer
}

// upToNUL cuts s as the environment would, so that rules see the same.
func upToNUL(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}
