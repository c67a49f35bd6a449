package route_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// epoch is when all tests take place.
var epoch = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// The proxy of the tests.
const (
	proxyAddr = "10.0.0.1"
	proxyName = "sbc.test"
)

func own(host string, port uint16) bool {
	return (host == proxyAddr || host == proxyName) && port == 5060
}

// bindings is a memory store in which some AORs have a REGISTER under way.
type bindings struct {
	*location.Memory
	pending map[location.AOR]bool
}

func (b bindings) Pending(aor location.AOR) bool { return b.pending[aor] }

func newBindings() bindings {
	return bindings{
		Memory:  location.NewMemory(location.MemoryConfig{Now: func() time.Time { return epoch }}),
		pending: map[location.AOR]bool{},
	}
}

// phone is a binding in short.
type phone struct {
	aor     string
	contact string
	remote  string // of the flow; udp
	token   string
	age     time.Duration // since the last REGISTER
	q       location.Q    // 0 is unspecified here
}

func (b bindings) register(t testing.TB, phones ...phone) {
	t.Helper()
	for i, p := range phones {
		binding := location.Binding{
			Contact:   p.contact,
			Flow:      location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort(p.remote)},
			Q:         location.QUnspecified,
			CallID:    fmt.Sprintf("call-%d", i),
			Expires:   epoch.Add(time.Hour),
			Updated:   epoch.Add(-p.age),
			UserAgent: fmt.Sprintf("phone %d", i),
			Token:     p.token,
			Registrar: "sip:pbx.test",
		}
		if p.q != 0 {
			binding.Q = p.q
		}
		if err := b.Apply(t.Context(), aor(t, p.aor), location.Change{Put: []location.Binding{binding}}); err != nil {
			t.Fatal(err)
		}
	}
}

func aor(t testing.TB, s string) location.AOR {
	t.Helper()
	a, err := location.ParseAOR(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newTable(t testing.TB, tenants ...tenant.Tenant) *tenant.Table {
	t.Helper()
	table, err := tenant.NewTable(tenants)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// set is a tenant in short: sources are addresses, prefixes or address:port.
func set(id int, domains, sources string) tenant.Tenant {
	tn := tenant.Tenant{SetID: id, Domains: strings.Fields(domains)}
	for _, s := range strings.Fields(sources) {
		var source tenant.Source
		if ap, err := netip.ParseAddrPort(s); err == nil {
			source = tenant.Source{Prefix: netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), Port: ap.Port()}
		} else if p, err := netip.ParsePrefix(s); err == nil {
			source.Prefix = p
		} else {
			a := netip.MustParseAddr(s)
			source.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
		tn.Sources = append(tn.Sources, source)
	}
	return tn
}

func source(s string) route.Source {
	return route.Source{Addr: netip.MustParseAddrPort(s), Transport: "udp"}
}

// uri parses a URI; "" and what is no SIP URI give the zero one.
func uri(s string) location.URI {
	u, _ := location.ParseURI(s)
	return u
}

// request makes a Request from "METHOD Request-URI" and words such as
// "to=sip:…", "from=sip:…", "pai=sip:…", "dialog", "trusted", "route=sip:…", "path=sip:…"
// and "alias". To is the Request-URI unless it says otherwise.
func request(t testing.TB, text string) *route.Request {
	t.Helper()
	words := strings.Fields(text)
	req := &route.Request{Method: words[0], Target: uri(words[1]), To: uri(words[1]), From: uri("sip:100@10.9.9.9")}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "to":
			req.To = uri(value)
		case "from":
			req.From = uri(value)
		case "pai":
			req.Asserted = uri(value)
		case "dialog":
			req.InDialog = true
		case "trusted":
			req.InDialog, req.Trusted = true, true
		case "route":
			req.NextRoute = uri(value)
		case "path":
			req.Path = uri(value)
		case "alias":
			req.Alias = location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("198.51.100.1:5060")}
		default:
			t.Fatalf("word %q in %q", w, text)
		}
	}
	return req
}

// line is a decision with its targets, for tables.
func line(d route.Decision) string {
	var b strings.Builder
	b.WriteString(d.String())
	if d.ToDiffers {
		b.WriteString(", To differs")
	}
	for _, target := range d.Targets {
		b.WriteString(" " + target.Contact)
	}
	return b.String()
}

// decide decides twice, to see that explaining changes nothing.
func decide(t testing.TB, req *route.Request, src route.Source, w *route.World) route.Decision {
	t.Helper()
	d := route.Decide(context.Background(), req, src, w)
	if e := route.Explain(context.Background(), req, src, w); line(e) != line(d) {
		t.Errorf("Explain decides %s\nand Decide %s", line(e), line(d))
	}
	return d
}

// addrPorts compares addresses in cmp.Diff.
var addrPorts = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
