package main

import (
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

var _ transport.Handler = (*handler)(nil)

// Message implements [transport.Handler].
func (h *handler) Message(f transport.Flow, m *sipmsg.Message) {
	if (*Proxy)(h).admit(f, m) {
		h.relay.Message(f, m)
	}
}

// Fault implements [transport.Handler].
func (h *handler) Fault(f transport.Flow, m *sipmsg.Message, err error) {
	if p := (*Proxy)(h); p.admit(f, m) {
		p.malformed(f, err)
		h.relay.Fault(f, m, err)
	}
}

// Closed implements [transport.Handler].
func (h *handler) Closed(f transport.Flow, err error) {
	h.conns.remove(f)
	h.relay.Closed(f, err)
}
