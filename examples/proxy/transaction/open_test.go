package transaction_test

import (
	"testing"
	"testing/synctest"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/internal/siptestx"
)

// open fails the test unless so many transactions are open.
func (w *world) open(n int64, when string) {
	w.Helper()
	synctest.Wait()
	if got := w.tx.Stats().Open; got != n {
		w.Errorf("%s: %d are open, want %d", when, got, n)
	}
}

// A request that came in is open until it has its answer, and the INVITE's
// non-2xx its ACK. What waits for retransmissions only is not.
func TestOpen_Server(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		after  int64 // open after the answer
	}{
		{"INVITE", 200, 0},
		{"INVITE", 486, 1},
		{"MESSAGE", 200, 0},
		{"MESSAGE", 404, 0},
	} {
		fromBoth(t, func(w *world, phone *siptestx.Peer, stream bool) {
			var tx *transaction.Server
			var m *sipmsg.Message
			w.request = func(t *transaction.Server, r *sipmsg.Message) { tx, m = t, r }
			text := phone.Request(tt.method, aliceCalls)
			phone.Send(proxyAddr, text)
			w.open(1, "unanswered")
			tx.Respond(180, m.Respond(180, "Answer", "proxy"))
			phone.Status(180)
			w.open(1, "ringing")
			tx.Respond(tt.status, m.Respond(tt.status, "Answer", "proxy"))
			got := phone.Status(tt.status)
			w.open(tt.after, "answered")
			if tt.after > 0 {
				phone.Send(proxyAddr, ackFor(text, got))
				w.open(0, "acknowledged")
			}
		})
	}
}

// An INVITE that was sent is open until it has its final response. What is sent
// for nobody's sake, such as a CANCEL, is not.
func TestOpen_Client(t *testing.T) {
	for _, status := range []int{200, 486} {
		onBoth(t, func(w *world, pbx callee) {
			w.send(pbx, "OPTIONS", "z9hG4bKping")
			ping := pbx.Expect("OPTIONS")
			w.open(0, "OPTIONS")
			pbx.Reply(ping, 200, "pbx")
			c, _ := w.send(pbx, "INVITE", "z9hG4bKcall")
			m := pbx.Expect("INVITE")
			pbx.Reply(m, 180, "pbx")
			w.open(1, "ringing")
			c.Cancel()
			pbx.Reply(pbx.Expect("CANCEL"), 200, "pbx")
			w.open(1, "canceled")
			pbx.Reply(m, status, "pbx")
			w.open(0, "answered")
			pbx.Drain()
		})
	}
}
