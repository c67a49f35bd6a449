package transaction_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

var (
	proxyAddr = netip.MustParseAddrPort("192.0.2.1:5060")
	phoneAddr = netip.MustParseAddr("198.51.100.7")
	pbxAddr   = netip.MustParseAddr("203.0.113.10")
	noAddr    netip.AddrPort
)

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// world is a transaction layer over a transport on a network with a phone and a
// PBX. What a test does not set in it does nothing.
type world struct {
	*testing.T
	net       *simnet.Network
	phone     *simnet.Host
	pbx       *simnet.Host
	transport *transport.Layer
	tx        *transaction.Layer

	request func(*transaction.Server, *sipmsg.Message)
	trying  func(*transaction.Server)
	cancel  func(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server)
	ack     func(transport.Flow, *sipmsg.Message)
	stray   func(transport.Flow, *sipmsg.Message)
}

// run calls f in a bubble. In the end, when everything must have timed out, no
// transaction and no timer must be left (R30).
func run(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.net.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { w.transport.Run(ctx) })
		wg.Go(func() { w.tx.Run(ctx) })
		f(w)
		time.Sleep(5 * time.Minute)
		w.gone()
	})
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, net: simnet.New(simnet.Config{})}
	host := w.net.NewHost(proxyAddr.Addr())
	w.phone, w.pbx = w.net.NewHost(phoneAddr), w.net.NewHost(pbxAddr)
	var err error
	w.tx, err = transaction.New(transaction.Config{User: user{w}})
	must(t, err)
	w.transport, err = transport.New(transport.Config{
		Handler: user{w},
		DialContext: func(ctx context.Context, _ string, local, remote netip.AddrPort) (net.Conn, error) {
			return host.Dial(ctx, local, remote)
		},
	})
	must(t, err)
	pc, err := host.ListenPacket(proxyAddr)
	must(t, err)
	must(t, w.transport.ServePacket(pc))
	l, err := host.Listen(proxyAddr)
	must(t, err)
	must(t, w.transport.ServeStream("tcp", l))
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// gone fails the test if there is a transaction or a timer.
func (w *world) gone() {
	w.Helper()
	synctest.Wait()
	if s := w.tx.Stats(); s.Servers != 0 || s.Clients != 0 || s.Open != 0 || s.Timers != 0 {
		w.Errorf("%d server transactions, %d client transactions, %d open and %d timers are left", s.Servers, s.Clients, s.Open, s.Timers)
	}
	if n := w.tx.Entries(); n != 0 {
		w.Errorf("%d entries are left in the tables", n)
	}
}

// user is the world as the layer and the transport see it.
type user struct{ w *world }

var (
	_ transaction.User  = user{}
	_ transport.Handler = user{}
)

func (u user) Message(f transport.Flow, m *sipmsg.Message) { u.w.tx.Handle(f, m) }

func (u user) Fault(_ transport.Flow, m *sipmsg.Message, err error) {
	u.w.Errorf("%v in\n%s", err, m.Raw)
}

func (u user) Closed(f transport.Flow, err error) { u.w.tx.Closed(f, err) }

func (u user) Request(tx *transaction.Server, m *sipmsg.Message) {
	if u.w.request != nil {
		u.w.request(tx, m)
	}
}

func (u user) Trying(tx *transaction.Server) {
	if u.w.trying != nil {
		u.w.trying(tx)
	}
}

func (u user) Cancel(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server) {
	if u.w.cancel != nil {
		u.w.cancel(tx, m, invite)
	}
}

func (u user) Ack(f transport.Flow, m *sipmsg.Message) {
	if u.w.ack != nil {
		u.w.ack(f, m)
	}
}

func (u user) Stray(f transport.Flow, m *sipmsg.Message) {
	if u.w.stray != nil {
		u.w.stray(f, m)
	}
}

// answer makes the layer answer each request as it comes.
func (w *world) answer(status int) {
	w.request = func(tx *transaction.Server, m *sipmsg.Message) {
		tx.Respond(status, m.Respond(status, "Answer", "proxy"))
	}
}

// count returns a function that counts the requests, and the number.
func (w *world) count() *int {
	n := new(int)
	next := w.request
	w.request = func(tx *transaction.Server, m *sipmsg.Message) {
		*n++
		if next != nil {
			next(tx, m)
		}
	}
	return n
}

// udp returns the flow to a UDP peer.
func (w *world) udp(p *siptestx.Peer) transport.Flow {
	w.Helper()
	f, ok := w.transport.Find("udp", proxyAddr, p.Addr)
	if !ok {
		w.Fatalf("no flow to %v", p.Addr)
	}
	return f
}

// callee is a peer with the way to it.
type callee struct {
	*siptestx.Peer
	flow transport.Flow
}

// onBoth runs f twice, with a callee on UDP and one on TCP.
func onBoth(t *testing.T, f func(w *world, pbx callee)) {
	t.Run("udp", func(t *testing.T) {
		run(t, func(w *world) { f(w, w.callee()) })
	})
	t.Run("tcp", func(t *testing.T) {
		run(t, func(w *world) { f(w, w.streamCallee()) })
	})
}

// callee returns a PBX on UDP.
func (w *world) callee() callee {
	w.Helper()
	p := siptestx.UDP(w, w.pbx, 5060)
	return callee{p, w.udp(p)}
}

// streamCallee returns a PBX on TCP.
func (w *world) streamCallee() callee {
	w.Helper()
	l := siptestx.Listen(w, w.pbx, 5060)
	flow, err := w.transport.Dial("tcp", noAddr, l.Addr)
	must(w, err)
	return callee{l.Accept(), flow}
}

// notes is a ClientUser that notes what it is told.
type notes struct {
	mu    sync.Mutex
	lines []string
	at    []time.Time
	err   error // of Failed
}

func (l *notes) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.at = append(l.lines, line), append(l.at, time.Now())
}

func (l *notes) Response(_ *transaction.Client, m *sipmsg.Message) {
	l.add(siptestx.Message{Text: m.Raw}.Start() + " " + m.ToTag)
}

func (l *notes) Failed(_ *transaction.Client, err error) {
	l.err = err
	l.add("failed")
}

func (l *notes) Timer(*transaction.Client) { l.add("timer") }

// String returns the calls so far, separated by commas.
func (l *notes) String() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, ", ")
}

// want fails the test unless l has noted exactly this.
func (l *notes) want(t testing.TB, want string) {
	t.Helper()
	if got := l.String(); got != want {
		t.Errorf("the user was told %q, want %q", got, want)
	}
}

// request returns a request of the proxy as it goes to the PBX.
func request(method, branch string, fields ...string) []byte {
	text := method + " sip:401@203.0.113.10 SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=" + branch + "\r\n" +
		"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKphone;received=198.51.100.7\r\n" +
		"Max-Forwards: 69\r\n" +
		"From: <sip:alice@a.example>;tag=from\r\n" +
		"To: <sip:401@a.example>\r\n" +
		"Call-ID: call@a\r\n" +
		"CSeq: 7 " + method + "\r\n" +
		"Contact: <sip:alice@198.51.100.7>\r\n\r\n"
	return []byte(siptestx.Edit(text, fields...))
}

// send sends a request to the PBX.
func (w *world) send(pbx callee, method, branch string, fields ...string) (*transaction.Client, *notes) {
	w.Helper()
	l := new(notes)
	c, err := w.tx.Request(pbx.flow, method, branch, request(method, branch, fields...), l)
	must(w, err)
	return c, l
}

// schedule returns when messages came after start, in tenths of a second: a
// timer is never early, and less than a tick late.
func schedule(start time.Time, all []siptestx.Message) []time.Duration {
	var at []time.Duration
	for _, m := range all {
		at = append(at, m.At.Sub(start).Truncate(100*time.Millisecond))
	}
	return at
}

// seconds turns numbers into durations.
func seconds(s ...float64) []time.Duration {
	var ds []time.Duration
	for _, v := range s {
		ds = append(ds, time.Duration(v*float64(time.Second)))
	}
	return ds
}
