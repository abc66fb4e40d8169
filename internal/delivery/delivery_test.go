package delivery

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestRequestRoundTrip(t *testing.T) {
	want := Request{Number: 0, Mess: "7/457", Sender: "", Recipient: "a b@c"}
	b := want.Append(nil)
	if string(b) != "\x007/457\x00\x00a b@c\x00" {
		t.Errorf("bytes %q", b)
	}
	r := bufio.NewReader(bytes.NewReader(b))
	if got, oversized, err := ReadRequest(r); got != want || oversized || err != nil {
		t.Errorf("read %+v, %v, %v", got, oversized, err)
	}
	if _, _, err := ReadRequest(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for n := 1; n < len(b); n++ {
		if _, _, err := ReadRequest(bufio.NewReader(bytes.NewReader(b[:n]))); err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestOversizedRequestIsReadToItsEnd(t *testing.T) {
	huge := Request{Number: 1, Mess: "7/457", Sender: strings.Repeat("x", 3*maxField), Recipient: "a@b"}
	next := Request{Number: 2, Mess: "1/1", Recipient: "a@b"}
	r := bufio.NewReader(bytes.NewReader(next.Append(huge.Append(nil))))
	if got, oversized, err := ReadRequest(r); !oversized || err != nil || len(got.Sender) != maxField {
		t.Errorf("%d bytes of sender, %v, %v", len(got.Sender), oversized, err)
	}
	if got, oversized, err := ReadRequest(r); got != next || oversized || err != nil {
		t.Errorf("the next request is %+v, %v, %v", got, oversized, err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ mess, recipient, want string }{
		{"7/457", "a@b", ""},
		{"7/457", "a", refuseHost},
		{"", "a@b", refuseTooShort},
		{"/457", "a@b", refuseNumerics},
		{"../x", "a@b", refuseNumerics},
		{"7/4 57", "a@b", refuseNumerics},
		{strings.Repeat("1", 99), "a@b", ""},
		{strings.Repeat("1", 100), "a@b", refuseTooLong},
	} {
		if got := (Request{Mess: c.mess, Recipient: c.recipient}).Check(); got != c.want {
			t.Errorf("Check(%q, %q) = %q, want %q", c.mess, c.recipient, got, c.want)
		}
	}
}

func TestReports(t *testing.T) {
	b := AppendReport(nil, 0, "Kdid 1+0+0\nmore")
	b = AppendReport(b, 5, "D")
	b = AppendReport(b, 6, "")
	b = AppendReport(b, 7, "Zcut\x00here")
	b = AppendReport(b, 8, "D"+strings.Repeat("y", 2*MaxReport))
	b = AppendReport(b, 9, "Klast")
	r := bufio.NewReader(bytes.NewReader(b))
	for _, want := range []Report{
		{0, 'K', "did 1+0+0\nmore"}, {5, 'D', ""}, {6, 0, ""}, {7, 'Z', "cut"},
		{8, 'D', strings.Repeat("y", MaxReport-2)}, {9, 'K', "last"},
	} {
		if got, err := ReadReport(r); got != want || err != nil {
			t.Errorf("report %.40v, %v, want %.40v", got, err, want)
		}
	}
}

func TestLocalReport(t *testing.T) {
	long := strings.Repeat("z", 3000)
	for _, c := range []struct {
		o    Outcome
		want string
	}{
		{Outcome{Output: []byte("did 1+0+0\n")}, "Kdid 1+0+0\n"},
		{Outcome{Code: 100, Output: []byte("no\x00hidden")}, "Dno"},
		{Outcome{Code: 111, Output: []byte("later")}, "Zlater"},
		{Outcome{Code: 71}, "Z"},
		{Outcome{Code: 1, Output: []byte("x")}, "Dx"},
		{Outcome{Code: 2, Output: []byte("panic: …")}, "Zqmail-local crashed.\n"}, // a Go runtime gave up: never a bounce
		{Outcome{Crashed: true}, "Zqmail-local crashed.\n"},
		{Outcome{Code: 113}, "ZNot allowed to perform deliveries as root.\n"},
		{Outcome{Code: 126}, "DUnable to run qmail-local.\n"},
		{Outcome{Output: []byte(long)}, "K" + long},
		{Outcome{Output: []byte(long + "z")}, "K" + long[:2966] + "\nError report too long, sorry.\n"},
	} {
		if got := LocalReport(c.o); got != c.want {
			t.Errorf("LocalReport(%d, %.20q) = %.60q, want %.60q", c.o.Code, c.o.Output, got, c.want)
		}
	}
}

func TestRemoteReport(t *testing.T) {
	for _, c := range []struct {
		code   int
		output string
		want   string
	}{
		{0, "r\x00K1.2.3.4 accepted message.\n\x00", "K1.2.3.4 accepted message.\n"},
		{0, "hno.\n\x00DGiving up.\n\x00", "Dno.\nGiving up.\n"},
		{0, "slater.\n\x00DGiving up.\n\x00", "Zlater.\nGiving up.\n"},
		{0, "slater.\n\x00Zdied.\n\x00", "Zlater.\ndied.\n"},
		{0, "slater.\n\x00Kok\n\x00", "Zlater.\n"},
		{0, "Zno host.\n\x00", "Zno host.\n"},
		{0, "Dbad\n\x00", "Dbad\n"},
		{0, "r\x00", "D"},
		{0, "Kno end", "D"},
		{0, "rx\x00Kno end", "Dxno end"},
		{0, "\x00Kfoo\x00", "KKfoo"}, // the first record begins at the second byte, always
		{0, "ra\x00hb\x00sc\x00Kd\x00Ze\x00", "Ka"},
		{0, "", "Zqmail-remote produced no output.\n"},
		{111, "Kx\x00", "ZUnable to run qmail-remote.\n"},
		{100, "Kx\x00", "DUnable to run qmail-remote.\n"},
		{2, "", "Zqmail-remote crashed.\n"},
	} {
		if got := RemoteReport(Outcome{Code: c.code, Output: []byte(c.output)}); got != c.want {
			t.Errorf("RemoteReport(%d, %q) = %q, want %q", c.code, c.output, got, c.want)
		}
	}
}

// However much a remote host says, the verdict after it counts.
func TestReadRemote(t *testing.T) {
	long := strings.Repeat("x", 3*MaxReport)
	kept := long[:MaxReport-1]
	for _, c := range []struct{ output, want string }{
		{"r" + long + "\x00K" + long + "\x00", "r" + kept + "\x00K" + kept + "\x00"},
		{"r\x00r\x00r\x00r" + long + "\x00Z" + long + "\x00K\x00", "r\x00r\x00r\x00Z\x00"},
		{"\x00\x00\x00\x00", "\x00\x00\x00"},
		{"h" + long, "h" + kept},
		{"", ""},
	} {
		if got := string(ReadRemote(strings.NewReader(c.output))); got != c.want {
			t.Errorf("ReadRemote(%.20q…) = %d bytes %.40q, want %d bytes %.40q", c.output, len(got), got, len(c.want), c.want)
		}
	}
}

// Reading less than all there is changes no report.
func FuzzReadRemote(f *testing.F) {
	f.Add("ra\x00hb\x00sc\x00Kd\x00Ze\x00")
	f.Add("slater\x00Kok")
	f.Add("r\x00r\x00D")
	f.Fuzz(func(t *testing.T, output string) {
		if len(output) > MaxReport {
			return
		}
		got := RemoteReport(Outcome{Output: ReadRemote(strings.NewReader(output))})
		if want := RemoteReport(Outcome{Output: []byte(output)}); got != want {
			t.Errorf("%q: report %q, want %q", output, got, want)
		}
	})
}

func TestParseClean(t *testing.T) {
	for line, want := range map[string]Clean{
		"foop/123":                  {"foop", 123},
		"todo/18446744073709551615": {"todo", 1<<64 - 1},
		"todo/18446744073709551616": {},
		"foop/":                     {},
		"foop/1":                    {"foop", 1},
		"foop/1x":                   {},
		"foop/7/12":                 {},
		"todoX12":                   {},
		"x":                         {},
		"":                          {},
	} {
		got, ok := ParseClean([]byte(line))
		if got != want || ok != (want != Clean{}) {
			t.Errorf("ParseClean(%q) = %+v, %v, want %+v", line, got, ok, want)
		}
	}
}

// Any bytes on the request pipe give requests that are refused or that name a
// file below mess by digits, and a host.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("\x007/457\x00s\x00r@h\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			req, oversized, err := ReadRequest(r)
			if err != nil {
				return
			}
			if oversized || req.Check() != "" {
				continue
			}
			if strings.Trim(req.Mess, "0123456789/") != "" || strings.HasPrefix(req.Mess, "/") || !strings.Contains(req.Recipient, "@") {
				t.Fatalf("admitted %+v", req)
			}
			again, _, err := ReadRequest(bufio.NewReader(bytes.NewReader(req.Append(nil))))
			if err != nil || again != req {
				t.Fatalf("%+v came back as %+v, %v", req, again, err)
			}
		}
	})
}

// Reports stay apart whatever programs have written into them.
func FuzzReports(f *testing.F) {
	f.Add(byte(0), "Kx", "h\x00D", 0)
	f.Fuzz(func(t *testing.T, number byte, text, output string, code int) {
		b := AppendReport(nil, number, text)
		b = AppendReport(b, number, RemoteReport(Outcome{Code: code, Output: []byte(output)}))
		b = AppendReport(b, number, LocalReport(Outcome{Code: code, Output: []byte(output)}))
		r := bufio.NewReader(bytes.NewReader(b))
		for i := range 3 {
			rep, err := ReadReport(r)
			if err != nil || rep.Number != number {
				t.Fatalf("report %d: %+v, %v", i, rep, err)
			}
			if i > 0 && rep.Letter != 'K' && rep.Letter != 'Z' && rep.Letter != 'D' {
				t.Fatalf("letter %q", rep.Letter)
			}
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Fatal("more than three reports")
		}
	})
}

// A request to qmail-clean is understood only if it is what we would write.
func FuzzParseClean(f *testing.F) {
	f.Add([]byte("foop/123"))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, ok := ParseClean(line)
		if ok && (c.What != "foop" && c.What != "todo" || strings.Trim(string(line[5:]), "0123456789") != "") {
			t.Errorf("understood %q as %+v", line, c)
		}
	})
}
