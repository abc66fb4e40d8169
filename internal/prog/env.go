package prog

import "strings"

// Env is an environment: NAME=VALUE strings in the order exec passes them. Its
// methods never change the value they are called on.
type Env []string

// Lookup returns the value of name and whether it is set at all; the first of
// several settings counts.
func (e Env) Lookup(name string) (string, bool) {
	for _, s := range e {
		if v, ok := strings.CutPrefix(s, name); ok && len(v) > 0 && v[0] == '=' {
			return v[1:], true
		}
	}
	return "", false
}

// Get returns the value of name, or "" if it is not set.
func (e Env) Get(name string) string {
	v, _ := e.Lookup(name)
	return v
}

// With returns the environment with name set to value and nothing else changed.
// A value ends at its first NUL, as it would for exec.
func (e Env) With(name, value string) Env {
	value, _, _ = strings.Cut(value, "\x00")
	return append(e.Without(name), name+"="+value)
}

// Without returns the environment with none of names set.
func (e Env) Without(names ...string) Env {
	out := make(Env, 0, len(e)+1)
next:
	for _, s := range e {
		for _, name := range names {
			if strings.HasPrefix(s, name) && len(s) > len(name) && s[len(name)] == '=' {
				continue next
			}
		}
		out = append(out, s)
	}
	return out
}

// runtimeNames steer the Go runtime. A value meant for one of our programs must
// not reach a user's program that happens to be written in Go.
var runtimeNames = []string{"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"}

// ForUsers returns the environment that a user's program may see.
func (e Env) ForUsers() Env { return e.Without(runtimeNames...) }
