package rblsmtpd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
	"quail/internal/prog"
)

// zone is what the lists say. Of broken.test nobody can say anything.
var zone = `
4.3.2.1.bad.test. TXT "Mail from 1.2.3.4 refused" ", see you"
4.3.2.1.worse.test. TXT "worse"
4.3.2.1.good.test. A 127.0.0.2
4.3.2.1.noaddress.test. TXT "not an address"
4.3.2.1.notext.test. A 127.0.0.2
4.3.2.1.long.test. TXT "` + long + `"
4.3.2.1.odd.test. TXT "a\009\"b\200\010c"
b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bad.test. TXT "six"
bad.test. TXT "the list itself"
`

var long = strings.Repeat("x", 250)

// outcome is what a run of rblsmtpd led to.
type outcome struct {
	became    bool
	wrote     string
	said      string
	exitError error
}

// play runs rblsmtpd with a client that says input.
func play(t *testing.T, env prog.Env, input string, args ...string) (o outcome) {
	t.Helper()
	server := dnstest.Zone(t, zone, map[string]dnstest.Handler{
		"4.3.2.1.broken.test.": dnstest.Rcode(dns.RcodeServerFailure),
	})
	var ends [3]*os.File
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { io.WriteString(w, input); w.Close() }()
	for i := range 2 {
		if ends[i], err = os.CreateTemp(t.TempDir(), ""); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close()
	}
	p := &prog.Process{Name: "rblsmtpd", Args: args, Env: append(prog.Env{"DNSCACHEIP=127.0.0.1"}, env...), Dir: "/", PID: 7,
		Stdin: stdin, Stdout: ends[0], Stderr: ends[1], Now: time.Now}
	o.exitError = program{server.Port}.run(p)
	stdin.Close()
	var become *prog.Become
	if errors.As(o.exitError, &become) {
		o.became, o.exitError = true, nil
		if strings.Join(become.Args, " ") != "smtpd x" || len(become.Env) != len(p.Env) {
			t.Errorf("becomes %q with %q", become.Args, become.Env)
		}
	}
	wrote, _ := os.ReadFile(ends[0].Name())
	said, _ := os.ReadFile(ends[1].Name())
	o.wrote, o.said = string(wrote), string(said)
	return o
}

func TestDecision(t *testing.T) {
	const accepted = "" // else the code and text
	for _, c := range []struct{ told, args, want string }{
		{"", "", accepted},
		{"", "-r bad.test", "451 Mail from 1.2.3.4 refused, see you"},
		{"", "-b -r bad.test", "553 Mail from 1.2.3.4 refused, see you"},
		{"", "-r bad.test -b", "451 Mail from 1.2.3.4 refused, see you"}, // in the order of the options
		{"", "-bB -r bad.test", "451 Mail from 1.2.3.4 refused, see you"},
		{"", "-r bad.test -r worse.test", "451 Mail from 1.2.3.4 refused, see you"},
		{"", "-r worse.test -r bad.test", "451 worse"},
		{"", "-r none.test -r worse.test", "451 worse"},
		{"", "-r notext.test", accepted},
		{"", "-a good.test -r bad.test", accepted},
		{"", "-r bad.test -a good.test", "451 Mail from 1.2.3.4 refused, see you"},
		{"", "-a noaddress.test -r worse.test", "451 worse"},
		{"", "-r long.test", "451 " + long[:200]},
		{"", "-r odd.test", "451 a?\"b??c"},
		// no answer
		{"", "-r broken.test", accepted},
		{"", "-c -r broken.test", "451 temporary RBL lookup error"},
		{"", "-bc -r broken.test", "451 temporary RBL lookup error"},
		{"", "-b -r broken.test -r worse.test", "451 worse"}, // no bounce where there is doubt
		{"", "-cC -r broken.test", accepted},
		{"", "-a broken.test -r worse.test", accepted},
		{"", "-c -a broken.test -r worse.test", "451 worse"},
		{"", "-bc -a broken.test -r worse.test", "451 worse"},
		// told by tcprules
		{"RBLSMTPD=", "-r bad.test", accepted},
		{"RBLSMTPD=go away", "-a good.test", "451 go away"},
		{"RBLSMTPD=go away", "-b", "451 go away"},
		{"RBLSMTPD=-go\taway", "", "553 go?away"},
		{"RBLSMTPD=-", "", "553 "},
		// what the address is
		{"TCPREMOTEIP=2001:db8:1:2:3:4:567:89ab", "-r bad.test", "451 six"},
		{"TCPREMOTEIP=::ffff:1.2.3.4", "-r worse.test", "451 worse"},
		{"TCPREMOTEIP=", "-r bad.test", "451 the list itself"},
		{"TCPREMOTEIP=9.9.9.9", "-r bad.test", accepted},
	} {
		env := prog.Env{"TCPREMOTEIP=1.2.3.4"}
		ip := "1.2.3.4"
		if rest, ok := strings.CutPrefix(c.told, "TCPREMOTEIP="); ok {
			env, ip = prog.Env{c.told}, rest
		} else if c.told != "" {
			env = append(env, c.told)
		}
		o := play(t, env, "", append(strings.Fields("-t0 "+c.args), "smtpd", "x")...)
		want := outcome{became: c.want == accepted}
		if !want.became {
			want.wrote, want.said = c.want+"\r\n", "rblsmtpd: "+ip+" pid 7: "+c.want+"\n"
		}
		if o != want {
			t.Errorf("%q, %q: %+v, want %+v", c.told, c.args, o, want)
		}
	}
}

func TestConversation(t *testing.T) {
	const no = "451 no\r\n"
	for _, c := range []struct{ input, want string }{
		{"", greeting},
		{"QUIT\r\n", greeting + farewell},
		{"quit now\nnoop\n", greeting + farewell},
		{"HELO x\r\nehlo\nMAIL from\r\nRset\r\nNOOP\r\n", greeting + strings.Repeat(agree, 5)},
		{"RCPT TO:<x>\r\nDATA\r\n\r\n.\r\n quit\nquitx\nHELO\tx\nhelo\r\r\n", greeting + strings.Repeat(no, 8)},
		{"quit", greeting},
		{strings.Repeat("x", 100000) + "\nquit\n", greeting + no + farewell},
		{strings.Repeat("mail\n", 1000), greeting + strings.Repeat(agree, 1000)},
	} {
		o := play(t, prog.Env{"RBLSMTPD=no"}, c.input, "smtpd")
		if o.wrote != c.want || o.exitError != nil || o.said != "rblsmtpd:  pid 7: 451 no\n" {
			t.Errorf("%.40q: %+v, want %.200q", c.input, o, c.want)
		}
	}
}

// A client that says nothing, or never stops, has its time and no more.
func TestLimit(t *testing.T) {
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	p := &prog.Process{Args: []string{"-t", "1", "smtpd"}, Env: prog.Env{"RBLSMTPD=no"}, Stdin: stdin, Stdout: out, Stderr: out, Now: time.Now}
	if err := Run(p); err != nil {
		t.Error(err)
	}
	if took := time.Since(before); took < time.Second || took > 15*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestUsage(t *testing.T) {
	for args, said := range map[string]string{"": "", "-r": "rblsmtpd: option requires an argument -- r\n", "-R x": "rblsmtpd: illegal option -- R\n"} {
		o := play(t, nil, "", strings.Fields(args)...)
		if o.exitError == nil || o.exitError.Error() != usage || o.said != said {
			t.Errorf("%q: %+v", args, o)
		}
	}
}

// FuzzAnswer: the answers do not depend on how the commands were divided, there is one
// for each line up to QUIT, and each is one of four.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HELO x\r\nRCPT\nquit\r\nnoop\n"), 4)
	f.Add([]byte("quit \r\r\n"), 5)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		at = max(0, min(at, len(in)))
		const no = "451 no\r\n"
		var whole, parts session
		all := whole.answer(in, no)
		got := parts.answer(in[:at], no)
		if !parts.over {
			got = append(got, parts.answer(in[at:], no)...)
		}
		if !bytes.Equal(all, got) || whole.over != parts.over {
			t.Errorf("%q is answered %q, and divided at %d %q", in, all, at, got)
		}
		n := 0
		for line := range strings.Lines(string(all)) {
			n++
			if line != agree && line != no && (line != farewell || !whole.over) {
				t.Errorf("%q is answered %q", in, line)
			}
		}
		if lines := bytes.Count(in, []byte("\n")); n > lines || n < lines && !whole.over {
			t.Errorf("%d lines, %d answers to %q", lines, n, in)
		}
	})
}
