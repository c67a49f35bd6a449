package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/internal/simnet"
)

var updateGolden = flag.Bool("update", false, "write testdata/explain.golden anew")

// footprint returns all that an explanation could change.
func (w *world) footprint() string {
	w.Helper()
	synctest.Wait()
	p := w.proxy
	text, err := json.MarshalIndent([]any{p.view(), p.sets.Status(), len(p.pending.on), p.pending.held, p.recent.all()}, "", " ")
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// explainAt asks for an explanation, which must change nothing and send nothing.
func (w *world) explainAt(query url.Values, message string) *httptest.ResponseRecorder {
	w.Helper()
	w.quiet()
	before := w.footprint()
	rec := httptest.NewRecorder()
	w.proxy.serveExplain(rec, httptest.NewRequest(http.MethodPost, "/debug/explain?"+query.Encode(), strings.NewReader(message)))
	if d := cmp.Diff(before, w.footprint()); d != "" {
		w.Errorf("explaining has changed\n%s", d)
	}
	w.quiet()
	return rec
}

// explain returns what is explained of a message over UDP.
func (w *world) explain(from netip.AddrPort, message string) string {
	w.Helper()
	return w.explainAt(url.Values{"from": {from.String()}}, message).Body.String()
}

// TestExplain_Golden: what is said of requests of every kind.
func TestExplain_Golden(t *testing.T) {
	const plain = "sip:401@192.0.2.1:5060"
	tests := []struct {
		name, yaml string
		say        func(w *world) string
	}{
		{"REGISTER of a phone", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.registerText())
		}},
		{"REGISTER of a phone over TCP that is known", threeTenants, func(w *world) string {
			ph := w.overTCP("401", "a.test")
			ph.at(w.a)
			from := w.bound("401", "a.test")[0].Flow.Remote
			return w.explainAt(url.Values{"from": {from.String()}, "transport": {"tcp"}}, ph.registerText()).Body.String()
		}},
		{"REGISTER with two stars", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.registerText("Contact: *", "Contact: *"))
		}},
		{"REGISTER for another domain", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.registerText("To: <sip:401@b.test>"))
		}},
		{"INVITE of a PBX by token", threeTenants, func(w *world) string {
			ph := w.behind(simnet.PortRestricted, "401", "a.test")
			return w.explain(w.a.Addr, w.a.request("INVITE", ph.at(w.a)))
		}},
		{"INVITE of a PBX by another's token", threeTenants, func(w *world) string {
			uri := w.public("401", "a.test").at(w.a)
			w.public("401", "b.test").at(w.b)
			return w.explain(w.b.Addr, w.b.request("INVITE", uri))
		}},
		{"INVITE of a PBX by a bare extension that one domain has", sharedPBX, func(w *world) string {
			w.public("401", "b.test").at(w.a)
			return w.explain(w.a.Addr, w.a.request("INVITE", plain))
		}},
		{"INVITE of a PBX for a user of two domains", sharedPBX, func(w *world) string {
			w.public("401", "a.test").at(w.a)
			w.public("401", "b.test").at(w.a)
			return w.explain(w.a.Addr, w.a.request("INVITE", plain))
		}},
		{"INVITE of a PBX for two phones, one after the other", "lookup: {fork: serial}" + threeTenants, func(w *world) string {
			one, two := w.public("401", "a.test"), w.public("401", "a.test")
			one.contact += ";q=0.5"
			one.fields, two.fields = []string{"User-Agent: Snom"}, []string{"Contact: " + two.contact + ";q=0.9"}
			one.at(w.a)
			two.at(w.a)
			return w.explain(w.a.Addr, w.a.request("INVITE", "sip:401@a.test"))
		}},
		{"INVITE of a PBX for a phone whose connection is gone", threeTenants, func(w *world) string {
			ph := w.overTCP("401", "a.test")
			uri := ph.at(w.a)
			ph.Close()
			time.Sleep(time.Second)
			return w.explain(w.a.Addr, w.a.request("INVITE", uri))
		}},
		{"INVITE of a PBX for a phone behind a proxy", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			ph.fields = []string{"Path: <sip:" + ph.Addr.String() + ";lr>"}
			return w.explain(w.a.Addr, w.a.request("INVITE", ph.at(w.a)))
		}},
		{"INVITE of a PBX for a phone that is at its Contact", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			ph.contact = "<sip:401@203.0.113.50>"
			return w.explain(w.a.Addr, w.a.request("INVITE", ph.at(w.a)))
		}},
		{"INVITE of a PBX for another tenant's phone", threeTenants, func(w *world) string {
			other, ph := w.public("401", "b.test"), w.public("401", "a.test")
			other.at(w.b)
			ph.contact = other.contact
			return w.explain(w.a.Addr, w.a.request("INVITE", ph.at(w.a)))
		}},
		{"INVITE of a PBX for nobody", "lookup: {missing: 480}" + threeTenants, func(w *world) string {
			return w.explain(w.a.Addr, w.a.request("INVITE", "sip:404@a.test"))
		}},
		{"OPTIONS of a PBX that overtakes its 200", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			ph.ask(ph.registerText())
			m := w.a.Expect("REGISTER")
			said := w.explain(w.a.Addr, w.a.request("OPTIONS", uriOf(m.Get("Contact"))))
			w.a.accept(m)
			ph.Status(200)
			return said
		}},
		{"OPTIONS of a PBX to its trunk", threeTenants, func(w *world) string {
			return w.explain(w.a.Addr, w.a.request("OPTIONS", "sip:192.0.2.1"))
		}},
		{"OPTIONS of a stranger", threeTenants, func(w *world) string {
			return w.explain(w.stranger().Addr, w.a.request("OPTIONS", "sip:100@192.0.2.1", "User-Agent: friendly-scanner"))
		}},
		{"INVITE of a phone to an unknown domain", "security: {unknown_domain: 404}" + threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@nowhere.test"))
		}},
		{"INVITE of a phone to a set of which one is down and one switched off", `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}, {uri: "sip:10.0.1.20"}, {uri: "sip:10.0.1.30", state: 1}, {uri: "sip:10.0.1.40", weight: 5, priority: 2}]}
`, func(w *world) string {
			ph := w.public("401", "a.test")
			w.fails("sip:10.0.1.10:5060")
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone to a set that is down", "dispatcher: {all_down: refuse, probe: never}" + threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			w.fails("sip:10.0.1.10:5060")
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone to PBXes that take turns", "dispatcher: {algorithm: round-robin, probe: never}" + threeBoxes, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone to the PBX with the fewest calls", fewestCalls, func(w *world) string {
			ph := w.public("401", "a.test")
			for range 2 {
				w.goes(ph)
			}
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone to a PBX that no listener reaches", `
listen: ["tcp:192.0.2.1:5060", "udp:192.0.2.1:5060"]
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:[2001:db8::10]"}, {uri: "sip:10.0.1.10;transport=tcp"}]}
`, func(w *world) string {
			ph := w.public("401", "a.test")
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone to a PBX whose name has no address", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			if err := w.proxy.sets.Update([]dispatcher.Destination{{SetID: 10, URI: "sip:pbx.test"}, {SetID: 10, URI: "sip:10.0.1.10:5060"}}); err != nil {
				w.Fatal(err)
			}
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE of a phone whose registrar is known", threeBoxes, func(w *world) string {
			ph := w.public("401", "a.test")
			ph.home()
			w.fails(w.bound("401", "a.test")[0].Registrar)
			ph.home()
			time.Sleep(time.Hour / 2)
			return w.explain(ph.Addr, ph.call("INVITE", "sip:402@a.test"))
		}},
		{"INVITE that has come far", threeTenants, func(w *world) string {
			return w.explain(w.a.Addr, w.a.request("INVITE", plain, "Max-Forwards: 0"))
		}},
		{"BYE of a PBX with a proof", threeTenants, func(w *world) string {
			ph := w.behind(simnet.Symmetric, "401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			return w.explain(w.a.Addr, in.text("BYE"))
		}},
		{"BYE of a PBX with a forged alias", threeTenants, func(w *world) string {
			ph := w.behind(simnet.Symmetric, "401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.target = flip(in.target)
			return w.explain(w.a.Addr, in.text("BYE"))
		}},
		{"BYE of a PBX without a proof", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.routes = nil
			return w.explain(w.a.Addr, in.text("BYE"))
		}},
		{"ACK of a PBX without a proof", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.routes = nil
			return w.explain(w.a.Addr, in.text("ACK"))
		}},
		{"BYE of a phone with a proof", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			_, phone := callIn(w.a, ph.at(w.a), ph)
			return w.explain(ph.Addr, phone.text("BYE"))
		}},
		{"BYE of a PBX to another tenant's phone", threeTenants, func(w *world) string {
			ph, other := w.public("401", "a.test"), w.public("401", "b.test")
			other.at(w.b)
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.target = other.uri()
			return w.explain(w.a.Addr, in.text("BYE"))
		}},
		{"BYE of a PBX to a name", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.target = "sip:x@carrier.test"
			w.proxy.dns = zone{"carrier.test": {"203.0.113.99"}}
			return w.explain(w.a.Addr, in.text("BYE"))
		}},
		{"BYE of a PBX to a name that nobody knows", threeTenants, func(w *world) string {
			ph := w.public("401", "a.test")
			in, _ := callIn(w.a, ph.at(w.a), ph)
			in.target = "sip:x@carrier.test"
			w.proxy.dns = hosts(func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() })
			began := time.Now()
			said := w.explain(w.a.Addr, in.text("BYE"))
			if took := time.Since(began); took > explainTimeout {
				w.Errorf("it takes %v", took)
			}
			return said
		}},
	}
	var got strings.Builder
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, tt.yaml, func(w *world) { got.WriteString("=== " + tt.name + "\n" + tt.say(w) + "\n") })
		})
	}
	const golden = "testdata/explain.golden"
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("%s is not what is said (go test -update writes it):\n%s", golden, d)
	}
}

// flip changes the last character of an alias.
func flip(uri string) string {
	last := uri[len(uri)-1]
	return uri[:len(uri)-1] + string(last^1)
}

// fails takes a PBX down, whatever set it is in.
func (w *world) fails(uri string) {
	w.Helper()
	for _, s := range w.proxy.sets.Status() {
		if s.URI != uri {
			continue
		}
		for range w.cfg.Dispatcher.Fall {
			a := w.proxy.sets.Begin(s.Destination)
			a.Report(0, errors.New("timeout"))
			a.End()
			time.Sleep(time.Second)
		}
	}
}
