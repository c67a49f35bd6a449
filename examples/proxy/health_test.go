package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// box is a PBX that answers everything, without anybody looking at it.
type box struct {
	addr     netip.AddrPort
	status   atomic.Int32 // of its answers; 0: it is silent
	requests atomic.Int32 // other than OPTIONS
	probes   atomic.Int32
}

// box starts one.
func (w *world) box(addr string) *box {
	w.Helper()
	b := &box{addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060)}
	b.status.Store(200)
	pc, err := w.net.NewHost(b.addr.Addr()).ListenPacket(b.addr)
	if err != nil {
		w.Fatal(err)
	}
	go b.serve(pc)
	w.Cleanup(func() { pc.Close() })
	return b
}

// serve answers until the network is gone.
func (b *box) serve(pc net.PacketConn) {
	buf := make([]byte, 65536)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		m := siptestx.Message{Text: string(buf[:n])}
		switch m.Method() {
		case "ACK", "":
			continue
		case "OPTIONS":
			b.probes.Add(1)
		default:
			b.requests.Add(1)
		}
		if status := int(b.status.Load()); status != 0 {
			pc.WriteTo([]byte(m.Reply(status, "box")), from)
		}
	}
}

// spread has n users send a request each, which somebody must answer at once.
func (w *world) spread(ph *phone, n int) {
	w.Helper()
	for i := range n {
		ph.user = fmt.Sprint(500 + i)
		ph.ask(ph.call("MESSAGE", "sip:499@a.test"))
		synctest.Wait()
		ph.Status(200)
	}
}

// noProbes ends the probes, so that nothing is on its way when the test ends.
func (w *world) noProbes() {
	w.cfg.Dispatcher.Probe = config.ProbeNever
	w.restart()
}

const watchedBoxes = `
dispatcher: {interval: 10s, timeout: 2s, all_down: %s}
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.2.1"}, {uri: "sip:10.0.2.2"}]}
`

// TestHealth_DeadPBXCostsNoCall: a PBX that died is noticed by probes before the
// next call needs it, and used again when it is back. P-34 P-35.
func TestHealth_DeadPBXCostsNoCall(t *testing.T) {
	inWorld(t, fmt.Sprintf(watchedBoxes, "try"), func(w *world) {
		defer w.noProbes()
		one, two := w.box("10.0.2.1"), w.box("10.0.2.2")
		ph := w.public("401", "a.test")
		time.Sleep(30 * time.Second)
		if one.probes.Load() < 2 || two.probes.Load() < 2 {
			t.Errorf("%d and %d probes", one.probes.Load(), two.probes.Load())
		}
		w.spread(ph, 40)
		if one.requests.Load() == 0 || two.requests.Load() == 0 {
			t.Errorf("%d and %d requests", one.requests.Load(), two.requests.Load())
		}
		two.status.Store(0)
		time.Sleep(30 * time.Second)
		before := two.requests.Load()
		w.spread(ph, 40)
		if n := two.requests.Load() - before; n != 0 {
			t.Errorf("the dead one got %d requests", n)
		}
		two.status.Store(200)
		time.Sleep(time.Minute)
		w.spread(ph, 40)
		if two.requests.Load() == before {
			t.Error("the one that is back gets nothing")
		}
	})
}

// TestHealth_Alive: which answers to a probe show that a PBX works is as configured.
func TestHealth_Alive(t *testing.T) {
	for alive, up := range map[string][]int{"[]": {200, 202, 401, 404, 501}, "[2xx, 404]": {200, 202, 404}} {
		t.Run(alive, func(t *testing.T) {
			inWorld(t, strings.Replace(fmt.Sprintf(watchedBoxes, "try"), "interval", "alive: "+alive+", interval", 1), func(w *world) {
				defer w.noProbes()
				one := w.box("10.0.2.1")
				w.box("10.0.2.2")
				for _, status := range []int{200, 202, 401, 404, 501, 503} {
					one.status.Store(int32(status))
					time.Sleep(30 * time.Second)
					want := dispatcher.Probing
					if slices.Contains(up, status) {
						want = dispatcher.Active
					}
					if got := w.proxy.sets.Status()[0]; got.State != want {
						t.Errorf("one that answers %d is %v, want %v (%s)", status, got.State, want, got.Cause)
					}
				}
			})
		})
	}
}

// TestHealth_PassiveOnly: without probes, requests find out that a PBX is dead,
// and after a while that it is not.
func TestHealth_PassiveOnly(t *testing.T) {
	inWorld(t, strings.Replace(fmt.Sprintf(watchedBoxes, "try"), "interval", "probe: never, interval", 1), func(w *world) {
		w.box("10.0.2.1")
		two := w.box("10.0.2.2")
		ph := w.public("401", "a.test")
		two.status.Store(503)
		for range 10 {
			w.spread(ph, 20)
			time.Sleep(2 * time.Second)
		}
		if n := two.requests.Load(); n == 0 || n > 40 {
			t.Errorf("the dead one got %d requests", n)
		}
		if two.probes.Load() != 0 {
			t.Error("it was probed")
		}
		two.status.Store(200)
		time.Sleep(time.Minute)
		before := two.requests.Load()
		w.spread(ph, 40)
		if two.requests.Load() == before {
			t.Error("the one that is back gets nothing")
		}
	})
}

// TestHealth_AllDown: what becomes of requests then is as configured.
func TestHealth_AllDown(t *testing.T) {
	for policy, tried := range map[string]bool{"try": true, "refuse": false} {
		t.Run(policy, func(t *testing.T) {
			inWorld(t, fmt.Sprintf(watchedBoxes, policy), func(w *world) {
				defer w.noProbes()
				one, two := w.box("10.0.2.1"), w.box("10.0.2.2")
				one.status.Store(0)
				two.status.Store(0)
				ph := w.public("401", "a.test")
				time.Sleep(30 * time.Second)
				one.status.Store(404) // so that a request is answered
				text := ph.ask(ph.call("MESSAGE", "sip:499@a.test"))
				if !tried {
					if m := ph.Status(503); m.Get("Retry-After") == "" {
						t.Errorf("no Retry-After:\n%s\nto\n%s", m.Text, text)
					}
					return
				}
				ph.Status(404)
			})
		})
	}
}

// TestHealth_EachAddress: of a name with two addresses only the dead one is left
// out. P-32.
func TestHealth_EachAddress(t *testing.T) {
	const yaml = `
dispatcher: {interval: 10s, timeout: 2s}
tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]
`
	inWorld(t, strings.Replace(yaml, "pbx.a.test", "10.0.2.1", 1), func(w *world) { // and not with the resolver of the system
		defer w.noProbes()
		one, two := w.box("10.0.2.1"), w.box("10.0.2.2")
		z := zone{"pbx.a.test": {"10.0.2.1", "10.0.2.2"}}
		w.proxy.source.names = mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: z})
		w.reload(yaml)
		ph := w.public("401", "a.test")
		w.spread(ph, 40)
		if one.requests.Load() == 0 || two.requests.Load() == 0 {
			t.Errorf("%d and %d requests", one.requests.Load(), two.requests.Load())
		}
		two.status.Store(0)
		time.Sleep(30 * time.Second)
		w.spread(ph, 40)
		if got := w.proxy.sets.Status(); len(got) != 2 || got[0].State == got[1].State {
			t.Errorf("%+v", got)
		}
	})
}
