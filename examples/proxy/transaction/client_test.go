package transaction_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// P-39, R30: Timers A and E have the intervals of RFC 3261 on UDP, and do not
// run on a stream. B and F end both.
func TestClient_Retransmissions(t *testing.T) {
	tests := []struct {
		method string
		udp    []time.Duration
	}{
		{"INVITE", seconds(0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)},
		{"OPTIONS", seconds(0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)},
	}
	for _, tt := range tests {
		t.Run(tt.method, func(t *testing.T) {
			onBoth(t, func(w *world, pbx callee) {
				start := time.Now()
				_, l := w.send(pbx, tt.method, "z9hG4bK1")
				all := pbx.Collect(time.Minute)
				want := tt.udp
				if pbx.flow.Stream() {
					want = seconds(0)
				}
				if diff := cmp.Diff(want, schedule(start, all)); diff != "" {
					w.Error(diff)
				}
				for _, m := range all {
					if m.Text != string(request(tt.method, "z9hG4bK1")) {
						w.Errorf("sent again with a change:\n%s", m.Text)
					}
				}
				l.want(w, "failed")
				if !errors.Is(l.err, transaction.ErrTimeout) {
					w.Errorf("failed with %v, want ErrTimeout", l.err)
				}
				if got := l.at[0].Sub(start).Truncate(100 * time.Millisecond); got != 32*time.Second {
					w.Errorf("Timer B or F fired after %v, want 32s", got)
				}
				w.gone()
			})
		})
	}
}

// A provisional response makes Timer E go on at T2.
func TestClient_TimerEAfterProvisional(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		start := time.Now()
		_, l := w.send(pbx, "OPTIONS", "z9hG4bK1")
		m := pbx.Expect("OPTIONS")
		time.Sleep(700 * time.Millisecond)
		pbx.Reply(m, 100, "")
		want := seconds(0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5)
		if pbx.flow.Stream() {
			want = nil
		}
		if diff := cmp.Diff(want, schedule(start, pbx.Collect(time.Minute))); diff != "" {
			w.Error(diff)
		}
		l.want(w, "SIP/2.0 100 Trying , failed")
	})
}

// A provisional response stops Timers A and B for good: how long it may ring
// is for the user to say.
func TestClient_InviteRings(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		_, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 100, "")
		pbx.Reply(m, 180, "t")
		pbx.Silent(9 * time.Minute)
		pbx.Reply(m, 180, "t")
		pbx.Reply(m, 200, "t")
		l.want(w, "SIP/2.0 100 Trying , SIP/2.0 180 Ringing t, SIP/2.0 180 Ringing t, SIP/2.0 200 OK t")
	})
}

// R27: in the Accepted state of RFC 6026 each 2xx is passed on for 64*T1, of
// whatever dialog, and no other response.
func TestClient_Accepted(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		strays := 0
		w.stray = func(transport.Flow, *sipmsg.Message) { strays++ }
		_, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 200, "a")
		time.Sleep(500 * time.Millisecond)
		pbx.Reply(m, 200, "a")
		pbx.Reply(m, 180, "b")
		pbx.Reply(m, 486, "b")
		time.Sleep(31 * time.Second)
		pbx.Reply(m, 200, "b")
		l.want(w, "SIP/2.0 200 OK a, SIP/2.0 200 OK a, SIP/2.0 200 OK b")
		time.Sleep(time.Second)
		w.gone() // Timer M
		pbx.Reply(m, 200, "c")
		synctest.Wait()
		if strays != 1 {
			w.Errorf("%d strays, want the 2xx after Timer M", strays)
		}
		if all := pbx.Drain(); len(all) != 0 { // the ACK is the caller's
			w.Errorf("the callee gets\n%s", all[0].Text)
		}
	})
}

// R25: a non-2xx is delivered once and gets its ACK, at once and each time,
// until Timer D ends it.
func TestClient_Completed(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		strays := 0
		w.stray = func(transport.Flow, *sipmsg.Message) { strays++ }
		_, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 486, "a")
		first := pbx.Expect("ACK")
		if pbx.flow.Stream() { // Timer D is 0
			w.gone()
			return
		}
		for range 3 {
			time.Sleep(10 * time.Second)
			sent := time.Now()
			pbx.Reply(m, 486, "a")
			if again := pbx.Expect("ACK"); again.Text != first.Text || again.At != sent {
				w.Errorf("%v later the ACK is\n%s\nwant\n%s", again.At.Sub(sent), again.Text, first.Text)
			}
		}
		pbx.Reply(m, 200, "b") // from a fork; too late for everybody
		pbx.Silent(time.Second)
		l.want(w, "SIP/2.0 486 Busy Here a")
		time.Sleep(time.Second)
		w.gone()
		pbx.Reply(m, 486, "a")
		pbx.Silent(time.Second)
		if strays != 1 {
			w.Errorf("%d strays, want the one after Timer D", strays)
		}
	})
}

// R25: what an ACK for a non-2xx consists of (RFC 3261 section 17.1.1.3).
func TestClient_AckForm(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.callee()
		w.send(pbx, "INVITE", "z9hG4bK1", "Route: <sip:1.example;lr>, <sip:2.example;lr>", "X: y",
			"Route: <sip:3.example;lr>", "Proxy-Authorization: Digest x", "\nv=0\r\n")
		pbx.Reply(pbx.Expect("INVITE"), 486, "a")
		want := "ACK sip:401@203.0.113.10 SIP/2.0\r\n" +
			"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n" +
			"Max-Forwards: 70\r\n" +
			"From: <sip:alice@a.example>;tag=from\r\n" +
			"Call-ID: call@a\r\n" +
			"Route: <sip:1.example;lr>, <sip:2.example;lr>\r\n" +
			"Route: <sip:3.example;lr>\r\n" +
			"To: <sip:401@a.example>;tag=a\r\n" +
			"CSeq: 7 ACK\r\n" +
			"Content-Length: 0\r\n\r\n"
		if diff := cmp.Diff(want, pbx.Expect("ACK").Text); diff != "" {
			w.Error(diff)
		}
	})
}

// A final response to another request is delivered once. Timer K absorbs what
// comes again for T4.
func TestClient_TimerK(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		strays := 0
		w.stray = func(transport.Flow, *sipmsg.Message) { strays++ }
		_, l := w.send(pbx, "OPTIONS", "z9hG4bK1")
		m := pbx.Expect("OPTIONS")
		pbx.Reply(m, 200, "a")
		synctest.Wait()
		if pbx.flow.Stream() { // Timer K is 0
			w.gone()
			return
		}
		time.Sleep(4900 * time.Millisecond)
		pbx.Reply(m, 200, "a")
		pbx.Reply(m, 404, "a")
		pbx.Reply(m, 100, "")
		l.want(w, "SIP/2.0 200 OK a")
		if strays != 0 {
			w.Errorf("%d strays before Timer K", strays)
		}
		time.Sleep(200 * time.Millisecond)
		w.gone()
		pbx.Reply(m, 200, "a")
		synctest.Wait()
		if strays != 1 {
			w.Errorf("%d strays, want the one after Timer K", strays)
		}
		if all := pbx.Drain(); len(all) != 0 {
			w.Errorf("the callee gets\n%s", all[0].Text)
		}
	})
}

// A response belongs to the request with its branch and its method.
func TestClient_Matching(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.callee()
		var strays []string
		w.stray = func(_ transport.Flow, m *sipmsg.Message) { strays = append(strays, m.CSeqMethod) }
		_, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		pbx.Send(m.From, strings.ReplaceAll(m.Reply(200, "a"), "7 INVITE", "7 CANCEL"))
		pbx.Send(m.From, strings.ReplaceAll(m.Reply(200, "a"), "branch=z9hG4bK1", "branch=z9hG4bK2"))
		pbx.Reply(m, 486, "a")
		l.want(w, "SIP/2.0 486 Busy Here a")
		if want := []string{"CANCEL", "INVITE"}; !slices.Equal(strays, want) {
			w.Errorf("strays %q, want %q", strays, want)
		}
	})
}

// A request that cannot be sent fails at once, and its user hears nothing.
func TestRequest_CannotBeSent(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		pbx.flow.Close()
		if !pbx.flow.Stream() {
			pbx.flow = transport.Flow{}
		}
		l := new(notes)
		c, err := w.tx.Request(pbx.flow, "INVITE", "z9hG4bK1", request("INVITE", "z9hG4bK1"), l)
		if !errors.Is(err, transaction.ErrTransport) || !errors.Is(err, transport.ErrClosed) || c != nil {
			w.Errorf("Request gives %v, %v, want ErrTransport for ErrClosed", c, err)
		}
		w.gone()
		l.want(w, "")
	})
}

// R53: the requests that wait on a stream fail when it ends. Those that have
// their answer do not.
func TestClosed(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.streamCallee()
		_, fresh := w.send(pbx, "OPTIONS", "z9hG4bK1")
		_, ringing := w.send(pbx, "INVITE", "z9hG4bK2")
		_, answered := w.send(pbx, "INVITE", "z9hG4bK3")
		pbx.Expect("OPTIONS")
		pbx.Reply(pbx.Expect("INVITE"), 180, "a")
		pbx.Reply(pbx.Expect("INVITE"), 200, "b")
		synctest.Wait()
		pbx.Close()
		fresh.want(w, "failed")
		ringing.want(w, "SIP/2.0 180 Ringing a, failed")
		answered.want(w, "SIP/2.0 200 OK b")
		if !errors.Is(fresh.err, transaction.ErrTransport) {
			w.Errorf("failed with %v, want ErrTransport", fresh.err)
		}
		if got := w.tx.Stats().Clients; got != 1 {
			w.Errorf("%d clients, want the accepted one", got)
		}
	})
}

// R53: a stream that does not come about fails what was sent on it, before
// Timer B.
func TestClosed_WhileDialing(t *testing.T) {
	run(t, func(w *world) {
		w.pbx.BlackHole(true)
		flow, err := w.transport.Dial("tcp", noAddr, addrPort(pbxAddr, 5060))
		must(w, err)
		_, l := w.send(callee{nil, flow}, "INVITE", "z9hG4bK1")
		time.Sleep(2900 * time.Millisecond)
		l.want(w, "")
		time.Sleep(200 * time.Millisecond)
		l.want(w, "failed")
		w.gone()
	})
}

var afterTests = []struct {
	name string
	do   func(w *world, pbx callee, c *transaction.Client)
	want string
}{
	{"fires", func(_ *world, _ callee, c *transaction.Client) { c.After(3 * time.Second) }, "timer 3s"},
	{"again", func(_ *world, _ callee, c *transaction.Client) {
		c.After(3 * time.Second)
		time.Sleep(2 * time.Second)
		c.After(3 * time.Second)
	}, "timer 5s"},
	{"stopped", func(_ *world, _ callee, c *transaction.Client) {
		c.After(3 * time.Second)
		c.After(0)
	}, ""},
	{"ended", func(_ *world, pbx callee, c *transaction.Client) {
		c.After(3 * time.Second)
		pbx.Reply(pbx.Next(), 404, "a")
	}, "SIP/2.0 404 Not Found a 0s"},
	{"abandoned", func(_ *world, pbx callee, c *transaction.Client) {
		c.After(3 * time.Second)
		c.Abandon()
		c.After(3 * time.Second)
		pbx.Reply(pbx.Next(), 404, "a")
	}, ""},
	{"accepted", func(_ *world, pbx callee, c *transaction.Client) {
		c.After(3 * time.Second)
		pbx.Reply(pbx.Next(), 200, "a")
		synctest.Wait()
		c.After(32 * time.Second)
	}, "SIP/2.0 200 OK a 0s, timer 32s"},
}

// The user's timer is one, and ends with the transaction unless that is an
// accepted INVITE.
func TestClient_After(t *testing.T) {
	for _, tt := range afterTests {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(w *world, pbx callee) {
				start := time.Now()
				c, l := w.send(pbx, "INVITE", "z9hG4bK1")
				tt.do(w, pbx, c)
				time.Sleep(25 * time.Second)
				c.Abandon()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				var got []string
				for i, line := range l.lines {
					got = append(got, fmt.Sprint(line, " ", l.at[i].Sub(start).Truncate(time.Second)))
				}
				if s := strings.Join(got, ", "); s != tt.want {
					w.Errorf("told %q, want %q", s, tt.want)
				}
			})
		})
	}
}
