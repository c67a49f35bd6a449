package transport

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// bytesConn is a connection on which some bytes have come.
type bytesConn struct {
	net.Conn
	*bytes.Reader
}

func (c bytesConn) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c bytesConn) SetReadDeadline(time.Time) error { return nil }

// nobody is a handler that does nothing.
type nobody struct{}

func (nobody) Message(Flow, *sipmsg.Message)      {}
func (nobody) Fault(Flow, *sipmsg.Message, error) {}
func (nobody) Closed(Flow, error)                 {}

// Whatever comes on a WebSocket, before or after its handshake, is cut into
// messages that look like SIP, within the limit, or ends it.
func FuzzWebSocket_Frames(f *testing.F) {
	frame := func(op ws.OpCode, fin bool, payload string) []byte {
		b, err := ws.CompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{}))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	const request = "OPTIONS sip:a SIP/2.0\r\nCall-ID: a\r\n\r\n"
	f.Add(frame(ws.OpText, true, request), true)
	f.Add(append(frame(ws.OpText, false, request[:9]), frame(ws.OpContinuation, true, request[9:])...), true)
	f.Add(append(frame(ws.OpPing, true, "x"), frame(ws.OpBinary, true, "\r\n\r\n")...), true)
	f.Add(frame(ws.OpBinary, true, request+strings.Repeat("x", 2000)), true)
	f.Add(frame(ws.OpClose, true, "\x03\xe8"), true)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: a\r\nSec-WebSocket-Protocol: x, sip\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), false)
	const largest = 1 << 10
	layer, err := New(Config{Handler: nobody{}, Origin: func(string) bool { return true }, Limits: Limits{Message: largest}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, open bool) {
		s := newStream(layer, "ws", netip.AddrPort{}, netip.AddrPort{})
		s.conn = bytesConn{Reader: bytes.NewReader(data)}
		w := s.framing().(*webSocket)
		w.open = open
		for {
			raw, err := w.next()
			fault, _ := errors.AsType[*sipmsg.Error](err)
			switch {
			case err != nil && fault == nil && raw != "":
				t.Errorf("%q with %v", raw, err)
			case err == nil && (len(raw) > largest || sniff([]byte(raw)) != message):
				t.Errorf("message %q", raw)
			case len(raw) > 2*largest+1 || len(w.buf) > largestUpgrade+ws.MaxHeaderSize:
				t.Errorf("%d bytes in a buffer of %d", len(raw), len(w.buf))
			}
			if err != nil {
				break
			}
		}
		if !open && w.open && !strings.HasPrefix(string(s.queue), "HTTP/1.1 101 Switching Protocols\r\n") {
			t.Errorf("answer %q", s.queue)
		}
	})
}
