package servertls

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"quail/internal/ucspi"
)

// chunkSize is how much is read of a client at once: a record of full size.
const chunkSize = 5 + 1<<14 + 256

// chunks are lent to connections for as long as they hold something unread.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// wire is the connection below crypto/tls, which is given no more than one record at a
// time: then it holds nothing that it has not looked at, and whether anything is unread
// can be seen here.
type wire struct {
	conn          *ucspi.Conn
	now           func() time.Time
	reads, writes time.Duration // how long each wait may last
	last          time.Time     // when the handshake must be over; zero after it
	goodbye       bool          // crypto/tls takes its leave

	chunk    *[chunkSize]byte // nil if nothing is unread
	from, to int              // what is unread of it

	head  [5]byte // of the record that is being handed over
	heads int     // bytes of head so far
	body  int     // bytes of the record that are to follow
}

// patience is how long a wait may last that is one of timeout outside of a handshake.
func (w *wire) patience(timeout time.Duration) time.Duration {
	if !w.last.IsZero() {
		timeout = min(timeout, w.last.Sub(w.now()))
	}
	return timeout
}

// Borrow and Return make it memory for what is read.
func (w *wire) Borrow() []byte {
	w.chunk = chunks.Get().(*[chunkSize]byte)
	return w.chunk[:]
}

func (w *wire) Return() { w.drop() }

// drop gives the chunk back.
func (w *wire) drop() {
	if w.chunk != nil {
		chunks.Put(w.chunk)
		w.chunk, w.from, w.to = nil, 0, 0
	}
}

// fill waits for something to read. It must be called without a chunk.
func (w *wire) fill(timeout time.Duration) error {
	n, err := w.conn.ReadWithin(w, timeout)
	if err != nil {
		return plain(err)
	}
	w.from, w.to = 0, n
	return nil
}

// plain makes an error that time has run out one after which crypto/tls can go on.
func plain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// Read reads to the end of a record or of its head.
func (w *wire) Read(b []byte) (n int, err error) {
	if w.chunk == nil {
		if err := w.fill(w.patience(w.reads)); err != nil {
			return 0, err
		}
	}
	unread := w.chunk[w.from:w.to]
	if w.body > 0 {
		n = copy(b, unread[:min(len(unread), w.body)])
		w.body -= n
	} else {
		n = copy(b, unread[:min(len(unread), len(w.head)-w.heads)])
		copy(w.head[w.heads:], b[:n])
		if w.heads += n; w.heads == len(w.head) {
			w.body, w.heads = int(binary.BigEndian.Uint16(w.head[3:])), 0
		}
	}
	if w.from += n; w.from == w.to {
		w.drop()
	}
	return n, nil
}

// Write writes all of b.
func (w *wire) Write(b []byte) (int, error) {
	timeout := w.patience(w.writes)
	if w.goodbye {
		timeout = min(timeout, goodbyeTime)
	}
	n, err := w.conn.WriteWithin(b, timeout)
	if err != nil {
		err = plain(err)
	}
	return n, err
}

// SetWriteDeadline is called by crypto/tls to take its leave.
func (w *wire) SetWriteDeadline(time.Time) error {
	w.goodbye = true
	return nil
}

// What crypto/tls has no use for.
func (*wire) Close() error                    { return nil }
func (*wire) LocalAddr() net.Addr             { return nil }
func (*wire) RemoteAddr() net.Addr            { return nil }
func (*wire) SetDeadline(time.Time) error     { return nil }
func (*wire) SetReadDeadline(time.Time) error { return nil }
