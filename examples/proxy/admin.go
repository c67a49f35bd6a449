package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// admin serves what operators and monitors ask, on an address of its own that
// is not meant for the Internet.
func (p *Proxy) admin(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.cfg.Admin.String())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /debug/state", p.serveState)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ok answers that the process serves. There is nothing yet that can be ready
// later than the listeners, or fail on its own.
func ok(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }

// stateView is what /debug/state shows.
type stateView struct {
	Tenants     int               `json:"tenants"`
	Bindings    int               `json:"bindings"`
	Decisions   map[string]uint64 `json:"decisions"` // by reason
	Unavailable uint64            `json:"unavailable"`
	Unreachable uint64            `json:"unreachable"`
	ToDiffers   uint64            `json:"ruri_to_mismatch"`
	Relay       relay.Stats       `json:"relay"`
	Transport   transport.Stats   `json:"transport"`
}

func (p *Proxy) view() stateView {
	v := stateView{
		Tenants:     p.state.Load().tenants.Len(),
		Decisions:   map[string]uint64{},
		Unavailable: p.counters.unavailable.Load(),
		Unreachable: p.counters.unreachable.Load(),
		ToDiffers:   p.counters.toDiffers.Load(),
		Relay:       p.relay.Stats(),
		Transport:   p.transport.Stats(),
	}
	if m, ok := p.store.(interface{ Len() int }); ok {
		v.Bindings = m.Len()
	}
	for _, r := range route.Reasons() {
		v.Decisions[r.String()] = p.counters.reasons[r].Load()
	}
	return v
}

func (p *Proxy) serveState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(p.view()) // the client is gone if this fails
}
