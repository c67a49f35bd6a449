package sipmsg_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

const request = "OPTIONS sip:402@tenant-a.example SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bK77;rport\r\n" +
	"Route: <sip:proxy.example;lr>,\r\n <sip:next.example;lr>\r\n" +
	"Max-Forwards: 70\r\n" +
	"f: \"Reception\" <sip:401@tenant-a.example>;tag=a1\r\n" +
	"t: <sip:402@tenant-a.example>\r\n" +
	"i: 95762\r\n" +
	"CSeq: 1 OPTIONS\r\n" +
	"X-Anything:  as it   is\r\n" +
	"l: 0\r\n\r\n"

// A proxy notes where a request came from, puts its Via on top, takes its
// Route off, and sends the rest on as it is.
func ExamplePatch() {
	m, err := sipmsg.Parse(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	m.Stamp(netip.MustParseAddrPort("203.0.113.9:1024"), false)

	p := sipmsg.NewPatch(m)
	p.Prepend(sipmsg.Via, "Via: SIP/2.0/UDP proxy.example;branch=z9hG4bK1")
	p.SetMaxForwards(m.MaxForwards - 1)
	p.ReplaceElements(sipmsg.Route, func(route string) string {
		if strings.Contains(route, "proxy.example") {
			return ""
		}
		return route
	})
	fmt.Print(strings.ReplaceAll(string(p.Bytes()), "\r\n", "\n"))
	// Output:
	// OPTIONS sip:402@tenant-a.example SIP/2.0
	// Via: SIP/2.0/UDP proxy.example;branch=z9hG4bK1
	// Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bK77;rport=1024;received=203.0.113.9
	// Route: <sip:next.example;lr>
	// Max-Forwards: 69
	// f: "Reception" <sip:401@tenant-a.example>;tag=a1
	// t: <sip:402@tenant-a.example>
	// i: 95762
	// CSeq: 1 OPTIONS
	// X-Anything:  as it   is
	// l: 0
}

// A request that cannot be read is answered all the same, if it says where
// the answer is to go.
func ExampleMessage_Respond() {
	m, err := sipmsg.Parse(strings.Replace(request, "CSeq: 1 OPTIONS", "CSeq: 1 INVITE", 1))
	if err == nil || !m.Answerable() {
		return
	}
	fmt.Print(strings.ReplaceAll(string(m.Respond(400, "Bad Request", "b2", "Server: example")), "\r\n", "\n"))
	fmt.Println(err)
	// Output:
	// SIP/2.0 400 Bad Request
	// Via: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bK77;rport
	// f: "Reception" <sip:401@tenant-a.example>;tag=a1
	// t: <sip:402@tenant-a.example>;tag=b2
	// i: 95762
	// CSeq: 1 INVITE
	// Server: example
	// Content-Length: 0
	//
	// sipmsg: method of CSeq is not the request's
}

func ExampleParseNameAddr() {
	a, err := sipmsg.ParseNameAddr(`"Doe, Jane" <sip:jane@a.example;transport=tcp>;expires=60`)
	if err != nil {
		fmt.Println(err)
		return
	}
	expires, _ := sipmsg.Param(a.Params, "Expires")
	fmt.Println(a.Display, a.URI, expires)
	fmt.Println(a.With("sip:proxy.example"))
	// Output:
	// "Doe, Jane" sip:jane@a.example;transport=tcp 60
	// "Doe, Jane" <sip:proxy.example>;expires=60
}

func ExampleFrame() {
	stream := []byte("\r\n\r\n" + request + request[:20])
	for {
		skip, n, err := sipmsg.Frame(stream, 64<<10)
		stream = stream[skip:]
		if err != nil || n == 0 {
			fmt.Println(skip, n, err, len(stream))
			return
		}
		m, err := sipmsg.Parse(string(stream[:n]))
		fmt.Println(skip, m.Method, m.CallID, err)
		stream = stream[n:]
	}
	// Output:
	// 4 OPTIONS 95762 <nil>
	// 0 0 <nil> 20
}
