package transaction_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

// R23: what a CANCEL consists of (RFC 3261 section 9.1). P-60: with the Reason.
func TestCancel_Form(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.callee()
		c, _ := w.send(pbx, "INVITE", "z9hG4bK1", "Route: <sip:1.example;lr>", "Require: x", "\nv=0\r\n")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		synctest.Wait()
		c.Cancel("Reason: Q.850;cause=16", `Reason: SIP;cause=200;text="Call completed elsewhere"`)
		want := "CANCEL sip:401@203.0.113.10 SIP/2.0\r\n" +
			"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n" +
			"Max-Forwards: 70\r\n" +
			"From: <sip:alice@a.example>;tag=from\r\n" +
			"Call-ID: call@a\r\n" +
			"Route: <sip:1.example;lr>\r\n" +
			"To: <sip:401@a.example>\r\n" +
			"CSeq: 7 CANCEL\r\n" +
			"Reason: Q.850;cause=16\r\n" +
			"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n" +
			"Content-Length: 0\r\n\r\n"
		if diff := cmp.Diff(want, pbx.Expect("CANCEL").Text); diff != "" {
			w.Error(diff)
		}
	})
}

// R23: a CANCEL waits for a provisional response, is sent once, and the 487 to
// the INVITE is the answer. The 200 to the CANCEL tells nothing.
func TestCancel_WaitsForProvisional(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		c, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		c.Cancel()
		pbx.Silent(400 * time.Millisecond)
		c.Cancel("Reason: SIP;cause=200") // still in time
		pbx.Reply(m, 100, "")
		cancel := pbx.Expect("CANCEL")
		if cancel.Get("Reason") != "SIP;cause=200" {
			w.Errorf("CANCEL without Reason:\n%s", cancel.Text)
		}
		pbx.Reply(m, 180, "a")
		c.Cancel("Reason: SIP;cause=600")
		pbx.Reply(cancel, 200, "a")
		pbx.Silent(time.Second)
		pbx.Reply(m, 487, "a")
		pbx.Expect("ACK")
		c.Cancel()
		pbx.Silent(time.Minute)
		l.want(w, "SIP/2.0 100 Trying , SIP/2.0 180 Ringing a, SIP/2.0 487 Request Terminated a")
	})
}

// A final response makes the CANCEL needless.
func TestCancel_AfterFinal(t *testing.T) {
	for _, status := range []int{200, 486} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			onBoth(t, func(w *world, pbx callee) {
				c, _ := w.send(pbx, "INVITE", "z9hG4bK1")
				c.Cancel()
				pbx.Reply(pbx.Expect("INVITE"), status, "a")
				synctest.Wait()
				c.Cancel()
				for _, m := range pbx.Collect(time.Minute) {
					if m.Method() != "ACK" {
						w.Errorf("the callee gets\n%s", m.Text)
					}
				}
			})
		})
	}
}

// The CANCEL is a transaction of its own, sent again by Timer E. If the INVITE
// has no final response within 64*T1 after it, the INVITE has failed.
func TestCancel_NoFinal(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		c, l := w.send(pbx, "INVITE", "z9hG4bK1")
		pbx.Reply(pbx.Expect("INVITE"), 180, "a")
		time.Sleep(2 * time.Minute)
		start := time.Now()
		c.Cancel()
		want := seconds(0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
		if pbx.flow.Stream() {
			want = seconds(0)
		}
		all := pbx.Collect(time.Minute)
		if diff := cmp.Diff(want, schedule(start, all)); diff != "" {
			w.Error(diff)
		}
		for _, m := range all {
			if m.Method() != "CANCEL" || m.Branch() != "z9hG4bK1" {
				w.Errorf("the callee gets\n%s", m.Text)
			}
		}
		l.want(w, "SIP/2.0 180 Ringing a, failed")
		if after := l.at[1].Sub(start).Truncate(100 * time.Millisecond); after != 32*time.Second || !errors.Is(l.err, transaction.ErrTimeout) {
			w.Errorf("failed with %v after %v, want ErrTimeout after 32s", l.err, after)
		}
		w.gone()
	})
}

// An INVITE that the user made unreadable has no CANCEL, but an end.
func TestCancel_Unreadable(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		c, l := w.send(pbx, "INVITE", "z9hG4bK1", "Max-Forwards: x")
		pbx.Reply(pbx.Expect("INVITE"), 180, "a")
		synctest.Wait()
		c.Cancel()
		pbx.Silent(time.Minute)
		l.want(w, "SIP/2.0 180 Ringing a, failed")
	})
}

// A provisional response after the CANCEL does not make the INVITE live longer.
func TestCancel_RingsOn(t *testing.T) {
	run(t, func(w *world) {
		pbx := w.callee()
		c, l := w.send(pbx, "INVITE", "z9hG4bK1")
		m := pbx.Expect("INVITE")
		pbx.Reply(m, 180, "a")
		synctest.Wait()
		c.Cancel()
		pbx.Reply(pbx.Expect("CANCEL"), 200, "a")
		for range 7 {
			time.Sleep(4 * time.Second)
			pbx.Reply(m, 180, "a")
		}
		time.Sleep(5 * time.Second)
		if !strings.HasSuffix(l.String(), ", failed") {
			w.Errorf("33s after the CANCEL the user was told %q", l)
		}
	})
}

// Only an INVITE can be canceled.
func TestCancel_OtherMethod(t *testing.T) {
	onBoth(t, func(w *world, pbx callee) {
		c, l := w.send(pbx, "OPTIONS", "z9hG4bK1")
		m := pbx.Expect("OPTIONS")
		pbx.Reply(m, 100, "")
		synctest.Wait()
		c.Cancel()
		synctest.Wait()
		pbx.Reply(m, 200, "a")
		for _, m := range pbx.Collect(time.Minute) {
			if m.Method() == "CANCEL" {
				w.Error("CANCEL for OPTIONS")
			}
		}
		l.want(w, "SIP/2.0 100 Trying , SIP/2.0 200 OK a")
	})
}

// canceled makes w note what CANCELs find: the branch of the INVITE, or none.
func (w *world) canceled() *[]string {
	var got []string
	branches := make(map[*transaction.Server]string)
	w.request = func(tx *transaction.Server, m *sipmsg.Message) { branches[tx] = m.Via.Branch }
	w.cancel = func(tx *transaction.Server, m *sipmsg.Message, invite *transaction.Server) {
		if invite == nil {
			got = append(got, "none")
			tx.Refuse(481, m.Respond(481, "Call/Transaction Does Not Exist", "proxy"))
			return
		}
		got = append(got, branches[invite])
		tx.Respond(200, m.Respond(200, "OK", "proxy"))
		if invite.Respond(487, m.Respond(487, "Request Terminated", "proxy")) == nil {
			invite.Discard() // after a final response it does nothing
		}
	}
	return &got
}

// R22: a CANCEL finds its INVITE by branch and sent-by, right after it and in
// whatever Via syntax. R23: a repeated one is answered by itself.
func TestCancel_FindsInvite(t *testing.T) {
	run(t, func(w *world) {
		got := w.canceled()
		phone := siptestx.UDP(w, w.phone, 5060)
		const via = "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa"
		invite := phone.Request("INVITE", "sip:401@a.example", via)
		tests := []struct {
			name   string
			fields []string
			want   string
			status int
		}{
			{"before", nil, "z9hG4bKa", 200},
			{"other branch", []string{"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKA"}, "none", 481},
			{"other port", []string{"Via: SIP/2.0/UDP 198.51.100.7:5061;branch=z9hG4bKa"}, "none", 481},
			{"other host", []string{"Via: SIP/2.0/UDP 198.51.100.8:5060;branch=z9hG4bKa"}, "none", 481},
			{"default port and blanks", []string{"Via: SIP / 2.0 / UDP  198.51.100.7 ;x ; Branch = z9hG4bKa"}, "", 200},
		}
		phone.Send(proxyAddr, invite)
		for _, tt := range tests {
			*got = nil
			cancel := siptestx.Edit(strings.ReplaceAll(invite, "INVITE", "CANCEL"), tt.fields...)
			phone.Send(proxyAddr, cancel)
			phone.Send(proxyAddr, cancel)
			statuses := siptestx.Starts(phone.Drain())
			if n := strings.Count(statuses, fmt.Sprintf("SIP/2.0 %d ", tt.status)); n != 2 {
				w.Errorf("%s: answered with\n%swant %d twice", tt.name, statuses, tt.status)
			}
			if s := strings.Join(*got, " "); tt.want != "" && strings.TrimSuffix(s, " none") != tt.want {
				w.Errorf("%s: canceled %q, want %q", tt.name, s, tt.want)
			}
		}
	})
}

// R20, R22: CANCELs right behind their INVITEs all find them.
func TestCancel_RightAfterInvite(t *testing.T) {
	run(t, func(w *world) {
		got := w.canceled()
		for range 5 {
			w.cancelMany(siptestx.UDP(w, w.phone, 0), 200) // a socket holds 512 datagrams
		}
		w.cancelMany(siptestx.Dial(w, w.phone, proxyAddr), 1000)
		found := 0
		for _, branch := range *got {
			if branch != "none" {
				found++
			}
		}
		if found != 2000 {
			w.Errorf("%d of 2000 CANCELs found their INVITE", found)
		}
	})
}

func (w *world) cancelMany(phone *siptestx.Peer, n int) {
	for range n {
		invite := phone.Request("INVITE", "sip:401@a.example")
		phone.Send(proxyAddr, invite)
		phone.Send(proxyAddr, strings.ReplaceAll(invite, "INVITE", "CANCEL"))
	}
	synctest.Wait()
}

// An ACK or CANCEL never starts what the user sees as a request.
func TestCancel_NoRequest(t *testing.T) {
	run(t, func(w *world) {
		n := w.count()
		acks := 0
		w.cancel = func(tx *transaction.Server, _ *sipmsg.Message, _ *transaction.Server) { tx.Discard() }
		w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
		phone := siptestx.UDP(w, w.phone, 5060)
		phone.Send(proxyAddr, phone.Request("CANCEL", "sip:401@a.example"))
		phone.Send(proxyAddr, phone.Request("ACK", "sip:401@a.example"))
		phone.Silent(time.Second)
		if *n != 0 || acks != 1 {
			w.Errorf("%d requests and %d ACKs, want 0 and 1", *n, acks)
		}
	})
}
