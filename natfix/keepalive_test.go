package natfix_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

// phones returns n bindings of phones behind NAT: extensions of tenants with a
// hundred each.
func phones(t testing.TB, n int) []location.Entry {
	t.Helper()
	es := make([]location.Entry, n)
	for i := range es {
		aor, err := location.MakeAOR(fmt.Sprint(100+i%100), fmt.Sprintf("tenant-%d.test", i/100))
		if err != nil {
			t.Fatal(err)
		}
		addr := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		es[i] = location.Entry{AOR: aor, Binding: location.Binding{
			Contact: fmt.Sprintf("sip:%d@192.168.0.66:5060;line=%d", 100+i%100, i),
			Flow:    location.Flow{Transport: "udp", Remote: netip.AddrPortFrom(addr, uint16(1024+i%60000)), Local: flow.Local},
			Updated: time.Now(),
			Expires: time.Now().Add(time.Hour),
		}}
	}
	return es
}

// world is the bindings, and what a keepalive does about them.
type world struct {
	entries []location.Entry
	fails   error // of the enumeration, after all entries
	slow    time.Duration
	dead    bool // no phone answers
	silent  bool // nobody waits for answers
	stall   time.Duration

	pings []pinged
	lost  []string
}

type pinged struct {
	contact string
	at      time.Time
}

func (w *world) config(interval time.Duration) natfix.KeepaliveConfig {
	return natfix.KeepaliveConfig{
		Entries:  w.all,
		Interval: func(location.Entry) time.Duration { return interval },
		Ping:     w.ping,
		Lost:     func(e location.Entry) { w.lost = append(w.lost, e.Binding.Contact) },
	}
}

func (w *world) all(context.Context) iter.Seq2[location.Entry, error] {
	return func(yield func(location.Entry, error) bool) {
		time.Sleep(w.slow)
		for _, e := range w.entries {
			if !yield(e, nil) {
				return
			}
		}
		if w.fails != nil {
			yield(location.Entry{}, w.fails)
		}
	}
}

func (w *world) ping(e location.Entry, result func(bool)) {
	w.pings = append(w.pings, pinged{e.Binding.Contact, time.Now()})
	time.Sleep(w.stall)
	w.stall = 0
	if !w.silent {
		result(!w.dead)
	}
}

// play returns a Ping that has each phone answer as its script says: at its
// n-th ping it is silent if there is an x, and an r if it registers after that.
func (w *world) play(scripts ...string) func(location.Entry, func(bool)) {
	return func(e location.Entry, result func(bool)) {
		i := slices.IndexFunc(w.entries, func(o location.Entry) bool { return o.Binding.Contact == e.Binding.Contact })
		state := scripts[i][0]
		scripts[i] = scripts[i][1:]
		w.dead = state != '.'
		w.ping(e, result)
		if state == 'r' {
			w.entries[i].Binding.Updated = time.Now()
		}
	}
}

// run runs a keepalive for d.
func (w *world) run(t *testing.T, cfg natfix.KeepaliveConfig, d time.Duration) *natfix.Keepalive {
	t.Helper()
	k, err := natfix.NewKeepalive(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := k.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	return k
}

// slack is how far a ping may be from its moment while nothing is slow.
const slack = 20 * time.Millisecond

// most returns how many pings there were at most in d.
func (w *world) most(d time.Duration) int {
	most, first := 0, 0
	for i, p := range w.pings {
		for p.at.Sub(w.pings[first].at) >= d {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestKeepalive_Spread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, interval = 20_000, 25 * time.Second
		w := world{entries: phones(t, n), silent: true}
		w.run(t, w.config(interval), 2*interval)

		last := map[string]time.Time{}
		for _, p := range w.pings {
			if before, ok := last[p.contact]; ok {
				if gap := p.at.Sub(before); (gap - interval).Abs() > slack {
					t.Fatalf("%s: pinged again after %v", p.contact, gap)
				}
			}
			last[p.contact] = p.at
		}
		if len(last) != n || len(w.pings) < 2*n-50 || len(w.pings) > 2*n {
			t.Errorf("%d pings of %d phones", len(w.pings), len(last))
		}
		// 80 are due in 100 ms; a hash scatters that by 9.
		if most := w.most(100 * time.Millisecond); most > 130 {
			t.Errorf("%d pings in 100 ms", most)
		}
	})
}

// TestKeepalive_Restart proves that a phone need not wait for longer because the
// proxy was restarted.
func TestKeepalive_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 25 * time.Second
		w := world{entries: phones(t, 100)}
		w.run(t, w.config(interval), interval)
		before := map[string]time.Time{}
		for _, p := range w.pings {
			before[p.contact] = p.at
		}
		time.Sleep(7*time.Second + 300*time.Millisecond)
		w.pings = nil
		w.run(t, w.config(interval), interval)
		for _, p := range w.pings {
			if off := p.at.Sub(before[p.contact]) % interval; min(off, interval-off) > slack {
				t.Errorf("%s: pinged %v after the last time", p.contact, p.at.Sub(before[p.contact]))
			}
		}
		if len(w.pings) < 99 {
			t.Errorf("%d pings", len(w.pings))
		}
	})
}

func TestKeepalive_Interval(t *testing.T) {
	const minute = 60
	tests := []struct {
		interval time.Duration
		want     int // in a minute
	}{
		{time.Minute, 1}, {25 * time.Second, 2}, {10 * time.Second, 6}, {2 * time.Second, 30}, {1500 * time.Millisecond, 40},
		{time.Second, minute}, {time.Millisecond, minute}, {0, 0}, {-time.Second, 0}, {math.MaxInt64, 0},
	}
	for _, tt := range tests {
		t.Run(tt.interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world{entries: phones(t, 1)}
				w.run(t, w.config(tt.interval), time.Minute)
				if got := len(w.pings); got < tt.want || got > tt.want+1 {
					t.Errorf("%d pings in a minute, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestKeepalive_IntervalOfTenant has two tenants with settings of their own.
func TestKeepalive_IntervalOfTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{entries: phones(t, 101)} // one of them is another tenant's
		cfg := w.config(0)
		cfg.Interval = func(e location.Entry) time.Duration {
			if e.AOR.Domain() == "tenant-1.test" {
				return 10 * time.Second
			}
			return 0
		}
		w.run(t, cfg, time.Minute)
		if len(w.pings) != 6 || w.pings[0].contact != w.entries[100].Binding.Contact {
			t.Errorf("pings: %v", w.pings)
		}
	})
}

func TestKeepalive_Selection(t *testing.T) {
	behindNAT := location.Binding{Contact: "sip:401@192.168.0.66:2048", Flow: flow}
	public := location.Binding{Contact: "sip:401@198.51.100.7:49152", Flow: flow}
	browser := location.Binding{Contact: "sip:x@y.invalid;transport=ws", Flow: from("wss", "198.51.100.7")}
	edge := behindNAT
	edge.Path = "<sip:198.51.100.7:49152;lr>"
	unknown := location.Binding{Contact: "sip:401@192.168.0.66:2048"}
	tests := []struct {
		name            string
		in              location.Binding
		streams, public bool
		want            bool
	}{
		{"behind NAT", behindNAT, false, false, true},
		{"public", public, false, false, false},
		{"public too", public, false, true, true},
		{"connection", browser, false, true, false},
		{"connections too", browser, true, false, true},
		{"behind another proxy", edge, true, true, false},
		{"no flow", unknown, true, true, false},
	}
	aor, err := location.ParseAOR("401@tenant-a.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world{entries: []location.Entry{{AOR: aor, Binding: tt.in}}}
				cfg := w.config(10 * time.Second)
				cfg.Streams, cfg.Public = tt.streams, tt.public
				w.run(t, cfg, 10*time.Second)
				if got := len(w.pings) > 0; got != tt.want {
					t.Errorf("pinged: %t", got)
				}
			})
		})
	}
}

func TestKeepalive_Lost(t *testing.T) {
	const interval = 10 * time.Second
	tests := []struct {
		name    string
		maxLost int
		dead    string // by interval: x if the phone is silent, r if it registers after that
		want    int
	}{
		{"alive", 2, "......", 0},
		{"once", 2, ".x.x.x", 0},
		{"twice", 2, ".xx...", 1},
		{"again and again", 2, "xxxxxx", 3},
		{"default", 0, "xxxxx", 1},
		{"default, not yet", 0, "xx.xx", 0},
		{"at once", 1, "x.x", 2},
		{"registered again", 2, "rrrr", 0},
		{"registered again and lost", 2, "rxxr", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world{entries: phones(t, 2)}
				cfg := w.config(interval)
				cfg.MaxLost = tt.maxLost
				cfg.Ping = w.play(tt.dead, strings.Repeat(".", len(tt.dead)))
				w.run(t, cfg, time.Duration(len(tt.dead))*interval)
				if len(w.pings) != 2*len(tt.dead) || len(w.lost) != tt.want {
					t.Errorf("%d pings, lost: %v, want %d times", len(w.pings), w.lost, tt.want)
				}
			})
		})
	}
}

// TestKeepalive_Outage: that nobody answers any more may be the fault of our own
// network, which is no reason to lose all phones.
func TestKeepalive_Outage(t *testing.T) {
	const interval = 10 * time.Second
	tests := []struct {
		name   string
		phones []string // what each does, by interval, as above
		want   int
	}{
		{"all are silent", []string{".xxxxxx", ".xxxxxx", ".xxxxxx"}, 0},
		{"from the beginning", []string{"xxxxxx", "xxxxxx"}, 0},
		{"all are back", []string{".xxxx...", ".xxxx..."}, 0},
		{"again and again", []string{".xxx.xxx.xxx.", ".xxx.xxx.xxx."}, 0},
		{"all but one are silent", []string{".xxx", "....", ".xxx"}, 2},
		{"one does not come back", []string{".xxxxxx.", ".xxx....", ".xxx...."}, 1},
		{"the only one", []string{".xxxxxx"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world{entries: phones(t, len(tt.phones))}
				cfg := w.config(interval)
				cfg.Ping = w.play(tt.phones...)
				w.run(t, cfg, time.Duration(len(tt.phones[0]))*interval)
				if len(w.lost) != tt.want {
					t.Errorf("lost: %v, want %d", w.lost, tt.want)
				}
			})
		})
	}
}

// TestKeepalive_LateResults has answers that take longer than the interval, and
// come when Run is over.
func TestKeepalive_LateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{entries: phones(t, 2)}
		cfg := w.config(10 * time.Second)
		results := map[string][]func(bool){}
		cfg.Ping = func(e location.Entry, result func(bool)) {
			results[e.AOR.User()] = append(results[e.AOR.User()], result)
		}
		w.run(t, cfg, 30*time.Second)
		silent, other := results["100"], results["101"]
		if len(silent) != 3 || len(other) != 3 {
			t.Fatalf("%d and %d pings", len(silent), len(other))
		}
		for i, result := range silent {
			if len(w.lost) != 0 {
				t.Errorf("lost after %d results", i)
			}
			result(false)
			other[i](true)
		}
		if len(w.lost) != 1 {
			t.Errorf("lost: %v", w.lost)
		}
	})
}

// TestKeepalive_Forgets proves that nothing is kept of bindings that have gone.
func TestKeepalive_Forgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world{entries: phones(t, 1000), dead: true}
		k := w.run(t, w.config(25*time.Second), 25*time.Second)
		if n := k.Failing(); n < 990 {
			t.Errorf("%d phones fail after one ping each", n)
		}
		w.entries = nil
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.Run(ctx); err != nil || k.Failing() != 0 {
			t.Errorf("Run = %v, %d phones fail an hour after the last has expired", err, k.Failing())
		}
	})
}

// TestKeepalive_NoBurst has what makes pings late.
func TestKeepalive_NoBurst(t *testing.T) {
	const n, interval = 5_000, 25 * time.Second // 20 in 100 ms
	tests := []struct {
		name        string
		slow, stall time.Duration
		most        int // in 100 ms
	}{
		{"a slow enumeration", time.Second, 0, 75}, // in half of the time
		{"an enumeration as long as a round", 2 * time.Second, 0, 460},
		{"a stall", 0, 10 * time.Second, 45},
		{"a short stall", 0, 90 * time.Millisecond, 65},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world{entries: phones(t, n), slow: tt.slow, stall: tt.stall}
				w.run(t, w.config(interval), interval+tt.stall+tt.slow)
				if got := len(w.pings); got < n-200 || got > n+300 {
					t.Errorf("%d pings", got)
				}
				if most := w.most(100 * time.Millisecond); most > tt.most {
					t.Errorf("%d pings in 100 ms", most)
				}
			})
		})
	}
}

// TestKeepalive_EntriesFail pings whom it can, and logs once.
func TestKeepalive_EntriesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := world{entries: phones(t, 10), fails: errors.New("no table")}
		cfg := w.config(10 * time.Second)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		w.run(t, cfg, 10*time.Second)
		if len(w.pings) != 10 {
			t.Errorf("%d pings", len(w.pings))
		}
		if got := log.String(); strings.Count(got, "no table") != 1 {
			t.Errorf("log: %s", got)
		}
	})
}

// TestKeepalive_Stops ends Run wherever it is.
func TestKeepalive_Stops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := location.NewMemory(location.MemoryConfig{})
		w := world{entries: phones(t, 1000)}
		for d := time.Duration(0); d < 3*time.Second; d += 77 * time.Millisecond {
			cfg := w.config(time.Second)
			w.run(t, cfg, d)
			cfg.Entries = store.All
			w.run(t, cfg, d)
		}
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cfg := w.config(time.Second)
		cfg.Entries, cfg.Logger = store.All, slog.New(slog.NewTextHandler(&log, nil))
		k, err := natfix.NewKeepalive(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Run(ctx); err != nil || log.Len() > 0 {
			t.Errorf("Run = %v, log: %s", err, log.String())
		}
	})
}

func TestNewKeepalive_Faults(t *testing.T) {
	_, err := natfix.NewKeepalive(natfix.KeepaliveConfig{MaxLost: -1})
	if err == nil {
		t.Fatal("no error")
	}
	want := "natfix: keepalive without Entries\nnatfix: keepalive without Interval\nnatfix: keepalive without Ping\nnatfix: negative MaxLost"
	if diff := cmp.Diff(err.Error(), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// BenchmarkKeepalive_Round looks for the pings of two seconds, for which all
// bindings are enumerated once.
func BenchmarkKeepalive_Round(b *testing.B) {
	const n, interval = 100_000, 25 * time.Second
	store := location.NewMemory(location.MemoryConfig{})
	for _, e := range phones(b, n) {
		if !store.Merge(e.AOR, e.Binding) {
			b.Fatalf("%v: not stored", e.AOR)
		}
	}
	var w world
	cfg := w.config(interval)
	cfg.Entries = store.All
	k, err := natfix.NewKeepalive(cfg)
	if err != nil {
		b.Fatal(err)
	}
	next := k.Rounds(b.Context())
	pings := 0
	b.ReportAllocs()
	for b.Loop() {
		found, err := next()
		if err != nil {
			b.Fatal(err)
		}
		pings += found
	}
	b.ReportMetric(float64(pings)/float64(b.N), "pings/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/binding")
}
