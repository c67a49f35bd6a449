package location_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// contact returns a binding for an hour, updated so many minutes ago.
func contact(uri string, minutes int) location.Binding {
	return location.Binding{
		Contact: uri,
		CallID:  "call",
		CSeq:    10,
		Expires: noon.Add(time.Hour),
		Updated: noon.Add(-time.Duration(minutes) * time.Minute),
	}
}

func TestChange_Resolve(t *testing.T) {
	a, b, c := contact("sip:a@h", 3), contact("sip:b@h", 2), contact("sip:c@h", 1)
	dead := contact("sip:dead@h", 90)
	dead.Expires = noon
	stored := []location.Binding{a, dead, b, c}
	fresh, deadOnArrival := contact("sip:new@h", 0), contact("sip:b@H", 0)
	deadOnArrival.Expires = noon
	next := contact("sip:b@H", 0)

	tests := []struct {
		name   string
		change location.Change
		want   location.Effect
	}{
		{"nothing", location.Change{}, location.Effect{Drop: []int{1}}},
		{"refresh", location.Change{Put: []location.Binding{next}}, location.Effect{Drop: []int{1}, Put: []location.Write{{next, 2}}}},
		{"add", location.Change{Put: []location.Binding{fresh}}, location.Effect{Drop: []int{1}, Put: []location.Write{{fresh, -1}}}},
		{"over an expired one", location.Change{Put: []location.Binding{contact("sip:dead@h", 0)}}, location.Effect{Drop: []int{1}, Put: []location.Write{{contact("sip:dead@h", 0), -1}}}},
		{"expired itself", location.Change{Put: []location.Binding{deadOnArrival}}, location.Effect{Drop: []int{1, 2}, Put: []location.Write{}}},
		{"remove", location.Change{CallID: "call", CSeq: 10, Remove: []location.Binding{{Contact: "sip:c@h"}}}, location.Effect{Drop: []int{1, 3}}},
		{"reset and put", location.Change{CallID: "call", CSeq: 10, Reset: true, Put: []location.Binding{next}}, location.Effect{Drop: []int{0, 1, 2, 3}, Put: []location.Write{{next, -1}}}},
		{"keep", location.Change{Put: []location.Binding{fresh}, Keep: 3}, location.Effect{Drop: []int{0, 1}, Put: []location.Write{{fresh, -1}}}},
		{"later of two", location.Change{Put: []location.Binding{deadOnArrival, fresh, next}}, location.Effect{Drop: []int{1}, Put: []location.Write{{fresh, -1}, {next, 2}}}},
	}
	for _, tt := range tests {
		got, err := tt.change.Resolve(stored, noon)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(got, tt.want, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Errorf("%s:\n%s", tt.name, d)
		}
		if n, want := len(got.Apply(stored)), len(stored)-len(got.Drop)+news(got); n != want {
			t.Errorf("%s: Apply gives %d bindings, want %d", tt.name, n, want)
		}
	}
}

// news counts the Puts that replace nothing.
func news(e location.Effect) (n int) {
	for _, w := range e.Put {
		if w.Replaces < 0 {
			n++
		}
	}
	return n
}

func TestChange_Resolve_Stale(t *testing.T) {
	old := contact("sip:a@h", 0)
	old.CSeq = 9
	_, err := location.Change{Put: []location.Binding{old}}.Resolve([]location.Binding{contact("sip:a@h", 1)}, noon)
	if !errors.Is(err, location.ErrStale) {
		t.Errorf("got %v", err)
	}
}

// Same must be symmetric, as a Put and what it replaces have no order in it.
func TestBinding_Same(t *testing.T) {
	socket := location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("203.0.113.5:40000")}
	tests := []struct {
		name string
		want bool
		a, b location.Binding
	}{
		{"contact", true, location.Binding{Contact: "sip:a@h"}, location.Binding{Contact: "sip:a@H"}},
		{"instance before contact", false, location.Binding{Contact: "sip:a@h", Instance: "1"}, location.Binding{Contact: "sip:a@h", Instance: "2"}},
		{"instance on one side", true, location.Binding{Contact: "sip:a@h", Instance: "1"}, location.Binding{Contact: "sip:a@h"}},
		{"reg-id", false, location.Binding{Contact: "sip:a@h", Instance: "1", RegID: 1}, location.Binding{Contact: "sip:a@h", Instance: "1", RegID: 2}},
		{"reg-id without instance", true, location.Binding{Contact: "sip:a@h", RegID: 1}, location.Binding{Contact: "sip:a@h", RegID: 2}},
		{"socket", true, location.Binding{Contact: "sip:a@h", UserAgent: "x", Flow: socket}, location.Binding{Contact: "sip:b@h", UserAgent: "x", Flow: socket}},
		{"socket without user agent", false, location.Binding{Contact: "sip:a@h", Flow: socket}, location.Binding{Contact: "sip:b@h", Flow: socket}},
		{"socket with instance", false, location.Binding{Contact: "sip:a@h", UserAgent: "x", Flow: socket, Instance: "1"}, location.Binding{Contact: "sip:b@h", UserAgent: "x", Flow: socket}},
		{"no socket", false, location.Binding{Contact: "sip:a@h", UserAgent: "x"}, location.Binding{Contact: "sip:b@h", UserAgent: "x"}},
	}
	for _, tt := range tests {
		if ab, ba := tt.a.Same(tt.b), tt.b.Same(tt.a); ab != tt.want || ba != tt.want {
			t.Errorf("%s: got %v and %v", tt.name, ab, ba)
		}
	}
}
