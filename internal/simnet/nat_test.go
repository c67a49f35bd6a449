package simnet_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/internal/simnet"
)

// home is a phone behind a NAT, and a proxy and another server outside.
type home struct {
	nat         *simnet.NAT
	phone       *simnet.PacketConn
	proxy       *simnet.PacketConn // 192.0.2.1:5060
	proxyOther  *simnet.PacketConn // 192.0.2.1:5080
	otherServer *simnet.PacketConn // 192.0.2.2:5060
}

func newHome(t *testing.T, n *simnet.Network, cfg simnet.NATConfig) home {
	t.Helper()
	cfg.Outside = []netip.Addr{homeAddr}
	nat := n.NewNAT(cfg)
	proxy := n.NewHost(proxyAddr)
	return home{
		nat:         nat,
		phone:       listenPacket(t, nat.NewHost(phoneAddr), sip),
		proxy:       listenPacket(t, proxy, sip),
		proxyOther:  listenPacket(t, proxy, 5080),
		otherServer: listenPacket(t, n.NewHost(otherAddr), sip),
	}
}

// register sends a packet to the proxy and returns the source that it sees.
func (h home) register(t *testing.T) netip.AddrPort {
	t.Helper()
	send(t, h.phone, at(proxyAddr, sip), "register")
	return expect(t, h.proxy, "register")
}

func TestNAT_WhoMaySend(t *testing.T) {
	tests := []struct {
		typ                          simnet.NATType
		proxy, proxyOther, otherHost bool
	}{
		{simnet.FullCone, true, true, true},
		{simnet.Restricted, true, true, false},
		{simnet.PortRestricted, true, false, false},
		{simnet.Symmetric, true, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.typ.String(), func(t *testing.T) {
			onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
				h := newHome(t, n, simnet.NATConfig{Type: tt.typ})
				outside := h.register(t)
				if outside.Addr() != homeAddr || outside.Port() == sip {
					t.Errorf("the proxy sees %v, want another port of %v", outside, homeAddr)
				}
				for _, from := range []struct {
					name   string
					socket *simnet.PacketConn
					want   bool
				}{
					{"the address and port sent to", h.proxy, tt.proxy},
					{"another port of it", h.proxyOther, tt.proxyOther},
					{"another address", h.otherServer, tt.otherHost},
				} {
					send(t, from.socket, outside, "hi")
					got := len(receiveAll(t, h.phone)) > 0
					if got != from.want {
						t.Errorf("%s gets in: %t, want %t", from.name, got, from.want)
					}
				}
			})
		})
	}
}

func TestNAT_MappingDependsOnRemoteOnlyIfSymmetric(t *testing.T) {
	for typ := simnet.FullCone; typ <= simnet.Symmetric; typ++ {
		t.Run(typ.String(), func(t *testing.T) {
			onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
				h := newHome(t, n, simnet.NATConfig{Type: typ})
				first := h.register(t)
				if again := h.register(t); again != first {
					t.Errorf("second packet to the proxy came from %v, want %v", again, first)
				}
				send(t, h.phone, at(otherAddr, sip), "stun")
				other := expect(t, h.otherServer, "stun")
				if got, want := other != first, typ == simnet.Symmetric; got != want {
					t.Errorf("own mapping for another remote: %t, want %t", got, want)
				}
				send(t, h.otherServer, other, "answer")
				expect(t, h.phone, "answer")
			})
		})
	}
}

func TestNAT_MappingExpires(t *testing.T) {
	tests := []struct {
		name           string
		inboundRefresh bool
		keepalive      func(h home, outside netip.AddrPort)
		want           bool
	}{
		{"unused", true, func(home, netip.AddrPort) {}, false},
		{"kept alive from inside", false, func(h home, _ netip.AddrPort) { send(t, h.phone, at(proxyAddr, sip), "") }, true},
		{"from outside, which does not count", false, func(h home, outside netip.AddrPort) { send(t, h.proxy, outside, "") }, false},
		{"from outside, which counts", true, func(h home, outside netip.AddrPort) { send(t, h.proxy, outside, "") }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
				h := newHome(t, n, simnet.NATConfig{Timeout: 30 * time.Second, InboundRefresh: tt.inboundRefresh})
				outside := h.register(t)
				time.Sleep(20 * time.Second)
				tt.keepalive(h, outside)
				time.Sleep(20 * time.Second)
				if got := len(h.nat.Mappings()) == 1; got != tt.want {
					t.Errorf("mapping alive after 40s: %t, want %t", got, tt.want)
				}
				send(t, h.proxy, outside, "invite")
				got := receiveAll(t, h.phone)
				if alive := len(got) > 0 && got[len(got)-1] == "invite"; alive != tt.want {
					t.Errorf("invite arrived: %t, want %t", alive, tt.want)
				}
			})
		})
	}
}

func TestNAT_ExpiredMappingGetsNewPort(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		h := newHome(t, n, simnet.NATConfig{Timeout: 30 * time.Second})
		first := h.register(t)
		time.Sleep(30 * time.Second)
		if second := h.register(t); second == first {
			t.Errorf("the phone still has %v, want another port", second)
		}
	})
}

func TestNAT_Rebind(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		h := newHome(t, n, simnet.NATConfig{})
		log := n.Record(func(p simnet.Packet) bool { return p.From.Addr() == proxyAddr })
		first := h.register(t)

		h.nat.Rebind()
		send(t, h.proxy, first, "to the old port")
		if diff := cmp.Diff([]string{"sent", string(simnet.Filtered)}, events(log)); diff != "" {
			t.Error(diff)
		}
		second := h.register(t)
		if second.Addr() != homeAddr || second == first {
			t.Errorf("source after Rebind is %v, want another port of %v", second, homeAddr)
		}
		send(t, h.proxy, second, "to the new port")
		expect(t, h.phone, "to the new port")

		h.nat.Rebind(shopAddr)
		if third := h.register(t); third.Addr() != shopAddr {
			t.Errorf("source after Rebind to %v is %v", shopAddr, third)
		}
		send(t, h.proxy, second, "to the old address")
		expectNothing(t, h.phone)
	})
}

// Two customers number their phones alike: nothing may reach the wrong one.
func TestNAT_SamePrivateAddressTwice(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		proxy := listenPacket(t, n.NewHost(proxyAddr), sip)
		inside := netip.MustParsePrefix("192.168.1.0/24")
		home := n.NewNAT(simnet.NATConfig{Outside: []netip.Addr{homeAddr}, Inside: inside})
		shop := n.NewNAT(simnet.NATConfig{Outside: []netip.Addr{shopAddr}, Inside: inside})
		homePhone := listenPacket(t, home.NewHost(phoneAddr), sip)
		shopPhone := listenPacket(t, shop.NewHost(phoneAddr), sip)

		send(t, homePhone, at(proxyAddr, sip), "home")
		homeSeen := expect(t, proxy, "home")
		send(t, shopPhone, at(proxyAddr, sip), "shop")
		shopSeen := expect(t, proxy, "shop")
		if homeSeen.Addr() != homeAddr || shopSeen.Addr() != shopAddr {
			t.Errorf("seen from %v and %v", homeSeen, shopSeen)
		}
		send(t, proxy, shopSeen, "for the shop")
		expect(t, shopPhone, "for the shop")
		expectNothing(t, homePhone)
	})
}

func TestNAT_InsideStaysInside(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		nat := n.NewNAT(simnet.NATConfig{
			Outside: []netip.Addr{homeAddr},
			Inside:  netip.MustParsePrefix("192.168.1.0/24"),
		})
		a := listenPacket(t, nat.NewHost(phoneAddr), sip)
		b := listenPacket(t, nat.NewHost(phoneAddr.Next()), sip)
		log := n.Record(nil)

		send(t, a, at(phoneAddr.Next(), sip), "over the LAN")
		if got, want := expect(t, b, "over the LAN"), at(phoneAddr, sip); got != want {
			t.Errorf("source on the LAN is %v, want %v", got, want)
		}
		send(t, a, netip.MustParseAddrPort("192.168.1.99:5060"), "to nobody")
		if got := nat.Mappings(); len(got) > 0 {
			t.Errorf("the LAN made mappings: %v", got)
		}
		send(t, a, at(proxyAddr, sip), "out")
		synctest.Wait()
		want := []simnet.Mapping{{Network: "udp", Inside: at(phoneAddr, sip), Outside: at(homeAddr, 40000)}}
		if diff := cmp.Diff(want, nat.Mappings(), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Error(diff)
		}
		send(t, b, at(homeAddr, 40000), "hairpin")
		expectNothing(t, a)
		if got := events(log); got[len(got)-1] != string(simnet.Filtered) {
			t.Errorf("hairpin: %v, want %v", got[len(got)-1], simnet.Filtered)
		}
	})
}

func TestNAT_OutsideAddresses(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8:1::10")
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		proxy := listenPacket(t, n.NewHost(proxyAddr), sip)
		nat := n.NewNAT(simnet.NATConfig{Type: simnet.Symmetric, Outside: []netip.Addr{homeAddr, shopAddr}})
		seen := make(map[netip.Addr]int)
		for i := range 4 {
			a := netip.AddrFrom4([4]byte{192, 168, 1, byte(10 + i)})
			phone := nat.NewHost(a, netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}))
			first, second := listenPacket(t, phone, sip), listenPacket(t, phone, 5062)
			send(t, first, at(proxyAddr, sip), "1")
			send(t, second, at(proxyAddr, sip), "2")
			if x, y := expect(t, proxy, "1").Addr(), expect(t, proxy, "2").Addr(); x != y {
				t.Errorf("%v has the outside addresses %v and %v, want one", a, x, y)
			} else {
				seen[x]++
			}
		}
		if diff := cmp.Diff(map[netip.Addr]int{homeAddr: 2, shopAddr: 2}, seen, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Error(diff)
		}

		log := n.Record(nil)
		c, err := nat.NewHost(v6).ListenPacket(netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, netip.MustParseAddrPort("[2001:db8::1]:5060"), "no IPv6 outside")
		if diff := cmp.Diff([]string{string(simnet.NoRoute)}, events(log)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSetup_Panics(t *testing.T) {
	tests := []struct {
		name  string
		setup func(*simnet.Network)
	}{
		{"host without address", func(n *simnet.Network) { n.NewHost() }},
		{"host without valid address", func(n *simnet.Network) { n.NewHost(netip.Addr{}) }},
		{"two hosts with one address", func(n *simnet.Network) { n.NewHost(proxyAddr); n.NewHost(proxyAddr) }},
		{"NAT without address", func(n *simnet.Network) { n.NewNAT(simnet.NATConfig{}) }},
		{"NAT with a host's address", func(n *simnet.Network) {
			n.NewHost(homeAddr)
			n.NewNAT(simnet.NATConfig{Outside: []netip.Addr{homeAddr}})
		}},
		{"host not inside", func(n *simnet.Network) {
			n.NewNAT(simnet.NATConfig{
				Outside: []netip.Addr{homeAddr},
				Inside:  netip.MustParsePrefix("10.0.0.0/8"),
			}).NewHost(phoneAddr)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
				defer func() {
					if recover() == nil {
						t.Error("no panic")
					}
				}()
				tt.setup(n)
			})
		})
	}
}
