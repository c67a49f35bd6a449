package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// At the end of Run nothing is left: no goroutine, no socket, no flow that the
// handler has not been told of.
func TestRun_LeavesNothing(t *testing.T) {
	log := new(log)
	layer := newLayer(t, transport.Config{
		Handler:   log,
		Readers:   2,
		ServerTLS: &tls.Config{Certificates: []tls.Certificate{newCertificate(t, "sip.a.example")}},
	})
	udp := listen(t, layer, "udp", "127.0.0.1:0")
	tcp := listen(t, layer, "tcp", "127.0.0.1:0")
	secure, web := listen(t, layer, "tls", "127.0.0.1:0"), listen(t, layer, "ws", "127.0.0.1:0")
	peer, err := net.Listen("tcp", "127.0.0.2:0") // never accepts
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	stop := run(t, layer)

	for _, client := range []struct {
		to   netip.AddrPort
		text string
	}{
		{tcp, ""}, {tcp, "\r\n\r\n"}, {tcp, "OPTIONS sip:half"}, {tcp, request("OPTIONS", "a")},
		{secure, "\x16\x03\x01"}, {web, "GET / HTTP/1.1\r\n"}, {web, upgradeRequest + textFrame(request("OPTIONS", "a"))},
	} {
		c, err := net.Dial("tcp", client.to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, client.text)
	}
	f, err := layer.Dial("tcp", netip.AddrPort{}, peer.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	f.Send([]byte("x"))
	phone := newPhone(t, "127.0.0.3:0")
	phone.send(udp, request("OPTIONS", "a"))
	waitFor(t, func() bool { s := layer.Stats(); return s.Connections == 8 && s.Received == 3 && s.Pongs == 1 })

	stop()
	if left := goroutines(); left != "" {
		t.Errorf("goroutines left:\n%s", left)
	}
	if s := layer.Stats(); s.Connections != 0 {
		t.Errorf("stats %+v", s)
	}
	closed := make(map[transport.Flow]bool)
	for _, e := range log.all() {
		if e.What == "closed" {
			if e.Err != transport.ErrClosed || closed[e.Flow] {
				t.Errorf("%v: %v", e.Flow, e.Err)
			}
			closed[e.Flow] = true
		}
	}
	if len(closed) != 8 {
		t.Errorf("%d streams were closed, want 8", len(closed))
	}
	again := newLayer(t, transport.Config{})
	listen(t, again, "udp", udp.String())
	listen(t, again, "tcp", tcp.String())
	run(t, again)
	u, _ := layer.Find("udp", udp, phone.addr())
	if err := u.Send([]byte("x")); err != transport.ErrClosed {
		t.Errorf("Send over UDP after Run: %v", err)
	}
}

// waitFor polls: what real sockets do has no other sign.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not happen")
}

// Run writes what is queued before it ends, and waits for no peer longer than
// Limits.Write.
func TestRun_FlushIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{Limits: transport.Limits{Write: 5 * time.Second}})
		phone := lab.newHost("198.51.100.7")
		reads, stuck := lab.dial(phone, 0), lab.dial(phone, 0)
		text := strings.Repeat("x", 200<<10) // more than the network holds
		for _, c := range []*client{reads, stuck} {
			if err := lab.flow(c).Send([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		received := make(chan string)
		go func() {
			b, _ := io.ReadAll(reads)
			received <- string(b)
		}()
		start := time.Now()
		lab.stop()
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("stopping took %v, want the 5s of Limits.Write", d)
		}
		if got := <-received; got != text {
			t.Errorf("received %d bytes, want %d", len(got), len(text))
		}
		lab.expect("closed: transport: closed", "closed: transport: closed")
	})
}

// A proxy whose listener is closed by someone else is deaf, and says so.
func TestRun_ListenerLost(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			layer := newLayer(t, transport.Config{})
			var socket io.Closer
			if network == "udp" {
				pc, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				socket = pc
				layer.ServePacket(plainConn{pc}) // or else the layer goes on with a copy
			} else {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				socket = l
				layer.ServeStream(network, l)
			}
			done := make(chan error)
			go func() { done <- layer.Run(t.Context()) }()
			socket.Close()
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Run: %v, want net.ErrClosed", err)
			}
		})
	}
}

// Listeners can be added while Run runs, and not afterwards.
func TestRun_Once(t *testing.T) {
	layer := newLayer(t, transport.Config{Handler: &handler{message: echo}})
	stop := run(t, layer)
	to := listen(t, layer, "udp", "127.0.0.1:0")
	phone := newPhone(t, "127.0.0.3:0")
	phone.send(to, request("OPTIONS", "a"))
	phone.receive()
	stop()
	if err := layer.Run(t.Context()); err == nil {
		t.Error("Run ran twice")
	}
	for _, network := range []string{"udp", "tcp"} {
		if err := layer.Listen(t.Context(), network, address("127.0.0.1:0")); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Listen %s after Run: %v", network, err)
		}
	}
}

// Run with a context that has ended gives back what was opened before.
func TestRun_EndedContext(t *testing.T) {
	log := new(log)
	layer := newLayer(t, transport.Config{Handler: log})
	udp, tcp := listen(t, layer, "udp", "127.0.0.1:0"), listen(t, layer, "tcp", "127.0.0.1:0")
	f, err := layer.Dial("tcp", netip.AddrPort{}, address("127.0.0.9:9"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := layer.Run(ctx); err != nil {
		t.Error(err)
	}
	if calls := log.all(); len(calls) != 1 || calls[0].Flow != f || calls[0].Err != transport.ErrClosed {
		t.Errorf("calls %v", calls)
	}
	again := newLayer(t, transport.Config{})
	listen(t, again, "udp", udp.String())
	listen(t, again, "tcp", tcp.String())
	run(t, again)
}

// R32: no call of the handler is made under a lock, so that it can use the
// whole API.
func TestRun_CallbacksMayCallAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lab *lab
		use := func(f transport.Flow) {
			_ = f.String()
			f.Send([]byte("x"))
			lab.layer.Stats()
			lab.layer.Addrs("tcp")
			lab.layer.Find("tcp", f.Local(), f.Remote())
			lab.layer.Find("tcp", none, f.Remote())
			lab.layer.Dial("tcp", none, f.Remote())
			if l, err := lab.host.Listen(netip.AddrPortFrom(tcp.Addr(), 0)); err == nil {
				lab.layer.ServeStream("tcp", l)
			}
			f.Close()
		}
		log, uses := new(log), new(atomic.Int64)
		lab = newLab(t, transport.Config{Handler: &handler{
			message: func(f transport.Flow, m *sipmsg.Message) { log.Message(f, m); use(f) },
			fault:   func(f transport.Flow, m *sipmsg.Message, err error) { log.Fault(f, m, err); use(f) },
			closed: func(f transport.Flow, err error) {
				log.Closed(f, err)
				if uses.Add(1) <= 4 { // else each dial is followed by its own closing
					use(f)
				}
			},
		}})
		phone := lab.newHost("198.51.100.7")
		first := lab.dial(phone, 0)
		first.send(request("OPTIONS", "a"))
		second := lab.dial(phone, 0)
		second.send("OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n")
		time.Sleep(time.Minute)
		synctest.Wait()
		calls := make(map[netip.AddrPort][]string)
		for _, e := range log.all() {
			calls[e.Flow.Remote()] = append(calls[e.Flow.Remote()], e.What)
		}
		want := map[*client][]string{first: {"message", "closed"}, second: {"fault", "closed"}}
		for c, want := range want {
			if got := calls[c.addr()]; !slices.Equal(got[:2], want) {
				t.Errorf("calls %v, want %v", got, want)
			}
		}
	})
}
