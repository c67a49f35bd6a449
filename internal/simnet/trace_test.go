package simnet_test

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
)

func TestTrace(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		proxy, phone := n.NewHost(proxyAddr), n.NewHost(otherAddr)
		a, b := listenPacket(t, proxy, sip), listenPacket(t, phone, sip)
		all := n.Record(nil)
		toPhone := n.Record(func(p simnet.Packet) bool { return p.To == phone })
		n.Trace(func(p simnet.Packet) { // may use the network
			if p.Event == simnet.Delivered && p.To == proxy {
				send(t, a, p.Src, "pong")
			}
		})

		send(t, a, at(shopAddr, sip), "lost")
		synctest.Wait()
		send(t, b, at(proxyAddr, 9), "lost")
		if got := events(toPhone); len(got) > 0 {
			t.Errorf("packets to the phone: %q, want none", got)
		}
		send(t, b, at(proxyAddr, sip), "ping")
		expect(t, b, "pong")

		want := []string{"sent", string(simnet.NoRoute), "sent", string(simnet.NoSocket),
			"sent", "delivered", "sent", "delivered"}
		if diff := cmp.Diff(want, events(all)); diff != "" {
			t.Error(diff)
		}
		got := all.Packets()[3].String()
		if diff := cmp.Diff("dropped 192.0.2.2:5060 > 192.0.2.1:9: datagram, 4 bytes: no such socket", got); diff != "" {
			t.Error(diff)
		}
		if got := len(toPhone.Packets()); got != 2 {
			t.Errorf("%d events of packets to the phone, want 2", got)
		}
	})
}

func TestTrace_OfAStream(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		l := listen(t, server)
		log := n.Record(func(p simnet.Packet) bool { return p.Event != simnet.Sent })
		n.DropNext(1, startsWith("x"))
		c := dial(t, client, server)
		write(t, c, "x")
		c.CloseWrite()
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(peer)
		peer.(*simnet.Conn).Reset()
		synctest.Wait()
		var got []string
		for _, p := range log.Packets() {
			got = append(got, fmt.Sprint(p.Network(), " ", p.Event, " ", p.Kind))
		}
		want := []string{"tcp delivered syn", "tcp delivered syn-ack", "tcp dropped data",
			"tcp delivered fin", "tcp delivered data", "tcp delivered rst"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
