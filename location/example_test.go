package location_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/sipward/sipward/location"
)

// Extension 201 of one tenant registers; the same extension of another tenant
// stays unreachable.
func Example() {
	ctx := context.Background()
	store := location.NewMemory(location.MemoryConfig{})

	bob, err := location.ParseAOR("sip:201@tenant-a.example:5060")
	if err != nil {
		log.Fatal(err)
	}
	err = store.Apply(ctx, bob, location.Change{
		CallID: "7f3e@10.1.2.3",
		CSeq:   1,
		Put: []location.Binding{{
			Contact: "sip:201@10.1.2.3:5062;line=x7",
			Flow:    location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("203.0.113.5:40123")},
			Q:       location.QUnspecified,
			CallID:  "7f3e@10.1.2.3",
			CSeq:    1,
			Expires: time.Now().Add(time.Hour),
			Updated: time.Now(),
		}},
		Keep: 10,
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, s := range []string{"sip:201@TENANT-A.example", "sip:201@tenant-b.example"} {
		aor, err := location.ParseAOR(s)
		if err != nil {
			log.Fatal(err)
		}
		bs, err := store.Lookup(ctx, aor)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(aor, len(bs))
		for _, b := range bs {
			fmt.Println("  call", b.Contact, "at", b.Flow.Remote)
		}
	}
	// Output:
	// 201@tenant-a.example 1
	//   call sip:201@10.1.2.3:5062;line=x7 at 203.0.113.5:40123
	// 201@tenant-b.example 0
}

func ExampleParseAOR() {
	for _, s := range []string{"sips:Bob@PBX.example.:5061;user=phone", "b%6Fb@[2001:DB8::1]", "tel:+1555"} {
		aor, err := location.ParseAOR(s)
		fmt.Println(aor, err)
	}
	// Output:
	// Bob@pbx.example <nil>
	// bob@[2001:db8::1] <nil>
	//  location: AOR "tel:+1555": neither sip nor sips URI
}

func ExampleParseContacts() {
	contacts, err := location.ParseContacts([]string{
		`"Desk, 2nd floor" <sip:201@10.1.2.3;line=x7>;q=0.7;+sip.instance="<urn:uuid:0-1>";reg-id=1, sip:201@10.1.2.4;expires=0`,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range contacts {
		seconds, ok := c.Expires()
		fmt.Println(c.URI, c.Q(), c.Instance(), c.RegID(), seconds, ok)
	}
	// Output:
	// sip:201@10.1.2.3;line=x7 700 <urn:uuid:0-1> 1 0 false
	// sip:201@10.1.2.4 -1  0 0 true
}

func ExampleEqualURI() {
	fmt.Println(location.EqualURI("sip:%61lice@atlanta.example;transport=TCP", "sip:alice@AtLanTa.example;Transport=tcp"))
	fmt.Println(location.EqualURI("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060"))
	// Output:
	// true
	// false
}

// Observe gives a store metrics; As reaches through it.
func ExampleObserve() {
	memory := location.NewMemory(location.MemoryConfig{})
	store := location.Observe(memory, func(_ context.Context, op string, _ time.Duration, err error) {
		fmt.Println(op, err)
	})

	bob, err := location.MakeAOR("bob", "a.example")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Lookup(context.Background(), bob); err != nil {
		log.Fatal(err)
	}
	if p, ok := location.As[location.Purger](store); ok {
		n, err := p.Purge(context.Background(), 1000)
		fmt.Println("purged", n, err)
	}
	// Output:
	// lookup <nil>
	// purged 0 <nil>
}
