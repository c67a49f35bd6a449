package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/internal/simnet"
)

func listen(t *testing.T, h *simnet.Host) *simnet.Listener {
	t.Helper()
	l, err := h.Listen(at(h.Addr(), sip))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, from, to *simnet.Host) *simnet.Conn {
	t.Helper()
	c, err := from.Dial(t.Context(), netip.AddrPort{}, at(to.Addr(), sip))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is a client and a server, outside, and the two ends of a stream.
type pair struct {
	network        *simnet.Network
	clientHost     *simnet.Host
	serverHost     *simnet.Host
	client, server *simnet.Conn
}

// onPair runs f in a bubble with a stream.
func onPair(t *testing.T, cfg simnet.Config, f func(*testing.T, pair)) {
	t.Helper()
	onNetwork(t, cfg, func(t *testing.T, n *simnet.Network) {
		p := pair{network: n, clientHost: n.NewHost(otherAddr), serverHost: n.NewHost(proxyAddr)}
		l := listen(t, p.serverHost)
		p.client = dial(t, p.clientHost, p.serverHost)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p.server = c.(*simnet.Conn)
		f(t, p)
	})
}

func write(t *testing.T, c *simnet.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Fatalf("Write = %d, %v, want %d, nil", n, err, len(text))
	}
}

func readErr(c *simnet.Conn) error { return second(c.Read(make([]byte, 10))) }

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

func TestConn_SegmentsAndEnd(t *testing.T) {
	tests := []struct {
		name string
		size int
		want []string
	}{
		{"one for each write", 0, []string{"INVITE", "BYE"}},
		{"byte by byte", 1, []string{"I", "N", "V", "I", "T", "E", "B", "Y", "E"}},
		{"four bytes", 4, []string{"INVI", "TE", "BYE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
				p.clientHost.SetSegmentSize(tt.size)
				write(t, p.client, "INVITE")
				write(t, p.client, "") // sends nothing
				write(t, p.client, "BYE")
				if err := p.client.Close(); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var got []string
				for buf := make([]byte, 100); ; {
					n, err := p.server.Read(buf)
					if err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					got = append(got, string(buf[:n]))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if err := readErr(p.server); err != io.EOF {
					t.Errorf("second read at the end = %v, want EOF", err)
				}
			})
		})
	}
}

func TestConn_HalfClose(t *testing.T) {
	onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
		write(t, p.client, "request")
		if err := p.client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := second(p.client.Write([]byte("x"))); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite = %v, want EPIPE", err)
		}
		if got, err := io.ReadAll(p.server); string(got) != "request" || err != nil {
			t.Errorf("read %q, %v, want the request", got, err)
		}
		write(t, p.server, "answer")
		p.server.Close()
		if got, err := io.ReadAll(p.client); string(got) != "answer" || err != nil {
			t.Errorf("read %q, %v, want the answer", got, err)
		}
		if err := p.client.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
}

func TestConn_CloseEndsOwnCalls(t *testing.T) {
	onPair(t, simnet.Config{StreamBuffer: 10}, func(t *testing.T, p pair) {
		errs := make(chan error, 2)
		go func() { errs <- readErr(p.client) }()
		go func() { errs <- second(p.client.Write(make([]byte, 11))) }()
		synctest.Wait()
		p.client.Close()
		for name, err := range map[string]error{
			"first call":  <-errs,
			"second call": <-errs,
			"Close":       p.client.Close(),
			"SetDeadline": p.client.SetDeadline(time.Now()),
			"CloseWrite":  p.client.CloseWrite(),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s = %v, want ErrClosed", name, err)
			}
		}
	})
}

func TestConn_Reset(t *testing.T) {
	tests := []struct {
		name  string
		reset func(t *testing.T, p pair)
	}{
		{"Reset", func(t *testing.T, p pair) { p.server.Reset() }},
		{"Close with something unread", func(t *testing.T, p pair) {
			write(t, p.client, "unread")
			synctest.Wait()
			p.server.Close()
		}},
		{"write to a closed stream", func(t *testing.T, p pair) {
			p.server.Close()
			synctest.Wait()
			write(t, p.client, "too late")
		}},
		{"write to a host that lost its streams", func(t *testing.T, p pair) {
			p.serverHost.Down()
			p.serverHost.Up()
			write(t, p.client, "hello?")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
				write(t, p.server, "last words")
				tt.reset(t, p)
				synctest.Wait()
				if n, err := p.client.Read(make([]byte, 100)); n != len("last words") || err != nil {
					t.Errorf("read = %d, %v, want what came before the reset", n, err)
				}
				if err := second(p.client.Write([]byte("x"))); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("write = %v, want ECONNRESET", err)
				}
				if err := p.client.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
		})
	}
}

func TestConn_WriteWaitsForReader(t *testing.T) {
	onPair(t, simnet.Config{StreamBuffer: 10}, func(t *testing.T, p pair) {
		start := time.Now()
		p.client.SetWriteDeadline(start.Add(time.Second))
		n, err := p.client.Write(make([]byte, 25))
		if n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Write = %d, %v after %v, want 10 bytes and a timeout after 1s", n, err, time.Since(start))
		}
		p.client.SetWriteDeadline(time.Time{})

		var all bytes.Buffer
		var reader sync.WaitGroup
		reader.Go(func() {
			for all.Len() < 35 {
				time.Sleep(time.Second)
				io.CopyN(&all, p.server, 5)
			}
		})
		start = time.Now()
		if n, err := p.client.Write(make([]byte, 25)); n != 25 || err != nil {
			t.Errorf("Write = %d, %v, want 25, nil", n, err)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("Write took %v, want 5s: until the reader took 25 bytes", got)
		}
		reader.Wait()
	})
}

func TestConn_ReadDeadline(t *testing.T) {
	onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
		start := time.Now()
		p.client.SetDeadline(start.Add(time.Second))
		var netErr net.Error
		if err := readErr(p.client); !errors.As(err, &netErr) || !netErr.Timeout() || time.Since(start) != time.Second {
			t.Errorf("read = %v after %v, want a timeout after 1s", err, time.Since(start))
		}
		if err := second(p.client.Write([]byte("x"))); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write = %v, want a timeout", err)
		}
		p.client.SetDeadline(time.Time{})
		write(t, p.server, "x")
		if err := readErr(p.client); err != nil {
			t.Errorf("read without deadline = %v", err)
		}
	})
}

// Whatever happens to its packets, a stream delivers all bytes in order.
func TestConn_SurvivesABadLink(t *testing.T) {
	bad := simnet.Link{Delay: 10 * ms, Jitter: 50 * ms, Reorder: true, Loss: 0.2, Duplicate: 0.5}
	onPair(t, simnet.Config{StreamBuffer: 500}, func(t *testing.T, p pair) {
		p.network.AddRule(simnet.Rule{Link: bad})
		p.clientHost.SetSegmentSize(7)
		want := make([]byte, 5000)
		for i := range want {
			want[i] = byte(i * i)
		}
		go func() {
			p.client.Write(want)
			p.client.Close()
		}()
		got, err := io.ReadAll(p.server)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; equal: %t", len(got), err, bytes.Equal(got, want))
		}
	})
}

func TestConn_StallsInBlackHole(t *testing.T) {
	onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
		p.serverHost.BlackHole(true)
		write(t, p.client, "first ")
		write(t, p.client, "second")
		p.client.CloseWrite()
		time.Sleep(time.Minute)
		p.serverHost.BlackHole(false)
		if got, err := io.ReadAll(p.server); string(got) != "first second" || err != nil {
			t.Errorf("read %q, %v, want what was written", got, err)
		}

		p.serverHost.BlackHole(true)
		write(t, p.server, "into the void")
		if err := readErr(p.server); err != io.EOF {
			t.Fatalf("read = %v, want EOF", err)
		}
		time.Sleep(time.Hour)
		if err := second(p.server.Write([]byte("x"))); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("write after an hour = %v, want ETIMEDOUT", err)
		}
	})
}

func TestHost_Down(t *testing.T) {
	onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
		a, b := listenPacket(t, p.clientHost, sip), listenPacket(t, p.serverHost, sip)
		p.serverHost.Down()
		if err := readErr(p.server); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("read of a stream = %v, want ENETDOWN", err)
		}
		if err := second(b.WriteTo(nil, a.LocalAddr())); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("sending = %v, want ENETDOWN", err)
		}
		send(t, a, at(proxyAddr, sip), "lost")
		synctest.Wait()
		p.serverHost.Up()
		send(t, a, at(proxyAddr, sip), "hello")
		expect(t, b, "hello")

		p.clientHost.BlackHole(true)
		send(t, a, at(proxyAddr, sip), "lost")
		send(t, b, at(otherAddr, sip), "lost")
		synctest.Wait()
		p.clientHost.BlackHole(false)
		expectNothing(t, a)
		expectNothing(t, b)
	})
}

func TestConn_ConcurrentWritesDoNotMix(t *testing.T) {
	onPair(t, simnet.Config{StreamBuffer: 100}, func(t *testing.T, p pair) {
		p.clientHost.SetSegmentSize(3)
		var writers sync.WaitGroup
		for i := range 10 {
			writers.Go(func() {
				p.client.Write(bytes.Repeat([]byte{byte('a' + i)}, 50))
			})
		}
		go func() {
			writers.Wait()
			p.client.Close()
		}()
		all, err := io.ReadAll(p.server)
		if err != nil || len(all) != 500 {
			t.Fatalf("read %d bytes, %v, want 500", len(all), err)
		}
		for i := 0; i < len(all); i += 50 {
			if message := all[i : i+50]; !bytes.Equal(message, bytes.Repeat(message[:1], 50)) {
				t.Errorf("mixed: %q", message)
			}
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

// net/http is as demanding a user of net.Conn and net.Listener as any.
func TestConn_CarriesHTTP(t *testing.T) {
	onNetwork(t, simnet.Config{Link: simnet.Link{Delay: 10 * ms}}, func(t *testing.T, n *simnet.Network) {
		client, server := n.NewHost(otherAddr), n.NewHost(proxyAddr)
		client.SetSegmentSize(1)
		srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
		})}
		go srv.Serve(listen(t, server))
		defer srv.Close()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return client.Dial(ctx, netip.AddrPort{}, netip.MustParseAddrPort(addr))
		}}
		defer transport.CloseIdleConnections()

		body := strings.Repeat("0123456789", 1000)
		res, err := (&http.Client{Transport: transport}).Post("http://192.0.2.1:5060/", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); string(got) != body || err != nil {
			t.Errorf("read %d bytes, %v, want the %d bytes sent", len(got), err, len(body))
		}
	})
}
