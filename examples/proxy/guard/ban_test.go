package guard_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// P-43: who guesses passwords is banned, for longer each time.
func TestBan_Escalates(t *testing.T) {
	w := newWorld(t, guard.Config{})
	src, neighbor := udp("203.0.113.9:5060"), udp("203.0.113.10:5060")
	terms := []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 24 * time.Hour, 24 * time.Hour}
	for i, term := range terms {
		w.fail(src, 9)
		if b, ok := w.Banned(src, w.now); ok {
			t.Fatalf("banned for 9 failures: %v", b)
		}
		w.fail(src, 1)
		b := w.banned(src)
		if got := b.Until.Sub(w.now).Round(time.Minute); got != term || b.Count != i+1 || b.Reason != "failed_registration" {
			t.Errorf("ban %d is %+v, for %v, want %v", i+1, b, got, term)
		}
		if w.Admit(neighbor, w.now) != guard.Served {
			t.Error("the neighbor is banned too")
		}
		w.wait(term)
		if w.Admit(src, w.now) != guard.Served {
			t.Errorf("still banned after %v", term)
		}
	}
	w.wait(24 * time.Hour)
	w.fail(src, 10)
	if b := w.banned(src); b.Count != 1 {
		t.Errorf("a day later the ban is number %d, want 1", b.Count)
	}
	if got := w.Stats(); got.Earned != 6 || got.Banned != 6 || got.Failures[guard.FailedRegistration] != 60 {
		t.Errorf("%+v", got)
	}
}

// P-43: the failures must be close together.
func TestBan_SlowFailuresEarnNone(t *testing.T) {
	w := newWorld(t, guard.Config{})
	for range 100 {
		w.fail(tcp("203.0.113.9:5060"), 1)
		w.wait(40 * time.Second)
	}
	if len(w.events) > 0 {
		t.Errorf("%v", w.events)
	}
}

func TestBan_SwitchedOff(t *testing.T) {
	w := newWorld(t, guard.Config{Failures: -1})
	w.fail(tcp("203.0.113.9:5060"), 100)
	if len(w.events) > 0 {
		t.Errorf("%v", w.events)
	}
}

// P-44: what may be forged bans nobody, nor does anything ban a registered
// phone, or an address that has one.
func TestBan_NeverWithoutProof(t *testing.T) {
	src := udp("203.0.113.9:5060")
	const challenge = `Digest realm="a", nonce="n1"`
	guess := func(w *world, src guard.Source, nonce string) guard.Failure {
		return w.Registered(src, guard.Registration{Status: 403, Credentials: fmt.Sprintf(`Digest nonce="%s"`, nonce)}, w.now)
	}
	tests := []struct {
		name   string
		src    guard.Source
		begin  func(w *world)
		fail   func(w *world) guard.Failure
		proven bool
		banned bool
	}{
		{"malformed datagrams", src, func(*world) {}, func(w *world) guard.Failure { return w.Failed(src, guard.Malformed, w.now) }, false, false},
		{"unknown domains", src, func(*world) {}, func(w *world) guard.Failure { return w.Failed(src, guard.UnknownDomain, w.now) }, false, false},
		{"no challenge", src, func(*world) {}, func(w *world) guard.Failure { return guess(w, src, "n1") }, false, false},
		{"no credentials", src, func(*world) {}, func(w *world) guard.Failure {
			return w.Registered(src, guard.Registration{Status: 404}, w.now)
		}, false, false},
		{"challenge to another", src, func(w *world) {
			w.Registered(udp("203.0.113.10:5060"), guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
		}, func(w *world) guard.Failure { return guess(w, src, "n1") }, false, false},
		{"old challenge", src, func(w *world) {
			w.Registered(src, guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
			w.wait(12 * time.Minute)
		}, func(w *world) guard.Failure { return guess(w, src, "n1") }, false, false},
		{"its challenge", src, func(w *world) {
			w.Registered(src, guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
		}, func(w *world) guard.Failure { return guess(w, src, "n1") }, true, true},
		{"connection", tcp("203.0.113.9:5060"), func(*world) {},
			func(w *world) guard.Failure { return w.Failed(tcp("203.0.113.9:5060"), guard.Scanner, w.now) }, true, true},
		{"live flow", tcp("203.0.113.9:5060"), func(w *world) { w.live[tcp("203.0.113.9:5060")] = true },
			func(w *world) guard.Failure { return w.Failed(tcp("203.0.113.9:5060"), guard.Malformed, w.now) }, true, false},
		{"address of a phone", tcp("203.0.113.9:5060"), func(w *world) { w.register(udp("203.0.113.9:1024")) },
			func(w *world) guard.Failure { return w.Failed(tcp("203.0.113.9:5060"), guard.Malformed, w.now) }, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, guard.Config{})
			tt.begin(w)
			for i := range 10 {
				if got := tt.fail(w); got.Proven != tt.proven || !got.Report {
					t.Fatalf("failure %d: %+v, want Proven: %v, Report: true", i, got, tt.proven)
				}
				w.wait(time.Second)
			}
			if _, got := w.Banned(tt.src, w.now); got != tt.banned {
				t.Errorf("banned: %v, want %v", got, tt.banned)
			}
		})
	}
}

// P-56, P-61: a trusted address is never banned, whatever it sends and whoever
// asks, and bans that were there before it was trusted go. None of what it sends
// is worth a report.
func TestBan_NeverOfTrusted(t *testing.T) {
	w := newWorld(t, guard.Config{})
	w.trust("192.0.2.5/32", "127.0.0.0/8", "2001:db8::5/128")
	pbx := tcp("192.0.2.5:40000")
	for range 100 {
		f := w.Failed(pbx, guard.UnknownDomain, w.now)
		if f != (guard.Failure{}) || w.fail(pbx, 1) != (guard.Failure{}) {
			t.Fatal("a failure of a PBX is reported")
		}
		w.Failed(tcp("[2001:db8::6]:5060"), guard.Malformed, w.now) // in the /64 of a trusted address
	}
	if got := w.Stats().Failures[guard.UnknownDomain]; got != 0 || len(w.events) > 0 {
		t.Errorf("%d failures, %v", got, w.events)
	}
	for _, s := range []string{"192.0.2.5/32", "192.0.2.0/24", "128.0.0.0/1", "127.0.0.1/32", "2001:db8::/32", "2001:db8::/64"} {
		if err := w.Ban(netip.MustParsePrefix(s), time.Time{}, "by hand", w.now); !errors.Is(err, guard.ErrTrusted) {
			t.Errorf("ban of %s: %v", s, err)
		}
	}

	for _, s := range []string{"203.0.113.0/24", "198.51.100.7/32", "2001:db8:1::/48"} {
		if err := w.Ban(netip.MustParsePrefix(s), time.Time{}, "by hand", w.now); err != nil {
			t.Fatal(err)
		}
	}
	w.events = nil
	w.trust("203.0.113.77/32", "198.51.0.0/16")
	var left, gone []string
	for b := range w.Bans(w.now) {
		left = append(left, b.Prefix.String())
	}
	for _, e := range w.events {
		if e.Lifted {
			gone = append(gone, e.Prefix.String())
		}
	}
	slices.Sort(gone)
	if diff := cmp.Diff([]string{"2001:db8:1::/48"}, left); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"198.51.100.7/32", "203.0.113.0/24"}, gone); diff != "" {
		t.Error(diff)
	}
}

// A ban by hand holds for all in it, until it ends or is lifted.
func TestBan_ByHand(t *testing.T) {
	tests := []struct {
		ban, prefix string
		in, out     string
	}{
		{"203.0.113.9/32", "203.0.113.9/32", "203.0.113.9:5060", "203.0.113.8:5060"},
		{"203.0.113.9/24", "203.0.113.0/24", "203.0.113.200:5060", "203.0.114.1:5060"},
		{"::ffff:203.0.113.9/120", "203.0.113.0/24", "[::ffff:203.0.113.1]:5060", "203.0.112.1:5060"},
		{"2001:db8::/32", "2001:db8::/32", "[2001:db8:ffff::1]:5060", "[2001:db9::1]:5060"},
		{"2001:db8::1/128", "2001:db8::/64", "[2001:db8::2]:5060", "[2001:db8:0:1::1]:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.ban, func(t *testing.T) {
			w := newWorld(t, guard.Config{})
			w.live[udp(tt.in)] = true // no help
			p := netip.MustParsePrefix(tt.ban)
			if err := w.Ban(p, w.now.Add(time.Hour), "abuse", w.now); err != nil {
				t.Fatal(err)
			}
			want := guard.Ban{Prefix: netip.MustParsePrefix(tt.prefix), Until: w.now.Add(time.Hour), Reason: "abuse"}
			if diff := cmp.Diff(want, w.banned(udp(tt.in)), comparePrefix); diff != "" {
				t.Error(diff)
			}
			if v := w.Admit(udp(tt.out), w.now); v != guard.Served {
				t.Errorf("%s is %v", tt.out, v)
			}
			w.wait(time.Hour)
			if v := w.Admit(udp(tt.in), w.now); v != guard.Served || w.Unban(p, w.now) {
				t.Errorf("the ban has not ended: %v", v)
			}
			if err := w.Ban(p, time.Time{}, "for ever", w.now); err != nil {
				t.Fatal(err)
			}
			w.wait(50 * 365 * 24 * time.Hour)
			w.banned(udp(tt.in))
			if !w.Unban(p, w.now) || w.Admit(udp(tt.in), w.now) != guard.Served {
				t.Error("the ban is not lifted")
			}
			if len(w.events) != 3 || w.events[0].Lifted || w.events[1].Lifted || !w.events[2].Lifted {
				t.Errorf("%v", w.events)
			}
		})
	}
}

func TestBan_Invalid(t *testing.T) {
	w := newWorld(t, guard.Config{})
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::ffff:0:0/90")} {
		if err := w.Ban(p, time.Time{}, "", w.now); err == nil || w.Unban(p, w.now) {
			t.Errorf("ban of %v: %v", p, err)
		}
	}
	if err := w.Ban(netip.MustParsePrefix("203.0.113.9/32"), w.now.AddDate(9000, 0, 0), "", w.now); err == nil {
		t.Error("a ban to the year 11000 is accepted")
	}
}

// A ban that a network earns makes room for itself, and does so at the cost of
// no ban that was set by hand.
func TestBan_TableIsFull(t *testing.T) {
	w := newWorld(t, guard.Config{Failures: 1})
	const byHand = 9000
	for i := range byHand {
		if err := w.Ban(netip.PrefixFrom(address(i).Addr(), 32), time.Time{}, "by hand", w.now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2000 {
		w.Failed(guard.Source{Addr: address(100_000 + i), Transport: "tcp"}, guard.Scanner, w.now)
		w.wait(time.Millisecond)
	}
	for i := range byHand {
		if _, ok := w.Banned(guard.Source{Addr: address(i), Transport: "tcp"}, w.now); !ok {
			t.Fatalf("ban %d that was set by hand is gone", i)
		}
	}
	w.banned(guard.Source{Addr: address(101_999), Transport: "tcp"})
	if n := len(slices.Collect(w.Bans(w.now))); n != 10_000 {
		t.Errorf("%d bans, want 10000", n)
	}
	for i := range 1000 {
		if err := w.Ban(netip.PrefixFrom(address(200_000+i).Addr(), 32), time.Time{}, "by hand", w.now); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Ban(netip.MustParsePrefix("203.0.113.9/32"), time.Time{}, "", w.now); !errors.Is(err, guard.ErrFull) {
		t.Errorf("%v, want %v", err, guard.ErrFull)
	}
}

var comparePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
