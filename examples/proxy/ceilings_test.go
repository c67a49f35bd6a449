package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/location"
)

// tooMany has a request refused with status, a Warning that says so, and when to
// come again if that is of use.
func (w *world) tooMany(from *siptestx.Peer, text string, status int, warning string) {
	w.Helper()
	from.Send(w.at, text)
	got := w.answer(from, status)
	if method, _, _ := strings.Cut(text, " "); method == "INVITE" {
		from.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
	}
	if want := `399 sipward "` + warning + `"`; got.Get("Warning") != want || (got.Get("Retry-After") != "") != (status == 503) {
		w.Errorf("got\n%s\nwant Warning: %s, and Retry-After with 503", got.Text, want)
	}
	w.quiet()
}

// limited is threeTenants with limits for the first set only.
func limited(limits string) string {
	return strings.Replace(threeTenants, "{setid: 10,", "{setid: 10, limits: {"+limits+"},", 1)
}

// wantRefusals checks what is counted, of set 10 and of all others.
func (w *world) wantRefusals(limit string, n float64) {
	w.Helper()
	for _, s := range scrape(w, w.proxy)["sipward_limit_refusals_total"].series {
		want := 0.0
		if s.labels["setid"] == "10" && s.labels["limit"] == limit {
			want = n
		}
		if s.value != want {
			w.Errorf("%v, want %v", s, want)
		}
	}
}

// TestCeilings_Registrations: who is new is refused before the PBX hears of it,
// and not who is registered already, whatever he asks; another tenant's users do
// not notice.
func TestCeilings_Registrations(t *testing.T) {
	inWorld(t, "metrics: {tenants: [10]}"+limited("registrations: 2"), func(w *world) {
		one, two := w.behind(simnet.PortRestricted, "401", "a.test"), w.behind(simnet.PortRestricted, "402", "a.test")
		uri := one.at(w.a)
		two.at(w.a)
		three := w.public("403", "a.test")
		for range 3 {
			w.tooMany(three.Peer, three.registerText(), 403, "too many registrations")
		}
		w.wantRefusals("registrations", 3)
		one.refresh(w.a)
		w.public("401", "a.test").at(w.a) // his second phone
		w.a.reaches(one, "INVITE", uri)
		for i := range 3 {
			w.public(fmt.Sprint(400+i), "b.test").at(w.b)
		}
		three.ask(three.registerText("Contact:", "Expires:")) // only a question
		w.a.accept(w.a.Expect("REGISTER"))
		three.Status(200)
		three.refresh(w.a, "Contact: *", "Expires: 0")
		two.refresh(w.a, "Contact: *", "Expires: 0")
		three.at(w.a) // there is room again
		w.tooMany(two.Peer, two.registerText(), 403, "too many registrations")
		time.Sleep(2 * time.Hour) // and all have expired
		two.at(w.a)
	})
}

// TestCeilings_AtOnce: those who are asked about together do not all get in, however
// long the PBX takes to answer.
func TestCeilings_AtOnce(t *testing.T) {
	inWorld(t, "metrics: {tenants: [10]}"+limited("registrations: 2"), func(w *world) {
		var asked []siptestx.Message
		var phones []*phone
		for i := range 5 {
			ph := w.public(fmt.Sprint(401+i), "a.test")
			ph.ask(ph.registerText())
			phones, asked = append(phones, ph), append(asked, w.a.Expect("REGISTER"))
		}
		for i, ph := range phones {
			w.a.accept(asked[i])
			status := 200
			if i >= 2 {
				status = 403
			}
			w.answer(ph.Peer, status)
		}
		w.wantRefusals("registrations", 3)
		phones[0].refresh(w.a)
		phones[1].refresh(w.a)
		w.a.refused(404, "INVITE", w.a.contacts["405"][0])
	})
}

// TestCeilings_Unauthorized: who only tries to register uses up nothing, nor does
// a refusal lock anybody out.
func TestCeilings_Unauthorized(t *testing.T) {
	inWorld(t, limited("registrations: 1"), func(w *world) {
		x := w.public("499", "a.test")
		for range 5 {
			x.ask(x.registerText())
			w.a.challenge()
			x.Status(401)
		}
		ph := w.public("401", "a.test")
		ph.at(w.a)
		for range 30 {
			w.tooMany(x.Peer, x.registerText(), 403, "too many registrations")
		}
		if st := w.proxy.guard.Stats(); st.Earned != 0 || st.Banned != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestCeilings_Restart: after a restart those count that the table has. Before
// it is read nobody is refused, and who is in it is nobody new. P-05.
func TestCeilings_Restart(t *testing.T) {
	for _, maxAge := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint("max_age ", maxAge), func(t *testing.T) {
			inWorld(t, limited("registrations: 2"), func(w *world) {
				w.table = newSlowTable()
				w.table.maxAge = maxAge
				close(w.table.open)
				w.restart()
				one, two := w.public("401", "a.test"), w.public("402", "a.test")
				one.at(w.a)
				two.at(w.a)
				w.restartLoading()
				three, four := w.public("403", "a.test"), w.public("404", "a.test")
				three.at(w.a)
				close(w.table.open)
				time.Sleep(5 * time.Second)
				w.tooMany(four.Peer, four.registerText(), 403, "too many registrations")
				one.refresh(w.a)
				two.refresh(w.a)
				three.refresh(w.a)
				if maxAge == 0 {
					return
				}
				aor, err := location.MakeAOR("405", "a.test") // whom another proxy has registered
				if err != nil {
					t.Fatal(err)
				}
				w.table.Memory.Merge(aor, w.bound("401", "a.test")[0])
				w.public("405", "a.test").at(w.a)
				w.tooMany(four.Peer, four.registerText(), 403, "too many registrations")
			})
		})
	}
}

// TestCeilings_Calls: calls in both directions count, from the INVITE to their
// end, whatever that is; the one too many is refused and nothing else, above all
// nothing in a dialog. Other tenants do not notice. P-18.
func TestCeilings_Calls(t *testing.T) {
	inWorld(t, "metrics: {tenants: [10]}"+limited("calls: 2"), func(w *world) {
		ph, other := w.behind(simnet.PortRestricted, "401", "a.test"), w.behind(simnet.PortRestricted, "401", "b.test")
		uri, elsewhere := ph.at(w.a), other.at(w.b)
		for range 5 { // calls that fail are over
			w.a.reaches(ph, "INVITE", uri)
		}
		w.a.refused(404, "INVITE", "sip:499@a.test") // and this one is none

		in, phoneIn := callIn(w.a, uri, ph)
		out, pbxOut := callOut(ph, w.a)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls")
		w.tooMany(ph.Peer, ph.call("INVITE", "sip:402@a.test"), 503, "too many calls")
		w.tooMany(ph.Peer, ph.call("INVITE", "sip:402@a.test", "Call-ID: "+in.callID), 503, "too many calls")
		w.wantRefusals("calls", 3)
		for _, method := range outOfDialog()[1:] {
			w.a.reaches(ph, method, uri)
		}
		for range 4 {
			w.b.reaches(other, "INVITE", elsewhere)
			callIn(w.b, elsewhere, other)
		}
		conversation(in, phoneIn)
		in, phoneIn = callIn(w.a, uri, ph)
		conversation(out, pbxOut)
		w.a.reaches(ph, "INVITE", uri)

		invite := w.a.ask("INVITE", uri) // it rings
		m := ph.Expect("INVITE")
		ph.Reply(m, 180, "phone")
		w.answer(w.a.Peer, 180)
		w.tooMany(ph.Peer, ph.call("INVITE", "sip:402@a.test"), 503, "too many calls")
		w.a.Send(w.at, w.another("CANCEL", invite))
		w.answer(w.a.Peer, 200)
		ph.Reply(ph.Expect("CANCEL"), 200, "phone")
		ph.Reply(m, 487, "phone")
		ph.Expect("ACK")
		got := w.answer(w.a.Peer, 487)
		w.a.Send(w.at, w.another("ACK", invite, "To: "+got.Get("To")))

		callOut(ph, w.a)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls")
		time.Sleep(w.cfg.Acct.DialogTimeout) // of which nobody hears any more
		ph.at(w.a)
		callIn(w.a, w.a.contacts["401"][0], ph)
		in.exchange(phoneIn, "BYE")
	})
}

// TestCeilings_SignsOfLife: a call counts for as long as something is heard of it,
// as it does for its record, and no longer. P-18.
func TestCeilings_SignsOfLife(t *testing.T) {
	inWorld(t, "acct: {dialog_timeout: 10m}"+limited("calls: 1"), func(w *world) {
		ph, second := w.public("401", "a.test"), w.public("402", "a.test")
		caller, callee := callOut(ph, w.a)
		for range 3 {
			time.Sleep(9 * time.Minute)
			caller.exchange(callee, "UPDATE")
			w.tooMany(second.Peer, second.call("INVITE", "sip:403@a.test"), 503, "too many calls")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		caller, callee = callOut(second, w.a)
		callee.exchange(caller, "BYE")
	})
}

// TestCeilings_Records: a call that was refused has its record.
func TestCeilings_Records(t *testing.T) {
	inLedger(t, limited("calls: 1"), func(w *world, l *ledger) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		first := l.incoming(w.a, uri, ph)
		first.answer()
		l.want(l.sent(w.a.side(), w.a.request("INVITE", uri)).fails(503, acct.Failed))
		l.want(first.hangUp(first.callee))
		second := l.incoming(w.a, uri, ph)
		second.ring()
		l.want(second.refuse(486, acct.Busy))
		third := l.incoming(w.a, uri, ph)
		third.answer()
		l.want(third.hangUp(third.caller))
	})
}

// TestCeilings_Reload: ceilings change while calls are up.
func TestCeilings_Reload(t *testing.T) {
	inWorld(t, limited("calls: 1"), func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls")
		w.reload("limits: {registrations: 1}" + limited("calls: 2"))
		w.a.reaches(ph, "INVITE", uri)
		second := w.public("402", "a.test")
		w.tooMany(second.Peer, second.registerText(), 403, "too many registrations")
		w.reload(threeTenants)
		second.at(w.a)
		for range 3 {
			caller, callee := callIn(w.a, uri, ph)
			caller.exchange(callee, "BYE")
		}
		in.exchange(phoneIn, "BYE")
	})
}

// TestCeilings_Rate: calls that begin too fast are refused, and not those of
// another tenant. What a PBX challenges has not begun.
func TestCeilings_Rate(t *testing.T) {
	inWorld(t, "metrics: {tenants: [10]}"+limited("call_rate: 1"), func(w *world) {
		ph, other := w.public("401", "a.test"), w.public("401", "b.test")
		uri, elsewhere := ph.at(w.a), other.at(w.b)
		for range 20 {
			invite := ph.ask(ph.call("INVITE", "sip:402@a.test"))
			w.a.Reply(w.a.Expect("INVITE"), 401, "pbx", challenge)
			w.a.Expect("ACK")
			ph.ask(w.another("ACK", invite, "To: "+w.answer(ph.Peer, 401).Get("To")))
		}
		for range 10 {
			w.a.reaches(ph, "INVITE", uri)
		}
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls a second")
		w.wantRefusals("call_rate", 1)
		w.b.reaches(other, "INVITE", elsewhere)
		w.a.reaches(ph, "MESSAGE", uri)
		time.Sleep(time.Second)
		w.a.reaches(ph, "INVITE", uri)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls a second")
	})
}

// TestCeilings_Strangers: who is not registered leaves half to who is.
func TestCeilings_Strangers(t *testing.T) {
	inWorld(t, limited("calls: 4"), func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		x := w.stranger()
		x.Send(w.at, x.Request("INVITE", "sip:402@a.test", "Call-ID: 1"))
		x.Send(w.at, x.Request("INVITE", "sip:402@a.test", "Call-ID: 2"))
		synctest.Wait()
		w.a.Drain()
		x.Drain()
		w.tooMany(x, x.Request("INVITE", "sip:402@a.test", "Call-ID: 3"), 503, "too many calls")
		in, phoneIn := callIn(w.a, uri, ph)
		callOut(ph, w.a)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls")
		time.Sleep(time.Minute) // nobody has answered the stranger
		w.a.Drain()
		x.Drain()
		w.a.reaches(ph, "INVITE", uri)
		conversation(in, phoneIn)
	})
}

// TestCeilings_OtherTenant: whom a tenant calls knows the Call-ID, and cannot have it
// count for more calls than there are.
func TestCeilings_OtherTenant(t *testing.T) {
	inWorld(t, "lookup: {hairpin: on}\nlimits: {calls: 2}"+threeTenants, func(w *world) {
		ph, other := w.public("401", "a.test"), w.public("401", "b.test")
		uri, elsewhere := ph.at(w.a), other.at(w.b)
		caller, callee := w.a.side(), w.b.side()
		caller.dial(callee, w.a.request("INVITE", "sip:402@b.test"))
		for i := range 2 {
			w.b.side().dial(other.side(), w.b.request("INVITE", elsewhere, "Call-ID: "+caller.callID, fmt.Sprintf("CSeq: %d INVITE", 100+i)))
		}
		w.tooMany(w.b.Peer, w.b.request("INVITE", elsewhere), 503, "too many calls")
		callIn(w.a, uri, ph)
		w.tooMany(w.a.Peer, w.a.request("INVITE", uri), 503, "too many calls")
		conversation(caller, callee)
		callIn(w.a, uri, ph)
	})
}

// TestCeilings_Log: a tenant that goes on calling leaves some lines in the log.
func TestCeilings_Log(t *testing.T) {
	inWorld(t, limited("calls: 1"), func(w *world) {
		var lines strings.Builder
		w.proxy.debug = false
		w.proxy.log = slog.New(slog.NewTextHandler(&lines, nil))
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		callIn(w.a, uri, ph)
		for range 90 {
			w.a.refused(503, "INVITE", uri)
		}
		if n := strings.Count(lines.String(), `msg="tenant has all that it may have"`); n == 0 || n > 2*keptRefusals {
			t.Errorf("%d lines\n%s", n, &lines)
		}
		if e := w.proxy.recent.kinds["limit calls"].kept[0]; e.Answer.Status != 503 || !slices.Equal(e.Notes, []string{"guard: set 10 has its 1 calls"}) {
			t.Errorf("%v", e)
		}
	})
}
