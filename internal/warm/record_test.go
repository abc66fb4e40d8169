package warm

import (
	"reflect"
	"strings"
	"testing"
)

var records = []struct {
	name string
	m    message
	want string
}{
	{"greeting", message{kind: typeGreeting, number: 20}, "G1\x0020\x00"},
	{"done", message{kind: typeDone, number: 4194309, status: 111 << 8}, "D4194309\x0028416\x00"},
	{"declined", message{kind: typeDeclined, number: 7}, "N7\x00"},
	{"retire", message{kind: typeRetire}, "R\x00"},
	{"become", message{kind: typeBecome, number: 9, dir: "/", args: []string{"a", ""}, env: []string{"X=1"}},
		"B9\x00/\x002\x00a\x00\x00X=1\x00"},
}

func TestMessages(t *testing.T) {
	for _, c := range records {
		got := string(c.m.record())
		if got != c.want {
			t.Errorf("%s is %q, want %q", c.name, got, c.want)
		}
		back, err := parseMessage(got)
		if err != nil || back.kind != c.m.kind || back.number != c.m.number || back.status != c.m.status {
			t.Errorf("%s reads back as %+v, %v", c.name, back, err)
		}
	}
}

func TestBadMessages(t *testing.T) {
	for _, s := range []string{
		"", "\x00", "D\x00", "D1\x00", "D1\x0065536\x00", "D1\x00-1\x00", "D0\x000\x00", "D1\x000", "D1\x000\x00\x00",
		"G2\x001\x00", "G1\x000\x00", "G1\x00", "N\x00", "N1\x001\x00", "R1\x00", "R\x00\x00", "X1\x00",
		"B1\x00/\x000\x00", "B1\x00/\x002\x00a\x00", "B1\x00/\x00", "D99999999999999999999\x000\x00",
	} {
		if m, err := parseMessage(s); err == nil {
			t.Errorf("%q is taken for %+v", s, m)
		}
	}
}

func TestJob(t *testing.T) {
	j := job{number: 4194309, dir: "/", args: []string{"p", "-x"}, env: []string{"A=b", ""}, descriptors: []int{0, 0, shared, closed, 1}}
	const want = "J4194309\x000 0 = - 1\x00/\x002\x00p\x00-x\x00A=b\x00\x00"
	if got := string(j.record()); got != want {
		t.Errorf("job is %q, want %q", got, want)
	}
	back, err := parseJob(want, 2)
	if err != nil || !reflect.DeepEqual(back, j) {
		t.Errorf("job reads back as %+v, %v", back, err)
	}
	for _, c := range []struct {
		record   string
		attached int
	}{
		{want, 1}, // names a descriptor that did not come
		{"J1\x000 0\x00/\x001\x00p\x00", 1},
		{"J1\x000 0 0 " + strings.Repeat("0 ", 20) + "0\x00/\x001\x00p\x00", 1},
		{"J1\x00- - -\x00/\x000\x00", 0},
		{"J0\x00- - -\x00/\x001\x00p\x00", 0},
		{"J1\x00- - -\x00/\x001\x00p", 0},
		{"K1\x00- - -\x00/\x001\x00p\x00", 0},
		{"", 0}, {"\x00", 0},
	} {
		if j, err := parseJob(c.record, c.attached); err == nil {
			t.Errorf("%q is taken for %+v", c.record, j)
		}
	}
}

// What is read from any bytes is written as the same bytes, numbers aside, and names
// no descriptor that is not there.
func FuzzJob(f *testing.F) {
	f.Add("J4194309\x000 0 = - 1\x00/\x002\x00p\x00-x\x00A=b\x00\x00", 2)
	f.Fuzz(func(t *testing.T, s string, attached int) {
		j, err := parseJob(s, attached)
		if err != nil {
			return
		}
		for _, d := range j.descriptors {
			if d >= attached {
				t.Fatalf("%q names descriptor %d of %d", s, d, attached)
			}
		}
		again, err := parseJob(string(j.record()), attached)
		if err != nil || !reflect.DeepEqual(again, j) {
			t.Fatalf("%q: %+v reads back as %+v, %v", s, j, again, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, c := range records {
		f.Add(c.want)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseMessage(s)
		if err != nil {
			return
		}
		again, err := parseMessage(string(m.record()))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: %+v reads back as %+v, %v", s, m, again, err)
		}
		if m.status < 0 || m.status > 0xffff || m.kind != typeRetire && m.number < 1 {
			t.Fatalf("%q: %+v", s, m)
		}
	})
}
