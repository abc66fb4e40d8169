//go:build !linux

package proc

func slackened(_ bool, start func() error) error { return start() }

// Settle does nothing here.
func Settle() {}
