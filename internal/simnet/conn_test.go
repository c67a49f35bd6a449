package simnet_test

import (
	"bytes"
	"context"
	"errors"
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
