// Command mconnect talks to a mail server, or another one that speaks in lines.
//
//	mconnect [ HOST [ PORT ] ]
//
// HOST is an address, a name, or 0, the default, for this machine; PORT is 25 if not
// named. What mconnect reads is sent with a CR before every LF; what the host sends is
// printed, until it closes the connection. When the input has ended mconnect goes on
// printing.
//
// # Exit status
//
// 0, or 111 if there is no connection, or it breaks.
//
// # Security
//
// Runs as the caller and prints whatever the other host says, as it comes.
package main

import (
	"io"

	"quail/internal/crlf"
	"quail/internal/dial"
	"quail/internal/prog"
)

func main() { prog.Main("mconnect", run) }

func run(p *prog.Process) error {
	to := dial.Usual()
	to.Port = "25"
	if len(p.Args) > 0 {
		to.Host = p.Args[0]
	}
	if len(p.Args) > 1 {
		to.Port = p.Args[1]
	}
	conn, err := to.Connect(p)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The end of what is typed is not that of the conversation: QUIT is. And when the
	// other side has gone there is nobody to type for.
	go crlf.Copy(conn, p.Stdin, crlf.Add)
	if _, err := io.Copy(p.Stdout, conn); err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}
