//go:build !linux

package transport

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// newSeats is of use on Linux only, as is lingering.
func newSeats() *atomic.Int32 { return nil }

func lingering(c *net.UDPConn, _ *atomic.Int32) packetConn { return c }

// share cannot spread senders over sockets without Linux.
func share(net.PacketConn) error {
	return errors.New("more than one reader needs Linux")
}

func limitUnacked(net.Listener) error { return nil }

var (
	controlShare func(network, address string, c syscall.RawConn) error
	controlTCP   func(network, address string, c syscall.RawConn) error
)
