// Package ucspi is the interface between a program that accepts connections and
// the server that it starts for each: descriptors 0 and 1 are the connection, and
// the environment says whose it is. See spec "Network", A1.
//
// The enemy is at the other end of the connection, and chooses its names too.
package ucspi

import (
	"strings"

	"quail/internal/prog"
	"quail/internal/received"
)

// Connection is what a server learns about its connection from the environment,
// tcp-environ(5): tcpserver and tcp-env write it, network servers read it.
//
// Strings and not addresses: the reader cannot know who the writer was, and gives
// back what it was told. RemoteHost and RemoteInfo were chosen by the peer, or by
// whoever runs its name servers.
type Connection struct {
	Proto                string // TCP, or TCP6 between IPv6 addresses; "" if not known
	LocalIP, LocalPort   string
	LocalHost            Value
	RemoteIP, RemotePort string
	RemoteHost           Value
	RemoteInfo           Value // what ident said; may well be set and empty
}

// Value is a variable that a connection may lack. Set and empty is not the same
// as not set: an ident server may answer with an empty name.
type Value struct {
	Text string
	Set  bool
}

// Known returns the value text.
func Known(text string) Value { return Value{text, true} }

// Or returns the value, or other if there is none.
func (v Value) Or(other string) string {
	if v.Set {
		return v.Text
	}
	return other
}

// environNames are the variables of a connection, in the order they are set.
var environNames = []string{
	"PROTO", "TCPLOCALIP", "TCPLOCALPORT", "TCPLOCALHOST",
	"TCPREMOTEIP", "TCPREMOTEPORT", "TCPREMOTEHOST", "TCPREMOTEINFO",
}

// Environ returns env with the variables of this connection and of no other: what
// c lacks is removed. A value ends at its first NUL.
func (c Connection) Environ(env prog.Env) prog.Env {
	out := env.Without(environNames...)
	values := [...]Value{
		given(c.Proto), given(c.LocalIP), given(c.LocalPort), c.LocalHost,
		given(c.RemoteIP), given(c.RemotePort), c.RemoteHost, c.RemoteInfo,
	}
	for i, v := range values {
		if v.Set {
			text, _, _ := strings.Cut(v.Text, "\x00")
			out = append(out, environNames[i]+"="+text)
		}
	}
	return out
}

// given is the Value of a field that is "" when it is not known.
func given(text string) Value { return Value{text, text != ""} }

// FromEnv returns the connection that env describes.
func FromEnv(env prog.Env) Connection {
	value := func(name string) Value {
		text, set := env.Lookup(name)
		return Value{text, set}
	}
	return Connection{
		Proto:      env.Get("PROTO"),
		LocalIP:    env.Get("TCPLOCALIP"),
		LocalPort:  env.Get("TCPLOCALPORT"),
		LocalHost:  value("TCPLOCALHOST"),
		RemoteIP:   env.Get("TCPREMOTEIP"),
		RemotePort: env.Get("TCPREMOTEPORT"),
		RemoteHost: value("TCPREMOTEHOST"),
		RemoteInfo: value("TCPREMOTEINFO"),
	}
}

// Session returns what the Received line of a message by protocol says of the connection.
func (c Connection) Session(protocol string) received.Session {
	return received.Session{
		Protocol: protocol,
		Host:     c.RemoteHost.Or("unknown"),
		IP:       given(c.RemoteIP).Or("unknown"),
		Info:     c.RemoteInfo.Text,
		HasInfo:  c.RemoteInfo.Set,
		Local:    c.LocalHost.Or(given(c.LocalIP).Or("unknown")),
	}
}
