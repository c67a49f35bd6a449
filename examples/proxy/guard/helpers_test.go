package guard_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// world is a guard with a clock that the test moves.
type world struct {
	*guard.Guard
	t      *testing.T
	now    time.Time
	live   map[guard.Source]bool
	events []guard.Event
}

// newWorld builds a guard from cfg, whose Live and OnBan are those of the world.
func newWorld(t *testing.T, cfg guard.Config) *world {
	t.Helper()
	w := &world{t: t, live: map[guard.Source]bool{}}
	cfg.Live = func(src guard.Source) bool { return w.live[src] }
	cfg.OnBan = func(e guard.Event) { w.events = append(w.events, e) }
	var err error
	if w.Guard, err = guard.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.now = time.Now()
	return w
}

func (w *world) wait(d time.Duration) { w.now = w.now.Add(d) }

// trust makes the prefixes the trusted ones.
func (w *world) trust(list ...string) {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	w.SetTrusted(all, w.now)
}

// served sends n messages, one after each pause, and returns how many were
// served.
func (w *world) served(src guard.Source, n int, pause time.Duration) (served int) {
	for range n {
		if w.Admit(src, w.now) == guard.Served {
			served++
		}
		w.wait(pause)
	}
	return served
}

// register has a phone registered for an hour, with a challenge and its answer.
func (w *world) register(src guard.Source) {
	w.Registered(src, guard.Registration{Status: 401, Challenges: []string{`Digest realm="a", nonce="n1"`}}, w.now)
	w.Registered(src, guard.Registration{Status: 200, Credentials: `Digest nonce="n1"`, Until: w.now.Add(time.Hour)}, w.now)
}

// fail has n registrations fail that answer a challenge, one each second, and
// returns what was said of the last one.
func (w *world) fail(src guard.Source, n int) (last guard.Failure) {
	const challenge = `Digest realm="a", nonce="n2"`
	w.Registered(src, guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
	for range n {
		last = w.Registered(src, guard.Registration{Status: 401, Credentials: `Digest nonce="n2"`, Challenges: []string{challenge}}, w.now)
		w.wait(time.Second)
	}
	return last
}

// banned returns the ban that keeps src out, and fails the test if there is none.
func (w *world) banned(src guard.Source) guard.Ban {
	w.t.Helper()
	b, ok := w.Banned(src, w.now)
	if !ok {
		w.t.Fatalf("%v is not banned", src)
	}
	if v := w.Admit(src, w.now); v != guard.Banned {
		w.t.Fatalf("%v is banned but %v", src, v)
	}
	return b
}

func udp(addr string) guard.Source {
	return guard.Source{Addr: netip.MustParseAddrPort(addr), Transport: "udp"}
}

func tcp(addr string) guard.Source {
	return guard.Source{Addr: netip.MustParseAddrPort(addr), Transport: "tcp"}
}

// address returns the i-th of many IPv4 addresses far apart.
func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + i%199), byte(i >> 16), byte(i >> 8), byte(i)}), 5060)
}
