package guard_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// P-45: of a flood from one address so many are served as the limit says, and
// nobody else notices.
func TestAdmit_FloodFromOneAddress(t *testing.T) {
	w := newWorld(t, guard.Config{PerAddress: guard.Limit{Rate: 20, Burst: 50}})
	flood, other := udp("203.0.113.9:5060"), udp("203.0.113.10:5060")
	var first, all int
	for i := range 1000 { // 10 s
		if w.Admit(flood, w.now) == guard.Served {
			all++
			if first == i {
				first++
			}
		}
		if i%10 == 0 && w.Admit(other, w.now) != guard.Served {
			t.Fatalf("the neighbor is refused after %d messages", i)
		}
		w.wait(10 * time.Millisecond)
	}
	if first < 50 || all < 245 || all > 255 {
		t.Errorf("the first %d and %d in all were served, want 50 at least and some 250", first, all)
	}
	if got := w.Stats().OverAddress; got != uint64(1000-all) {
		t.Errorf("%d refusals counted, want %d", got, 1000-all)
	}
	w.wait(time.Minute)
	if got := w.served(flood, 50, 0); got != 50 {
		t.Errorf("%d served when it was quiet for a time, want 50", got)
	}
}

// P-45, P-56: PBXes and registered phones have no limit, however hard the
// addresses that they share with others are flooded.
func TestAdmit_TrustedAndLiveAreExempt(t *testing.T) {
	w := newWorld(t, guard.Config{PerAddress: guard.Limit{Rate: 1, Burst: 10}})
	w.trust("192.0.2.0/28")
	phone := udp("198.51.100.7:5062")
	w.live[phone] = true
	tests := []struct {
		name  string
		src   guard.Source
		all   bool
		flood guard.Source
	}{
		{"PBX", udp("192.0.2.5:5060"), true, udp("192.0.2.5:5060")},
		{"PBX over IPv4-mapped IPv6", udp("[::ffff:192.0.2.5]:5060"), true, udp("192.0.2.5:9")},
		{"behind the PBXes", udp("192.0.2.16:5060"), false, udp("192.0.2.16:5060")},
		{"phone", phone, true, udp("198.51.100.7:9")},
		{"phone's address, other port", udp("198.51.100.7:5063"), false, udp("198.51.100.7:9")},
		{"phone's flow, other transport", tcp("198.51.100.7:5062"), false, udp("198.51.100.7:9")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.served(tt.flood, 500, 0)
			if got := w.served(tt.src, 100, 0) == 100; got != tt.all {
				t.Errorf("all served: %v, want %v", got, tt.all)
			}
		})
	}
}

// What shares a limit is an IPv4 address and its /24, an IPv6 /64 and its /48.
func TestAdmit_Networks(t *testing.T) {
	tests := []struct {
		name  string
		of    func(i int) string // the i-th source of the flood
		other string
		want  bool // other is served
	}{
		{"port", func(i int) string { return fmt.Sprintf("203.0.113.9:%d", i+1) }, "203.0.113.9:5060", false},
		{"IPv4 /24", func(i int) string { return fmt.Sprintf("203.0.113.%d:5060", i%255) }, "203.0.113.255:5060", false},
		{"other IPv4 /24", func(i int) string { return fmt.Sprintf("203.0.113.%d:5060", i%256) }, "203.0.114.1:5060", true},
		{"IPv6 /64", func(i int) string { return fmt.Sprintf("[2001:db8::%x]:5060", i) }, "[2001:db8::ffff:1]:5060", false},
		{"IPv6 /48", func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:5060", i) }, "[2001:db8:0:ffff::1]:5060", false},
		{"other IPv6 /48", func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:5060", i) }, "[2001:db8:1::1]:5060", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, guard.Config{PerNetwork: guard.Limit{Rate: 1, Burst: 400}})
			for i := range 1000 {
				w.Admit(udp(tt.of(i)), w.now)
			}
			if got := w.Admit(udp(tt.other), w.now) == guard.Served; got != tt.want {
				t.Errorf("served: %v, want %v", got, tt.want)
			}
		})
	}
}

// The phones of an office that are registered do not use up what the one needs
// that is not yet.
func TestAdmit_HalfIsForStrangers(t *testing.T) {
	w := newWorld(t, guard.Config{})
	office := udp("198.51.100.7:1024")
	w.live[office] = true
	for range 60 {
		if got := w.served(office, 100, 10*time.Millisecond); got != 100 {
			t.Fatalf("%d of 100 served of a registered phone", got)
		}
		if got := w.served(udp("198.51.100.7:2000"), 10, 0); got != 10 {
			t.Fatalf("%d of 10 served of a new one", got)
		}
	}
}

// An address with phones has a limit of its own, which the neighbors in its
// network do not use up.
func TestAdmit_KnownAddress(t *testing.T) {
	w := newWorld(t, guard.Config{PerAddress: guard.Limit{Rate: 10, Burst: 20}, PerNetwork: guard.Limit{Rate: 10, Burst: 20}})
	w.register(udp("198.51.100.7:1024"))
	for i := range 100 {
		w.Admit(udp(fmt.Sprintf("198.51.100.%d:5060", 100+i)), w.now)
	}
	back := udp("198.51.100.7:2048") // the NAT has a new port for it
	if got := w.served(back, 100, 0); got != 20 {
		t.Errorf("%d served of a known address, want its burst of 20", got)
	}
	w.wait(25*time.Hour + time.Second)
	for i := range 100 {
		w.Admit(udp(fmt.Sprintf("198.51.100.%d:5060", 100+i)), w.now)
	}
	if got := w.served(back, 100, 0); got != 0 {
		t.Errorf("%d served a day after the registration ended, want 0", got)
	}
}

func TestAdmit_NoLimit(t *testing.T) {
	none := guard.Limit{Rate: -1}
	w := newWorld(t, guard.Config{PerAddress: none, PerNetwork: none, Strangers: none})
	src := udp("203.0.113.9:5060")
	for range 100_000 {
		if a, b := w.Admit(src, w.now), w.AdmitNew(src, "call", w.now); a != guard.Served || b != guard.Served {
			t.Fatalf("%v, %v", a, b)
		}
	}
}

// All strangers together begin so much over UDP. Neither those that we know are
// held back by it nor those that are where they say.
func TestAdmitNew_Strangers(t *testing.T) {
	w := newWorld(t, guard.Config{Strangers: guard.Limit{Rate: 100, Burst: 200}})
	w.trust("192.0.2.5/32")
	phone, known := udp("198.51.100.7:5062"), udp("198.51.100.8:1024")
	w.live[phone] = true
	w.register(known)
	served := 0
	for i := range 10_000 { // 10 s
		if w.AdmitNew(guard.Source{Addr: address(i), Transport: "udp"}, "call", w.now) == guard.Served {
			served++
		}
		for _, src := range []guard.Source{udp("192.0.2.5:5060"), phone, udp("198.51.100.8:2048"), tcp("203.0.113.9:1024")} {
			if v := w.AdmitNew(src, "call", w.now); v != guard.Served {
				t.Fatalf("%v is %v", src, v)
			}
		}
		w.wait(time.Millisecond)
	}
	if served < 1000 || served > 1150 {
		t.Errorf("%d strangers served, want some 1,000 and a quarter of the burst", served)
	}
	if got := w.Stats().OverStrangers; got != uint64(10_000-served) {
		t.Errorf("%d refusals counted, want %d", got, 10_000-served)
	}
}

// Who was refused and asks again comes before all who ask for the first time, and
// nobody else does by his Call-ID. P-45.
func TestAdmitNew_AsksAgain(t *testing.T) {
	w := newWorld(t, guard.Config{Strangers: guard.Limit{Rate: 100, Burst: 200}})
	first := func(i int) guard.Verdict {
		return w.AdmitNew(guard.Source{Addr: address(i), Transport: "udp"}, fmt.Sprint(i), w.now)
	}
	for i := range 200 {
		first(i)
	}
	phone, other := udp("198.51.100.7:5062"), udp("198.51.100.8:5062")
	for _, step := range []struct {
		name   string
		src    guard.Source
		callID string
		want   guard.Verdict
	}{
		{"the first time", phone, "a", guard.Limited},
		{"from elsewhere", other, "a", guard.Limited},
		{"something else", phone, "b", guard.Limited},
		{"again", phone, "a", guard.Served},
		{"again, with credentials", phone, "a", guard.Served},
		{"again, from another port", udp("198.51.100.7:1024"), "b", guard.Served},
	} {
		if got := w.AdmitNew(step.src, step.callID, w.now); got != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
	again := 0
	for range 100 {
		if w.AdmitNew(phone, "a", w.now) == guard.Served {
			again++
		}
	}
	if want := 200/4 - 3; again != want {
		t.Errorf("%d more served, want %d: no more than the burst", again, want)
	}
}

// A source without an address is a stranger like any other.
func TestAdmit_ZeroSource(t *testing.T) {
	w := newWorld(t, guard.Config{})
	w.trust("0.0.0.0/0")
	if n := w.served(guard.Source{}, 1000, 0); n != 200 {
		t.Errorf("%d served, want the burst of 200", n)
	}
	w.Failed(guard.Source{}, guard.Malformed, w.now)
}

func TestNew_Faults(t *testing.T) {
	tests := []struct {
		cfg  guard.Config
		want []string
	}{
		{guard.Config{PerAddress: guard.Limit{Rate: 1e7}}, []string{"PerAddress"}},
		{guard.Config{PerAddress: guard.Limit{Rate: math.NaN()}}, []string{"PerAddress"}},
		{guard.Config{PerNetwork: guard.Limit{Rate: 0.001, Burst: 1000}}, []string{"PerNetwork"}},
		{guard.Config{Strangers: guard.Limit{Burst: 10}}, []string{"Strangers"}},
		{guard.Config{Strangers: guard.Limit{Rate: 1, Burst: -10}}, []string{"Strangers"}},
		{guard.Config{Window: -1, Delay: -1, Transactions: -1}, []string{"Window", "Delay", "Transactions"}},
		{guard.Config{Terms: []time.Duration{time.Minute, 0}}, []string{"term"}},
	}
	for _, tt := range tests {
		_, err := guard.New(tt.cfg)
		if err == nil {
			t.Errorf("%+v is accepted", tt.cfg)
			continue
		}
		for _, s := range tt.want {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q does not tell of %s", err, s)
			}
		}
	}
}
