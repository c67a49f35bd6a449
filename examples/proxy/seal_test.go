package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sipward/sipward/location"
)

func someAOR(t testing.TB, user, domain string) location.AOR {
	t.Helper()
	aor, err := location.MakeAOR(user, domain)
	if err != nil {
		t.Fatal(err)
	}
	return aor
}

// TestSeal_Token: it is the phone's alone, and the same wherever the phone is.
func TestSeal_Token(t *testing.T) {
	s := newSeal([32]byte{1})
	a := someAOR(t, "401", "a.test")
	const instance = `"<urn:uuid:20a220ed-91cb-e3a8-aa10-e850c3079534>"`
	phone := location.Binding{Contact: "sip:401@192.168.1.10:5060", Instance: instance, RegID: 1}
	moved := phone
	moved.Contact, moved.CallID, moved.Flow.Transport = "sip:401@10.0.0.1", "x", "tcp"
	if s.token(a, phone) != s.token(a, moved) {
		t.Error("a phone with an instance gets another token when it moves")
	}
	seen := map[string]string{}
	add := func(what, token string) {
		t.Helper()
		if len(token) != 20 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%s: token %q", what, token)
		}
		if before, ok := seen[token]; ok {
			t.Errorf("%s has the token of %s", what, before)
		}
		seen[token] = what
	}
	add("instance", s.token(a, phone))
	for phone.RegID = range 20 {
		if phone.RegID != 1 {
			add("reg-id", s.token(a, phone))
		}
	}
	phone.RegID = 1 << 20
	add("large reg-id", s.token(a, phone))
	phone.RegID = 0xd800 // no character
	add("another one", s.token(a, phone))
	phone.RegID = 0xd801
	add("and another one", s.token(a, phone))
	add("contact", s.token(a, location.Binding{Contact: phone.Contact}))
	add("contact like an instance", s.token(a, location.Binding{Contact: instance + "1"}))
	add("another contact", s.token(a, location.Binding{Contact: phone.Contact + "1"}))
	add("another user", s.token(someAOR(t, "402", "a.test"), location.Binding{Contact: phone.Contact}))
	add("another tenant", s.token(someAOR(t, "401", "b.test"), location.Binding{Contact: phone.Contact}))
	add("shifted", s.token(someAOR(t, "401a", ".test"[1:]), location.Binding{Contact: phone.Contact}))
	add("another key", newSeal([32]byte{2}).token(a, location.Binding{Contact: phone.Contact}))
}

// TestSeal_Proves: only what we put into this dialog does, and it says how the
// dialog began. P-48.
func TestSeal_Proves(t *testing.T) {
	s := newSeal([32]byte{1})
	for _, pbx := range []string{"10.0.1.10:5060", "[2001:db8::10]:5070"} {
		pbx := netip.MustParseAddrPort(pbx)
		params := s.routeParams("call", pbx, "a.test")
		good := "sip:192.0.2.1:5060;lr" + params
		for _, uri := range []string{good, good + ";x=y", "sip:192.0.2.1" + params + ";lr"} {
			if got, ok := s.proves(uri, "call"); !ok || got != (proof{s, pbx, s.domain("a.test")}) {
				t.Errorf("%s proves %+v, %v", uri, got, ok)
			}
		}
		bad := []string{"", "sip:192.0.2.1;lr", "sip:192.0.2.1;d", "sip:192.0.2.1;lr;d=", good + "A", strings.Replace(good, ";d=", ";dd=", 1)}
		for i := len(good) - len(params) + len(";d="); i < len(good); i++ {
			bad = append(bad, good[:i]+string(good[i]^1)+good[i+1:], good[:i])
		}
		for _, uri := range bad {
			if _, ok := s.proves(uri, "call"); ok {
				t.Errorf("%s proves it", uri)
			}
		}
		for name, ok := range map[string]bool{
			"another dialog": second(s.proves(good, "another call")),
			"none":           second(s.proves(good, "")),
			"another key":    second(newSeal([32]byte{2}).proves(good, "call")),
		} {
			if ok {
				t.Errorf("it proves %s", name)
			}
		}
	}
	if s.domain("a.test") == s.domain("b.test") {
		t.Error("two domains are one")
	}
}

func second(_ proof, ok bool) bool { return ok }
