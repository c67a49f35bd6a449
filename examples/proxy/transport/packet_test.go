package transport_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// phone is a UDP socket of a test, on loopback.
type phone struct {
	t testing.TB
	*net.UDPConn
}

func newPhone(t testing.TB, addr string) *phone {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address(addr)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &phone{t, c}
}

func (p *phone) addr() netip.AddrPort { return p.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *phone) send(to netip.AddrPort, text string) {
	p.t.Helper()
	if _, err := p.WriteToUDPAddrPort([]byte(text), to); err != nil {
		p.t.Fatal(err)
	}
}

// receive waits for a datagram. The deadline only ends a test that has failed.
func (p *phone) receive() (text string, from netip.AddrPort) {
	p.t.Helper()
	buf := make([]byte, 64<<10)
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := p.ReadFromUDPAddrPort(buf)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(buf[:n]), from
}

// echo is a handler that returns messages to their sender.
func echo(f transport.Flow, m *sipmsg.Message) { f.Send([]byte(m.Raw)) }

// R41: answers leave from the socket that the request came to, though one
// phone talks to two listeners by turns.
func TestPacket_AnswerFromSameSocket(t *testing.T) {
	layer := newLayer(t, transport.Config{Handler: &handler{message: echo}})
	a, b := listen(t, layer, "udp", "127.0.0.1:0"), listen(t, layer, "udp", "127.0.0.2:0")
	run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	for _, to := range []netip.AddrPort{a, b, a, a, b} {
		phone.send(to, request("OPTIONS", "x"))
		if _, from := phone.receive(); from != to {
			t.Errorf("sent to %v, answer from %v", to, from)
		}
	}
}

// R40, R48: requests to a thousand targets leave from the listener's address
// and open no socket.
func TestPacket_NoSocketPerTarget(t *testing.T) {
	layer := newLayer(t, transport.Config{})
	listen(t, layer, "udp", "127.0.0.1:0")
	local := listen(t, layer, "udp", "127.0.0.2:0")
	run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	before := openFiles(t)
	for i := range 1000 {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 5060)
		if i%100 == 0 {
			remote = phone.addr()
		}
		f, err := layer.Dial("udp", local, remote)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if remote == phone.addr() {
			if _, from := phone.receive(); from != local {
				t.Fatalf("sent from %v, want %v", from, local)
			}
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, before %d", after, before)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// R45: messages beyond one Ethernet frame pass in both directions.
func TestPacket_Sizes(t *testing.T) {
	layer := newLayer(t, transport.Config{Handler: &handler{message: echo}})
	to := listen(t, layer, "udp", "127.0.0.1:0")
	stop := run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	for _, size := range []int{400, 1300, 1301, 1500, 9000, 32769, 65000, 65507} {
		want := long("big", size)
		phone.send(to, want)
		if got, _ := phone.receive(); got != want {
			t.Errorf("sent %d bytes, received %d", len(want), len(got))
		}
	}
	f, _ := layer.Find("udp", to, phone.addr())
	if err := f.Send(make([]byte, 65508)); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("sending more than a datagram: %v", err)
	}
	stop() // so that all is counted
	if s := layer.Stats(); s.Received != 8 || s.Sent != 8 || s.SendErrors != 1 {
		t.Errorf("stats %+v", s)
	}
}

// R47: what is no message does not reach the handler, and is counted by kind.
func TestPacket_NoMessages(t *testing.T) {
	layer := newLayer(t, transport.Config{Handler: &handler{
		message: echo,
		fault: func(f transport.Flow, m *sipmsg.Message, err error) {
			f.Send([]byte(err.Error()))
		},
	}})
	to := listen(t, layer, "udp", "127.0.0.1:0")
	stop := run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	stun := "\x00\x11\x00\x00\x21\x12\xa4\x42" + strings.Repeat("\x07", 12) // an indication
	for _, s := range []string{"", "\r\n", "\r\n\r\n", "\n", "\r", stun, "\x00", "\x00\x00\x00\x00", "jaK", "hello\r\n",
		"\x80\x60\x00\x01", "GET / HTTP/1.1\r\n\r\n", stun[:19], " " + request("OPTIONS", "x"), "SIP/2.0", strings.Repeat("A", 60000)} {
		phone.send(to, s)
	}
	for _, s := range []string{request("OPTIONS", "x"), "\r\n" + request("OPTIONS", "x")} {
		phone.send(to, s)
		if got, _ := phone.receive(); got != request("OPTIONS", "x") {
			t.Errorf("received %q", got)
		}
	}
	for _, s := range []string{"OPTIONS sip:a SIP/2.0\r\n", "SIP/2.0 200 OK\r\n\r\n", "options sip:a sip/3.0\r\n\r\n"} {
		phone.send(to, s)
		if got, _ := phone.receive(); !strings.HasPrefix(got, "sipmsg: ") {
			t.Errorf("received %q for %q", got, s)
		}
	}
	stop() // so that all is counted
	want := transport.Stats{Received: 2, Faults: 3, Sent: 5, Keepalives: 5, STUN: 1, NUL: 2, Garbage: 8}
	if diff := cmp.Diff(want, layer.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// RFC 5626 section 4.4.2: a phone that asks by STUN is told its address, from the
// socket that it asked; with several readers, too.
func TestPacket_STUN(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		layer := newLayer(t, transport.Config{Readers: 2})
		to := listen(t, layer, "udp", addr)
		run(t, layer)
		for range 10 {
			phone := newPhone(t, addr)
			phone.send(to, "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")
			got, from := phone.receive()
			port := string([]byte{got[26] ^ 0x21, got[27] ^ 0x12})
			if want := phone.addr().Port(); from != to || got[:2] != "\x01\x01" || got[4:20] != "\x21\x12\xa4\x42abcdefghijkl" ||
				port != string([]byte{byte(want >> 8), byte(want)}) {
				t.Errorf("received %x from %v", got, from)
			}
		}
	}
}

// scriptConn is a packet socket that reads what a function returns.
type scriptConn struct {
	net.PacketConn
	read   func(b []byte) (int, netip.AddrPort, error)
	closed chan struct{}
}

func (c *scriptConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) { return c.read(b) }

func (c *scriptConn) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }
func (c *scriptConn) SetReadDeadline(time.Time) error                            { close(c.closed); return nil }
func (c *scriptConn) LocalAddr() net.Addr                                        { return net.UDPAddrFromAddrPort(tcp) }
func (c *scriptConn) Close() error                                               { return nil }

// newScriptConn returns a socket that blocks once script returns io.EOF.
func newScriptConn(script func(i int, b []byte) (int, netip.AddrPort, error)) *scriptConn {
	c := &scriptConn{closed: make(chan struct{})}
	i := 0
	c.read = func(b []byte) (int, netip.AddrPort, error) {
		n, from, err := script(i, b)
		if i++; err == errEnd {
			<-c.closed
			err = os.ErrDeadlineExceeded
		}
		return n, from, err
	}
	return c
}

var errEnd = errors.New("end of the script")

// R46: no read error ends a listener, and one that stays does not spin.
func TestPacket_ReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := []error{syscall.ENOBUFS, syscall.ECONNREFUSED, syscall.EPERM, os.ErrDeadlineExceeded, errors.New("unheard of")}
		const repeated = 1000
		conn := newScriptConn(func(i int, b []byte) (int, netip.AddrPort, error) {
			switch {
			case i == 2*len(faults)+repeated+1:
				return 0, none, errEnd
			case i >= 2*len(faults)+repeated || i < 2*len(faults) && i%2 == 1:
				return copy(b, request("OPTIONS", "a")), address("198.51.100.7:5060"), nil
			}
			return 0, none, faults[i/2%len(faults)]
		})
		log := new(log)
		layer := newLayer(t, transport.Config{Handler: log})
		if err := layer.ServePacket(conn); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		stop := run(t, layer)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got, want := len(log.all()), len(faults)+1; got != want {
			t.Errorf("%d messages, want %d", got, want)
		}
		if s := layer.Stats(); s.ReadErrors != uint64(len(faults)+repeated) {
			t.Errorf("%d read errors", s.ReadErrors)
		}
		stop()
		if d := time.Since(start); d != time.Hour {
			t.Errorf("stopping took %v", d-time.Hour)
		}
	})
}

// The pauses after repeated errors are bounded, and end with Run.
func TestPacket_ReadErrorPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		conn := newScriptConn(func(int, []byte) (int, netip.AddrPort, error) {
			reads.Add(1)
			return 0, none, syscall.EPERM
		})
		layer := newLayer(t, transport.Config{})
		if err := layer.ServePacket(conn); err != nil {
			t.Fatal(err)
		}
		stop := run(t, layer)
		time.Sleep(10 * time.Second)
		if n := reads.Load(); n < 90 || n > 120 {
			t.Errorf("%d reads in 10 s", n)
		}
		start := time.Now()
		stop()
		if d := time.Since(start); d != 0 {
			t.Errorf("stopping took %v", d)
		}
	})
}

// R48: a million senders leave nothing behind.
func TestPacket_MillionSources(t *testing.T) {
	const sources = 1_000_000
	msg := request("OPTIONS", "a")
	done := make(chan struct{})
	conn := newScriptConn(func(i int, b []byte) (int, netip.AddrPort, error) {
		if i == sources {
			close(done)
			return 0, none, errEnd
		}
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
		if i%32 == 0 {
			return copy(b, msg), from, nil
		}
		return copy(b, "\r\n\r\n"), from, nil
	})
	layer := newLayer(t, transport.Config{Handler: &handler{message: echo}})
	if err := layer.ServePacket(conn); err != nil {
		t.Fatal(err)
	}
	before := liveHeap()
	run(t, layer)
	<-done
	if grown := int64(liveHeap()) - int64(before); grown > 1<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	if s := layer.Stats(); s.Received+s.Keepalives != sources || s.Sent != s.Received {
		t.Errorf("stats %+v", s)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// plainConn hides the calls with netip.AddrPort.
type plainConn struct{ net.PacketConn }

// A socket with no more than the methods of net.PacketConn will do, and IPv4
// addresses are never mapped.
func TestPacket_ForeignSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "[::]:0") // both families
	if err != nil {
		t.Fatal(err)
	}
	log := new(log)
	arrived := make(chan struct{}, 1)
	layer := newLayer(t, transport.Config{Handler: &handler{message: func(f transport.Flow, m *sipmsg.Message) {
		log.Message(f, m)
		echo(f, m)
		arrived <- struct{}{}
	}}})
	if err := layer.ServePacket(plainConn{pc}); err != nil {
		t.Fatal(err)
	}
	run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	phone.send(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), layer.Addrs("udp")[0].Port()), request("OPTIONS", "a"))
	if got, _ := phone.receive(); got != request("OPTIONS", "a") {
		t.Errorf("received %q", got)
	}
	<-arrived
	if got := log.all()[0].Flow.Remote(); got != phone.addr() {
		t.Errorf("remote %v, want %v", got, phone.addr())
	}
}

// Several sockets of one address are one listener: flows are equal whichever
// socket they came by. A second proxy cannot take a share.
func TestPacket_Readers(t *testing.T) {
	flows := make(chan transport.Flow, 1)
	layer := newLayer(t, transport.Config{Readers: 4, Handler: &handler{message: func(f transport.Flow, m *sipmsg.Message) {
		echo(f, m)
		flows <- f
	}}})
	to := listen(t, layer, "udp", "127.0.0.1:0")
	run(t, layer)
	for range 40 {
		phone := newPhone(t, "127.0.0.3:0")
		phone.send(to, request("OPTIONS", "a"))
		if _, from := phone.receive(); from != to {
			t.Errorf("answer from %v", from)
		}
		if f, ok := layer.Find("udp", to, phone.addr()); !ok || f != <-flows {
			t.Errorf("found %v, %v", f, ok)
		}
	}
	for _, readers := range []int{1, 2} {
		other := newLayer(t, transport.Config{Readers: readers})
		if err := other.Listen(context.Background(), "udp", to); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second proxy with %d readers: %v", readers, err)
		}
	}
}

// R33: a panic costs one message. It is counted and logged, without the text
// of the message.
func TestPacket_Panic(t *testing.T) {
	var out logBuffer
	layer := newLayer(t, transport.Config{Logger: out.logger(), Handler: &handler{
		message: func(f transport.Flow, m *sipmsg.Message) {
			if m.CallID == "bad" {
				panic("oops")
			}
			echo(f, m)
		},
		fault: func(transport.Flow, *sipmsg.Message, error) { panic("again") },
	}})
	to := listen(t, layer, "udp", "127.0.0.1:0")
	run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	phone.send(to, request("OPTIONS", "bad"))
	phone.send(to, "OPTIONS sip:a SIP/2.0\r\n\r\n")
	phone.send(to, request("OPTIONS", "good"))
	if got, _ := phone.receive(); got != request("OPTIONS", "good") {
		t.Errorf("received %q", got)
	}
	if s := layer.Stats(); s.Panics != 2 {
		t.Errorf("stats %+v", s)
	}
	text := out.String()
	if n := strings.Count(text, "msg=panic"); n != 2 {
		t.Errorf("%d records in\n%s", n, text)
	}
	for _, want := range []string{"oops", "again", "call_id=bad", phone.addr().String(), "packet_test.go"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "Max-Forwards") {
		t.Errorf("message in\n%s", text)
	}
}
