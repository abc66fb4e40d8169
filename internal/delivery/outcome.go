package delivery

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Outcome is how the program that tried a delivery ended and what it wrote.
type Outcome struct {
	Crashed bool // by a signal
	Code    int  // exit status otherwise
	Output  []byte
}

// goCrash is the status of a Go program whose runtime gave up. It is a crash like
// one by signal and must never bounce mail.
const goCrash = 2

func (o Outcome) crashed() bool { return o.Crashed || o.Code == goCrash }

// Exit statuses of the step that qmail-lspawn takes before qmail-local: choosing
// the user and starting the program in the user's name.
const (
	StatusBug       = 112
	StatusRoot      = 113
	StatusNFS       = 115
	StatusNoAlias   = 116
	StatusCdb       = 117
	StatusSoft      = 118
	StatusMemory    = 119
	StatusExecSoft  = 120
	StatusGetpwSoft = 121
	StatusExecHard  = 126
)

var localTexts = map[int]string{
	StatusCdb:       "ZTrouble reading users/cdb in qmail-lspawn.\n",
	StatusMemory:    "ZOut of memory in qmail-lspawn.\n",
	StatusSoft:      "ZTemporary failure in qmail-lspawn.\n",
	StatusNoAlias:   "ZUnable to find alias user!\n",
	StatusRoot:      "ZNot allowed to perform deliveries as root.\n",
	StatusBug:       "ZInternal qmail-lspawn bug.\n",
	StatusNFS:       "ZNFS failure in qmail-local.\n",
	StatusExecHard:  "DUnable to run qmail-local.\n",
	StatusExecSoft:  "ZUnable to run qmail-local.\n",
	StatusGetpwSoft: "ZUnable to run qmail-getpw.\n",
}

// LocalReport returns the text of the report on a local delivery, its letter
// first.
func LocalReport(o Outcome) string {
	if o.crashed() {
		return "Zqmail-local crashed.\n"
	}
	if text, ok := localTexts[o.Code]; ok {
		return text
	}
	letter := "D"
	switch o.Code {
	case 0:
		letter = "K"
	case 111, 71, 74, 75:
		letter = "Z"
	}
	output := string(o.Output)
	if len(output) > maxLocalOutput {
		output = output[:keptLocalOutput] + tooLongOutput
	}
	output, _, _ = strings.Cut(output, "\x00")
	return letter + output
}

// RemoteReport returns the text of the report on a remote delivery, its letter
// first: the recipient's own verdict and the message's, whichever is worse.
func RemoteReport(o Outcome) string {
	switch {
	case o.crashed():
		return "Zqmail-remote crashed.\n"
	case o.Code == 111:
		return "ZUnable to run qmail-remote.\n"
	case o.Code != 0:
		return "DUnable to run qmail-remote.\n"
	case len(o.Output) == 0:
		return "Zqmail-remote produced no output.\n"
	}
	result := -1
	for rest, more := o.Output, true; more; {
		var rec []byte
		if rec, rest, more = bytes.Cut(rest, nul); more {
			if v, ok := verdict(rec); ok {
				result = v
				break
			}
		}
	}
	final := result
	switch o.Output[0] {
	case 's':
		final = 0
	case 'h':
		final = -1
	}
	report := string("DZK"[final+1])
	// The first record, whatever it is, and the second if that is the message's
	// verdict and does not sound better than the report.
	text, rest, ok := bytes.Cut(o.Output[1:], nul)
	if !ok {
		return report
	}
	report += string(text)
	second, _, _ := bytes.Cut(rest, nul)
	if _, ok := verdict(second); ok && result <= final {
		report += string(second[1:])
	}
	return report
}

// nul ends a record.
var nul = []byte{0}

// ReadRemote reads what a remote delivery's program says, to its end, and keeps
// what RemoteReport looks at: the beginnings of the first three records, and the first
// verdict.
func ReadRemote(output io.Reader) (kept []byte) {
	r := bufio.NewReader(output)
	decided := false
	for n := 0; ; n++ {
		rec, _, err := readField(r, MaxReport)
		_, ok := verdict([]byte(rec))
		switch {
		case n < 3:
			kept = append(kept, rec...)
		case ok && !decided && err == nil:
			kept = append(kept, rec[0])
		default:
			rec = ""
		}
		if err != nil {
			return kept
		}
		if n < 3 || rec != "" {
			kept = append(kept, 0)
		}
		decided = decided || ok
	}
}

// verdict is what a record says of the message: 1 success, 0 temporary, -1
// permanent. ok is false for a recipient's record.
func verdict(rec []byte) (v int, ok bool) {
	if len(rec) == 0 {
		return 0, false
	}
	switch rec[0] {
	case Success:
		return 1, true
	case Temporary:
		return 0, true
	case Permanent:
		return -1, true
	}
	return 0, false
}
