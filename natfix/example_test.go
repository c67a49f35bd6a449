package natfix_test

import (
	"fmt"
	"log"
	"net/netip"

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
