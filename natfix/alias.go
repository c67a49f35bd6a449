package natfix

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"sync"

	"github.com/sipward/sipward/location"
)

var (
	// ErrNoAlias reports a URI without an alias of ours.
	ErrNoAlias = errors.New("natfix: no alias")
	// ErrForged reports an alias that was not made with this secret, or was
	// changed since.
	ErrForged = errors.New("natfix: forged alias")
	// ErrSecret reports a secret that is too short to protect anything.
	ErrSecret = errors.New("natfix: secret shorter than 16 bytes")
)

const (
	aliasName = "alias"
	minSecret = 16
	macSize   = 8
	// maxToken is the longest alias in bytes: head, two IPv6 addresses with
	// ports, and the MAC.
	maxToken = 1 + 2*(16+2) + macSize
	maxAlias = (maxToken*8 + 5) / 6

	// macLabel keeps MACs of other uses of the same secret apart from ours.
	macLabel = "alias"
)

// Aliaser writes flows into Contact URIs and reads them back. The flow is in
// the parameter itself, authenticated with a secret, so a proxy needs no state
// to send a request to the phone it belongs to, and finds it after a restart
// or on another instance with the same secret.
//
// An alias names a flow; it does not bind it to the rest of the URI, which
// user agents may rewrite by the rules of RFC 3261 section 19.1.4. Whoever has
// seen an alias can send to that flow through the proxy and nowhere else.
//
// An Aliaser is safe for concurrent use.
type Aliaser struct {
	encoding *base64.Encoding
	macs     sync.Pool // of *macState
	former   *Aliaser  // with the secret before; nil: none
}

// macState is what one computation needs; pooled, since a hash.Hash makes its
// arguments escape.
type macState struct {
	hash hash.Hash
	buf  [len(macLabel) + maxToken]byte
	sum  [sha256.Size]byte
}

// NewAliaser returns an Aliaser for secret, which must be random and the same
// on all instances of a proxy. What was made with a former secret is read as
// well, so that a new one ends no call. It keeps no reference to any of them. A
// secret of less than 16 bytes is ErrSecret.
func NewAliaser(secret []byte, former ...[]byte) (a *Aliaser, err error) {
	if len(secret) < minSecret {
		return nil, ErrSecret
	}
	key := append([]byte(nil), secret...)
	a = &Aliaser{
		encoding: base64.RawURLEncoding.Strict(),
		macs: sync.Pool{New: func() any {
			return &macState{hash: hmac.New(sha256.New, key)}
		}},
	}
	if len(former) > 0 {
		a.former, err = NewAliaser(former[0], former[1:]...)
	}
	return a, err
}

// Append appends uri to dst with an alias parameter for flow, placed behind the
// other URI parameters and before the headers. If uri is no SIP or SIPS URI, or
// flow has no remote address, an unknown transport or an IPv6 zone, uri is
// appended as it is and ok is false. A Local that is not valid is kept so.
//
// The parameter grows uri by 35 bytes with IPv4.
func (a *Aliaser) Append(dst []byte, uri string, flow location.Flow) (out []byte, ok bool) {
	start := hostStart(uri)
	if start < 0 {
		return append(dst, uri...), false
	}
	end := paramsEnd(uri, start)
	out = append(dst, uri[:end]...)
	out = append(out, ";"+aliasName+"="...)
	out, ok = a.appendValue(out, flow)
	if !ok {
		return append(dst, uri...), false
	}
	return append(out, uri[end:]...), true
}

// Parse returns the flow of the alias in uri, and uri without it, byte for byte
// as it was before Append. Without an alias of ours the error is ErrNoAlias and
// rest is uri: the parameter of that name in a form that is not ours belongs to
// another proxy. If the alias is not authentic the error is ErrForged.
func (a *Aliaser) Parse(uri string) (flow location.Flow, rest string, err error) {
	start, end := findAlias(uri)
	if start < 0 {
		return location.Flow{}, uri, ErrNoAlias
	}
	text := uri[start+len(";"+aliasName+"=") : end]
	if len(text) > maxAlias {
		return location.Flow{}, uri, ErrNoAlias
	}
	m := a.macs.Get().(*macState)
	defer a.macs.Put(m)
	buf := append(m.buf[:0], macLabel...)
	var ascii [maxAlias]byte
	buf, err = a.encoding.AppendDecode(buf, ascii[:copy(ascii[:], text)])
	if err != nil {
		return location.Flow{}, uri, ErrNoAlias
	}
	token := buf[len(macLabel):]
	flow, ok := parseFlow(token[:max(len(token)-macSize, 0)])
	if !ok {
		return location.Flow{}, uri, ErrNoAlias
	}
	payload := len(buf) - macSize
	if !hmac.Equal(m.of(buf[:payload]), buf[payload:]) {
		if a.former != nil {
			return a.former.Parse(uri)
		}
		return location.Flow{}, uri, ErrForged
	}
	if end == len(uri) {
		return flow, uri[:start], nil
	}
	return flow, uri[:start] + uri[end:], nil
}

// of returns the truncated MAC of data, valid until the next call.
func (m *macState) of(data []byte) []byte {
	m.hash.Reset()
	m.hash.Write(data)
	return m.hash.Sum(m.sum[:0])[:macSize]
}

// appendValue appends the value of an alias parameter.
func (a *Aliaser) appendValue(dst []byte, flow location.Flow) ([]byte, bool) {
	m := a.macs.Get().(*macState)
	defer a.macs.Put(m)
	buf, ok := appendFlow(append(m.buf[:0], macLabel...), flow)
	if !ok {
		return dst, false
	}
	buf = append(buf, m.of(buf)...)
	return a.encoding.AppendEncode(dst, buf[len(macLabel):]), true
}
