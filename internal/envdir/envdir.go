// Package envdir turns a directory into an environment: spec "Network and supervision
// tools", C1.
//
// The directory is the administrator's, or whoever's he lets write there. No name and no
// text in it can do more than set or remove one variable.
//
// Differs from qmail: a link to nothing removes its variable. daemontools gives that what
// the file before it has.
package envdir

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"quail/internal/prog"
)

// Run is the program envdir.
func Run(p *prog.Process) error {
	if len(p.Args) < 2 {
		fmt.Fprintf(p.Stderr, "%s: usage: envdir dir program [ arg ... ]\n", p.Name)
		return prog.Exit(prog.StatusTemporary)
	}
	dir := p.Args[0]
	files, err := os.ReadDir(p.Path(dir))
	if err != nil {
		return prog.Fail("unable to switch to directory "+dir, err)
	}
	env := p.Env
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") {
			continue
		}
		text, err := read(p.Path(dir) + "/" + file.Name())
		if err != nil {
			return prog.Fail("unable to read "+dir+"/"+file.Name(), err)
		}
		env = change(env, file.Name(), text)
	}
	return &prog.Become{Args: p.Args[1:], Env: env, Search: p.Env}
}

// read returns what is in a file, nothing if it is not there. A FIFO that nobody writes
// to is empty.
func read(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

// change does what a file asks for. A name with = in it is a setting by itself.
func change(env prog.Env, name, text string) prog.Env {
	if text != "" {
		line, _, _ := strings.Cut(text, "\n")
		name += "=" + strings.ReplaceAll(strings.TrimRight(line, " \t"), "\x00", "\n")
	}
	if name, value, set := strings.Cut(name, "="); set {
		return env.With(name, value)
	}
	return env.Without(name)
}
