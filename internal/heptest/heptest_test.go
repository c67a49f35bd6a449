package heptest_test

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/heptest"
)

// TestDecode: the example in the specification is read as it is explained there.
func TestDecode(t *testing.T) {
	b, err := hex.DecodeString("48455033" + "0071" +
		"00000001000702" + "00000002000711" + "00000003000ad4ca0001" + "00000004000a527400d3" +
		"0000000700082eea" + "00000008000813c4" + "00000009000a4e4982cb" + "0000000a000a0001d4c0" +
		"0000000b000701" + "0000000c000a000000e4" + "0000000f0014494e56495445207369703a626f62")
	if err != nil {
		t.Fatal(err)
	}
	want := heptest.Packet{
		Protocol: 17, Source: netip.MustParseAddrPort("212.202.0.1:12010"), Destination: netip.MustParseAddrPort("82.116.0.211:5060"),
		Time: time.Date(2011, 8, 15, 20, 34, 19, 120_000_000, time.UTC), Type: 1, Agent: 228, Payload: "INVITE sip:bob",
	}
	if got, err := heptest.Decode(b); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range b {
		if _, err := heptest.Decode(b[:i]); err == nil {
			t.Errorf("%d bytes of it are no packet", i)
		}
	}
}
