package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// part is one of what must be there before the proxy is of use.
type part struct {
	name   string
	ready  bool
	detail string
}

// parts returns all parts. One that works with less than it should, as without a
// database that it can do without for a while, is ready, and its detail tells.
func (p *Proxy) parts() []part {
	all := []part{
		p.listeners(),
		p.source.part(),
		p.bindings.part(),
	}
	if p.calls != nil {
		all = append(all, p.calls.part())
	}
	return all
}

func (p *Proxy) listeners() part {
	pt := part{"listeners", p.listening.Load(), strconv.Itoa(len(p.cfg.Listen))}
	if p.stopping.Load() {
		pt.ready = false
		word := "stopping"
		if p.draining.Load() {
			word = "draining"
		}
		pt.detail += fmt.Sprintf(", %s, %d transactions are open", word, p.open())
	}
	return pt
}

func (b *bindings) part() part {
	pt := part{name: "location", ready: true}
	if b.mirror == nil {
		pt.detail = "in memory"
		return pt
	}
	st := b.mirror.Stats()
	pt.ready = st.Loaded
	pt.detail = fmt.Sprintf("%d bindings", st.Bindings)
	if !st.Loaded {
		pt.detail += fmt.Sprintf(", %d rows read", st.Rows)
	}
	if !st.Healthy {
		pt.detail += ", without the database"
		if st.Err != nil {
			pt.detail += ": " + st.Err.Error()
		}
	}
	if !st.JournalOK {
		pt.detail += ", without a journal"
	}
	if st.Pending > 0 {
		pt.detail += fmt.Sprintf(", %d to be written, the oldest for %v", st.Pending, st.Oldest.Round(time.Second))
	}
	return pt
}

// serveReady tells whether all parts are ready, and of each how it does.
func (p *Proxy) serveReady(w http.ResponseWriter, _ *http.Request) {
	var text strings.Builder
	ready := true
	for _, part := range p.parts() {
		word := "ready"
		if !part.ready {
			word, ready = "not ready", false
		}
		fmt.Fprintf(&text, "%s: %s: %s\n", part.name, word, strings.ReplaceAll(part.detail, "\n", "; "))
	}
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write([]byte(text.String())) // the client is gone if this fails
}
