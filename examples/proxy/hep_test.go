package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/heptest"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// mirrored is a configuration with a collector.
const mirrored = "hep: {to: \"10.0.9.1:9060\", id: 7, key: ours}\n"

// datagrams are what is written to a socket, each to the same address.
type datagrams struct {
	*simnet.PacketConn
	to netip.AddrPort
}

// Write implements [io.Writer].
func (d datagrams) Write(b []byte) (int, error) { return d.WriteToUDPAddrPort(b, d.to) }

// dialHEP opens a way from the proxy to a collector.
func (w *world) dialHEP(_ context.Context, to string) (io.WriteCloser, error) {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	c, err := w.host.ListenPacket(netip.AddrPortFrom(proxyAt.Addr(), 0))
	return datagrams{c, addr}, err
}

// homer plays a collector.
type homer struct {
	w *world

	mu  sync.Mutex
	got []heptest.Packet
}

// homer returns the collector of mirrored.
func (w *world) homer() *homer {
	w.Helper()
	c, err := w.net.NewHost(addr("10.0.9.1")).ListenPacket(netip.MustParseAddrPort("10.0.9.1:9060"))
	if err != nil {
		w.Fatal(err)
	}
	h := &homer{w: w}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			p, err := heptest.Decode(buf[:n])
			if err != nil {
				w.Error(err)
			}
			h.mu.Lock()
			h.got = append(h.got, p)
			h.mu.Unlock()
		}
	}()
	return h
}

// all returns what has come since it was last called.
func (h *homer) all() []heptest.Packet {
	synctest.Wait()
	time.Sleep(time.Second) // on its way
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.got
	h.got = nil
	return all
}

// ladder draws packets, a line each.
func ladder(all []heptest.Packet) (lines []string) {
	for _, p := range all {
		network := map[byte]string{6: "tcp", 17: "udp"}[p.Protocol]
		start, _, _ := strings.Cut(p.Payload, "\r\n")
		lines = append(lines, fmt.Sprint(network, " ", p.Source, " ", p.Destination, " ", strings.Split(start, " sip:")[0]))
	}
	return lines
}

// TestHEP: the collector has every message, both ways, between the addresses that
// the proxy sees, as it was and when it was, but without what proves who sent it.
// P-78.
func TestHEP(t *testing.T) {
	inWorld(t, mirrored+threeTenants, func(w *world) {
		h := w.homer()
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		began := time.Now()
		atPBX, atPhone := ph.register(w.a)
		all := h.all()
		outside := ph.nat.Mappings()[0].Outside
		out, in := fmt.Sprintf("udp %v 192.0.2.1:5060 ", outside), fmt.Sprintf("udp 192.0.2.1:5060 %v ", outside)
		const toA, fromA = "udp 192.0.2.1:5060 10.0.1.10:5060 ", "udp 10.0.1.10:5060 192.0.2.1:5060 "
		if diff := cmp.Diff([]string{
			out + "REGISTER", toA + "REGISTER", fromA + "SIP/2.0 401 Unauthorized", in + "SIP/2.0 401 Unauthorized",
			out + "REGISTER", toA + "REGISTER", fromA + "SIP/2.0 200 OK", in + "SIP/2.0 200 OK",
		}, ladder(all)); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
		for _, p := range all {
			if p.Agent != 7 || p.Key != "ours" || p.Type != 1 || p.Correlation != ph.callID || p.Time.Before(began) || p.Time.After(time.Now()) {
				w.Errorf("got %+v", p)
			}
			if strings.Contains(p.Payload, "981e24c2") {
				w.Errorf("there is a proof in\n%s", p.Payload)
			}
		}
		for i, m := range map[int]siptestx.Message{5: atPBX, 7: atPhone} {
			if want := strings.ReplaceAll(m.Text, "981e24c2", "********"); all[i].Payload != want {
				w.Errorf("got\n%s\nwant\n%s", all[i].Payload, want)
			}
		}
		scraped := scrape(w, w.proxy)
		for series, want := range map[string]float64{`hep_packets_total{result="sent"}`: 8, `hep_packets_total{result="dropped"}`: 0} {
			if got := scraped.value(w, series); got != want {
				w.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

// TestHEP_Streams: of a connection, whatever protects it, the collector has the SIP.
func TestHEP_Streams(t *testing.T) {
	cert, key := certificate(t)
	inWorld(t, mirrored+fmt.Sprintf(streamsYAML, cert, key), func(w *world) {
		h := w.homer()
		for _, network := range []string{"tcp", "tls", "ws", "wss"} {
			ph := w.over(network, w.net.NewHost(w.outside()), 0, "401", "a.test")
			_, m := ph.register(w.a)
			all := h.all()
			want := []string{fmt.Sprintf("tcp %v %v REGISTER", ph.Addr, listenerOf(network)), fmt.Sprintf("tcp %v %v SIP/2.0 200 OK", listenerOf(network), ph.Addr)}
			if len(all) != 8 || all[7].Payload != m.Text {
				w.Fatalf("%s: got %q", network, ladder(all))
			}
			if diff := cmp.Diff(want, ladder([]heptest.Packet{all[0], all[7]})); diff != "" {
				w.Errorf("%s (-want +got):\n%s", network, diff)
			}
		}
	})
}

// TestHEP_AllAddresses: what comes to a listener on all addresses comes to one that
// others know.
func TestHEP_AllAddresses(t *testing.T) {
	inWorld(t, mirrored+"listen: [\"udp:0.0.0.0:5060\"]\nadvertise: \"10.0.0.1\"\n"+threeTenants, func(w *world) {
		h := w.homer()
		ph := w.public("401", "a.test")
		ph.at(w.a)
		want := []string{"udp 203.0.113.1:5060 10.0.0.1:5060 REGISTER", "udp 10.0.0.1:5060 10.0.1.10:5060 REGISTER"}
		if diff := cmp.Diff(want, ladder(h.all()[:2])); diff != "" {
			w.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestHEP_NobodyThere: that there is no collector is of no consequence.
func TestHEP_NobodyThere(t *testing.T) {
	inWorld(t, mirrored+threeTenants, func(w *world) {
		w.proxy.dialHEP = func(ctx context.Context, _ string) (io.WriteCloser, error) {
			<-ctx.Done() // no DNS server answers
			return nil, ctx.Err()
		}
		began := time.Now()
		w.public("401", "a.test").at(w.a)
		if took := time.Since(began); took > time.Second {
			w.Errorf("a registration takes %v", took)
		}
		time.Sleep(10 * time.Second)
		if s := w.proxy.view().HEP; s == nil || s.Waiting != 0 || s.Sent != 0 || s.Dropped != 8 {
			w.Errorf("got %+v", s)
		}
	})
}

// TestHEP_Off: without a collector, nobody is told of messages.
func TestHEP_Off(t *testing.T) {
	p, err := newProxy(t.Context(), parseConfig(t, threeTenants), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.hep != nil || p.newTrace() != nil || p.view().HEP != nil || scrape(t, p)["sipward_hep_packets_total"] != nil {
		t.Error("there is a mirror")
	}
}
