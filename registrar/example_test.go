package registrar_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// Any handler that forwards REGISTER and answers with what comes back can be
// wrapped.
func ExampleRegistrar_Wrap() {
	reg, err := registrar.New(registrar.Config{
		Store: location.NewMemory(location.MemoryConfig{}),
		Hooks: registrar.Hooks{Committed: func(c registrar.Commit) {
			fmt.Println(c.AOR, "has changed, err:", c.Err)
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ua, err := sipgo.NewUA()
	if err != nil {
		log.Fatal(err)
	}
	defer ua.Close()
	srv, err := sipgo.NewServer(ua)
	if err != nil {
		log.Fatal(err)
	}
	forward := func(req *sip.Request, tx sip.ServerTransaction) {
		// Send req to the PBX, pass what it answers to tx.Respond.
	}
	srv.OnRegister(reg.Wrap(forward))
	fmt.Println(srv.RegisteredMethods())
	// Output: [REGISTER]
}

// An engine of its own kind calls Begin when the request comes, and Commit
// before it passes the answer on.
func ExampleRegistrar_Begin() {
	store := location.NewMemory(location.MemoryConfig{})
	reg, err := registrar.New(registrar.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	req, res := exampleMessages()
	flow := location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("198.51.100.7:49152")}

	registration, err := reg.Begin(req, flow)
	if err != nil {
		log.Fatal(err) // answer 400
	}
	ctx := context.Background()
	if err := registration.Commit(ctx, res); err != nil {
		log.Fatal(err) // answer 500 in place of res
	}
	bindings, err := store.Lookup(ctx, registration.AOR())
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range bindings {
		fmt.Println(registration.AOR(), "is at", b.Contact, "and reached over", b.Flow.Remote, "for", b.Expires.Sub(b.Updated))
	}
	// Output: 401@tenant-a.test is at sip:401@192.168.0.66:5060 and reached over 198.51.100.7:49152 for 2m0s
}

// exampleMessages returns a REGISTER that asks for an hour, and a 200 that
// grants two minutes.
func exampleMessages() (*sip.Request, *sip.Response) {
	msg, err := sip.ParseMessage([]byte("REGISTER sip:tenant-a.test SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.168.0.66:5060;branch=z9hG4bK1;rport\r\n" +
		"From: <sip:401@tenant-a.test>;tag=1\r\n" +
		"To: <sip:401@tenant-a.test>\r\n" +
		"Call-ID: a\r\n" +
		"CSeq: 2 REGISTER\r\n" +
		"Contact: <sip:401@192.168.0.66:5060>\r\n" +
		"Expires: 3600\r\n" +
		"Content-Length: 0\r\n\r\n"))
	if err != nil {
		log.Fatal(err)
	}
	req := msg.(*sip.Request)
	res := sip.NewResponseFromRequest(req, 200, "OK", nil)
	res.AppendHeader(sip.NewHeader("Contact", "<sip:401@192.168.0.66:5060>;expires=120"))
	return req, res
}
