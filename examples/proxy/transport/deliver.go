package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// deliver parses raw and hands it to the handler. Fault is what is already
// known to be wrong with it. The error is the fault, for a stream to close.
func (l *Layer) deliver(f Flow, raw string, fault error) (err error) {
	var m *sipmsg.Message
	defer func() {
		if v := recover(); v != nil {
			l.panicked(f, m, v)
		}
	}()
	if l.cfg.Trace != nil {
		l.cfg.Trace(f, false, raw)
	}
	m, err = sipmsg.Parse(raw)
	if fault != nil {
		err = fault
	}
	if err != nil {
		l.count.faults.Add(1)
		l.cfg.Handler.Fault(f, m, err)
		return err
	}
	l.count.received.Add(1)
	l.cfg.Handler.Message(f, m)
	return nil
}

// closed tells the handler that a stream is gone.
func (l *Layer) closed(f Flow, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked(f, nil, v)
		}
	}()
	l.cfg.Handler.Closed(f, err)
}

// panicked notes a panic (R33). The message itself stays out of the log, it may
// hold credentials.
func (l *Layer) panicked(f Flow, m *sipmsg.Message, v any) {
	l.count.panics.Add(1)
	callID := ""
	if m != nil {
		callID = m.CallID
	}
	l.cfg.Logger.Error("panic", "flow", f, "call_id", callID, "value", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// tolerate decides on an error of a listener's socket. If the socket is gone it
// returns an error. All else passes: it waits a little, so that an error that
// stays does not spin, and returns nil. Failures is how many came just before.
func (l *Layer) tolerate(ctx context.Context, network string, addr netip.AddrPort, err error, failures int) error {
	if errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("transport: listener %s %v: %w", network, addr, err)
	}
	if failures == 0 {
		l.warnSeldom("listener error", "network", network, "local", addr, "err", err)
		return nil
	}
	timer := time.NewTimer(min(time.Millisecond<<min(failures, 10), maxPause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// maxPause is the longest pause after errors of a listener.
const maxPause = 100 * time.Millisecond

// warnSeldom logs what a stranger may be able to cause, once a minute.
func (l *Layer) warnSeldom(msg string, args ...any) {
	now, last := time.Now().Unix(), l.warned.Load()
	if now-last >= 60 && l.warned.CompareAndSwap(last, now) {
		l.cfg.Logger.Warn(msg, args...)
	}
}
