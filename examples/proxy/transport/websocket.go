package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// webSocket is the framing of SIP over WebSocket, as a server (RFC 6455): each
// of its messages is one of SIP, or a keepalive of CRLFs, in a text or a binary
// frame, or in several (RFC 7118 sections 5 and 6).
type webSocket struct {
	reader
	open    bool     // the handshake is over
	state   ws.State // what frames may come
	text    bool     // the present message is text
	message []byte   // what came of it
}

func newWebSocket(r reader) *webSocket {
	r.largest = max(r.largest, largestUpgrade) + ws.MaxHeaderSize
	r.first = r.stream.born.Add(r.stream.layer.cfg.Limits.Handshake)
	return &webSocket{reader: r, state: ws.StateServerSide}
}

func (w *webSocket) next() (string, error) {
	if !w.open {
		if err := w.upgrade(); err != nil {
			return "", err
		}
	}
	for {
		h, payload, err := w.frame()
		if err != nil {
			return "", err
		}
		if h.OpCode.IsControl() {
			if err := w.control(h.OpCode, payload); err != nil {
				return "", err
			}
			continue
		}
		w.message = append(w.message, payload...)
		if len(w.message) > w.stream.layer.cfg.Limits.Message {
			return string(w.message), &sipmsg.Error{Status: 513, Fault: "message too large"}
		}
		if !h.Fin {
			w.begin()
			continue
		}
		if raw, err := w.whole(); raw != "" || err != nil {
			return raw, err
		}
	}
}

// frame waits for the next frame. Its payload is valid until fill.
func (w *webSocket) frame() (ws.Header, []byte, error) {
	for {
		h, payload, err := w.cut()
		switch err {
		case nil:
			return h, payload, nil
		case io.EOF, io.ErrUnexpectedEOF:
			err = w.fill()
		default:
			err = fmt.Errorf("%w: %w", ErrWebSocket, err)
		}
		if err != nil {
			return h, nil, err
		}
	}
}

// cut takes the next frame off the buffer. The error is an EOF of either kind if
// it is not all there. Of a frame larger than any message may be, that much and
// one byte is enough.
func (w *webSocket) cut() (h ws.Header, payload []byte, err error) {
	rest := bytes.NewReader(w.rest())
	if h, err = ws.ReadHeader(rest); err != nil {
		return h, nil, err
	}
	if err = ws.CheckHeader(h, w.state); err != nil {
		return h, nil, err
	}
	size := int(min(h.Length, int64(w.stream.layer.cfg.Limits.Message)+1))
	if rest.Len() < size {
		return h, nil, io.ErrUnexpectedEOF
	}
	w.start = w.end - rest.Len() + size
	payload = w.buf[w.start-size : w.start]
	ws.Cipher(payload, h.Mask, 0)
	switch {
	case h.OpCode.IsControl():
		return h, payload, nil
	case h.OpCode != ws.OpContinuation:
		w.text = h.OpCode == ws.OpText
	}
	w.state = w.state.Clear(ws.StateFragmented)
	if !h.Fin {
		w.state = w.state.Set(ws.StateFragmented)
	}
	return h, payload, nil
}

// control handles a control frame, which may come between those of a message.
func (w *webSocket) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpClose:
		return io.EOF // shut answers it
	case ws.OpPing:
		w.stream.layer.count.pongs.Add(1)
		w.stream.enqueue(frame(ws.OpPong, payload), nil)
	}
	if !w.state.Fragmented() {
		w.began = time.Time{}
	}
	return nil
}

// whole returns the message that is complete now, nothing for a keepalive.
func (w *webSocket) whole() (raw string, err error) {
	b := w.message
	w.message = b[:0]
	if cap(b) > 4*keepBuffer {
		w.message = nil
	}
	if w.text && !utf8.Valid(b) {
		return "", fmt.Errorf("%w: %w", ErrWebSocket, errText)
	}
	switch sniff(b) {
	case message:
		w.done()
		return string(b), nil
	case keepalive:
		w.began = time.Time{}
		if len(b) >= len(ping) {
			w.stream.layer.count.pongs.Add(1)
			w.stream.enqueue(frame(ws.OpText, []byte(pong)), nil)
		}
		return "", nil
	}
	return "", ErrGarbage
}

// errText is what is wrong with text that is no UTF-8 (RFC 6455 section 8.1).
var errText = errors.New("text is not UTF-8")

// frame returns a frame, from a server to a client.
func frame(op ws.OpCode, payload []byte) []byte {
	b, _ := ws.CompileFrame(ws.NewFrame(op, true, payload)) // the error is that of a writer
	return b
}

// messageFrame returns the frame of a SIP message. Not all is text (RFC 7118
// section 5).
func messageFrame(b []byte) []byte {
	if utf8.Valid(b) {
		return frame(ws.OpText, b)
	}
	return frame(ws.OpBinary, b)
}

// closeFrame returns the frame that tells a client why the stream ends (RFC 6455
// section 7.4.1).
func closeFrame(err error) []byte {
	code := ws.StatusPolicyViolation
	fault, _ := errors.AsType[*sipmsg.Error](err)
	switch {
	case err == io.EOF:
		code = ws.StatusNormalClosure
	case errors.Is(err, ErrClosed), errors.Is(err, ErrIdle):
		code = ws.StatusGoingAway
	case fault != nil && fault.Status == 513:
		code = ws.StatusMessageTooBig
	case errors.Is(err, errText):
		code = ws.StatusInvalidFramePayloadData
	case errors.Is(err, ErrWebSocket):
		code = ws.StatusProtocolError
	}
	return frame(ws.OpClose, ws.NewCloseFrameBody(code, ""))
}
