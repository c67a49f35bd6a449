package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/resolver"
	"github.com/sipward/sipward/internal/dnstest"
)

// The shortest TTL of all that makes an answer counts for it. P-32.
func TestResolver_LookupHost(t *testing.T) {
	s := dnstest.New(t)
	r := resolver.Resolver{Dial: s.Dial}
	want := func(host string, ttl time.Duration, addrs ...string) {
		t.Helper()
		got, gotTTL, err := r.LookupHost(t.Context(), host)
		var texts []string
		for _, a := range got {
			texts = append(texts, a.Unmap().String())
		}
		slices.Sort(texts)
		if err != nil || gotTTL != ttl || !slices.Equal(texts, addrs) {
			t.Errorf("%s: got %v for %v, %v, want %v for %v", host, texts, gotTTL, err, addrs, ttl)
		}
	}
	s.Set("pbx.sipward.test", "60 10.0.1.10", "20 10.0.1.11", "40 2001:db8::1")
	want("pbx.sipward.test.", 20*time.Second, "10.0.1.10", "10.0.1.11", "2001:db8::1")
	s.Set("pbx.sipward.test", "0 10.0.1.10")
	want("pbx.sipward.test.", time.Second, "10.0.1.10")
	want("10.0.1.12", 0, "10.0.1.12")

	var many, addrs []string
	for i := range 100 { // of which UDP has not the room
		addr := fmt.Sprintf("10.0.2.%d", 100+i)
		many, addrs = append(many, fmt.Sprintf("%d %s", 200-i, addr)), append(addrs, addr)
	}
	s.Set("many.sipward.test", many...)
	want("many.sipward.test.", 101*time.Second, addrs...)
}

func TestResolver_LookupSRV(t *testing.T) {
	s := dnstest.New(t)
	r := resolver.Resolver{Dial: s.Dial}
	const name = "_sip._udp.sipward.test."
	s.Set("_sip._udp.sipward.test", "30 SRV 10 60 5070 pbx1.sipward.test", "25 SRV 20 0 5060 pbx2.sipward.test")
	got, ttl, err := r.LookupSRV(t.Context(), name)
	if err != nil || ttl != 25*time.Second || len(got) != 2 || *got[0] != (net.SRV{Target: "pbx1.sipward.test.", Port: 5070, Priority: 10, Weight: 60}) {
		t.Errorf("got %v for %v, %v", got, ttl, err)
	}
	var dns *net.DNSError
	s.Fail("_sip._udp.sipward.test")
	if _, ttl, err := r.LookupSRV(t.Context(), name); ttl != 0 || !errors.As(err, &dns) || dns.IsNotFound {
		t.Errorf("a failure: %v, %v", ttl, err)
	}
	s.Set("_sip._udp.sipward.test")
	for _, name := range []string{name, "_sip._tcp.sipward.test."} { // without such records, and without any
		if _, ttl, err := r.LookupSRV(t.Context(), name); ttl != 0 || !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("%s: %v, %v", name, ttl, err)
		}
	}
}

// The hosts file counts as always, and nobody is asked.
func TestResolver_HostsFile(t *testing.T) {
	r := resolver.Resolver{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("asked") }}
	addrs, ttl, err := r.LookupHost(t.Context(), "localhost")
	if err != nil || ttl != 0 || !slices.ContainsFunc(addrs, netip.Addr.IsLoopback) {
		t.Errorf("got %v for %v, %v", addrs, ttl, err)
	}
}
