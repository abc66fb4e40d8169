// Command qmail-tls puts TLS before a server that knows nothing of it.
//
//	qmail-tls PROGRAM [ ARG ... ]
//
// It is for servers that read from descriptor 0 and write to descriptor 1, as those that
// tcpserver runs; tcpserver -s runs it before its program. The client shakes hands with
// qmail-tlsnet, which this runs, and speaks through that with PROGRAM. Certificates and
// the use of their keys come from qmail-keys, which must run.
//
// # Environment
//
// PROGRAM gets SSL_PROTOCOL (TLSv1.2, TLSv1.3), SSL_CIPHER (such as TLS_AES_128_GCM_SHA256)
// and SSL_TLS_SNI_SERVERNAME, the server that the client has named, if it did. A client
// that names none gets the certificate for TCPLOCALHOST, or the first one. TCPREMOTEIP
// stands in what goes to the log.
//
// # Exit status
//
// That of PROGRAM, which takes qmail-tls's place; 100 for a usage error, 111 if there is
// no certificate, the client does not shake hands within a minute, or PROGRAM cannot be
// run.
//
// # Security
//
// Runs as PROGRAM does, which may be root, and has nothing of TLS in it. qmail-tlsnet, run
// as qmaild where this is root, has the client; what is read from that is three words.
package main

import (
	"quail/internal/prog"
	"quail/internal/tlsfront"
)

func main() { prog.Main("qmail-tls", tlsfront.Run) }
