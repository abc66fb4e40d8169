package tcpserver

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// parse reads a command line, the end of which is always "0 25 cat".
func parse(t *testing.T, line string, env ...string) (options, error) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	args := append(strings.Fields(line), "0", "25", "cat")
	return parseOptions(&prog.Process{Args: args, Env: env, Stderr: null})
}

func TestOptions(t *testing.T) {
	defaults := options{
		verbosity: terse, limit: 40, backlog: 20, remoteHost: true, remoteInfo: true,
		identLimit: 26 * time.Second, host: "0", port: "25", program: []string{"cat"},
	}
	for _, c := range []struct {
		line   string
		change func(*options)
	}{
		{"", func(*options) {}},
		{"-vRHl0", func(o *options) {
			o.verbosity, o.remoteInfo, o.remoteHost, o.localHost = verbose, false, false, ucspi.Known("0")
		}},
		{"-qQ -hH -pP -rR -oO -dD", func(o *options) { o.remoteHost, o.remoteInfo, o.noDelay = false, false, true }},
		{"-Hh -Pp -Rr -Oo -Dd", func(o *options) { o.paranoid, o.keepIP = true, true }},
		{"-c5x -c 7 -b3 -t1", func(o *options) { o.limit, o.backlog, o.identLimit = 7, 3, time.Second }},
		{"-tx -bx", func(o *options) { o.identLimit, o.backlog = 0, 0 }},
		{"-c99999999999999999999", func(o *options) { o.limit = 1<<31 - 1 }},
		{"-Xxrules -Bhi -1", func(o *options) { o.mayLackCDB, o.rules, o.banner, o.printPort = true, "rules", "hi", true }},
		{"-u 7x -g8", func(o *options) { o.uid, o.gid = 7, 8 }},
		{"-u7 -g8 -U", func(o *options) { o.uid, o.gid = 100, 101 }},
		{"-s", func(o *options) { o.tls, o.program = true, []string{conf.Home + "/bin/qmail-tls", "cat"} }},
		{"-sS", func(*options) {}},
		{"-v --anything", func(o *options) { o.verbosity = verbose }},
	} {
		want := defaults
		c.change(&want)
		got, err := parse(t, c.line, "UID=100", "GID=101")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, error %v; want %+v", c.line, got, err, want)
		}
	}
}

// TestUnsafeOptions: what the original takes for 0 and so goes on as root, or
// never accepts anything, is refused.
func TestUnsafeOptions(t *testing.T) {
	for _, c := range []struct{ line, env string }{
		{"-u nobody", ""}, {"-g nogroup", ""}, {"-U", "UID=5"}, {"-U", "GID=5"}, {"-U", "UID="}, {"-c 0", ""}, {"-c x", ""}, {"-s -Bhi", ""},
	} {
		if _, err := parse(t, c.line, c.env); err == nil {
			t.Errorf("%q with %q was accepted", c.line, c.env)
		}
	}
}
