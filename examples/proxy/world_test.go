package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// proxyAt is where the proxy under test listens, on UDP and TCP, unless its
// configuration says otherwise.
var (
	proxyAt  = netip.MustParseAddrPort("192.0.2.1:5060")
	proxy6At = netip.MustParseAddrPort("[2001:db8::1]:5060")
)

// threeTenants is the world of most tests: three customers with a PBX each.
const threeTenants = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:10.0.1.30:5060"}]}
`

// preserving is threeTenants with the phones' own Contacts at the PBXs.
const preserving = "register: {contact: preserve}" + threeTenants

// world is the whole proxy on a network with phones and PBXs.
type world struct {
	*testing.T
	net     *simnet.Network
	host    *simnet.Host   // of the proxy
	at      netip.AddrPort // where phones and PBXs send to
	cfg     *config.Config
	proxy   *Proxy
	hangup  chan os.Signal
	file    string // what the configuration is when it is read again
	a, b, c *pbx   // at the addresses of threeTenants

	table  *slowTable // what the next proxy has its bindings in; nil: memory
	ledger *ledger    // where it writes records of calls to; nil: as it is configured
	log    *slog.Logger
	stop   func() // ends the proxy
	peers  []*siptestx.Peer
	used   byte // of the addresses on the Internet
	serial int  // of the phones' requests
}

// inWorld calls f in a bubble with a proxy configured by yaml. When f is done
// and every timer has had its time, nobody must have got anything that f did
// not expect, and no transaction must be left.
func inWorld(t *testing.T, yaml string, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, cfg: parseConfig(t, yaml), at: proxyAt}
		w.log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
		w.net = simnet.New(simnet.Config{})
		defer w.net.Close()
		w.host = w.net.NewHost(proxyAt.Addr(), proxy6At.Addr())
		w.start()
		defer func() { w.stop() }()
		w.a, w.b, w.c = w.pbx("10.0.1.10", "a.test"), w.pbx("10.0.1.20", "b.test"), w.pbx("10.0.1.30", "c.test")
		f(w)
		w.silence()
		if s := w.proxy.relay.Stats().Transactions; s.Servers != 0 || s.Clients != 0 || s.Timers != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

// parseConfig returns the configuration of inWorld.
func parseConfig(t testing.TB, yaml string) *config.Config {
	t.Helper()
	cfg, err := readConfig(yaml)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// reload gives the running proxy another file.
func (w *world) reload(yaml string) {
	w.file = yaml
	w.hangup <- syscall.SIGHUP
	synctest.Wait()
}

// reconfigure gives the running proxy other tenants, and a resolver.
func (w *world) reconfigure(dns mysqltenant.Resolver, yaml string) {
	w.Helper()
	st := stateOf(w, parseConfig(w, yaml), dns)
	w.proxy.dns = dns
	w.proxy.use(st)
}

// start runs a new proxy, which knows nothing of one before it.
func (w *world) start() {
	w.Helper()
	p, err := newProxy(w.Context(), w.cfg, w.log)
	if err != nil {
		w.Fatal(err)
	}
	p.dial = func(ctx context.Context, _ string, local, remote netip.AddrPort) (net.Conn, error) {
		return w.host.Dial(ctx, local, remote)
	}
	if w.table != nil {
		w.table.under(p)
	}
	if w.ledger != nil {
		w.ledger.under(p)
	}
	p.dialHEP = w.dialHEP
	for _, l := range w.cfg.Listen {
		if err := w.listen(p, l); err != nil {
			w.Fatal(err)
		}
	}
	w.hangup = make(chan os.Signal)
	p.hangup, p.reread = w.hangup, func() (*config.Config, error) { return readConfig(w.file) }
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.serve(ctx); err != nil {
			w.Error(err)
		}
	})
	w.proxy, w.stop = p, func() {
		cancel()
		wg.Wait()
		if err := p.Close(); err != nil {
			w.Error(err)
		}
	}
	synctest.Wait()
}

// listen opens a socket for p.
func (w *world) listen(p *Proxy, l config.Listener) error {
	if l.Transport == config.UDP {
		pc, err := w.host.ListenPacket(l.Addr)
		if err != nil {
			return err
		}
		return p.transport.ServePacket(pc)
	}
	listener, err := w.host.Listen(l.Addr)
	if err != nil {
		return err
	}
	return p.transport.ServeStream(string(l.Transport), listener)
}

// restart replaces the proxy by one with the same configuration.
func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

// silence lets everything time out, and fails the test if anybody gets, or has
// got, anything that was not looked at.
func (w *world) silence() {
	w.Helper()
	time.Sleep(10 * time.Minute)
	w.quiet()
}

// quiet fails the test if anybody has anything that was not looked at.
func (w *world) quiet() {
	w.Helper()
	for _, p := range w.peers {
		for _, m := range p.Drain() {
			w.Errorf("%v got unexpectedly\n%s", p.Addr, m.Text)
		}
	}
}

// bound returns what the proxy has stored for a user.
func (w *world) bound(user, domain string) []location.Binding {
	w.Helper()
	synctest.Wait()
	aor, err := location.MakeAOR(user, domain)
	if err != nil {
		w.Fatal(err)
	}
	bs, err := w.proxy.store.Lookup(w.Context(), aor)
	if err != nil {
		w.Fatal(err)
	}
	return bs
}

// decided returns how many decisions had a reason.
func (w *world) decided(r route.Reason) uint64 {
	synctest.Wait()
	return w.proxy.counters.reasons[r].Load()
}

// peer returns a peer whose messages the test must look at.
func (w *world) peer(p *siptestx.Peer) *siptestx.Peer {
	w.peers = append(w.peers, p)
	return p
}

// stranger returns somebody who is no PBX and no phone.
func (w *world) stranger() *siptestx.Peer {
	return w.peer(siptestx.UDP(w, w.net.NewHost(w.outside()), 5060))
}

// outside returns an address on the Internet that is free.
func (w *world) outside() netip.Addr {
	w.used++
	return netip.AddrFrom4([4]byte{203, 0, 113, w.used})
}

// answer returns the next message to p that is no 100 Trying; it must be a
// response with that status.
func (w *world) answer(p *siptestx.Peer, status int) siptestx.Message {
	w.Helper()
	for {
		m := p.Next()
		switch m.Status() {
		case status:
			return m
		case 100:
		default:
			w.Fatalf("%v gets\n%s\nwant %d", p.Addr, m.Text, status)
		}
	}
}

// another turns a request into its CANCEL, or the ACK for a non-2xx.
func (w *world) another(method, request string, fields ...string) string {
	old, _, _ := strings.Cut(request, " ")
	text := siptestx.Message{Text: strings.ReplaceAll(request, old, method)}.Without("Content-Type")
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	return siptestx.Edit(head+"\r\n\r\n", fields...)
}

// uriOf returns the URI in the angle brackets of an address.
func uriOf(address string) string {
	_, rest, _ := strings.Cut(address, "<")
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// pbx plays an Asterisk.
type pbx struct {
	*siptestx.Peer
	w        *world
	host     *simnet.Host
	domain   string
	contacts map[string][]string // URIs by the user of the AOR
}

func (w *world) pbx(addr, domain string) *pbx {
	h := w.net.NewHost(netip.MustParseAddr(addr))
	p := &pbx{Peer: w.peer(siptestx.UDP(w, h, 5060)), w: w, host: h, domain: domain, contacts: map[string][]string{}}
	return p
}

const challenge = `WWW-Authenticate: Digest realm="asterisk",nonce="1795325083/039e",opaque="16d6",algorithm=MD5,qop="auth"`

// challenge answers a REGISTER with 401.
func (p *pbx) challenge() siptestx.Message {
	p.w.Helper()
	m := p.Expect("REGISTER")
	p.Reply(m, 401, "pbx", challenge)
	return m
}

// grant answers a REGISTER with 200.
func (p *pbx) grant() siptestx.Message {
	p.w.Helper()
	m := p.Expect("REGISTER")
	p.accept(m)
	return m
}

// accept does what m asks, and answers it with all Contacts of the AOR.
func (p *pbx) accept(m siptestx.Message) {
	p.w.Helper()
	p.bind(m)
	user, _, _ := strings.Cut(strings.TrimPrefix(uriOf(m.Get("To")), "sip:"), "@")
	var list []string
	for _, uri := range p.contacts[user] {
		list = append(list, "Contact: <"+uri+">;expires=3599")
	}
	p.Reply(m, 200, "pbx", list...)
}

// bind stores the Contacts of a REGISTER as an Asterisk does, by their text.
func (p *pbx) bind(m siptestx.Message) {
	user, _, _ := strings.Cut(strings.TrimPrefix(uriOf(m.Get("To")), "sip:"), "@")
	for _, c := range m.All("Contact") {
		if c == "*" {
			p.contacts[user] = nil
			continue
		}
		var kept []string
		for _, uri := range p.contacts[user] {
			if uri != uriOf(c) {
				kept = append(kept, uri)
			}
		}
		if !strings.Contains(c, ";expires=0") && m.Get("Expires") != "0" {
			kept = append(kept, uriOf(c))
		}
		p.contacts[user] = kept
	}
}

// request writes a request as an Asterisk sends it to a Contact.
func (p *pbx) request(method, uri string, fields ...string) string {
	addr := p.Addr.String()
	own := []string{
		`From: "A 402" <sip:402@` + strings.TrimSuffix(addr, ":5060") + ">;tag=f5d82425",
		"To: <" + strings.Replace(uri, ":5060", "", 1) + ">",
		"Contact: <sip:asterisk@" + addr + ">",
		"User-Agent: Asterisk PBX 20.11.0",
	}
	return siptestx.Edit(p.Request(method, uri, own...), fields...)
}

// ask sends a request to the proxy.
func (p *pbx) ask(method, uri string, fields ...string) string {
	p.w.Helper()
	text := p.request(method, uri, fields...)
	p.Send(p.w.at, text)
	return text
}
