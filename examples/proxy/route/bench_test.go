package route_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/sipward/sipward/examples/proxy/route"
)

func BenchmarkDecide(b *testing.B) {
	store := newBindings()
	for i := range 5000 {
		for _, domain := range []string{"a.test", "b.test"} {
			user := fmt.Sprintf("%d", 10000+i)
			store.register(b, phone{aor: user + "@" + domain, contact: "sip:" + user + "@192.168.1.10:5060",
				remote: fmt.Sprintf("198.51.100.%d:%d", i%200, 10000+i), token: "AbCdEfGhIjKlMnOpQrStUv" + user})
		}
	}
	w := &route.World{
		Tenants:  newTable(b, set(1, "a.test", "10.0.10.1"), set(2, "b.test", "10.0.20.1"), set(3, "c.test d.test", "10.0.20.1")),
		Bindings: store,
		Own:      own,
	}
	benchmarks := []struct{ name, from, req string }{
		{"own token", "10.0.10.1:5060", "INVITE sip:12345@10.0.0.1:5060;rid=AbCdEfGhIjKlMnOpQrStUv12345 from=sip:401@10.0.10.1"},
		{"own token, PBX of three domains", "10.0.20.1:5060", "INVITE sip:12345@10.0.0.1:5060;rid=AbCdEfGhIjKlMnOpQrStUv12345 from=sip:401@10.0.20.1"},
		{"user at the proxy", "10.0.10.1:5060", "INVITE sip:12345@10.0.0.1:5060 from=sip:401@10.0.10.1"},
		{"user at the proxy, PBX of three domains", "10.0.20.1:5060", "INVITE sip:12345@10.0.0.1:5060 from=sip:401@10.0.20.1"},
		{"Contact of the phone", "10.0.10.1:5060", "INVITE sip:12345@192.168.1.10:5060 from=sip:401@10.0.10.1"},
		{"call of a phone", "198.51.100.145:12345", "INVITE sip:10001@a.test from=sip:12345@a.test"},
		{"REGISTER", "198.51.100.145:12345", "REGISTER sip:a.test to=sip:12345@a.test"},
		{"scan", "192.0.2.66:5060", "INVITE sip:100@10.0.0.1 from=sip:100@10.0.0.1"},
		{"in a dialog", "10.0.10.1:5060", "BYE sip:12345@192.168.1.10 trusted alias"},
	}
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			req, src, ctx := request(b, bm.req), source(bm.from), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				route.Decide(ctx, req, src, w)
			}
		})
	}
}
