package relay

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/location"
)

// hangUp ends the call that a 2xx to an INVITE has begun, if the caller has had
// another final response and will not do it: the callee would talk to nobody,
// and repeat its 2xx. Each 2xx gets its ACK, the first one a BYE as well.
func (c *Context) hangUp(b *branch, m *sipmsg.Message) {
	if !c.invite {
		return
	}
	contact, _ := sipmsg.CutElement(m.Get(sipmsg.Contact))
	a, err := sipmsg.ParseNameAddr(contact)
	if err != nil {
		return
	}
	if _, err := location.ParseURI(a.URI); err != nil {
		return
	}
	id := cookie + c.relay.newTag()
	b.client.Flow().Send(c.inDialog(b, m, a.URI, "ACK", id, 0))
	if b.hungUp {
		return
	}
	b.hungUp = true
	id = cookie + c.relay.newTag()
	bye := c.inDialog(b, m, a.URI, "BYE", id, 1)
	c.relay.tx.Request(b.client.Flow(), "BYE", id, bye, transaction.Ignore{}) // if it is lost, the callee gives up by itself
}

// inDialog writes a request without a body in the dialog that m, the answer of
// b, has begun, as its caller would from where we are.
func (c *Context) inDialog(b *branch, m *sipmsg.Message, uri, method, id string, after uint32) []byte {
	f := b.client.Flow()
	lines := []string{
		method + " " + uri + " SIP/2.0",
		c.relay.via(f, id),
		"Max-Forwards: 70",
	}
	if route := c.routeBehind(m); route != "" {
		lines = append(lines, "Route: "+route)
	}
	lines = append(lines,
		"From: "+m.Get(sipmsg.From),
		"To: "+m.Get(sipmsg.To),
		"Call-ID: "+m.CallID,
		"CSeq: "+strconv.FormatUint(uint64(m.CSeq+after), 10)+" "+method,
		"Content-Length: 0", "", "")
	return []byte(strings.Join(lines, "\r\n"))
}

// routeBehind returns the route of the dialog from us on: the Record-Routes of
// those between us and the callee, who stand before ours.
func (c *Context) routeBehind(m *sipmsg.Message) string {
	var route []string
	for i := range m.All(sipmsg.RecordRoute) {
		for rest := m.Value(i); rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			if _, own := c.relay.ownAddress(e); own {
				slices.Reverse(route)
				return strings.Join(route, ", ")
			}
			route = append(route, e)
		}
	}
	return "" // ours is not among them: they are the caller's side
}
