package tcprules

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
)

const testdata = "../../testdata/tcprules/"

func rules(text string) (records []cdb.Record, err error) {
	for record, err := range Rules(strings.NewReader(text)) {
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
	return records, nil
}

// database makes a database of records in the file name.
func database(t testing.TB, name string, records []cdb.Record) *cdbfile.File {
	t.Helper()
	draft, err := cdbfile.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		if err := draft.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := draft.Finish(); err != nil {
		t.Fatal(err)
	}
	file, err := cdbfile.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSameAsTcprules(t *testing.T) {
	text, err := os.ReadFile(testdata + "rules")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(testdata + "rules.cdb") // made by the C tcprules
	if err != nil {
		t.Fatal(err)
	}
	records, err := rules(string(text))
	if err != nil {
		t.Fatal(err)
	}
	name := t.TempDir() + "/cdb"
	database(t, name, records).Close()
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("rules.cdb differs from the one that C makes (%v)", err)
	}
}

func TestRules(t *testing.T) {
	const d = "D\x00"
	for _, c := range []struct {
		line string
		want [][2]string
	}{
		{"", nil},
		{"\n\n", nil},
		{"#1.2.3.4:nonsense", nil},
		{"no colon", nil},
		{"1.2.3.4:allow", [][2]string{{"1.2.3.4", ""}}},
		{"1.2.3.4:deny \t \n", [][2]string{{"1.2.3.4", d}}},
		{" #x:allow", [][2]string{{" #x", ""}}}, // a comment begins the line
		{":deny", [][2]string{{"", d}}},
		{`=.a:allow,A="b",C=/d,"/,=xx`, [][2]string{{"=.a", "+A=b\x00+C=d,\"\x00+=\x00"}}},
		{`:deny,A==b=`, [][2]string{{"", d + "+A=b\x00"}}},
		{"1-3:deny", [][2]string{{"1", d}, {"2", d}, {"3", d}}},
		{"9.1-2.5:deny", [][2]string{{"9.1.5", d}, {"9.2.5", d}}},
		{"9.007-08.:deny", [][2]string{{"9.7.", d}, {"9.8.", d}}},
		{"254-99999999999999999999:deny", [][2]string{{"254", d}, {"255", d}}},
		{"99999999999999999999-3:deny", nil},
		{"256-300:deny", nil},
		{"-1:deny", [][2]string{{"0", d}, {"1", d}}},
		{"0-:deny", [][2]string{{"0", d}}},
		{"1-2.3-4:deny", [][2]string{{"1.3-4", d}, {"2.3-4", d}}}, // only one range
		{"=a-b.c:deny", [][2]string{{"=a-b.c", d}}},
		{"a-b@1.2:deny", [][2]string{{"a-b@1.2", d}}},
	} {
		got, err := rules(c.line)
		want := make([]cdb.Record, len(c.want))
		for i, w := range c.want {
			want[i] = cdb.Record{Key: w[0], Value: w[1]}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Rules(%q) = %q, %v, want %q", c.line, got, err, c.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, line := range []string{
		"1.2.3.4:", "1.2.3.4: allow", "1.2.3.4:Allow", "1.2.3.4:allowx", "1.2.3.4:denyallow", "::1", "::1:allow,", "::1:x:allow",
		"1::g:allow", "fe80::1%eth0:deny", "[::1]:allow", "::1 :allow", "joe@::/8:deny", "::1-2:deny", "10.0.0.0:/9:deny",
		":allow,", ":allow,A", ":allow,A=", `:allow,A="`, `:allow,A="b`, `:allow,A="b"c`, `:allow,A="b",`,
		`:allow A="b"`, `:allow="b"`, ":allow,A= b", ":allow,A= b ", // stripping takes a blank that quotes
		"a-b:deny", "1-b:deny", "1.a-3:deny", "1-2-3:deny", "1 -2:deny", "99999999999999999999-2x:deny",
	} {
		_, err := rules("1:allow\n" + line + " \n2:allow\n")
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Line != strings.TrimRight(line, " ") {
			t.Errorf("Rules(%q): %v, want a syntax error that names the line", line, err)
		}
	}
	text := io.MultiReader(strings.NewReader("1:allow\n"), iotest.ErrReader(io.ErrNoProgress))
	var last error
	for _, last = range Rules(text) {
	}
	if !errors.Is(last, io.ErrNoProgress) {
		t.Errorf("Rules ended with %v, want the error of reading", last)
	}
}

func TestLookup(t *testing.T) {
	file, err := cdbfile.Open(testdata + "rules.cdb")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ip := func(ip string) Peer { return Peer{IP: ip} }
	named := func(ip, host string) Peer { return Peer{IP: ip, Host: host, HasHost: true} }
	known := func(info, ip, host string) Peer {
		return Peer{IP: ip, Host: host, HasHost: host != "", Info: info, HasInfo: true}
	}
	allow := func(rule string, env ...string) Decision { return Decision{Matched: true, Rule: rule, Env: env} }
	deny := func(rule string, env ...string) Decision { return Decision{true, rule, true, env} }
	others := allow("", "REST=all others")
	for _, c := range []struct {
		peer Peer
		want Decision
	}{
		{ip("127.0.0.1"), allow("127.", "RELAYCLIENT=")},
		{ip("10.0.0.5"), deny("10.0.0.5")},
		{ip("10.0.0.10"), others},
		{ip("10.2.9.9"), allow("10.2.", "NET=10.1 to 10.3")},
		{ip("192.168.0.255"), deny("192.168.0.255")},
		{ip("192.168.0.249"), others},
		{ip("1.2.3.4"), allow("1.2.3.4")},
		{ip("1.2.3.0"), allow("1.2.3.0")},
		{ip("1.9.9.9"), others}, // the rule's key has a blank in front
		{ip(""), others},
		{ip("::1"), others},
		{ip("2001:db8::192.0.2.1"), others},
		{ip("127.0.0.1.2.3.4..."), allow("127.", "RELAYCLIENT=")},
		{named("10.0.0.5", "mx.example.com"), deny("10.0.0.5")}, // the full address first
		{named("127.0.0.1", "mx.example.com"), deny("=mx.example.com", "WHY=shown nowhere")},
		{named("127.0.0.1", "a.example.com"), allow("127.", "RELAYCLIENT=")}, // networks before names' endings
		{named("8.8.8.8", "a.b.example.com"), allow("=.example.com", "SUFFIX=yes")},
		{named("8.8.8.8", "example.com"), deny("=.com")},
		{named("8.8.8.8", ".com"), deny("=.com")},
		{named("8.8.8.8", "example.net"), allow("=", "NAMED=")},
		{named("8.8.8.8", ""), allow("=", "NAMED=")},
		{known("joe", "127.0.0.1", ""), allow("joe@127.0.0.1", "INFO=joe")},
		{known("", "127.0.0.2", ""), deny("@127.0.0.2")}, // known and empty
		{known("jane", "127.0.0.2", ""), allow("127.", "RELAYCLIENT=")},
		{known("joe", "8.8.8.8", "mx.example.com"), allow("joe@=mx.example.com", "A=1", "B=two", "=", "C=3")},
		{known("joe@=mx.example.com", "8.8.8.8", ""), others}, // what the peer says is never a whole key
	} {
		if got, err := Lookup(file.Reader, c.peer); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Lookup(%+v) = %+v, %v, want %+v", c.peer, got, err, c.want)
		}
	}
}

func TestLookupNoRule(t *testing.T) {
	file := database(t, t.TempDir()+"/cdb", []cdb.Record{{Key: "1.2.3.4", Value: "D\x00"}})
	defer file.Close()
	if got, err := Lookup(file.Reader, Peer{IP: "1.2.3.5"}); err != nil || got.Matched || got.Deny {
		t.Errorf("Lookup without a rule = %+v, %v, want the zero decision", got, err)
	}
}

func TestLookupDamaged(t *testing.T) {
	if _, err := Lookup(cdb.NewReader(strings.NewReader("short"), 5), Peer{IP: "1.2.3.4"}); !errors.Is(err, cdb.ErrFormat) {
		t.Errorf("Lookup in a damaged database: %v, want cdb.ErrFormat", err)
	}
}

func TestDecision(t *testing.T) {
	for _, c := range []struct {
		data string
		want Decision
	}{
		{"", Decision{}},
		{"\x00", Decision{}},
		{"D", Decision{}}, // not ended
		{"+A=b", Decision{}},
		{"+A\x00", Decision{}}, // sets nothing
		{"xD\x00", Decision{}},
		{"+D\x00Dx\x00", Decision{Deny: true}},
		{"+A=b=c\x00D\x00+=\x00", Decision{Deny: true, Env: []string{"A=b=c", "="}}},
	} {
		c.want.Matched, c.want.Rule = true, "r"
		if got := decision("r", c.data); !reflect.DeepEqual(got, c.want) {
			t.Errorf("decision(%q) = %+v, want %+v", c.data, got, c.want)
		}
	}
}

// FuzzRules: whatever compiles says in the database what it says in the text: the
// data of each record, written as a rule again, compiles to the same data, and the
// first record of an address decides about just that address.
func FuzzRules(f *testing.F) {
	text, err := os.ReadFile(testdata + "rules")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	for line := range strings.Lines(string(text)) {
		f.Add(line)
	}
	f.Add("10.0.0.0/9:deny\n2001:db8::/32:allow,A=\"x\"\n::1:deny\njoe@::1:allow\n")
	name := f.TempDir() + "/cdb"
	f.Fuzz(func(t *testing.T, text string) {
		records, err := rules(text)
		if err != nil || strings.Contains(text, "\x00") { // a zero byte ends a setting early
			return
		}
		file := database(t, name, records)
		defer file.Close()
		seen := make(map[string]bool)
		for _, r := range records {
			if slices.Contains(indexKeys[:], r.Key) {
				continue
			}
			d := decision(r.Key, r.Value)
			again, err := rules(source(d))
			if err != nil || len(again) != 1 || again[0] != (cdb.Record{Value: r.Value}) {
				t.Errorf("record %q means %q, which compiles to %q, %v", r, source(d), again, err)
			}
			if seen[r.Key] {
				continue
			}
			seen[r.Key] = true
			if got, err := Lookup(file.Reader, Peer{IP: r.Key}); err != nil || got.Rule != r.Key || !reflect.DeepEqual(got, d) {
				t.Errorf("Lookup(%q) = %+v, %v, want %+v", r.Key, got, err, d)
			}
		}
	})
}

// source writes a decision as a rule for all addresses. A quote that no setting
// uses is found, as there are 256 to choose from.
func source(d Decision) string {
	line := ":allow"
	if d.Deny {
		line = ":deny"
	}
	for _, setting := range d.Env {
		name, value, _ := strings.Cut(setting, "=")
		quote := byte(0x21)
		for strings.IndexByte(value, quote) >= 0 || quote == '\n' {
			quote++
		}
		line += "," + name + "=" + string([]byte{quote}) + value + string([]byte{quote})
	}
	return line
}

// FuzzLookup: whatever a peer claims to be, the lookup succeeds and the rule that
// decides is one of those that the peer's own values name.
func FuzzLookup(f *testing.F) {
	file, err := cdbfile.Open(testdata + "rules.cdb")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	f.Add("127.0.0.1", "mx.example.com", "joe")
	f.Add("::1", "", "")
	f.Fuzz(func(t *testing.T, ip, host, info string) {
		d, err := Lookup(file.Reader, Peer{ip, host, info, true, true})
		if err != nil || !d.Matched { // there is a rule for everybody
			t.Fatalf("Lookup = %+v, %v", d, err)
		}
		name, isName := strings.CutPrefix(d.Rule, "=")
		switch {
		case d.Rule == info+"@"+ip, d.Rule == info+"@="+host:
		case isName && strings.HasSuffix(host, name):
		case !isName && strings.HasPrefix(ip, d.Rule):
		default:
			t.Errorf("rule %q decided about %q, %q, %q", d.Rule, ip, host, info)
		}
	})
}
