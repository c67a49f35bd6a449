package sipmsg_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// lines makes a message of lines that end as Go source does.
func lines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// What phones and PBXes send, in size and shape.
var (
	register = lines(`REGISTER sip:tenant-a.example.com SIP/2.0
Via: SIP/2.0/UDP 192.168.178.45:5060;branch=z9hG4bK-524287-1---8d9a71b6dfcb4a0c;rport
Max-Forwards: 70
Contact: <sip:401@192.168.178.45:5060;rinstance=3a91e7cb6ab6b1f2>;expires=300;+sip.instance="<urn:uuid:0b1c7e2f-90b3-4f7e-8a0e-3b2a11cd5e90>"
To: "Reception" <sip:401@tenant-a.example.com>
From: "Reception" <sip:401@tenant-a.example.com>;tag=3d1e0c55
Call-ID: 95762ODk0ZmEyMDY5NDJkMGM1MmE0ZjQzNTQ
CSeq: 2 REGISTER
Expires: 300
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, SUBSCRIBE
User-Agent: Yealink SIP-T46S 66.86.0.15 build 17
Supported: path, outbound, gruu
Authorization: Digest username="401",realm="tenant-a.example.com",nonce="1764071234/0a6d8f5d",uri="sip:tenant-a.example.com",response="5c27c6b3a1c15a4a7b2a3cf2bd0e31aa",cnonce="b64ad3f0",nc=00000001,qop=auth,algorithm=MD5
Content-Length: 0

`)

	sdp = lines(`v=0
o=- 20518 20518 IN IP4 192.168.178.45
s=SDP data
c=IN IP4 192.168.178.45
t=0 0
m=audio 11780 RTP/AVP 9 8 0 18 101
a=rtpmap:9 G722/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
`)

	invite = lines(`INVITE sip:402@tenant-a.example.com;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.168.178.45:5060;branch=z9hG4bK-524287-1---5bd1a5c0a53e0b1f;rport
Max-Forwards: 70
Route: <sip:203.0.113.5;lr>
Contact: <sip:401@192.168.178.45:5060>
To: <sip:402@tenant-a.example.com>
From: "Reception" <sip:401@tenant-a.example.com>;tag=7c1f5d03
Call-ID: 95762MjY0ZDI3NTc1MzgyZDQ4ODkzYjk3
CSeq: 1 INVITE
Session-Expires: 1800
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE
Content-Type: application/sdp
Supported: replaces, timer, 100rel
User-Agent: Yealink SIP-T46S 66.86.0.15
Content-Length: 310

`) + sdp

	answer = lines(`SIP/2.0 200 OK
Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1k3w8v6dpo5xq.1x7zk0f;received=203.0.113.5;rport=5060
Via: SIP/2.0/UDP 192.168.178.45:5060;branch=z9hG4bK-524287-1---5bd1a5c0a53e0b1f;received=198.51.100.7;rport=40312
Record-Route: <sip:203.0.113.5;lr;k=1c9a>
Contact: <sip:402@10.0.30.7:5060>
To: <sip:402@tenant-a.example.com>;tag=as5c1b8d0e
From: "Reception" <sip:401@tenant-a.example.com>;tag=7c1f5d03
Call-ID: 95762MjY0ZDI3NTc1MzgyZDQ4ODkzYjk3
CSeq: 1 INVITE
Allow: OPTIONS, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REGISTER, MESSAGE, REFER
Supported: 100rel, timer, replaces, norefersub
Session-Expires: 1800;refresher=uac
Require: timer
Server: Asterisk PBX 22.1.0
Content-Type: application/sdp
Content-Length: 310

`) + sdp
)

func mustParse(t testing.TB, raw string) *sipmsg.Message {
	t.Helper()
	m, err := sipmsg.Parse(raw)
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	return m
}

// status returns what a fault is answered with, 0 for none.
func status(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	fault, ok := errors.AsType[*sipmsg.Error](err)
	if !ok {
		t.Fatalf("%T %v, want a *sipmsg.Error", err, err)
	}
	return fault.Status
}

// with returns a small request with more header fields, on top of the others.
func with(fields string) string {
	return lines("OPTIONS sip:a.test SIP/2.0\n"+fields) + lines(`Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa
From: <sip:1@a.test>;tag=1
To: <sip:2@a.test>
Call-ID: c
CSeq: 1 OPTIONS
Content-Length: 0

`)
}

// change returns the same request with old replaced, which must be there.
func change(t testing.TB, old, text string) string {
	t.Helper()
	raw := with("Max-Forwards: 70\n")
	if !strings.Contains(raw, lines(old)) {
		t.Fatalf("no %q in the request", old)
	}
	return strings.Replace(raw, lines(old), lines(text), 1)
}

const (
	ownVia   = "Via: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK1k3w8v6dpo5xq.1x7zk0f"
	ownRoute = "Record-Route: <sip:203.0.113.5;lr;k=1c9a>"
	nextURI  = "sip:402@198.51.100.9:5062"
)

var phone = netip.MustParseAddrPort("198.51.100.7:40312")

// forward makes the changes that a proxy makes to a request (RFC 3261 section
// 16.6).
func forward(p *sipmsg.Patch, m *sipmsg.Message) []byte {
	p.Init(m)
	p.Prepend(sipmsg.Via, ownVia)
	p.Prepend(sipmsg.RecordRoute, ownRoute)
	if m.MaxForwards < 0 {
		p.SetMaxForwards(70)
	} else {
		p.SetMaxForwards(max(m.MaxForwards-1, 0))
	}
	p.SetRequestURI(nextURI)
	p.ReplaceElements(sipmsg.Route, func(e string) string {
		if strings.Contains(e, "203.0.113.5") {
			return ""
		}
		return e
	})
	return p.Bytes()
}

// forwardString is forward with a patch of its own.
func forwardString(m *sipmsg.Message) string { return string(forward(new(sipmsg.Patch), m)) }
