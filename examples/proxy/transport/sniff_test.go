package transport

import (
	"bytes"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// Whatever arrives is classified without harm, and nothing that sipmsg accepts
// is dropped.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{
		"", "\r\n\r\n", "\x00\x00", "jaK",
		"\x00\x01\x00\x00\x21\x12\xa4\x42\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
		"\r\nOPTIONS sip:a SIP/2.0\r\n\r\n",
		"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a>\r\nTo: <sip:a>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\n\r\n",
		"ACK a sip/2.0\r\nv: SIP/2.0/UDP a\r\nf: <sip:a>\r\nt: <sip:a>\r\ni: a\r\nCSeq: 1 ACK\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		k := sniff(b)
		if k < message || k >= numKinds {
			t.Errorf("kind %d", k)
		}
		if !bytes.Equal(b, before) {
			t.Error("changed")
		}
		if _, err := sipmsg.Parse(string(b)); err == nil && k != message {
			t.Errorf("kind %d for a message", k)
		}
	})
}

func BenchmarkSniff(b *testing.B) {
	for name, text := range map[string]string{
		"request":   "INVITE sip:401@a.example SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\r\n",
		"keepalive": "\r\n\r\n",
		"garbage":   "hello",
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				sniff(data)
			}
		})
	}
}
