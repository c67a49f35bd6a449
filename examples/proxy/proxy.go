package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/internal/database"
	"github.com/sipward/sipward/examples/proxy/internal/hep"
	"github.com/sipward/sipward/examples/proxy/internal/metrics"
	"github.com/sipward/sipward/examples/proxy/internal/resolver"
	"github.com/sipward/sipward/examples/proxy/internal/sd"
	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
	"github.com/sipward/sipward/registrar"
	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

// Proxy is the complete edge proxy: it wires the library's packages and the
// engine together.
type Proxy struct {
	cfg   *config.Config
	log   *slog.Logger
	debug bool // the log takes debug records
	names *names
	seal  *seal
	alias *natfix.Aliaser
	db    *sql.DB // nil without a database
	*bindings
	conns       conns
	guard       *guard.Guard
	ceilings    *guard.Ceilings
	tally       *tally
	bans        *bansFile
	seclog      *seclog.Log // nil without a database
	metrics     *metrics.Metrics
	hep         *hep.Mirror // nil: nobody gets a copy of messages
	secure      secure
	registrar   *registrar.Registrar
	transport   *transport.Layer
	relay       *relay.Relay
	pending     *pending
	dns         mysqltenant.Resolver
	dialHEP     func(ctx context.Context, to string) (io.WriteCloser, error)
	dial        dialContext
	sets        *dispatcher.Dispatcher
	source      *source
	transitions *transitions
	calls       *calls // nil if no records are made

	manager *sd.Manager // who has started the process; nil: nobody who cares
	sockets []sd.Socket // that were opened for us, and are not in use yet

	hangup <-chan os.Signal // asks for the configuration to be read again; nil: never
	reread func() (*config.Config, error)

	state      atomic.Pointer[state]
	listening  atomic.Bool
	stopping   atomic.Bool // nobody is to begin anything here any more
	draining   atomic.Bool // who does is turned away
	recent     recent
	ambiguity  ambiguities
	counters   counters
	background sync.WaitGroup // look-ups of names
	lookups    atomic.Int32   // how many of them there are
}

// counters are what no part of the engine counts.
type counters struct {
	reasons     [256]atomic.Uint64            // decisions, by [route.Reason]
	resolutions [numResolutions]atomic.Uint64 // requests, by how their tenant was found
	unavailable atomic.Uint64                 // no destination of a set is usable
	unreachable atomic.Uint64                 // the phone's connection is gone
	oversize    atomic.Uint64                 // messages that are too large
	lost        atomic.Uint64                 // phones that answered no ping
	toDiffers   atomic.Uint64                 // Request-URI and To name different hosts
}

// newProxy builds a proxy for cfg; nothing runs yet, no socket is open.
func newProxy(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Proxy, error) {
	p := &Proxy{
		cfg:      cfg,
		log:      log,
		debug:    log.Enabled(ctx, slog.LevelDebug),
		names:    newNames(cfg, localAddrs()),
		pending:  newPending(),
		dns:      resolver.Resolver{},
		ceilings: guard.NewCeilings(),
		tally:    newTally(cfg.Acct.DialogTimeout),
		dialHEP:  hep.Dial,
		dial:     transport.DialContext,
	}
	p.ambiguity.init()
	if err := p.build(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// build makes the parts, each of those before it. What it has taken when it fails is
// given up by Close.
func (p *Proxy) build(ctx context.Context) (err error) {
	cfg, log := p.cfg, p.log
	if err = p.makeKeys(); err != nil {
		return err
	}
	if cfg.Database != "" {
		if p.db, err = database.Open(string(cfg.Database)); err != nil {
			return err
		}
		p.seclog = seclog.New(seclog.Config{DB: p.db, Keep: cfg.Security.Keep, Logger: log})
	}
	if p.guard, err = p.newGuard(); err != nil {
		return err
	}
	if p.metrics, err = metrics.New(metrics.Config{Tenants: cfg.Metrics.Tenants, Logger: log}); err != nil {
		return err
	}
	p.transitions = newTransitions(p)
	p.sets = p.newDispatcher()
	p.source = newSource(sourceConfig{File: cfg, DB: p.db, DNS: p.dns, Own: p.names.hasAddr, Sets: p.sets, Use: func(st *state) { p.use(st); p.trust(st); p.limit(st) }, Log: log})
	if err = p.source.Start(ctx); err != nil {
		return err
	}
	p.bans = restoreBans(cfg, p.guard, log)
	if p.bindings, err = openBindings(cfg, p.db, p); err != nil {
		return err
	}
	if p.calls, err = openCalls(cfg, p.db, p.metrics, log); err != nil {
		return err
	}
	if p.registrar, err = p.newRegistrar(); err != nil {
		return err
	}
	if p.secure, err = newSecure(cfg.TLS); err != nil {
		return err
	}
	if p.transport, err = transport.New(transport.Config{
		Handler: (*handler)(p), Accept: p.accept, DialContext: p.dialContext, Logger: log,
		ServerTLS: p.secure.server(), ClientTLS: p.secure.client, ServerName: p.serverName, Trace: p.newTrace(),
	}); err != nil {
		return err
	}
	if p.relay, err = relay.New(relay.Config{
		Policy: p, Network: p.transport, Own: p.names.isOwn, SentBy: p.names.of, Observe: p.metrics.Observe, Logger: log,
		UDPMTU: cfg.Dispatcher.UDPMTU, T1: cfg.Timers.T1, T2: cfg.Timers.T2, NoReply: cfg.Timers.Branch, TimerC: cfg.Timers.C,
	}); err != nil {
		return err
	}
	return p.measure()
}

// use makes st what counts from now on.
func (p *Proxy) use(st *state) {
	st.world = route.World{Tenants: st.tenants, Bindings: p, Own: p.names.isOwn, Policy: st.policy}
	st.world.Named = func(host string, port uint16) []*tenant.Tenant { return st.named[hostPort{host, port}] }
	p.state.Store(st)
	p.ambiguity.look()
}

// handler is the Proxy as the transport sees it: the transport exists before
// the relay, which needs it.
type handler Proxy

// makeKeys derives what authenticates our own tokens.
func (p *Proxy) makeKeys() error {
	keys, err := p.cfg.TokenKeys(func() (string, error) { return config.MachineID(os.DirFS("/")) })
	if err != nil {
		p.log.Warn("calls in progress will not survive a restart", "err", err)
		keys = make([][32]byte, 1)
		rand.Read(keys[0][:])
	}
	p.seal = newSeal(keys[0], keys[1:]...)
	var former [][]byte
	for i := range keys[1:] {
		former = append(former, keys[1+i][:])
	}
	p.alias, err = natfix.NewAliaser(keys[0][:], former...)
	return err
}

// Close gives up what newProxy has taken, or a part of it. Call it when Run has
// returned, if that was called.
func (p *Proxy) Close() error {
	err := errors.Join(p.calls.close(), p.bindings.close())
	if p.db != nil {
		err = errors.Join(err, p.db.Close())
	}
	return err
}

// Run opens the listeners and serves until ctx is done and what is in progress has
// ended; see drain.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.listen(ctx); err != nil {
		return err
	}
	p.listening.Store(true)
	return p.serve(ctx)
}

// serve runs all parts until ctx is done and the proxy has drained, and waits for
// them.
func (p *Proxy) serve(ctx context.Context) error {
	stop := ctx.Done()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	jobs := p.jobs(stop)
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() {
			defer cancel()
			if err := j.run(ctx); err != nil {
				errs[i] = fmt.Errorf("%s: %w", j.name, err)
			}
		})
	}
	wg.Wait()
	p.background.Wait()
	return errors.Join(errs...)
}

// job is what runs for as long as the proxy does: if one ends, all do.
type job struct {
	name string
	run  func(context.Context) error
}

// jobs returns what runs. When stop is closed the proxy drains.
func (p *Proxy) jobs(stop <-chan struct{}) []job {
	all := []job{
		{"drain", func(ctx context.Context) error { return p.drain(ctx, stop) }},
		{"transport", p.transport.Run},
		{"relay", p.relay.Run},
		{"bindings", p.bindings.run},
		{"tenants", func(ctx context.Context) error { return p.source.Run(ctx, p.hangup, p.reread) }},
		{"probes", p.sets.Run},
		{"keepalive", p.keepAlive},
		{"load", p.observe},
		{"ambiguity", p.watchAmbiguity},
		{"bans", p.bans.run},
		{"transitions", p.transitions.run},
	}
	if p.seclog != nil {
		all = append(all, job{"security rows", p.seclog.Run})
	}
	if p.calls != nil {
		all = append(all, job{"calls", p.calls.run})
	}
	if p.hep != nil {
		all = append(all, job{"HEP mirror", p.hep.Run})
	}
	if p.manager != nil {
		all = append(all, job{"service manager", p.supervised})
	}
	if p.cfg.Admin.IsValid() {
		all = append(all, job{"admin", p.admin})
	}
	return all
}

// sleep waits for d. It reports false if ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Lookup implements [route.Bindings].
func (p *Proxy) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	return p.store.Lookup(ctx, aor)
}

// LookupContact implements [route.Bindings].
func (p *Proxy) LookupContact(ctx context.Context, contact location.AOR) ([]location.Entry, error) {
	return p.contacts.LookupContact(ctx, contact)
}

// Pending implements [route.Bindings].
func (p *Proxy) Pending(aor location.AOR) bool { return p.pending.has(aor) }

var _ route.Bindings = (*Proxy)(nil)

// dialContext is the DialContext of the transport.
type dialContext func(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error)

func (p *Proxy) dialContext(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	return p.dial(ctx, network, local, remote)
}
