package dotqmail

import (
	"iter"
	"strings"
)

// Name is a file that may hold the instructions for an address.
type Name struct {
	File string // relative to the home directory
	// Default is the value of the variable DEFAULT if this file is used, and Sets
	// whether the variable is touched at all.
	Default string
	Sets    bool
}

// fileExt returns the extension as it stands in file names: capitals lowered, and
// colons for dots. Without dots there is no "..", so an extension with slashes can
// lead down into subdirectories but never up.
func fileExt(ext string) string {
	b := []byte(ext)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c == '.':
			b[i] = ':'
		}
	}
	return string(b)
}

// Names yields the files that may answer for an address, best first: the one with
// its own name, then those that end in "default" where the extension is cut after
// a hyphen, longest first. The cut is made at hyphens only, whatever separates
// user names from extensions on this host.
//
// They are made one by one: an extension of nothing but hyphens has as many names
// as bytes, and the first ones that exist end the search.
func Names(dash, ext string) iter.Seq[Name] {
	return func(yield func(Name) bool) {
		safe := fileExt(ext)
		own := Name{File: ".qmail" + dash + safe}
		if strings.HasSuffix(safe, "default") {
			own.Default, own.Sets = ext[len(ext)-len("default"):], true
		}
		if !yield(own) {
			return
		}
		for i := len(safe); i >= 0; i-- {
			if i > 0 && safe[i-1] != '-' {
				continue
			}
			if !yield(Name{".qmail" + dash + safe[:i] + "default", ext[i:], true}) {
				return
			}
		}
	}
}

// Owner returns the file whose existence makes forwarded mail go out under the
// address of the list's owner.
func Owner(dash, ext string) string { return ".qmail" + dash + fileExt(ext) + "-owner" }

// OwnerDefault returns the file whose existence, beside Owner's, gives each
// recipient of forwarded mail an owner address of its own.
func OwnerDefault(dash, ext string) string { return Owner(dash, ext) + "-default" }
