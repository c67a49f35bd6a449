package main

import (
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

// TestSeal_Proves: only what we put into this dialog does. P-48.
func TestSeal_Proves(t *testing.T) {
	s := newSeal([32]byte{1})
	good := "sip:192.0.2.1:5060;lr" + s.routeParams("call")
	if value := strings.TrimPrefix(s.routeParams("call"), ";d="); len(value) != 12 {
		t.Errorf("proof %q", value)
	}
	for _, uri := range []string{good, good + ";x=y", "sip:192.0.2.1" + s.routeParams("call") + ";lr"} {
		if !s.proves(uri, "call") {
			t.Errorf("%s does not prove it", uri)
		}
	}
	for i := len(good) - 12; i < len(good); i++ {
		if bad := good[:i] + string(good[i]^1) + good[i+1:]; s.proves(bad, "call") {
			t.Errorf("%s proves it", bad)
		}
		if s.proves(good[:i], "call") {
			t.Errorf("%s proves it", good[:i])
		}
	}
	for _, uri := range []string{"", "sip:192.0.2.1;lr", "sip:192.0.2.1;d", "sip:192.0.2.1;lr;d=", good + "A", strings.Replace(good, ";d=", ";dd=", 1)} {
		if s.proves(uri, "call") {
			t.Errorf("%s proves it", uri)
		}
	}
	if s.proves(good, "another call") || s.proves(good, "") || newSeal([32]byte{2}).proves(good, "call") {
		t.Error("it proves another dialog, or with another key")
	}
	if tokenLike := s.sum("token", "call"); s.dialog("call") == encoding.EncodeToString(tokenLike[:9]) {
		t.Error("a token can stand for a proof")
	}
}
