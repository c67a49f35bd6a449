package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
)

// pinging has phones of all tenants pinged, every 10 s.
const pinging = "nat: {ping: options, ping_interval: 10s}" + threeTenants

// answerPings plays phones for d: they answer pings, and nothing else must come.
// It returns how many each got.
func (w *world) answerPings(d time.Duration, phones ...*phone) []int {
	w.Helper()
	pings := make([]int, len(phones))
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for i, ph := range phones {
			for _, m := range ph.Poll() {
				if m.Method() != "OPTIONS" || m.URI() != ph.uri() {
					w.Fatalf("%s gets\n%s", ph.user, m.Text)
				}
				ph.Reply(m, 200, "phone")
				pings[i]++
			}
		}
	}
	return pings
}

// leave has phones say that they go, and waits for the end of what they do not
// answer any more.
func (w *world) leave(p *pbx, phones ...*phone) {
	w.Helper()
	for _, ph := range phones {
		ph.refresh(p, "Expires: 0")
	}
	time.Sleep(time.Minute)
	for _, ph := range phones {
		ph.Drain()
	}
}

// second starts another proxy on the same table, to which the phones send that
// are made from now on. It ends with the first one.
func (w *world) second(at netip.AddrPort, yaml string) {
	w.Helper()
	first := *w
	w.host, w.at, w.cfg = w.net.NewHost(at.Addr()), at, parseConfig(w, yaml)
	w.start()
	stop := w.stop
	w.host, w.cfg, w.proxy, w.hangup = first.host, first.cfg, first.proxy, first.hangup
	w.stop = func() { stop(); first.stop() }
}

// know has the proxy read what the table has of a user.
func (w *world) know(user, domain string) []location.Binding {
	w.Helper()
	synctest.Wait() // until the table has what another proxy writes a moment later
	aor, err := location.MakeAOR(user, domain)
	if err != nil {
		w.Fatal(err)
	}
	bs, err := w.proxy.mirror.Lookup(w.Context(), aor)
	if err != nil {
		w.Fatal(err)
	}
	return bs
}

// TestKeepalive: phones are pinged as their set wants it, and one that answers no
// OPTIONS is forgotten. P-15.
func TestKeepalive(t *testing.T) {
	inWorld(t, `
nat: {ping_interval: 10s}
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}], nat: {ping: options}}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20"}], nat: {ping: crlf}}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:10.0.1.30"}]}
`, func(w *world) {
		alive, dead := w.behind(simnet.Symmetric, "401", "a.test"), w.behind(simnet.Symmetric, "402", "a.test")
		crlf, left := w.behind(simnet.Symmetric, "401", "b.test"), w.behind(simnet.Symmetric, "401", "c.test")
		uri, gone := alive.at(w.a), dead.at(w.a)
		crlf.register(w.b)
		left.register(w.c)
		w.answerPings(2*time.Minute, alive)
		if n := len(dead.Drain()); n == 0 {
			t.Error("the dead one was not pinged")
		}
		crlf.Drain()
		w.a.reaches(alive, "MESSAGE", uri)
		w.a.refused(404, "INVITE", gone)
		if n := len(w.bound("401", "b.test")); n != 1 {
			t.Errorf("the one with CRLF has %d bindings", n)
		}
		alive.refresh(w.a, "Expires: 0")
		crlf.refresh(w.b, "Expires: 0")
		time.Sleep(time.Minute)
		alive.Drain()
		crlf.Drain()
	})
}

// TestKeepalive_OtherProxy: of two proxies on one database each pings the phones
// that have registered with it. It forgets none of the other's, nor any that
// others have written: they do not answer where they did not register. P-15.
func TestKeepalive_OtherProxy(t *testing.T) {
	inWorld(t, pinging, func(w *world) {
		w.table = newSlowTable()
		w.table.maxAge = 10 * time.Second
		close(w.table.open)
		w.restart()
		own := w.public("401", "a.test")
		own.register(w.a)
		w.second(netip.MustParseAddrPort("192.0.2.2:5060"), `listen: ["udp:192.0.2.2:5060", "tcp:192.0.2.2:5060"]`+"\n"+pinging)
		udp, tcp := w.behind(simnet.PortRestricted, "402", "a.test"), w.overTCP("403", "a.test")
		udp.register(w.a)
		tcp.register(w.a)
		foreign := location.Binding{
			Contact: "sip:404@192.168.1.10", Expires: time.Now().Add(time.Hour), Updated: time.Now(),
			Flow: location.Flow{Transport: "udp", Remote: w.stranger().Addr},
		}
		aor, err := location.MakeAOR("404", "a.test")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.table.Memory.Apply(t.Context(), aor, location.Change{Put: []location.Binding{foreign}}); err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"402", "403", "404"} {
			if n := len(w.know(user, "a.test")); n != 1 {
				t.Fatalf("the first proxy knows %d bindings of %s", n, user)
			}
		}
		wire := w.net.Record(func(p simnet.Packet) bool {
			return p.Src.Addr() == proxyAt.Addr() && p.Dst.Addr() != own.Addr.Addr() && p.Event == simnet.Sent
		})
		for i, n := range w.answerPings(3*time.Minute, own, udp, tcp) {
			if n < 17 || n > 19 {
				t.Errorf("phone %d has got %d pings", i, n)
			}
		}
		if sent := wire.Packets(); len(sent) > 0 {
			t.Errorf("the first proxy has sent %d packets, %v", len(sent), sent[0])
		}
		for _, user := range []string{"401", "402", "403", "404"} {
			aor, err := location.MakeAOR(user, "a.test")
			if err != nil {
				t.Fatal(err)
			}
			if bs, err := w.table.Memory.Lookup(t.Context(), aor); err != nil || len(bs) != 1 {
				t.Errorf("%s has the bindings %v, %v", user, bs, err)
			}
		}
		w.leave(w.a, own, udp, tcp)
	})
}

// TestKeepalive_Outage: while our own network is down no phone answers, and none
// is forgotten. One that is gone after that is. P-15.
func TestKeepalive_Outage(t *testing.T) {
	inWorld(t, pinging, func(w *world) {
		one, other, gone := w.public("401", "a.test"), w.public("402", "a.test"), w.public("401", "b.test")
		uri, lost := one.at(w.a), gone.at(w.b)
		other.register(w.a)
		w.answerPings(30*time.Second, one, other, gone)
		w.host.BlackHole(true)
		w.answerPings(10*time.Minute, one, other, gone)
		w.host.BlackHole(false)
		for _, ph := range []*phone{one, other, gone} {
			if n := len(w.bound(ph.user, ph.domain)); n != 1 {
				t.Errorf("%s has %d bindings", ph.aor(), n)
			}
		}
		w.answerPings(2*time.Minute, one, other)
		gone.Drain()
		w.a.reaches(one, "MESSAGE", uri)
		w.b.refused(404, "INVITE", lost)
		w.leave(w.a, one, other)
	})
}

// TestKeepalive_BackMeanwhile: a phone that registers just when it is forgotten
// stays, and nobody is told that it is lost. P-15.
func TestKeepalive_BackMeanwhile(t *testing.T) {
	inWorld(t, pinging, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		aor, err := location.MakeAOR("401", "a.test")
		if err != nil {
			t.Fatal(err)
		}
		e := location.Entry{AOR: aor, Binding: w.bound("401", "a.test")[0]}
		var log bytes.Buffer
		w.proxy.log = slog.New(slog.NewTextHandler(&log, nil))
		w.proxy.store = &meanwhile{w.proxy.store, func() { ph.refresh(w.a) }}
		w.proxy.phoneLost(e)
		if n := w.proxy.counters.lost.Load(); n != 0 || log.Len() > 0 {
			t.Errorf("%d phones are lost, log: %s", n, log.String())
		}
		w.a.reaches(ph, "MESSAGE", uri)
		w.leave(w.a, ph)
	})
}

// meanwhile is a store with which something happens right after a Lookup, once.
type meanwhile struct {
	location.Store
	happens func()
}

func (m *meanwhile) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	bs, err := m.Store.Lookup(ctx, aor)
	happens := m.happens
	m.happens = func() {}
	happens()
	return bs, err
}

// TestKeepalive_AllAddresses: phones are pinged if the proxy listens on all
// addresses, those too that the host got later.
func TestKeepalive_AllAddresses(t *testing.T) {
	inWorld(t, `
listen: ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]
advertise: edge.test
`+pinging, func(w *world) {
		udp, tcp := w.behind(simnet.PortRestricted, "401", "a.test"), w.overTCP("402", "a.test")
		udp.register(w.a)
		tcp.register(w.a)
		for i, n := range w.answerPings(time.Minute, udp, tcp) {
			if n < 5 {
				t.Errorf("phone %d has got %d pings", i, n)
			}
		}
		w.leave(w.a, udp, tcp)
	})
}
