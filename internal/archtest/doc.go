// Package archtest holds the rules of the source tree as tests: who may import
// whom, what runs with privilege, what must be documented and where, and that the
// tables in README, control and scripts say what the code does. It has no code of
// its own and nothing imports it.
//
// A failing rule says what is wrong and why the rule is there. Where a rule has
// exceptions they are in a table with a reason each; a reason is what a reviewer
// has to be convinced of, so a new row is a review of its own.
//
// After a change that adds packages to a privileged program on purpose:
//
//	go test ./internal/archtest -update
//
// rewrites testdata/deps; the diff of that directory is then the security review,
// since the init functions of every package listed there run with the privilege.
package archtest
