package guard_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// Somebody guesses passwords. The PBX challenges each REGISTER; the guard is told
// what becomes of them, and has enough of it after ten.
func Example() {
	g, err := guard.New(guard.Config{
		OnBan: func(e guard.Event) { fmt.Println("banned:", e.Prefix, "for", e.Reason) },
	})
	if err != nil {
		panic(err)
	}
	now := time.Now()
	g.SetTrusted([]netip.Prefix{netip.MustParsePrefix("192.0.2.5/32")}, now) // the PBX

	src := guard.Source{Addr: netip.MustParseAddrPort("203.0.113.9:5060"), Transport: "udp"}
	challenge := `Digest realm="a.example", nonce="4f2a"`
	g.Registered(src, guard.Registration{Status: 401, Challenges: []string{challenge}}, now)
	guesses := 0
	for ; g.Admit(src, now) == guard.Served; guesses++ {
		f := g.Registered(src, guard.Registration{
			Status:      401,
			Credentials: `Digest username="401", nonce="4f2a", response="5c27"`,
			Challenges:  []string{challenge},
		}, now)
		if guesses == 0 {
			fmt.Println(f.RegistrationLine("401@a.example", src.Addr, 401, "Unauthorized"))
		}
	}
	fmt.Println(guesses, "guesses")
	// Output:
	// registration failed: 401@a.example from 203.0.113.9:5060 response 401 Unauthorized
	// banned: 203.0.113.9/32 for failed_registration
	// 10 guesses
}

// A tenant may have two calls at a time.
func ExampleCeilings() {
	c := guard.NewCeilings()
	if err := c.Set(guard.Ceiling{}, map[int]guard.Ceiling{10: {Calls: 2}}); err != nil {
		panic(err)
	}
	now := time.Now()
	var last *guard.Seat
	for range 3 {
		err := c.Call(10, true, now)
		if err == nil {
			last = c.Begin(10, now)
		}
		fmt.Println(err)
	}
	last.End() // it is hung up
	fmt.Println(c.Call(10, true, now))
	// Output:
	// <nil>
	// <nil>
	// guard: set 10 has its 2 calls
	// <nil>
}
