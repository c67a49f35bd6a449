package relay_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/internal/siptestx"
)

// follower notes what it hears.
type follower struct {
	heard []string
	ended func(relay.Result) // may be nil
}

// Canceled implements [relay.Follower].
func (o *follower) Canceled() { o.heard = append(o.heard, "canceled") }

// Ended implements [relay.Follower].
func (o *follower) Ended(r relay.Result) {
	whose := "ours"
	if r.Target != nil {
		whose = r.Target.Remote.Addr().String()
	}
	o.heard = append(o.heard, fmt.Sprintf("%d %s, %s, %d branches", r.Status, r.Reason, whose, r.Attempts))
	if o.ended != nil {
		o.ended(r)
	}
}

// panics panics if on is true.
func panics(on *atomic.Bool, text string) {
	if on.Load() {
		panic(text)
	}
}

// A Follower hears how a request ends, whatever the policy does with it, and
// the phone that hangs up before that.
func TestFollower(t *testing.T) {
	tests := []struct {
		name string
		// do is what the policy does, and then what happens.
		do   func(w *world, c *relay.Context, pbx *siptestx.Peer)
		then func(w *world, invite string, pbx *siptestx.Peer)
		want []string
	}{
		{
			"answered",
			forwardTo, func(w *world, _ string, pbx *siptestx.Peer) {
				m := pbx.Expect("INVITE")
				pbx.Reply(m, 200, "a")
				w.beyond100(200)
				pbx.Reply(m, 200, "a") // repeated
				w.beyond100(200)
			},
			[]string{"200 OK, 203.0.113.20, 1 branches"},
		},
		{
			"busy",
			forwardTo, func(w *world, invite string, pbx *siptestx.Peer) {
				pbx.Reply(pbx.Expect("INVITE"), 486, "a")
				w.ack(invite, w.beyond100(486))
				w.hangUp(invite) // too late
			},
			[]string{"486 Busy Here, 203.0.113.20, 1 branches"},
		},
		{
			"canceled",
			forwardTo, func(w *world, invite string, pbx *siptestx.Peer) {
				m := pbx.Expect("INVITE")
				pbx.Reply(m, 180, "a")
				w.beyond100(180)
				w.hangUp(invite)
				w.hangUp(invite)
				pbx.Reply(pbx.Expect("CANCEL"), 200, "a")
				pbx.Reply(m, 487, "a")
				w.ack(invite, w.beyond100(487))
			},
			[]string{"canceled", "487 Request Terminated, 203.0.113.20, 1 branches"},
		},
		{
			"canceled while held",
			func(*world, *relay.Context, *siptestx.Peer) {}, func(w *world, invite string, _ *siptestx.Peer) {
				w.phone.Status(100)
				w.hangUp(invite)
				w.ack(invite, w.beyond100(487))
			},
			[]string{"canceled", "487 Request Terminated, ours, 0 branches"},
		},
		{
			"replied",
			func(_ *world, c *relay.Context, _ *siptestx.Peer) { c.Reply(404, "Not Found") },
			func(w *world, invite string, _ *siptestx.Peer) { w.ack(invite, w.beyond100(404)) },
			[]string{"404 Not Found, ours, 0 branches"},
		},
		{
			"dropped",
			func(_ *world, c *relay.Context, _ *siptestx.Peer) { c.Drop() },
			func(*world, string, *siptestx.Peer) {},
			[]string{"0 , ours, 0 branches"},
		},
		{
			"silent PBX",
			forwardTo, func(w *world, invite string, _ *siptestx.Peer) { w.ack(invite, w.beyond100(408)) },
			[]string{"408 Request Timeout, ours, 1 branches"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				pbx := w.server()
				o := &follower{}
				w.onRoute(func(c *relay.Context) {
					c.Follower = o
					tt.do(w, c, pbx)
				})
				tt.then(w, w.send("INVITE"), pbx)
				synctest.Wait()
				if diff := cmp.Diff(tt.want, o.heard); diff != "" {
					w.Errorf("heard (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func forwardTo(_ *world, c *relay.Context, pbx *siptestx.Peer) { c.Forward(groups(pbx)) }

// beyond100 returns the next message to the phone that is no 100.
func (w *world) beyond100(status int) siptestx.Message {
	w.Helper()
	m := w.phone.Next()
	for m.Status() == 100 {
		m = w.phone.Next()
	}
	if m.Status() != status {
		w.Fatalf("the phone gets\n%s\nwant %d", m.Text, status)
	}
	return m
}

// An INVITE that is followed comes once: when its refusal is lost and it is
// repeated, the policy is not asked again, as it is for others.
func TestFollower_RefusedOnce(t *testing.T) {
	for _, followed := range []bool{true, false} {
		run(t, func(w *world) {
			asked := 0
			w.onRoute(func(c *relay.Context) {
				if asked++; followed {
					c.Follower = &follower{}
				}
				c.Refuse(404, "Not Found")
			})
			invite := w.send("INVITE")
			first := w.phone.Status(404)
			w.phone.Send(proxyAddr, invite)
			again := w.phone.Status(404)
			if (asked == 1) != followed || (first.Text == again.Text) != followed {
				w.Errorf("followed %v: asked %d times", followed, asked)
			}
			w.ack(invite, again)
			w.phone.Silent(time.Minute)
		})
	}
}
