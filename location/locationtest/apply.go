package locationtest

import (
	"errors"
	"time"

	"github.com/sipward/sipward/location"
)

var applyRules = []rule{
	{"Refresh", "A Put of a Contact that is stored replaces all fields of that binding and no other one.", checkRefresh},
	{"EquivalentContact", "Contacts compare as URIs (RFC 3261 section 19.1.4), and the latest text is kept.", checkEquivalentContact},
	{"Remove", "Remove drops what is the Same by instance or Contact, and nothing else.", checkRemove},
	{"Reset", "Reset drops all bindings of the AOR, and the Puts of the same Change come after it.", checkReset},
	{"Several", "One Change removes, refreshes and adds several bindings.", checkSeveral},
	{"AllOrNothing", "If one part of a Change is stale then no part of it is applied.", checkAllOrNothing},
	{"Keep", "Keep drops the least recently updated bindings, and only as many as exceed it.", checkKeep},
	{"KeepWritten", "Keep never drops a binding that the same Change puts.", checkKeepWritten},
	{"KeepLive", "Expired bindings do not count for Keep.", checkKeepLive},
	{"ZeroAOR", "Apply refuses the zero AOR.", checkZeroAOR},
}

func checkRefresh(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	a.UserAgent, a.Token, a.Path, a.Q, a.Methods = "old", "old", "<sip:old>", 100, 1
	f.put(aor, &a, &b)

	next := f.device()
	next.Contact, next.CSeq = a.Contact, 7
	f.put(aor, &next)
	f.want(aor, next, b)
}

func checkEquivalentContact(f *fixture) {
	aor := f.aor("201", "a.example")
	contacts := []string{ // all different; the second of each line equals the first
		"sip:bob@phone.example", "SIP:b%6Fb@PHONE.example",
		"sip:Bob@phone.example", "sip:Bob@phone.example;unknown=1",
		"sip:bob@phone.example:5060", "sip:bob@Phone.Example:5060",
		"sips:bob@phone.example", "sips:bob@phone.example;x",
		"sip:bob@phone.example;transport=tcp", "sip:bob@phone.example;Transport=TCP",
		"sip:bob@[2001:db8::1];line=a;ob", "sip:bob@[2001:DB8:0::1];ob;line=a",
		"tel:+1555", "tel:+1555",
	}
	var want []location.Binding
	for i := 0; i < len(contacts); i += 2 {
		first := f.device()
		first.Contact = contacts[i]
		f.put(aor, &first)
		second := f.again(first)
		second.Contact = contacts[i+1]
		f.put(aor, &second)
		want = append([]location.Binding{second}, want...)
		f.want(aor, want...)
	}
}

func checkRemove(f *fixture) {
	aor := f.aor("201", "a.example")
	byContact, byInstance, otherReg, stays := f.device(), f.device(), f.device(), f.device()
	byInstance.Instance, byInstance.RegID = "<urn:uuid:1>", 1
	otherReg.Instance, otherReg.RegID = "<urn:uuid:1>", 2
	stays.UserAgent = "phone"
	f.put(aor, &byContact, &byInstance, &otherReg, &stays)

	remove := func(b location.Binding) {
		f.Helper()
		f.apply(aor, location.Change{CallID: "x", CSeq: 1, Remove: []location.Binding{b}})
	}
	remove(location.Binding{Contact: "sip:unknown@192.0.2.99"})
	f.want(aor, stays, otherReg, byInstance, byContact)
	remove(location.Binding{Contact: byContact.Contact})
	f.want(aor, stays, otherReg, byInstance)
	remove(location.Binding{Contact: "sip:elsewhere@192.0.2.99", Instance: byInstance.Instance, RegID: 1})
	f.want(aor, stays, otherReg)
	remove(location.Binding{Contact: otherReg.Contact}) // a phone that forgot its instance
	f.want(aor, stays)
	// Only Contact, Instance and RegID are read.
	remove(location.Binding{Contact: "sip:unknown@192.0.2.99", Flow: stays.Flow, UserAgent: stays.UserAgent})
	f.want(aor, stays)
}

func checkReset(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b, c := f.device(), f.device(), f.device()
	f.put(aor, &a, &b)
	f.apply(aor, location.Change{CallID: "x", CSeq: 1, Reset: true})
	f.want(aor)
	f.apply(aor, location.Change{CallID: "x", CSeq: 2, Reset: true})
	f.put(aor, &a, &b)
	c.Updated, c.Expires = f.clock.Now(), f.clock.Now().Add(time.Minute)
	f.apply(aor, location.Change{CallID: "x", CSeq: 3, Reset: true, Put: []location.Binding{c}})
	f.want(aor, c)
}

// P-02: a REGISTER with several Contacts, one of them with expires=0.
func checkSeveral(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b, c, d := f.device(), f.device(), f.device(), f.device()
	f.put(aor, &a, &b, &c)
	f.clock.Advance(time.Second)
	a = f.again(a)
	d = f.again(d)
	a.Q, d.Q = 900, 800
	f.apply(aor, location.Change{CallID: "x", CSeq: 1, Remove: []location.Binding{b}, Put: []location.Binding{a, d}})
	f.want(aor, a, d, c)

	// The later one of two for the same binding counts.
	first, last := f.again(a), f.again(a)
	first.Token, last.Token = "first", "last"
	f.apply(aor, location.Change{CallID: "x", CSeq: 2, Put: []location.Binding{first, last}})
	f.want(aor, last, d, c)
}

func checkAllOrNothing(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	b.CSeq = 10
	f.put(aor, &a, &b)
	fresh, stale := f.device(), f.again(b)
	stale.CSeq = 9
	again := f.again(a)
	changes := map[string]location.Change{
		"second Put":       {Put: []location.Binding{again, stale, fresh}},
		"last Put":         {Put: []location.Binding{again, fresh, stale}},
		"Put after Remove": {CallID: "x", CSeq: 1, Remove: []location.Binding{a}, Put: []location.Binding{fresh, stale}},
		"second Remove":    {CallID: b.CallID, CSeq: 9, Remove: []location.Binding{a, b}, Put: []location.Binding{fresh}},
		"Reset":            {CallID: b.CallID, CSeq: 9, Reset: true, Put: []location.Binding{fresh}},
		"Put with Keep":    {Put: []location.Binding{fresh, stale}, Keep: 1},
	}
	for name, c := range changes {
		if err := f.store.Apply(f.Context(), aor, c); !errors.Is(err, location.ErrStale) {
			f.Errorf("%s: got error %v, want ErrStale", name, err)
		}
		f.want(aor, b, a)
	}
}

func checkKeep(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b, c, d := f.device(), f.device(), f.device(), f.device()
	a.Q = 1000 // how much a binding is wanted does not matter
	f.put(aor, &a, &b, &c)
	f.apply(aor, location.Change{Keep: 3})
	f.want(aor, a, c, b)

	a = f.again(a)
	f.put(aor, &a) // now b is the least recently updated one
	f.clock.Advance(time.Second)
	d = f.again(d)
	f.apply(aor, location.Change{Put: []location.Binding{d}, Keep: 3})
	f.want(aor, a, d, c)

	// A refresh adds none, so none has to go.
	f.clock.Advance(time.Second)
	c = f.again(c)
	f.apply(aor, location.Change{Put: []location.Binding{c}, Keep: 3})
	f.want(aor, a, c, d)

	f.apply(aor, location.Change{Keep: 1})
	f.want(aor, c)
}

func checkKeepWritten(f *fixture) {
	aor := f.aor("201", "a.example")
	stored, old, other := f.device(), f.device(), f.device()
	f.put(aor, &stored)
	old.Updated = f.clock.Now().Add(-time.Hour) // as if the clock had been set back
	other.Updated = f.clock.Now().Add(-2 * time.Hour)
	f.apply(aor, location.Change{Put: []location.Binding{old}, Keep: 1})
	f.want(aor, old)
	f.apply(aor, location.Change{Put: []location.Binding{old, other}, Keep: 1})
	f.want(aor, old, other)
}

func checkKeepLive(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b, c := f.device(), f.device(), f.device()
	f.put(aor, &a)
	b.Expires, b.Updated = f.clock.Now().Add(time.Minute), f.clock.Now().Add(time.Second)
	f.apply(aor, location.Change{Put: []location.Binding{b}})
	f.clock.Advance(time.Minute)
	c = f.again(c)
	f.apply(aor, location.Change{Put: []location.Binding{c}, Keep: 2})
	f.want(aor, c, a)
}

func checkZeroAOR(f *fixture) {
	if err := f.store.Apply(f.Context(), location.AOR{}, location.Change{Put: []location.Binding{f.device()}}); err == nil {
		f.Error("no error")
	}
	if bs, _ := f.store.Lookup(f.Context(), location.AOR{}); len(bs) > 0 {
		f.Error("it has bindings now")
	}
}
