package sipmsg_test

import (
	"testing"
	"unsafe"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// A message is kept for the life of its transaction, and there are many.
func TestMessage_Size(t *testing.T) {
	if got := unsafe.Sizeof(sipmsg.Message{}); got > 640 {
		t.Errorf("a Message takes %d bytes", got)
	}
}

func TestAllocations(t *testing.T) {
	inv, ok := mustParse(t, invite), mustParse(t, answer)
	inv.Stamp(phone, true)
	p, stream := new(sipmsg.Patch), []byte(invite)
	tests := []struct {
		name string
		do   func()
		want float64
	}{
		{"Parse", func() { sipmsg.Parse(register) }, 1},
		{"Stamp", func() { inv.Stamp(phone, true) }, 1},
		{"forward a request", func() { forward(p, inv) }, 1},
		{"forward a response", func() { p := sipmsg.NewPatch(ok); p.RemoveTopVia(); p.Bytes() }, 2},
		{"Respond", func() { inv.Respond(404, "Not Found", "tag") }, 1},
		{"Derive", func() { inv.Derive("ACK", "<sip:a>;tag=b") }, 1},
		{"Frame", func() { sipmsg.Frame(stream, 64<<10) }, 0},
		{"look up", func() { inv.Lookup("session-expires"); inv.HasToken(sipmsg.Supported, "timer") }, 0},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(100, tt.do); got > tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}
