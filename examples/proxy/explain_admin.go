package main

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/route"
)

// maxExplained is more than any message has that the transport takes.
const maxExplained = 1 << 17

// serveExplain explains the message in the body of r.
func (p *Proxy) serveExplain(w http.ResponseWriter, r *http.Request) {
	src, err := parseSource(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExplained))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	e, err := p.explain(r.Context(), src, string(text))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if wantsJSON(r) {
		writeJSON(w, e)
		return
	}
	io.WriteString(w, e.String())
}

// serveDecisions shows the last requests that went nowhere, and with a debug log
// others too; with call_id those with that Call-ID.
func (p *Proxy) serveDecisions(w http.ResponseWriter, r *http.Request) {
	all := p.recent.all()
	if q := r.URL.Query(); q.Has("call_id") {
		all = slices.DeleteFunc(all, func(e *explanation) bool { return e.CallID != q.Get("call_id") })
	}
	if wantsJSON(r) {
		writeJSON(w, all)
		return
	}
	for _, e := range all {
		fmt.Fprintf(w, "%s Call-ID %s\n%s\n", e.At.Format("2006-01-02T15:04:05.000Z07:00"), e.CallID, e)
	}
}

// parseSource reads where a message is from.
func parseSource(q url.Values) (route.Source, error) {
	addr, err := netip.ParseAddrPort(q.Get("from"))
	if err != nil {
		return route.Source{}, fmt.Errorf("from: %w", err)
	}
	src := route.Source{Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Transport: "udp"}
	if name := q.Get("transport"); name != "" {
		var l config.Listener
		if err := l.UnmarshalText([]byte(name + ":" + addr.String())); err != nil {
			return route.Source{}, err
		}
		src.Transport = string(l.Transport)
	}
	return src, nil
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("json") == "1" || strings.Contains(r.Header.Get("Accept"), "application/json")
}
