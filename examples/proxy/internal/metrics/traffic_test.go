package metrics_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
)

func TestObserve(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	phone, pbx := m.Group(route.Phone, 10, false), m.Group(route.PBX, 10, false)
	inDialog := m.Group(route.Phone, 10, true)
	tests := []struct {
		name   string
		events []relay.Event
		want   map[string]float64
	}{
		{"call", []relay.Event{
			{Kind: relay.Arrived, Method: "INVITE", Tag: pbx},
			{Kind: relay.Sent, Method: "INVITE", Tag: pbx, Status: 100},
			{Kind: relay.Received, Method: "INVITE", Status: 180},
			{Kind: relay.Ringing, Method: "INVITE", Tag: pbx, Status: 180, Took: time.Second},
			{Kind: relay.BranchEnded, Method: "INVITE", Tag: pbx, Status: 200},
			{Kind: relay.Done, Method: "INVITE", Tag: pbx, Status: 200, Took: 3 * time.Second},
			{Kind: relay.AnsweredAgain, Method: "INVITE", Tag: pbx, Status: 200},
			{Kind: relay.Arrived, Method: "ACK", Tag: pbx},
		}, map[string]float64{
			`sip_requests_total{from="pbx",method="INVITE"}`:                  1,
			`sip_requests_total{from="pbx",method="ACK"}`:                     1,
			`sip_responses_total{class="1xx",dir="sent",method="INVITE"}`:     1,
			`sip_responses_total{class="1xx",dir="received",method="INVITE"}`: 1,
			`invite_first_provisional_seconds_count{from="pbx"}`:              1,
			`relay_branches_total{result="answered"}`:                         1,
			`relay_duration_seconds_count{method="INVITE"}`:                   1,
			`invite_final_total{code="200",from="pbx"}`:                       1,
			`late_answers_total{kind="retransmit"}`:                           1,
		}},
		{"an INVITE in a dialog is no call", []relay.Event{
			{Kind: relay.Arrived, Method: "INVITE", Tag: inDialog},
			{Kind: relay.Ringing, Method: "INVITE", Tag: inDialog, Status: 180},
			{Kind: relay.Done, Method: "INVITE", Tag: inDialog, Status: 491},
		}, map[string]float64{
			`sip_requests_total{from="phone",method="INVITE"}`: 1,
			`relay_duration_seconds_count{method="INVITE"}`:    1,
		}},
		{"pending", []relay.Event{
			{Kind: relay.Arrived, Method: "MESSAGE", Tag: phone},
			{Kind: relay.Arrived, Method: "CANCEL"},
		}, map[string]float64{
			`sip_requests_total{from="phone",method="MESSAGE"}`:  1,
			`sip_requests_total{from="unknown",method="CANCEL"}`: 1,
			`relay_transactions{method="MESSAGE"}`:               1,
		}},
		{"odd method and statuses", []relay.Event{
			{Kind: relay.Arrived, Method: "invite"},
			{Kind: relay.Received, Method: "X\xff", Status: 699},
			{Kind: relay.Arrived, Method: "INVITE", Tag: phone},
			{Kind: relay.Done, Method: "INVITE", Tag: phone, Status: 699},
			{Kind: relay.Done, Method: "invite"},
		}, map[string]float64{
			`sip_requests_total{from="unknown",method="other"}`:              1,
			`sip_requests_total{from="phone",method="INVITE"}`:               1,
			`sip_responses_total{class="6xx",dir="received",method="other"}`: 1,
			`relay_duration_seconds_count{method="INVITE"}`:                  1,
			`relay_duration_seconds_count{method="other"}`:                   1,
			`invite_final_total{code="other",from="phone"}`:                  1,
		}},
		{"branches", []relay.Event{
			{Kind: relay.BranchEnded, Status: 486},
			{Kind: relay.BranchEnded, Status: 487},
			{Kind: relay.BranchEnded, Status: 408},
			{Kind: relay.BranchEnded, Status: 408, NoAnswer: true},
			{Kind: relay.BranchEnded, Status: 503, NoAnswer: true},
		}, map[string]float64{
			`relay_branches_total{result="rejected"}`:  2,
			`relay_branches_total{result="canceled"}`:  1,
			`relay_branches_total{result="timeout"}`:   1,
			`relay_branches_total{result="transport"}`: 1,
		}},
		{"failovers", []relay.Event{
			{Kind: relay.FailedOver, Status: 503},
			{Kind: relay.FailedOver, Status: 503, NoAnswer: true},
			{Kind: relay.FailedOver, Status: 408, NoAnswer: true},
			{Kind: relay.HungUp, Status: 200},
		}, map[string]float64{
			`dispatcher_failovers_total{reason="503"}`:       1,
			`dispatcher_failovers_total{reason="transport"}`: 1,
			`dispatcher_failovers_total{reason="timeout"}`:   1,
			`late_answers_total{kind="ack_bye"}`:             1,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := scrape(t, m)
			for _, e := range tt.events {
				m.Observe(e)
			}
			got := scrape(t, m)
			for series, value := range got {
				if value -= before[series]; value != tt.want[series] {
					t.Errorf("%s grew by %v, want %v", series, value, tt.want[series])
				}
			}
			for series := range tt.want {
				if _, ok := got[series]; !ok {
					t.Errorf("no %s", series)
				}
			}
		})
	}
}

// Each method that the proxy lets through has a label of its own.
func TestObserve_Methods(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	all := strings.Fields("INVITE ACK BYE CANCEL OPTIONS REGISTER NOTIFY SUBSCRIBE PRACK UPDATE INFO REFER MESSAGE PUBLISH")
	wanted := map[string]float64{}
	for i, method := range all {
		for range i + 1 {
			m.Observe(relay.Event{Kind: relay.Received, Method: method, Status: 200})
		}
		wanted[fmt.Sprintf(`sip_responses_total{class="2xx",dir="received",method="%s"}`, method)] = float64(i + 1)
	}
	want(t, m, wanted)
}

func TestGroup_Tenants(t *testing.T) {
	m := newMetrics(t, metrics.Config{Tenants: []int{10, 20}})
	for _, set := range []int{10, 30, -1} {
		for _, inDialog := range []bool{false, true} {
			g := m.Group(route.Phone, set, inDialog)
			m.Observe(relay.Event{Kind: relay.Arrived, Method: "INVITE", Tag: g})
			m.Observe(relay.Event{Kind: relay.Done, Method: "INVITE", Tag: g, Status: 404})
		}
	}
	want(t, m, map[string]float64{
		`sip_requests_total{from="phone",method="INVITE"}`:     6,
		`invite_final_total{code="404",from="phone"}`:          3,
		`relay_duration_seconds_count{method="INVITE"}`:        6,
		`tenant_requests_total{from="phone",setid="10"}`:       2,
		`tenant_requests_total{from="phone",setid="other"}`:    4,
		`tenant_invite_final_total{class="4xx",setid="10"}`:    1,
		`tenant_invite_final_total{class="4xx",setid="other"}`: 2,
	})
}

func TestObserve_Concurrent(t *testing.T) {
	m := newMetrics(t, metrics.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				g := m.Group(route.PBX, 1, false)
				m.Observe(relay.Event{Kind: relay.Arrived, Method: "BYE", Tag: g})
				m.Observe(relay.Event{Kind: relay.Done, Method: "BYE", Tag: g, Status: 200})
			}
		})
	}
	scrape(t, m)
	wg.Wait()
	want(t, m, map[string]float64{
		`sip_requests_total{from="pbx",method="BYE"}`: 800,
		`relay_duration_seconds_count{method="BYE"}`:  800,
	})
}

// BenchmarkObserve is what a call costs that is answered.
func BenchmarkObserve(b *testing.B) {
	m := newMetrics(b, metrics.Config{})
	b.ReportAllocs()
	for b.Loop() {
		g := m.Group(route.PBX, 10, false)
		m.Observe(relay.Event{Kind: relay.Arrived, Method: "INVITE", Tag: g})
		for _, status := range []int{100, 180, 200} {
			m.Observe(relay.Event{Kind: relay.Received, Method: "INVITE", Tag: g, Status: status})
			m.Observe(relay.Event{Kind: relay.Sent, Method: "INVITE", Tag: g, Status: status})
		}
		m.Observe(relay.Event{Kind: relay.Ringing, Method: "INVITE", Tag: g, Took: time.Second})
		m.Observe(relay.Event{Kind: relay.BranchEnded, Method: "INVITE", Tag: g, Status: 200})
		m.Observe(relay.Event{Kind: relay.Done, Method: "INVITE", Tag: g, Status: 200, Took: time.Second})
	}
}
