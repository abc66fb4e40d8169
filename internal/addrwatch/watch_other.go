//go:build !linux

package addrwatch

import "errors"

func watch(changed, lost func()) error { return errors.ErrUnsupported }
