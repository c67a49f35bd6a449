package guard_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// An attack of 5,000 requests a second in the name of 10,000 addresses, those
// of phones and PBXes among them (P-44, P-45). Whoever is registered, and every
// PBX, is served always; who was registered from another port, too; and each new
// phone gets in as it repeats its REGISTER and the one with credentials (RFC 3261
// section 17.1.2.2).
func TestFlood_ForgedSources(t *testing.T) {
	w := newWorld(t, guard.Config{})
	w.trust("192.0.2.5/32")
	pbx, phone, moved := udp("192.0.2.5:5060"), udp("198.51.100.7:5062"), udp("198.51.100.8:2048")
	w.live[phone] = true
	w.register(udp("198.51.100.8:1024"))
	both := func(src guard.Source, callID string) bool {
		return w.Admit(src, w.now) == guard.Served && w.AdmitNew(src, callID, w.now) == guard.Served
	}
	forged := make([]guard.Source, 10_000)
	for i := range forged {
		forged[i] = guard.Source{Addr: address(i), Transport: "udp"}
	}
	for i := range 100 {
		forged[i*10].Addr = netip.AddrPortFrom(phone.Addr.Addr(), uint16(10_000+i))
		forged[i*10+5].Addr = netip.AddrPortFrom(pbx.Addr.Addr(), uint16(10_000+i))
	}
	var passed int
	attack := func(i int) {
		src := forged[i%len(forged)]
		if both(src, fmt.Sprint("flood ", i)) && src.Addr.Addr() != pbx.Addr.Addr() {
			passed++
		}
		w.Failed(src, guard.UnknownDomain, w.now)
		w.wait(time.Second / 5000)
	}
	newcomers := newcomers(w, 100)
	for i := range 60 * 5000 { // a minute
		attack(i)
		if i%25 == 0 && !both(pbx, "call") { // 200 a second
			t.Fatalf("a request of the PBX is refused after %d", i)
		}
		if i%250 == 0 && !both(phone, "call") {
			t.Fatalf("a request of a registered phone is refused after %d", i)
		}
		if i%5000 == 0 && !both(moved, "call") {
			t.Fatalf("a request of a known address is refused after %d", i)
		}
		newcomers.tick(w.now, both)
	}
	if passed > 1000+60*500 {
		t.Errorf("%d requests of the attack passed", passed)
	}
	if n := newcomers.waiting(); n > 0 {
		t.Errorf("%d of 100 new phones have not got in", n)
	}
	if len(w.events) > 0 {
		t.Errorf("%d bans, the first is %v", len(w.events), w.events[0])
	}
}

// newcomer is a new phone that sends a REGISTER, is challenged, and sends it with
// credentials. It repeats each until it is served: after 0.5 s, 1 s, 2 s and then
// every 4 s, for 32 s.
type newcomer struct {
	src    guard.Source
	next   time.Time
	pause  time.Duration
	end    time.Time
	served int
}

func (n *newcomer) begin(now time.Time) {
	n.next, n.pause, n.end = now.Add(jitter()), 500*time.Millisecond, now.Add(32*time.Second)
}

type phones []newcomer

// newcomers returns n phones, of which ten a second begin, ten seconds from now on.
func newcomers(w *world, n int) phones {
	p := make(phones, n)
	for i := range p {
		p[i].src = udp(fmt.Sprintf("198.18.%d.1:5060", i))
		p[i].begin(w.now.Add(10*time.Second + time.Duration(i)*100*time.Millisecond))
	}
	return p
}

// jitter is that of the network, so that nobody is in step with the flood.
func jitter() time.Duration { return time.Duration(rand.IntN(int(20 * time.Millisecond))) }

func (p phones) tick(now time.Time, send func(guard.Source, string) bool) {
	for i := range p {
		n := &p[i]
		if n.served == 2 || now.Before(n.next) || now.After(n.end) {
			continue
		}
		n.next, n.pause = n.next.Add(n.pause+jitter()), min(2*n.pause, 4*time.Second)
		if send(n.src, "registration") {
			n.served++
			n.begin(now.Add(20 * time.Millisecond))
		}
	}
}

func (p phones) waiting() (n int) {
	for i := range p {
		if p[i].served < 2 {
			n++
		}
	}
	return n
}

// An office comes back: 2,000 phones behind one address register at once, and
// repeat what is not answered. What succeeds is given back, so the limit of the
// address is no obstacle for long.
func TestFlood_OfficeComesBack(t *testing.T) {
	w := newWorld(t, guard.Config{})
	const n = 2000
	next := make([]time.Duration, n) // after the start
	pause := make([]time.Duration, n)
	challenged := make([]bool, n)
	begin, left := w.now, n
	for i := range pause {
		pause[i] = 500 * time.Millisecond
	}
	for left > 0 {
		for i := range n {
			if next[i] < 0 || w.now.Sub(begin) < next[i] {
				continue
			}
			src := guard.Source{Addr: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), uint16(10_000+i)), Transport: "udp"}
			next[i], pause[i] = next[i]+pause[i], min(2*pause[i], 4*time.Second)
			if w.Admit(src, w.now) != guard.Served || w.AdmitNew(src, fmt.Sprint(i), w.now) != guard.Served {
				continue
			}
			nonce := fmt.Sprintf(`Digest nonce="%d"`, i)
			if !challenged[i] {
				challenged[i] = true
				w.Registered(src, guard.Registration{Status: 401, Challenges: []string{nonce}}, w.now)
				next[i], pause[i] = w.now.Sub(begin)+20*time.Millisecond, 500*time.Millisecond
				continue
			}
			w.Registered(src, guard.Registration{Status: 200, Credentials: nonce, Until: w.now.Add(time.Hour)}, w.now)
			next[i] = -1
			left--
		}
		w.wait(10 * time.Millisecond)
		if w.now.Sub(begin) > 32*time.Second {
			t.Fatalf("%d of %d phones are not registered after 32 s", left, n)
		}
	}
	t.Logf("all are registered after %v", w.now.Sub(begin))
}

// A million senders leave nothing behind, whatever they send. Those that prove
// who they are have tables of a fixed size.
func TestFlood_MemoryIsBounded(t *testing.T) {
	g, err := guard.New(guard.Config{Failures: 2})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, now := heap(), time.Now()
	refused := guard.Registration{Status: 403, Credentials: `Digest nonce="guessed"`}
	for i := range 1_000_000 {
		src := guard.Source{Addr: address(i), Transport: "udp"}
		g.Admit(src, now)
		g.AdmitNew(src, "call", now)
		g.AdmitConnection(src, now)
		g.Failed(src, guard.Malformed, now)
		g.Registered(src, refused, now)
	}
	if after := heap(); after > before+100_000 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	for i := range 200_000 {
		src := guard.Source{Addr: address(i), Transport: "tcp"}
		g.Registered(src, guard.Registration{Status: 200, Until: now.Add(time.Hour)}, now)
		g.Failed(guard.Source{Addr: address(1_000_000 + i), Transport: "tcp"}, guard.Malformed, now)
	}
	for i := range 10_000 {
		for range 2 {
			g.Failed(guard.Source{Addr: address(2_000_000 + i), Transport: "tcp"}, guard.Malformed, now)
		}
	}
	if after := heap(); after > before+30<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := g.Stats().Earned; n != 10_000 {
		t.Errorf("%d bans, want 10000", n)
	}
}

// All methods at once, for the race detector.
func TestGuard_Concurrent(t *testing.T) {
	g, err := guard.New(guard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				src := guard.Source{Addr: address(i % 50), Transport: []string{"udp", "tcp"}[k%2]}
				g.Admit(src, now)
				g.AdmitNew(src, "call", now)
				g.AdmitConnection(src, now)
				g.Failed(src, guard.Malformed, now)
				g.Registered(src, guard.Registration{Status: 200, Until: now.Add(time.Hour)}, now)
				p := netip.PrefixFrom(src.Addr.Addr(), 24)
				switch i % 100 {
				case 0:
					g.SetTrusted([]netip.Prefix{p}, now)
				case 1:
					_ = g.Ban(p, time.Time{}, "test", now)
				case 2:
					g.Unban(p, now)
				case 3:
					data, err := g.Snapshot(now)
					if err != nil || g.Restore(data, now) != nil {
						t.Error("snapshot", err)
					}
				case 4:
					g.Observe(i*100, 0, now)
				}
			}
		})
	}
	wg.Wait()
	g.Stats()
}
