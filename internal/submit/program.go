package submit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/submission"
)

// partner is a program that takes one message: on descriptor 0 its text, on 1 its
// envelope. On 6 it may say something.
type partner struct {
	child                  *proc.Child
	text, envelope, custom *os.File
}

// spareThreads is what talking to a program and waiting for its end takes.
const spareThreads = 3

// start runs $QMAILQUEUE or qmail-queue with the environment of p. If it could not be
// run, the outcome says why, unless the error does.
func start(p *prog.Process) (g *partner, outcome envelope.Result, err error) {
	name, ok := p.Env.Lookup("QMAILQUEUE")
	if !ok {
		name = "bin/qmail-queue"
	}
	prog.Threads(spareThreads)
	var ends [6]*os.File
	for i := 0; i < len(ends); i += 2 {
		if ends[i], ends[i+1], err = os.Pipe(); err != nil {
			closeAll(ends[:])
			return nil, "", fmt.Errorf("create pipe to %s: %w", name, err)
		}
	}
	theirs := []*os.File{ends[0], ends[2], ends[5]}
	g = &partner{text: ends[1], envelope: ends[3], custom: ends[4]}
	g.child, outcome, err = run(p, name, theirs)
	closeAll(theirs)
	if g.child != nil {
		return g, "", nil
	}
	closeAll([]*os.File{g.text, g.envelope, g.custom})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) {
		return nil, "", fmt.Errorf("run %s: %w", name, err)
	}
	return nil, outcome, nil
}

// run runs the program by its path, relative to the home: PATH has no say.
func run(p *prog.Process, name string, files []*os.File) (*proc.Child, envelope.Result, error) {
	if fi, err := os.Stat(conf.Home); err != nil || !fi.IsDir() {
		return nil, envelope.Explain(envelope.StatusHome, ""), nil
	}
	if !strings.Contains(name, "/") {
		name = "./" + name
	}
	child, err := proc.Command{
		Args:   []string{name},
		Env:    p.Env,
		Dir:    conf.Home,
		Stdin:  files[0],
		Stdout: files[1],
		Stderr: p.Stderr,
		Extra:  []*os.File{nil, nil, nil, files[2]},
	}.Start()
	if err != nil {
		return nil, envelope.Explain(envelope.StatusUnableToRun, ""), err
	}
	return child, "", nil
}

// Write gives the program what frames hold, each on its descriptor.
func (g *partner) Write(frames []byte) (int, error) {
	var err error
	submission.Unpack(frames, func(contents []byte, ofEnvelope bool) {
		to := g.text
		if ofEnvelope {
			g.text.Close() // the second time it is closed already
			to = g.envelope
		}
		if err == nil {
			_, err = to.Write(contents)
		}
	})
	return len(frames), err
}

// finish waits for the program to end and says what that means.
func (g *partner) finish() envelope.Result {
	g.text.Close()
	g.envelope.Close()
	custom := g.readCustom()
	g.custom.Close()
	status, err := g.child.Wait()
	if err != nil {
		return envelope.TextWait
	}
	return explain(status, custom)
}

// readCustom reads descriptor 6 to its end and keeps what may be shown of it.
func (g *partner) readCustom() string {
	text, _ := io.ReadAll(io.LimitReader(g.custom, envelope.MaxCustom))
	io.Copy(io.Discard, g.custom)
	s, _, _ := strings.Cut(string(text), "\x00")
	return s
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
