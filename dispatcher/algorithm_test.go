package dispatcher_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sipward/sipward/dispatcher"
)

func TestParseAlgorithm(t *testing.T) {
	tests := []struct {
		name, number string
		want         dispatcher.Algorithm
		key          dispatcher.Key
	}{
		{"affinity", "affinity", dispatcher.Affinity, dispatcher.KeyAOR},
		{"hash-callid", "0", dispatcher.HashCallID, dispatcher.KeyCallID},
		{"hash-from", "1", dispatcher.HashFrom, dispatcher.KeyFrom},
		{"hash-to", "2", dispatcher.HashTo, dispatcher.KeyTo},
		{"hash-ruri", "3", dispatcher.HashRequestURI, dispatcher.KeyRequestURI},
		{"round-robin", "4", dispatcher.RoundRobin, dispatcher.KeyNone},
		{"random", "6", dispatcher.Random, dispatcher.KeyNone},
		{"priority", "8", dispatcher.Priority, dispatcher.KeyNone},
		{"least-calls", "least-calls", dispatcher.LeastCalls, dispatcher.KeyNone},
		{"least-latency", "least-latency", dispatcher.LeastLatency, dispatcher.KeyNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range []string{tt.name, tt.number} {
				got, err := dispatcher.ParseAlgorithm(s)
				if err != nil || got != tt.want {
					t.Errorf("ParseAlgorithm(%q) = %v, %v, want %v", s, got, err, tt.want)
				}
			}
			if got := tt.want.Key(); got != tt.key {
				t.Errorf("Key() = %v, want %v", got, tt.key)
			}
			if got := tt.want.String(); got != tt.name {
				t.Errorf("String() = %q, want %q", got, tt.name)
			}
			var a dispatcher.Algorithm
			if err := json.Unmarshal(fmt.Appendf(nil, "%q", tt.number), &a); err != nil || a != tt.want {
				t.Errorf("UnmarshalText(%q) = %v, %v, want %v", tt.number, a, err, tt.want)
			}
			if b, err := json.Marshal(a); err != nil || string(b) != fmt.Sprintf("%q", tt.name) {
				t.Errorf("MarshalText = %s, %v, want %q", b, err, tt.name)
			}
		})
	}
}

func TestParseAlgorithm_Unknown(t *testing.T) {
	for _, s := range []string{"", "5", "7", "9", "10", "04", "Affinity", "fastest"} {
		a, err := dispatcher.ParseAlgorithm(s)
		if err == nil || !strings.Contains(err.Error(), "round-robin") {
			t.Errorf("ParseAlgorithm(%q) = %v, %v, want an error with the names", s, a, err)
		}
	}
}

func TestState_String(t *testing.T) {
	for s, want := range map[dispatcher.State]string{
		dispatcher.Active:   "active",
		dispatcher.Inactive: "inactive",
		dispatcher.Probing:  "probing",
		7:                   "State(7)",
	} {
		if got := s.String(); got != want {
			t.Errorf("State(%d).String() = %q, want %q", int(s), got, want)
		}
	}
}
