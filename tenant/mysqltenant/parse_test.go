package mysqltenant_test

import (
	"net/netip"
	"testing"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

func TestParseDestination(t *testing.T) {
	tests := []struct {
		uri, host string
		port      uint16
	}{
		{"sip:10.0.1.10", "10.0.1.10", 5060},
		{"SIP:10.0.1.10:5080", "10.0.1.10", 5080},
		{"sips:10.0.1.10", "10.0.1.10", 5061},
		{"sip:10.0.1.10;lr;Transport=TLS", "10.0.1.10", 5061},
		{"sip:10.0.1.10:5060;transport=tls", "10.0.1.10", 5060},
		{"sip:10.0.1.10;transport=tcp?Subject=x:1", "10.0.1.10", 5060},
		{"sip:u;x=1?y:p@10.0.1.10:5080", "10.0.1.10", 5080},
		{"sip:[2001:DB8::7]", "2001:db8::7", 5060},
		{"sip:[2001:db8::7]:5080", "2001:db8::7", 5080},
		{"sip:PBX.Example.:5080", "pbx.example", 5080},
	}
	for _, tt := range tests {
		addr, host, port, err := mysqltenant.ParseDestination(tt.uri)
		if addr.IsValid() {
			host = addr.String()
		}
		if host != tt.host || port != tt.port || err != nil {
			t.Errorf("%s: got %s, %d, %v, want %s, %d", tt.uri, host, port, err, tt.host, tt.port)
		}
	}
}

func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{"sip:a", "sips:u@[::1]:5061;x?y", "sip:10.0.0.1:65535", "sip:[::ffff:1.2.3.4]", "sip:::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		addr, host, port, err := mysqltenant.ParseDestination(uri)
		if err != nil {
			return
		}
		if addr.IsValid() == (host != "") || port == 0 || addr.Zone() != "" {
			t.Errorf("%q: got %v, %q, %d", uri, addr, host, port)
		}
		if again, err := netip.ParseAddr(host); err == nil {
			t.Errorf("%q: %v is an address, not a name", uri, again)
		}
	})
}

func FuzzAttrValues(f *testing.F) {
	f.Add("x=1; source_ip = 10.0.0.1, 10.0.0.2;source_ip")
	f.Fuzz(func(t *testing.T, attrs string) {
		all := mysqltenant.AttrValues(attrs, "source_ip")
		if again := mysqltenant.AttrValues(attrs+";source_ip=z", "source_ip"); len(again) != len(all)+1 {
			t.Errorf("%q: %q, and with one more %q", attrs, all, again)
		}
	})
}
