package dispatcher

import (
	"sync/atomic"
	"time"
)

// Attempt is a request on its way to a destination, and the call that comes of
// it. It is safe for concurrent use. The methods of a nil Attempt do nothing.
type Attempt struct {
	dispatcher *Dispatcher
	health     *health
	began      time.Time

	reported, ended atomic.Bool
}

// Begin notes that a request goes to dst now, one of those that Select returned.
// It counts as one of the calls of dst until [Attempt.End]. If there is no such
// destination any more, Begin returns nil.
func (d *Dispatcher) Begin(dst Destination) *Attempt {
	h := d.table.Load().health[dst.address()]
	if h == nil {
		return nil
	}
	h.calls.Add(1)
	return &Attempt{dispatcher: d, health: h, began: time.Now()}
}

// Report says what the first response is, even if it is a 100, or why there is
// none. Only the first report of an attempt counts.
//
// An error is a failure of the destination: a timeout, which stands for a 408
// without a provisional response, or a transport error. What fails on our side,
// as by a socket that we do not have, or is canceled by the caller, is not to be
// reported. A 503 (RFC 3261 section 21.5.4) is a failure too; every other
// response is a sign of life. After a provisional response even a 503 is about
// the call and not about the PBX, such as that of a PBX with a busy trunk.
func (a *Attempt) Report(status int, err error) {
	if a == nil || !a.reported.CompareAndSwap(false, true) {
		return
	}
	const unavailable = 503
	a.dispatcher.judge(a.health, sign{
		began: a.began, status: status, err: err,
		alive: err == nil && status != unavailable,
	})
}

// End says that the request is over, and with it the call, if it has become one.
// Whoever does not follow calls ends an attempt with its final response; then
// [LeastCalls] counts pending requests. Whoever does may as well end it then, and
// begin another one for the call. Only the first End counts.
func (a *Attempt) End() {
	if a != nil && a.ended.CompareAndSwap(false, true) {
		a.health.calls.Add(-1)
	}
}
