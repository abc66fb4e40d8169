//go:build fault

package fault

import "strings"

// In panics if one of the words has Word in it.
func In(words ...string) {
	for _, w := range words {
		if strings.Contains(w, Word) {
			panic("as asked for")
		}
	}
}

// Of panics if it is that caller.
func Of(uid int) {
	if uid == UID {
		panic("as asked for")
	}
}
