package acct_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"sync"

	"github.com/sipward/sipward/acct"
)

// A proxy tells the recorder what it forwards; the records come to the sink.
func Example() {
	show := acct.SinkFunc(func(_ context.Context, records []acct.Record) error {
		for _, r := range records {
			fmt.Println(r.FromURI, "called", r.ToURI, "by", r.Destination, "after", r.Attempts, "attempts:", r.Cause, r.Code)
		}
		return nil
	})
	recorder, err := acct.Open(acct.Config{Sinks: map[string]acct.Sink{"show": show}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { recorder.Run(ctx) })

	invite := acct.Invite{
		CallID: "7f3e@10.1.2.3", FromTag: "x7", FromURI: "sip:201@a.example", ToURI: "sip:9@a.example",
		SetID: 10, Domain: "a.example", Source: netip.MustParseAddrPort("203.0.113.5:40123"),
	}
	// The PBX wants credentials. This is no call yet.
	call := recorder.Begin(invite)
	call.Leg(netip.MustParseAddrPort("10.0.1.10:5060"))
	call.Fail(401, "Unauthorized")
	// The phone comes again. Now the PBX is dead, the next one answers.
	call = recorder.Begin(invite)
	call.Leg(netip.MustParseAddrPort("10.0.1.10:5060"))
	call.Leg(netip.MustParseAddrPort("10.0.1.11:5060"))
	call.Progress()
	call.Answer(acct.Answer{ToTag: "as5d", Code: 200, Reason: "OK"})
	// Requests in the dialog, from the phone and from the PBX.
	recorder.Ack(acct.Dialog{CallID: "7f3e@10.1.2.3", FromTag: "x7", ToTag: "as5d"})
	recorder.Bye(acct.Dialog{CallID: "7f3e@10.1.2.3", FromTag: "as5d", ToTag: "x7"})

	cancel()
	wg.Wait()
	if err := recorder.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// sip:201@a.example called sip:9@a.example by 10.0.1.11:5060 after 2 attempts: answered 200
}

// Records that wait and calls that are open are on the disk, so that they
// outlive the program.
func ExampleOpen() {
	file, err := acct.NewJSONFile(acct.JSONConfig{Path: "/var/log/sipward/calls.json", Keep: 30})
	if err != nil {
		log.Fatal(err)
	}
	recorder, err := acct.Open(acct.Config{
		Dir:   "/var/lib/sipward/acct",
		Sinks: map[string]acct.Sink{"json": file},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer recorder.Close(context.Background())
}
