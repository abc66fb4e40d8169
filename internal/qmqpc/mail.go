package qmqpc

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"quail/internal/envelope"
	"quail/internal/netstring"
)

// mail is a message with its envelope, all of which has to be there before the first byte
// of a package can be sent: that is its length.
type mail struct {
	text    spool // the message, and the envelope as netstrings
	message int64 // how long the first is
}

// read takes both from the caller, and returns the exit status if they are not good.
func (m *mail) read(message io.Reader, addresses io.Reader) (status int) {
	if _, err := io.Copy(&m.text, message); err != nil {
		return statusOf(err)
	}
	m.message = m.text.size
	if err := envelope.Transfer((*addressWriter)(&m.text), bufio.NewReader(addresses)); err != nil {
		return statusOf(err)
	}
	return 0
}

// statusOf returns the status that trouble with the caller's side stands for.
func statusOf(err error) int {
	var full *spoolError
	switch {
	case errors.As(err, &full):
		return envelope.StatusWrite
	case errors.Is(err, envelope.ErrTooLong):
		return envelope.StatusTooLong
	case errors.Is(err, envelope.ErrFormat), errors.Is(err, io.ErrUnexpectedEOF):
		return envelope.StatusFormat
	}
	return envelope.StatusRead
}

// addressWriter turns the records of an envelope, each of which is written at once, into
// netstrings.
type addressWriter spool

func (w *addressWriter) Write(record []byte) (int, error) {
	address := record[1 : len(record)-1]
	_, err := (*spool)(w).Write([]byte(netstring.Format(string(address))))
	return len(record), err
}

// send writes the package but for its last comma.
func (m *mail) send(w io.Writer) error {
	head := netstring.Begin(netstring.Size(m.message) + m.text.size - m.message)
	for _, part := range []io.Reader{
		strings.NewReader(head + netstring.Begin(m.message)),
		io.NewSectionReader(&m.text, 0, m.message),
		strings.NewReader(","),
		io.NewSectionReader(&m.text, m.message, m.text.size-m.message),
	} {
		if _, err := io.Copy(w, part); err != nil {
			return err
		}
	}
	return nil
}

// spool keeps what is written to it, the beginning in memory and the rest in a file that
// has no name and goes with the process.
type spool struct {
	dir    string
	memory []byte
	file   *os.File // nil while memory is enough
	size   int64
}

const (
	spoolDir    = "/tmp"
	spoolMemory = 256 << 10 // bytes
)

// spoolError is trouble with the file.
type spoolError struct{ error }

func (e *spoolError) Unwrap() error { return e.error }

func (s *spool) Write(b []byte) (int, error) {
	n := min(len(b), spoolMemory-len(s.memory))
	s.memory = append(s.memory, b[:n]...)
	if n < len(b) {
		if err := s.open(); err != nil {
			return n, &spoolError{err}
		}
		if _, err := s.file.Write(b[n:]); err != nil {
			return n, &spoolError{err}
		}
	}
	s.size += int64(len(b))
	return len(b), nil
}

// open makes the file.
func (s *spool) open() (err error) {
	if s.file != nil {
		return nil
	}
	if s.file, err = os.CreateTemp(s.dir, "qmqpc"); err != nil {
		return err
	}
	return os.Remove(s.file.Name())
}

// ReadAt reads what has been written.
func (s *spool) ReadAt(b []byte, from int64) (int, error) {
	held := int64(len(s.memory))
	if from >= held {
		return s.file.ReadAt(b, from-held)
	}
	n := copy(b, s.memory[from:])
	if n == len(b) {
		return n, nil
	}
	if s.file == nil {
		return n, io.EOF
	}
	more, err := s.file.ReadAt(b[n:], 0)
	return n + more, err
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
	}
}
