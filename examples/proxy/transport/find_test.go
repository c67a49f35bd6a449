package transport_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

var none netip.AddrPort

// R42: a phone is reached over its own connection. Neither the last accepted
// one nor a listener's address stands in for it, and nothing is dialed.
func TestFind_NeverAnotherClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		phone := lab.newHost("198.51.100.7")
		first, last := lab.dial(phone, 40001), lab.dial(lab.newHost("198.51.100.8"), 40001)
		for _, local := range []netip.AddrPort{tcp, none} {
			f, ok := lab.layer.Find("tcp", local, first.addr())
			if !ok || f.Remote() != first.addr() {
				t.Fatalf("found %v, %v", f, ok)
			}
			f.Send([]byte("for the first"))
		}
		if got, _ := first.received(); got != "for the firstfor the first" {
			t.Errorf("first client received %q", got)
		}
		if got, _ := last.received(); got != "" {
			t.Errorf("last client received %q", got)
		}

		first.Close()
		synctest.Wait()
		wire := lab.net.Record(nil)
		for _, remote := range []netip.AddrPort{first.addr(), address("198.51.100.7:40002"), tcp, none} {
			for _, local := range []netip.AddrPort{tcp, none} {
				if f, ok := lab.layer.Find("tcp", local, remote); ok {
					t.Errorf("Find(%v, %v) = %v after the connection ended", local, remote, f)
				}
			}
		}
		if f, ok := lab.layer.Find("tcp", tcp6, last.addr()); ok {
			t.Errorf("found %v from another listener", f)
		}
		synctest.Wait()
		if p := wire.Packets(); len(p) > 0 {
			t.Errorf("Find sent %v", p)
		}
	})
}

// R40: over UDP any remote is found, from the listener that is named, or from
// the first of the family.
func TestFind_UDP(t *testing.T) {
	layer := newLayer(t, transport.Config{})
	var addrs []netip.AddrPort
	for _, a := range []string{"127.0.0.1:0", "127.0.0.2:0", "[::1]:0"} {
		addrs = append(addrs, listen(t, layer, "udp", a))
	}
	run(t, layer)
	phone, phone6 := address("198.51.100.7:5060"), address("[2001:db8::7]:5060")
	tests := []struct {
		local, remote netip.AddrPort
		want          netip.AddrPort // none: not found
	}{
		{addrs[0], phone, addrs[0]},
		{addrs[1], phone, addrs[1]},
		{none, phone, addrs[0]},
		{none, phone6, addrs[2]},
		{none, address("[::ffff:198.51.100.7]:5060"), addrs[0]},
		{addrs[2], phone, none},
		{address("127.0.0.3:5060"), phone, none},
		{addrs[0], none, none},
	}
	for _, tt := range tests {
		f, ok := layer.Find("udp", tt.local, tt.remote)
		if ok != tt.want.IsValid() || f.Local() != tt.want || ok && f.Remote().Addr().Is4In6() {
			t.Errorf("Find(%v, %v) = %v, %v; want from %v", tt.local, tt.remote, f, ok, tt.want)
		}
		d, err := layer.Dial("udp", tt.local, tt.remote)
		if d != f || (err == nil) != ok {
			t.Errorf("Dial(%v, %v) = %v, %v; want as Find", tt.local, tt.remote, d, err)
		}
	}
	if _, err := layer.Dial("udp", address("127.0.0.3:5060"), phone); !errors.Is(err, transport.ErrNoListener) {
		t.Errorf("Dial from nowhere: %v", err)
	}
}

// pbx accepts connections on a host and keeps them.
type pbx struct {
	addr  netip.AddrPort
	mu    sync.Mutex
	conns []net.Conn
}

func newPBX(lab *lab, addr string) (*pbx, *simnet.Host) {
	p := &pbx{addr: address(addr)}
	host := lab.net.NewHost(p.addr.Addr())
	l, err := host.Listen(p.addr)
	if err != nil {
		lab.t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
		}
	}()
	return p, host
}

// only returns the one connection that was accepted.
func (p *pbx) only(t *testing.T) *client {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) != 1 {
		t.Fatalf("%d connections, want 1", len(p.conns))
	}
	return &client{t, p.conns[0].(*simnet.Conn)}
}

// R53: calls for one target share one connection, and what is sent before it
// is open waits for it in order.
func TestDial_SharesOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		lab.net.AddRule(simnet.Rule{Link: simnet.Link{Delay: 100 * time.Millisecond}})
		pbx, _ := newPBX(lab, "10.0.1.10:5060")
		flows := make([]transport.Flow, 20)
		var group sync.WaitGroup
		for i := range flows {
			group.Go(func() {
				f, err := lab.layer.Dial("tcp", tcp, pbx.addr)
				if err != nil {
					t.Error(err)
				}
				flows[i] = f
				f.Send([]byte("x"))
			})
		}
		group.Wait()
		for _, f := range flows {
			if f != flows[0] {
				t.Errorf("flows %v and %v", f, flows[0])
			}
		}
		if f := flows[0]; f.Local() != tcp || f.Remote() != pbx.addr || f.Network() != "tcp" {
			t.Errorf("flow %v while it is dialed", f)
		}
		time.Sleep(time.Second)
		c := pbx.only(t)
		if got, _ := c.received(); got != strings.Repeat("x", 20) {
			t.Errorf("server received %q", got)
		}
		f, ok := lab.layer.Find("tcp", none, pbx.addr)
		if !ok || f != flows[0] {
			t.Errorf("found %v, %v", f, ok)
		}
		local := c.RemoteAddr().(*net.TCPAddr).AddrPort()
		if f.Local() != local || local.Addr() != tcp.Addr() || local.Port() == tcp.Port() {
			t.Errorf("local %v, the server sees %v", f.Local(), local)
		}
		c.send(request("OPTIONS", "a")) // the server may use it as well
		time.Sleep(time.Second)
		lab.expect("message a")
		if s := lab.layer.Stats(); s.Dialed != 1 || s.Connections != 1 || s.Sent != 20 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A listener on all addresses sends from any of them: its connections are found
// again.
func TestDial_FromAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		pbx, _ := newPBX(lab, "10.0.1.10:5060")
		anywhere := netip.MustParseAddrPort("0.0.0.0:5060")
		var flows [2]transport.Flow
		for i := range flows {
			flows[i], _ = lab.layer.Dial("tcp", anywhere, pbx.addr)
			flows[i].Send([]byte("x"))
			time.Sleep(time.Second)
		}
		if found, ok := lab.layer.Find("tcp", anywhere, pbx.addr); !ok || flows[0] != flows[1] || found != flows[0] {
			t.Errorf("flows %v and %v, found %v, %t", flows[0], flows[1], found, ok)
		}
	})
}

// A connection that the peer opened from the very target is used.
func TestDial_TakesAcceptedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		c := lab.dial(lab.newHost("10.0.1.10"), 5060)
		f, err := lab.layer.Dial("tcp", tcp, c.addr())
		if err != nil || f != lab.flow(c) {
			t.Errorf("dialed %v, %v; want %v", f, err, lab.flow(c))
		}
		if s := lab.layer.Stats(); s.Dialed != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R53: who cannot be reached is known as unreachable in 3 s.
func TestDial_Failures(t *testing.T) {
	tests := []struct {
		name  string
		host  func(*simnet.Host)
		after time.Duration
		want  string
	}{
		{"refused", func(*simnet.Host) {}, 0, "connection refused"},
		{"no answer", func(h *simnet.Host) { h.BlackHole(true) }, 3 * time.Second, "deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(t, transport.Config{})
				tt.host(lab.newHost("10.0.1.10"))
				f, err := lab.layer.Dial("tcp", none, address("10.0.1.10:5060"))
				if err != nil {
					t.Fatal(err)
				}
				if err := f.Send([]byte("x")); err != nil && tt.after > 0 { // it may be refused by now
					t.Error(err)
				}
				if tt.after > 0 {
					time.Sleep(tt.after - time.Nanosecond)
					lab.expect()
					time.Sleep(time.Nanosecond)
				}
				synctest.Wait()
				calls := lab.log.all()
				if len(calls) != 1 || calls[0].Flow != f || calls[0].What != "closed" || !errors.Is(calls[0].Err, transport.ErrDial) || !strings.Contains(calls[0].Err.Error(), tt.want) {
					t.Errorf("calls %v", calls)
				}
				if s := lab.layer.Stats(); s.DialErrors != 1 || s.SendErrors != 1 || s.Connections != 0 {
					t.Errorf("stats %+v", s)
				}
				if err := f.Send([]byte("x")); err != transport.ErrClosed {
					t.Errorf("Send: %v", err)
				}
				again, err := lab.layer.Dial("tcp", none, address("10.0.1.10:5060"))
				if err != nil || again == f {
					t.Errorf("dialing again: %v, %v", again, err)
				}
			})
		})
	}
}

// A flow can be closed while it is dialed, and the layer can be stopped.
func TestDial_Interrupted(t *testing.T) {
	for _, name := range []string{"Close", "Run ends"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(t, transport.Config{})
				lab.newHost("10.0.1.10").BlackHole(true)
				f, err := lab.layer.Dial("tcp", none, address("10.0.1.10:5060"))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				if name == "Close" {
					f.Close()
				} else {
					lab.stop()
				}
				lab.expect("closed: transport: closed")
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// R53: a server whose power failed is noticed when it is sent to.
func TestDial_DeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		pbx, host := newPBX(lab, "10.0.1.10:5060")
		f, err := lab.layer.Dial("tcp", none, pbx.addr)
		if err != nil {
			t.Fatal(err)
		}
		pbx.only(t)
		host.Down()
		host.Up() // and forgot the connection
		f.Send([]byte("x"))
		lab.expect("closed: transport: read tcp " + f.Local().String() + "->10.0.1.10:5060: connection reset by peer")
	})
}

// P-28: the proxy never connects to itself.
func TestDial_Self(t *testing.T) {
	layer := newLayer(t, transport.Config{
		DialContext: func(context.Context, string, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
			return nil, errors.New("not in this test")
		},
	})
	all := listen(t, layer, "tcp", "0.0.0.0:0")
	one := listen(t, layer, "udp", "127.0.0.2:0")
	run(t, layer)
	tests := []struct {
		network, remote string
		port            uint16
		self            bool
	}{
		{"tcp", "127.0.0.1", all.Port(), true},
		{"tcp", "127.0.0.9", all.Port(), true},
		{"tcp", "0.0.0.0", all.Port(), true},
		{"tcp", "::ffff:127.0.0.1", all.Port(), true},
		{"tcp", "127.0.0.1", all.Port() ^ 1, false},
		{"tcp", "198.51.100.7", all.Port(), false},
		{"udp", "127.0.0.2", one.Port(), true},
		{"udp", "127.0.0.3", one.Port(), false},
		{"udp", "127.0.0.2", one.Port() ^ 1, false},
	}
	for _, tt := range tests {
		remote := netip.AddrPortFrom(netip.MustParseAddr(tt.remote), tt.port)
		f, err := layer.Dial(tt.network, none, remote)
		if errors.Is(err, transport.ErrSelf) != tt.self || !tt.self && err != nil {
			t.Errorf("Dial %s %v: %v", tt.network, remote, err)
		}
		if own := layer.Own(tt.network, remote); own != tt.self {
			t.Errorf("Own(%s, %v) = %t", tt.network, remote, own)
		}
		f.Close()
	}
	if layer.Own("tcp", none) || layer.Own("udp", none) || layer.Own("sctp", all) {
		t.Error("an address is ours that is none")
	}
}

func TestDial_BadArguments(t *testing.T) {
	layer := newLayer(t, transport.Config{})
	if _, err := layer.Dial("ws", none, tcp); !errors.Is(err, transport.ErrNetwork) {
		t.Errorf("unknown network: %v", err)
	}
	for _, remote := range []netip.AddrPort{none, address("192.0.2.1:0")} {
		if _, err := layer.Dial("tcp", none, remote); err == nil {
			t.Errorf("dialed %v", remote)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := layer.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := layer.Dial("tcp", none, tcp); err != transport.ErrClosed {
		t.Errorf("after Run: %v", err)
	}
}
