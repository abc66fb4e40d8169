package qctl

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"quail/internal/order"
	"quail/internal/prog"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"list", "list []     json=false"},
		{"show 5 #7 --json", "show [5 7]     json=true"},
		{"hold --sender= --recipient *@x --older 90s --younger 2w --dry-run", "hold [] = =*@x 90 1209600 dry json=false"},
		{"--all delete", "delete []    all json=false"},
		{"requeue --older=3d 4", "requeue [4]  259200  json=false"},
		{"", "usage: "}, {"burn 1", "usage: "}, {"--help", "usage: "},
		{"delete", "delete which messages? "}, {"show", "show which messages? "},
		{"delete --all 5", "--all goes with no other choice"}, {"delete --all --sender x", "--all goes with no other choice"},
		{"delete x", `"x" is not a message number`}, {"delete -- -5", `"-5" is not a message number`}, {"delete #", `"#" is not`},
		{"delete --older 5", `invalid argument "5" for "--older"`}, {"delete --older 0s", "invalid argument"}, {"delete --older -1s", "invalid argument"},
		{"delete --older 99999999999999999w", "invalid argument"}, {"list --nosuch", "unknown flag: --nosuch"},
	} {
		got := func() string {
			cmd, err := parse(strings.Fields(c.args))
			if err != nil {
				return err.Error()
			}
			words := fmt.Sprintf("%s %v", cmd.Verb, cmd.IDs)
			for _, glob := range []*string{cmd.Sender, cmd.Recipient} {
				words += " "
				if glob != nil {
					words += "=" + *glob
				}
			}
			for _, n := range []int64{cmd.Older, cmd.Younger} {
				if words += " "; n != 0 {
					words += fmt.Sprint(n)
				}
			}
			if cmd.All {
				words += "all "
			}
			if cmd.DryRun {
				words += " dry "
			}
			return strings.Join(strings.Fields(words), " ") + fmt.Sprintf(" json=%v", cmd.json)
		}()
		want := strings.Join(strings.Fields(c.want), " ")
		if strings.HasPrefix(c.want, "usage: ") {
			want = usage
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", c.args, got, want)
		}
	}
}

// An answer that is cut off is no success, and one that says that somebody else has to
// ask is passed on.
func TestAnswers(t *testing.T) {
	one := order.Message{ID: 5, State: order.StateWaiting, Outcome: order.Done}.Append(nil)
	for _, c := range []struct {
		answer        []byte
		status        int
		out, complain string
	}{
		{order.End{}.Append(one), 0, "5: done\n", ""},
		{one, 111, "5: done\n", "fatal: qmail-send has cut its answer off: EOF\n"},
		{one[:5], 111, "", "fatal: qmail-send has cut its answer off: unexpected EOF\n"},
		{[]byte("x\x00"), 111, "", "fatal: qmail-send has cut its answer off: not in form\n"},
		{order.End{Status: 100, Text: "only \x1broot"}.Append(nil), 100, "", "fatal: only _root\n"},
		{order.End{Status: 111}.Append(order.Message{ID: 6, Outcome: order.Failed + "disk"}.Append(nil)), 111, "", "6: failed: disk\n"},
		{order.End{Status: 100}.Append(order.Message{ID: 6, Outcome: order.Missing}.Append(nil)), 100, "", "6: no such message\n"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		complaints, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		p := &prog.Process{Name: "qmail-qctl", Stderr: complaints}
		cmd := command{Order: order.Order{Verb: order.Hold, IDs: []uint64{5}}}
		writer := &writer{p: p, out: bufio.NewWriter(&out), command: cmd}
		w.Write(c.answer)
		w.Close()
		err = read(bufio.NewReader(r), writer)
		if err == nil && writer.status != 0 {
			err = prog.Exit(writer.status)
		}
		writer.out.Flush()
		status := p.Conclude(err)
		said, _ := os.ReadFile(complaints.Name())
		want := c.complain
		if want != "" {
			want = "qmail-qctl: " + want
		}
		if status != c.status || out.String() != c.out || string(said) != want {
			t.Errorf("%q: status %d, %q%q, want %d, %q%q", c.answer, status, out.String(), said, c.status, c.out, want)
		}
	}
}

// What is printed for programs is JSON, a line a message, whatever an address holds; and
// what is printed for people cannot steer a terminal.
func FuzzMessage(f *testing.F) {
	f.Add("a@b", "c@d\x1b[2J\n")
	f.Fuzz(func(t *testing.T, sender, recipient string) {
		m := order.Message{ID: 5, State: order.StateWaiting, Sender: sender, Left: 1, Due: [2]int64{1, 0}, Recipients: []order.Recipient{{Channel: "local", Address: recipient}}}
		for _, asJSON := range []bool{true, false} {
			var out bytes.Buffer
			w := &writer{out: bufio.NewWriter(&out), command: command{Order: order.Order{Verb: order.Show}, json: asJSON}}
			w.message(m)
			w.out.Flush()
			if asJSON {
				var line jsonMessage
				if err := json.Unmarshal(out.Bytes(), &line); err != nil || strings.Count(out.String(), "\n") != 1 || line.ID != 5 {
					t.Errorf("%q: %v", out.String(), err)
				}
				continue
			}
			for _, c := range out.Bytes() {
				if (c < ' ' || c > '~') && c != '\n' && c != '\t' {
					t.Errorf("%q", out.String())
				}
			}
			if strings.Count(out.String(), "\n") != 3 {
				t.Errorf("%q", out.String())
			}
		}
	})
}
