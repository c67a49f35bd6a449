package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// TestMain fails if a goroutine of the package outlives the Run that owns it.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := goroutines(); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines left:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// goroutines returns the stacks of all goroutines that a Layer started.
func goroutines() string {
	buf := make([]byte, 4<<20)
	var left []string
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "created by github.com/sipward/sipward/examples/proxy/transport.(") ||
			strings.Contains(stack, "transport.(*launcher)") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}

// handler calls the function for what happens, if there is one.
type handler struct {
	message func(transport.Flow, *sipmsg.Message)
	fault   func(transport.Flow, *sipmsg.Message, error)
	closed  func(transport.Flow, error)
}

func (h *handler) Message(f transport.Flow, m *sipmsg.Message) {
	if h.message != nil {
		h.message(f, m)
	}
}

func (h *handler) Fault(f transport.Flow, m *sipmsg.Message, err error) {
	if h.fault != nil {
		h.fault(f, m, err)
	}
}

func (h *handler) Closed(f transport.Flow, err error) {
	if h.closed != nil {
		h.closed(f, err)
	}
}

// event is one call of a handler.
type event struct {
	What string // message, fault or closed
	Flow transport.Flow
	Text string // of the message
	Err  error
}

// log is a handler that notes the calls.
type log struct {
	answer bool // faults, as their error says

	mu     sync.Mutex
	events []event
}

func (l *log) add(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *log) Message(f transport.Flow, m *sipmsg.Message) {
	l.add(event{"message", f, m.Raw, nil})
}

func (l *log) Fault(f transport.Flow, m *sipmsg.Message, err error) {
	l.add(event{"fault", f, m.Raw, err})
	if e, ok := errors.AsType[*sipmsg.Error](err); ok && l.answer && m.Answerable() {
		f.Send(m.Respond(e.Status, e.Fault, "t"))
	}
}

func (l *log) Closed(f transport.Flow, err error) { l.add(event{"closed", f, "", err}) }

// all returns the calls so far.
func (l *log) all() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]event(nil), l.events...)
}

// summary returns the calls so far in short, one a line.
func (l *log) summary() string {
	var lines []string
	for _, e := range l.all() {
		if e.What == "message" {
			m, _ := sipmsg.Parse(e.Text)
			lines = append(lines, "message "+m.CallID)
		} else {
			lines = append(lines, fmt.Sprintf("%s: %v", e.What, e.Err))
		}
	}
	return strings.Join(lines, "\n")
}

// newLayer returns a layer, without running it.
func newLayer(t testing.TB, cfg transport.Config) *transport.Layer {
	t.Helper()
	if cfg.Handler == nil {
		cfg.Handler = new(handler)
	}
	layer, err := transport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// run runs a layer and returns what stops it. It is stopped anyway at the end
// of the test.
func run(t testing.TB, layer *transport.Layer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- layer.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// listen opens a listener and returns its address.
func listen(t testing.TB, layer *transport.Layer, network, addr string) netip.AddrPort {
	t.Helper()
	if err := layer.Listen(context.Background(), network, netip.MustParseAddrPort(addr)); err != nil {
		t.Fatal(err)
	}
	addrs := layer.Addrs(network)
	return addrs[len(addrs)-1]
}

// request returns a request with this Call-ID.
func request(method, callID string) string {
	return method + " sip:401@a.example SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK" + callID + "\r\n" +
		"From: <sip:201@a.example>;tag=1\r\n" +
		"To: <sip:401@a.example>\r\n" +
		"Call-ID: " + callID + "\r\n" +
		"CSeq: 1 " + method + "\r\n" +
		"Max-Forwards: 70\r\n" +
		"Content-Length: 0\r\n\r\n"
}

// long returns a request of that many bytes.
func long(callID string, size int) string {
	head := strings.TrimSuffix(request("MESSAGE", callID), "Content-Length: 0\r\n\r\n")
	body := size - len(head) - len("Content-Length: 12345\r\n\r\n")
	return head + fmt.Sprintf("Content-Length: %05d\r\n\r\n", body) + strings.Repeat("x", body)
}

// address parses an address and port.
func address(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// lab is a layer on a network in memory, for tests under synctest.
type lab struct {
	t     testing.TB
	net   *simnet.Network
	host  *simnet.Host
	layer *transport.Layer
	log   *log
	stop  func()
}

// Where the layer of a lab listens for TCP, and may listen for UDP.
var (
	tcp  = address("192.0.2.1:5060")
	tcp6 = address("[2001:db8::1]:5060")
)

// newLab runs a layer with TCP listeners at tcp and tcp6. Cfg needs no handler.
func newLab(t testing.TB, cfg transport.Config) *lab {
	n := simnet.New(simnet.Config{})
	t.Cleanup(n.Close)
	b := &lab{t: t, net: n, host: n.NewHost(tcp.Addr(), tcp6.Addr()), log: new(log)}
	if cfg.Handler == nil {
		cfg.Handler = b.log
	}
	cfg.DialContext = func(ctx context.Context, _ string, local, remote netip.AddrPort) (net.Conn, error) {
		c, err := b.host.Dial(ctx, local, remote)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	b.layer = newLayer(t, cfg)
	for _, a := range []netip.AddrPort{tcp, tcp6} {
		l, err := b.host.Listen(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.layer.ServeStream("tcp", l); err != nil {
			t.Fatal(err)
		}
	}
	b.stop = run(t, b.layer)
	return b
}

// close ends the lab before its test does.
func (b *lab) close() {
	b.stop()
	b.net.Close()
}

// newHost adds a host.
func (b *lab) newHost(addr string) *simnet.Host { return b.net.NewHost(netip.MustParseAddr(addr)) }

// dial opens a connection from a host to the layer, from any port if that is 0.
func (b *lab) dial(h *simnet.Host, port uint16) *client {
	b.t.Helper()
	to := tcp
	if h.Addr().Is6() {
		to = tcp6
	}
	c, err := h.Dial(context.Background(), netip.AddrPortFrom(h.Addr(), port), to)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	synctest.Wait()
	return &client{b.t, c}
}

// flow returns the layer's flow to a client.
func (b *lab) flow(c *client) transport.Flow {
	b.t.Helper()
	f, ok := b.layer.Find("tcp", netip.AddrPort{}, c.addr())
	if !ok {
		b.t.Fatalf("no flow to %v", c.addr())
	}
	return f
}

// expect compares the calls of the handler so far.
func (b *lab) expect(want ...string) {
	b.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(strings.Join(want, "\n"), b.log.summary()); diff != "" {
		b.t.Errorf("handler calls (-want +got):\n%s", diff)
	}
}

// client is the other end of a connection of a lab.
type client struct {
	t testing.TB
	*simnet.Conn
}

func (c *client) addr() netip.AddrPort { return c.LocalAddr().(*net.TCPAddr).AddrPort() }

// send writes text and lets it arrive.
func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// received returns what the layer wrote so far. Closed tells that it also
// closed the connection.
func (c *client) received() (text string, closed bool) {
	synctest.Wait()
	c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	b, err := io.ReadAll(c)
	return string(b), !errors.Is(err, os.ErrDeadlineExceeded)
}

// logBuffer keeps a log.
type logBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
