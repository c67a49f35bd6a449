package sipmsg

import (
	"errors"
	"fmt"
	"slices"

	"github.com/emiago/sipgo/sip"
)

// SIPRequest returns m as sipgo's type, for hooks and library packages: with
// the fields of these kinds, all if none is named, and the body. Every header
// field is a generic one under its long name, with its value as it came: who
// wants one taken apart does that. It is made anew on each call. The error says
// that m is no request, or that sipgo cannot read its Request-URI.
func (m *Message) SIPRequest(kinds ...Kind) (*sip.Request, error) {
	if !m.IsRequest() {
		return nil, errors.New("sipmsg: not a request")
	}
	var uri sip.Uri
	if err := sip.ParseUri(m.RequestURI, &uri); err != nil {
		return nil, fmt.Errorf("sipmsg: Request-URI: %w", err)
	}
	req := sip.NewRequest(sip.RequestMethod(m.Method), uri)
	m.appendHeaders(req, kinds)
	return req, nil
}

// appendHeaders gives the fields and the body of m to one of sipgo's types.
func (m *Message) appendHeaders(to sip.Message, kinds []Kind) {
	for i, h := range m.headers {
		if len(kinds) > 0 && !slices.Contains(kinds, h.Kind) {
			continue
		}
		name := h.Kind.String()
		if h.Kind == Other {
			name = longName(m.Name(i))
		}
		to.AppendHeader(sip.NewHeader(name, m.Value(i)))
	}
	if body := m.Body(); body != "" {
		to.SetBody([]byte(body))
	}
}
