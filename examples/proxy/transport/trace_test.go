package transport_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// trace is a Trace that notes the calls.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (tr *trace) note(f transport.Flow, sent bool, message string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	arrow, callID := "<-", "?"
	if sent {
		arrow = "->"
	}
	if m, err := sipmsg.Parse(message); err == nil {
		callID = m.CallID
	}
	tr.lines = append(tr.lines, fmt.Sprint(f.Network(), " ", f.Local(), arrow, f.Remote(), " ", callID))
}

// expect compares the calls since it was last called.
func (tr *trace) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if diff := cmp.Diff(want, tr.lines); diff != "" {
		t.Errorf("traced (-want +got):\n%s", diff)
	}
	tr.lines = nil
}

// TestTrace: messages of all kinds of flows are told of in both directions, what
// cannot be read too; keepalives and their answers are not.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := new(trace)
		b := newLab(t, transport.Config{Trace: tr.note, Handler: &handler{message: echo}})
		defer b.close()
		pc, err := b.host.ListenPacket(tcp)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.layer.ServePacket(pc); err != nil {
			t.Fatal(err)
		}
		l, err := b.host.Listen(netip.AddrPortFrom(tcp.Addr(), 8080))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.layer.ServeStream("ws", l); err != nil {
			t.Fatal(err)
		}
		h := b.newHost("203.0.113.7")

		phone, err := h.ListenPacket(address("203.0.113.7:5062"))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{request("OPTIONS", "a"), "\r\n\r\n", "garbage", "OPTIONS sip:a SIP/2.0\r\n\r\n"} {
			phone.WriteToUDPAddrPort([]byte(text), tcp)
			synctest.Wait()
		}
		const udp = "udp 192.0.2.1:5060"
		tr.expect(t, udp+"<-203.0.113.7:5062 a", udp+"->203.0.113.7:5062 a", udp+"<-203.0.113.7:5062 ?")

		c := b.dial(h, 40000)
		c.send(request("OPTIONS", "b") + "\r\n\r\n" + request("OPTIONS", "c"))
		b.flow(c).Ping()
		const stream = "tcp 192.0.2.1:5060"
		tr.expect(t, stream+"<-203.0.113.7:40000 b", stream+"<-203.0.113.7:40000 c",
			stream+"->203.0.113.7:40000 b", stream+"->203.0.113.7:40000 c")

		ws, err := h.Dial(t.Context(), address("203.0.113.7:40001"), address("192.0.2.1:8080"))
		if err != nil {
			t.Fatal(err)
		}
		w := &client{t, ws}
		w.send(upgradeRequest)
		w.send(textFrame(request("OPTIONS", "d")))
		tr.expect(t, "ws 192.0.2.1:8080<-203.0.113.7:40001 d", "ws 192.0.2.1:8080->203.0.113.7:40001 d")
	})
}

// TestTrace_Dial: a message that waits for its connection is told of when that is
// there, with the address that it got, and never if it does not come.
func TestTrace_Dial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := new(trace)
		b := newLab(t, transport.Config{Trace: tr.note})
		defer b.close()
		server := b.newHost("198.51.100.2")
		l, err := server.Listen(address("198.51.100.2:5060"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, to := range []string{"198.51.100.2:5060", "198.51.100.2:5070"} { // nobody is at the second
			f, err := b.layer.Dial("tcp", netip.AddrPort{}, address(to))
			if err != nil {
				t.Fatal(err)
			}
			f.Send([]byte(request("OPTIONS", "a")))
		}
		time.Sleep(time.Minute)
		f, ok := b.layer.Find("tcp", netip.AddrPort{}, address("198.51.100.2:5060"))
		if !ok || f.Local().Port() == 0 {
			t.Fatalf("the connection is %v", f)
		}
		tr.expect(t, fmt.Sprintf("tcp %v->198.51.100.2:5060 a", f.Local()))
	})
}
