package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/relay"
)

// newDispatcher returns the dispatcher that cfg asks for.
func (p *Proxy) newDispatcher() *dispatcher.Dispatcher {
	c := p.cfg.Dispatcher
	dc := dispatcher.Config{
		Policy:       dispatcher.PolicyFunc(p.order),
		Fall:         c.Fall,
		Rise:         c.Rise,
		SlowStart:    c.Interval,
		TryIfAllDown: c.AllDown == config.AllDownTry,
		Interval:     c.Interval,
		Timeout:      c.Timeout,
		OnTransition: p.transitions.add,
	}
	if c.Probe == config.ProbeAlways && c.Interval > 0 {
		dc.Ping = p.metrics.Probe(p.ping)
	}
	return dispatcher.New(dc)
}

// ping asks a PBX if it is alive, from the socket that its requests come from.
func (p *Proxy) ping(ctx context.Context, d dispatcher.Destination) (status int, err error) {
	hop, ok := p.state.Load().hops[d.URI]
	if !ok {
		return 0, errors.New("no address")
	}
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	abandon := p.relay.OptionsTo(hop.network, p.names.bySocket(d.Socket).addr, hop.remote, d.URI,
		func(status int, err error) { answers <- answer{status, err} })
	select {
	case a := <-answers:
		return a.status, a.err
	case <-ctx.Done():
		abandon()
		return 0, ctx.Err()
	}
}

// begin implements the Begin of a [relay.Plan] for targets that are PBXes.
func (p *Proxy) begin(t *relay.Target) relay.Attempt {
	return p.sets.Begin(*t.Context.(*dispatcher.Destination))
}

// transitions tells of PBXes that went down or came back: in the log, in the
// table dispatcher if that is wanted, and by a webhook. What takes time is done
// by run; if it cannot keep up, the oldest news are still told, and the latest
// ones only logged.
type transitions struct {
	proxy  *Proxy
	events chan dispatcher.Event
}

func newTransitions(p *Proxy) *transitions {
	return &transitions{proxy: p, events: make(chan dispatcher.Event, 1024)}
}

// add implements the OnTransition of a [dispatcher.Config].
func (t *transitions) add(e dispatcher.Event) {
	log := t.proxy.log.Warn
	if e.To == dispatcher.Active {
		log = t.proxy.log.Info
	}
	log("PBX "+word(e.To), "setid", e.SetID, "uri", e.URI, "cause", e.Cause)
	select {
	case t.events <- e:
	default:
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
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-t.events:
			for what, err := range map[string]error{"the table dispatcher": t.write(ctx, e), "the webhook": t.post(ctx, e)} {
				if err != nil && ctx.Err() == nil {
					t.proxy.log.Warn("the state of a PBX is not told", "to", what, "setid", e.SetID, "uri", e.URI, "err", err)
				}
			}
		}
	}
}

const tellTimeout = 5 * time.Second

// write writes the state to the table, unless an operator's is there. A PBX with
// a name is more than one here and one row there, which stays as it is.
func (t *transitions) write(ctx context.Context, e dispatcher.Event) error {
	p := t.proxy
	if !p.cfg.Dispatcher.WriteState || p.db == nil || !p.state.Load().rows[e.URI] {
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
	url := t.proxy.cfg.Dispatcher.Webhook
	if url == "" {
		return nil
	}
	body, err := json.Marshal(transition{e.SetID, e.URI, e.From.String(), e.To.String(), e.Cause, e.At})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(url), bytes.NewReader(body))
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
