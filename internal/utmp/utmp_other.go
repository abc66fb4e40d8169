//go:build !linux

package utmp

// No file is known: List has nobody.
const path = ""

func parse([]byte) []Entry { return nil }
