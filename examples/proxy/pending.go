package main

import (
	"container/list"
	"sync"
	"time"

	"github.com/sipward/sipward/location"
)

// holdTime is how long a request waits for the REGISTER that it has overtaken.
// An Asterisk gives up its OPTIONS after 3 s; its answer to the REGISTER is
// there in milliseconds.
const holdTime = time.Second

// maxHeld bounds the requests that wait.
const maxHeld = 10_000

// pending knows the REGISTERs that are on their way to a PBX. A PBX sends its
// first OPTIONS often before its 200 to the REGISTER: that request waits here
// until the binding is stored.
type pending struct {
	mu   sync.Mutex
	on   map[location.AOR]*inFlight
	held int
}

// inFlight is what is known of the REGISTERs with one key.
type inFlight struct {
	count   int
	waiting list.List // of *held, as they came
}

type held struct {
	in    *inFlight
	at    *list.Element // of in.waiting
	timer *time.Timer
	once  sync.Once
	retry func()
}

func newPending() *pending { return &pending{on: map[location.AOR]*inFlight{}} }

// keysOf returns what a registration can be asked for by: its AOR, and the
// users of its Contacts in the same domain.
func keysOf(aor location.AOR, asked []location.Binding) []location.AOR {
	keys := append(make([]location.AOR, 0, 2), aor)
	for _, b := range asked {
		u, err := location.ParseURI(b.Contact)
		if err != nil {
			continue
		}
		user, err := location.UnescapeUser(u.User)
		if err != nil || user == aor.User() {
			continue
		}
		if key, err := location.MakeAOR(user, aor.Domain()); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// add notes a REGISTER.
func (p *pending) add(keys []location.AOR) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		if p.on[k] == nil {
			p.on[k] = &inFlight{}
		}
		p.on[k].count++
	}
}

// done forgets a REGISTER. When none with the same key is left, what has waited
// goes on: it is not known which of them it has waited for, and another one may
// only have been challenged.
func (p *pending) done(keys []location.AOR) {
	var waiting []*held
	p.mu.Lock()
	for _, k := range keys {
		f := p.on[k]
		if f.count--; f.count == 0 {
			for e := f.waiting.Front(); e != nil; e = e.Next() {
				waiting = append(waiting, e.Value.(*held))
			}
			delete(p.on, k)
		}
	}
	p.mu.Unlock()
	for _, h := range waiting {
		h.timer.Stop()
		p.release(h)
	}
}

// has reports whether a REGISTER can be waited for.
func (p *pending) has(key location.AOR) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on[key] != nil
}

// wait calls retry once, when no REGISTER with this key is on its way any more,
// or in holdTime. It reports false, and does not call it, if there is none any
// more or too much waits already.
func (p *pending) wait(key location.AOR, retry func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.on[key]
	if f == nil || p.held >= maxHeld {
		return false
	}
	p.held++
	h := &held{in: f, retry: retry}
	h.timer = time.AfterFunc(holdTime, func() { p.release(h) })
	h.at = f.waiting.PushBack(h)
	return true
}

func (p *pending) release(h *held) {
	h.once.Do(func() {
		p.mu.Lock()
		p.held--
		h.in.waiting.Remove(h.at)
		p.mu.Unlock()
		h.retry()
	})
}
