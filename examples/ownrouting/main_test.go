package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/location"
)

func TestRoute(t *testing.T) {
	tests := []struct{ name, src, target, want string }{
		{"PBX rings its phone", "10.0.1.10:5060", "sip:401@203.0.113.1", "ring sip:401@192.168.1.10"},
		{"the other PBX never rings that phone", "10.0.2.10:5060", "sip:401@203.0.113.1", "ring sip:100@192.168.1.10"},
		{"not even by its domain", "10.0.2.10:5060", "sip:401@a.example", "answer 404"},
		{"nobody there, no reception", "10.0.1.10:5060", "sip:402@203.0.113.1", "answer 480"},
		{"no user", "10.0.1.10:5060", "sip:203.0.113.1", "answer 404"},
		{"phone calls through its PBX", "198.51.100.7:40001", "sip:401@b.example", "send to set 20"},
		{"stranger", "192.0.2.66:5060", "sip:401@203.0.113.1", "answer 404"},
	}
	router, err := newOffice()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, err := location.ParseURI(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			d, err := router.Route(t.Context(), netip.MustParseAddrPort(tt.src), target)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// broken is a store that has lost its database. Fakes are as short as that.
type broken struct{ location.Store }

var errBroken = errors.New("no database")

func (broken) Lookup(context.Context, location.AOR) ([]location.Binding, error) {
	return nil, errBroken
}

func TestRoute_StoreFails(t *testing.T) {
	router, err := newOffice()
	if err != nil {
		t.Fatal(err)
	}
	router.Store = broken{}
	d, err := router.Route(t.Context(), netip.MustParseAddrPort("10.0.1.10:5060"), location.URI{User: "401"})
	if !errors.Is(err, errBroken) || d.Phones != nil {
		t.Errorf("got %s, %v", d, err)
	}
}

func TestShow(t *testing.T) {
	router, err := newOffice()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := show(&out, router); err != nil {
		t.Fatal(err)
	}
	const want = `INVITE sip:401@203.0.113.1 from 10.0.1.10:5060 : ring sip:401@192.168.1.10
INVITE sip:401@203.0.113.1 from 10.0.2.10:5060 : ring sip:100@192.168.1.10
INVITE sip:401@203.0.113.1 from 192.0.2.66:5060: answer 404
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
