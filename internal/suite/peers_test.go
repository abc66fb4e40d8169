package suite

import (
	"bytes"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Programs of others at the other end: those that people use with qmail.

// ordinary returns the command line that runs a program as a user of the host's who
// may do nothing in particular.
func ordinary(args ...string) []string {
	if !root {
		return args
	}
	return append([]string{"setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"}, args...)
}

func TestSwaks(t *testing.T) {
	swaks, ok := tool(t, "swaks")
	if !ok {
		return
	}
	s := install(t)
	s.joe(".qmail-two", "./Maildir/\n", 0o644)
	s.start()
	port := strconv.Itoa(s.smtpd())
	out := must(t, swaks, "--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", "far@away.example",
		"--to", "joe@"+me+",joe-two@"+me, "--header", "Subject: by swaks", "--body", ".dot\n..dots\nend")
	for _, line := range []string{
		"<-  220 me.example ESMTP\n -> EHLO client.example\n<-  250-me.example\n",
		" -> MAIL FROM:<far@away.example>\n<-  250 ok\n",
		" -> RCPT TO:<joe-two@me.example>\n<-  250 ok\n",
		" -> DATA\n<-  354 go ahead\n",
		" -> QUIT\n<-  221 me.example\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("swaks shows no %q:\n%s", line, out)
		}
	}
	s.settled(1)
	for _, to := range []string{"joe", "joe-two"} {
		got := find(t, s.mail("u/joe/Maildir"), "Delivered-To: "+to+"@me.example\n")
		if !strings.Contains(got, "(HELO client.example) (127.0.0.1)\n") || !strings.Contains(got, "\nSubject: by swaks\n") || !strings.HasSuffix(got, "\n\n.dot\n..dots\nend\n\n\n") {
			t.Errorf("%s got\n%s", to, got)
		}
	}
	// A refusal: swaks exits with 24 if no recipient was accepted.
	out, err := run(swaks, "--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", "far@away.example", "--to", "you@far.example")
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 24 || !strings.Contains(out, "<** 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNail(t *testing.T) {
	nail, ok := tool(t, "s-nail")
	if !ok {
		return
	}
	s := install(t)
	s.joe(".qmail-two", "./Maildir/\n", 0o644)
	s.joe(".qmail-three", "./Maildir/\n", 0o644)
	s.start()
	args := ordinary("env", "-i", "HOME=/", "USER=nobody", "PATH=/usr/bin:/bin", nail, "-n", "-S", "v15-compat", "-S", "sendwait",
		"-S", "mta="+s.path("bin/sendmail"), "-s", "by s-nail", "-r", "robot@"+me, "-c", "joe-two@"+me, "-b", "joe-three@"+me, "joe@"+me)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader("a line\n.\nanother\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("s-nail: %v\n%s", err, out)
	}
	s.settled(1)
	mail := s.mail("u/joe/Maildir")
	for _, to := range []string{"joe", "joe-two", "joe-three"} {
		got := find(t, mail, "Return-Path: <robot@me.example>\nDelivered-To: "+to+"@me.example\n")
		if !strings.Contains(got, "\nFrom: robot@me.example\nTo: joe@me.example\nCc: joe-two@me.example\nSubject: by s-nail\n") ||
			!strings.HasSuffix(got, "\n\na line\n.\nanother\n") || strings.Contains(got, "Bcc") {
			t.Errorf("%s got\n%s", to, got)
		}
	}
}

// background starts a program of others until the test ends.
func background(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() && out.Len() > 0 {
			t.Logf("%s said\n%s", name, tail(out.String(), 2000))
		}
	})
	return cmd
}

// sink starts Postfix's test server with options. What it takes is in the files of
// the directory that it returns, beside its port.
func sink(t testing.TB, options ...string) (port int, dir string, ok bool) {
	t.Helper()
	program, ok := tool(t, "smtp-sink")
	if !ok {
		return 0, "", false
	}
	dir, err := os.MkdirTemp(*work, "sink")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if root {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		options = append([]string{"-u", "nobody"}, options...)
	}
	port = freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	background(t, dir, program, append(options, "-d", "mail.", "-h", "sink.example", address, "100")...)
	eventually(t, "smtp-sink", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port, dir, true
}

// sunk returns what the sink has taken, by the names of its files.
func sunk(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, _ := filepath.Glob(dir + "/mail.*")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(b)
	}
	return out
}

// From Postfix's test client through everything to Postfix's test server: many
// messages at once, with several recipients each.
func TestPostfix(t *testing.T) {
	source, ok := tool(t, "smtp-source")
	if !ok {
		return
	}
	port, dir, ok := sink(t)
	if !ok {
		return
	}
	const messages, recipients = 30, 4
	s := install(t)
	s.control("rcpthosts", "far.example\n")
	s.control("smtproutes", fmt.Sprintf("far.example:127.0.0.1:%d\n", port))
	s.start()
	must(t, source, "-s", "5", "-m", fmt.Sprint(messages), "-r", fmt.Sprint(recipients), "-l", "5000", "-N", "-S", "from postfix",
		"-f", "from@source.example", "-t", "to@far.example", fmt.Sprintf("127.0.0.1:%d", s.smtpd()))
	s.settled(messages)
	if log := s.logged(); strings.Count(log, ": success: 127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_Ok/") != messages*recipients {
		t.Errorf("not every delivery was a success")
	}
	times := map[string]int{}
	for name, m := range sunk(t, dir) {
		header, body, _ := strings.Cut(m, "\n\n")
		if *cold && strings.Count(header, "\nX-Rcpt-Args: ") != 1 || !strings.Contains(header, "\nX-Mail-Args: <from@source.example>\n") || !strings.Contains(header, "\nSubject: from postfix") {
			t.Fatalf("%s is\n%s", name, header)
		}
		if n := strings.Count(body, "X"); n < 4500 {
			t.Errorf("%s has %d bytes of text", name, n)
		}
		_, rest, _ := strings.Cut(header, "\nMessage-Id: ")
		id, _, _ := strings.Cut(rest, "\n")
		for line := range strings.Lines(header) { // those of one message may come together
			if to, ok := strings.CutPrefix(line, "X-Rcpt-Args: "); ok {
				times[id+strings.TrimSpace(to)]++
			}
		}
	}
	for pair, n := range times {
		if n != 1 {
			t.Errorf("%s arrived %d times", pair, n)
		}
	}
	if len(times) != messages*recipients {
		t.Errorf("%d of %d arrived", len(times), messages*recipients)
	}
	s.empty()
}

// Postfix's test server refuses at each step.
func TestPostfixRefuses(t *testing.T) {
	const perm, temp = "500_5.3.0_Error:_command_failed/", "450_4.3.0_Error:_command_failed/"
	const died = "deferral: Connected_to_127.0.0.1_but_connection_died._(#4.4.2)/"
	const said = "./Remote_host_said:_"
	const reject, duplicate = "127.0.0.1_does_not_like_recipient", "deferral: Connected_to_127.0.0.1_but_connection_died._Possible_duplicate!_(#4.4.2)/"
	rows := []struct {
		name    string
		options []string
		want    string
	}{
		{"f-connect", []string{"-f", "CONNECT"}, "deferral: Connected_to_127.0.0.1_but_greeting_failed" + said + perm},
		{"f-helo", []string{"-f", "EHLO,HELO"}, "deferral: Connected_to_127.0.0.1_but_my_name_was_rejected" + said + perm},
		{"f-mail", []string{"-f", "MAIL"}, "failure: Connected_to_127.0.0.1_but_sender_was_rejected" + said + perm},
		{"f-rcpt", []string{"-f", "RCPT"}, "failure: " + reject + said + perm + "Giving_up_on_127.0.0.1./"},
		{"f-data", []string{"-f", "DATA"}, "failure: 127.0.0.1_failed_on_DATA_command" + said + perm},
		{"f-dot", []string{"-f", "."}, "failure: 127.0.0.1_failed_after_I_sent_the_message" + said + perm},
		{"r-mail", []string{"-r", "MAIL"}, "deferral: Connected_to_127.0.0.1_but_sender_was_rejected" + said + temp},
		{"r-rcpt", []string{"-r", "RCPT"}, "deferral: " + reject + said + temp + "Giving_up_on_127.0.0.1./"},
		{"r-data", []string{"-r", "DATA"}, "deferral: 127.0.0.1_failed_on_DATA_command" + said + temp},
		{"r-dot", []string{"-r", "."}, "deferral: 127.0.0.1_failed_after_I_sent_the_message" + said + temp},
		{"q-mail", []string{"-q", "MAIL"}, died},
		{"q-rcpt", []string{"-q", "RCPT"}, died},
		{"q-data", []string{"-q", "DATA"}, died},
		{"q-dot", []string{"-q", "."}, duplicate},
		{"q-quit", []string{"-q", "QUIT"}, "success: 127.0.0.1_accepted_message" + said + "250_2.0.0_Ok/"},
		{"pix", []string{"-P"}, "success: 127.0.0.1_accepted_message" + said + "250_2.0.0_Ok/"},
		{"no-esmtp", []string{"-e"}, "success: 127.0.0.1_accepted_message" + said + "250_2.0.0_Ok/"},
	}
	s := install(t)
	var routes strings.Builder
	for _, r := range rows {
		port, _, ok := sink(t, r.options...)
		if !ok {
			return
		}
		fmt.Fprintf(&routes, "%s.example:127.0.0.1:%d\n", r.name, port)
	}
	s.control("smtproutes", routes.String())
	s.start()
	var recipients []string
	for _, r := range rows {
		recipients = append(recipients, "to@"+r.name+".example")
	}
	s.enter("joe@"+me, recipients, "Subject: no\n\n")
	for i, r := range rows {
		if got := s.outcome(recipients[i], 1); got != r.want {
			t.Errorf("%s: %s\nwant %s", r.name, got, r.want)
		}
	}
}

// The other tcpserver runs our qmail-smtpd.
func TestUnderTheOtherTcpserver(t *testing.T) {
	tcpserver, ok := tool(t, "tcpserver")
	if !ok {
		return
	}
	s := install(t)
	s.start()
	port := freePort(t)
	args := []string{"-HRv", "-l", "local.example"}
	if root {
		args = append(args, "-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles"))
	}
	background(t, "/", tcpserver, append(args, "127.0.0.1", strconv.Itoa(port), s.path("bin/qmail-smtpd"))...)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	eventually(t, "the other tcpserver", func() bool {
		err := smtp.SendMail(address, nil, "far@away.example", []string{"joe@" + me}, []byte("Subject: through both\r\n\r\n"))
		_, refused := err.(*net.OpError)
		if err != nil && !refused {
			t.Fatal(err)
		}
		return err == nil
	})
	s.settled(1)
	got := find(t, s.mail("u/joe/Maildir"), "\nSubject: through both\n")
	if !strings.Contains(mask(got), "\nReceived: from unknown (HELO localhost) (127.0.0.1)\n  by local.example with SMTP; DATE -0000\n") {
		t.Errorf("it is\n%s", got)
	}
}

const rules = `# comment
10.1.2-9.:allow,RELAYCLIENT=""
=.example.com:allow,A="x",B=/y z/
joe@127.0.0.1:deny
me@=localhost:allow,WHO="me"
127.0.0.1:allow,RELAYCLIENT="",SAID="by, rule:1"
127.:deny
127.0.0.1:deny
=:allow,NAMED=""

:deny,TOO=|late|
`

// Rules compiled by either tcprules are the same bytes, and our tcpserver obeys them.
func TestRules(t *testing.T) {
	s := install(t)
	ours := s.path("ours.cdb")
	compile := func(program, cdb, rules string) {
		t.Helper()
		cmd := exec.Command(program, cdb, cdb+".tmp")
		cmd.Stdin = strings.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	compile(s.path("bin/tcprules"), ours, rules)
	if other, ok := tool(t, "tcprules"); ok {
		theirs := s.path("theirs.cdb")
		compile(other, theirs, rules)
		a, _ := os.ReadFile(ours)
		b, _ := os.ReadFile(theirs)
		if len(b) == 0 || !bytes.Equal(a, b) {
			t.Errorf("the same rules make %d bytes here and %d bytes there, or others", len(a), len(b))
		}
		ours = theirs
	}
	if other, ok := tool(t, "tcprulescheck"); ok {
		for _, env := range [][]string{
			{"TCPREMOTEIP=10.1.5.200"},
			{"TCPREMOTEIP=10.1.1.200"},
			{"TCPREMOTEIP=10.9.9.9", "TCPREMOTEHOST=a.b.example.com"},
			{"TCPREMOTEIP=127.0.0.1"},
			{"TCPREMOTEIP=127.0.0.1", "TCPREMOTEINFO=joe"},
			{"TCPREMOTEIP=127.0.0.2", "TCPREMOTEINFO=me", "TCPREMOTEHOST=localhost"},
			{"TCPREMOTEIP=127.0.0.2", "TCPREMOTEINFO=", "TCPREMOTEHOST="},
			{"TCPREMOTEIP=1.2.3.4", "TCPREMOTEHOST=x"},
			{},
		} {
			a, aStatus := s.sh("", "exec "+s.path("bin/tcprulescheck")+" "+ours, env...)
			b, bStatus := s.sh("", "exec "+other+" "+ours, env...)
			if a != b || aStatus != bStatus {
				t.Errorf("%v: tcprulescheck says %q, %d, and the other one %q, %d", env, a, aStatus, b, bStatus)
			}
		}
	}
	s.excuse(foreign, "a script shows its environment")
	s.write("show", "#!/bin/sh\necho \"$SAID ${RELAYCLIENT-unset} ${NAMED-unset}\"\n")
	if err := os.Chmod(s.path("show"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := s.ask(s.tcpserver([]string{"-x", ours, s.path("show")})); got != "by, rule:1  unset\n" {
		t.Errorf("a client that the rules let in was told %q", got)
	}
	deny := s.path("deny.cdb")
	compile(s.path("bin/tcprules"), deny, "127.:deny\n:allow\n")
	if got := s.ask(s.tcpserver([]string{"-x", deny, s.path("show")})); got != "" {
		t.Errorf("a client that the rules keep out was told %q", got)
	}
}

// ask connects to a port and returns what is said there.
func (s *suite) ask(port int) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	var b bytes.Buffer
	b.ReadFrom(conn)
	return b.String()
}
