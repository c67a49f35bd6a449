package transport

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// largestUpgrade is how long the HTTP request of a WebSocket handshake may be,
// in bytes. Cookies can make it long.
const largestUpgrade = 16 << 10

// upgrade does the WebSocket handshake (RFC 6455 section 4.2). The library sees
// the request when it is complete, and neither reads nor writes for itself.
func (w *webSocket) upgrade() error {
	request, err := w.request()
	if err != nil {
		return err
	}
	var answer bytes.Buffer
	_, err = upgrader(w.stream.layer.cfg.Origin).Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(request), &answer})
	w.stream.enqueue(answer.Bytes(), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	w.open = true
	w.first, w.began = w.stream.born.Add(w.stream.layer.cfg.Limits.FirstMessage), time.Time{}
	w.stream.setReady()
	return nil
}

// request waits for the HTTP request.
func (w *webSocket) request() ([]byte, error) {
	const end = "\r\n\r\n"
	for {
		head, _, ok := bytes.Cut(w.rest(), []byte(end))
		switch {
		case ok:
			w.start += len(head) + len(end)
			return w.buf[w.start-len(head)-len(end) : w.start], nil
		case len(w.rest()) >= largestUpgrade:
			return nil, fmt.Errorf("%w: request too large", ErrHandshake)
		}
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
}

// upgrader returns the rules of our handshake: the client must offer the
// subprotocol "sip" (RFC 7118 section 4), and come from a page of which origin,
// unless that is nil, approves.
func upgrader(origin func(string) bool) ws.Upgrader {
	var sip bool
	return ws.Upgrader{
		Protocol: func(p []byte) bool {
			sip = string(p) == "sip"
			return sip
		},
		OnHeader: func(key, value []byte) error {
			if origin != nil && string(key) == "Origin" && !origin(string(value)) {
				return refusal(http.StatusForbidden, "origin")
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if !sip {
				return nil, refusal(http.StatusBadRequest, "no subprotocol sip")
			}
			return nil, nil
		},
	}
}

func refusal(status int, reason string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(reason))
}
