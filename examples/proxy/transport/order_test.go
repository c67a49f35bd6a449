package transport_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// pairs is how many ACKs, each with a BYE at its heels, the order tests send.
const pairs = 10_000

// sequence is a handler that checks that messages come in the order of their
// CSeq-like Call-IDs, and tells when so many of them are there.
type sequence struct {
	handler
	next  int
	wrong int
	step  int
	ready chan struct{}
}

func newSequence(step int) *sequence {
	s := &sequence{step: step, ready: make(chan struct{}, 2*pairs/step)}
	s.message = func(_ transport.Flow, m *sipmsg.Message) {
		if m.CallID != fmt.Sprint(s.next) {
			s.wrong++
		}
		if s.next++; s.next%s.step == 0 {
			s.ready <- struct{}{}
		}
	}
	return s
}

// pair returns the messages 2i and 2i+1.
func pair(i int) (ack, bye string) {
	return request("ACK", fmt.Sprint(2*i)), request("BYE", fmt.Sprint(2*i+1))
}

// R20 over UDP: messages of one peer are handled in the order of arrival.
func TestOrder_UDP(t *testing.T) {
	for _, procs := range []int{1, 4} {
		for _, readers := range []int{1, 4} {
			t.Run(fmt.Sprintf("procs=%d/readers=%d", procs, readers), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				const step = 500 // in flight, to fit into any receive buffer
				h := newSequence(step)
				layer := newLayer(t, transport.Config{Handler: h, Readers: readers})
				to := listen(t, layer, "udp", "127.0.0.1:0")
				run(t, layer)
				phone := newPhone(t, "127.0.0.3:0")
				for i := range pairs {
					ack, bye := pair(i)
					phone.send(to, ack)
					phone.send(to, bye)
					if (2*i+2)%step == 0 {
						<-h.ready
					}
				}
				if h.wrong > 0 {
					t.Errorf("%d messages out of order", h.wrong)
				}
			})
		}
	}
}

// R20 over TCP and WebSocket, all of them pipelined.
func TestOrder_Streams(t *testing.T) {
	for _, network := range []string{"tcp", "ws"} {
		all, wrap := new(strings.Builder), func(s string) string { return s }
		if network == "ws" {
			all.WriteString(upgradeRequest)
			wrap = textFrame
		}
		for i := range pairs {
			ack, bye := pair(i)
			all.WriteString(wrap(ack) + wrap(bye))
		}
		for _, procs := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/procs=%d", network, procs), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				h := newSequence(2 * pairs)
				layer := newLayer(t, transport.Config{Handler: h})
				to := listen(t, layer, network, "127.0.0.1:0")
				run(t, layer)
				c, err := net.Dial("tcp", to.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, all.String()); err != nil {
					t.Fatal(err)
				}
				<-h.ready
				if h.wrong > 0 {
					t.Errorf("%d messages out of order", h.wrong)
				}
			})
		}
	}
}
