package guard_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// connections has n connections opened at once, and returns how many were served.
func (w *world) connections(src guard.Source, n int) (served int) {
	for range n {
		if w.AdmitConnection(src, w.now) == guard.Served {
			served++
		}
	}
	return served
}

// P-44, P-45: of connections without end so many are served as the limits say, of
// a network and of all. PBXes have none, and addresses of phones their own.
func TestAdmitConnection(t *testing.T) {
	w := newWorld(t, guard.Config{
		ConnectionsPerNetwork: guard.Limit{Rate: 10, Burst: 100},
		Connections:           guard.Limit{Rate: 20, Burst: 250},
	})
	w.trust("192.0.2.5/32")
	phone, pbx := tcp("198.51.100.7:40000"), tcp("192.0.2.5:40000")
	w.register(udp("198.51.100.7:5060"))
	type row struct {
		src     guard.Source
		n, want int
	}
	open := func(rows ...row) {
		t.Helper()
		for _, r := range rows {
			if got := w.connections(r.src, r.n); got != r.want {
				t.Errorf("%d of %d connections of %v are served, want %d", got, r.n, r.src.Addr, r.want)
			}
		}
	}
	open(
		row{tcp("198.51.100.8:1"), 300, 100}, // the network of the phone
		row{tcp("198.51.100.9:1"), 1, 0},
		row{tcp("203.0.113.1:1"), 90, 90},
		row{tcp("[2001:db8::1]:1"), 60, 60},
		row{tcp("[2001:db8:0:9::1]:1"), 60, 0}, // of all, there are no more
		row{tcp("203.0.113.1:1"), 5, 0},
		row{pbx, 1000, 1000},
		row{phone, 300, 100},
	)
	if s := w.Stats(); s.ConnectionsOverNetwork != 401 || s.ConnectionsOverAll != 65 || s.OverAddress+s.OverNetwork != 0 {
		t.Errorf("%+v", s)
	}
	w.wait(5 * time.Second)
	open(
		row{tcp("203.0.113.200:1"), 300, 60}, // 10 were left
		row{phone, 300, 50},
		row{tcp("[2001:db8::2]:1"), 300, 40}, // the rest of all
	)
	if got := w.served(phone, 100, 0); got != 100 {
		t.Errorf("%d messages are served: connections are no messages", got)
	}
}

// Who is banned is not shaken hands with.
func TestAdmitConnection_Banned(t *testing.T) {
	w := newWorld(t, guard.Config{})
	w.trust("192.0.2.5/32")
	if err := w.Ban(netip.MustParsePrefix("203.0.113.0/24"), time.Time{}, "test", w.now); err != nil {
		t.Fatal(err)
	}
	if v := w.AdmitConnection(tcp("203.0.113.9:1"), w.now); v != guard.Banned {
		t.Errorf("it is %v", v)
	}
	if v := w.AdmitConnection(tcp("203.0.114.9:1"), w.now); v != guard.Served {
		t.Errorf("another is %v", v)
	}
	if s := w.Stats(); s.ConnectionsBanned != 1 || s.Banned != 0 {
		t.Errorf("%+v", s)
	}
}
