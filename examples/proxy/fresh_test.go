package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// slowTable stands for the table location: it outlives the proxies, can fail,
// and lists its rows when it is let to.
type slowTable struct {
	*location.Memory
	maxAge time.Duration

	mu   sync.Mutex
	err  error
	open chan struct{} // closed: All goes on
}

var errNoDatabase = errors.New("the database is gone")

func newSlowTable() *slowTable {
	return &slowTable{Memory: location.NewMemory(location.MemoryConfig{}), open: make(chan struct{})}
}

// under gives p bindings that are mirrored in t.
func (t *slowTable) under(p *Proxy) {
	m, err := mirror.Open(mirror.Config{
		Backend: func(context.Context) (location.Store, error) { return t, nil }, MaxAge: t.maxAge, Linger: -1,
	})
	if err != nil {
		panic(err) // there is nothing in the Config that could be wrong
	}
	b := &bindings{store: m.NoWait(), mirror: m, table: &table{}, unlock: func() {}}
	b.contacts, _ = location.As[location.ContactFinder](b.store)
	b.flows, _ = location.As[location.FlowFinder](b.store)
	p.bindings = b
	if p.registrar, err = p.newRegistrar(); err != nil {
		panic(err)
	}
}

func (t *slowTable) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

func (t *slowTable) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *slowTable) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := t.failure(); err != nil {
		return nil, err
	}
	return t.Memory.Lookup(ctx, aor)
}

func (t *slowTable) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := t.failure(); err != nil {
		return err
	}
	return t.Memory.Apply(ctx, aor, c)
}

func (t *slowTable) All(ctx context.Context) iter.Seq2[location.Entry, error] {
	return func(yield func(location.Entry, error) bool) {
		select {
		case <-t.open:
		case <-ctx.Done():
			yield(location.Entry{}, ctx.Err())
			return
		}
		for e, err := range t.Memory.All(ctx) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// restartLoading restarts the proxy, which has its bindings in w.table from now
// on and has read none of them.
func (w *world) restartLoading() {
	w.Helper()
	w.table.open = make(chan struct{})
	w.restart()
	if w.proxy.certain() {
		w.Fatal("the proxy is done with loading")
	}
}

// TestFresh_WhileLoading: a proxy that has just been restarted, and has read
// nothing yet, finds the phone that is called, and takes none for the only
// candidate because it does not know the others. P-05 P-12.
func TestFresh_WhileLoading(t *testing.T) {
	inWorld(t, `
tenants:
  - {setid: 10, domains: [a.test, b.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 20, domains: [c.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
`, func(w *world) {
		w.table = newSlowTable()
		w.restartLoading()
		one := w.behind(simnet.PortRestricted, "401", "a.test")
		both, either := w.behind(simnet.PortRestricted, "402", "a.test"), w.behind(simnet.PortRestricted, "402", "b.test")
		other := w.behind(simnet.PortRestricted, "401", "c.test")
		uri := one.at(w.a)
		second := both.at(w.a)
		either.register(w.a)
		other.register(w.b)

		w.restartLoading()
		w.a.reaches(one, "INVITE", uri)
		w.restartLoading()
		w.a.reaches(one, "INVITE", "sip:401@192.0.2.1") // only in a.test, of what the PBX may reach
		w.a.reaches(both, "MESSAGE", second)
		w.restartLoading()
		both.refresh(w.a) // so that it is known, and the other one is not
		w.a.refused(404, "INVITE", "sip:402@192.0.2.1")
		w.a.refused(503, "INVITE", "sip:403@192.0.2.1") // it may be in the Contact of any of them
		close(w.table.open)
		time.Sleep(5 * time.Second)
		w.a.refused(404, "INVITE", "sip:403@192.0.2.1")
	})
}

// TestFresh_KeepsTheToken: a refresh while nothing is loaded is of the binding
// that is stored, under the name that its PBX knows it by.
func TestFresh_KeepsTheToken(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.table = newSlowTable()
		w.restartLoading()
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		agent := "User-Agent: phone"
		m, _ := ph.register(w.a, agent)
		before := uriOf(m.Get("Contact"))
		ph.contact = "<sip:another@10.0.0.9>" // from the same socket
		w.restartLoading()
		m, _ = ph.refresh(w.a, agent)
		if got := uriOf(m.Get("Contact")); tokenOf(got) != tokenOf(before) {
			t.Errorf("the PBX gets %s, want the token of %s", got, before)
		}
		synctest.Wait()
		if n := w.table.Len(); n != 1 {
			t.Errorf("the table has %d bindings", n)
		}
	})
}

// TestFresh_NoDatabase: what a proxy cannot know it does not deny: 503, and not
// 404. What was registered with it since rings.
func TestFresh_NoDatabase(t *testing.T) {
	for name, yaml := range map[string]string{"own": threeTenants, "preserve": preserving} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, yaml, func(w *world) {
				w.table = newSlowTable()
				w.restartLoading()
				old, fresh := w.behind(simnet.PortRestricted, "401", "a.test"), w.behind(simnet.PortRestricted, "402", "a.test")
				uri := old.at(w.a)
				synctest.Wait()
				w.table.fail(errNoDatabase)
				w.restartLoading()
				if got := w.a.refused(503, "OPTIONS", uri); got.Get("Retry-After") == "" {
					t.Errorf("no Retry-After:\n%s", got.Text)
				}
				w.a.reaches(fresh, "INVITE", fresh.at(w.a))
				w.table.fail(nil)
				close(w.table.open)
				time.Sleep(10 * time.Second)
				w.a.reaches(old, "INVITE", uri)
				w.a.refused(404, "INVITE", "sip:403@192.0.2.1")
			})
		})
	}
}

// TestFresh_OtherProxy: with a maximum age, what another proxy has written is
// seen in time, and nothing is asked of the database meanwhile.
func TestFresh_OtherProxy(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.table = newSlowTable()
		w.table.maxAge = 10 * time.Second
		close(w.table.open)
		w.restart()
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		w.a.reaches(ph, "INVITE", uri)
		stored := w.bound("401", "a.test")
		aor, err := location.MakeAOR("401", "a.test")
		if err != nil || len(stored) != 1 {
			t.Fatal(stored, err)
		}
		if err := w.table.Memory.Apply(t.Context(), aor, location.Change{CallID: "other", Remove: stored}); err != nil {
			t.Fatal(err)
		}
		w.a.reaches(ph, "INVITE", uri)
		time.Sleep(10 * time.Second)
		w.table.fail(errNoDatabase)
		w.a.reaches(ph, "INVITE", uri) // as far as anybody knows
		w.table.fail(nil)
		time.Sleep(10 * time.Second)
		w.a.refused(404, "INVITE", uri)
	})
}

// TestFresh_OvertakesIts200: the request that waits for the database then waits
// for the REGISTER that it has overtaken.
func TestFresh_OvertakesIts200(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.table = newSlowTable()
		w.restartLoading()
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		w.a.ask("OPTIONS", uriOf(m.Get("Contact")))
		time.Sleep(holdTime / 4)
		w.quiet()
		w.a.accept(m)
		ph.Status(200)
		ph.Reply(ph.Expect("OPTIONS"), 200, "phone")
		w.a.Status(200)
	})
}
