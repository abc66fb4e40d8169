//go:build linux

// Command flood does to a socket what an enemy would, until it is killed.
//
//	flood HOW SOCKET
//
// HOW is connect: as many connections as there can be; halves: beginnings of messages,
// on and on; descriptors: with descriptors beside the bytes; letters: whole messages
// that belong to nobody, as fast as they are taken, each with a wrong envelope.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	how, to := os.Args[1], &unix.SockaddrUnix{Name: os.Args[2]}
	var held []int
	for {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Connect(fd, to)
		}
		if err != nil {
			for _, fd := range held { // all, and from the beginning
				unix.Close(fd)
			}
			unix.Close(fd)
			held = held[:0]
			time.Sleep(time.Millisecond) // others on this machine want to work too
			continue
		}
		switch how {
		case "connect":
			held = append(held, fd)
			continue
		case "halves":
			unix.Write(fd, []byte("M\x00\x10\x00half a frame"))
			if held = append(held, fd); len(held) > 500 {
				unix.Close(held[0])
				held = held[1:]
			}
			continue
		case "descriptors":
			for range 10 {
				if unix.Sendmsg(fd, []byte("M\x00\x00\x01x"), unix.UnixRights(make([]int, 100)...), nil, unix.MSG_NOSIGNAL) != nil {
					break
				}
			}
		case "letters":
			unix.Write(fd, []byte("M\x00\x00\x01\nE\x00\x00\x02X\x00"))
			unix.Read(fd, make([]byte, 12))
		default:
			fmt.Fprintln(os.Stderr, "flood: what?")
			os.Exit(100)
		}
		unix.Close(fd)
	}
}
