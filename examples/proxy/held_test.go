package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
)

// TestHeld_OvertakesIts200: an Asterisk qualifies a Contact before it has
// answered the REGISTER. The request waits, and reaches the phone. P-05.
func TestHeld_OvertakesIts200(t *testing.T) {
	for name, yaml := range map[string]string{"own": threeTenants, "preserve": preserving} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, yaml, func(w *world) {
				ph := w.behind(simnet.PortRestricted, "401", "a.test")
				ph.ask(ph.registerText())
				m := w.a.Expect("REGISTER")
				w.a.ask("OPTIONS", uriOf(m.Get("Contact")))
				if name == "preserve" { // as with rewrite_contact=yes
					w.a.ask("OPTIONS", "sip:401-0x55777cf2d400@192.0.2.1:5060")
				}
				time.Sleep(holdTime / 4) // before the first retransmission
				w.quiet()
				w.a.accept(m)
				ph.Status(200)
				for range map[string]int{"own": 1, "preserve": 2}[name] {
					if o := ph.Expect("OPTIONS"); o.URI() != ph.uri() {
						t.Errorf("the phone is asked for %s", o.URI())
					} else {
						ph.Reply(o, 200, "phone", "User-Agent: the phone's own")
					}
					if got := w.a.Status(200); got.Get("User-Agent") != "the phone's own" { // P-15
						t.Errorf("the PBX gets\n%s", got.Text)
					}
				}
			})
		})
	}
}

// TestHeld_InTheSameInstant: 200 and INVITE leave the PBX together. P-05.
func TestHeld_InTheSameInstant(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		for range 1000 {
			ph.ask(ph.registerText())
			m := w.a.Expect("REGISTER")
			uri := uriOf(m.Get("Contact"))
			w.a.accept(m)
			w.a.ask("MESSAGE", uri)
			ph.Status(200)
			ph.Reply(ph.Expect("MESSAGE"), 200, "phone")
			w.a.Status(200)
			ph.refresh(w.a, "Expires: 0")
		}
	})
}

// TestHeld_IsBounded: a REGISTER that is never answered holds nothing longer
// than a second, whatever waits, and then the answer is 404.
func TestHeld_IsBounded(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		uri := uriOf(w.a.Expect("REGISTER").Get("Contact"))
		start := time.Now()
		const many = 50
		for i := range many {
			w.a.ask([]string{"OPTIONS", "INVITE", "NOTIFY"}[i%3], uri)
		}
		answers := 0
		for answers < many {
			m := w.a.Next()
			if m.Method() == "REGISTER" || m.Status() == 100 {
				continue
			}
			answers++
			if d := m.At.Sub(start); m.Status() != 404 || d != holdTime {
				t.Fatalf("after %v\n%s", d, m.Text)
			}
			if m.Get("CSeq") == "1 INVITE" {
				w.a.ask("ACK", uri, "Via: "+m.Get("Via"), "To: "+m.Get("To"), "Call-ID: "+m.Get("Call-ID"), "CSeq: 1 ACK")
			}
		}
		ph.Status(503)
		for _, m := range w.a.Collect(time.Minute) {
			if m.Method() != "REGISTER" && m.Status() != 404 { // both repeated
				t.Errorf("the PBX gets\n%s", m.Text)
			}
		}
		if n := w.proxy.pending.held; n != 0 {
			t.Errorf("%d are counted as held", n)
		}
	})
}

// TestHeld_AnswersAsConfigured: what has waited in vain is answered as the set
// wants, which is not what the others get. P-15.
func TestHeld_AnswersAsConfigured(t *testing.T) {
	inWorld(t, `
tenants:
  - setid: 10
    domains: [a.test]
    destinations: [{uri: "sip:10.0.1.10:5060"}]
    lookup: {missing: 480, missing_options: silent, ambiguous: 404, fork: parallel}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
`, func(w *world) {
		for p, status := range map[*pbx]int{w.a: 480, w.b: 404} {
			ph := w.public("401", p.domain)
			ph.ask(ph.registerText())
			m := p.Expect("REGISTER")
			uri := uriOf(m.Get("Contact"))
			p.ask("OPTIONS", uri)
			p.ask("MESSAGE", uri)
			var got []int
			for _, m := range p.Collect(2 * holdTime) {
				if m.Method() != "REGISTER" { // repeated
					got = append(got, m.Status())
				}
			}
			want := []int{status}
			if p == w.b {
				want = []int{status, status}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: answered %v, want %v", p.domain, got, want)
			}
			p.accept(m)
			ph.Status(200)
			ph.refresh(p, "Expires: 0")
			p.refused(status, "MESSAGE", uri)
		}
	})
}

// TestHeld_Refused: with the refusal of the REGISTER the waiting ends, but not
// with that of another phone.
func TestHeld_Refused(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, two := w.public("401", "a.test"), w.public("401", "a.test")
		one.ask(one.registerText())
		first := w.a.Expect("REGISTER")
		w.a.ask("OPTIONS", uriOf(first.Get("Contact")))
		two.ask(two.registerText())
		w.a.challenge()
		two.Status(401)
		w.quiet()
		w.a.Reply(first, 403, "pbx")
		one.Status(403)
		w.a.Status(404)
		if n := w.decided(route.Pending); n == 0 {
			t.Error("nothing was held")
		}
	})
}

// TestHeld_CanceledMeanwhile: an INVITE that waits can be canceled, and does
// not ring afterwards.
func TestHeld_CanceledMeanwhile(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		invite := w.a.ask("INVITE", uriOf(m.Get("Contact")))
		w.a.Status(100)
		w.a.Send(w.at, w.another("CANCEL", invite))
		w.a.Status(200) // to the CANCEL
		got := w.a.Status(487)
		w.a.Send(w.at, w.another("ACK", invite, "To: "+got.Get("To")))
		w.a.accept(m)
		ph.Status(200)
		w.silence()
	})
}

// TestPending_Races: everything that waits goes on exactly once, whoever lets
// it go.
func TestPending_Races(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPending()
		aor, err := location.MakeAOR("401", "a.test")
		if err != nil {
			t.Fatal(err)
		}
		var waited, retried atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				p.add([]location.AOR{aor, aor})
				for range 5 {
					if p.wait(aor, func() { retried.Add(1) }) {
						waited.Add(1)
					}
				}
				if i%2 == 0 {
					time.Sleep(holdTime) // with the timers
				}
				p.done([]location.AOR{aor, aor})
			})
		}
		wg.Wait()
		time.Sleep(2 * holdTime)
		synctest.Wait()
		if waited.Load() == 0 || waited.Load() != retried.Load() {
			t.Errorf("%d waited, %d went on", waited.Load(), retried.Load())
		}
		if p.has(aor) || p.held != 0 || len(p.on) != 0 {
			t.Errorf("left: %d held, %d on their way", p.held, len(p.on))
		}
		if p.wait(aor, func() { t.Error("called without a REGISTER") }) {
			t.Error("waits for nothing")
		}
	})
}

// TestPending_Overlapping: while there is always a REGISTER on its way, what has
// waited long enough leaves nothing; when there is none, the others go on in the
// order in which they came. P-05.
func TestPending_Overlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPending()
		aor, err := location.MakeAOR("401", "a.test")
		if err != nil {
			t.Fatal(err)
		}
		key := []location.AOR{aor}
		p.add(key)
		var late atomic.Int64
		for range 10 {
			p.add(key)
			p.wait(aor, func() { late.Add(1) })
			time.Sleep(2 * holdTime)
			p.done(key)
		}
		synctest.Wait()
		if left := p.on[aor].waiting.Len(); left != 0 || late.Load() != 10 {
			t.Errorf("%d are left, and %d went on", left, late.Load())
		}
		var got []int
		for i := range 10 {
			p.wait(aor, func() { got = append(got, i) })
		}
		p.done(key)
		if len(got) != 10 || !slices.IsSorted(got) {
			t.Errorf("they went on as %v", got)
		}
	})
}

// TestPending_IsBounded: no more than maxHeld wait.
func TestPending_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPending()
		var keys []location.AOR
		for i := range 3 {
			key, err := location.MakeAOR(fmt.Sprint(400+i), "a.test")
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		p.add(keys)
		n := 0
		for i := range maxHeld + 10 {
			if p.wait(keys[i%3], func() {}) {
				n++
			}
		}
		if n != maxHeld {
			t.Errorf("%d wait", n)
		}
		p.done(keys)
		synctest.Wait()
		if p.held != 0 {
			t.Errorf("%d are held", p.held)
		}
	})
}

// TestKeysOf: a registration is asked for by its AOR and the users of its
// Contacts, those of one domain.
func TestKeysOf(t *testing.T) {
	aor, err := location.MakeAOR("401", "a.test")
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, k := range keysOf(aor, []location.Binding{
		{Contact: "sip:401-0xPTR@10.0.0.1"}, {Contact: "sip:%34%301@10.0.0.1"}, {Contact: "sip:10.0.0.1"}, {Contact: "tel:1"},
	}) {
		got += k.String() + " "
	}
	if want := "401@a.test 401-0xPTR@a.test "; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}
