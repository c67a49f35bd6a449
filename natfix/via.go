package natfix

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// FixVia puts received and rport into the top Via of req, so that the answer
// goes back to src whether or not the phone asked for it (RFC 3261 section
// 18.2.1, RFC 3581 section 4). Values that the sender supplied are
// overwritten. It is meant for phones: a PBX that does not ask for rport wants
// its answers at the port of its Via. Call it before anything copies the
// request. It does nothing to a request without a readable Via.
func FixVia(req *sip.Request, src netip.AddrPort) {
	via := req.Via()
	if via == nil {
		return
	}
	setParam(&via.Params, "received", src.Addr().Unmap().String())
	setParam(&via.Params, "rport", strconv.Itoa(int(src.Port())))
	// A Via that was not parsed with the message is a copy of the text: put the
	// edited one in its place.
	for i, h := range req.Headers() {
		if !strings.EqualFold(h.Name(), "Via") && !strings.EqualFold(h.Name(), "v") {
			continue
		}
		if _, ok := h.(*sip.ViaHeader); !ok {
			req.Headers()[i] = via
		}
		return
	}
}

// setParam sets the parameter of that name, in any case: the first is
// replaced, others are dropped. If there is none, it is appended.
func setParam(params *sip.HeaderParams, name, value string) {
	kept := (*params)[:0]
	found := false
	for _, kv := range *params {
		if strings.EqualFold(kv.K, name) {
			if found {
				continue
			}
			found = true
			kv = sip.HeaderKV{K: name, V: value}
		}
		kept = append(kept, kv)
	}
	if !found {
		kept = append(kept, sip.HeaderKV{K: name, V: value})
	}
	*params = kept
}
