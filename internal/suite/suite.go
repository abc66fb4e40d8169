// Package suite tests the programs together: built by the Makefile, installed by
// scripts/install into a home of the test's own, run under their own users where
// the tests run as root, and as one ordinary user where they do not, with Debian's
// programs at the other ends.
//
// The tests share one home, since its path is linked in, and lay it out anew each
// time. They do not run in parallel, and a lock keeps two runs apart.
package suite
