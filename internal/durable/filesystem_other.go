//go:build !linux

package durable

import "errors"

// fileSystem can be synced as a whole: nowhere but on Linux.
type fileSystem struct{}

func openFileSystem(string) *fileSystem { return nil }

func (*fileSystem) has([]*call) bool { return false }
func (*fileSystem) sync() error      { return errors.ErrUnsupported }
