package transport

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// RFC 5769 section 2.1's transaction and addresses; RFC 8489 sections 6.3.1 and
// 14.2: who asks exactly as a keepalive does is told its address. Anything else
// is not answered, but a request that wants to be understood in full.
func TestAnswerSTUN(t *testing.T) {
	const (
		id       = "2112a442b7e7a701bc34d686fa87dfae"
		software = "80220005746573740a000000"
	)
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:32853"), netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853")
	tests := []struct {
		name, request string
		from          netip.AddrPort
		want          string
	}{
		{"IPv4", "00010000" + id, v4, "0101000c" + id + "002000080001a147e112a643"},
		{"IPv6", "00010000" + id, v6, "01010018" + id + "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
		{"optional attribute", "0001000c" + id + software, v4, "0101000c" + id + "002000080001a147e112a643"},
		{"unknown attribute", "0001000c" + id + "000300040000000680280000", v4, "01110010" + id + "0009000400000414000a000200030000"},
		{"unknown attributes", "0001000c" + id + "00030004000000067ffe0000", v4, "01110010" + id + "0009000400000414000a000400037ffe"},
		{"indication", "00110000" + id, v4, ""},
		{"response", "01010000" + id, v4, ""},
		{"other method", "00030000" + id, v4, ""},
		{"length too large", "00010004" + id, v4, ""},
		{"length too small", "00010000" + id + software, v4, ""},
		{"half an attribute", "00010002" + id + "8022", v4, ""},
		{"attribute beyond the end", "00010004" + id + "80220001", v4, ""},
		{"attribute not padded", "00010005" + id + "8022000141", v4, ""},
	}
	for _, tt := range tests {
		request, err := hex.DecodeString(tt.request)
		if err != nil {
			t.Fatal(err)
		}
		if sniff(request) != stun {
			t.Errorf("%s: not taken for STUN", tt.name)
		}
		if got := hex.EncodeToString(answerSTUN(request, tt.from)); got != tt.want {
			t.Errorf("%s: answer %s, want %s", tt.name, got, tt.want)
		}
	}
}

// No input does harm, and no answer is of use against who did not ask.
func FuzzAnswerSTUN(f *testing.F) {
	header := "\x00\x01\x00\x00\x21\x12\xa4\x42" + strings.Repeat("\x07", 12)
	f.Add([]byte(header), false)
	f.Add([]byte("\x00\x01\x00\x08"+header[4:]+"\x00\x03\x00\x04\x00\x00\x00\x06"), true)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		if sniff(b) != stun {
			return
		}
		from := netip.MustParseAddrPort("192.0.2.1:1")
		if v6 {
			from = netip.MustParseAddrPort("[2001:db8::1]:1")
		}
		id, size := string(b[4:20]), len(b)
		answer := answerSTUN(bytes.Clone(b), from)
		if answer == nil {
			return
		}
		if len(answer) > size+24 || len(answer)%4 != 0 || string(answer[4:20]) != id {
			t.Errorf("answer %x to %x", answer, b)
		}
		if sniff(answer) != stun || answerSTUN(answer, from) != nil {
			t.Errorf("the answer %x would be answered", answer)
		}
	})
}

func BenchmarkAnswerSTUN(b *testing.B) {
	request := []byte("\x00\x01\x00\x00\x21\x12\xa4\x42" + strings.Repeat("\x07", 12))
	buf := make([]byte, 0, 100)
	from := netip.MustParseAddrPort("192.0.2.1:1")
	b.ReportAllocs()
	for b.Loop() {
		answerSTUN(append(buf, request...), from)
	}
}
