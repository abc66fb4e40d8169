//go:build !linux

package limits

// Punctual does nothing here.
func Punctual() (over func()) { return func() {} }

func punctual() (over func()) { return func() {} }
