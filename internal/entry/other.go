//go:build !linux

package entry

// Batch does nothing here.
func Batch() {}

// Punctual does nothing here.
func Punctual() (over func()) { return func() {} }

// Becoming does nothing here.
func Becoming() (over func()) { return func() {} }
