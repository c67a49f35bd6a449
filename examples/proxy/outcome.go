package main

import (
	"errors"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// outcome is what comes of a decision as things are: where the request goes, or
// how it is answered. To work it out does nothing yet, but that with Select PBXes
// that take turns have taken one, so that it can be explained as well as carried out.
type outcome struct {
	targets [][]relay.Target // tried group by group; nil if it goes nowhere
	lost    []lost           // phones that are no targets
	name    location.URI     // of the only target if its host is to be looked up, else zero
	began   proof            // what is proved of its dialog
	err     error            // why there are no targets, if the decision was for some

	status int      // of the answer if there are no targets; 0: none
	fields []string // of its header
}

// chooser is [dispatcher.Dispatcher.Select], or Peek for what is not carried out.
type chooser func(setID int, key string, buf []dispatcher.Destination) ([]dispatcher.Destination, error)

// lost is a phone that cannot be reached.
type lost struct {
	binding *location.Binding
	err     error
}

// outcome returns what comes of d.
func (p *Proxy) outcome(c *relay.Context, st *state, choose chooser, d *route.Decision, src route.Source, said *reading) outcome {
	o := p.ways(c, st, choose, d, src, said)
	if o.targets != nil {
		if over, full := errors.AsType[*guard.CeilingError](p.room(c, st, d, src)); full {
			return tooMuch(over)
		}
	}
	return o
}

// ways is outcome whatever the tenant may have.
func (p *Proxy) ways(c *relay.Context, st *state, choose chooser, d *route.Decision, src route.Source, said *reading) outcome {
	switch d.Action {
	case route.ToPhones:
		return p.phones(c, st, d)
	case route.ToSet:
		targets, err := p.destinations(st, choose, d, c.Message, src)
		if err != nil {
			return outcome{err: err, status: 503, fields: []string{"Retry-After: 10"}}
		}
		return outcome{targets: targets}
	case route.ToURI:
		return p.nextHop(c, st.senders(d, c.Message), said)
	case route.Wait:
		return outcome{status: statusOf(st.policy.Missing(d.Set, c.Message.Method))}
	case route.Local:
		return outcome{status: d.Status, fields: []string{allow, "Accept: */*", "Supported: "}}
	case route.Reply:
		if errors.Is(d.Err, mirror.ErrUnknown) { // it will be known
			return outcome{status: 503, fields: []string{"Retry-After: 5"}}
		}
		if d.Status == 405 {
			return outcome{status: 405, fields: []string{"Allow: OPTIONS"}}
		}
		return outcome{status: d.Status}
	}
	return outcome{} // Drop
}

// phones returns the phones of d that can be reached.
func (p *Proxy) phones(c *relay.Context, st *state, d *route.Decision) outcome {
	var o outcome
	var all []relay.Target
	for i := range d.Targets {
		t, err := p.phone(d.AOR, &d.Targets[i])
		if err != nil {
			o.lost = append(o.lost, lost{&d.Targets[i], err})
			continue
		}
		if c.NextRoute != "" && strings.HasPrefix(t.Route, c.NextRoute) { // the PBX has the Path of the phone as well
			t.Route = ""
		}
		all = append(all, t)
	}
	if len(all) > 0 {
		o.targets = groupsOf(all, c.Message.Method, d)
		return o
	}
	o.err = errUnreachable
	if st.policy.Missing(d.Set, c.Message.Method) != route.Silent { // an Asterisk takes any answer for a sign of life
		o.status = 480
	}
	return o
}

var errUnreachable = errors.New("no phone of the user can be reached")

// statusOf returns the status of an answer, 0 for none.
func statusOf(a route.Answer) int {
	if a == route.Silent {
		return 0
	}
	return int(a)
}
