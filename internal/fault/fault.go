// Package fault makes single jobs of warm programs crash, in builds with the tag fault,
// so that a test can see what becomes of the others. In all other builds it does
// nothing.
package fault

// Word in an address, or in what is said of a caller, makes the job panic that it
// belongs to.
const Word = "panic-now"

// UID is that of a caller whose messages make qmail-queued panic.
const UID = 64099
