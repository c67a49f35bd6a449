package registrar

import (
	"errors"
	"sync/atomic"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/internal/sipaddr"
	"github.com/sipward/sipward/location"
)

// Wrap returns next with commit on 2xx, for a handler that forwards REGISTER
// upstream and answers with what comes back. Next gets a transaction whose
// Respond stores before it sends; it has an Unwrap method that returns the
// original. The answer is passed on as it is, its Contacts byte for byte.
//
// If the store fails, the phone gets a 500 in place of the 2xx and nothing
// after that. A malformed REGISTER is answered with 400, one without an address
// of record with 404; next does not see them. Other methods pass.
func (r *Registrar) Wrap(next sipgo.RequestHandler) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if req.Method != sip.REGISTER {
			next(req, tx)
			return
		}
		// A source that cannot be read leaves the flow unknown; then the Path or
		// the Contact says where the phone is.
		transport, remote, local, _ := sipaddr.Flow(req, tx)
		g, err := r.Begin(req, location.Flow{Transport: transport, Remote: remote, Local: local})
		if err != nil {
			r.refuse(req, tx, err)
			return
		}
		next(req, &transaction{ServerTransaction: tx, registration: g})
	}
}

// refuse answers a REGISTER that Begin did not take.
func (r *Registrar) refuse(req *sip.Request, tx sip.ServerTransaction, cause error) {
	code, reason := sip.StatusNotFound, "Not Found" // RFC 3261 section 10.3 step 5
	if errors.Is(cause, ErrMalformed) {
		code, reason = sip.StatusBadRequest, "Bad Request"
	}
	err := tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil))
	r.cfg.Logger.Debug("REGISTER refused", "code", code, "err", errors.Join(cause, err))
}

// transaction is a server transaction that commits what its 2xx grants.
type transaction struct {
	sip.ServerTransaction
	registration *Registration
	failed       atomic.Bool // the phone was told 500
}

// Unwrap returns the transaction that t decorates.
func (t *transaction) Unwrap() sip.ServerTransaction { return t.ServerTransaction }

// Respond commits and then sends res, or 500 if the commit failed. It drops
// what comes after that.
func (t *transaction) Respond(res *sip.Response) error {
	if t.failed.Load() {
		return nil
	}
	cfg := &t.registration.r.cfg
	if err := t.registration.Commit(cfg.BaseContext(), res); err != nil {
		t.failed.Store(true)
		cfg.Logger.Error("binding not stored, answered 500", "call_id", t.registration.callID, "err", err)
		res = serverError(res)
	}
	return t.ServerTransaction.Respond(res)
}

// serverError returns a 500 in place of res. It is made from res and not from
// the request, which the handler may have changed.
func serverError(res *sip.Response) *sip.Response {
	out := sip.NewResponse(sip.StatusInternalServerError, "Server Internal Error")
	for _, h := range res.Headers() {
		switch name := h.Name(); {
		case is(name, "Via"), is(name, "v"), is(name, "From"), is(name, "f"), is(name, "To"), is(name, "t"),
			is(name, "Call-ID"), is(name, "i"), is(name, "CSeq"):
			out.AppendHeader(sip.HeaderClone(h))
		}
	}
	out.SetBody(nil)
	out.SetTransport(res.MessageData.Transport())
	out.SetSource(res.MessageData.Source())
	out.SetDestination(res.MessageData.Destination())
	return out
}
