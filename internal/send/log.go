package send

import (
	"fmt"
	"io"

	"quail/internal/queue"
)

// journal writes qmail-send's lines. They are an interface: log analysers and
// people's eyes know them byte by byte. See spec "qmail-start and qmail-send",
// section 13. Nobody is told if a line cannot be written.
type journal struct{ w io.Writer }

func (j journal) line(format string, a ...any) { fmt.Fprintf(j.w, format+"\n", a...) }

func (j journal) status(used, limit [len(queue.Channels)]int, exiting bool) {
	suffix := ""
	if exiting {
		suffix = " exitasap"
	}
	j.line("status: local %d/%d remote %d/%d%s",
		used[queue.Local], limit[queue.Local], used[queue.Remote], limit[queue.Remote], suffix)
}

func (j journal) exiting() { j.line("status: exiting") }

func (j journal) newMessage(id queue.ID) { j.line("new msg %v", id) }

func (j journal) infoMessage(id queue.ID, t queue.Todo) {
	j.line("info msg %v: bytes %d from <%s> qp %d uid %d", id, t.Size, safe(t.Sender), t.PID, t.UID)
}

func (j journal) bounced(id queue.ID, qp int) { j.line("bounce msg %v qp %d", id, qp) }
func (j journal) tripleBounce(id queue.ID)    { j.line("triple bounce: discarding %s", id.Bounce()) }
func (j journal) endMessage(id queue.ID)      { j.line("end msg %v", id) }

func (j journal) starting(n uint64, id queue.ID, c queue.Channel, recipient string) {
	j.line("starting delivery %d: msg %v to %s %s", n, id, c, safe(recipient))
}

func (j journal) success(n uint64, text string)  { j.line("delivery %d: success: %s", n, safe(text)) }
func (j journal) failure(n uint64, text string)  { j.line("delivery %d: failure: %s", n, safe(text)) }
func (j journal) deferral(n uint64, text string) { j.line("delivery %d: deferral: %s", n, safe(text)) }
func (j journal) mangled(n uint64)               { j.line("delivery %d: report mangled, will defer", n) }

func (j journal) warning(text string) { j.line("warning: %s", text) }
func (j journal) alert(text string)   { j.line("alert: %s", text) }

// trouble logs what could not be done to a file of the queue.
func (j journal) trouble(doing string, n queue.Name, consequence string) {
	j.warning(doing + " " + string(n) + consequence)
}

// safe makes text from a stranger fit into a line and its words.
func safe(text string) string {
	b := []byte(text)
	for i, c := range b {
		switch {
		case c == '\n':
			b[i] = '/'
		case c == '%' || c < 33 || c > 126:
			b[i] = '_'
		}
	}
	return string(b)
}
