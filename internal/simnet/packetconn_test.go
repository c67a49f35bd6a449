package simnet_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
)

// udpConn is what a transport may ask of a socket: *net.UDPConn has it too.
type udpConn interface {
	net.PacketConn
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
}

var (
	_ udpConn = (*net.UDPConn)(nil)
	_ udpConn = (*simnet.PacketConn)(nil)
)

func TestPacketConn_CarriesDatagrams(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		a := listenPacket(t, n.NewHost(proxyAddr), sip)
		b := listenPacket(t, n.NewHost(otherAddr), sip)

		data := []byte("hello")
		if _, err := a.WriteTo(data, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		copy(data, "HELLO") // the network has its own copy

		buf := make([]byte, 100)
		got, src, err := b.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("hello", string(buf[:got])); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(a.LocalAddr(), src); diff != "" {
			t.Error(diff)
		}
		send(t, b, at(proxyAddr, sip), "")
		expect(t, a, "")
		send(t, b, at(proxyAddr, sip), "too long")
		if got, _, err := a.ReadFromUDPAddrPort(buf[:3]); got != 3 || err != nil {
			t.Errorf("short read = %d, %v, want 3, nil", got, err)
		}
	})
}

func TestPacketConn_IsAsynchronousAndOrdered(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		a := listenPacket(t, n.NewHost(proxyAddr), sip)
		b := listenPacket(t, n.NewHost(otherAddr), sip)
		for _, text := range letters(20) {
			send(t, a, at(otherAddr, sip), text)
		}
		if diff := cmp.Diff(letters(20), receiveAll(t, b)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPacketConn_DropsWhatItsBufferCannotHold(t *testing.T) {
	onNetwork(t, simnet.Config{ReceiveBuffer: 3}, func(t *testing.T, n *simnet.Network) {
		a := listenPacket(t, n.NewHost(proxyAddr), sip)
		b := listenPacket(t, n.NewHost(otherAddr), sip)
		for _, text := range letters(5) {
			send(t, a, at(otherAddr, sip), text)
		}
		synctest.Wait()
		if got := b.Dropped(); got != 2 {
			t.Errorf("Dropped() = %d, want 2", got)
		}
		if diff := cmp.Diff(letters(3), receiveAll(t, b)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPacketConn_ReadDeadline(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		c := listenPacket(t, n.NewHost(proxyAddr), sip)
		start := time.Now()
		read := func() error {
			_, _, err := c.ReadFrom(make([]byte, 10))
			return err
		}

		c.SetReadDeadline(start.Add(time.Hour))
		go func() { // moves the deadline while a read waits
			time.Sleep(time.Second)
			c.SetDeadline(start.Add(3 * time.Second))
		}()
		var netErr net.Error
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("read = %v, want a timeout", err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("read took %v, want 3s", got)
		}
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("second read = %v, want a timeout at once", err)
		}
		if _, err := c.WriteTo(nil, c.LocalAddr()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write = %v, want a timeout", err)
		}

		c.SetDeadline(time.Time{})
		send(t, c, at(proxyAddr, sip), "to self")
		if err := read(); err != nil {
			t.Errorf("read without deadline = %v", err)
		}
	})
}

func TestPacketConn_CloseUnblocksRead(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		h := n.NewHost(proxyAddr)
		c := listenPacket(t, h, sip)
		c.SetDeadline(time.Now().Add(time.Hour))
		go func() {
			time.Sleep(time.Second)
			c.Close()
		}()
		if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read = %v, want ErrClosed", err)
		}
		for name, err := range map[string]error{
			"close":    c.Close(),
			"deadline": c.SetDeadline(time.Now()),
			"write":    second(c.WriteTo(nil, c.LocalAddr())),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close = %v, want ErrClosed", name, err)
			}
		}
		listenPacket(t, h, sip) // the address is free again
	})
}

func second[T any](_ T, err error) error { return err }

func TestPacketConn_BoundToAllAddresses(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::1")
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		proxy := n.NewHost(proxyAddr, v6)
		peer := n.NewHost(otherAddr, netip.MustParseAddr("2001:db8::2"))
		all, err := proxy.ListenPacket(netip.MustParseAddrPort("[::]:5060"))
		if err != nil {
			t.Fatal(err)
		}
		v4, err := proxy.ListenPacket(netip.MustParseAddrPort("0.0.0.0:5070"))
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			socket *simnet.PacketConn
			src    netip.Addr
			port   uint16
		}{{all, v6, 5060}, {all, proxyAddr, 5060}, {v4, proxyAddr, 5070}} {
			from, err := peer.ListenPacket(at(map[bool]netip.Addr{true: otherAddr, false: netip.MustParseAddr("2001:db8::2")}[tt.src.Is4()], 0))
			if err != nil {
				t.Fatal(err)
			}
			send(t, from, at(tt.src, tt.port), "ping")
			send(t, tt.socket, expect(t, tt.socket, "ping"), "pong")
			if got, want := expect(t, from, "pong"), at(tt.src, tt.port); got != want {
				t.Errorf("answer came from %v, want %v", got, want)
			}
		}
		if _, err := v4.WriteToUDPAddrPort(nil, at(v6, 5060)); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("IPv6 from an IPv4 socket = %v, want ENETUNREACH", err)
		}
	})
}

func TestListenPacket_Errors(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		h := n.NewHost(proxyAddr)
		c := listenPacket(t, h, sip)
		tests := []struct {
			name  string
			local netip.AddrPort
			want  error
		}{
			{"in use", at(proxyAddr, sip), syscall.EADDRINUSE},
			{"IPv4-mapped, in use", at(netip.AddrFrom16(proxyAddr.As16()), sip), syscall.EADDRINUSE},
			{"of another host", at(otherAddr, sip), syscall.EADDRNOTAVAIL},
		}
		for _, tt := range tests {
			if _, err := h.ListenPacket(tt.local); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		free, err := h.ListenPacket(netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if got := free.LocalAddr().(*net.UDPAddr).Port; got < 49152 {
			t.Errorf("free port is %d, want an ephemeral one", got)
		}
		if _, err := c.WriteTo(nil, &net.TCPAddr{IP: net.IP{192, 0, 2, 1}, Port: 1}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("write to a TCP address = %v, want EINVAL", err)
		}
		if _, err := c.WriteToUDPAddrPort(nil, at(otherAddr, 0)); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("write to port 0 = %v, want EINVAL", err)
		}
		if _, err := c.WriteToUDPAddrPort(make([]byte, 65508), at(otherAddr, 1)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("write of 65508 bytes = %v, want EMSGSIZE", err)
		}
	})
}

func TestClose_EndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Link: simnet.Link{Delay: time.Hour}})
		h := n.NewHost(proxyAddr)
		packets := listenPacket(t, h, sip)
		listener, err := h.Listen(at(proxyAddr, sip))
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 3)
		go func() {
			_, _, err := packets.ReadFrom(nil)
			errs <- err
		}()
		go func() {
			_, err := listener.Accept()
			errs <- err
		}()
		go func() {
			_, err := h.Dial(t.Context(), netip.AddrPort{}, at(proxyAddr, sip))
			errs <- err
		}()
		synctest.Wait()
		n.Close()
		n.Close()
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
		if _, err := h.ListenPacket(netip.AddrPort{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ListenPacket after Close = %v, want ErrClosed", err)
		}
	})
}
