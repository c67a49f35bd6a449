package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// routed keeps what the log says of decisions.
type routed struct {
	slog.Handler
	last string
}

func (r *routed) Enabled(context.Context, slog.Level) bool { return true }

func (r *routed) Handle(_ context.Context, rec slog.Record) error {
	rec.Attrs(func(a slog.Attr) bool {
		if rec.Message == "routed" && a.Key == "decision" {
			r.last = a.Value.Resolve().String()
		}
		return true
	})
	return nil
}

// sameAsDone has a message explained, and then sent: the log must say the same of
// it, and it must get to who was said to be the first target, or be answered so.
func (w *world) sameAsDone(from *siptestx.Peer, text string, targets ...*siptestx.Peer) {
	w.Helper()
	log := &routed{}
	w.proxy.log = slog.New(log)
	var e explanation
	rec := w.explainAt(url.Values{"from": {from.Addr.String()}, "json": {"1"}}, text)
	if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
		w.Fatalf("%v in\n%s", err, rec.Body)
	}
	from.Send(w.at, text)
	synctest.Wait()
	if d := cmp.Diff(e.LogValue().String(), log.last); d != "" {
		w.Errorf("explained and logged:\n%s", d)
	}
	method, _, _ := strings.Cut(text, " ")
	last := e.Answer
	if len(targets) > 0 {
		last = e.Otherwise
	}
	for i, p := range targets {
		if m := p.Expect(method); m.URI() != e.Targets[i].RequestURI || e.Targets[i].To != "udp "+p.Addr.String() {
			w.Errorf("%v gets\n%s\nexplained as %+v", p.Addr, m.Text, e.Targets[i])
		}
		time.Sleep(w.cfg.Timers.Branch)
	}
	if last != nil {
		got := w.answer(from, last.Status)
		if method == "INVITE" {
			from.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
		}
	}
	time.Sleep(time.Minute)
	for _, p := range w.peers {
		p.Drain() // retransmissions
	}
}

// TestExplain_SameAsDone: what is explained is what is done and logged, and who
// is silent is followed by who was said to be next, down to the last answer.
func TestExplain_SameAsDone(t *testing.T) {
	tests := []struct {
		name, yaml string
		do         func(w *world)
	}{
		{"to a phone", threeTenants, func(w *world) {
			ph := w.public("401", "a.test")
			w.sameAsDone(w.a.Peer, w.a.request("INVITE", ph.at(w.a)), ph.Peer)
		}},
		{"to phones in turn", "lookup: {fork: serial}" + threeTenants, func(w *world) {
			one, two := w.public("401", "a.test"), w.public("401", "a.test")
			one.at(w.a)
			two.at(w.a)
			w.sameAsDone(w.a.Peer, w.a.request("INVITE", "sip:401@a.test"), two.Peer, one.Peer)
		}},
		{"to nobody", threeTenants, func(w *world) { w.sameAsDone(w.a.Peer, w.a.request("INVITE", "sip:401@a.test")) }},
		{"to two", sharedPBX, func(w *world) {
			w.public("401", "a.test").at(w.a)
			w.public("401", "b.test").at(w.a)
			w.sameAsDone(w.a.Peer, w.a.request("INVITE", "sip:401@192.0.2.1"))
		}},
		{"to a PBX", threeBoxes, func(w *world) {
			ph := w.public("401", "a.test")
			box := map[string]*siptestx.Peer{}
			for _, p := range []*pbx{w.a, w.b, w.c} {
				box["udp "+p.Addr.String()] = p.Peer
			}
			text := ph.call("INVITE", "sip:402@a.test")
			var order []*siptestx.Peer
			for line := range strings.Lines(w.explain(ph.Addr, text)) {
				if _, rest, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(line, "target ") {
					to, _, _ := strings.Cut(rest, " from ")
					order = append(order, box[to])
				}
			}
			w.sameAsDone(ph.Peer, text, order...)
		}},
		{"to a PBX that is off", `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10", state: 1}]}]`, func(w *world) {
			ph := w.public("401", "a.test")
			w.sameAsDone(ph.Peer, ph.registerText())
		}},
		{"one call too many", "limits: {calls: 1}" + threeTenants, func(w *world) {
			ph := w.public("401", "a.test")
			uri := ph.at(w.a)
			callIn(w.a, uri, ph)
			w.sameAsDone(w.a.Peer, w.a.request("INVITE", uri))
		}},
		{"one call of a phone too many", "limits: {calls: 1}" + threeTenants, func(w *world) {
			ph := w.public("401", "a.test")
			ph.at(w.a)
			callOut(ph, w.a)
			w.sameAsDone(ph.Peer, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"one user too many", "limits: {registrations: 1}" + threeTenants, func(w *world) {
			w.public("401", "a.test").at(w.a)
			ph := w.public("402", "a.test")
			w.sameAsDone(ph.Peer, ph.registerText())
		}},
		{"in a dialog", threeTenants, func(w *world) {
			ph := w.public("401", "a.test")
			in, phone := callIn(w.a, ph.at(w.a), ph)
			w.sameAsDone(w.a.Peer, in.text("BYE"), ph.Peer)
			w.sameAsDone(ph.Peer, phone.text("INFO"), w.a.Peer)
			in.routes = nil
			w.sameAsDone(w.a.Peer, in.text("BYE"))
		}},
		{"over a connection that is gone", threeTenants, func(w *world) {
			ph := w.overTCP("401", "a.test")
			uri := ph.at(w.a)
			ph.Close()
			time.Sleep(time.Second)
			w.sameAsDone(w.a.Peer, w.a.request("MESSAGE", uri))
		}},
		{"come far", threeTenants, func(w *world) {
			text := w.a.request("MESSAGE", "sip:401@a.test", "Max-Forwards: 0")
			if said := w.explain(w.a.Addr, text); !strings.Contains(said, "answer: 483 Too Many Hops\n") {
				w.Error(said)
			}
			w.a.Send(w.at, text)
			w.answer(w.a.Peer, 483)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { inWorld(t, tt.yaml, tt.do) })
	}
}

// TestExplain_LogsName: the log does not wait for a name to be looked up.
func TestExplain_LogsName(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		in, _ := callIn(w.a, ph.at(w.a), ph)
		in.target = "sip:x@carrier.test:5070;transport=tcp"
		w.proxy.dns = hosts(func(context.Context, string) ([]netip.Addr, error) { return nil, nil })
		log := &routed{}
		w.proxy.log = slog.New(log)
		w.rejected(w.a.Peer, in.text("BYE"), 503)
		if want := "[tcp carrier.test:5070 for " + in.target + ": where the dialog goes, once it is looked up]"; !strings.Contains(log.last, want) {
			t.Errorf("it logs %s, want %s", log.last, want)
		}
	})
}

// TestExplain_Refused: what cannot be explained is said to be what it is.
func TestExplain_Refused(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		invite := w.a.request("INVITE", "sip:401@a.test")
		source := w.a.Addr.String()
		tests := []struct{ name, from, transport, text, want string }{
			{"no From", source, "", siptestx.Edit(invite, "From:"), "malformed message: no From (status 400)\n"},
			{"another CSeq", source, "", strings.Replace(invite, " INVITE\r\n", " BYE\r\n", 1), "malformed message: method of CSeq is not the request's (status 400)\n"},
			{"nothing", source, "", "", "malformed message: "},
			{"no end", source, "", "INVITE sip:401@a.test SIP/2.0\r\nCall-ID: x\r\n", "malformed message: no end of the header (status 400)\n"},
			{"response", source, "", "SIP/2.0 200 OK\r\n" + strings.SplitN(invite, "\r\n", 2)[1], "a response goes back where its request came from\n"},
			{"CANCEL", source, "", w.a.request("CANCEL", "sip:401@a.test"), "a CANCEL goes where its INVITE has gone\n"},
			{"no source", "", "", invite, "from: "},
			{"no port", "10.0.1.10", "", invite, "from: "},
			{"transport", source, "sctp", invite, "unknown transport \"sctp\"\n"},
		}
		for _, tt := range tests {
			rec := w.explainAt(url.Values{"from": {tt.from}, "transport": {tt.transport}}, tt.text)
			if rec.Code != http.StatusBadRequest || !strings.HasPrefix(rec.Body.String(), tt.want) {
				t.Errorf("%s: %d %s", tt.name, rec.Code, rec.Body)
			}
		}
		if rec := w.explainAt(url.Values{"from": {source}}, invite+strings.Repeat("x", maxExplained)); rec.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("too large: %d %s", rec.Code, rec.Body)
		}
	})
}

// TestExplain_JSON: with what it is asked for by.
func TestExplain_JSON(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		text := w.a.request("INVITE", ph.at(w.a))
		byQuery := w.explainAt(url.Values{"from": {w.a.Addr.String()}, "json": {"1"}}, text)
		r := httptest.NewRequest(http.MethodPost, "/debug/explain?from="+w.a.Addr.String(), strings.NewReader(text))
		r.Header.Set("Accept", "application/json")
		byHeader := httptest.NewRecorder()
		w.proxy.serveExplain(byHeader, r)
		if byQuery.Body.String() != byHeader.Body.String() || byQuery.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%v\n%s\n%s", byQuery.Header(), byQuery.Body, byHeader.Body)
		}
		var e map[string]any
		if err := json.Unmarshal(byQuery.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		for _, list := range []string{"candidates", "evidence", "targets", "not_tried", "notes"} {
			if _, ok := e[list].([]any); !ok {
				t.Errorf("%s is %v", list, e[list])
			}
		}
		if e["setid"] != 10.0 || e["reason"] != "token" || e["class"] != "pbx" || e["aor"] != "401@a.test" || e["answer"] != nil {
			t.Errorf("%s", byQuery.Body)
		}
	})
}

// TestExplain_Database: a decision that waits for the database is said to.
func TestExplain_Database(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.table = newSlowTable()
		w.restartLoading()
		said := w.explain(w.a.Addr, w.a.request("INVITE", "sip:401@a.test"))
		close(w.table.open)
		for _, want := range []string{
			"note: first the bindings of 401@a.test are read from the database, for 1s at most\n",
			"note: first all bindings are read from the database, for 1s at most\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q but\n%s", want, said)
			}
		}
	})
}

// TestExplain_Banned: who is banned is said to be, whatever the decision would be.
func TestExplain_Banned(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		text := ph.registerText()
		at := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), 40000)
		if err := w.proxy.guard.Ban(netip.PrefixFrom(at.Addr(), 32), time.Time{}, "by hand", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, ok := w.proxy.guard.Banned(guard.Source{Addr: at, Transport: "udp"}, time.Now()); !ok {
			t.Fatal("not banned")
		}
		if said := w.explain(at, text); !strings.Contains(said, "note: 203.0.113.1/32 is banned (by hand), so that nothing from there is served\n") {
			t.Error(said)
		}
	})
}

// TestDecisions: the last refusals of each kind are kept, the rare ones beside
// the frequent ones, and no more than some a second.
func TestDecisions(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		w.proxy.debug = false
		w.public("401", "a.test").at(w.a)
		w.public("401", "b.test").at(w.a)
		w.a.refused(404, "MESSAGE", "sip:401@192.0.2.1", "Call-ID: rare")
		kinds := func() map[string]int {
			n := map[string]int{}
			for _, e := range w.decisions("") {
				n[e.Reason]++
			}
			return n
		}
		for range 3 * keptRefusals {
			w.a.refused(404, "MESSAGE", "sip:402@a.test")
		}
		if d := cmp.Diff(map[string]int{"ambiguous": 1, "missing": keptRefusals}, kinds()); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Second)
		w.a.refused(404, "MESSAGE", "sip:402@a.test", "Call-ID: late")
		if first := w.decisions("")[0]; first.CallID != "late" || len(first.Evidence) == 0 {
			t.Errorf("%+v", first)
		}
		if d := cmp.Diff(map[string]int{"ambiguous": 1, "missing": keptRefusals}, kinds()); d != "" {
			t.Error(d)
		}
		rec := httptest.NewRecorder()
		w.proxy.serveDecisions(rec, httptest.NewRequest(http.MethodGet, "/debug/decisions", nil))
		if n := strings.Count(rec.Body.String(), "\ndecision: "); n != 1+keptRefusals || !strings.Contains(rec.Body.String(), "Call-ID rare\n") {
			t.Errorf("%d in\n%s", n, rec.Body)
		}
	})
}

// TestDecisions_Debug: with a debug log what went where it should is kept as well,
// and is found by its Call-ID, as explain tells it.
func TestDecisions_Debug(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		text := w.a.request("MESSAGE", uri, "Call-ID: wanted&1")
		said := w.explain(w.a.Addr, text)
		w.a.Send(w.at, text)
		ph.Reply(ph.Expect("MESSAGE"), 200, "phone")
		w.answer(w.a.Peer, 200)
		for range 2 * keptRefusals {
			w.a.refused(404, "MESSAGE", uri+"x")
		}
		found := w.decisions("&call_id=wanted%261")
		if len(found) != 1 || found[0].String() != said {
			t.Errorf("%v, want\n%s", found, said)
		}
		for range keptRouted {
			w.a.reaches(ph, "MESSAGE", uri)
		}
		if n := len(w.decisions("")); n != keptRouted+keptRefusals || len(w.decisions("&call_id=wanted%261")) != 0 {
			t.Errorf("%d are kept", n)
		}
	})
}

// decisions returns what /debug/decisions shows.
func (w *world) decisions(query string) (all []explanation) {
	w.Helper()
	rec := httptest.NewRecorder()
	w.proxy.serveDecisions(rec, httptest.NewRequest(http.MethodGet, "/debug/decisions?json=1"+query, nil))
	if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil {
		w.Fatalf("%v in\n%s", err, rec.Body)
	}
	return all
}

// TestDecisions_NoLog: they are kept with their evidence without a debug log, and
// what is unreachable or unavailable is a kind of its own.
func TestDecisions_NoLog(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.proxy.debug = false
		ph := w.overTCP("401", "a.test")
		uri := ph.at(w.a)
		ph.Close()
		time.Sleep(time.Second)
		w.a.refused(480, "MESSAGE", uri)
		time.Sleep(time.Millisecond)
		w.a.refused(404, "MESSAGE", uri+"x")
		all := w.decisions("")
		if len(all) != 2 || len(all[0].Evidence) == 0 || len(all[1].Evidence) == 0 {
			t.Fatalf("%+v", all)
		}
		if e := all[1]; len(e.NotTried) != 1 || e.NotTried[0].Why != errGone.Error() || e.Answer.Status != 480 {
			t.Errorf("%+v", e)
		}
		if len(w.proxy.recent.kinds) != 2 || w.proxy.recent.kinds["unreachable"] == nil {
			t.Errorf("%v", w.proxy.recent.kinds)
		}
	})
}

// TestDecisions_Flood: requests that are refused by the hundred, as when nobody's
// PBX answers or anybody may ask, leave some lines in the log.
func TestDecisions_Flood(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		var lines lockedBuilder
		w.proxy.debug = false
		w.proxy.log = slog.New(slog.NewTextHandler(&lines, nil)) // to which who watches over the proxy writes as well
		w.public("401", "a.test").at(w.a)
		w.public("401", "b.test").at(w.a)
		for range 90 {
			w.a.refused(404, "MESSAGE", "sip:401@192.0.2.1:5060")
		}
		if n := strings.Count(lines.String(), `msg="ambiguous request refused"`); n == 0 || n > 2*keptRefusals {
			t.Errorf("%d lines\n%s", n, lines.String())
		}
		if n := w.proxy.counters.reasons[route.Ambiguous].Load(); n != 90 {
			t.Errorf("%d counted, want 90", n)
		}
	})
}

// lockedBuilder is a [strings.Builder] for several goroutines.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
