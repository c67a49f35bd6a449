package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveAdmin runs the admin server of a proxy until the test ends. It returns its
// URL.
func serveAdmin(t *testing.T, p *Proxy) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.cfg.Admin = netip.MustParseAddrPort(free.Addr().String())
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	running.Go(func() {
		if err := p.admin(ctx); err != nil {
			t.Error(err)
		}
	})
	for t.Context().Err() == nil { // until it listens
		if c, err := net.Dial("tcp", p.cfg.Admin.String()); err == nil {
			c.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	return "http://" + p.cfg.Admin.String()
}

// TestAdmin_Log: what the HTTP server has to say is in the log, as all else.
func TestAdmin_Log(t *testing.T) {
	p := newTestProxy(t, threeTenants)
	log := make(logLines, 1)
	p.log = slog.New(slog.NewTextHandler(log, nil))
	p.guard = nil // so that the answer is a panic
	if _, err := http.Get(serveAdmin(t, p) + "/bans"); err == nil {
		t.Error("a proxy without a guard has bans")
	}
	if got := <-log; !strings.Contains(got, "level=WARN") || !strings.Contains(got, "panic serving") || strings.Count(got, "\n") != 1 {
		t.Errorf("the log has %q", got)
	}
}

// logLines gets what is logged.
type logLines chan string

func (l logLines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}
