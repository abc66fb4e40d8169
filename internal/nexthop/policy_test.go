package nexthop

import (
	"strings"
	"testing"
)

func TestPolicies(t *testing.T) {
	all, err := ParsePolicies([]string{"A.test:verify", ".test:None", "b.a.test: \tREQUIRE", ".example.net:implicit", "twice:may", "twice:verify",
		" blank.test :verify", "dot.test.:require", "[2001:DB8::1]:verify", "[192.0.2.1]: none"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, user string
		want       Policy
		key        string
		found      bool
	}{
		{"a.test", "", Verify, "a.test", true},
		{"A.TEST", "joe", Verify, "A.TEST", true},
		{"x.test", "", None, ".test", true},
		{"b.a.test", "", Require, "b.a.test", true},
		{"c.a.test", "joe", None, ".test", true}, // said in so many words
		{"example.net", "", May, "", false},
		{"mx.example.net", "", Implicit, ".example.net", true},
		{"twice", "", Verify, "twice", true},
		{"test", "", May, "", false},
		{"test", "joe", Verify, "", false}, // a password is for nobody without a name
		{"", "", May, "", false},
		// Mail to these once went without what their line wants.
		{"a.test.", "", Verify, "a.test", true},
		{"x.test.", "", None, ".test", true},
		{"blank.test", "", Verify, "blank.test", true},
		{"dot.test", "", Require, "dot.test", true},
		{"[2001:db8::1]", "", Verify, "[2001:db8::1]", true},
		{"[192.0.2.1]", "", None, "[192.0.2.1]", true},
	} {
		if p, key, found := all.Of(c.host, c.user); p != c.want || key != c.key || found != c.found {
			t.Errorf("Of(%q, %q) = %v, %q, %v, want %v, %q, %v", c.host, c.user, p, key, found, c.want, c.key, c.found)
		}
	}
	all[""] = Require
	if p, _, _ := all.Of("anybody", "joe"); p != Require {
		t.Errorf("with a line for all others: %v", p)
	}
	for _, line := range []string{"example.net", "example.net require", "example.net:", "example.net:required", "::verify", "a:verify # b", "*:verify", "*.example.net:verify", "a b:verify", "a.test:b.test:verify", "a:verify\r"} {
		if p, err := ParsePolicies([]string{line}); err == nil || !strings.Contains(err.Error(), "control/tlsroutes") {
			t.Errorf("ParsePolicies(%q) = %v, %v", line, p, err)
		}
	}
	for word, p := range policies {
		if p.String() != word || p.Insists() != (p != May && p != None) || p.Checks() && !p.Insists() {
			t.Errorf("%s is %v, insists %v, checks %v", word, p, p.Insists(), p.Checks())
		}
	}
}

func TestFindSecret(t *testing.T) {
	lines := []string{"Relay.test:joe:old", "relay.test:joe:se:c ret#", "relay.test:Joe:other", "[::1]:joe:six", "nothing", "relay.test:sue", ":x:y", "relay.test::z", "relay.test:empty:"}
	for _, c := range []struct {
		host, user, want string
		ok               bool
	}{
		{"relay.test", "joe", "se:c ret#", true},
		{"RELAY.test", "Joe", "other", true},
		{"relay.test", "JOE", "", false},
		{"relay.test", "sue", "", false},
		{"relay.test", "empty", "", true},
		{"[::1]", "joe", "six", true},
		{"other.test", "joe", "", false},
	} {
		if got, ok := FindSecret(lines, Target{Host: c.host, User: c.user}); got != c.want || ok != c.ok {
			t.Errorf("%s at %s: %q, %v, want %q, %v", c.user, c.host, got, ok, c.want, c.ok)
		}
	}
}

// A line that can be read is made of what was read.
func FuzzSecret(f *testing.F) {
	f.Add("relay:user:secret")
	f.Add("[::1]:user:a:b")
	f.Add("]::")
	f.Fuzz(func(t *testing.T, line string) {
		s, ok := ParseSecret(line)
		if ok && s.Relay+":"+s.User+":"+s.Secret != line {
			t.Errorf("ParseSecret(%q) = %q", line, s)
		}
		if ok && (s.Relay == "" || s.User == "") {
			t.Errorf("ParseSecret(%q) = %q", line, s)
		}
	})
}
