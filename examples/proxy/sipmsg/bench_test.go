package sipmsg_test

import (
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

var benchmarkMessages = []struct{ name, raw string }{
	{"REGISTER", register},
	{"INVITE", invite},
	{"200", answer},
}

func BenchmarkParse(b *testing.B) {
	for _, bm := range benchmarkMessages {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bm.raw)))
			for b.Loop() {
				if _, err := sipmsg.Parse(bm.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPatch(b *testing.B) {
	b.Run("INVITE", func(b *testing.B) {
		m := mustParse(b, invite)
		m.Stamp(phone, true)
		p := new(sipmsg.Patch) // the relay keeps some
		b.ReportAllocs()
		for b.Loop() {
			forward(p, m)
		}
	})
	b.Run("200", func(b *testing.B) {
		m := mustParse(b, answer)
		b.ReportAllocs()
		for b.Loop() {
			p := sipmsg.NewPatch(m)
			p.RemoveTopVia()
			p.Bytes()
		}
	})
}

func BenchmarkRespond(b *testing.B) {
	m := mustParse(b, invite)
	m.Stamp(phone, true)
	b.ReportAllocs()
	for b.Loop() {
		m.Respond(100, "Trying", "")
	}
}

func BenchmarkStamp(b *testing.B) {
	m := mustParse(b, invite)
	b.ReportAllocs()
	for b.Loop() {
		m2 := *m
		m2.Stamp(phone, true)
	}
}

func BenchmarkFrame(b *testing.B) {
	buf := []byte(invite)
	b.ReportAllocs()
	for b.Loop() {
		if _, n, err := sipmsg.Frame(buf, 64<<10); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkParseNameAddr(b *testing.B) {
	for _, bm := range []struct{ name, value string }{
		{"name", `"Reception" <sip:401@tenant-a.example.com>;tag=7c1f5d03`},
		{"bare", `sip:401@tenant-a.example.com;tag=7c1f5d03`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sipmsg.ParseNameAddr(bm.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
