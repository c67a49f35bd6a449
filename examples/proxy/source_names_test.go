package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/internal/simnet"
)

// sends returns the sets whose PBX sends from addresses, as text.
func (l *loading) sends(addrs ...string) string {
	var all []string
	for _, a := range addrs {
		var sets []int
		for _, tn := range l.st.tenants.Candidates(netip.AddrPortFrom(addr(a), 0)) {
			sets = append(sets, tn.SetID)
		}
		all = append(all, fmt.Sprint(sets))
	}
	return strings.Join(all, " ")
}

// texts returns those of problems.
func texts(problems []problem) (all []string) {
	for _, p := range problems {
		all = append(all, p.Text)
	}
	return all
}

// TestNewFleet_Written: a name gives its sets nothing that is written for others,
// nor what only the operator can mean. P-12 P-32.
func TestNewFleet_Written(t *testing.T) {
	tests := []struct {
		name, a, b string // destinations of sets 10 and 20
		leads      []string
		sends      string // sets of the last of these addresses
		problems   []string
	}{
		{"address", `{uri: "sip:pbx.a.test"}`, `{uri: "sip:10.0.1.20"}`,
			[]string{"10.0.1.10", "10.0.1.20"}, "[20]",
			[]string{"pbx.a.test leads to 10.0.1.20, which is left out: it is written for set 20"}},
		{"another port", `{uri: "sip:pbx.a.test:5070"}`, `{uri: "sip:10.0.1.20"}`,
			[]string{"10.0.1.10", "10.0.1.20"}, "[20]",
			[]string{"pbx.a.test leads to 10.0.1.20, which is left out: it is written for set 20"}},
		{"network", `{uri: "sip:pbx.a.test"}`, `{uri: "sip:10.0.1.20", sources: ["10.0.8.0/24"]}`,
			[]string{"10.0.1.10", "10.0.8.7"}, "[20]",
			[]string{"pbx.a.test leads to 10.0.8.7, which is left out: it is written for set 20"}},
		{"several", `{uri: "sip:pbx.a.test"}`, `{uri: "sip:10.0.1.20"}, {uri: "sip:10.0.1.21"}`,
			[]string{"10.0.1.21", "10.0.1.20"}, "[20]",
			[]string{"pbx.a.test leads to 10.0.1.21, which is left out: it is written for set 20; and to 1 more like that"}},
		{"own network", `{uri: "sip:pbx.a.test", sources: ["10.0.1.0/24"]}`, `{uri: "sip:10.0.2.20"}`,
			[]string{"10.0.1.10"}, "[10]", nil},
		{"in a network of both", `{uri: "sip:pbx.a.test", sources: ["10.0.1.0/24"]}`, `{uri: "sip:10.0.2.20", sources: ["10.0.1.0/24"]}`,
			[]string{"10.0.1.10"}, "[10]",
			[]string{"10.0.1.0/24 sends for the sets 10 20: what it sends must name its tenant"}},
		{"name of both", `{uri: "sip:pbx.a.test"}`, `{uri: "sip:pbx.a.test"}, {uri: "sip:10.0.1.20"}`,
			[]string{"10.0.1.20"}, "[10 20]",
			[]string{"10.0.1.20/32 sends for the sets 10 20: what it sends must name its tenant"}},
		{"loopback", `{uri: "sip:pbx.a.test"}`, "", []string{"10.0.1.10", "127.0.0.1"}, "[]",
			[]string{"pbx.a.test leads to 127.0.0.1, which is left out: such an address counts only if it is written"}},
		{"link-local", `{uri: "sip:pbx.a.test"}`, "", []string{"10.0.1.10", "169.254.169.254"}, "[]",
			[]string{"pbx.a.test leads to 169.254.169.254, which is left out: such an address counts only if it is written"}},
		{"multicast", `{uri: "sip:pbx.a.test"}`, "", []string{"10.0.1.10", "ff02::1"}, "[]",
			[]string{"pbx.a.test leads to ff02::1, which is left out: such an address counts only if it is written"}},
		{"the proxy", `{uri: "sip:pbx.a.test"}`, "", []string{"10.0.1.10", "192.0.2.1"}, "[]",
			[]string{"pbx.a.test leads to 192.0.2.1, which is left out: such an address counts only if it is written"}},
		{"written loopback", `{uri: "sip:pbx.a.test"}, {uri: "sip:127.0.0.1:5070"}`, "", []string{"10.0.1.10"}, "[10]", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			yaml := "tenants: [{setid: 10, domains: [a.test], destinations: [" + tt.a + "]}"
			if tt.b != "" {
				yaml += ", {setid: 20, domains: [b.test], destinations: [" + tt.b + "]}"
			}
			l := newLoading(t, yaml+"]", nil, zone{"pbx.a.test": tt.leads})
			last := tt.leads[len(tt.leads)-1]
			if got := l.sends(last); got != tt.sends {
				t.Errorf("%s sends for %s, want %s", last, got, tt.sends)
			}
			if diff := cmp.Diff(tt.problems, texts(l.Stats().Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			for _, m := range l.fleet.members {
				if e, _ := endpointOf(m.URI); m.SetID == 10 && e.addr == addr(last) && !strings.Contains(tt.sends, "10") {
					t.Errorf("set 10 has %s", m.URI)
				}
			}
			for at := range l.st.serverNames {
				if at.Addr() == addr(last) && !strings.Contains(tt.sends, "10") {
					t.Errorf("%v is expected to have a certificate of %s", at, l.st.serverNames[at])
				}
			}
		})
	}
}

// TestNewFleet_TwoNames: whose name leads to an address has it as long as that
// is so, whoever else claims it later; whether his server answers or not. Sets
// that begin together share it. P-12 P-32.
func TestNewFleet_TwoNames(t *testing.T) {
	const yaml = `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:pbx.b.test"}]}`
	z := zone{"pbx.a.test": {"10.0.1.10"}, "pbx.b.test": {"10.0.1.20"}}
	l := newLoading(t, yaml, nil, z)
	at := func(a, b []string, sends string, problems ...string) {
		t.Helper()
		z["pbx.a.test"], z["pbx.b.test"] = a, b
		for range 2 {
			l.poll(t.Context())
			if got := l.sends("10.0.1.10", "10.0.1.20"); got != sends {
				t.Errorf("sets %s, want %s", got, sends)
			}
			l.wantProblems(problems...)
		}
	}
	one, two := []string{"10.0.1.10"}, []string{"10.0.1.20"}
	at(one, two, "[10] [20]")
	l.said()
	at([]string{"10.0.1.10", "10.0.1.20"}, two, "[10] [20]", problemConflict)
	l.said("pbx.a.test leads to 10.0.1.20, which is left out: it was there before for set 20")
	at(two, nil, "[] [20]", problemConflict, problemName)
	at(two, one, "[20] [10]")
	at(one, two, "[10] [20]") // at once, as containers do that are restarted

	// It does not matter how it was said that the address is b's, but that it was.
	l.file = parseConfig(t, strings.Replace(yaml, "pbx.b.test", "10.0.1.20", 1))
	at(two, nil, "[] [20]", problemConflict)
	l.file = parseConfig(t, yaml)
	at(two, two, "[] [20]", problemConflict)
	l.file = parseConfig(t, strings.Replace(yaml, "pbx.a.test", "10.0.1.20", 1))
	at(nil, two, "[] [10]", problemConflict) // the operator's word ends it

	l = newLoading(t, yaml, nil, zone{"pbx.a.test": two, "pbx.b.test": two})
	if got := l.sends("10.0.1.20"); got != "[10 20]" {
		t.Errorf("at the beginning %s", got)
	}
	l.poll(t.Context())
	if got := l.sends("10.0.1.20"); got != "[10 20]" {
		t.Errorf("then %s", got)
	}
	l.wantProblems(problemShared)
}

// TestNewFleet_Rows: it is the same for names in the database and addresses in the
// file, and the reverse.
func TestNewFleet_Rows(t *testing.T) {
	db := mysqltest.DB(t)
	createTables(t, db)
	exec(t, db, "INSERT INTO domain (domain, setid) VALUES ('a.test', 10), ('d.test', 40)",
		"INSERT INTO dispatcher (setid, destination, state) VALUES (10, 'sip:pbx.a.test;transport=tls', 0), (40, 'sip:10.0.1.40', 1)")
	l := newLoading(t, `
tenants:
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:pbx.c.test"}]}`, db,
		zone{"pbx.a.test": {"10.0.1.10", "10.0.1.20"}, "pbx.c.test": {"10.0.1.30", "10.0.1.40"}})
	if got := l.sends("10.0.1.10", "10.0.1.20", "10.0.1.30", "10.0.1.40"); got != "[10] [20] [30] [40]" {
		t.Errorf("sets %s", got)
	}
	l.wantProblems(problemConflict, problemConflict)
}

// TestPBX_NotByNameOfOthers: a name that leads to the PBX of another tenant rings
// none of its phones, and costs the PBX none of its own. P-12 P-13.
func TestPBX_NotByNameOfOthers(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.reconfigure(zone{"pbx.a.test": {"10.0.1.10", "10.0.1.20"}}, `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
`)
		w.behind(simnet.PortRestricted, "401", "a.test").at(w.a)
		w.b.refused(404, "INVITE", "sip:401@192.0.2.1")
		ph := w.behind(simnet.PortRestricted, "401", "b.test")
		ph.register(w.b)
		w.b.reaches(ph, "INVITE", "sip:401@192.0.2.1")
	})
}
