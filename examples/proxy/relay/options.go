package relay

import (
	"net/netip"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// Options sends an OPTIONS of the proxy's own to uri on f, to see whether anybody
// is there or to keep a NAT open. Done is called once, in any goroutine and
// perhaps before Options returns: with the status of the final response, or with
// why there is none, which takes 64*T1 to find out. Abandon ends it before that,
// and done is not called then, unless it is just being called.
func (r *Relay) Options(f transport.Flow, uri string, done func(status int, err error)) (abandon func()) {
	id, at := cookie+r.newTag(), r.cfg.SentBy(f)
	text := "OPTIONS " + uri + " SIP/2.0\r\n" +
		r.via(f, id) + ";rport\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:" + at + ">;tag=" + r.newTag() + "\r\n" +
		"To: <" + uri + ">\r\n" +
		"Call-ID: " + r.newTag() + r.newTag() + "\r\n" +
		"CSeq: 1 OPTIONS\r\n" +
		"Contact: <sip:" + at + ">\r\n" +
		"Accept: application/sdp\r\n" +
		"Content-Length: 0\r\n\r\n"
	c, err := r.tx.Request(f, "OPTIONS", id, []byte(text), ping(done))
	if err != nil {
		done(0, err)
		return func() {}
	}
	return c.Abandon
}

// OptionsTo is Options to where there may be no way yet; see [Network].
func (r *Relay) OptionsTo(network string, local, remote netip.AddrPort, uri string, done func(status int, err error)) (abandon func()) {
	f, err := r.cfg.Network.Dial(network, local, remote)
	if err != nil {
		done(0, err)
		return func() {}
	}
	return r.Options(f, uri, done)
}

// ping is who is told what becomes of an OPTIONS of ours.
type ping func(status int, err error)

var _ transaction.ClientUser = (ping)(nil)

// Response implements [transaction.ClientUser].
func (p ping) Response(_ *transaction.Client, m *sipmsg.Message) {
	if m.Status >= 200 {
		p(m.Status, nil)
	}
}

// Failed implements [transaction.ClientUser].
func (p ping) Failed(_ *transaction.Client, err error) { p(0, err) }

// Timer implements [transaction.ClientUser].
func (p ping) Timer(*transaction.Client) {}
