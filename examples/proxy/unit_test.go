package main

import (
	"fmt"
	"testing"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
)

func TestSameScope(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"203.0.113.1", "198.51.100.1", true},
		{"2001:db8::1", "203.0.113.1", true},
		{"203.0.113.1", "10.0.0.1", false},
		{"10.0.0.1", "10.255.255.255", true},
		{"10.0.0.1", "192.168.0.1", false},
		{"172.16.0.1", "172.31.255.255", true},
		{"172.16.0.1", "172.32.0.1", false},
		{"192.168.1.1", "192.168.254.1", true},
		{"100.64.0.1", "100.127.0.1", true},
		{"100.64.0.1", "10.0.0.1", false},
		{"127.0.0.1", "127.0.2.1", true},
		{"127.0.0.1", "10.0.0.1", false},
		{"169.254.1.1", "169.254.2.2", true},
		{"fd00::1", "fc00::1", true},
		{"fd00::1", "fe80::1", false},
		{"::1", "::1", true},
		{"0.0.0.0", "0.0.0.0", false},
	}
	for _, tt := range tests {
		for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := sameScope(addr(pair[0]), addr(pair[1])); got != tt.want {
				t.Errorf("sameScope(%s, %s) = %v", pair[0], pair[1], got)
			}
		}
	}
}

// TestGroupsOf: targets with the same q ring together, in the order they come.
func TestGroupsOf(t *testing.T) {
	tests := []struct {
		method string
		fork   route.Fork
		qs     []location.Q
		want   string
	}{
		{"INVITE", route.Parallel, nil, ""},
		{"INVITE", route.Parallel, []location.Q{500}, "[0]"},
		{"INVITE", route.Parallel, []location.Q{location.QUnspecified, location.QUnspecified}, "[0 1]"},
		{"INVITE", route.Parallel, []location.Q{900, 900, 100, 100, 0, location.QUnspecified}, "[0 1][2 3][4][5]"},
		{"INVITE", route.Serial, []location.Q{900, 900, 100}, "[0][1][2]"},
		{"MESSAGE", route.Parallel, []location.Q{900, 100}, "[0 1]"},
		{"MESSAGE", route.Serial, []location.Q{900, 100}, "[0][1]"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.method, tt.fork, tt.qs), func(t *testing.T) {
			var all []relay.Target
			for i, q := range tt.qs {
				all = append(all, relay.Target{RequestURI: fmt.Sprint(i), Context: q})
			}
			got := ""
			for _, group := range groupsOf(all, tt.method, &route.Decision{Fork: tt.fork}) {
				var names []string
				for _, target := range group {
					names = append(names, target.RequestURI)
				}
				got += fmt.Sprint(names)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
