package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
)

// transitions tells of PBXes that went down or came back: in the log, in the
// table dispatcher if that is wanted, and by a webhook. What takes time is done
// by run.
type transitions struct {
	proxy   *Proxy
	tellers []*teller // none waits for another one
}

func newTransitions(p *Proxy) *transitions {
	t := &transitions{proxy: p}
	if p.cfg.Dispatcher.WriteState && p.db != nil {
		t.tellers = append(t.tellers, newTeller("the table dispatcher", t.write, p.log))
	}
	if p.cfg.Dispatcher.Webhook != "" {
		t.tellers = append(t.tellers, newTeller("the webhook", t.post, p.log))
	}
	return t
}

// add implements the OnTransition of a [dispatcher.Config].
func (t *transitions) add(e dispatcher.Event) {
	log := t.proxy.log.Warn
	if e.To == dispatcher.Active {
		log = t.proxy.log.Info
	}
	log("PBX "+word(e.To), "setid", e.SetID, "uri", e.URI, "cause", e.Cause)
	for _, to := range t.tellers {
		to.add(e)
	}
}

// word says what a PBX is that came into a state.
func word(s dispatcher.State) string {
	if s == dispatcher.Active {
		return "is back"
	}
	return "is down"
}

// run tells until ctx is done.
func (t *transitions) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, to := range t.tellers {
		wg.Go(func() { to.run(ctx) })
	}
	<-ctx.Done() // there may be nobody to tell
	wg.Wait()
	return nil
}

// teller tells somebody who may be slow. Of each PBX it keeps one event at most,
// with the latest state: so whoever is told, however late, is told in the end what
// holds.
type teller struct {
	to   string // as the log calls it
	tell func(context.Context, dispatcher.Event) error
	log  *slog.Logger
	wake chan struct{} // has room for one

	mu      sync.Mutex
	waiting []dispatcher.Event // in the order in which the PBXes first changed
}

func newTeller(to string, tell func(context.Context, dispatcher.Event) error, log *slog.Logger) *teller {
	return &teller{to: to, tell: tell, log: log, wake: make(chan struct{}, 1)}
}

// add has e told, together with what waits of the same PBX: nothing if that is
// again what it was.
func (t *teller) add(e dispatcher.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := identityOf(&e.Destination)
	i := slices.IndexFunc(t.waiting, func(w dispatcher.Event) bool { return identityOf(&w.Destination) == id })
	switch {
	case i < 0:
		t.waiting = append(t.waiting, e)
	case t.waiting[i].From == e.To:
		t.waiting = slices.Delete(t.waiting, i, i+1)
	default:
		e.From = t.waiting[i].From
		t.waiting[i] = e
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// next takes what has waited longest. It reports false if there is nothing.
func (t *teller) next() (e dispatcher.Event, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return e, false
	}
	e = t.waiting[0]
	t.waiting = slices.Delete(t.waiting, 0, 1)
	return e, true
}

// run tells until ctx is done.
func (t *teller) run(ctx context.Context) {
	for ctx.Err() == nil {
		e, ok := t.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-t.wake:
			}
			continue
		}
		if err := t.tell(ctx, e); err != nil && ctx.Err() == nil {
			t.log.Warn("the state of a PBX is not told", "to", t.to, "setid", e.SetID, "uri", e.URI, "err", err)
		}
	}
}

const tellTimeout = 5 * time.Second

// write writes the state to the table, unless an operator's is there. A PBX with
// a name is more than one here and one row there, which stays as it is.
func (t *transitions) write(ctx context.Context, e dispatcher.Event) error {
	p := t.proxy
	if !p.state.Load().rows[e.URI] {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	table, err := mysqldisp.New(ctx, p.db, mysqldisp.Config{})
	if err != nil {
		return err
	}
	_, err = table.SetState(ctx, e.Destination, e.To) // false: the row is an operator's, or gone
	return err
}

// transition is what the webhook gets.
type transition struct {
	SetID int       `json:"setid"`
	URI   string    `json:"uri"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	Cause string    `json:"cause"`
	At    time.Time `json:"at"`
}

// post calls the webhook.
func (t *transitions) post(ctx context.Context, e dispatcher.Event) error {
	body, err := json.Marshal(transition{e.SetID, e.URI, e.From.String(), e.To.String(), e.Cause, e.At})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(t.proxy.cfg.Dispatcher.Webhook), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
	if res.StatusCode >= 300 {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}
