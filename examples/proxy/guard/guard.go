package guard

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// Config configures a [Guard]. The zero Config is ready to use.
type Config struct {
	// PerAddress limits the messages of an IPv4 address or an IPv6 /64; 20 a
	// second with a burst of 200 if zero. That is enough for an office with some
	// hundred phones, as registrations that succeed take nothing.
	PerAddress Limit
	// PerNetwork limits the messages of an IPv4 /24 or an IPv6 /48; 100 a second
	// with a burst of 1,000 if zero.
	PerNetwork Limit
	// Strangers limits what all those together begin over UDP that are neither
	// trusted nor live nor known; 500 a second with a burst of 1,000 if zero. It is
	// what a flood from forged addresses comes to, of which one PBX may get all. A
	// quarter of the burst is for those who were refused and ask again.
	Strangers Limit
	// ConnectionsPerNetwork limits the connections that an IPv4 /24 or an IPv6 /48
	// opens, and those of each known address for itself; 100 a second with a burst
	// of 1,000 if zero.
	ConnectionsPerNetwork Limit
	// Connections limits those of all together that are neither trusted nor known;
	// 500 a second with a burst of 2,000 if zero, which is what a processor does of
	// TLS handshakes beside its work.
	Connections Limit

	// Failures within Window earn a ban; 10 within 5 minutes if 0. A negative
	// number is never reached.
	Failures int
	Window   time.Duration
	// Terms are how long the first ban, the second one and so on take, if less
	// than a day is in between; 1 min, 5 min, 30 min and 24 h if empty. All that
	// follow are as long as the last.
	Terms []time.Duration

	// Transactions and Delay are the load at which nothing new from strangers is
	// accepted any more, see [Guard.Observe]; 100,000 and 200 ms if 0.
	Transactions int
	Delay        time.Duration

	// Live reports whether a phone is registered over this very flow. It is
	// called when a limit is half used, for the banned, and at failures; from
	// any goroutine, and must not block. Nil: none is.
	Live func(Source) bool
	// OnBan is told of bans, also of those restored. It is called without a lock
	// held, in the goroutine whose call made the change, and must not block. Nil
	// discards.
	OnBan func(Event)

	// Scanners are parts of the User-Agent of scanners, in any case; a list of
	// known ones if nil.
	Scanners []string
}

// Guard decides whom to serve. All methods may be called concurrently.
type Guard struct {
	cfg      Config // complete
	start    time.Time
	hasher   hasher
	scanners []string

	addresses limiter
	networks  limiter
	strangers tokens // of all of them
	waiting   waiting
	arrivals  limiter // connections
	newcomers tokens  // the same, of all strangers
	reports   reports
	untold    untold

	known      *known
	challenges challenges
	offenders  *offenders
	bans       *bans
	load       load
	count      counters
}

// New returns a Guard that trusts nobody. The error joins all faults of cfg.
func New(cfg Config) (*Guard, error) {
	g := &Guard{start: time.Now(), hasher: hasher{maphash.MakeSeed()}}
	if err := g.configure(cfg); err != nil {
		return nil, err
	}
	g.addresses.buckets = newBuckets(16)
	g.networks.buckets = newBuckets(16)
	g.strangers.bucket = new(bucket)
	g.arrivals.buckets = newBuckets(16)
	g.newcomers.bucket = new(bucket)
	g.reports = newReports()
	g.known = newKnown()
	g.challenges.hasher, g.waiting.hasher = g.hasher, g.hasher
	g.offenders = newOffenders(g.cfg.Failures, g.cfg.Window)
	g.bans = newBans(g.start, g.hasher)
	return g, nil
}

// configure takes cfg over, with its defaults filled in.
func (g *Guard) configure(cfg Config) error {
	var errs []error
	limit := func(r *rate, name string, l, byDefault Limit) {
		var err error
		*r, err = l.rate(name, byDefault)
		errs = append(errs, err)
	}
	limit(&g.addresses.rate, "PerAddress", cfg.PerAddress, Limit{20, 200})
	limit(&g.networks.rate, "PerNetwork", cfg.PerNetwork, Limit{100, 1_000})
	limit(&g.strangers.rate, "Strangers", cfg.Strangers, Limit{500, 1_000})
	limit(&g.arrivals.rate, "ConnectionsPerNetwork", cfg.ConnectionsPerNetwork, Limit{100, 1_000})
	limit(&g.newcomers.rate, "Connections", cfg.Connections, Limit{500, 2_000})
	if cfg.Failures == 0 {
		cfg.Failures = 10
	}
	errs = append(errs,
		complete("Window", &cfg.Window, 5*time.Minute),
		complete("Transactions", &cfg.Transactions, 100_000),
		complete("Delay", &cfg.Delay, 200*time.Millisecond))
	cfg.Terms = slices.Clone(cfg.Terms)
	if len(cfg.Terms) == 0 {
		cfg.Terms = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 24 * time.Hour}
	}
	for _, t := range cfg.Terms {
		if t <= 0 {
			errs = append(errs, fmt.Errorf("guard: a term of %v is none", t))
		}
	}
	if cfg.Live == nil {
		cfg.Live = func(Source) bool { return false }
	}
	if cfg.OnBan == nil {
		cfg.OnBan = func(Event) {}
	}
	if cfg.Scanners == nil {
		cfg.Scanners = defaultScanners()
	}
	g.cfg, g.scanners = cfg, lowerNames(cfg.Scanners)
	return errors.Join(errs...)
}

func complete[T int | time.Duration](name string, v *T, byDefault T) error {
	if *v < 0 {
		return fmt.Errorf("guard: %s is negative", name)
	}
	if *v == 0 {
		*v = byDefault
	}
	return nil
}

// since returns t as the tables have it: nanoseconds on the monotonic clock.
func (g *Guard) since(t time.Time) int64 { return int64(t.Sub(g.start)) }

// Verdict is whether something is served.
type Verdict uint8

// The verdicts.
const (
	Served     Verdict = iota
	Limited            // over a limit: drop it, and a datagram's sender may send it again
	Banned             // drop it, and close the connection if it came over one
	Overloaded         // answer 503 with a Retry-After of [RetryAfter]
)

// String returns a word for metrics and logs.
func (v Verdict) String() string {
	switch v {
	case Served:
		return "served"
	case Limited:
		return "limited"
	case Banned:
		return "banned"
	case Overloaded:
		return "overloaded"
	}
	return "unknown"
}

// Admit returns whether a message from src is served: [Served], [Limited] or
// [Banned]. It is for each message, requests and responses, before anything is
// kept for it.
func (g *Guard) Admit(src Source, now time.Time) Verdict {
	at, addr := g.since(now), src.Addr.Addr()
	n := g.hasher.address(addr)
	if g.banned(src, n, at) != nil {
		g.count.banned.Add(1)
		return Banned
	}
	one, all := g.addresses.of(n), g.networks.of(g.hasher.around(addr))
	if draw(at, half, one, all) || g.exempt(src) {
		return Served
	}
	if a := g.known.get(n.network, at); a != nil {
		one, all = tokens{g.addresses.rate, &a.bucket}, tokens{}
	}
	if draw(at, whole, one, all) {
		return Served
	}
	if one.left(at, whole) {
		g.count.overNetwork.Add(1)
	} else {
		g.count.overAddress.Add(1)
	}
	return Limited
}

// AdmitNew returns whether a request from src that begins something new is
// served: [Served], [Limited] or [Overloaded]. It is for requests outside a
// dialog that were admitted, whoever sent them. Who was [Limited] and asks again,
// with the same Call-ID, comes before all who ask for the first time.
func (g *Guard) AdmitNew(src Source, callID string, now time.Time) Verdict {
	at, overloaded := g.since(now), g.load.over.Load()
	n, all := networkOf(src.Addr.Addr(), address4, address6), g.strangers
	if !src.forgeable() { // their number is limited by that of the connections
		all = tokens{}
	}
	switch {
	case !overloaded && draw(at, half, all, tokens{}), g.exempt(src), g.known.get(n, at) != nil:
		return Served
	case overloaded:
		g.count.overloaded.Add(1)
		return Overloaded
	case draw(at, most, all, tokens{}), g.waiting.has(n, callID) && draw(at, whole, all, tokens{}):
		return Served
	}
	g.waiting.add(n, callID)
	g.count.overStrangers.Add(1)
	return Limited
}

// exempt reports whether no limit holds for src.
func (g *Guard) exempt(src Source) bool { return g.trusted(src) || g.cfg.Live(src) }

func (g *Guard) trusted(src Source) bool { return g.bans.trusted.Load().contains(src.Addr.Addr()) }
