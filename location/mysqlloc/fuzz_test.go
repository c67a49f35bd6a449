package mysqlloc_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// Whatever texts a binding has, its row means that binding, or it is refused.
func FuzzRow_RoundTrip(f *testing.F) {
	f.Add("bob", "sip:bob@192.0.2.7", "call", "", "phone", "token", "udp", 0, uint16(5060))
	f.Add("bob ", "sip:\xff@192.0.2.7", " ", "<urn:uuid:1> ", "B\xfcro", "\x00", "UDP", -1, uint16(0))
	f.Add("a@b", "x", "Default-Call-ID", "\"", "{}", "sipward_user", "a|b", 1<<40, uint16(1))
	f.Add("bob", "sip:bob@192.0.2.7", "call", "", strings.Repeat("é", 256), "token", "udp", 0, uint16(5060))
	f.Fuzz(func(t *testing.T, user, contact, callID, instance, userAgent, token, transport string, regID int, port uint16) {
		a, err := location.MakeAOR(user, "a.example")
		if err != nil {
			return
		}
		b := location.Binding{
			Contact: contact, CallID: callID, Instance: instance, UserAgent: userAgent,
			Path: token, Token: token, Registrar: userAgent, RegID: regID,
			Flow: location.Flow{
				Transport: transport,
				Remote:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 7}), port),
			},
			Updated: start, Expires: start.Add(time.Hour),
		}
		gotAOR, got, err := mysqlloc.RoundTrip(a, b, time.UTC)
		if err != nil {
			return // a text without end
		}
		if gotAOR != a {
			t.Errorf("got %q, want %q", gotAOR, a)
		}
		if d := cmp.Diff(b, got, equalTimes); d != "" {
			t.Error(d)
		}
	})
}

// No received, socket or kv_store makes the reader fail but with an error.
func FuzzRow_Decode(f *testing.F) {
	f.Add("sip:203.0.113.7:51234;transport=tcp", "udp:198.51.100.1:5060", `{"a":1,"sipward_token":"x"}`)
	f.Add("[2001:db8::7]:5060", "tls:[::]:5061", `{"sipward_flow":"||tcp","sipward_raw_token":"!"}`)
	f.Add("sips:a@203.0.113.7;transport", "udp", `{"sipward_reg_id":"x","sipward_user":7}`)
	f.Fuzz(func(t *testing.T, received, socket, kv string) {
		b, err := mysqlloc.Decode("bob", "a.example", received, socket, kv)
		if err == nil && received != "" && b.Flow.Transport == "" && !b.Flow.Remote.IsValid() && kv == "" {
			t.Errorf("received %q was dropped", received)
		}
	})
}

// A kv_store that is read and written means what it meant, and what is not JSON
// is not read, as by package json.
func FuzzKV(f *testing.F) {
	f.Add(`{"site":"hq","n":3,"sipward_token":"k3Jd8_x-1","sipward_reg_id":-1}`)
	f.Add(`{"a":"\u00e9\"","a":"\xff",` + "\"\t\":" + `0.5e1,"":{"b":[1,null]}, "c":007}`)
	f.Add(`{"a":01}`)
	f.Add(`{"a":1,"a":2}`)
	f.Add(`{"a":-0,"b":"c"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return // which is none, and no error
		}
		var want, got map[string]any
		wantErr := json.Unmarshal([]byte(text), &want)
		again, err := mysqlloc.RewriteKV(text)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("got error %v, want %v", err, wantErr)
		}
		if err != nil || again == "" && len(want) == 0 {
			return
		}
		if err := json.Unmarshal([]byte(again), &got); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
