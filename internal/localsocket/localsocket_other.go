//go:build !linux

package localsocket

import (
	"errors"
	"os"
)

func listen(string, os.FileMode) (*os.File, error)  { return nil, errors.ErrUnsupported }
func inherited(*os.File) (*os.File, error)          { return nil, errors.ErrUnsupported }
func accept(*os.File, bool) (c Caller, err error)   { return c, errors.ErrUnsupported }
func await(*os.File, bool) bool                     { return false }
func quiet(*os.File) bool                           { return false }
func dial(path string, many bool) (*os.File, error) { return nil, errors.ErrUnsupported }
