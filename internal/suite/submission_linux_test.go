package suite

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Mail that people send by way of this host: with their programs, over TLS, after AUTH.
// The login is joe@x, the password right, and there is a secret, see mailUser.

// submission runs what serves ports 587 and 465, with qmail-auth and qmail-keys beside
// it, and returns their ports and a file with the certificate.
func (s *suite) submission() (starttls, implicit int, certificate string) {
	s.t.Helper()
	certificate, _ = s.underTLS()
	s.mailUser()
	s.auth()
	s.start()
	return s.smtpd("SUBMISSION="), s.smtpd("SUBMISSION=", "SMTPS="), certificate
}

// submitted waits until mail with these subjects has come to joe, and looks at each.
func (s *suite) submitted(subjects []string, secure bool) {
	s.t.Helper()
	with := "with ESMTPA;"
	if secure {
		with = "with ESMTPSA (TLSv1."
	}
	var mail []string
	for _, subject := range subjects {
		eventually(s.t, subject, func() bool {
			mail = s.mail("u/joe/Maildir")
			return strings.Contains(strings.Join(mail, ""), "\nSubject: "+subject+"\n")
		})
	}
	for _, subject := range subjects {
		got := find(s.t, mail, "\nSubject: "+subject+"\n")
		if !strings.HasPrefix(got, "Return-Path: <joe@x>\n") || !strings.Contains(got, with) || strings.Count(got, "\nDate: ") != 1 ||
			strings.Count(strings.ToLower(got), "\nmessage-id: ") != 1 || strings.Count(got, "\nFrom: ") != 1 {
			s.t.Errorf("%s:\n%s", subject, got)
		}
	}
}

func TestSwaksSubmits(t *testing.T) {
	swaks, ok := tool(t, "swaks-secure")
	if !ok {
		return
	}
	s := install(t)
	starttls, implicit, certificate := s.submission()
	var subjects []string
	send := func(port int, subject string, args ...string) (string, error) {
		return run(swaks, append([]string{"--server", "127.0.0.1", "--port", strconv.Itoa(port), "--helo", "client.example", "--from", "joe@x",
			"--to", "joe@" + me, "--body", "text", "--header", "Subject: " + subject, "--auth-user", "joe@x", "--tls-verify", "--tls-ca-path", certificate}, args...)...)
	}
	for i, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"} {
		way, port := "--tls", starttls
		if i%2 > 0 {
			way, port = "--tls-on-connect", implicit
		}
		subject := "swaks " + way + " " + mechanism
		subjects = append(subjects, subject)
		out, err := send(port, subject, way, "--auth", mechanism, "--auth-password", "right")
		if err != nil || !strings.Contains(out, "<~  235 ok, go ahead (#2.7.0)\n") {
			t.Errorf("%s: %v\n%s", subject, err, out)
		}
	}
	out, err := send(implicit, "no", "--tls-on-connect", "--auth", "LOGIN", "--auth-password", "wrong")
	if err == nil || !strings.Contains(out, "<~* 535 authentication failed (#5.7.8)\n") {
		t.Errorf("with a wrong password: %v\n%s", err, out)
	}
	// Without a login, as somebody else, and with the password in the clear.
	login := []string{"--auth-user", "joe@x", "--auth-password", "right", "--auth", "PLAIN"}
	for want, args := range map[string][]string{
		"<~* 530 log in by AUTH first (#5.7.0)\n":                       {"--tls", "--from", "joe@x"},
		"<~* 553 sorry, you may not send mail as that address (#5.7.1)": append(login, "--tls", "--from", "sue@x"),
		"Auth not attempted": append(login, "--from", "joe@x"),
	} {
		out, err := run(swaks, append([]string{"--server", "127.0.0.1", "--port", strconv.Itoa(starttls), "--helo", "client.example", "--to", "joe@" + me}, args...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v, want %q\n%s", args, err, want, out)
		}
	}
	s.submitted(subjects, true)
	said, _ := os.ReadFile(s.errors.Name())
	for _, line := range []string{" from 127.0.0.1: logged in login=joe@x mechanism=DIGEST-MD5 TLSv1.3\n", " from 127.0.0.1: login failed mechanism=LOGIN: ",
		" from 127.0.0.1: refused sender=<sue@x> login=joe@x: control/senderlogins does not give that sender to the login\n",
		" from 127.0.0.1: refused sender=<joe@x>: the client has not logged in\n"} {
		if !strings.Contains(string(said), line) {
			t.Errorf("the log has no %q", line)
		}
	}
	for _, secret := range []string{"right", base64.StdEncoding.EncodeToString([]byte("\x00joe@x\x00right"))} {
		if strings.Contains(string(said), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

func TestCurlSubmits(t *testing.T) {
	curl, ok := tool(t, "curl")
	if !ok {
		return
	}
	s := install(t)
	starttls, implicit, certificate := s.submission()
	message := filepath.Join(t.TempDir(), "message")
	var subjects []string
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"} {
		for _, url := range []string{fmt.Sprintf("smtp://127.0.0.1:%d", starttls), fmt.Sprintf("smtps://127.0.0.1:%d", implicit)} {
			if mechanism == "SCRAM-SHA-256" && !strings.Contains(must(t, curl, "--version"), "gsasl") {
				continue
			}
			subject := "curl " + mechanism + " " + url
			subjects = append(subjects, subject)
			if err := os.WriteFile(message, []byte("Subject: "+subject+"\r\n\r\ntext\r\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			args := []string{"-sS", "--max-time", "60", "--ssl-reqd", "--cacert", certificate, "--login-options", "AUTH=" + mechanism,
				"--mail-from", "joe@x", "--mail-rcpt", "joe@" + me, "-T", message, url}
			if out, err := run(curl, append(args, "-u", "joe@x:right")...); err != nil {
				t.Errorf("%s: %v\n%s", subject, err, out)
			}
			if mechanism != "PLAIN" || url[4] != ':' { // one is enough: each wrong one is answered later than that before
				continue
			}
			if out, err := run(curl, append(args, "-u", "joe@x:wrong")...); err == nil || !strings.Contains(out, "(67)") {
				t.Errorf("%s with a wrong password: %v\n%s", subject, err, out)
			}
		}
	}
	s.submitted(subjects, true)
}

func TestMsmtpSubmits(t *testing.T) {
	msmtp, ok := tool(t, "msmtp")
	if !ok {
		return
	}
	s := install(t)
	starttls, implicit, certificate := s.submission()
	var subjects []string
	for _, mechanism := range []string{"plain", "login", "cram-md5", "digest-md5", "scram-sha-1", "scram-sha-256"} {
		for way, port := range map[string]int{"on": starttls, "off": implicit} {
			for password, status := range map[string]int{"right": 0, "wrong": 77} {
				if status != 0 && (mechanism != "scram-sha-1" || way != "on") {
					continue
				}
				subject := "msmtp " + mechanism + " starttls " + way
				cmd := exec.Command(msmtp, "-C", "/dev/null", "--host=127.0.0.1", "--port="+strconv.Itoa(port), "--from=joe@x", "--auth="+mechanism,
					"--user=joe@x", "--passwordeval=echo "+password, "--tls=on", "--tls-starttls="+way, "--tls-trust-file="+certificate, "joe@"+me)
				cmd.Stdin = strings.NewReader("Subject: " + subject + "\n\n.text\n")
				out, _ := cmd.CombinedOutput()
				if got := cmd.ProcessState.ExitCode(); got != status {
					t.Errorf("%s, password %s: status %d\n%s", subject, password, got, out)
				}
				if status == 0 {
					subjects = append(subjects, subject)
				}
			}
		}
	}
	s.submitted(subjects, true)
}

// Python's library, which takes the first mechanism that it knows of those offered.
const smtplib = `
import smtplib, ssl, sys
starttls, implicit, certificate, me = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=certificate)
def send(s, subject):
    s.login("joe@x", "right")
    assert s.docmd("AUTH", "CRAM-MD5")[0] == 503
    s.sendmail("joe@x", ["joe@" + me], "Subject: python %s\r\n\r\n.text\r\n" % subject)
    s.quit()
s = smtplib.SMTP("localhost", starttls, timeout=60)
s.ehlo()
assert "plain" not in s.esmtp_features["auth"].lower().split(), s.esmtp_features
s._host = me
s.starttls(context=context)
send(s, "starttls")
s = smtplib.SMTP_SSL("127.0.0.1", implicit, timeout=60, context=context)
send(s, "implicit")
for method in ["auth_plain", "auth_login", "auth_cram_md5"]:
    s = smtplib.SMTP_SSL("127.0.0.1", implicit, timeout=60, context=context)
    s.ehlo()
    s.user, s.password = "joe@x", "right"
    s.auth(method[5:].replace("_", "-"), getattr(s, method))
    s.sendmail("joe@x", ["joe@" + me], "Subject: python %s\r\n\r\n.text\r\n" % method)
    s.quit()
s = smtplib.SMTP("localhost", starttls, timeout=60)
s.login("joe@x", "right")
s.sendmail("joe@x", ["joe@" + me], "Subject: python without\r\n\r\n.text\r\n")
s.quit()
`

func TestPythonSubmits(t *testing.T) {
	python, ok := tool(t, "python3")
	if !ok {
		return
	}
	s := install(t)
	starttls, implicit, certificate := s.submission()
	must(t, python, "-c", smtplib, strconv.Itoa(starttls), strconv.Itoa(implicit), certificate, me)
	s.submitted([]string{"python starttls", "python implicit", "python auth_plain", "python auth_login", "python auth_cram_md5"}, true)
	s.submitted([]string{"python without"}, false) // a challenge and a response show no password
}

func TestGsasl(t *testing.T) {
	gsasl, ok := tool(t, "gsasl")
	if !ok {
		return
	}
	s := install(t)
	starttls, _, certificate := s.submission()
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"} {
		for _, password := range []string{"right", "wrong"} {
			if password == "wrong" && mechanism != "SCRAM-SHA-256-PLUS" {
				continue
			}
			args := []string{"--smtp", "--connect=127.0.0.1:" + strconv.Itoa(starttls), "--starttls", "--x509-ca-file=" + certificate, "--mechanism=" + mechanism,
				"--authentication-id=joe@x", "--password=" + password, "--service=smtp", "--hostname=" + me, "--verbose"}
			if !strings.HasSuffix(mechanism, "-PLUS") {
				args = append(args, "--no-cb") // it gives up where a binding could be had
			}
			out, err := run(gsasl, args...)
			if (err == nil) != (password == "right") {
				t.Errorf("%s, password %s: %v\n%s", mechanism, password, err, out)
			}
		}
	}
}

// What openssl s_client can be had to say: old versions of the protocol, commands in the
// clear behind STARTTLS, renegotiation.
func TestOpenSSLSubmits(t *testing.T) {
	openssl, ok := tool(t, "openssl")
	if !ok {
		return
	}
	s := install(t)
	starttls, implicit, certificate := s.submission()
	client := func(input string, args ...string) string {
		cmd := exec.Command(openssl, append([]string{"s_client", "-CAfile", certificate, "-verify_return_error", "-crlf", "-quiet", "-ign_eof"}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		timer := time.AfterFunc(deadline, func() { cmd.Process.Kill() })
		defer timer.Stop()
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	connect := []string{"-starttls", "smtp", "-connect", fmt.Sprintf("127.0.0.1:%d", starttls)}
	for _, c := range []struct {
		args  []string
		works bool
	}{
		{[]string{"-tls1_3"}, true}, {[]string{"-tls1_2"}, true},
		{[]string{"-tls1_1", "-cipher", "ALL@SECLEVEL=0"}, false}, {[]string{"-tls1", "-cipher", "ALL@SECLEVEL=0"}, false},
		{[]string{"-tls1_2", "-cipher", "NULL@SECLEVEL=0"}, false}, {[]string{"-tls1_2", "-cipher", "RC4@SECLEVEL=0:3DES@SECLEVEL=0"}, false},
	} {
		if got := strings.Contains(client("NOOP\nQUIT\n", append(c.args, connect...)...), "250 ok\r\n221 "); got != c.works {
			t.Errorf("%q: it works: %v, want %v", c.args, got, c.works)
		}
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00joe@x\x00right"))
	out := client("EHLO c\nAUTH PLAIN\n"+plain+"\nMAIL FROM:<joe@x>\nRCPT TO:<joe@"+me+">\nDATA\nSubject: openssl\n\n.\nQUIT\n",
		"-connect", fmt.Sprintf("127.0.0.1:%d", implicit))
	if !strings.Contains(out, "334 ") || !strings.Contains(out, "\n235 ") || !strings.Contains(out, "\n250 ok 1") {
		t.Errorf("by hand: %s", out)
	}
	s.submitted([]string{"openssl"}, true)
	// A client in the clear on the port that begins with TLS, and one that goes on in the
	// clear behind STARTTLS.
	if got := talk(t, implicit, "EHLO c\r\nMAIL FROM:<joe@x>\r\n"); strings.Contains(got, "250") {
		t.Errorf("in the clear: %q", got)
	}
	if got := talk(t, starttls, "EHLO c\r\nSTARTTLS\r\nEHLO c\r\nAUTH PLAIN "+plain+"\r\n"); !strings.HasSuffix(got, "\r\n554 nothing may follow STARTTLS but TLS (#5.5.1)\r\n") {
		t.Errorf("behind STARTTLS: %q", got)
	}
}

// A checkpassword program on the command line of qmail-smtpd, as the AUTH patch of qmail
// has it, is run for it; nobody needs to listen at HOME/auth.
func TestCheckpasswordOnCommandLine(t *testing.T) {
	swaks, ok := tool(t, "swaks-secure")
	if !ok {
		return
	}
	s := install(t)
	s.control("plaintextauth", "1\n")
	s.start()
	check := s.script("check", `test "$(tr '\0' ' ' <&3 | cut -d' ' -f1,2)" = "joe right" && exec "$@"`)
	s.excuse(declined, "programs that check passwords are run by a cold qmail-smtpd")
	var args []string
	if root {
		args = append(args, "-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles"))
	}
	port := s.tcpserver(append(args, s.path("bin/qmail-smtpd"), me, check, "true"))
	for password, works := range map[string]bool{"right": true, "wrong": false} {
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			out, err := run(swaks, "--server", "127.0.0.1", "--port", strconv.Itoa(port), "--helo", "client.example", "--from", "a@b.example", "--to", "joe@"+me,
				"--auth", mechanism, "--auth-user", "joe", "--auth-password", password)
			if (err == nil) != works {
				t.Errorf("%s, password %s: %v\n%s", mechanism, password, err, out)
			}
		}
	}
	eventually(t, "the mail", func() bool { return len(s.mail("u/joe/Maildir")) == 2 })
}
