package relay_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

var (
	proxyAddr = netip.MustParseAddrPort("192.0.2.1:5060")
	innerAddr = netip.MustParseAddrPort("192.0.2.1:5070") // a second listener
	phoneAddr = netip.MustParseAddr("198.51.100.7")
	pbxAddr   = netip.MustParseAddr("203.0.113.10")
	noAddr    netip.AddrPort
)

const udpMTU = 1300

// world is a relay on a network with a phone, and PBXs that tests add. It
// routes as the test says.
type world struct {
	*testing.T
	net       *simnet.Network
	host      *simnet.Host
	phones    *simnet.Host
	pbx       *simnet.Host
	transport *transport.Layer
	relay     *relay.Relay
	phone     *siptestx.Peer   // on UDP, sends to the proxy
	ends      []relay.Result   // of the plans made by plan
	hosts     byte             // made by nextAddr
	servers   []*siptestx.Peer // of watched
	watch     attempts
	events    events

	seen      func(*sipmsg.Message) // what comes from the transport; may be nil
	mu        sync.Mutex
	route     func(*relay.Context)
	symmetric func(transport.Flow) bool
	sentBy    func(transport.Flow) string
	own       func(host string, port uint16) bool
}

// run calls f in a bubble. In the end, when everything must have timed out,
// nothing must be left (R30).
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
		wg.Go(func() { w.relay.Run(ctx) })
		f(w)
		time.Sleep(10 * time.Minute)
		w.gone()
	})
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, net: simnet.New(simnet.Config{})}
	w.host = w.net.NewHost(proxyAddr.Addr())
	w.phones, w.pbx = w.net.NewHost(phoneAddr), w.net.NewHost(pbxAddr)
	var err error
	w.relay, err = relay.New(relay.Config{Policy: policy{w}, Network: network{w}, Own: w.isOwn, SentBy: w.nameOf, Observe: w.observe, UDPMTU: udpMTU})
	must(t, err)
	w.transport, err = transport.New(transport.Config{
		Handler: tap{w.relay, w},
		DialContext: func(ctx context.Context, _ string, local, remote netip.AddrPort) (net.Conn, error) {
			return w.host.Dial(ctx, local, remote)
		},
	})
	must(t, err)
	for _, addr := range []netip.AddrPort{proxyAddr, innerAddr} {
		pc, err := w.host.ListenPacket(addr)
		must(t, err)
		must(t, w.transport.ServePacket(pc))
	}
	l, err := w.host.Listen(proxyAddr)
	must(t, err)
	must(t, w.transport.ServeStream("tcp", l))
	w.phone = siptestx.UDP(w, w.phones, 5060)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tap is the relay as the transport sees it. It shows the messages to the test.
type tap struct {
	*relay.Relay
	w *world
}

// Message implements [transport.Handler].
func (p tap) Message(f transport.Flow, m *sipmsg.Message) {
	if p.w.seen != nil {
		p.w.seen(m)
	}
	p.Relay.Message(f, m)
}

// gone fails the test if there is a transaction, a timer or a dialog.
func (w *world) gone() {
	w.Helper()
	synctest.Wait()
	if s := w.relay.Stats().Transactions; s.Servers != 0 || s.Clients != 0 || s.Timers != 0 {
		w.Errorf("%d server transactions, %d client transactions and %d timers are left", s.Servers, s.Clients, s.Timers)
	}
	if n := w.relay.Dialogs(); n != 0 {
		w.Errorf("%d dialogs are left", n)
	}
	w.complete()
}

// isOwn is the Own of the relay's configuration.
func (w *world) isOwn(host string, port uint16) bool {
	if w.own != nil {
		return w.own(host, port)
	}
	return host == "192.0.2.1" && (port == 0 || port == 5060 || port == 5070) || host == "proxy.example"
}

// nameOf is the SentBy.
func (w *world) nameOf(f transport.Flow) string {
	if w.sentBy != nil {
		return w.sentBy(f)
	}
	if f.Stream() {
		return "192.0.2.1:5060" // whatever the port of the connection
	}
	return f.Local().String()
}

// policy is the world as the relay sees it.
type policy struct{ w *world }

func (p policy) Symmetric(f transport.Flow) bool {
	return p.w.symmetric != nil && p.w.symmetric(f)
}

func (p policy) Route(c *relay.Context) {
	p.w.mu.Lock()
	route := p.w.route
	p.w.mu.Unlock()
	route(c)
}

// network is the transport, which does not exist yet when the relay is made.
type network struct{ w *world }

func (n network) Find(name string, local, remote netip.AddrPort) (transport.Flow, bool) {
	return n.w.transport.Find(name, local, remote)
}

func (n network) Dial(name string, local, remote netip.AddrPort) (transport.Flow, error) {
	return n.w.transport.Dial(name, local, remote)
}

// onRoute sets what is done with requests.
func (w *world) onRoute(f func(*relay.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.route = f
}

// server returns a peer on a new host of its own, in the order of the calls
// 203.0.113.20, 21, ….
func (w *world) server() *siptestx.Peer {
	return siptestx.UDP(w, w.net.NewHost(w.nextAddr()), 5060)
}

func (w *world) nextAddr() netip.Addr {
	w.hosts++
	return netip.AddrFrom4([4]byte{203, 0, 113, 19 + w.hosts})
}

// target returns the target that a UDP peer is.
func target(p *siptestx.Peer) relay.Target { return relay.Target{Network: "udp", Remote: p.Addr} }

// group returns a group of targets.
func group(peers ...*siptestx.Peer) []relay.Target {
	var all []relay.Target
	for _, p := range peers {
		all = append(all, target(p))
	}
	return all
}

// groups returns a plan that tries the peers one after the other.
func groups(peers ...*siptestx.Peer) relay.Plan {
	var p relay.Plan
	for _, peer := range peers {
		p.Targets = append(p.Targets, group(peer))
	}
	return p
}

// forward makes all requests go where p says.
func (w *world) forward(p relay.Plan) {
	if p.Ended == nil {
		p.Ended = w.ended
	}
	w.onRoute(func(c *relay.Context) { c.Forward(clone(p)) })
}

// clone returns p with targets of its own: the relay may change them.
func clone(p relay.Plan) relay.Plan {
	all := make([][]relay.Target, len(p.Targets))
	for i, g := range p.Targets {
		all[i] = append([]relay.Target(nil), g...)
	}
	p.Targets = all
	return p
}

func (w *world) ended(r relay.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, r)
}

// results returns what Ended was told so far.
func (w *world) results() []relay.Result {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]relay.Result(nil), w.ends...)
}

// send sends a request of the phone, and returns its text.
func (w *world) send(method string, fields ...string) string {
	text := w.phone.Request(method, "sip:401@a.example", fields...)
	w.phone.Send(proxyAddr, text)
	return text
}

// another turns an INVITE into the CANCEL for it or the ACK for a non-2xx.
func another(method, invite string, fields ...string) string {
	text := siptestx.Message{Text: strings.ReplaceAll(invite, "INVITE", method)}.Without("Content-Type")
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	return siptestx.Edit(head+"\r\n\r\n", fields...)
}

// ack acknowledges a non-2xx answer of the proxy to an INVITE of the phone.
func (w *world) ack(invite string, answer siptestx.Message) {
	w.phone.Send(proxyAddr, another("ACK", invite, "To: "+answer.Get("To")))
}

// parse reads a message with the proxy's own parser.
func parse(t testing.TB, text string) *sipmsg.Message {
	t.Helper()
	m, err := sipmsg.Parse(text)
	must(t, err)
	return m
}

func netipAddr(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 5060) }
