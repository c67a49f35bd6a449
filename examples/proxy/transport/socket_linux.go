package transport

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// share lets further sockets be bound to the address of pc, which is bound
// already.
func share(pc net.PacketConn) error {
	c, err := pc.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return controlShare("", "", c)
}

// controlShare is the [net.ListenConfig] Control for those further sockets.
func controlShare(_, _ string, c syscall.RawConn) error {
	return setsockopt(c, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// controlTCP bounds how long the kernel repeats unacknowledged data before it
// gives up a connection. Its own default, some 15 minutes, would keep a dead
// peer looking alive while calls are sent to it (R53).
func controlTCP(_, _ string, c syscall.RawConn) error {
	return setsockopt(c, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
}

// limitUnacked does the same for the connections of a listener: they inherit it.
func limitUnacked(listener net.Listener) error {
	socket, ok := listener.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	return controlTCP("", "", raw)
}

// userTimeout is the life of a SIP transaction, 64*T1.
const userTimeout = 32 * time.Second

func setsockopt(c syscall.RawConn, level, option, value int) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return err
}
