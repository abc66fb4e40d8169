package sasl

// Client is the client's side of one exchange.
type Client interface {
	// Next takes a challenge and returns what to answer. Next(nil) at first asks for the
	// initial response: nil if there is none, since the server speaks first. An error
	// means that the exchange is to be cancelled.
	Next(challenge []byte) (response []byte, err error)
	// Done reports whether the client has shown and seen all that it must. A server that
	// says yes before has not proven that it knows the user, and is not to be believed.
	Done() bool
}

// ClientOptions are the circumstances of an exchange that a client takes part in.
type ClientOptions struct {
	Host     string    // name of the server
	Random   [32]byte  // for this exchange alone
	Bindings []Binding // of the TLS connection, best first
	TLS      bool      // nobody but the server reads: PLAIN and LOGIN may be used
}

// NewClient begins an exchange by the best of the mechanisms that a server offers.
// ErrMechanism: none will do.
func NewClient(offered []string, user, secret string, o ClientOptions) (name string, c Client, err error) {
	return "", nil, ErrMechanism
}
