package send

import (
	"io"
	"strconv"

	"quail/internal/delivery"
	"quail/internal/queue"
)

// journal writes qmail-send's lines. They are an interface: log analysers and
// people's eyes know them byte by byte. See spec "qmail-start and qmail-send",
// section 13. Nobody is told if a line cannot be written.
//
// The lines of one turn are written at once, before anybody else is told of what
// they say.
type journal struct {
	w     io.Writer
	lines []byte
}

// flush writes what has been said.
func (j *journal) flush() {
	if len(j.lines) > 0 {
		j.w.Write(j.lines)
		j.lines = j.lines[:0]
	}
}

// line adds a line made of strings and numbers. What else there is to say is said by
// the methods below alone.
func (j *journal) line(parts ...any) {
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			j.lines = append(j.lines, part...)
		case stranger:
			j.lines = part.appendSafe(j.lines)
		case int:
			j.lines = strconv.AppendInt(j.lines, int64(part), 10)
		case int64:
			j.lines = strconv.AppendInt(j.lines, part, 10)
		case uint64:
			j.lines = strconv.AppendUint(j.lines, part, 10)
		case queue.ID:
			j.lines = part.Append(j.lines)
		}
	}
	j.lines = append(j.lines, '\n')
}

func (j *journal) status(used, limit [len(queue.Channels)]int, exiting bool) {
	suffix := ""
	if exiting {
		suffix = " exitasap"
	}
	j.line("status: local ", used[queue.Local], "/", limit[queue.Local],
		" remote ", used[queue.Remote], "/", limit[queue.Remote], suffix)
}

func (j *journal) exiting() { j.line("status: exiting") }

func (j *journal) newMessage(id queue.ID) { j.line("new msg ", id) }

func (j *journal) infoMessage(id queue.ID, t queue.Todo) {
	j.line("info msg ", id, ": bytes ", t.Size, " from <", stranger(t.Sender), "> qp ", t.PID, " uid ", t.UID)
}

func (j *journal) bounced(id queue.ID, qp int) { j.line("bounce msg ", id, " qp ", qp) }
func (j *journal) tripleBounce(id queue.ID) {
	j.line("triple bounce: discarding ", string(id.Bounce()))
}
func (j *journal) endMessage(id queue.ID) { j.line("end msg ", id) }

func (j *journal) starting(n uint64, id queue.ID, c queue.Channel, recipient string) {
	j.line("starting delivery ", n, ": msg ", id, " to ", c.String(), " ", stranger(recipient))
}

// outcome says what a spawner has reported.
func (j *journal) outcome(n uint64, r delivery.Report) {
	words, known := outcomes[r.Letter]
	if !known {
		j.line("delivery ", n, ": report mangled, will defer")
		return
	}
	j.line("delivery ", n, words, stranger(r.Text))
}

var outcomes = map[byte]string{
	delivery.Success:   ": success: ",
	delivery.Permanent: ": failure: ",
	delivery.Temporary: ": deferral: ",
}

// ordered is a line that qmail's log does not have, and that begins like none of its
// lines: those who read logs pass it over.
func (j *journal) ordered(verb string, id queue.ID, uid int) {
	j.line("qctl: ", verb, " msg ", id, " uid ", uid)
}

func (j *journal) warning(text string) { j.line("warning: ", text) }
func (j *journal) alert(text string)   { j.line("alert: ", text) }

// trouble logs what could not be done to a file of the queue.
func (j *journal) trouble(doing string, n queue.Name, consequence string) {
	j.warning(doing + " " + string(n) + consequence)
}

// stranger is text that somebody else has written.
type stranger string

// appendSafe adds the text so that it fits into a line and its words.
func (text stranger) appendSafe(b []byte) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n':
			b = append(b, '/')
		case c == '%' || c < 33 || c > 126:
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return b
}
