package transport

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linger is how long a reader waits in the kernel for the next datagram before
// it lets go of its P, and how close the last two must have been for it to
// wait at all.
const linger = 5 * time.Millisecond

// lingerSocket is a UDP socket that is read past Go's scheduler and network
// poller while datagrams keep coming.
//
// To park a goroutine, to have the poller find that its socket can be read, and
// to wake it costs several times what receiving a datagram costs, and a proxy
// under load does it for nearly every one: measured with an echo of 2,000
// datagrams a second, 33 µs of CPU against 11. So while datagrams are less than
// 5 ms apart, the reader waits for the next one in a system call that the
// runtime is not told of: as far as that knows, the goroutine is running.
//
// The others pay with one P, so there must be one left (see newSeats). A
// garbage collection that wants to stop the world interrupts the wait with a
// signal, as it would a loop. After 5 ms without a datagram the reader waits in
// an ordinary system call, so an idle proxy is idle. The socket is not in the
// poller, which would wake a thread for each datagram all the same.
type lingerSocket struct {
	local net.Addr
	seats *atomic.Int32 // Ps that readers may still occupy

	mu      sync.RWMutex // guards fd and wake against their end
	fd      int
	wake    int // an eventfd that ends the ordinary wait
	closed  bool
	stopped atomic.Bool // reading is over

	// Of the one goroutine that reads.
	last time.Time // when the last datagram came
	warm bool      // the last two were close together
	from unix.RawSockaddrInet6
}

// newSeats returns how many readers may linger: one P is for everybody else.
func newSeats() *atomic.Int32 {
	seats := new(atomic.Int32)
	seats.Store(int32(runtime.GOMAXPROCS(0) - 1))
	return seats
}

// lingering takes the socket of c over, which is closed. If that cannot be
// done, c itself is returned.
func lingering(c *net.UDPConn, seats *atomic.Int32) packetConn {
	raw, err := c.SyscallConn()
	if err != nil {
		return c
	}
	s := &lingerSocket{local: c.LocalAddr(), seats: seats, fd: -1, wake: -1}
	if e := raw.Control(func(fd uintptr) { err = s.take(int(fd)) }); e != nil || err != nil {
		s.free()
		return c
	}
	c.Close() // takes it out of the poller; the socket lives on in the copy
	return s
}

// take prepares s on a copy of fd.
func (s *lingerSocket) take(fd int) (err error) {
	if s.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	timeout := unix.NsecToTimeval(int64(linger))
	if err = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	return unix.SetNonblock(s.fd, false)
}

func (s *lingerSocket) free() {
	for _, fd := range [...]int{s.fd, s.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// ReadFromUDPAddrPort is that of [net.UDPConn]. Only one goroutine may read.
func (s *lingerSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for {
		switch {
		case s.closed:
			return 0, netip.AddrPort{}, net.ErrClosed
		case s.stopped.Load():
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		}
		n, errno := s.receive(b)
		switch errno {
		case 0:
			now := time.Now()
			s.warm, s.last = now.Sub(s.last) < linger, now
			return n, s.sender(), nil
		case unix.EINTR: // a signal, mostly of the scheduler, which wants to have its turn
			runtime.Gosched()
		case unix.EAGAIN:
			s.warm = false
		default:
			return 0, netip.AddrPort{}, os.NewSyscallError("recvfrom", errno)
		}
	}
}

// receive waits for a datagram: lingering, if the reader is warm and there is
// a seat, else in a system call that the runtime knows of.
func (s *lingerSocket) receive(b []byte) (int, unix.Errno) {
	if s.warm {
		defer s.seats.Add(1)
		if s.seats.Add(-1) >= 0 {
			return s.recvfrom(b, 0)
		}
	}
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.wake), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		return 0, err.(unix.Errno)
	}
	return s.recvfrom(b, unix.MSG_DONTWAIT)
}

func (s *lingerSocket) recvfrom(b []byte, flags uintptr) (int, unix.Errno) {
	size := uint32(unsafe.Sizeof(s.from))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		flags, uintptr(unsafe.Pointer(&s.from)), uintptr(unsafe.Pointer(&size)))
	return int(n), errno
}

// sender returns who sent the last datagram.
func (s *lingerSocket) sender() netip.AddrPort {
	if s.from.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.from))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), swap(v4.Port))
	}
	addr := netip.AddrFrom16(s.from.Addr).Unmap()
	if s.from.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(strconv.FormatUint(uint64(s.from.Scope_id), 10))
	}
	return netip.AddrPortFrom(addr, swap(s.from.Port))
}

// swap turns a port between our order and the network's.
func swap(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// WriteToUDPAddrPort is that of [net.UDPConn], but does not wait for room.
func (s *lingerSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	var sa unix.RawSockaddrInet6
	size := s.sockaddr(&sa, to)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), size)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("sendto", errno)
		}
	}
}

// sockaddr fills sa in, in the family of the socket, and returns its size.
func (s *lingerSocket) sockaddr(sa *unix.RawSockaddrInet6, to netip.AddrPort) uintptr {
	if s.local.(*net.UDPAddr).IP.To4() != nil {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		v4.Family, v4.Port = unix.AF_INET, swap(to.Port())
		v4.Addr = to.Addr().Unmap().As4()
		return unsafe.Sizeof(*v4)
	}
	sa.Family, sa.Port, sa.Addr = unix.AF_INET6, swap(to.Port()), to.Addr().As16()
	if zone := to.Addr().Zone(); zone != "" {
		sa.Scope_id = scope(zone)
	}
	return unsafe.Sizeof(*sa)
}

// scope returns the number of an IPv6 zone, which may be a name.
func scope(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// SetReadBuffer is that of [net.UDPConn].
func (s *lingerSocket) SetReadBuffer(bytes int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return net.ErrClosed
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes))
}

// SetReadDeadline ends reading, for good, if t is over.
func (s *lingerSocket) SetReadDeadline(t time.Time) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return net.ErrClosed
	}
	if !t.IsZero() && !t.After(time.Now()) {
		s.stopped.Store(true)
		unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return nil
}

// Close ends reading and writing. It waits for a read that has begun.
func (s *lingerSocket) Close() error {
	s.SetReadDeadline(past) // so that the reader lets go
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.free()
	}
	return nil
}

// The rest of [net.PacketConn].

func (s *lingerSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.ReadFromUDPAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

func (s *lingerSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, err := addrPort(to)
	if err != nil {
		return 0, err
	}
	return s.WriteToUDPAddrPort(b, addr)
}

func (s *lingerSocket) LocalAddr() net.Addr              { return s.local }
func (s *lingerSocket) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (s *lingerSocket) SetWriteDeadline(time.Time) error { return nil }
