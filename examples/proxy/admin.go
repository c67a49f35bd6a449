package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/hep"
	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/examples/proxy/relay"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// admin serves what operators and monitors ask, on an address of its own that
// is not meant for the Internet.
func (p *Proxy) admin(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.cfg.Admin.String())
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: p.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// routes is what admin serves. It is not for pages in the browser of somebody who
// can reach it, which could ban everybody.
func (p *Proxy) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", p.serveLive)
	mux.HandleFunc("GET /readyz", p.serveReady)
	mux.HandleFunc("GET /debug/state", p.serveState)
	mux.Handle("GET /metrics", p.metrics.Handler())
	mux.HandleFunc("POST /debug/explain", p.serveExplain)
	mux.HandleFunc("GET /debug/decisions", p.serveDecisions)
	mux.HandleFunc("POST /location/forget", p.serveForget)
	mux.HandleFunc("GET /bans", p.serveBans)
	mux.HandleFunc("POST /bans", p.serveBan)
	mux.HandleFunc("DELETE /bans", p.serveUnban)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.NewCrossOriginProtection().Handler(mux)
}

// serveLive tells whether the proxy answers itself.
func (p *Proxy) serveLive(w http.ResponseWriter, r *http.Request) {
	if err := p.answers(r.Context(), time.Second); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	ok(w, r)
}

// ok answers that all is well.
func ok(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }

// stateView is what /debug/state shows.
type stateView struct {
	Tenants     int               `json:"tenants"`
	Source      sourceStats       `json:"source"` // of the tenants
	Bindings    int               `json:"bindings"`
	Ambiguous   *ambiguity        `json:"ambiguous"`
	Location    *mirrorView       `json:"location,omitempty"` // with a database
	Calls       *acct.Stats       `json:"calls,omitempty"`    // if records are made
	Decisions   map[string]uint64 `json:"decisions"`          // by reason
	Unavailable uint64            `json:"unavailable"`
	Unreachable uint64            `json:"unreachable"`
	Lost        uint64            `json:"lost_phones"`
	ToDiffers   uint64            `json:"ruri_to_mismatch"`
	Guard       guard.Stats       `json:"guard"`
	Seclog      *seclog.Stats     `json:"security_rows,omitempty"` // with a database
	HEP         *hep.Stats        `json:"hep,omitempty"`           // if there is a collector
	Relay       relay.Stats       `json:"relay"`
	Transport   transport.Stats   `json:"transport"`
}

func (p *Proxy) view() stateView {
	v := stateView{
		Tenants:     p.state.Load().tenants.Len(),
		Source:      p.source.Stats(),
		Ambiguous:   p.ambiguity.found.Load(),
		Decisions:   map[string]uint64{},
		Unavailable: p.counters.unavailable.Load(),
		Unreachable: p.counters.unreachable.Load(),
		Lost:        p.counters.lost.Load(),
		ToDiffers:   p.counters.toDiffers.Load(),
		Guard:       p.guard.Stats(),
		Relay:       p.relay.Stats(),
		Transport:   p.transport.Stats(),
	}
	if m, ok := p.memory(); ok {
		v.Bindings = m.Len()
	}
	if p.mirror != nil {
		v.Location = viewMirror(p.mirror.Stats(), p.table.badRows.Load())
	}
	if p.calls != nil {
		s := p.calls.stats()
		v.Calls = &s
	}
	if p.seclog != nil {
		s := p.seclog.Stats()
		v.Seclog = &s
	}
	if p.hep != nil {
		s := p.hep.Stats()
		v.HEP = &s
	}
	for _, r := range route.Reasons() {
		v.Decisions[r.String()] = p.counters.reasons[r].Load()
	}
	return v
}

// mirrorView is how the bindings and their table do.
type mirrorView struct {
	Healthy       bool    `json:"healthy"`
	Loaded        bool    `json:"loaded"`
	Rows          uint64  `json:"rows"`
	BadRows       uint64  `json:"bad_rows"`
	Pending       int     `json:"pending"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Written       uint64  `json:"written"`
	Stale         uint64  `json:"stale"`
	Refused       uint64  `json:"refused"`
	Failures      uint64  `json:"failures"`
	Swept         uint64  `json:"swept"`
	JournalBytes  int64   `json:"journal_bytes"`
	JournalFails  uint64  `json:"journal_failures"`
}

func viewMirror(st mirror.Stats, badRows uint64) *mirrorView {
	return &mirrorView{
		Healthy: st.Healthy, Loaded: st.Loaded, Rows: st.Rows, BadRows: badRows, Pending: st.Pending,
		OldestSeconds: st.Oldest.Seconds(), Written: st.Written, Stale: st.Stale, Refused: st.Refused,
		Failures: st.Failures, Swept: st.Swept, JournalBytes: st.JournalBytes, JournalFails: st.JournalFails,
	}
}

// serveForget makes the proxy read an AOR from the database again, after
// somebody has changed it there.
func (p *Proxy) serveForget(w http.ResponseWriter, r *http.Request) {
	aor, err := location.ParseAOR(r.URL.Query().Get("aor"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if p.mirror == nil {
		http.Error(w, "the bindings are not in a database", http.StatusConflict)
		return
	}
	done := make(chan struct{})
	if !p.mirror.Refresh(aor, func() { close(done) }) {
		http.Error(w, "too many reads are waiting", http.StatusServiceUnavailable)
		return
	}
	select {
	case <-done:
		ok(w, r)
	case <-r.Context().Done():
	}
}

func (p *Proxy) serveState(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.view()) }

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // header fields have < and >
	enc.SetIndent("", "  ")
	enc.Encode(v) // the client is gone if this fails
}
