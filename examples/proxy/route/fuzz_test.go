package route_test

import (
	"slices"
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
)

// FuzzDecide looks for requests that panic or break what must hold for every
// request, well formed or not.
func FuzzDecide(f *testing.F) {
	f.Add("INVITE", "sip:402@10.0.0.1;rid=t1", "sip:100@10.0.10.1", "sip:402@10.0.0.1", "", uint8(0), uint8(0))
	f.Add("OPTIONS", "sip:10.0.0.1", "sip:100@10.0.10.1", "sip:10.0.0.1", "", uint8(0), uint8(0))
	f.Add("INVITE", "sip:401@192.168.4.1", "sip:1@d.test", "sip:401@[::1]", "sip:1@c.test", uint8(1), uint8(0))
	f.Add("REGISTER", "sip:A.TEST.:5060", "sip:401@a.test", "sip:%34%301@a.test", "", uint8(3), uint8(0))
	f.Add("BYE", "sip:402@10.0.0.1", "sip:401@a.test", "sip:402@a.test", "", uint8(0), uint8(3))
	f.Add("ACK", "sip:402:pw@10.0.10.1;transport=tcp?a=b", "", "", "", uint8(4), uint8(7))
	f.Add("INVITE", "sip:299@10.0.0.1", "sip:100@10.9.9.9", "sip:299@10.0.0.1", "", uint8(4), uint8(0))
	f.Add("INVITE", "sip:web@df7jal23ls0d.invalid;transport=wss", "tel:1", "", "", uint8(0), uint8(0))
	w, open := city(f), city(f)
	open.Policy.Hairpin, open.Policy.RingUnique = true, true
	sources := []string{"10.0.10.1:5060", "10.0.30.1:5060", "10.0.50.1:5060", "198.51.100.1:40001", "192.0.2.66:5060", "203.0.113.5:40801"}
	f.Fuzz(func(t *testing.T, method, target, from, to, pai string, src, flags uint8) {
		req := &route.Request{Method: method, Target: uri(target), From: uri(from), To: uri(to), Asserted: uri(pai),
			InDialog: flags&1 != 0, Trusted: flags&2 != 0}
		if flags&4 != 0 {
			req.NextRoute = uri(pai)
		}
		check(t, w, req, source(sources[int(src)%len(sources)]))
		check(t, open, req, source(sources[int(src)%len(sources)]))
	})
}

// check checks what holds for every decision.
func check(t *testing.T, w *route.World, req *route.Request, src route.Source) {
	d := decide(t, req, src, w)
	text := line(d)
	if (d.Action == route.ToPhones) != (len(d.Targets) > 0) || len(d.Targets) > route.MaxTargets {
		t.Errorf("%s has %d targets", text, len(d.Targets))
	}
	switch {
	case d.Action != route.ToPhones:
	case d.Reason == route.UniqueUser:
		if !w.Policy.RingUnique || d.Class != route.Unknown || req.InDialog || req.Method != "INVITE" {
			t.Errorf("%s from %s", text, src.Addr)
		}
	default:
		ours := false
		for _, tn := range w.Tenants.Candidates(src.Addr) {
			ours = ours || slices.Contains(tn.Domains, d.AOR.Domain())
		}
		if !ours || d.Class != route.PBX || req.InDialog {
			t.Errorf("%s from %s", text, src.Addr)
		}
	}
	if (d.Action == route.Reply) != (d.Status >= 400) || (d.Action == route.Local) != (d.Status == 200) {
		t.Errorf("%s has status %d", text, d.Status)
	}
	if req.Method == "ACK" && (d.Action == route.Reply || d.Action == route.Wait || d.Action == route.Local) {
		t.Errorf("ACK: %s", text)
	}
	if d.Action == route.ToURI && !req.Trusted {
		t.Errorf("forged dialog: %s", text)
	}
}
