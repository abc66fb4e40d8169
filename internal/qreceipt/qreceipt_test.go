package qreceipt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/rfc822"
)

// home makes a home whose qmail-queue keeps what it is given and exits as told.
func home(t *testing.T, status string) string {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(conf.Home+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncat >message; cat <&1 >envelope; exit " + status + "\n"
	if err := os.WriteFile(conf.Home+"/bin/qmail-queue", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return conf.Home
}

// do runs the program on a message and returns its status and complaints.
func do(t *testing.T, env prog.Env, message string, args ...string) (status int, stderr string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/in", []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &prog.Process{Name: "qreceipt", Args: args, Env: env, Dir: dir, Stdin: in, Stderr: out}
	status = p.Do(Run)
	text, _ := os.ReadFile(out.Name())
	return status, string(text)
}

const (
	request = "Notice-Requested-Upon-Delivery-To: "
	asked   = request + "joe@nowhere.mil\n"
)

// notices as the C program writes them.
func wanted(sender, target, id string) string {
	return "From: DELIVERY NOTICE SYSTEM <" + sender + ">\nTo: <" + sender + ">\nSubject: success notice\n\n" +
		"Hi! This is the qreceipt program. Your message was delivered to the\nfollowing address: " + target +
		". Thanks for asking.\n" + id
}

func TestNotice(t *testing.T) {
	plain := wanted("s@x", "joe@nowhere.mil", "")
	for _, c := range []struct {
		sender, target, message string
		want                    string // "" if there is no notice
	}{
		{"s@x", "joe@nowhere.mil", asked + "\nbody", plain},
		{"s@x", "Joe@nowhere.mil", asked, ""},
		{"s@x", "joe@nowhere.mil", "A: b\n\n" + asked, ""},
		{"s@x", "joe@nowhere.mil", "NOTICE-requested-upon-delivery-to: Joe (x) <joe@nowhere.mil>, z", plain},
		{"s@x", "joe@nowhere.mil", asked + asked, plain},
		{"s@x", "a b@x", request + "\"a b\"@x\n", wanted("s@x", "a b@x", "")},
		{"s@x", "joe", request + "joe\n", wanted("s@x", "joe", "")}, // nothing is completed
		{"s@x", "joe@x", request + "<@a,@b:joe@x>, joe@x.\n", ""},
		{"s@x", "joe@nowhere.mil", "Message-ID: <0>\n" + asked + "message-id: <1@x>\n  fold\n\n",
			wanted("s@x", "joe@nowhere.mil", "Your message-id: <1@x>\n  fold\n")},
		{"s@x", "joe@nowhere.mil", asked + "Message-ID: a", wanted("s@x", "joe@nowhere.mil", "Your Message-ID: a\n")},
		{"a b@x", "joe@nowhere.mil", asked, wanted("\"a b\"@x", "joe@nowhere.mil", "")},
		{"", "joe@nowhere.mil", asked, ""},
		{"#@[]", "joe@nowhere.mil", asked, ""},
		{"a\nBcc: b@x", "joe@nowhere.mil", asked, ""},
	} {
		h := home(t, "0")
		status, stderr := do(t, prog.Env{"PATH=/usr/bin:/bin", "SENDER=" + c.sender}, c.message, c.target)
		text, _ := os.ReadFile(h + "/message")
		list, _ := os.ReadFile(h + "/envelope")
		envelope := ""
		if c.want != "" {
			envelope = "F\x00T" + c.sender + "\x00\x00"
		}
		if status != 0 || stderr != "" || string(text) != c.want || string(list) != envelope {
			t.Errorf("%q from %q: %d, %q, sent\n%s\nto %q, want\n%s", c.message, c.sender, status, stderr, text, list, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	env := prog.Env{"PATH=/usr/bin:/bin", "SENDER=s@x"}
	for _, c := range []struct {
		queue   string
		env     prog.Env
		message string
		args    []string
		status  int
		stderr  string
	}{
		{"0", env, asked, nil, 100, "usage: qreceipt deliveryaddress"},
		{"0", env.Without("SENDER"), asked, []string{"a"}, 100, "usage: qreceipt deliveryaddress"},
		{"0", env, request + "(\n", []string{"a"}, 100, "fatal: unable to parse this: " + request + "("},
		{"31", env, asked, []string{"joe@nowhere.mil"}, 100, "fatal: permanent qmail-queue error"},
		{"53", env, asked, []string{"joe@nowhere.mil"}, 111, "fatal: temporary qmail-queue error"},
	} {
		h := home(t, c.queue)
		if status, stderr := do(t, c.env, c.message, c.args...); status != c.status || stderr != "qreceipt: "+c.stderr+"\n" {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, status, stderr, c.status, c.stderr)
		}
		if _, err := os.Stat(h + "/message"); err == nil && c.queue == "0" {
			t.Errorf("%q: sent a notice", c.args)
		}
	}
}

// FuzzNotice: whatever is in the header and the sender, a notice has the three fields
// that are ours and no other.
func FuzzNotice(f *testing.F) {
	f.Add("s@x", asked+"Message-ID: <x>\n\n")
	f.Add("a b\t\"@[\x7f", asked+"message-id:\n\t\n")
	f.Fuzz(func(t *testing.T, sender, message string) {
		wanted, id, err := read(rfc822.NewScanner(strings.NewReader(message)), "joe@nowhere.mil")
		if err != nil || !wanted || !answerable(sender) {
			return
		}
		s := rfc822.NewScanner(strings.NewReader(notice(sender, "joe@nowhere.mil", id)))
		var names []string
		for s.Next() {
			name, _ := rfc822.Split(s.Field())
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != "From To Subject" {
			t.Errorf("from %q: fields %s", sender, got)
		}
	})
}
