package suite

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The companions of tcpserver, with the server and with those of ucspi-tcp.

// chain is what tcpserver is given to run the programs one after the other, as the user
// that network servers have.
func (s *suite) chain(programs ...string) (args []string) {
	s.t.Helper()
	if root {
		args = append(args, "-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"))
	}
	for _, program := range programs {
		args = append(args, s.path("bin/"+program))
	}
	return args
}

// A session passes through everything that can stand before qmail-smtpd.
func TestChain(t *testing.T) {
	swaks, ok := tool(t, "swaks")
	if !ok {
		return
	}
	s := install(t)
	s.excuse(foreign, "recordio becomes the others, each in a process of the connection's own")
	s.start()
	port := strconv.Itoa(s.tcpserver(s.chain("recordio", "rblsmtpd", "fixcrio", "qmail-smtpd")))
	must(t, swaks, "--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", "far@away.example",
		"--to", "joe@"+me, "--header", "Subject: by swaks", "--body", "x")
	// A client that knows no CR, and sends all it has at once.
	out, status := s.sh("", `exec tcpclient -RHl0 127.0.0.1 `+port+` sh -c '
		printf "HELO x\nMAIL FROM:<far@away.example>\nRCPT TO:<joe@me.example>\nDATA\nSubject: bare\n\nline\n.\nQUIT\n" >&7
		exec cat <&6'`)
	if !strings.HasSuffix(out, "\r\n354 go ahead\r\n"+lastLines(out, 2)) || !strings.HasSuffix(out, "\r\n221 me.example\r\n") || status != 0 {
		t.Errorf("a client with bare line feeds was told %q, %d", out, status)
	}
	s.settled(2)
	find(t, s.mail("u/joe/Maildir"), "\nSubject: by swaks\n")
	find(t, s.mail("u/joe/Maildir"), "\nSubject: bare\n\nline\n")
	eventually(t, "what was recorded", func() bool { return strings.Count(string(s.said()), " > [EOF]\n") == 2 })
	for _, line := range []string{` < MAIL FROM:<far@away.example>\r $`, ` < MAIL FROM:<far@away.example> $`, ` > 354 go ahead\r $`, ` > 221 me.example\r $`} {
		if !regexp.MustCompile(`(?m)^\d+` + line).Match(s.said()) {
			t.Errorf("nobody has recorded %q", line)
		}
	}
	// Refused, for good.
	port = strconv.Itoa(s.tcpserver(s.chain("recordio", "rblsmtpd", "fixcrio", "qmail-smtpd"), "RBLSMTPD=-go away"))
	out, err := run(swaks, "--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", "far@away.example", "--to", "joe@"+me)
	if err == nil || !strings.Contains(out, "<** 553 go away\n") {
		t.Errorf("a client that is refused: %v\n%s", err, out)
	}
	if !regexp.MustCompile(`(?m)^rblsmtpd: 127\.0\.0\.1 pid \d+: 553 go away$`).Match(s.said()) {
		t.Error("rblsmtpd does not say whom it has refused")
	}
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}

// arranged sorts the lines of a recordio, and what else there is, by what they say: their
// numbers are of as many digits as they like.
const arranged = `sed 's/^[0-9]* \([<>]\)/0 \1/' | sort`

// companions are scripts that say the same whoever's the programs in $A and $B are, and
// whoever's tcpserver listens at $PORT, where a line is asked for and answered.
var companions = []string{
	`printf 'a\r\r\nb\n\n\r\n\rx\r' | $A/addcr | od -c`,
	`printf 'a\r\r\nb\n\n\r\n\rx\r' | $A/delcr | od -c`,
	`printf 'a\r\r\nb\n\n\r\n\rx\r' | $A/addcr | $B/delcr | od -c`,
	`printf 'a\r\r\nb\n\n\r\n\rx\r' | $A/fixcrio $B/delcr | od -c`,
	`$A/addcr </; echo $?; echo | $A/delcr >/dev/full; echo $?`,
	`$A/fixcrio; echo $?; $A/recordio; echo $?; $A/argv0 x; echo $?`,
	`$A/fixcrio /nonexistent; echo $?; $A/argv0 nonexistent x; echo $?`,
	`$A/argv0 sh -sh -c 'echo $0 $*' a 'b  c'`,
	`(printf 'ab\nlong' | $A/recordio sh -c 'cat >/dev/null; printf "hello\n\npart"; exit 3' >/dev/null; echo $?) 2>&1 | ` + arranged,
	`printf %600s x | $A/recordio $B/fixcrio sh -c 'x=$(cat | wc -c); echo $x' 2>&1 | ` + arranged,
	`$A/tcpclient -RHl0 127.0.0.1 $PORT sh -c 'echo line >&7; cat <&6; env | grep -E "^(PROTO|TCP)" | sort; exit 7'; echo $?`,
	`$A/tcpclient -vRHlname 0 $PORT sh -c 'exec $B/recordio sh -c "read x; echo \$x; read y; echo \$y >&2" <&6 >&7' 2>&1 | grep -v EOF`,
	`$A/tcpclient -RHl0 0 $PORT sh -c 'exec $B/fixcrio sh -c "read x; echo \$x; read y; echo \$y >&2" <&6 >&7' 2>&1 | od -c`,
	`$A/tcpclient -RHl0 0 $PORT /nonexistent; echo $?; $A/tcpclient -RHl0 0 no-such-service true; echo $?`,
	`$A/tcpclient -RHl0 0 1 true; echo $?; $A/tcpclient -qRHl0 0 1 true; echo $?; $A/tcpclient -x; echo $?; $A/tcpclient -q; echo $?`,
	`$A/tcpclient -RHl0 -i 192.0.2.1 0 $PORT true; echo $?`,
	`printf 'a\r\n' | $A/mconnect 127.0.0.1 $PORT | od -c; echo $?`,
	`RBLSMTPD="no  way" TCPREMOTEIP=192.0.2.7 $A/rblsmtpd -t0 $B/argv0; echo $?`,
	`printf 'EHLO x\r\nrcpt x\n\nquit\nnoop\n' | RBLSMTPD=-no $A/rblsmtpd true; echo $?`,
	`RBLSMTPD= $A/rblsmtpd -b $B/argv0 echo x y; $A/rblsmtpd $B/argv0 nonexistent x; echo $?`,
}

// varying is what differs from run to run, in lines of these programs.
var varying = regexp.MustCompile(`(?m)^\d+( [<>] )|( pid )\d+|(TCPLOCALPORT=)\d+`)

// Each of ucspi-tcp's programs can be put in the place of ours, before and behind others
// of ours, and the other way round.
func TestOtherCompanions(t *testing.T) {
	other, ok := tool(t, "tcpserver")
	if !ok {
		return
	}
	s := install(t)
	s.excuse(foreign, "a script is the server")
	const server = `echo hello; read x; echo "got $x" | od -c`
	ports := map[string]int{"ours": s.tcpserver([]string{"/bin/sh", "-c", server}), "theirs": freePort(t)}
	background(t, "/", other, "-RHl0", "127.0.0.1", strconv.Itoa(ports["theirs"]), "sh", "-c", server)
	eventually(t, "the other tcpserver", func() bool {
		_, status := s.sh("", fmt.Sprintf("exec tcpclient -qRHl0 0 %d true", ports["theirs"]))
		return status == 0
	})
	dirs := map[string]string{"ours": s.path("bin"), "theirs": filepath.Dir(other)}
	for _, script := range companions {
		answers := map[string]string{}
		for a, dirA := range dirs {
			for b, dirB := range dirs {
				for at, port := range ports {
					out, _ := s.sh("", script, "A="+dirA, "B="+dirB, fmt.Sprintf("PORT=%d", port))
					out = varying.ReplaceAllString(strings.ReplaceAll(out, strconv.Itoa(port), "PORT"), "$1$2$3#")
					answers[out] += fmt.Sprintf(" A=%s, B=%s, port=%s;", a, b, at)
				}
			}
		}
		if len(answers) != 1 {
			t.Errorf("%s\nis not the same with all:", script)
			for out, whose := range answers {
				t.Errorf("with%s\n%s", whose, out)
			}
		}
	}
}
