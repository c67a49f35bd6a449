package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location"
)

// namesOf returns the names for a configuration on a machine with two addresses.
func namesOf(t *testing.T, yaml string) *names {
	t.Helper()
	cfg, err := config.Parse([]byte(yaml), "test", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return newNames(cfg, []netip.Addr{addr("192.168.7.7"), addr("2001:db8::7")})
}

func TestNames_IsOwn(t *testing.T) {
	tests := []struct{ name, yaml, own, foreign string }{
		{
			"addresses",
			`listen: ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5070", "udp:[2001:db8::1]:5060"]`,
			"192.0.2.1 192.0.2.1:5060 192.0.2.1:5070 [2001:db8::1] [2001:DB8:0::1]:5060",
			"192.0.2.2 192.0.2.1:5061 [2001:db8::1]:5070 [2001:db8::2] localhost 192.168.7.7",
		},
		{
			"port 5070 only",
			`listen: ["udp:192.0.2.1:5070"]`,
			"192.0.2.1:5070",
			"192.0.2.1 192.0.2.1:5060",
		},
		{
			"advertised as well",
			"listen: [\"udp:192.0.2.1:5070\"]\nadvertise: Sip.Tenant.test",
			"192.0.2.1:5070 sip.tenant.test:5070 SIP.tenant.TEST.:5070",
			"sip.tenant.test tenant.test:5070 192.168.7.7:5070",
		},
		{
			"advertised with a port",
			"listen: [\"udp:192.0.2.1:5060\"]\nadvertise: sip.tenant.test:5080",
			"192.0.2.1 sip.tenant.test:5080",
			"sip.tenant.test sip.tenant.test:5060",
		},
		{
			"all addresses",
			"listen: [\"udp:0.0.0.0:5060\"]\nadvertise: sip.tenant.test",
			"192.168.7.7 sip.tenant.test [2001:db8::7]",
			"0.0.0.0 192.0.2.1 192.168.7.7:5070",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := namesOf(t, tt.yaml)
			for want, list := range map[bool]string{true: tt.own, false: tt.foreign} {
				for at := range strings.FieldsSeq(list) {
					u, err := location.ParseURI("sip:" + at)
					if err != nil {
						t.Fatal(err)
					}
					if got := n.isOwn(u.Host, u.Port); got != want {
						t.Errorf("isOwn(%s) = %v, want %v", at, got, want)
					}
				}
			}
		})
	}
}

// TestNames_HasAddr: with any port, and all of the machine's if it listens there.
func TestNames_HasAddr(t *testing.T) {
	for yaml, want := range map[string]string{
		`listen: ["udp:192.0.2.1:5060", "udp:[2001:db8::1]:5070"]`:     "192.0.2.1 2001:db8::1",
		"listen: [\"udp:0.0.0.0:5060\"]\nadvertise: \"10.0.9.9:5080\"": "10.0.9.9 192.168.7.7 2001:db8::7",
	} {
		n, got := namesOf(t, yaml), []string{}
		for _, a := range []string{"192.0.2.1", "2001:db8::1", "10.0.9.9", "192.168.7.7", "2001:db8::7", "10.0.1.10"} {
			if n.hasAddr(addr(a)) {
				got = append(got, a)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: has %v, want %s", yaml, got, want)
		}
	}
}

// TestNames_ListenerOf: our Record-Route stands for the listener that has
// written it, if only one can have.
func TestNames_ListenerOf(t *testing.T) {
	tests := []struct{ name, yaml, uri, want string }{
		{"the address", `listen: ["udp:192.0.2.1:5060", "udp:192.0.2.1:5070"]`, "sip:192.0.2.1:5070;lr", "udp 192.0.2.1:5070"},
		{"the transport", `listen: ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"]`, "sip:192.0.2.1:5060;transport=TCP;lr", "tcp 192.0.2.1:5060"},
		{"IPv6", `listen: ["udp:[2001:db8::1]:5060"]`, "sip:[2001:db8::1]:5060;lr", "udp [2001:db8::1]:5060"},
		{"unknown", `listen: ["udp:192.0.2.1:5060"]`, "sip:192.0.2.1:5070;lr", ""},
		{"unknown transport", `listen: ["udp:192.0.2.1:5060"]`, "sip:192.0.2.1:5060;transport=tls;lr", ""},
		{"one name for two", "listen: [\"udp:192.0.2.1:5060\", \"udp:192.0.2.2:5060\"]\nadvertise: sip.tenant.test", "sip:sip.tenant.test:5060;lr", ""},
		{"one name with two ports", "listen: [\"udp:192.0.2.1:5060\", \"udp:192.0.2.2:5070\"]\nadvertise: sip.tenant.test", "sip:SIP.tenant.test:5070;lr", "udp 192.0.2.2:5070"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := location.ParseURI(tt.uri)
			if err != nil {
				t.Fatal(err)
			}
			got := namesOf(t, tt.yaml).listenerOf(u)
			if text := strings.TrimSpace(got.network + " " + strings.Replace(got.addr.String(), "invalid AddrPort", "", 1)); text != tt.want {
				t.Errorf("got %q, want %q", text, tt.want)
			}
		})
	}
}

func TestNames_BySocket(t *testing.T) {
	n := namesOf(t, `listen: ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"]`)
	for socket, want := range map[string]string{
		"udp:192.0.2.1:5060": "udp", "TCP:192.0.2.1:5060": "tcp", "udp:192.0.2.1:5070": "", "": "",
	} {
		if got := n.bySocket(socket).network; got != want {
			t.Errorf("bySocket(%q) = %q, want %q", socket, got, want)
		}
	}
}

// TestNames_Advertised: what Via and Record-Route say, on every listener.
func TestNames_Advertised(t *testing.T) {
	n := namesOf(t, "listen: [\"udp:0.0.0.0:5060\", \"tcp:0.0.0.0:5070\"]\nadvertise: sip.tenant.test")
	for _, l := range n.listen {
		want := map[string]string{"udp": "sip.tenant.test:5060", "tcp": "sip.tenant.test:5070"}[l.network]
		if n.sentBy[l] != want || n.first[l.network] != want {
			t.Errorf("%v is called %q and %q, want %q", l, n.sentBy[l], n.first[l.network], want)
		}
	}
}

// TestNames_There: a listener on all addresses is reached where others are told, if
// that is an address, or at one that the machine has.
func TestNames_There(t *testing.T) {
	tests := []struct{ listen, advertise, want string }{
		{"udp:192.0.2.1:5070", "192.0.2.9", "invalid AddrPort"}, // it has an address of its own
		{"udp:0.0.0.0:5070", "10.0.0.1", "10.0.0.1:5070"},
		{"udp:0.0.0.0:5070", "10.0.0.1:5080", "10.0.0.1:5080"},
		{"udp:0.0.0.0:5070", "sip.tenant.test:5080", "192.168.7.7:5070"},
		{"udp:[::]:5070", "sip.tenant.test", "[2001:db8::7]:5070"},
		{"udp:[::]:5070", "10.0.0.1", "[2001:db8::7]:5070"},
	}
	for _, tt := range tests {
		n := namesOf(t, `{listen: ["`+tt.listen+`"], advertise: "`+tt.advertise+`"}`)
		if got := n.there[n.listen[0]].String(); got != tt.want {
			t.Errorf("%s as %s: got %s, want %s", tt.listen, tt.advertise, got, tt.want)
		}
	}
}
