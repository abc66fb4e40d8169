package envelope

// Exit statuses of qmail-queue itself. Those of qmail-qmqpc follow; what other programs
// in its place use stands in texts below.
const (
	StatusOK          = 0
	StatusTooLong     = 11  // an address is longer than MaxAddress
	StatusTimeout     = 52  // 24 hours have passed
	StatusWrite       = 53  // write error or disk full
	StatusRead        = 54  // message or envelope ended early
	StatusHome        = 61  // no home directory
	StatusQueue       = 62  // no queue directory
	StatusPid         = 63  // queue/pid
	StatusMess        = 64  // queue/mess
	StatusIntd        = 65  // queue/intd
	StatusTodo        = 66  // queue/todo
	StatusBug         = 81  // our own fault
	StatusCustom      = 82  // the text is on descriptor 6
	StatusFormat      = 91  // envelope format
	StatusNoAccount   = 111 // the suite's accounts are missing
	StatusUnableToRun = 120 // the injector could not start it
)

// Exit statuses of qmail-qmqpc, where they are not qmail-queue's.
const (
	StatusRejected      = 31 // the server will never take the message
	StatusConfiguration = 55 // no servers
	StatusSocket        = 56 // no socket
	StatusDeferred      = 71 // the server cannot take the message now
	StatusNoAnswer      = 72 // connecting took too long
	StatusNoConnection  = 73 // connecting failed
	StatusBroken        = 74 // the connection failed
)

// MaxCustom is how much of a custom error text is read, in bytes.
const MaxCustom = 255

// texts is what injectors report for each status: D for permanent, Z for
// temporary, then the words.
var texts = map[int]string{
	StatusOK: "",
	11:       "Denvelope address too long for qq (#5.1.3)",
	31:       "Dmail server permanently rejected message (#5.3.0)",
	51:       "Zqq out of memory (#4.3.0)",
	52:       "Zqq timeout (#4.3.0)",
	53:       "Zqq write error or disk full (#4.3.0)",
	54:       "Zqq read error (#4.3.0)",
	55:       "Zqq unable to read configuration (#4.3.0)",
	56:       "Zqq trouble making network connection (#4.3.0)",
	61:       "Zqq trouble in home directory (#4.3.0)",
	62:       "Zqq trouble creating files in queue (#4.3.0)",
	63:       "Zqq trouble creating files in queue (#4.3.0)",
	64:       "Zqq trouble creating files in queue (#4.3.0)",
	65:       "Zqq trouble creating files in queue (#4.3.0)",
	66:       "Zqq trouble creating files in queue (#4.3.0)",
	71:       "Zmail server temporarily rejected message (#4.3.0)",
	72:       "Zconnection to mail server timed out (#4.4.1)",
	73:       "Zconnection to mail server rejected (#4.4.1)",
	74:       "Zcommunication with mail server failed (#4.4.2)",
	81:       "Zqq internal bug (#4.3.0)",
	91:       "Zqq internal bug (#4.3.0)",
	115:      "Denvelope address too long for qq (#5.1.3)",
	120:      "Zunable to exec qq (#4.3.0)",
}

// Texts for ends that are no exit status.
const (
	TextCrashed = Result("Zqq crashed (#4.3.0)")
	TextWait    = Result("Zqq waitpid surprise (#4.3.0)")
	TextRead    = Result("Zqq read error (#4.3.0)")
)

// Result is what became of an injection: empty if the message is queued, else a
// letter, D for permanent or Z for temporary, and a text for people.
type Result string

// OK reports whether the message is in the queue.
func (r Result) OK() bool { return r == "" }

// Permanent reports whether trying again is useless.
func (r Result) Permanent() bool { return r != "" && r[0] == 'D' }

// Text returns the words without the letter.
func (r Result) Text() string {
	if r == "" {
		return ""
	}
	return string(r[1:])
}

// Explain returns the meaning of an exit status; custom is what came on
// descriptor 6, which counts only with StatusCustom and if it says something.
func Explain(status int, custom string) Result {
	if status == StatusCustom && len(custom) > 2 {
		return Result(custom)
	}
	if text, ok := texts[status]; ok {
		return Result(text)
	}
	if 11 <= status && status <= 40 {
		return "Dqq permanent problem (#5.3.0)"
	}
	return "Zqq temporary problem (#4.3.0)"
}
