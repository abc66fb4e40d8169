package passwd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/mailauth"
	"quail/internal/prog"
)

// ask returns the new password: from the terminal, twice, or the first line of what is
// not one.
func ask(p *prog.Process, login string) (string, error) {
	settings, err := unix.IoctlGetTermios(int(p.Stdin.Fd()), getTermios)
	if err != nil { // not a terminal
		line, err := bufio.NewReader(io.LimitReader(p.Stdin, longest)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", prog.Fail("unable to read the password", err)
		}
		return ended(line)
	}
	restore, err := hush(p.Stdin, settings)
	if err != nil {
		return "", err
	}
	defer restore()
	first, err := prompt(p, "Password for "+login+": ", settings.Cc[unix.VINTR])
	if err != nil {
		return "", err
	}
	second, err := prompt(p, "Again: ", settings.Cc[unix.VINTR])
	if err != nil {
		return "", err
	}
	if first != second {
		return "", prog.Perm(errors.New("the two passwords differ"))
	}
	return first, nil
}

// longest is more than a password may be long, so that one that is too long is refused
// and not cut.
const longest = 4 * mailauth.MaxPassword

// prompt asks for a line on the terminal, which gives one at each read, and ends one at
// interrupt as well. The user's end of line is not shown either.
func prompt(p *prog.Process, question string, interrupt byte) (string, error) {
	if _, err := fmt.Fprint(p.Stderr, question); err != nil {
		return "", prog.Unwritten(err)
	}
	line := make([]byte, longest)
	n, err := p.Stdin.Read(line)
	fmt.Fprintln(p.Stderr)
	switch {
	case err != nil && err != io.EOF:
		return "", prog.Fail("unable to read the password", err)
	case n > 0 && line[n-1] == interrupt:
		return "", errors.New("interrupted")
	}
	return ended(string(line[:n]))
}

// ended returns a line without its end.
func ended(line string) (string, error) {
	if line == "" {
		return "", prog.Perm(errors.New("there is no password on standard input"))
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// hush stops the terminal from showing what is typed. An interrupt from the keyboard
// would leave it so, with the program gone: until restore it is the end of a line.
func hush(terminal *os.File, settings *unix.Termios) (restore func(), err error) {
	fd := int(terminal.Fd())
	quiet := *settings
	quiet.Lflag &^= unix.ECHO | unix.ISIG
	quiet.Cc[unix.VEOL] = settings.Cc[unix.VINTR]
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return nil, prog.Fail("unable to have the terminal not show the password", err)
	}
	return func() { unix.IoctlSetTermios(fd, setTermios, settings) }, nil
}
