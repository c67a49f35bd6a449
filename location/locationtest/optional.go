package locationtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sipward/sipward/location"
)

// optionalRules pass if the store lacks the interface that they are about.
var optionalRules = []rule{
	{"Lister", "All yields each live binding of all AORs exactly once, and no other.", checkLister},
	{"ListerEnds", "All stops when its loop does, lets the loop use the store, and yields ctx's error once ctx is done.", checkListerEnds},
	{"Purger", "Purge drops expired bindings, at most as many as it is told, returns how many, and no live one.", checkPurger},
	{"FlowFinder", "HasFlow finds who is live on a transport and remote address, through refreshes and new flows, and nobody else, and asks for no more than it must.", checkFlowFinder},
	{"ContactFinder", "LookupContact finds the live bindings with that Contact user, of whichever AOR, in that domain only.", checkContactFinder},
	{"ContactFinderFollows", "LookupContact sees each change of a Contact, and no expired binding.", checkContactFinderFollows},
	{"ContactFinderOrder", "LookupContact orders as Lookup does, and then by AOR.", checkContactFinderOrder},
}

func checkLister(f *fixture) {
	lister, ok := location.As[location.Lister](f.store)
	if !ok {
		return
	}
	want := map[location.Entry]int{}
	for _, domain := range []string{"a.example", "b.example"} {
		for _, user := range []string{"201", "202", "203"} {
			aor := f.aor(user, domain)
			a, b, dead := f.device(), f.device(), f.device()
			f.put(aor, &a, &b)
			dead.Expires = f.clock.Now().Add(time.Minute)
			f.apply(aor, location.Change{Put: []location.Binding{dead}})
			want[key(aor, a)], want[key(aor, b)] = 1, 1
		}
	}
	f.clock.Advance(time.Minute)
	for e, err := range lister.All(f.Context()) {
		if err != nil {
			f.Fatal(err)
		}
		want[key(e.AOR, e.Binding)]--
	}
	for e, n := range want {
		if n != 0 {
			f.Errorf("%q %q came %d times too few", e.AOR, e.Binding.Contact, n)
		}
	}
}

// key is what an entry compares by in a map: times may be in other locations.
func key(aor location.AOR, b location.Binding) location.Entry {
	b.Expires, b.Updated = b.Expires.UTC(), b.Updated.UTC()
	return location.Entry{AOR: aor, Binding: b}
}

func checkListerEnds(f *fixture) {
	lister, ok := location.As[location.Lister](f.store)
	if !ok {
		return
	}
	for _, user := range []string{"201", "202", "203"} {
		b := f.device()
		f.put(f.aor(user, "a.example"), &b)
	}
	for e, err := range lister.All(f.Context()) {
		if err != nil {
			f.Fatal(err)
		}
		b := f.again(e.Binding)
		f.put(e.AOR, &b)
		f.want(e.AOR, b)
		break
	}
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range lister.All(ctx) {
		if last = err; err != nil {
			break
		}
		n++
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		f.Errorf("canceled after the first binding: %d bindings, then error %v", n, last)
	}
}

func checkPurger(f *fixture) {
	purger, ok := location.As[location.Purger](f.store)
	if !ok {
		return
	}
	aors := []location.AOR{f.aor("201", "a.example"), f.aor("202", "a.example"), f.aor("201", "b.example")}
	var lives []location.Binding
	for _, aor := range aors {
		a, b, c, live := f.device(), f.device(), f.device(), f.device()
		f.put(aor, &a, &b, &c, &live)
		live.Expires = f.clock.Now().Add(24 * time.Hour)
		f.apply(aor, location.Change{Put: []location.Binding{live}})
		lives = append(lives, live)
	}
	purge := func(limit, want int) {
		f.Helper()
		if n, err := purger.Purge(f.Context(), limit); n != want || err != nil {
			f.Errorf("Purge(%d): got %d, %v; want %d", limit, n, err, want)
		}
	}
	purge(100, 0)
	f.clock.Advance(time.Hour)
	purge(0, 0)
	purge(1, 1)
	f.clock.Advance(time.Hour)
	purge(1, 1)
	purge(3, 3)
	purge(100, 4)
	purge(100, 0)
	for i, aor := range aors {
		f.want(aor, lives[i])
	}
	f.clock.Advance(22*time.Hour - 10*time.Second)
	purge(100, 0) // some seconds before they expire
	f.clock.Advance(10 * time.Second)
	purge(100, 3)
	if n, err := purger.Purge(done(), 100); err == nil {
		f.Errorf("with ctx done: got %d, %v", n, err)
	}
}

// wantContact checks what a Contact user finds, if the store can find it.
func (f *fixture) wantContact(finder location.ContactFinder, user, domain string, want ...location.Entry) {
	f.Helper()
	got, err := finder.LookupContact(f.Context(), f.aor(user, domain))
	if err != nil {
		f.Fatal(err)
	}
	if d := diffEntries(got, want); d != "" {
		f.Errorf("LookupContact(%q in %s):\n%s", user, domain, d)
	}
}

func checkContactFinder(f *fixture) {
	finder, ok := location.As[location.ContactFinder](f.store)
	if !ok {
		return
	}
	put := func(user, domain, contact string) location.Entry {
		f.Helper()
		aor, b := f.aor(user, domain), f.device()
		b.Contact = contact
		f.put(aor, &b)
		return location.Entry{AOR: aor, Binding: b}
	}
	own := put("201", "a.example", "sip:201@10.1.0.1")
	other := put("202", "a.example", "sip:201@10.1.0.2")
	otherDomain := put("202", "b.example", "sip:201@10.1.0.2")
	second := put("202", "a.example", "sip:x%40Y@10.1.0.3;line=1")
	third := put("203", "a.example", "sips:x%40Y@10.1.0.4:5061")
	fourth := put("x@Y", "a.example", "sip:204@10.1.0.5")
	put("205", "a.example", "sip:10.1.0.6")
	put("205", "a.example", "tel:201")
	percent := put("205", "a.example", "sip:%25@10.1.0.7")

	f.wantContact(finder, "201", "a.example", other, own)
	f.wantContact(finder, "201", "b.example", otherDomain)
	f.wantContact(finder, "x@Y", "a.example", third, second)
	f.wantContact(finder, "204", "a.example", fourth)
	f.wantContact(finder, "%", "a.example", percent)
	for _, user := range []string{"202", "203", "205", "X@Y", "x@y", "x%40Y", "_01", "20"} {
		f.wantContact(finder, user, "a.example")
	}
	if _, err := finder.LookupContact(done(), own.AOR); !errors.Is(err, context.Canceled) {
		f.Errorf("with ctx done: error %v", err)
	}
}

func checkContactFinderFollows(f *fixture) {
	finder, ok := location.As[location.ContactFinder](f.store)
	if !ok {
		return
	}
	aor := f.aor("201", "a.example")
	b := f.device()
	b.Instance, b.RegID = "<urn:uuid:1>", 1
	for _, user := range []string{"random1", "random2", "201", "random1", "random1"} {
		b = f.again(b)
		b.Contact = "sip:" + user + "@10.1.0.1"
		f.put(aor, &b)
		for _, u := range []string{"random1", "random2", "201"} {
			if u == user {
				f.wantContact(finder, u, "a.example", location.Entry{AOR: aor, Binding: b})
			} else {
				f.wantContact(finder, u, "a.example")
			}
		}
	}
	f.clock.Advance(time.Hour - time.Second)
	f.wantContact(finder, "random1", "a.example", location.Entry{AOR: aor, Binding: b})
	f.clock.Advance(time.Second)
	f.wantContact(finder, "random1", "a.example")
	b = f.again(b)
	f.put(aor, &b)
	f.apply(aor, location.Change{CallID: "x", Remove: []location.Binding{b}})
	f.wantContact(finder, "random1", "a.example")
}

func checkContactFinderOrder(f *fixture) {
	finder, ok := location.As[location.ContactFinder](f.store)
	if !ok {
		return
	}
	var es []location.Entry
	for _, user := range []string{"b", "c", "a"} {
		for _, q := range []location.Q{500, location.QUnspecified} {
			b := f.device()
			b.Contact, b.Q = "sip:shared@"+b.Flow.Remote.String(), q
			es = append(es, location.Entry{AOR: f.aor(user, "a.example"), Binding: b})
		}
	}
	for i := range es {
		if i == len(es)-1 {
			f.clock.Advance(time.Second)
			es[i].Binding = f.again(es[i].Binding)
		}
		f.apply(es[i].AOR, location.Change{Put: []location.Binding{es[i].Binding}})
	}
	want := []location.Entry{es[4], es[0], es[2], es[5], es[1], es[3]}
	f.wantContact(finder, "shared", "a.example", slices.Clone(want)...)
}

func checkFlowFinder(f *fixture) {
	finder, ok := location.As[location.FlowFinder](f.store)
	if !ok {
		return
	}
	want := func(flow location.Flow, want ...location.AOR) {
		f.Helper()
		has := func(accept func(location.AOR) bool, want bool) {
			f.Helper()
			if got, err := finder.HasFlow(f.Context(), flow, accept); got != want || err != nil {
				f.Errorf("HasFlow(%v) = %v, %v; want %v", flow, got, err, want)
			}
		}
		var all []location.AOR
		has(nil, len(want) > 0)
		has(func(a location.AOR) bool { all = append(all, a); return false }, false)
		for _, aor := range want {
			has(func(a location.AOR) bool { return a == aor }, true)
		}
		asked := 0
		has(func(location.AOR) bool { asked++; return true }, len(want) > 0)
		slices.SortFunc(all, location.AOR.Compare)
		slices.SortFunc(want, location.AOR.Compare)
		if !slices.Equal(all, want) || asked > 1 {
			f.Errorf("HasFlow(%v) asks for %v, and for %d if the first will do; want %v", flow, all, asked, want)
		}
	}
	a, b := f.aor("201", "a.example"), f.aor("201", "b.example")
	phone, other := f.device(), f.device()
	other.Flow = phone.Flow // two AORs of one phone
	f.put(a, &phone)
	f.put(b, &other)
	want(phone.Flow, a, b)
	elsewhere := phone.Flow
	elsewhere.Transport = "tcp"
	want(elsewhere)

	moved := f.again(phone)
	moved.Flow.Remote = f.device().Flow.Remote
	f.put(a, &moved)
	want(phone.Flow, b)
	want(moved.Flow, a)

	f.apply(b, location.Change{Reset: true})
	want(other.Flow)
	f.clock.Advance(24 * time.Hour)
	want(moved.Flow)
	if _, err := finder.HasFlow(done(), moved.Flow, nil); !errors.Is(err, context.Canceled) {
		f.Errorf("with ctx done: error %v", err)
	}
}
