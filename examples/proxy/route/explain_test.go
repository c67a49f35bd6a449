package route_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/route"
)

var update = flag.Bool("update", false, "write testdata/explain.golden anew")

func TestExplain_Golden(t *testing.T) {
	type query struct{ from, req string }
	tests := []query{
		{"10.0.10.1:5060", "INVITE sip:402@10.0.0.1:5060;rid=t1"},
		{"10.0.30.1:5060", "INVITE sip:401@10.0.0.1;rid=gone"},
		{"10.0.10.1:5060", "INVITE sip:line1@192.168.1.99 path=sip:402@10.0.0.1;lr;rid=t1"},
		{"10.0.10.1:5060", "INVITE sip:402@a.test"},
		{"10.0.10.1:5060", "INVITE sip:401@b.test"},
		{"10.0.50.1:5060", "INVITE sip:402@10.0.0.1 to=sip:402@a.test from=sip:100@e3.test"},
		{"10.0.30.1:5060", "INVITE sip:401@192.168.4.1:5060"},
		{"10.0.50.1:5060", "NOTIFY sip:401@10.0.0.1"},
		{"10.0.50.1:5060", "INVITE sip:402@10.0.0.1"},
		{"10.0.10.1:5060", "INVITE sip:402-two@10.0.0.1"},
		{"10.0.10.1:5060", "OPTIONS sip:new@10.0.0.1"},
		{"10.0.10.1:5060", "OPTIONS sip:10.0.0.1"},
		{"10.0.10.1:5060", "INVITE sip:401@carrier.example"},
		{"203.0.113.5:40801", "INVITE sip:9@g.test from=sip:801@g.test"},
		{"198.51.100.1:40001", "INVITE sip:9@a.test from=sip:401@a.test"},
		{"198.51.100.3:40001", "INVITE sip:402@10.0.30.1 from=sip:401@c.test"},
		{"198.51.100.3:40001", "INVITE sip:402@10.0.30.1 from=sip:401@a.test"},
		{"192.0.2.66:5060", "NOTIFY sip:401@10.0.0.1"},
		{"192.0.2.66:5060", "REGISTER sip:b.test to=sip:401@a.test"},
		{"192.0.2.66:5060", "BYE sip:401@10.0.10.1 dialog"},
		{"198.51.100.1:40001", "BYE sip:10.0.10.1 trusted"},
		{"198.51.100.1:40001", "BYE sip:victim@192.0.2.99 trusted"},
		{"10.0.10.1:5060", "BYE sip:402@10.0.0.1 trusted"},
	}
	open := []query{ // where hairpins and strangers are let in
		{"10.0.10.1:5060", "INVITE sip:401@b.test"},
		{"192.0.2.66:5060", "INVITE sip:299@10.0.0.1"},
		{"192.0.2.66:5060", "INVITE sip:700@10.0.0.1"},
		{"192.0.2.66:5060", "INVITE sip:999@10.0.0.1"},
		{"192.0.2.66:5060", "INVITE sip:299@10.0.0.1;rid=t1"},
	}
	w := city(t)
	var got strings.Builder
	explain := func(tests []query) {
		for _, tt := range tests {
			d := route.Explain(t.Context(), request(t, tt.req), source(tt.from), w)
			got.WriteString(tt.req + "\n" + d.Explanation() + "\n")
		}
	}
	explain(tests)
	w.Policy.Hairpin, w.Policy.RingUnique = true, true
	explain(open)
	const golden = "testdata/explain.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
