package simnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/simnet"
)

func TestDial_ThroughNAT(t *testing.T) {
	onNetwork(t, simnet.Config{Link: simnet.Link{Delay: 20 * ms}}, func(t *testing.T, n *simnet.Network) {
		proxy := n.NewHost(proxyAddr)
		l := listen(t, proxy)
		phone := n.NewNAT(simnet.NATConfig{Type: simnet.Symmetric, Outside: []netip.Addr{homeAddr}}).NewHost(phoneAddr)
		start := time.Now()
		client, err := phone.Dial(t.Context(), at(phoneAddr, 5066), at(proxyAddr, sip))
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 40*ms {
			t.Errorf("Dial took %v, want one round trip, 40ms", got)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		want := "192.168.1.10:5066 192.0.2.1:5060 192.0.2.1:5060 203.0.113.7:40000"
		if got != want {
			t.Errorf("addresses are %s, want %s", got, want)
		}

		go io.WriteString(server, "to the phone")
		buf := make([]byte, 100)
		size, err := client.Read(buf)
		if err != nil || string(buf[:size]) != "to the phone" {
			t.Errorf("read %q, %v", buf[:size], err)
		}
		if _, err := proxy.Dial(t.Context(), netip.AddrPort{}, at(phoneAddr, 5066)); err == nil {
			t.Error("the private address was reached from outside")
		}
	})
}

// A NAT that forgot a stream gives it a new port, which the server does not know.
func TestNAT_RebindResetsStream(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		proxy := n.NewHost(proxyAddr)
		listen(t, proxy)
		nat := n.NewNAT(simnet.NATConfig{Outside: []netip.Addr{homeAddr}})
		c := dial(t, nat.NewHost(phoneAddr), proxy)
		nat.Rebind()
		write(t, c, "keepalive")
		if err := readErr(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read = %v, want ECONNRESET", err)
		}
	})
}

func TestDial_Refused(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		_, err := client.Dial(t.Context(), netip.AddrPort{}, at(proxyAddr, sip))
		var opErr *net.OpError
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &opErr) || opErr.Op != "dial" {
			t.Errorf("Dial = %v, want a refused dial", err)
		}
		l := listen(t, server)
		c := dial(t, client, server)
		l.Close() // resets what was not accepted
		if err := readErr(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read = %v, want ECONNRESET", err)
		}
		if _, err := client.Dial(t.Context(), netip.AddrPort{}, at(proxyAddr, sip)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close = %v, want ECONNREFUSED", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close = %v, want ErrClosed", err)
		}
	})
}

func TestDial_HangsWhenPacketsVanish(t *testing.T) {
	tests := []struct {
		name string
		make func(server *simnet.Host)
	}{
		{"black hole", func(h *simnet.Host) { h.BlackHole(true) }},
		{"host down", func(h *simnet.Host) { h.Down() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
				client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
				listen(t, server)
				tt.make(server)
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := client.Dial(ctx, netip.AddrPort{}, at(proxyAddr, sip))
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
					t.Errorf("Dial = %v after %v, want a timeout after 3s", err, time.Since(start))
				}
				_, err = client.Dial(t.Context(), netip.AddrPort{}, at(proxyAddr, sip))
				if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) < 10*time.Minute {
					t.Errorf("Dial without end = %v after %v, want ETIMEDOUT after a quarter of an hour", err, time.Since(start))
				}
			})
		})
	}
}

func TestDial_Errors(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		listen(t, server)
		local := at(otherAddr, 5066)
		if _, err := client.Dial(t.Context(), local, at(proxyAddr, sip)); err != nil {
			t.Fatal(err)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		tests := []struct {
			name          string
			ctx           context.Context
			local, remote netip.AddrPort
			want          error
		}{
			{"ctx done", done, netip.AddrPort{}, at(proxyAddr, sip), context.Canceled},
			{"stream exists", t.Context(), local, at(proxyAddr, sip), syscall.EADDRINUSE},
			{"no port", t.Context(), netip.AddrPort{}, at(proxyAddr, 0), syscall.EINVAL},
			{"other family", t.Context(), netip.AddrPort{}, netip.MustParseAddrPort("[::1]:5060"), syscall.ENETUNREACH},
		}
		for _, tt := range tests {
			if _, err := client.Dial(tt.ctx, tt.local, tt.remote); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
		client.Down()
		if _, err := client.Dial(t.Context(), netip.AddrPort{}, at(proxyAddr, sip)); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("host down: %v, want ENETDOWN", err)
		}
	})
}

// A dial whose answer comes too late must not leave a stream at the server.
func TestDial_CanceledResetsServer(t *testing.T) {
	onNetwork(t, simnet.Config{Link: simnet.Link{Delay: time.Second}}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		l := listen(t, server)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*ms)
		defer cancel()
		if _, err := client.Dial(ctx, netip.AddrPort{}, at(proxyAddr, sip)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Dial = %v, want a timeout", err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := second(c.Read(make([]byte, 1))); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read = %v, want ECONNRESET", err)
		}
	})
}

func TestListener_BacklogIsBounded(t *testing.T) {
	onNetwork(t, simnet.Config{}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		l := listen(t, server)
		for range 128 {
			dial(t, client, server)
		}
		start := time.Now()
		go func() {
			time.Sleep(5 * time.Second)
			l.Accept()
		}()
		dial(t, client, server)
		if got := time.Since(start); got != 7*time.Second { // resent after 1s, 2s, 4s
			t.Errorf("Dial took %v, want 7s", got)
		}
	})
}
