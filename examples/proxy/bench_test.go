package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// BenchmarkProxy measures whole transactions through the whole proxy, without
// the kernel: the socket is a script that sends what phones and PBXes would,
// and answers what the proxy sends.
func BenchmarkProxy(b *testing.B) {
	b.Run("REGISTER", func(b *testing.B) { benchmark(b, (*script).register) })
	b.Run("OPTIONS", func(b *testing.B) { benchmark(b, (*script).options) })
	b.Run("call in", func(b *testing.B) { benchmark(b, (*script).callIn) })
	b.Run("recorded call in", func(b *testing.B) { benchmark(b, (*script).callIn, recording(b)) })
}

// recording has a proxy make records of calls, which nobody keeps.
func recording(b *testing.B) func(*Proxy) {
	cfg := callsConfig{Dir: b.TempDir(), DialogTimeout: time.Hour, Log: slog.New(slog.DiscardHandler)}
	cfg.Sinks = sinks("none", func(context.Context, []acct.Record) error { return nil })
	return func(p *Proxy) {
		var err error
		if p.calls, err = newCalls(cfg); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := p.calls.close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// heap returns what is live, after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var (
	benchProxy = netip.MustParseAddrPort("127.0.0.1:5060")
	benchPBX   = netip.MustParseAddrPort("127.0.1.10:5060")
	benchPhone = netip.MustParseAddrPort("127.0.2.10:5060")
)

func benchmark(b *testing.B, begin func(*script), change ...func(*Proxy)) {
	cfg, err := config.Parse([]byte(`
listen: ["udp:127.0.0.1:5060"]
admin: ""
secret: "sixteen characters"
log: {calls: off}
tenants: [{setid: 10, domains: [tenant-a.test], destinations: [{uri: "sip:127.0.1.10:5060"}]}]
`), "bench", func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	p, err := newProxy(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range change {
		f(p)
	}
	s := &script{left: b.N, begin: begin, done: make(chan struct{}), closed: make(chan struct{})}
	s.prepare()
	if err := p.transport.ServePacket(s); err != nil {
		b.Fatal(err)
	}
	before := heap()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { served <- p.serve(ctx) }()
	<-s.done
	b.StopTimer()
	b.ReportMetric(float64(heap()-before)/float64(b.N), "live-B/op")
	cancel()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
	if s.fault != nil {
		b.Fatal(s.fault)
	}
}

// script is a socket.
type script struct {
	left    int
	begin   func(*script)
	serial  int
	queue   []datagram
	contact string // what the PBX knows the phone by
	prelude bool
	fault   error
	done    chan struct{}
	closed  chan struct{}
}

type datagram struct {
	text string
	from netip.AddrPort
}

// prepare queues the registration of the phone.
func (s *script) prepare() {
	s.prelude = true
	s.register()
}

func (s *script) put(from netip.AddrPort, format string, args ...any) {
	s.queue = append(s.queue, datagram{strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\r\n"), from})
}

func (s *script) register() {
	s.serial++
	s.put(benchPhone, `REGISTER sip:tenant-a.test SIP/2.0
Via: SIP/2.0/UDP 127.0.2.10:5060;branch=z9hG4bKr%d
Max-Forwards: 70
From: <sip:401@tenant-a.test>;tag=r%[1]d
To: <sip:401@tenant-a.test>
Call-ID: 72236446d3864c84
CSeq: %[1]d REGISTER
Contact: <sip:401@127.0.2.10:5060;line=8a7b>;expires=3600
User-Agent: Yealink SIP-T46U 108.86.0.118
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, INFO, UPDATE
Authorization: Digest username="401", realm="asterisk", nonce="1795325083/039e3ed80f221ea7a093d8a3d5b2e867", uri="sip:tenant-a.test", response="981e24c245b17b8bc6bca89475f434ff", opaque="16d64c966998b490", cnonce="691ed3c7c89b93ab", qop=auth, nc=00000001
Content-Length: 0

`, s.serial)
}

func (s *script) options() {
	s.serial++
	s.put(benchPBX, `OPTIONS %s SIP/2.0
Via: SIP/2.0/UDP 127.0.1.10:5060;rport;branch=z9hG4bKPj%d
From: <sip:401@127.0.1.10>;tag=2321b8b9
To: <sip:401@127.0.0.1>
Contact: <sip:401@127.0.1.10:5060>
Call-ID: 966d2dc8-f923-4ccf-866e-%[2]d
CSeq: 28596 OPTIONS
Max-Forwards: 70
User-Agent: Asterisk PBX 20.11.0
Content-Length:  0

`, s.contact, s.serial)
}

const sdp = `v=0
o=- 1763783000 1763783000 IN IP4 127.0.1.10
s=Asterisk
c=IN IP4 127.0.1.10
t=0 0
m=audio 18000 RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=sendrecv
`

func (s *script) callIn() {
	s.serial++
	s.put(benchPBX, `INVITE %s SIP/2.0
Via: SIP/2.0/UDP 127.0.1.10:5060;rport;branch=z9hG4bKPj%d
From: "A 402" <sip:402@127.0.1.10>;tag=f5d82425-0c8e-4b6a-a3fc-8d066ea43433
To: <sip:401@127.0.0.1>
Contact: <sip:asterisk@127.0.1.10:5060>
Call-ID: 555d40fb-7b92-48f8-b5bc-%[2]d
CSeq: 15027 INVITE
Allow: OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER, MESSAGE
Supported: 100rel, timer, replaces, norefersub, histinfo
Session-Expires: 1800
Min-SE: 90
Max-Forwards: 70
User-Agent: Asterisk PBX 20.11.0
Content-Type: application/sdp
Content-Length: %d

%s`, s.contact, s.serial, len(sdp)+strings.Count(sdp, "\n"), sdp)
}

// ReadFromUDPAddrPort hands out the next datagram.
func (s *script) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if len(s.queue) == 0 {
		if s.left == 0 || s.fault != nil {
			close(s.done)
			<-s.closed
			return 0, netip.AddrPort{}, net.ErrClosed
		}
		s.left--
		s.begin(s)
	}
	d := s.queue[0]
	s.queue = s.queue[1:]
	return copy(b, d.text), d.from, nil
}

// WriteToUDPAddrPort answers what the proxy sends.
func (s *script) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	m, err := sipmsg.Parse(string(b))
	switch {
	case err != nil:
		s.fault = err
	case m.Status == 200 && m.CSeqMethod == "INVITE" && to == benchPBX:
		s.inDialog(m)
	case m.Status >= 300:
		s.fault = fmt.Errorf("answered %d", m.Status)
	case m.Method == "REGISTER":
		a, _ := sipmsg.ParseNameAddr(m.Get(sipmsg.Contact))
		s.contact = a.URI
		s.answer(m, to, 200, "Contact: <"+a.URI+">;expires=3600")
	case m.Method == "INVITE":
		s.answer(m, to, 180, "Contact: <sip:401@127.0.2.10:5060>")
		s.answer(m, to, 200, "Contact: <sip:401@127.0.2.10:5060>")
	case m.Method == "OPTIONS", m.Method == "BYE":
		s.answer(m, to, 200)
	}
	return len(b), nil
}

func (s *script) answer(m *sipmsg.Message, from netip.AddrPort, status int, extra ...string) {
	for i := range m.All(sipmsg.RecordRoute) {
		extra = append(extra, "Record-Route: "+m.Value(i))
	}
	s.queue = append(s.queue, datagram{string(m.Respond(status, "OK", "callee", extra...)), from})
}

// inDialog sends the ACK and the BYE of an answered call.
func (s *script) inDialog(m *sipmsg.Message) {
	for seq, method := range []string{"ACK", "BYE"} {
		s.put(benchPBX, `%s sip:401@127.0.2.10:5060 SIP/2.0
Via: SIP/2.0/UDP 127.0.1.10:5060;rport;branch=z9hG4bKPj%[1]s%[2]d
From: %[3]s
To: %[4]s
Call-ID: %[5]s
CSeq: %[6]d %[1]s
Route: %[7]s
Max-Forwards: 70
User-Agent: Asterisk PBX 20.11.0
Content-Length:  0

`, method, s.serial, m.Get(sipmsg.From), m.Get(sipmsg.To), m.CallID, 15027+seq, m.Get(sipmsg.RecordRoute))
	}
}

// The rest of net.PacketConn.

func (s *script) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errors.ErrUnsupported }
func (s *script) WriteTo([]byte, net.Addr) (int, error)  { return 0, errors.ErrUnsupported }
func (s *script) LocalAddr() net.Addr                    { return net.UDPAddrFromAddrPort(benchProxy) }
func (s *script) SetDeadline(time.Time) error            { return nil }
func (s *script) SetReadDeadline(time.Time) error        { return s.Close() } // it is told to stop
func (s *script) SetWriteDeadline(time.Time) error       { return nil }
func (s *script) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}
