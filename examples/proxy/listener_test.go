package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// TestSecondListener: a phone is reached from the listener that it registered
// at, which is the only one its NAT lets in. P-18.
func TestSecondListener(t *testing.T) {
	for _, kind := range everyNAT() {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, `listen: ["udp:192.0.2.1:5060", "udp:192.0.2.1:5070"]`+threeTenants, func(w *world) {
				ph := w.behind(kind, "401", "a.test")
				ph.to = netip.MustParseAddrPort("192.0.2.1:5070")
				uri := ph.at(w.a)
				w.a.reaches(ph, "OPTIONS", uri)
				in, phoneIn := callIn(w.a, uri, ph)
				if len(in.routes) != 2 {
					t.Errorf("the PBX has the routes %q", in.routes)
				}
				out, pbxOut := callOut(ph, w.a)
				conversation(in, phoneIn)
				w.restart()
				conversation(out, pbxOut)
			})
		})
	}
}

// TestSecondListener_Public: a phone that is where its Contact says gets the
// requests of a dialog from the listener that it knows, too.
func TestSecondListener_Public(t *testing.T) {
	inWorld(t, `listen: ["udp:192.0.2.1:5060", "udp:192.0.2.1:5070"]`+threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.to = netip.MustParseAddrPort("192.0.2.1:5070")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		if m := in.send(phoneIn, "INFO"); m.From != ph.to {
			t.Errorf("it comes from %v", m.From)
		} else {
			ph.Reply(m, 200, "")
		}
		w.a.Status(200)
		conversation(in, phoneIn)
		conversation(callOut(ph, w.a))
	})
}

// TestAdvertised: the proxy listens on all addresses and is known by a name.
func TestAdvertised(t *testing.T) {
	inWorld(t, `
listen: ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]
advertise: edge.test
`+threeTenants, func(w *world) {
		ph, other := w.behind(simnet.PortRestricted, "401", "a.test"), w.overTCP("402", "a.test")
		for _, ph := range []*phone{ph, other} {
			uri := ph.at(w.a)
			if want := "sip:" + ph.user + "@edge.test:5060;rid=" + tokenOf(uri); uri != want {
				t.Errorf("the PBX gets the Contact %s", uri)
			}
			w.a.reaches(ph, "OPTIONS", uri)
			conversation(callIn(w.a, uri, ph))
			conversation(callOut(ph, w.a))
		}
	})
}

// TestIPv6: all of it over IPv6.
func TestIPv6(t *testing.T) {
	inWorld(t, `
listen: ["udp:[2001:db8::1]:5060", "tcp:[2001:db8::1]:5060"]
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:[2001:db8:1::10]:5060"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:[2001:db8:1::20]:5060"}]}
`, func(w *world) {
		w.at = proxy6At
		p := w.pbx("2001:db8:1::10", "a.test")
		public := w.phoneOn(w.net.NewHost(addr("2001:db8:2::1")), "401", "a.test")
		nat := w.net.NewNAT(simnet.NATConfig{Type: simnet.PortRestricted, Outside: []netip.Addr{addr("2001:db8:3::1")}})
		behind := w.phoneOn(nat.NewHost(addr("fd00::5")), "402", "a.test")
		tcp := w.net.NewHost(addr("2001:db8:2::2"))
		stream := w.phoneFrom(tcp, siptestx.Dial(w, tcp, w.at), "403", "a.test")
		for _, ph := range []*phone{public, behind, stream} {
			uri := ph.at(p)
			p.reaches(ph, "INVITE", uri)
			conversation(callIn(p, uri, ph))
			conversation(callOut(ph, p))
			p.refused(404, "MESSAGE", uri+"x")
		}
	})
}

// TestTwoFamilies: a phone and a PBX that speak IPv4 and IPv6 have a dialog, by two
// Record-Routes, of which each takes the one that it can reach (RFC 5658). P-18 P-28.
func TestTwoFamilies(t *testing.T) {
	const listen = `listen: ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060", "udp:[2001:db8::1]:5060", "tcp:[2001:db8::1]:5060"]`
	for name, tt := range map[string]struct {
		pbx        string
		phone, nat string
		at, to     netip.AddrPort // where the PBX and the phone send to
	}{
		"IPv4 phone": {"2001:db8:1::10", "192.168.1.10", "203.0.113.200", proxy6At, proxyAt},
		"IPv6 phone": {"10.0.1.11", "fd00::5", "2001:db8:3::1", proxyAt, proxy6At},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(name+" "+network, func(t *testing.T) {
				board := netip.AddrPortFrom(addr(tt.pbx), 5060)
				inWorld(t, listen+`
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:`+board.String()+`"}]}
`, func(w *world) {
					w.at = tt.at
					p := w.pbx(tt.pbx, "a.test")
					nat := w.net.NewNAT(simnet.NATConfig{Type: simnet.PortRestricted, Outside: []netip.Addr{addr(tt.nat)}})
					h := nat.NewHost(addr(tt.phone))
					peer := siptestx.UDP
					if network == "tcp" {
						peer = func(t testing.TB, h *simnet.Host, _ uint16) *siptestx.Peer { return siptestx.Dial(t, h, tt.to) }
					}
					ph := w.phoneFrom(h, peer(w, h, 5060), "401", "a.test")
					ph.to = tt.to
					uri := ph.at(p)
					p.reaches(ph, "INVITE", uri)
					in, phoneIn := callIn(p, uri, ph)
					if len(in.routes) != 2 || !strings.Contains(in.routes[0], tt.at.String()) || !strings.Contains(in.routes[1], tt.to.String()) {
						t.Errorf("the PBX has the routes %q", in.routes)
					}
					phoneOut, out := callOut(ph, p)
					conversation(out, phoneOut)
					if network == "udp" {
						w.restart()
					}
					conversation(in, phoneIn)
				})
			})
		}
	}
}
