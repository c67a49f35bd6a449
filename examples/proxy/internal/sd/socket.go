package sd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// firstFile is the number of the first socket that is handed over.
const firstFile = 3

// Socket is a UDP socket or a TCP listener that was opened before the process
// began. One of Packet and Stream is set; whoever uses it closes it.
type Socket struct {
	Packet net.PacketConn
	Stream net.Listener
	Addr   netip.AddrPort // where it is bound; never IPv4-mapped
}

// Sockets returns what was handed over to the process, in the order that it was
// given. The environment is read by env, which is normally [os.Getenv]. It must be
// called once at most: the files that it reads from are closed. Anything else than
// UDP and TCP is an error; then no socket is left open.
func Sockets(env func(string) string) ([]Socket, error) {
	if env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are somebody else's
	}
	n, err := strconv.Atoi(env("LISTEN_FDS"))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("sd: LISTEN_FDS %q is no number", env("LISTEN_FDS"))
	}
	var sockets []Socket
	var errs []error
	for i := range n {
		s, err := newSocket(os.NewFile(uintptr(firstFile+i), "socket "+strconv.Itoa(i)))
		if err != nil {
			errs = append(errs, fmt.Errorf("sd: socket %d: %w", i, err))
			continue
		}
		sockets = append(sockets, s)
	}
	if len(errs) > 0 {
		for _, s := range sockets {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	return sockets, nil
}

// newSocket makes a Socket of f, which it closes.
func newSocket(f *os.File) (Socket, error) {
	defer f.Close()
	var s Socket
	var addr net.Addr
	if l, err := net.FileListener(f); err == nil {
		s.Stream, addr = l, l.Addr()
	} else if pc, err := net.FilePacketConn(f); err == nil {
		s.Packet, addr = pc, pc.LocalAddr()
	} else {
		return s, err
	}
	a, ok := addr.(interface{ AddrPort() netip.AddrPort }) // of TCP and UDP
	if !ok {
		return s, errors.Join(fmt.Errorf("%s %v is neither UDP nor TCP", addr.Network(), addr), s.Close())
	}
	s.Addr = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	return s, nil
}

// Close closes the socket.
func (s Socket) Close() error {
	if s.Stream != nil {
		return s.Stream.Close()
	}
	return s.Packet.Close()
}
