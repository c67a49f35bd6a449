package locationtest

import (
	"net/netip"
	"time"

	"github.com/sipward/sipward/location"
)

var sameRules = []rule{
	{"SameInstance", "A phone with an instance replaces its binding, whatever its Contact and address are now.", checkSameInstance},
	{"SameContactNewFlow", "A phone with the same Contact replaces its binding when its address has changed.", checkSameContactNewFlow},
	{"SameSocket", "A phone without instance replaces its binding when it comes from the same address with the same user agent under another Contact.", checkSameSocket},
	{"NotSame", "Bindings that differ in reg-id, instance, address, transport or user agent live beside each other.", checkNotSame},
	{"OneRegister", "Two Puts of one Change never replace each other by flow and user agent, nor does the refresh of one replace the other.", checkOneRegister},
	{"ReplacesAll", "A Put replaces all bindings that are the Same by instance or Contact.", checkReplacesAll},
}

var (
	newPort   = netip.MustParseAddrPort("203.0.113.5:40000")
	otherPort = netip.MustParseAddrPort("203.0.113.5:40001")
)

func checkSameInstance(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	b.Instance, b.RegID = "<urn:uuid:1>", 1
	f.put(aor, &b)
	moved := f.again(b)
	moved.Contact, moved.Flow.Remote, moved.Flow.Transport, moved.CallID = "sip:moved@203.0.113.5", newPort, "tcp", "new"
	f.put(aor, &moved)
	f.want(aor, moved)
}

func checkSameContactNewFlow(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	f.put(aor, &b)
	moved := f.again(b)
	moved.Flow.Remote = newPort
	f.put(aor, &moved)
	f.want(aor, moved)

	// An instance on one side only does not make it another phone.
	moved = f.again(moved)
	moved.Instance, moved.RegID = "<urn:uuid:1>", 1
	f.put(aor, &moved)
	f.want(aor, moved)
	moved = f.again(moved)
	moved.Instance, moved.RegID = "", 0
	f.put(aor, &moved)
	f.want(aor, moved)
}

func checkSameSocket(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	b.UserAgent = "phone"
	f.put(aor, &b)
	restarted := f.again(b)
	restarted.Contact, restarted.CallID, restarted.CSeq = "sip:random2@10.0.0.1", "new", 1
	f.put(aor, &restarted)
	f.want(aor, restarted)
}

func checkNotSame(f *fixture) {
	aor := f.aor("201", "a.example")
	base := f.device()
	base.UserAgent = "phone"
	variants := []func(*location.Binding){
		func(*location.Binding) {},
		func(b *location.Binding) { b.UserAgent = "other phone" },
		func(b *location.Binding) { b.UserAgent = "Phone" },
		func(b *location.Binding) { b.UserAgent = "" },
		func(b *location.Binding) { b.UserAgent = "" },
		func(b *location.Binding) { b.Flow.Remote = newPort },
		func(b *location.Binding) { b.Flow.Transport = "tcp" },
		func(b *location.Binding) { b.Instance = "<urn:uuid:1>" },
		func(b *location.Binding) { b.Instance, b.RegID = "<urn:uuid:1>", 1 },
		func(b *location.Binding) { b.Instance, b.RegID = "<urn:uuid:1>", 2 },
		func(b *location.Binding) { b.Instance, b.RegID = "<urn:uuid:2>", 2 },
		func(b *location.Binding) { b.Flow = location.Flow{} },
		func(b *location.Binding) { b.Flow = location.Flow{} },
	}
	var want []location.Binding
	for _, vary := range variants {
		b := f.device()
		b.Flow, b.UserAgent = base.Flow, base.UserAgent
		vary(&b)
		f.put(aor, &b)
		want = append([]location.Binding{b}, want...)
		f.want(aor, want...)
	}

	// The same Contact with another instance is another phone: private
	// addresses repeat.
	twin := f.device()
	twin.Contact, twin.Instance, twin.RegID = want[2].Contact, "<urn:uuid:3>", 2
	f.put(aor, &twin)
	f.want(aor, append([]location.Binding{twin}, want...)...)
}

func checkOneRegister(f *fixture) {
	aor := f.aor("201", "a.example")
	udp, tcp := f.device(), f.device()
	udp.Q, tcp.Q = 1000, 500
	tcp.Flow = udp.Flow
	udp.UserAgent, tcp.UserAgent = "phone", "phone"
	both := func() {
		f.Helper()
		f.clock.Advance(time.Second)
		udp, tcp = f.again(udp), f.again(tcp)
		f.apply(aor, location.Change{Put: []location.Binding{udp, tcp}})
		f.want(aor, udp, tcp)
	}
	both()
	both()

	udp = f.again(udp)
	f.put(aor, &udp)
	f.want(aor, udp, tcp)

	// One that is neither takes the place of what the phone does not name.
	third := f.again(tcp)
	third.Contact = "sip:third@10.0.0.1"
	udp = f.again(udp)
	f.apply(aor, location.Change{Put: []location.Binding{third, udp}})
	f.want(aor, udp, third)
}

func checkReplacesAll(f *fixture) {
	aor := f.aor("201", "a.example")
	byContact, byInstance, other := f.device(), f.device(), f.device()
	byInstance.Instance = "<urn:uuid:1>"
	f.put(aor, &byContact, &byInstance, &other)
	b := f.device()
	b.Contact, b.Instance = byContact.Contact, byInstance.Instance
	f.put(aor, &b)
	f.want(aor, b, other)
}
