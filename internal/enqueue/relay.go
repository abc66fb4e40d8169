package enqueue

import (
	"bufio"
	"errors"
	"io"
	"os"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/submission"
)

// relay passes the message on to qmail-queued and returns the status that it answers.
// Where nobody answers, trying again later may help. What is not passed on to its end,
// whatever the reason, is not queued.
func relay(p *prog.Process) (status int) {
	c, err := localsocket.Dial(conf.Home+"/"+submission.Path, false)
	if err != nil {
		return prog.StatusTemporary
	}
	defer c.Close()
	w := submission.NewWriter(c, make([]byte, bufferSize))
	if err := copyMessage(w, p.Stdin); err != nil {
		return envelope.StatusRead
	}
	w.Envelope()
	// Its end is looked for, since who wrote it may keep descriptor 1 open.
	err = envelope.Transfer(w, bufio.NewReader(p.Stdout))
	var theirs *envelope.WriteError
	if err != nil && !errors.As(err, &theirs) {
		return queue.TransferStatus(err)
	}
	w.Write([]byte{0})
	w.Flush() // if that fails, they may have said why before they hung up
	return answer(c)
}

const bufferSize = 16384

// copyMessage copies as much of the message as qmail-queued takes. Errors are those of
// reading.
func copyMessage(w io.Writer, message *os.File) error {
	buf := make([]byte, bufferSize)
	for {
		n, rerr := message.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil || rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}

// answer reads the answer.
func answer(c io.Reader) (status int) {
	var b [submission.AnswerSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return prog.StatusTemporary
	}
	a, err := submission.ParseAnswer(b[:])
	if err != nil || a.Status&0xff != 0 {
		return prog.StatusTemporary
	}
	return a.Status >> 8
}
