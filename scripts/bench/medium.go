//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The media that queues and homes lie on.
const (
	inMemory  = "tmpfs"
	journaled = "ext4"
)

// imageSize is how large the journaled medium may become.
const imageSize = 3 << 30

// mountMedia mounts both below work. The image is a file of this host's disk behind a
// loop device that bypasses the page cache, so that a sync of the file system inside
// is one of the disk.
func mountMedia(work string) error {
	for _, name := range []string{inMemory, journaled} {
		if err := os.MkdirAll(filepath.Join(work, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("bench", filepath.Join(work, inMemory), "tmpfs", 0, "mode=755,nr_inodes=0"); err != nil {
		return err
	}
	image := filepath.Join(work, "image")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(imageSize), f.Close()); err != nil {
		return err
	}
	if _, err := run("mkfs.ext4", "-q", "-F", image); err != nil {
		return err
	}
	device, err := run("losetup", "--direct-io=on", "--find", "--show", image)
	if err != nil {
		return fmt.Errorf("a loop device with direct I/O: %w", err)
	}
	device = strings.TrimSpace(device)
	err = unix.Mount(device, filepath.Join(work, journaled), "ext4", 0, "")
	_, detached := run("losetup", "-d", device) // it goes when it is unmounted, with this namespace
	return errors.Join(err, detached, os.Remove(image))
}
