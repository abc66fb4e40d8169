package main

import (
	"io"
	"os"
	"strings"
	"syscall"

	"quail/internal/prog"
)

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
