package dispatcher_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sipward/sipward/dispatcher"
)

// A phone meets the same PBX each time. When it fails, its phones, and no
// others, go to the next one in their order.
func ExampleDispatcher() {
	d := dispatcher.New(dispatcher.Config{})
	dst := []dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10", Weight: 1},
		{SetID: 10, URI: "sip:10.0.1.11", Weight: 1},
		{SetID: 10, URI: "sip:10.0.1.12", Weight: 1},
	}
	if err := d.Update(dst); err != nil {
		fmt.Println(err)
		return
	}
	show := func() {
		var buf [8]dispatcher.Destination
		for _, aor := range []string{"201@tenant-a.test", "202@tenant-a.test", "401@tenant-a.test"} {
			order, err := d.Select(10, aor, buf[:0])
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(aor, "→", order[0].URI)
		}
	}
	show()

	fmt.Println("10.0.1.11 fails")
	dst[1].State = dispatcher.Probing
	if err := d.Update(dst); err != nil {
		fmt.Println(err)
		return
	}
	show()

	_, err := d.Select(11, "201@tenant-a.test", nil)
	fmt.Println(errors.Is(err, dispatcher.ErrNoSet))
	// Output:
	// 201@tenant-a.test → sip:10.0.1.11
	// 202@tenant-a.test → sip:10.0.1.11
	// 401@tenant-a.test → sip:10.0.1.10
	// 10.0.1.11 fails
	// 201@tenant-a.test → sip:10.0.1.12
	// 202@tenant-a.test → sip:10.0.1.12
	// 401@tenant-a.test → sip:10.0.1.10
	// true
}

// The algorithm of a configuration file says what to take for the key.
func ExampleParseAlgorithm() {
	algorithm, err := dispatcher.ParseAlgorithm("0") // as OpenSIPS counts
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(algorithm, algorithm.Key() == dispatcher.KeyCallID)
	// Output: hash-callid true
}

// A policy of one's own: destinations in the site of the proxy come first,
// in the order of their priority.
func ExamplePolicyFunc() {
	local := dispatcher.PolicyFunc(func(buf []dispatcher.Destination, set *dispatcher.Set, key string) []dispatcher.Destination {
		start := len(buf)
		buf = append(buf, set.Destinations()...)
		slices.SortStableFunc(buf[start:], func(a, b dispatcher.Destination) int {
			return distance(a) - distance(b)
		})
		return buf
	})
	d := dispatcher.New(dispatcher.Config{Policy: local})
	err := d.Update([]dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10", Weight: 1, Attrs: "site=hamburg"},
		{SetID: 10, URI: "sip:10.0.2.10", Weight: 1, Attrs: "site=munich"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	order, err := d.Select(10, "", nil)
	fmt.Println(order[0].URI, err)
	// Output: sip:10.0.2.10 <nil>
}

func distance(d dispatcher.Destination) int {
	if d.Attrs == "site=munich" {
		return 0
	}
	return 1
}
