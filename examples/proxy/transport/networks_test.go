package transport_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// onStreams runs a test for each network with connections.
func onStreams(t *testing.T, f func(t *testing.T, network string)) {
	for network := range streams {
		t.Run(network, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, network) })
		})
	}
}

// P-37, P-38, R44: whatever network a phone registers over, IPv4 or IPv6, its
// flow says so, and an INVITE goes out on that same connection.
func TestStreams_Flow(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		for _, addr := range []string{"198.51.100.7", "2001:db8::7"} {
			lab := newFullLab(t, transport.Config{})
			phone := lab.newHost(addr)
			a := lab.connect(network, phone, 5070)
			a.send(request("REGISTER", "a"))
			lab.expect("message a")
			f := lab.log.all()[0].Flow
			local := tcp.Addr()
			if phone.Addr().Is6() {
				local = tcp6.Addr()
			}
			if f.Network() != network || f.Local() != netip.AddrPortFrom(local, streams[network]) || f.Remote() != a.addr() || !f.Stream() {
				t.Errorf("flow %v", f)
			}
			if got := f.Location(); got.Transport != network || got.Remote != a.addr() {
				t.Errorf("location %v", got)
			}
			secure := network == "tls" || network == "wss"
			if state := f.TLS(); (state != nil) != secure || secure && state.ServerName != "sip.a.example" {
				t.Errorf("TLS state %v", state)
			}
			if found, ok := lab.layer.Find(network, f.Local(), f.Remote()); !ok || found != f {
				t.Errorf("found %v, want %v", found, f)
			}
			if err := f.Send([]byte(request("INVITE", "b"))); err != nil {
				t.Error(err)
			}
			if got, closed := a.received(); got != request("INVITE", "b") || closed {
				t.Errorf("phone received %q, closed %v", got, closed)
			}
			lab.close()
		}
	})
}

// R42: of two clients behind one address, each is reached over its own
// connection. The last accepted does not stand in for the other, not even when
// that has gone, and neither does a connection of another network.
func TestStreams_NeverAnotherClient(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{})
		nat := lab.newHost("198.51.100.7")
		first := lab.connect(network, nat, 40001)
		for other := range streams {
			lab.connect(other, nat, 40002)
		}
		last := lab.connect(network, nat, 40003)
		f, ok := lab.layer.Find(network, none, first.addr())
		if !ok || f.Remote() != first.addr() || f.Network() != network {
			t.Fatalf("found %v, %v", f, ok)
		}
		f.Send([]byte("for the first"))
		if got, _ := first.received(); got != "for the first" {
			t.Errorf("first client received %q", got)
		}
		first.raw.Close()
		synctest.Wait()
		for other := range streams {
			if f, ok := lab.layer.Find(other, none, first.addr()); ok {
				t.Errorf("found %v after the connection ended", f)
			}
		}
		if err := f.Send([]byte("x")); err != transport.ErrClosed {
			t.Errorf("Send: %v", err)
		}
		if got, _ := last.received(); got != "" {
			t.Errorf("last client received %q", got)
		}
	})
}

// R42: when a NAT gives the port of a connection that it forgot to another
// client, that one's connection is never taken for the first: the handler has
// been told of the end of the first before it can find or hear of the second.
func TestStreams_ReusedAddress(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		var lab *lab
		var calls []string
		release := make(chan struct{})
		flows := make(map[string]transport.Flow)
		lab = newFullLab(t, transport.Config{Handler: &handler{
			message: func(f transport.Flow, m *sipmsg.Message) {
				calls = append(calls, "message "+m.CallID)
				flows[m.CallID] = f
			},
			closed: func(f transport.Flow, err error) {
				if f == flows["a"] {
					<-release // as if it took long
					if g, ok := lab.layer.Find(network, none, f.Remote()); ok {
						t.Errorf("found %v before the end of %v is told", g, f)
					}
					calls = append(calls, "closed")
				}
			},
		}})
		nat := lab.newHost("198.51.100.7")
		first := lab.connect(network, nat, 40001)
		first.send(request("REGISTER", "a"))
		first.raw.Reset()
		second := lab.connectRaw(network, nat, 40001) // before the layer is done with the first
		close(release)
		synctest.Wait()
		second.raw.Close()
		synctest.Wait()
		second = lab.connect(network, nat, 40001)
		second.send(request("REGISTER", "b"))
		if diff := cmp.Diff([]string{"message a", "closed", "message b"}, calls); diff != "" {
			t.Error(diff)
		}
		a, b := flows["a"], flows["b"]
		if a == b || a.ID() == b.ID() || a.Remote() != b.Remote() || a.Local() != b.Local() {
			t.Errorf("flows %v and %v", a, b)
		}
		if err := a.Send([]byte("for the first")); err != transport.ErrClosed {
			t.Errorf("Send: %v", err)
		}
		if got, _ := second.received(); got != "" {
			t.Errorf("second client received %q", got)
		}
	})
}

// pipeConn is an end of a [net.Pipe] that claims to have the addresses of a
// connection from a phone.
type pipeConn struct{ net.Conn }

func (pipeConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(tcp) }
func (pipeConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(address("198.51.100.7:40001")) }

// pipeListener accepts what is put into it.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return pipeConn{c}, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error   { close(l.conns); return nil }
func (l pipeListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(tcp) }

// A connection that the kernel has given up, as its addresses come again, is
// given up here as well: the phone would otherwise be reached over neither.
func TestStreams_Replaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(log)
		layer := newLayer(t, transport.Config{Handler: log})
		l := pipeListener{make(chan net.Conn)}
		if err := layer.ServeStream("tcp", l); err != nil {
			t.Fatal(err)
		}
		run(t, layer)
		connect := func(callID string) {
			phone, ours := net.Pipe()
			l.conns <- ours
			io.WriteString(phone, request("REGISTER", callID))
			synctest.Wait()
		}
		connect("a")
		connect("b")
		connect("c")
		want := []string{"message a", "closed: " + transport.ErrReplaced.Error(), "message b", "closed: " + transport.ErrReplaced.Error(), "message c"}
		if diff := cmp.Diff(strings.Join(want, "\n"), log.summary()); diff != "" {
			t.Error(diff)
		}
		f, ok := layer.Find("tcp", none, address("198.51.100.7:40001"))
		if calls := log.all(); !ok || f != calls[len(calls)-1].Flow {
			t.Errorf("found %v, %v", f, ok)
		}
		if s := layer.Stats(); s.Connections != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// When a peer is gone the handler hears of it at once, though we go on writing
// what is left for a moment.
func TestStreams_ClosedAtOnce(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{Queue: 1 << 20}})
		a := lab.connect(network, lab.newHost("198.51.100.7"), 0)
		f, _ := lab.layer.Find(network, none, a.addr())
		f.Send(make([]byte, 200<<10)) // more than the network holds
		synctest.Wait()
		a.raw.CloseWrite()
		synctest.Wait()
		if got := lab.log.summary(); !strings.HasPrefix(got, "closed: ") || strings.Contains(got, "takes nothing") {
			t.Errorf("calls %q", got)
		}
		if f, ok := lab.layer.Find(network, none, a.addr()); ok {
			t.Errorf("found %v", f)
		}
		if s := lab.layer.Stats(); s.Connections != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R49: what time a client may take before it has said anything, in any
// handshake.
func TestStreams_Timeouts(t *testing.T) {
	limits := transport.Limits{Handshake: 5 * time.Second, FirstMessage: 10 * time.Second, Idle: time.Minute}
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{Limits: limits})
		start := time.Now()
		phone := lab.newHost("198.51.100.7")
		silent, mute, idle := lab.connectRaw(network, phone, 1), lab.connect(network, phone, 2), lab.connect(network, phone, 3)
		idle.send(request("REGISTER", "a"))
		type end struct {
			client *agent
			after  time.Duration
			last   string // said before, on a WebSocket
		}
		ends := []end{{silent, 5 * time.Second, ""}, {mute, 10 * time.Second, "[close 1008]"}, {idle, time.Minute, "[close 1001]"}}
		if network == "tcp" {
			ends = ends[1:] // it has no handshake
		}
		for _, tt := range ends {
			time.Sleep(tt.after - time.Since(start) - time.Millisecond)
			if _, closed := tt.client.bytes(); closed {
				t.Errorf("closed before %v", tt.after)
			}
			time.Sleep(2 * time.Millisecond)
			got, closed := tt.client.received()
			if want := tt.last; !closed || tt.client.ws && got != want {
				t.Errorf("after %v: received %q, closed %v; want %q", tt.after, got, closed, want)
			}
		}
	})
}

// R49: a thousand clients that do not finish their handshake, or say nothing
// behind it, do not keep another one from being answered, and are gone in time.
func TestStreams_Slowloris(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{Handler: &handler{
			message: func(f transport.Flow, m *sipmsg.Message) { f.Send([]byte(m.CallID)) },
		}})
		slow := lab.newHost("198.51.100.7")
		for i := range 1000 {
			lab.connectRaw(network, slow, 0).send([]string{"", "GET / HTTP/1.1\r\nX:", "\x16\x03\x01\x02\x00\x01", "REGISTER sip:a"}[i%4])
		}
		start := time.Now()
		a := lab.connect(network, lab.newHost("198.51.100.8"), 0)
		a.send(request("OPTIONS", "good"))
		if got, _ := a.received(); got != "good" || time.Since(start) > time.Microsecond {
			t.Errorf("received %q after %v", got, time.Since(start))
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if s := lab.layer.Stats(); s.Connections != 1 || s.Slow+s.Garbage+s.Handshakes != 1000 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R53: a peer that takes nothing is given up at the end of Limits.Write, with
// TLS as well, which would like to say goodbye.
func TestStreams_PeerTakesNothing(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{Write: 5 * time.Second, Queue: 1 << 20}})
		a := lab.connect(network, lab.newHost("198.51.100.7"), 0)
		f, _ := lab.layer.Find(network, none, a.addr())
		if err := f.Send(make([]byte, 200<<10)); err != nil { // more than the network holds
			t.Fatal(err)
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		lab.expect()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := lab.layer.Stats(); s.WriteErrors != 1 || s.SendErrors != 1 || s.Sent != 0 || s.Connections != 0 {
			t.Errorf("stats %+v", s)
		}
		if got := lab.log.summary(); !strings.HasPrefix(got, "closed: transport: peer takes nothing: ") {
			t.Errorf("calls %q", got)
		}
	})
}

// Flow.Ping sends the keepalive of the network, and what clients send as such
// is answered (RFC 5626 section 3.5.1, RFC 7118 section 6).
func TestStreams_Ping(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		lab := newFullLab(t, transport.Config{})
		a := lab.connect(network, lab.newHost("198.51.100.7"), 0)
		f, _ := lab.layer.Find(network, none, a.addr())
		want := "\r\n\r\n"
		if a.ws {
			want = "[ping ]"
		}
		if err := f.Ping(); err != nil {
			t.Error(err)
		}
		if got, _ := a.received(); got != want {
			t.Errorf("client received %q, want %q", got, want)
		}
		a.send("\r\n\r\n")
		if got, _ := a.received(); got != "\r\n" {
			t.Errorf("client received %q", got)
		}
		a.send("\r\n")
		if got, _ := a.received(); got != "" {
			t.Errorf("client received %q", got)
		}
		f.Close()
		if err := f.Ping(); err != transport.ErrClosed {
			t.Errorf("Ping: %v", err)
		}
		if s := lab.layer.Stats(); s.Pongs != 1 || s.Sent != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R49: the limits on connections count all networks together.
func TestStreams_ConnectionLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{PerIP: 4, Connections: 5}})
		hosts := []*simnet.Host{lab.newHost("198.51.100.7"), lab.newHost("198.51.100.8"), lab.newHost("198.51.100.9")}
		var open []string
		for i, host := range hosts {
			for network := range streams {
				a := lab.connectRaw(network, host, 0)
				if _, closed := a.bytes(); !closed {
					open = append(open, fmt.Sprint(i))
				}
			}
		}
		if got := strings.Join(open, ""); got != "00001" {
			t.Errorf("open are those of %s", got)
		}
		if s := lab.layer.Stats(); s.Refused != 7 || s.Connections != 5 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R49: a connection that is not wanted is closed before anything is done for it,
// on every listener.
func TestStreams_Accept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		lab := newFullLab(t, transport.Config{Accept: func(network string, remote netip.AddrPort) bool {
			asked[network]++
			return remote.Addr() != netip.MustParseAddr("198.51.100.7")
		}})
		bad, good := lab.newHost("198.51.100.7"), lab.newHost("198.51.100.8")
		for network := range streams {
			if _, closed := lab.connectRaw(network, bad, 0).bytes(); !closed {
				t.Errorf("%s: it is open", network)
			}
			if _, closed := lab.connectRaw(network, good, 0).bytes(); closed {
				t.Errorf("%s: the other one is closed", network)
			}
			if asked[network] != 2 {
				t.Errorf("%s: asked %d times", network, asked[network])
			}
		}
		if s, n := lab.layer.Stats(), uint64(len(streams)); s.Unwanted != n || s.Accepted != n || s.Handshakes != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}
