package transport

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// flowsOf is a handler that tells the flows of messages.
type flowsOf struct {
	nobody
	flows chan Flow
}

func (h flowsOf) Message(f Flow, _ *sipmsg.Message) { h.flows <- f }

// R53: connections have the limit on unacknowledged data and keepalives, those
// that were dialed, and those accepted by a listener of whomever.
func TestSocket_Options(t *testing.T) {
	accepted := make(chan Flow)
	server, err := New(Config{Handler: flowsOf{flows: accepted}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Config{Handler: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(t.Context(), "tcp", netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	var foreign net.ListenConfig
	foreign.SetMultipathTCP(false)
	l, err := foreign.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.ServeStream("tcp", l); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { server.Run(ctx) })
	wg.Go(func() { client.Run(ctx) })
	for _, to := range server.Addrs("tcp") {
		dialed, err := client.Dial("tcp", netip.AddrPort{}, to)
		if err != nil {
			t.Fatal(err)
		}
		dialed.Send([]byte("OPTIONS sip:a SIP/2.0\r\nv: SIP/2.0/TCP a\r\nf: <sip:a>\r\nt: <sip:a>\r\ni: a\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n"))
		for _, f := range []Flow{<-accepted, dialed} {
			idle := time.Duration(option(t, f, unix.TCP_KEEPIDLE)) * time.Second
			unacked := time.Duration(option(t, f, unix.TCP_USER_TIMEOUT)) * time.Millisecond
			if idle != keepAlive.Idle || unacked != userTimeout {
				t.Errorf("%v: keepalive after %v, unacknowledged for %v", f, idle, unacked)
			}
		}
	}
}

// option returns a TCP option of a connection.
func option(t *testing.T, f Flow, name int) (value int) {
	t.Helper()
	s := f.end.(*stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := s.conn.(syscall.Conn).SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}
