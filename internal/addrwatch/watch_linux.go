package addrwatch

import (
	"errors"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watch calls changed when an address or an interface of this host has changed, and
// lost when it cannot do so any more.
func watch(changed, lost func()) error {
	conn, err := rtnetlink.Dial(&netlink.Config{
		Groups: unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_LINK,
	})
	if err != nil {
		return err
	}
	go func() {
		defer conn.Close()
		for {
			_, _, err := conn.Receive()
			// With no room for them, news are lost, and that is news.
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				lost()
				return
			}
			changed()
		}
	}()
	return nil
}
