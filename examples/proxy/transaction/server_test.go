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

// fromBoth runs f twice, with a phone on UDP and one on TCP.
func fromBoth(t *testing.T, f func(w *world, phone *siptestx.Peer, stream bool)) {
	t.Run("udp", func(t *testing.T) {
		run(t, func(w *world) { f(w, siptestx.UDP(w, w.phone, 5060), false) })
	})
	t.Run("tcp", func(t *testing.T) {
		run(t, func(w *world) { f(w, siptestx.Dial(w, w.phone, proxyAddr), true) })
	})
}

const aliceCalls = "sip:401@a.example"

// ackFor returns the ACK for a non-2xx answer to an INVITE.
func ackFor(invite string, answer siptestx.Message) string {
	return siptestx.Edit(strings.ReplaceAll(invite, "INVITE", "ACK"), "To: "+answer.Get("To"))
}

// R28: a 100 is sent within 50 ms, or as soon as the INVITE comes again, unless the
// callee is faster. Only an INVITE gets one.
func TestServer_AwaitTrying(t *testing.T) {
	tests := []struct {
		name   string
		method string
		after  time.Duration // the answer; 0: before the wait, negative: none
		again  time.Duration // the request comes again; 0: never
		status int
		want   string
	}{
		{"nobody answers", "INVITE", -1, 0, 0, "100"},
		{"nobody answers, and it comes again", "INVITE", -1, 5 * time.Millisecond, 0, "100"},
		{"and again after that", "INVITE", -1, time.Second, 0, "100 100"},
		{"180 at once", "INVITE", 0, 0, 180, "180"},
		{"180 soon", "INVITE", 5 * time.Millisecond, 0, 180, "180"},
		{"486 soon", "INVITE", 5 * time.Millisecond, 0, 486, "486"},
		{"200 soon", "INVITE", 5 * time.Millisecond, 0, 200, "200"},
		{"180 late", "INVITE", time.Second, 0, 180, "100 180"},
		{"OPTIONS", "OPTIONS", time.Second, 0, 200, "200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
				var began time.Time
				w.request = func(tx *transaction.Server, m *sipmsg.Message) {
					began = time.Now()
					respond := func() { tx.Respond(tt.status, m.Respond(tt.status, "Answer", "proxy")) }
					if tt.after == 0 {
						respond()
					}
					w.trying = func(tx *transaction.Server) {
						if waited := time.Since(began); waited > 50*time.Millisecond {
							t.Errorf("it has waited for %v", waited)
						}
						tx.Respond(100, m.Respond(100, "Trying", ""))
					}
					tx.AwaitTrying()
					if tt.after > 0 {
						time.AfterFunc(tt.after, respond)
					}
					time.AfterFunc(3*time.Second, func() { tx.Discard() })
				}
				invite := phone.Request(tt.method, aliceCalls)
				phone.Send(proxyAddr, invite)
				if tt.again > 0 {
					time.Sleep(tt.again)
					phone.Send(proxyAddr, invite)
				}
				var got []string
				for _, m := range phone.Collect(2 * time.Second) {
					if s := fmt.Sprint(m.Status()); m.Status() < 300 || len(got) == 0 { // which is repeated
						got = append(got, s)
					}
				}
				if got := strings.Join(got, " "); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			})
		})
	}
}

// P-39, R30: Timer G repeats a non-2xx answer to an INVITE on UDP, Timer H ends
// it if there is no ACK.
func TestServer_TimersGH(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
		w.answer(486)
		start := time.Now()
		phone.Send(proxyAddr, phone.Request("INVITE", aliceCalls))
		want := seconds(0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
		if stream {
			want = seconds(0)
		}
		all := phone.Collect(31900 * time.Millisecond)
		if diff := cmp.Diff(want, schedule(start, all)); diff != "" {
			w.Error(diff)
		}
		if w.tx.Stats().Servers != 1 {
			w.Error("gone before Timer H")
		}
		phone.Silent(200 * time.Millisecond)
		w.gone()
	})
}

// The ACK for a non-2xx ends Timer G. Timer I absorbs what comes of it again,
// for T4 on UDP.
func TestServer_TimerI(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
		acks := 0
		w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
		w.answer(486)
		n := w.count()
		invite := phone.Request("INVITE", aliceCalls)
		phone.Send(proxyAddr, invite)
		ack := ackFor(invite, phone.Status(486))
		phone.Send(proxyAddr, ack)
		synctest.Wait()
		if stream { // Timer I is 0
			w.gone()
			return
		}
		time.Sleep(4900 * time.Millisecond)
		phone.Send(proxyAddr, ack)
		phone.Send(proxyAddr, invite) // the last of its kind was under way
		phone.Silent(50 * time.Millisecond)
		if *n != 1 || acks != 0 {
			w.Errorf("%d requests and %d ACKs before Timer I, want 1 and 0", *n, acks)
		}
		time.Sleep(100 * time.Millisecond)
		w.gone()
		phone.Send(proxyAddr, ack)
		synctest.Wait()
		if acks != 1 {
			w.Errorf("%d ACKs after Timer I, want 1", acks)
		}
	})
}

// The ACK that is lost is sent again, as is the answer: once per INVITE, too.
func TestServer_InviteAgainAfterFinal(t *testing.T) {
	run(t, func(w *world) {
		w.answer(486)
		phone := siptestx.UDP(w, w.phone, 5060)
		invite := phone.Request("INVITE", aliceCalls)
		phone.Send(proxyAddr, invite)
		first := phone.Status(486)
		phone.Send(proxyAddr, invite)
		if again := phone.Status(486); again.Text != first.Text || again.At != first.At {
			w.Errorf("the answer changed to\n%s", again.Text)
		}
		phone.Send(proxyAddr, ackFor(invite, first))
		phone.Silent(time.Minute)
	})
}

// R29: Timer J absorbs retransmissions with the last response, for 64*T1 on
// UDP.
func TestServer_TimerJ(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
		w.answer(200)
		n := w.count()
		options := phone.Request("OPTIONS", aliceCalls)
		phone.Send(proxyAddr, options)
		first := phone.Status(200)
		synctest.Wait()
		if stream { // Timer J is 0
			w.gone()
			return
		}
		for range 3 {
			time.Sleep(10600 * time.Millisecond)
			phone.Send(proxyAddr, options)
			if again := phone.Status(200); again.Text != first.Text {
				w.Errorf("the answer changed to\n%s", again.Text)
			}
		}
		time.Sleep(300 * time.Millisecond)
		w.gone()
		if *n != 1 {
			w.Errorf("%d requests before Timer J, want 1", *n)
		}
		phone.Send(proxyAddr, options)
		phone.Status(200)
		if *n != 2 {
			w.Errorf("%d requests after Timer J, want 2", *n)
		}
	})
}

// R27: after a 2xx to an INVITE, Timer L absorbs INVITEs for 64*T1 and lets
// further 2xx and their ACKs pass (RFC 6026).
func TestServer_TimerL(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, _ bool) {
		var tx *transaction.Server
		acks, n := 0, w.count()
		w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
		next := w.request
		var m *sipmsg.Message
		w.request = func(s *transaction.Server, msg *sipmsg.Message) { tx, m = s, msg; next(s, msg) }
		invite := phone.Request("INVITE", aliceCalls)
		phone.Send(proxyAddr, invite)
		synctest.Wait()
		must(w, tx.Respond(200, m.Respond(200, "OK", "a")))
		phone.Status(200)
		for range 3 {
			time.Sleep(10 * time.Second)
			phone.Send(proxyAddr, invite)
			phone.Silent(time.Millisecond) // the callee's to repeat, not ours
			must(w, tx.Respond(200, m.Respond(200, "OK", "b")))
			phone.Status(200)
		}
		for _, status := range []int{180, 486} {
			if err := tx.Respond(status, m.Respond(status, "Late", "c")); !errors.Is(err, transaction.ErrAnswered) {
				w.Errorf("%d after 200: %v, want ErrAnswered", status, err)
			}
		}
		phone.Send(proxyAddr, ackFor(invite, siptestx.Message{Text: invite})) // with the branch of the INVITE
		phone.Send(proxyAddr, siptestx.Edit(ackFor(invite, siptestx.Message{Text: invite}), "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKb"))
		phone.Silent(time.Second)
		if *n != 1 || acks != 2 {
			w.Errorf("%d requests and %d ACKs before Timer L, want 1 and 2", *n, acks)
		}
		time.Sleep(1100 * time.Millisecond)
		w.gone()
		if err := tx.Respond(200, m.Respond(200, "OK", "d")); !errors.Is(err, transaction.ErrAnswered) {
			w.Errorf("200 after Timer L: %v, want ErrAnswered", err)
		}
		phone.Silent(time.Second)
	})
}

// R29: ten of a kind are one request; each is answered with the last response.
func TestServer_Absorbs(t *testing.T) {
	for _, method := range []string{"INVITE", "REGISTER", "SPECIAL"} {
		t.Run(method, func(t *testing.T) {
			fromBoth(t, func(w *world, phone *siptestx.Peer, _ bool) {
				var tx *transaction.Server
				var m *sipmsg.Message
				w.request = func(s *transaction.Server, msg *sipmsg.Message) { tx, m = s, msg }
				n := w.count()
				text := phone.Request(method, aliceCalls)
				send := func() {
					for range 5 {
						phone.Send(proxyAddr, text)
					}
				}
				send()
				phone.Silent(time.Second) // there is nothing to say yet
				for _, status := range []int{100, 183} {
					must(w, tx.Respond(status, m.Respond(status, "Progress", "a")))
					send()
					all := siptestx.Starts(phone.Drain())
					if want := strings.Repeat(fmt.Sprintf("SIP/2.0 %d Progress\n", status), 6); all != want {
						w.Errorf("answered with\n%swant\n%s", all, want)
					}
				}
				if s := w.tx.Stats(); *n != 1 || s.Absorbed != 15-1 || s.Servers != 1 {
					w.Errorf("%d requests, stats %+v, want 1 and 14 absorbed", *n, s)
				}
				tx.Discard()
			})
		})
	}
}

// R24: an answer after a final one changes nothing.
func TestServer_AnswerAfterFinal(t *testing.T) {
	for _, method := range []string{"INVITE", "OPTIONS"} {
		t.Run(method, func(t *testing.T) {
			run(t, func(w *world) {
				w.request = func(tx *transaction.Server, m *sipmsg.Message) {
					must(w, tx.Respond(404, m.Respond(404, "Not Found", "a")))
					for _, status := range []int{180, 200, 404, 603} {
						if err := tx.Respond(status, m.Respond(status, "Late", "b")); !errors.Is(err, transaction.ErrAnswered) {
							w.Errorf("%d after 404: %v, want ErrAnswered", status, err)
						}
					}
					if tx.Discard() {
						w.Error("discarded after the final response")
					}
					tx.Refuse(500, m.Respond(500, "Late", "b"))
				}
				phone := siptestx.UDP(w, w.phone, 5060)
				text := phone.Request(method, aliceCalls)
				phone.Send(proxyAddr, text)
				first := phone.Status(404)
				phone.Send(proxyAddr, text)
				for _, m := range phone.Collect(time.Minute) {
					if m.Text != first.Text {
						w.Errorf("the answer changed to\n%s", m.Text)
					}
				}
			})
		})
	}
}

// A refused request leaves nothing behind, and is refused each time.
func TestServer_Refuse(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, _ bool) {
		acks := 0
		w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
		w.request = func(tx *transaction.Server, m *sipmsg.Message) {
			tx.Refuse(403, m.Respond(403, "Forbidden", "a"))
			if err := tx.Respond(200, m.Respond(200, "OK", "b")); !errors.Is(err, transaction.ErrAnswered) {
				w.Errorf("200 after Refuse: %v, want ErrAnswered", err)
			}
		}
		n := w.count()
		for _, method := range []string{"INVITE", "OPTIONS"} {
			text := phone.Request(method, aliceCalls)
			for range 3 {
				phone.Send(proxyAddr, text)
				phone.Status(403)
				w.gone()
			}
		}
		phone.Send(proxyAddr, phone.Request("ACK", aliceCalls))
		phone.Silent(time.Minute)
		if *n != 6 || acks != 1 {
			w.Errorf("%d requests and %d ACKs, want 6 and 1", *n, acks)
		}
	})
}

// An INVITE that has a provisional response is not repeated by its sender any
// more, so its refusal must be.
func TestServer_RefuseAfterProvisional(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
		w.request = func(tx *transaction.Server, m *sipmsg.Message) {
			must(w, tx.Respond(100, m.Respond(100, "Trying", "")))
			tx.Refuse(403, m.Respond(403, "Forbidden", "a"))
		}
		start := time.Now()
		invite := phone.Request("INVITE", aliceCalls)
		phone.Send(proxyAddr, invite)
		phone.Status(100)
		want := seconds(0, 0.5, 1.5)
		if stream {
			want = seconds(0)
		}
		all := phone.Collect(3 * time.Second)
		if diff := cmp.Diff(want, schedule(start, all)); diff != "" {
			w.Error(diff)
		}
		phone.Send(proxyAddr, ackFor(invite, all[0]))
		phone.Silent(time.Minute)
	})
}

// A discarded request is forgotten: if it comes again, it is new.
func TestServer_Discard(t *testing.T) {
	fromBoth(t, func(w *world, phone *siptestx.Peer, _ bool) {
		w.request = func(tx *transaction.Server, _ *sipmsg.Message) {
			if !tx.Discard() || tx.Discard() {
				w.Error("Discard must report true once")
			}
		}
		n := w.count()
		text := phone.Request("OPTIONS", aliceCalls)
		for range 3 {
			phone.Send(proxyAddr, text)
		}
		phone.Silent(time.Minute)
		if *n != 3 {
			w.Errorf("%d requests, want 3", *n)
		}
	})
}

// The facts of a server transaction.
func TestServer_Facts(t *testing.T) {
	run(t, func(w *world) {
		phone := siptestx.UDP(w, w.phone, 5060)
		w.request = func(tx *transaction.Server, m *sipmsg.Message) {
			if tx.Method() != m.Method || tx.Flow().Remote() != phone.Addr {
				w.Errorf("%s from %v", tx.Method(), tx.Flow())
			}
			if tx.Attached() != nil {
				w.Error("something is attached")
			}
			tx.Attach(w)
			if tx.Attached() != any(w) {
				w.Error("what was attached is not there")
			}
			tx.Discard()
		}
		for _, method := range []string{"INVITE", "REGISTER", "OPTIONS", "BYE", "MESSAGE", "invite"} {
			phone.Send(proxyAddr, phone.Request(method, aliceCalls))
		}
		phone.Silent(time.Second)
	})
}
