package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// call is an INVITE that may begin a call, as the relay tells of it.
type call struct {
	recorder *acct.Recorder
	settled  func(relay.Result) // told what became of the INVITE; may be nil
	invite   *acct.Invite       // views into the message; nil once it has begun or ended, or if no record is made
	record   *acct.Call         // nil before it has begun
}

var _ relay.Follower = (*call)(nil)

// follow has the record made of what c begins, if that is a call. A stranger's
// INVITE for nobody is none. Held tells that it will be decided on again, as what
// has to wait anyway.
func (p *Proxy) follow(c *relay.Context, st *state, d *route.Decision, held bool) {
	m := c.Message
	if p.calls == nil || !beginsCall(m) || d.Class == route.Unknown {
		return
	}
	if before, ok := c.Follower.(*call); ok && before.record != nil {
		return // it was known whose it is
	}
	f := &call{recorder: p.calls.journals[0].Recorder, invite: &acct.Invite{
		CallID: m.CallID, FromTag: m.FromTag,
		FromURI: addressOf(m.Get(sipmsg.From)), ToURI: addressOf(m.Get(sipmsg.To)),
		UserAgent: m.Get(sipmsg.UserAgent), Source: m.Source,
	}}
	if d.Class == route.PBX || d.Action == route.ToPhones {
		f.invite.Direction = acct.ToPhone
	}
	if tn := st.tenantOf(c, d, held || d.Action == route.Wait); tn != nil {
		f.invite.SetID, f.invite.Domain = tn.SetID, domainIn(tn, d.AOR)
		if d.Action == route.Wait {
			f.begin()
		}
	}
	c.Follower = f
}

// tenantOf returns the tenant that a request belongs to, nil if that is not known,
// as of a PBX with several tenants while it is undecided which of them is meant.
func (st *state) tenantOf(c *relay.Context, d *route.Decision, undecided bool) *tenant.Tenant {
	if d.Class == route.PBX {
		if of := st.tenants.Candidates(c.Message.Source); len(of) == 1 {
			return of[0]
		}
		if undecided {
			return nil
		}
	}
	tn, _ := st.tenants.Set(d.Set) // none has a number below 0
	return tn
}

// domainIn returns the domain of tn that is that of an AOR, else the primary one.
func domainIn(tn *tenant.Tenant, aor location.AOR) string {
	switch {
	case slices.Contains(tn.Domains, aor.Domain()):
		return aor.Domain()
	case len(tn.Domains) > 0:
		return tn.Domains[0]
	}
	return ""
}

// begin makes it a call. What has no consequences is none: the sender of an INVITE
// that is dropped sends it again.
func (f *call) begin() {
	if f.invite != nil {
		f.record, f.invite = f.recorder.Begin(*f.invite), nil
	}
}

// Canceled implements [relay.Follower].
func (f *call) Canceled() {
	f.begin()
	f.record.Cancel()
}

// Ended implements [relay.Follower].
func (f *call) Ended(r relay.Result) {
	if f.settled != nil {
		f.settled(r)
	}
	switch {
	case r.Status/100 == 2: // which was heard
	case r.Status == 0 && f.record == nil:
		f.invite = nil
	default:
		f.begin()
		f.record.Fail(r.Status, r.Reason)
	}
}

// watch has the call hear of the legs of plan and what they answer.
func (f *call) watch(plan *relay.Plan) {
	begin, answer := plan.Begin, plan.Answer
	plan.Begin = func(t *relay.Target) relay.Attempt {
		f.begin()
		f.record.Leg(farEnd(t).Remote)
		if begin == nil {
			return nil
		}
		return begin(t)
	}
	plan.Answer = func(t *relay.Target, m *sipmsg.Message, patch *sipmsg.Patch) (int, string) {
		if answer != nil {
			if status, reason := answer(t, m, patch); status != 0 {
				return status, reason
			}
		}
		f.hear(t, m)
		return 0, ""
	}
}

// hear notes an answer that the caller gets.
func (f *call) hear(t *relay.Target, m *sipmsg.Message) {
	switch {
	case m.Status < 200:
		f.record.Progress()
	case m.Status < 300:
		agent := m.Get(sipmsg.UserAgent)
		if agent == "" {
			agent, _ = m.Lookup("Server")
		}
		f.record.Answer(acct.Answer{
			ToTag: m.ToTag, Code: m.Status, Reason: m.Reason, UserAgent: agent,
			Destination: farEnd(t).Remote, SessionExpires: sessionExpires(m),
		})
	}
}

// watch has the records hear of what becomes of plan.
func (p *Proxy) watch(c *relay.Context, plan *relay.Plan) {
	if f, ok := c.Follower.(*call); ok {
		f.watch(plan)
		return
	}
	m := c.Message
	if p.calls == nil || m.ToTag == "" || m.Method != "INVITE" && m.Method != "UPDATE" {
		return
	}
	answer := plan.Answer
	plan.Answer = func(t *relay.Target, m *sipmsg.Message, patch *sipmsg.Patch) (int, string) {
		if m.Status/100 == 2 {
			p.calls.refresh(m)
		}
		if answer == nil {
			return 0, ""
		}
		return answer(t, m, patch)
	}
}

// refresh notes a 2xx to an INVITE or UPDATE in a dialog.
func (c *calls) refresh(m *sipmsg.Message) {
	for _, j := range c.journals {
		j.Refresh(acct.Dialog{CallID: m.CallID, FromTag: m.FromTag, ToTag: m.ToTag}, sessionExpires(m))
	}
}

// inDialog notes a request in a dialog that is proved to be ours.
func (c *calls) inDialog(m *sipmsg.Message) {
	if c == nil {
		return
	}
	d := acct.Dialog{CallID: m.CallID, FromTag: m.FromTag, ToTag: m.ToTag}
	for _, j := range c.journals {
		switch m.Method {
		case "ACK":
			j.Ack(d)
		case "BYE":
			j.Bye(d)
		default:
			j.Alive(d)
		}
	}
}

// sessionExpires returns the session interval of an answer, 0 if it has none (RFC
// 4028).
func sessionExpires(m *sipmsg.Message) time.Duration {
	value, _ := m.Lookup("Session-Expires")
	seconds, _, _ := strings.Cut(value, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(seconds), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
