package dotqmail

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		body string
		want []Instruction
	}{
		{"#", nil},
		{"# a\n\n \t\n", nil},
		{"./M\n/M/", []Instruction{{Mbox, "./M"}, {Maildir, "/M/"}}},
		{".", []Instruction{{Mbox, "."}}},
		{"/", []Instruction{{Maildir, "/"}}},
		{"|a b \t\n| c", []Instruction{{Program, "a b"}, {Program, " c"}}},
		{"&a\n& b\nc\n&", []Instruction{{Forward, "a"}, {Forward, " b"}, {Forward, "c"}, {Forward, ""}}},
		{"+list\n+\n+list x\n+list ", []Instruction{{Kind: ForwardOnly}, {Kind: ForwardOnly}}},
		{"a\r\n\r\n", []Instruction{{Forward, "a\r"}, {Forward, "\r"}}},
		{"./a\x00/\n\x00b", []Instruction{{Maildir, "./a\x00/"}}},
	} {
		got, err := Parse([]byte(c.body))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%q) = %q, %v, want %q", c.body, got, err, c.want)
		}
	}
	for _, body := range []string{"", "\n", " \n", "\t", "\n./M\n", "\x00", "\x00x\n"} {
		if got, err := Parse([]byte(body)); err != ErrBlank {
			t.Errorf("Parse(%q) = %q, %v, want ErrBlank", body, got, err)
		}
	}
}

func TestArg(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\x00b": "a", "\x00b": ""} {
		if got := (Instruction{Forward, text}).Arg(); got != want {
			t.Errorf("Arg of %q is %q, want %q", text, got, want)
		}
	}
}

// What is printed means the same when it is parsed.
func FuzzParse(f *testing.F) {
	f.Add([]byte("./M\n/M/\n|a b\n&c\nd\n+list\n#\n\n"))
	f.Add([]byte("&\x00\n& \t\n|\r\n.\x00/"))
	f.Fuzz(func(t *testing.T, body []byte) {
		first, err := Parse(body)
		if err != nil || len(first) == 0 {
			return
		}
		var b strings.Builder
		for _, i := range first {
			b.WriteString(i.String() + "\n")
		}
		second, err := Parse([]byte(b.String()))
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%q printed and parsed is %q, %v", first, second, err)
		}
		for _, i := range first {
			if strings.Contains(i.Text, "\n") || strings.Contains(i.Arg(), "\x00") {
				t.Errorf("%q reaches beyond its line", i)
			}
		}
	})
}

func TestJudge(t *testing.T) {
	permanent := []int{100, 64, 65, 70, 76, 77, 78, 112}
	for status := range 256 {
		want := Temporary
		switch {
		case status == 0:
			want = Continue
		case status == 99:
			want = Stop
		case slices.Contains(permanent, status):
			want = Permanent
		}
		if got := Judge(status); got != want {
			t.Errorf("Judge(%d) = %d, want %d", status, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		dash, ext string
		want      []Name
	}{
		{"", "", []Name{{File: ".qmail"}, {".qmaildefault", "", true}}},
		{"-", "", []Name{{File: ".qmail-"}, {".qmail-default", "", true}}},
		{"-", "A.b", []Name{{File: ".qmail-a:b"}, {".qmail-default", "A.b", true}}},
		{"-", "a-B-c", []Name{
			{File: ".qmail-a-b-c"}, {".qmail-a-b-default", "c", true},
			{".qmail-a-default", "B-c", true}, {".qmail-default", "a-B-c", true},
		}},
		{"-", "a-", []Name{{File: ".qmail-a-"}, {".qmail-a-default", "", true}, {".qmail-default", "a-", true}}},
		{"-", "a-DEFAULT", []Name{
			{".qmail-a-default", "DEFAULT", true}, {".qmail-a-default", "DEFAULT", true},
			{".qmail-default", "a-DEFAULT", true},
		}},
		{"-/", "../x", []Name{{File: ".qmail-/::/x"}, {".qmail-/default", "../x", true}}},
		{"-", "\u00c4", []Name{{File: ".qmail-\u00c4"}, {".qmail-default", "\u00c4", true}}},
	} {
		if got := slices.Collect(Names(c.dash, c.ext)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("Names(%q, %q) = %v, want %v", c.dash, c.ext, got, c.want)
		}
	}
}

// No extension leads out of the home directory, and DEFAULT is always its end.
func FuzzNames(f *testing.F) {
	f.Add("-", "a-b.C/../d")
	f.Add("", "..")
	f.Fuzz(func(t *testing.T, dash, ext string) {
		n := 0
		for name := range Names(dash, ext) {
			rest, ok := strings.CutPrefix(name.File, ".qmail"+dash)
			if !ok || strings.ContainsAny(rest, ".ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				t.Fatalf("Names(%q, %q) has %q", dash, ext, name.File)
			}
			if !strings.HasSuffix(ext, name.Default) || name.Default != "" && !name.Sets {
				t.Fatalf("Names(%q, %q) has DEFAULT %q", dash, ext, name.Default)
			}
			n++
		}
		if want := 2 + strings.Count(ext, "-"); n != want {
			t.Errorf("Names(%q, %q) has %d names, want %d", dash, ext, n, want)
		}
		if owner := Owner(dash, ext); !strings.HasPrefix(OwnerDefault(dash, ext), owner) {
			t.Errorf("owner files %q and %q", owner, OwnerDefault(dash, ext))
		}
	})
}

func TestNewSender(t *testing.T) {
	for _, c := range []struct {
		sender              string
		owner, ownerDefault bool
		want                string
	}{
		{"s@x", false, false, "s@x"},
		{"s@x", false, true, "s@x"},
		{"s@x", true, false, "Joe-L-owner@H"},
		{"s@x", true, true, "Joe-L-owner-@H-@[]"},
		{"", true, true, ""},
		{"#@[]", true, true, "#@[]"},
	} {
		d := Delivery{Local: "Joe-L", Host: "H", Sender: c.sender}
		if got := d.NewSender(c.owner, c.ownerDefault); got != c.want {
			t.Errorf("NewSender from %q with %v, %v is %q, want %q", c.sender, c.owner, c.ownerDefault, got, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	d := Delivery{
		User: "joe", Home: "/home/joe", Local: "joe-A-b-c-d", Host: "a.B.c.d.e",
		Dash: "-", Ext: "A-b-c-d", Sender: "a b@c",
	}
	want := []Variable{
		{"HOST", "a.B.c.d.e"}, {"HOME", "/home/joe"}, {"USER", "joe"}, {"LOCAL", "joe-A-b-c-d"},
		{"RECIPIENT", "joe-A-b-c-d@a.B.c.d.e"},
		{"DTLINE", "Delivered-To: joe-A-b-c-d@a.B.c.d.e\n"},
		{"SENDER", "a b@c"}, {"RPLINE", "Return-Path: <\"a b\"@c>\n"},
		{"UFLINE", "From a-b@c Mon Jan 05 04:46:54 2026\n"},
		{"EXT", "A-b-c-d"}, {"EXT2", "b-c-d"}, {"EXT3", "c-d"}, {"EXT4", "d"},
		{"HOST2", "a.B.c.d"}, {"HOST3", "a.B.c"}, {"HOST4", "a.B"},
	}
	got := d.Variables(time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Whatever an address holds, each of the three lines is one line.
func FuzzLines(f *testing.F) {
	f.Add("a\nb", "c\nd", "e\nf\"@g\n")
	f.Fuzz(func(t *testing.T, local, host, sender string) {
		d := Delivery{Local: local, Host: host, Sender: sender}
		for _, line := range []string{d.DeliveredTo(), d.ReturnPath(), d.FromLine(time.Unix(0, 0))} {
			if strings.Index(line, "\n") != len(line)-1 {
				t.Errorf("%q is not one line", line)
			}
		}
		if len(strings.FieldsFunc(d.FromLine(time.Unix(0, 0)), func(r rune) bool { return r == ' ' })) != 7 {
			t.Errorf("%q has blanks in the sender", d.FromLine(time.Unix(0, 0)))
		}
	})
}

// Every line is there, with its number, and what does nothing says so.
func TestLines(t *testing.T) {
	lines, err := Lines([]byte("# note \n\n|prog x\n+later\n./Maildir/\n\x00\na@b"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Line{
		{1, "# note", false, Instruction{}},
		{2, "", false, Instruction{}},
		{3, "|prog x", true, Instruction{Program, "prog x"}},
		{4, "+later", false, Instruction{Kind: ForwardOnly}},
		{5, "./Maildir/", true, Instruction{Maildir, "./Maildir/"}},
		{6, "\x00", false, Instruction{}},
		{7, "a@b", true, Instruction{Forward, "a@b"}},
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %+v, want %+v", lines, want)
	}
	for _, c := range []struct {
		kind Kind
		want string
	}{{Maildir, "file"}, {Mbox, "file"}, {Program, "prog"}, {Forward, ""}, {ForwardOnly, ""}} {
		if got := (Instruction{Kind: c.kind}).NotAllowed(); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("kind %d where only forwarding is allowed: %q", c.kind, got)
		}
	}
}
