package main

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// members returns what a set has, with weights and, for stand-ins, tiers.
func (l *loading) members(set int) (all []string) {
	for _, d := range l.fleet.members {
		if d.SetID == set {
			text := fmt.Sprintf("%s %d", d.URI, d.Weight)
			if d.Tier > 0 {
				text += fmt.Sprintf(" tier %d", d.Tier)
			}
			all = append(all, text)
		}
	}
	return all
}

// TestExpand_SRV: a name without a port is where its SRV records lead, in tiers by
// their priority and with shares by their weight. P-32.
func TestExpand_SRV(t *testing.T) {
	tests := []struct {
		name, destinations string
		srv                []string // of _sip._udp.pbx.a.test
		want               []string
	}{
		{"none", `{uri: "sip:pbx.a.test"}`, nil, []string{"sip:10.0.1.9:5060 1"}},
		{"a port", `{uri: "sip:pbx.a.test:5060"}`, []string{"0/0/5070/one.a.test."}, []string{"sip:10.0.1.9:5060 1"}},
		{"another transport", `{uri: "sip:pbx.a.test;transport=tcp"}`, []string{"0/0/5070/one.a.test."},
			[]string{"sip:10.0.1.9:5060;transport=tcp 1"}},
		{"one", `{uri: "sip:pbx.a.test", weight: 7}`, []string{"5/0/5070/one.a.test."}, []string{"sip:10.0.1.1:5070 7"}},
		{"tiers", `{uri: "sip:pbx.a.test"}`, []string{"20/0/5060/one.a.test.", "10/5/5070/two.a.test.", "30/0/5060/two.a.test."},
			[]string{"sip:10.0.1.2:5070 1", "sip:[fd00::2]:5070 1", "sip:10.0.1.1:5060 1 tier 1", "sip:10.0.1.2:5060 1 tier 2", "sip:[fd00::2]:5060 1 tier 2"}},
		{"equal weights", `{uri: "sip:pbx.a.test"}, {uri: "sip:10.0.1.20"}`, []string{"10/50/5060/one.a.test.", "10/50/5060/three.a.test."},
			[]string{"sip:10.0.1.20:5060 1", "sip:10.0.1.1:5060 1", "sip:10.0.1.3:5060 1"}},
		{"weights", `{uri: "sip:pbx.a.test"}, {uri: "sip:10.0.1.20", weight: 3}, {uri: "sip:10.0.1.21", weight: 0}`,
			[]string{"10/60/5060/one.a.test.", "10/20/5060/three.a.test.", "20/0/5060/two.a.test."},
			[]string{"sip:10.0.1.20:5060 300", "sip:10.0.1.21:5060 0", "sip:10.0.1.1:5060 150", "sip:10.0.1.3:5060 50",
				"sip:10.0.1.2:5060 100 tier 1", "sip:[fd00::2]:5060 100 tier 1"}},
		{"of two addresses each has half", `{uri: "sip:pbx.a.test"}`, []string{"10/50/5060/one.a.test.", "10/50/5060/two.a.test."},
			[]string{"sip:10.0.1.1:5060 150", "sip:10.0.1.2:5060 75", "sip:[fd00::2]:5060 75"}},
		{"weight 0 beside others is a small one", `{uri: "sip:pbx.a.test"}`, []string{"10/0/5060/three.a.test.", "10/50/5060/one.a.test."},
			[]string{"sip:10.0.1.1:5060 200", "sip:10.0.1.3:5060 1"}},
		{"that drains", `{uri: "sip:pbx.a.test", weight: 0}`, []string{"10/10/5060/three.a.test.", "10/50/5060/one.a.test."},
			[]string{"sip:10.0.1.1:5060 0", "sip:10.0.1.3:5060 0"}},
		{"the highest", `{uri: "sip:pbx.a.test", weight: 2147483647}`, []string{"10/10/5060/three.a.test.", "10/50/5060/one.a.test."},
			[]string{"sip:10.0.1.1:5060 2147483647", "sip:10.0.1.3:5060 2147483647"}},
		{"what is written counts", `{uri: "sip:pbx.a.test", weight: 5}, {uri: "sip:10.0.1.1", weight: 2}`, []string{"10/0/5060/one.a.test.", "10/0/5060/three.a.test."},
			[]string{"sip:10.0.1.1:5060 2", "sip:10.0.1.3:5060 5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := zone{"pbx.a.test": {"10.0.1.9"}, "one.a.test": {"10.0.1.1"}, "two.a.test": {"10.0.1.2", "fd00::2"}, "three.a.test": {"10.0.1.3"},
				"_sip._udp.pbx.a.test": tt.srv}
			l := newLoading(t, "tenants: [{setid: 10, domains: [a.test], destinations: ["+tt.destinations+"]}]", nil, z)
			if diff := cmp.Diff(tt.want, l.members(10)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			l.wantProblems()
			for uri, h := range l.st.hops {
				if !slices.ContainsFunc(l.st.tenants.Candidates(h.remote), func(tn *tenant.Tenant) bool { return tn.SetID == 10 }) {
					t.Errorf("%s is a stranger", uri)
				}
			}
		})
	}
}

// TestNewFleet_SRV: what SRV records lead to is whose it is by the same rules, and
// none of their ports makes a difference. P-12 P-32.
func TestNewFleet_SRV(t *testing.T) {
	z := zone{"_sip._udp.pbx.a.test": {"10/0/5070/one.a.test.", "10/0/5070/pbx.b.test."}, "one.a.test": {"10.0.1.10"}, "pbx.b.test": {"10.0.1.20"},
		"_sip._udp.pbx.c.test": {"10/0/5060/one.c.test.", "20/0/5060/two.c.test."}, "one.c.test": {"10.0.1.30"}, "two.c.test": {"127.0.0.1", "192.0.2.1"}}
	const yaml = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:pbx.c.test"}]}
  - {setid: 40, domains: [d.test], destinations: [{uri: "sip:pbx.c.test:5060"}]}`
	l := newLoading(t, yaml, nil, z)
	if got := l.sends("10.0.1.10", "10.0.1.20", "10.0.1.30", "127.0.0.1", "192.0.2.1"); got != "[10] [20] [30] [] []" {
		t.Errorf("sets %s", got)
	}
	l.wantProblems(problemConflict, problemConflict, problemName)
	if got := l.members(10); !slices.Equal(got, []string{"sip:10.0.1.10:5070 1"}) {
		t.Errorf("set 10 has %v", got)
	}
	if got := fmt.Sprint(l.fleet.tenants[0].Sources); got != "[{10.0.1.10/32 5070}]" {
		t.Errorf("set 10 has the sources %s", got)
	}

	// Later another name claims what is there already, and the same name with a port
	// is no other one.
	z["_sip._udp.pbx.a.test"], z["pbx.c.test"] = []string{"10/0/5080/one.c.test."}, []string{"10.0.1.30"}
	l.poll(t.Context())
	if got := l.sends("10.0.1.10", "10.0.1.30"); got != "[] [30 40]" {
		t.Errorf("sets %s", got)
	}
}

// TestSource_SRV: a change of SRV records is seen as one of addresses is, a change
// of order is none, and an outage keeps the last answer. P-32.
func TestSource_SRV(t *testing.T) {
	z := zone{"_sip._udp.pbx.a.test": {"10/0/5070/one.a.test.", "20/0/5070/two.a.test."}, "one.a.test": {"10.0.1.1"}, "two.a.test": {"10.0.1.2"}}
	l := newLoading(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`, nil, z)
	at := func(want ...string) {
		t.Helper()
		l.poll(t.Context())
		if diff := cmp.Diff(want, l.members(10)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	both := []string{"sip:10.0.1.1:5070 1", "sip:10.0.1.2:5070 1 tier 1"}
	at(both...)
	before := l.st
	slices.Reverse(z["_sip._udp.pbx.a.test"])
	at(both...)
	if l.st != before {
		t.Error("another order is no change")
	}
	l.said()
	z["_sip._udp.pbx.a.test"] = []string{"fail"}
	at(both...)
	l.said("pbx.a.test, its last answer counts")
	l.wantProblems(problemName)
	z["_sip._udp.pbx.a.test"] = []string{"10/0/5070/two.a.test.", "20/0/5070/one.a.test."}
	z["one.a.test"] = nil
	swapped := []string{"sip:10.0.1.2:5070 1", "sip:10.0.1.1:5070 1 tier 1"}
	at(swapped...)
	l.said("tenants changed")
	l.wantProblems(problemName)
	z["one.a.test"] = []string{"10.0.1.1"}
	at(swapped...)
	l.said("problem is gone")
}

// TestSource_SRVOfRows: the same for what is in the database, and over TLS the
// certificate must be that of the name in the URI, wherever DNS says that it is.
func TestSource_SRVOfRows(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10)", "INSERT INTO dispatcher (setid, destination) VALUES (10, 'sips:PBX.a.test')")
	z := zone{"_sips._tcp.pbx.a.test": {"10/0/5081/one.a.test."}, "one.a.test": {"10.0.1.1"}}
	l := newLoading(t, "", db, z)
	if got, want := l.members(10), []string{"sips:10.0.1.1:5081 1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	at := netip.MustParseAddrPort("10.0.1.1:5081")
	if h := l.st.hops["sips:10.0.1.1:5081"]; h != (hop{"tls", at}) || l.st.serverNames[at] != "pbx.a.test" || len(l.st.tenants.Candidates(at)) != 1 {
		t.Errorf("hop %v, name %q", h, l.st.serverNames[at])
	}
}

// srvPBX is a tenant whose PBX is where SRV records lead.
const srvPBX = `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}]`

// srvWorld is a world with a PBX at port 5070, and w.b to stand in for it.
func srvWorld(t *testing.T, f func(w *world, z zone, main *pbx)) {
	inWorld(t, threeTenants, func(w *world) { // and not with the resolver of the system
		h := w.net.NewHost(netip.MustParseAddr("10.0.2.10"))
		main := &pbx{Peer: w.peer(siptestx.UDP(w, h, 5070)), w: w, host: h, domain: "a.test", contacts: map[string][]string{}}
		z := zone{"_sip._udp.pbx.a.test": {"10/0/5070/one.a.test.", "20/0/5060/two.a.test."}, "one.a.test": {"10.0.2.10"}, "two.a.test": {"10.0.1.20"}}
		w.proxy.source.names = mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: z})
		w.reload(srvPBX)
		f(w, z, main)
	})
}

// movesTo registers the phone at p, since the PBX before it is silent.
func (ph *phone) movesTo(p *pbx) {
	ph.w.Helper()
	ph.ask(ph.registerText())
	time.Sleep(ph.w.cfg.Timers.Branch)
	p.grant()
	ph.Status(200)
}

// TestSRV_Failover: all phones are with the best target as long as it is there, and
// each target may call them. P-12 P-34.
func TestSRV_Failover(t *testing.T) {
	srvWorld(t, func(w *world, _ zone, main *pbx) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(main)
		main.reaches(ph, "INVITE", uri)
		for i := range 20 {
			other := w.public(fmt.Sprint(500+i), "a.test")
			other.register(main)
		}
		main.host.BlackHole(true)
		ph.movesTo(w.b)
		w.b.reaches(ph, "INVITE", w.b.contacts["401"][0])
	})
}

// TestSRV_Change: calls go on when the records become others, and those that
// follow go where they lead. P-32.
func TestSRV_Change(t *testing.T) {
	srvWorld(t, func(w *world, z zone, main *pbx) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		in, phoneIn := callIn(main, ph.at(main), ph)
		out, pbxOut := callOut(ph, main)
		z["_sip._udp.pbx.a.test"] = []string{"10/0/5060/two.a.test."}
		w.reload(srvPBX)
		in.exchange(phoneIn, "INFO")
		pbxOut.exchange(out, "INFO")
		ph.refresh(w.b)
		in.exchange(phoneIn, "BYE")
		out.exchange(pbxOut, "BYE")
	})
}

// TestSRV_InDialog: a PBX that is known by SRV records only, and has their name in
// its Contact, is reached by it: the one of the dialog, whoever is the best. P-66.
func TestSRV_InDialog(t *testing.T) {
	srvWorld(t, func(w *world, z zone, main *pbx) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		main.host.BlackHole(true)
		ph.movesTo(w.b)
		time.Sleep(time.Minute) // till nobody tries to reach it any more
		main.host.BlackHole(false)
		caller, callee := ph.side(), w.b.side()
		callee.contact = "sip:asterisk@pbx.a.test"
		caller.dial(callee, ph.call("INVITE", "sip:402@a.test"))
		conversation(caller, callee)
	})
}
