package simnet_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
)

const ms = time.Millisecond

// sendLetters sends n datagrams over a network of cfg, gap apart, and returns
// what arrived and when, since the start.
func sendLetters(t *testing.T, cfg simnet.Config, n int, gap time.Duration, prepare func(*simnet.Network)) (arrived []string, when []time.Duration) {
	t.Helper()
	onNetwork(t, cfg, func(t *testing.T, network *simnet.Network) {
		a := listenPacket(t, network.NewHost(proxyAddr), sip)
		b := listenPacket(t, network.NewHost(otherAddr), sip)
		if prepare != nil {
			prepare(network)
		}
		start := time.Now()
		go func() {
			for _, text := range letters(n) {
				send(t, a, at(otherAddr, sip), text)
				time.Sleep(gap)
			}
		}()
		b.SetReadDeadline(start.Add(time.Minute))
		for buf := make([]byte, 10); ; {
			n, _, err := b.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			arrived = append(arrived, string(buf[:n]))
			when = append(when, time.Since(start))
		}
	})
	return arrived, when
}

func TestLink_Delay(t *testing.T) {
	cfg := simnet.Config{Link: simnet.Link{Delay: 20 * ms}}
	arrived, when := sendLetters(t, cfg, 3, 5*ms, nil)
	if diff := cmp.Diff(letters(3), arrived); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{20 * ms, 25 * ms, 30 * ms}, when); diff != "" {
		t.Error(diff)
	}
}

func TestLink_JitterKeepsOrder(t *testing.T) {
	cfg := simnet.Config{Link: simnet.Link{Delay: 20 * ms, Jitter: 50 * ms}}
	arrived, when := sendLetters(t, cfg, 20, ms, nil)
	if diff := cmp.Diff(letters(20), arrived); diff != "" {
		t.Error(diff)
	}
	if when[0] < 20*ms || when[19] > 20*ms+50*ms+19*ms {
		t.Errorf("arrived from %v to %v, want it within delay and jitter", when[0], when[19])
	}
	again, whenAgain := sendLetters(t, cfg, 20, ms, nil)
	if !slices.Equal(arrived, again) || !slices.Equal(when, whenAgain) {
		t.Error("the same seed gave another result")
	}
	cfg.Seed = 1
	if _, other := sendLetters(t, cfg, 20, ms, nil); slices.Equal(when, other) {
		t.Error("another seed gave the same result")
	}
}

func TestLink_ReorderLetsJitterOvertake(t *testing.T) {
	cfg := simnet.Config{Link: simnet.Link{Jitter: 50 * ms, Reorder: true}}
	arrived, _ := sendLetters(t, cfg, 20, ms, nil)
	if slices.Equal(arrived, letters(20)) {
		t.Error("nothing was overtaken")
	}
	slices.Sort(arrived)
	if diff := cmp.Diff(letters(20), arrived); diff != "" {
		t.Error(diff)
	}
}

func TestLink_Loss(t *testing.T) {
	cfg := simnet.Config{ReceiveBuffer: 1000, Link: simnet.Link{Loss: 0.25}}
	arrived, _ := sendLetters(t, cfg, 400, 0, nil)
	if got := len(arrived); got < 260 || got > 340 {
		t.Errorf("%d of 400 arrived, want about 300", got)
	}
	cfg.Link.Loss = 1
	if arrived, _ := sendLetters(t, cfg, 10, 0, nil); len(arrived) > 0 {
		t.Errorf("%q arrived over a dead link", arrived)
	}
}

func TestLink_Duplicate(t *testing.T) {
	arrived, _ := sendLetters(t, simnet.Config{Link: simnet.Link{Duplicate: 1}}, 2, 0, nil)
	if diff := cmp.Diff([]string{"a", "a", "b", "b"}, arrived); diff != "" {
		t.Error(diff)
	}
}

func TestRules(t *testing.T) {
	overtaken := simnet.Link{Delay: 100 * ms, Reorder: true}
	tests := []struct {
		name    string
		prepare func(*simnet.Network)
		want    []string
	}{
		{"drop the next two", func(n *simnet.Network) { n.DropNext(2, nil) }, []string{"c", "d"}},
		{"drop one that matches", func(n *simnet.Network) { n.DropNext(1, startsWith("b")) }, []string{"a", "c", "d"}},
		{"delay one so that it is overtaken", func(n *simnet.Network) {
			n.AddRule(simnet.Rule{Match: startsWith("b"), Times: 1, Link: overtaken})
		}, []string{"a", "c", "d", "b"}},
		{"the last rule counts", func(n *simnet.Network) {
			n.AddRule(simnet.Rule{Link: simnet.Link{Loss: 1}})
			n.AddRule(simnet.Rule{Match: startsWith("c")})
		}, []string{"c"}},
		{"a removed rule does not", func(n *simnet.Network) {
			remove := n.AddRule(simnet.Rule{Link: simnet.Link{Loss: 1}})
			remove()
			remove()
		}, letters(4)},
		{"one direction", func(n *simnet.Network) {
			n.AddRule(simnet.Rule{Match: simnet.Path(otherAddr, proxyAddr), Link: simnet.Link{Loss: 1}})
		}, letters(4)},
		{"the other direction, from anybody", func(n *simnet.Network) {
			n.AddRule(simnet.Rule{Match: simnet.Path(netip.Addr{}, otherAddr), Link: simnet.Link{Loss: 1}})
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			arrived, _ := sendLetters(t, simnet.Config{}, 4, ms, tt.prepare)
			if diff := cmp.Diff(tt.want, arrived); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The trace must be complete when the network is closed.
func TestClose_TracesTheLastPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Config{Link: simnet.Link{Delay: time.Second}})
		a := listenPacket(t, n.NewHost(proxyAddr), sip)
		log := n.Record(nil)
		send(t, a, at(otherAddr, sip), "x")
		n.Close()
		if got := len(log.Packets()); got != 1 {
			t.Errorf("%d packets traced, want 1", got)
		}
	})
}
