package main

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
)

// fewestCalls is three PBXes of which that with the fewest calls is chosen.
const fewestCalls = "dispatcher: {algorithm: least-calls, probe: never}" + threeBoxes

// wantCalls checks how many calls the PBXes have.
func (w *world) wantCalls(a, b, c int) {
	w.Helper()
	synctest.Wait()
	var got [3]int
	for i, s := range w.proxy.sets.Status() {
		got[i] = s.Calls
	}
	if want := [3]int{a, b, c}; got != want {
		w.Fatalf("calls %v, want %v", got, want)
	}
}

// goes has a phone call, and returns who answers, whoever that is.
func (w *world) goes(ph *phone) (at *pbx, caller, callee *side) {
	w.Helper()
	caller = ph.side()
	ph.ask(ph.call("INVITE", "sip:402@a.test"))
	synctest.Wait()
	at, m := w.who("INVITE")
	callee = at.side()
	callee.contact = "sip:" + at.Addr.String()
	caller.answered(callee, m)
	return at, caller, callee
}

// TestLeastCalls: a call goes to who has the fewest that are up, however long ago
// they were answered and whoever hangs up.
func TestLeastCalls(t *testing.T) {
	inWorld(t, fewestCalls, func(w *world) {
		ph := w.public("401", "a.test")
		type sides struct{ phone, pbx *side }
		up := map[*pbx][]sides{}
		goes := func() *pbx {
			at, caller, callee := w.goes(ph)
			up[at] = append(up[at], sides{caller, callee})
			time.Sleep(10 * time.Minute)
			return at
		}
		for range 6 {
			goes()
		}
		w.wantCalls(2, 2, 2)
		for i, p := range []*pbx{w.b, w.a, w.c, w.b} {
			s := up[p][0]
			up[p] = up[p][1:]
			if i%2 == 0 {
				conversation(s.phone, s.pbx) // at whose end both hang up
			} else {
				s.pbx.exchange(s.phone, "BYE")
			}
			if got := goes(); got != p {
				t.Fatalf("%v gets the call, want %v, which has one less", got.Addr, p.Addr)
			}
			w.wantCalls(2, 2, 2)
		}
		for _, p := range []*pbx{w.a, w.a, w.b} { // the last one to hang up is not the first one to be asked
			s := up[p][0]
			up[p] = up[p][1:]
			s.phone.exchange(s.pbx, "BYE")
		}
		w.wantCalls(0, 1, 2)
		for _, want := range []*pbx{w.a, nil, nil} { // of two with one call each, any
			if got := goes(); want != nil && got != want || got == w.c {
				t.Fatalf("%v gets the call", got.Addr)
			}
		}
		w.wantCalls(2, 2, 2)
	})
}

// TestLeastCalls_Pending: what is no call that the PBX was sent counts only as long
// as it waits for its answer, if at all.
func TestLeastCalls_Pending(t *testing.T) {
	inWorld(t, strings.Replace(fewestCalls, `, {uri: "sip:10.0.1.20:5060"}, {uri: "sip:10.0.1.30:5060"}`, "", 1), func(w *world) {
		count := func(n int) {
			t.Helper()
			synctest.Wait()
			if got := w.proxy.sets.Status()[0].Calls; got != n {
				t.Fatalf("%d calls, want %d", got, n)
			}
		}
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		count(1)
		w.a.accept(m)
		ph.Status(200)
		count(0)
		for _, method := range []string{"OPTIONS", "MESSAGE", "SUBSCRIBE"} {
			ph.ask(ph.call(method, "sip:402@a.test"))
			m := w.a.Expect(method)
			count(1)
			w.a.Reply(m, 200, "pbx", "Contact: <sip:10.0.1.10>")
			ph.Status(200)
			count(0)
		}
		for _, status := range []int{401, 486} {
			invite := ph.ask(ph.call("INVITE", "sip:402@a.test"))
			w.a.Reply(w.a.Expect("INVITE"), status, "pbx", challenge)
			w.a.Expect("ACK")
			ph.ask(w.another("ACK", invite, "To: "+w.answer(ph.Peer, status).Get("To")))
			count(0)
		}
		invite := ph.ask(ph.call("INVITE", "sip:402@a.test"))
		m = w.a.Expect("INVITE")
		w.a.Reply(m, 180, "pbx")
		w.answer(ph.Peer, 180)
		time.Sleep(time.Minute)
		count(1)
		ph.ask(w.another("CANCEL", invite))
		w.answer(ph.Peer, 200)
		w.a.Reply(w.a.Expect("CANCEL"), 200, "pbx")
		w.a.Reply(m, 487, "pbx")
		w.a.Expect("ACK")
		ph.ask(w.another("ACK", invite, "To: "+w.answer(ph.Peer, 487).Get("To")))
		count(0)

		in, phone := callIn(w.a, w.a.contacts["401"][0], ph) // which nobody had to choose a PBX for
		count(0)
		in.exchange(phone, "BYE")
	})
}

// TestLeastCalls_Failover: a call counts for who has answered it. P-34.
func TestLeastCalls_Failover(t *testing.T) {
	inWorld(t, fewestCalls, func(w *world) {
		ph := w.public("401", "a.test")
		ph.ask(ph.call("INVITE", "sip:402@a.test"))
		synctest.Wait()
		first, _ := w.who("INVITE")
		first.host.BlackHole(true)
		time.Sleep(w.cfg.Timers.Branch)
		second, m := w.who("INVITE")
		caller, callee := ph.side(), second.side()
		callee.contact = "sip:" + second.Addr.String()
		caller.answered(callee, m)
		synctest.Wait()
		for _, s := range w.proxy.sets.Status() {
			if want := s.URI == callee.contact; (s.Calls == 1) != want {
				t.Errorf("%s has %d calls", s.URI, s.Calls)
			}
		}
		callee.exchange(caller, "BYE")
		w.wantCalls(0, 0, 0)
	})
}

// TestLeastCalls_Forgotten: calls end that nobody hears of any more; after a restart
// the count begins anew, and for a PBX that has come back.
func TestLeastCalls_Forgotten(t *testing.T) {
	inWorld(t, fewestCalls, func(w *world) {
		ph := w.public("401", "a.test")
		for range 3 {
			w.goes(ph)
		}
		w.wantCalls(1, 1, 1)
		time.Sleep(w.cfg.Acct.DialogTimeout)
		w.wantCalls(0, 0, 0)
		if n := len(w.proxy.tally.calls); n != 0 {
			t.Errorf("%d calls are left", n)
		}

		at, caller, callee := w.goes(ph)
		w.reload(strings.Replace(fewestCalls, `{uri: "sip:`+at.Addr.String()+`"}`, `{uri: "sip:10.0.1.99:5060"}`, 1))
		w.wantCalls(0, 0, 0)
		w.reload(fewestCalls)
		w.wantCalls(0, 0, 0)
		for range 3 {
			w.goes(ph)
		}
		caller.exchange(callee, "BYE") // of before
		w.wantCalls(1, 1, 1)

		w.restart()
		w.wantCalls(0, 0, 0)
		_, caller, callee = w.goes(ph)
		w.reload(threeBoxes)
		_, other, otherEnd := w.goes(ph) // which does not count
		caller.exchange(callee, "BYE")
		other.exchange(otherEnd, "BYE")
		w.wantCalls(0, 0, 0)
	})
}

// TestLeastCalls_Otherwise: nothing is kept of calls that count for nobody.
func TestLeastCalls_Otherwise(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		w.goes(w.public("401", "a.test"))
		w.wantCalls(0, 0, 0)
		if n := len(w.proxy.tally.calls); n != 0 {
			t.Errorf("%d calls are kept", n)
		}
	})
}

// TestLeastCalls_Limits: a call counts for its set as well, and one BYE ends both.
func TestLeastCalls_Limits(t *testing.T) {
	inWorld(t, "limits: {calls: 4}\n"+fewestCalls, func(w *world) { // of which two are for strangers
		ph := w.public("401", "a.test")
		_, caller, callee := w.goes(ph)
		w.goes(ph)
		w.tooMany(ph.Peer, ph.call("INVITE", "sip:402@a.test"), 503, "too many calls")
		caller.exchange(callee, "BYE")
		w.goes(ph)
		w.tooMany(ph.Peer, ph.call("INVITE", "sip:402@a.test"), 503, "too many calls")
	})
}

// TestTally_HungUpBefore: who hangs up at once may come before all have heard of the
// answer.
func TestTally_HungUpBefore(t *testing.T) {
	d := dispatcher.New(dispatcher.Config{})
	pbx := dispatcher.Destination{URI: "sip:10.0.1.10"}
	if err := d.Update([]dispatcher.Destination{pbx}); err != nil {
		t.Fatal(err)
	}
	ta := newTally(time.Hour)
	id := dialogID{callID: "1"}
	c := ta.begin(id, nil)
	ta.hungUp(id)
	ta.answered(c, d.Begin(pbx))
	if got := d.Status()[0].Calls; got != 0 || len(ta.calls) != 0 {
		t.Errorf("%d calls, and %d kept", got, len(ta.calls))
	}
}

// TestTally_Alike: of calls that all have one long Call-ID no more is kept than of
// others, and each has its own end.
func TestTally_Alike(t *testing.T) {
	const n = 1000
	ta := newTally(time.Hour)
	id := func() dialogID { return dialogID{callID: strings.Repeat("x", 50_000)} }
	before := heap()
	var calls []*counted
	for range n {
		calls = append(calls, ta.begin(id(), nil))
	}
	if grown := heap() - before; grown > n*1000 {
		t.Errorf("%d calls take %d bytes", n, grown)
	}
	ta.end(calls[n-1])
	ta.end(calls[n-1])
	for range n - 2 {
		ta.hungUp(id())
	}
	if calls[n-2].at == nil || len(ta.calls) != 1 {
		t.Error("the last one has ended")
	}
	ta.hungUp(id())
	if len(ta.calls) != 0 {
		t.Errorf("%d IDs are left", len(ta.calls))
	}
}

// BenchmarkTally_Alive is a request in a dialog, with so many calls of the same ID.
func BenchmarkTally_Alive(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			ta := newTally(time.Hour)
			id := dialogID{callID: "1@phone"}
			for range n {
				ta.begin(id, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				ta.alive(id)
			}
		})
	}
}

// TestTally_Race: however the ends of calls with few IDs meet, each ends once.
func TestTally_Race(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dispatcher.New(dispatcher.Config{})
		pbx := dispatcher.Destination{URI: "sip:10.0.1.10"}
		if err := d.Update([]dispatcher.Destination{pbx}); err != nil {
			t.Fatal(err)
		}
		limits := guard.NewCeilings()
		if err := limits.Set(guard.Ceiling{Calls: 1}, nil); err != nil {
			t.Fatal(err)
		}
		ta := newTally(time.Millisecond)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 2000 {
					id := dialogID{callID: strconv.Itoa(n % 3)}
					c := ta.begin(id, limits.Begin(10, time.Now()))
					switch (n + i) % 4 {
					case 0:
						ta.end(c)
					case 1:
						ta.hungUp(id)
						ta.answered(c, d.Begin(pbx))
					case 2:
						ta.answered(c, d.Begin(pbx))
						ta.hungUp(id)
					case 3:
						time.Sleep(time.Duration(n%4) * time.Millisecond / 2)
						ta.answered(c, d.Begin(pbx))
						ta.alive(id)
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := d.Status()[0].Calls; got != 0 || len(ta.calls) != 0 || limits.Call(10, true, time.Now()) != nil {
			t.Errorf("%d calls, and %d kept", got, len(ta.calls))
		}
	})
}
