package locationtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

var modelRule = rule{
	"Model",
	"After any history of changes the store has what a plain map has.",
	func(f *fixture) {
		for seed := range uint64(4) {
			f.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				g := generator{newFixture(t, f.harness), rand.New(rand.NewPCG(seed, 1))}
				g.run(300)
			})
		}
	},
}

// model is a store as plain as can be. It has nothing in common with
// location's own logic but the contract, so that it can tell on it. Contacts
// compare as texts, which is why the generator's are not equivalent to each
// other unless they are equal.
type model map[location.AOR][]location.Binding

// apply does c and reports whether it was not stale.
func (m model) apply(aor location.AOR, c location.Change, now time.Time) bool {
	stored := slices.DeleteFunc(slices.Clone(m[aor]), func(b location.Binding) bool { return !b.Expires.After(now) })
	stale := false
	take := func(callID string, cseq uint32, match func(location.Binding) bool) (taken int) {
		stored = slices.DeleteFunc(stored, func(b location.Binding) bool {
			if !match(b) {
				return false
			}
			taken++
			stale = stale || b.CallID == callID && b.CSeq > cseq
			return true
		})
		return taken
	}
	if c.Reset {
		take(c.CallID, c.CSeq, func(location.Binding) bool { return true })
	}
	for _, r := range c.Remove {
		take(c.CallID, c.CSeq, func(b location.Binding) bool { return modelKey(b, r) })
	}
	var puts, homeless []location.Binding
	for i, p := range c.Put {
		if slices.ContainsFunc(c.Put[i+1:], func(later location.Binding) bool { return modelKey(p, later) }) {
			continue
		}
		if take(p.CallID, p.CSeq, func(b location.Binding) bool { return modelKey(b, p) }) == 0 {
			homeless = append(homeless, p)
		}
		puts = append(puts, p)
	}
	for _, p := range homeless {
		take(p.CallID, p.CSeq, func(b location.Binding) bool { return modelSocket(b, p) })
	}
	if stale {
		return false
	}
	puts = slices.DeleteFunc(puts, func(b location.Binding) bool { return !b.Expires.After(now) })
	slices.SortFunc(stored, func(a, b location.Binding) int { return b.Updated.Compare(a.Updated) })
	if c.Keep > 0 && len(stored)+len(puts) > c.Keep {
		stored = stored[:max(c.Keep-len(puts), 0)]
	}
	m[aor] = append(stored, puts...)
	return true
}

func modelKey(a, b location.Binding) bool {
	if a.Instance != "" && b.Instance != "" {
		return a.Instance == b.Instance && a.RegID == b.RegID
	}
	return a.Contact == b.Contact
}

func modelSocket(a, b location.Binding) bool {
	return a.Instance == "" && b.Instance == "" && a.UserAgent != "" && a.UserAgent == b.UserAgent &&
		a.Flow.Remote == b.Flow.Remote && a.Flow.Transport == b.Flow.Transport
}

func (m model) lookup(aor location.AOR, now time.Time) []location.Binding {
	bs := slices.DeleteFunc(slices.Clone(m[aor]), func(b location.Binding) bool { return !b.Expires.After(now) })
	slices.SortFunc(bs, func(a, b location.Binding) int {
		if a.Q != b.Q {
			return int(b.Q) - int(a.Q)
		}
		return b.Updated.Compare(a.Updated)
	})
	return bs
}

// lookupContact needs no unescaping for what the generator makes.
func (m model) lookupContact(contact location.AOR, now time.Time) []location.Entry {
	var es []location.Entry
	for aor := range m {
		for _, b := range m.lookup(aor, now) {
			if aor.Domain() == contact.Domain() && strings.HasPrefix(b.Contact, "sip:"+contact.User()+"@") {
				es = append(es, location.Entry{AOR: aor, Binding: b})
			}
		}
	}
	slices.SortFunc(es, func(a, b location.Entry) int {
		if a.Binding.Q != b.Binding.Q {
			return int(b.Binding.Q) - int(a.Binding.Q)
		}
		return b.Binding.Updated.Compare(a.Binding.Updated)
	})
	return es
}

// modelUsers are those of AORs; the first three are those of Contacts, too.
var modelUsers = []string{"201", "202", "random", "Random", "RANDOM", "204", "205", "206"}

// generator makes up a history.
type generator struct {
	*fixture
	*rand.Rand
}

// aors returns those of the first n modelUsers in two domains.
func (g generator) aors(n int) (aors []location.AOR) {
	for _, domain := range []string{"a.example", "b.example"} {
		for _, user := range modelUsers[:n] {
			aors = append(aors, g.aor(user, domain))
		}
	}
	return aors
}

func (g generator) run(steps int) {
	m := model{}
	aors := g.aors(2)
	var history []string
	for range steps {
		g.advance()
		aor := aors[g.IntN(len(aors))]
		c := g.change()
		history = append(history, fmt.Sprintf("%s Apply(%q, %s)", g.clock.Now().Format(time.TimeOnly), aor, describe(c)))
		g.compare(m, aor, c, g.store.Apply(g.Context(), aor, c), history)
		g.compareAll(m, aors, history)
	}
}

func (g generator) advance() {
	g.clock.Advance(time.Duration(1+g.IntN(20)*g.IntN(20)) * time.Second)
}

// compare applies c to the model, which must agree with what the store said.
func (g generator) compare(m model, aor location.AOR, c location.Change, err error, history []string) {
	g.Helper()
	if err != nil && !errors.Is(err, location.ErrStale) {
		g.Fatalf("%v\n%s", err, tail(history))
	}
	if ok := m.apply(aor, c, g.clock.Now()); ok != (err == nil) {
		g.Fatalf("%q: error %v, the model says stale: %v\n%s", aor, err, !ok, tail(history))
	}
}

// compareAll compares what the store has with what the model has.
func (g generator) compareAll(m model, aors []location.AOR, history []string) {
	g.Helper()
	for _, aor := range aors {
		if d := diff(g.lookup(aor), m.lookup(aor, g.clock.Now())); d != "" {
			g.Fatalf("Lookup(%q):\n%s%s", aor, d, tail(history))
		}
	}
	if d := g.optional(m); d != "" {
		g.Fatalf("%s%s", d, tail(history))
	}
}

// optional compares what optional interfaces see, and purges now and then.
func (g generator) optional(m model) string {
	if p, ok := location.As[location.Purger](g.store); ok && g.IntN(10) == 0 {
		if _, err := p.Purge(g.Context(), g.IntN(5)); err != nil {
			return err.Error()
		}
	}
	finder, ok := location.As[location.ContactFinder](g.store)
	if !ok {
		return ""
	}
	for _, user := range modelUsers[:3] {
		contact := g.aor(user, "a.example")
		got, err := finder.LookupContact(g.Context(), contact)
		if err != nil {
			return err.Error()
		}
		if d := diffEntries(got, m.lookupContact(contact, g.clock.Now())); d != "" {
			return fmt.Sprintf("LookupContact(%q):\n%s", contact, d)
		}
	}
	return ""
}

func (g generator) change() location.Change {
	c := location.Change{CallID: g.callID(), CSeq: g.cseq(), Reset: g.IntN(20) == 0}
	for range max(g.IntN(6)-3, 0) {
		c.Remove = append(c.Remove, g.binding())
	}
	for range max(g.IntN(6)-1, 0) {
		c.Put = append(c.Put, g.binding())
	}
	if g.IntN(3) == 0 {
		c.Keep = 1 + g.IntN(6)
	}
	return c
}

func (g generator) callID() string { return fmt.Sprintf("call-%d", g.IntN(3)) }
func (g generator) cseq() uint32   { return uint32(1 + g.IntN(50)) }

// binding makes one up out of few values, so that it often is the Same as some
// other one. No two have equal Updated, lest their order be open.
func (g generator) binding() location.Binding {
	g.made++
	b := location.Binding{
		Contact: fmt.Sprintf("sip:%s@10.0.0.%d", modelUsers[g.IntN(3)], g.IntN(2)),
		Q:       [...]location.Q{location.QUnspecified, 500, 1000}[g.IntN(3)],
		CallID:  g.callID(),
		CSeq:    g.cseq(),
		Expires: g.clock.Now().Add(time.Duration(g.IntN(600)) * time.Second),
		Updated: g.clock.Now().Add(-time.Duration(g.made*7919%10007) * time.Hour),
		Token:   fmt.Sprint(g.made),
	}
	b.Flow.Transport = [...]string{"udp", "tcp"}[g.IntN(2)]
	b.Flow.Remote = [...]netip.AddrPort{newPort, otherPort}[g.IntN(2)]
	b.UserAgent = [...]string{"", "phone", "other"}[g.IntN(3)]
	if g.IntN(3) == 0 {
		b.Instance, b.RegID = fmt.Sprintf("<urn:uuid:%d>", g.IntN(2)), g.IntN(2)
	}
	return b
}

func describe(c location.Change) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s/%d", c.CallID, c.CSeq)
	if c.Reset {
		sb.WriteString(" reset")
	}
	for _, b := range c.Remove {
		fmt.Fprintf(&sb, "\n    remove %s", brief(b))
	}
	for _, b := range c.Put {
		fmt.Fprintf(&sb, "\n    put %s from %s %v %q", brief(b), b.Flow.Transport, b.Flow.Remote, b.UserAgent)
	}
	if c.Keep > 0 {
		fmt.Fprintf(&sb, " keep %d", c.Keep)
	}
	return sb.String()
}

// tail is the end of the history.
func tail(history []string) string {
	return strings.Join(history[max(len(history)-12, 0):], "\n")
}
