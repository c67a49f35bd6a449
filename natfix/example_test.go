package natfix_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

func ExampleDetect() {
	req := sip.NewRequest(sip.INVITE, sip.Uri{User: "402", Host: "tenant-a.test"})
	req.AppendHeader(sip.NewHeader("Via", "SIP/2.0/UDP 192.168.0.66:2048;branch=z9hG4bK1"))
	req.AppendHeader(sip.NewHeader("Contact", "<sip:401@192.168.0.66:2048>"))

	signs := natfix.Detect(req, netip.MustParseAddrPort("198.51.100.7:49152"))
	fmt.Println(signs)
	fmt.Println("behind NAT:", signs&natfix.DefaultSigns != 0)
	// Output:
	// private-contact,diff-ip-src-via,private-via,diff-port-src-via,diff-ip-src-contact,diff-port-src-contact
	// behind NAT: true
}

func ExampleParseSigns() {
	signs, err := natfix.ParseSigns("private-contact, diff-ip-src-via, 16")
	fmt.Println(signs, err)
	// Output: private-contact,diff-ip-src-via,diff-port-src-via <nil>
}

// A proxy marks the Contact of an INVITE, and finds the phone when the other
// side sends its re-INVITE or BYE there.
func ExampleAliaser() {
	aliaser, err := natfix.NewAliaser([]byte("at least 16 random bytes"))
	if err != nil {
		log.Fatal(err)
	}
	flow := location.Flow{
		Transport: "udp",
		Remote:    netip.MustParseAddrPort("198.51.100.7:49152"),
		Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
	}
	contact, _ := aliaser.Append(nil, "sip:401@192.168.0.66:2048;line=x8kmhe6a", flow)
	fmt.Println(string(contact))

	back, uri, err := aliaser.Parse(string(contact))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(uri, "over", back.Transport, "to", back.Remote)
	// Output:
	// sip:401@192.168.0.66:2048;line=x8kmhe6a;alias=QcYzZAfAAMAAAgETxP_icipxPB_6
	// sip:401@192.168.0.66:2048;line=x8kmhe6a over udp to 198.51.100.7:49152
}

func ExampleNext() {
	hop, err := natfix.Next(location.Binding{
		Contact: "sip:401@192.168.0.66:2048;line=x8kmhe6a",
		Flow:    location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("198.51.100.7:49152")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("INVITE", hop.RequestURI)
	fmt.Println("to", hop.Remote, "over", hop.Transport)
	// Output:
	// INVITE sip:401@192.168.0.66:2048;line=x8kmhe6a
	// to 198.51.100.7:49152 over udp
}

// A server repairs the SDP of a phone's INVITE before it sends it on.
func ExampleFixSDP() {
	req := sip.NewRequest(sip.INVITE, sip.Uri{User: "402", Host: "tenant-a.test"})
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody([]byte("v=0\r\no=- 3 1 IN IP4 10.0.0.7\r\ns=-\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"))

	flow := location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("198.51.100.7:49152")}
	if body, ok := natfix.FixSDP(natfix.SDPAuto, flow, req.ContentType().Value(), string(req.Body())); ok {
		req.SetBody([]byte(body)) // and Content-Length with it
	}
	fmt.Println(req.ContentLength())
	fmt.Print(strings.ReplaceAll(string(req.Body()), "\r", ""))
	// Output:
	// Content-Length: 90
	// v=0
	// o=- 3 1 IN IP4 10.0.0.7
	// s=-
	// c=IN IP4 198.51.100.7
	// t=0 0
	// m=audio 40000 RTP/AVP 8
}

// A server pings its phones and drops those that do not answer.
func ExampleKeepalive() {
	store := location.NewMemory(location.MemoryConfig{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	aor, err := location.ParseAOR("401@tenant-a.test")
	if err != nil {
		log.Fatal(err)
	}
	store.Merge(aor, location.Binding{
		Contact: "sip:401@192.168.0.66:2048",
		Flow:    location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("198.51.100.7:49152")},
		Expires: time.Now().Add(time.Hour),
	})
	keepalive, err := natfix.NewKeepalive(natfix.KeepaliveConfig{
		Entries:  store.All,
		Interval: func(location.Entry) time.Duration { return time.Second },
		Ping: func(e location.Entry, result func(alive bool)) {
			fmt.Println("OPTIONS", e.Binding.Contact, "to", e.Binding.Flow.Remote)
			result(false) // as if the transaction had timed out
		},
		MaxLost: 1,
		Lost: func(e location.Entry) {
			fmt.Println(e.AOR, "is lost")
			cancel()
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := keepalive.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// OPTIONS sip:401@192.168.0.66:2048 to 198.51.100.7:49152
	// 401@tenant-a.test is lost
}
