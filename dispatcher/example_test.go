package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

// A phone meets the same PBX each time. When it fails, its phones, and no
// others, go to the next one in their order.
func ExampleDispatcher() {
	d := dispatcher.New(dispatcher.Config{
		Fall:         1,
		OnTransition: func(e dispatcher.Event) { fmt.Println(e.URI, e.From, "→", e.To, "by", e.Cause) },
	})
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

	attempt := d.Begin(dst[1])
	attempt.Report(0, errors.New("no answer"))
	attempt.End()
	show()

	_, err := d.Select(11, "201@tenant-a.test", nil)
	fmt.Println(errors.Is(err, dispatcher.ErrNoSet))
	// Output:
	// 201@tenant-a.test → sip:10.0.1.11
	// 202@tenant-a.test → sip:10.0.1.11
	// 401@tenant-a.test → sip:10.0.1.10
	// sip:10.0.1.11 active → probing by request: no answer
	// 201@tenant-a.test → sip:10.0.1.12
	// 202@tenant-a.test → sip:10.0.1.12
	// 401@tenant-a.test → sip:10.0.1.10
	// true
}

// Probes find out that a PBX is alive which is down by what the table says.
func ExampleDispatcher_Run() {
	up := make(chan dispatcher.Event, 1)
	d := dispatcher.New(dispatcher.Config{
		Interval: 10 * time.Millisecond,
		Ping: func(ctx context.Context, d dispatcher.Destination) (status int, err error) {
			return 200, nil // send OPTIONS to d.URI from d.Socket
		},
		OnTransition: func(e dispatcher.Event) { up <- e },
	})
	err := d.Update([]dispatcher.Destination{
		{SetID: 10, URI: "sip:10.0.1.10", Weight: 1, State: dispatcher.Probing},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })

	e := <-up
	fmt.Println(e.SetID, e.URI, e.From, "→", e.To, "by", e.Cause)
	stop()
	running.Wait()
	// Output: 10 sip:10.0.1.10 probing → active by probe: 200
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
