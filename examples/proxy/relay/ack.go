package relay

import (
	"hash/maphash"
	"sync"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// forwardAck sends an ACK for a 2xx on, without state (R26).
func (c *Context) forwardAck(p *Plan) {
	if len(p.Targets) == 0 || len(p.Targets[0]) == 0 {
		c.drop()
		return
	}
	t := &p.Targets[0][0]
	f, err := c.open(t)
	if err == nil {
		err = f.Send(c.request(t, f, c.newBranch(), c.breadth()))
	}
	if err != nil { // the 2xx will come again, and another ACK
		c.drop()
		return
	}
	c.relay.counters.forwarded.Add(1)
}

// dialogs remembers for 64*T1 who answered an INVITE, for ACKs that come
// without our Route (P-24).
type dialogs struct {
	mu    sync.Mutex
	flows map[uint64]transport.Flow
}

func (r *Relay) dialogKey(m *sipmsg.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(m.CallID)
	h.WriteByte(0)
	h.WriteString(m.FromTag)
	h.Write([]byte{0, byte(m.CSeq), byte(m.CSeq >> 8), byte(m.CSeq >> 16), byte(m.CSeq >> 24)})
	return h.Sum64()
}

func (d *dialogs) put(key uint64, f transport.Flow) {
	d.mu.Lock()
	d.flows[key] = f
	d.mu.Unlock()
}

func (d *dialogs) get(key uint64) transport.Flow {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flows[key]
}

func (d *dialogs) remove(key uint64) {
	d.mu.Lock()
	delete(d.flows, key)
	d.mu.Unlock()
}
