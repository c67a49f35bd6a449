package route_test

import "testing"

// P-13, P-14: a stranger rings a phone only if the operator wants it and no
// other phone could be meant.
func TestDecide_RingUnique(t *testing.T) {
	const (
		world   = "192.0.2.66:5060"
		refused = "unknown: drop (own_address)"
	)
	tests := []struct {
		name, from, req, want string
	}{
		{"bound in one tenant", world, "INVITE sip:299@10.0.0.1", "unknown: to 299@b.test (unique_user) sip:299@192.168.1.11:5060"},
		{"by the proxy's name", world, "INVITE sip:299@SBC.test.", "unknown: to 299@b.test (unique_user) sip:299@192.168.1.11:5060"},
		{"escapes", world, "INVITE sip:%32%399@10.0.0.1", "unknown: to 299@b.test (unique_user) sip:299@192.168.1.11:5060"},
		{"two phones at one address", world, "INVITE sip:twins@10.0.0.1",
			"unknown: to twins@a.test, 2 phones, parallel (unique_user) sip:t@192.168.1.18:5060;line=1 sip:t@192.168.1.18:5060;line=2"},
		{"the set's own way to fork", world, "INVITE sip:901@10.0.0.1", "unknown: to 901@i.test (unique_user) sip:901@192.168.9.2:5060"},
		{"bound in two tenants", world, "INVITE sip:700@10.0.0.1", "unknown: drop (ambiguous)"},
		{"bound in two domains of one tenant", world, "INVITE sip:620@10.0.0.1", "unknown: drop (ambiguous)"},
		{"bound in many tenants", world, "INVITE sip:401@10.0.0.1", "unknown: drop (ambiguous)"},
		{"bound nowhere", world, "INVITE sip:999@10.0.0.1", refused},
		{"a REGISTER is on its way: nobody waits for a stranger", world, "INVITE sip:new@10.0.0.1", refused},
		{"a Contact user is no user", world, "INVITE sip:d600@10.0.0.1", refused},
		{"no user", world, "INVITE sip:10.0.0.1", refused},
		{"no user that could exist", world, "INVITE sip:%01@10.0.0.1", "unknown: drop (no_user)"},
		{"no user that could exist, another fault", world, "INVITE sip:%zz@10.0.0.1", "unknown: drop (bad_uri)"},
		{"another port is not the proxy", world, "INVITE sip:299@10.0.0.1:5080", "unknown: drop (unknown_domain)"},
		{"the phone's address", world, "INVITE sip:299@192.168.1.11:5060", "unknown: drop (unknown_domain)"},

		{"an empty token is that of no phone", world, "INVITE sip:600@10.0.0.1;rid=", "unknown: drop (unknown_token)"},
		{"the token of one of its phones", world, "INVITE sip:610@10.0.0.1;rid=b2", "unknown: to 610@b.test (unique_user) sip:610@192.168.2.2"},
		{"a token that is not the phone's", world, "INVITE sip:299@10.0.0.1;rid=t1", "unknown: drop (unknown_token)"},
		{"a token does not tell users apart", world, "INVITE sip:401@10.0.0.1;rid=d401", "unknown: drop (ambiguous)"},

		{"To names a domain", world, "INVITE sip:299@10.0.0.1 to=sip:299@b.test", refused},
		{"To names another domain", world, "INVITE sip:299@10.0.0.1 to=sip:299@a.test", refused},
		{"From names a domain", world, "INVITE sip:299@10.0.0.1 from=sip:401@a.test", refused},
		{"an identity of a stranger counts for nothing", world, "INVITE sip:299@10.0.0.1 pai=sip:401@a.test",
			"unknown: to 299@b.test (unique_user) sip:299@192.168.1.11:5060"},
		{"the Request-URI names a domain: its PBX", world, "INVITE sip:299@b.test", "phone: to set 20 (domain)"},

		{"NOTIFY check-sync (P-14)", world, "NOTIFY sip:299@10.0.0.1", refused},
		{"OPTIONS (P-14)", world, "OPTIONS sip:299@10.0.0.1", refused},
		{"MESSAGE (P-14)", world, "MESSAGE sip:299@10.0.0.1", refused},
		{"SUBSCRIBE (P-14)", world, "SUBSCRIBE sip:299@10.0.0.1", refused},
		{"REGISTER", world, "REGISTER sip:10.0.0.1 to=sip:299@10.0.0.1", "unknown: drop (unknown_domain)"},
		{"a forged dialog (P-48)", world, "INVITE sip:299@10.0.0.1 dialog", "unknown: answer 481 (untrusted_dialog)"},
		{"ACK to nothing", world, "ACK sip:299@10.0.0.1", "unknown: drop (stray_ack)"},

		{"a PBX has its own tenant only (P-13)", "10.0.10.1:5060", "INVITE sip:299@10.0.0.1", "pbx: answer 404 (missing)"},
		{"a PBX of no domain has none (P-13)", "10.0.60.1:5060", "INVITE sip:299@10.0.0.1", "pbx: answer 404 (no_domain)"},
	}
	w := city(t)
	w.Policy.RingUnique = true
	w.Bindings.(bindings).register(t,
		phone{aor: "610@b.test", contact: "sip:610@192.168.2.1", remote: "198.51.100.2:40010", token: "b1"},
		phone{aor: "610@b.test", contact: "sip:610@192.168.2.2", remote: "198.51.100.2:40011", token: "b2"},
		phone{aor: "620@e1.test", contact: "sip:620@192.168.5.8", remote: "198.51.100.5:40008"},
		phone{aor: "620@e2.test", contact: "sip:620@192.168.5.9", remote: "198.51.100.5:40009"})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := line(decide(t, request(t, tt.req), source(tt.from), w)); got != tt.want {
				t.Errorf("%s from %s\n got %s\nwant %s", tt.req, tt.from, got, tt.want)
			}
		})
	}
}

// P-12: half of an answer must not make one of two users.
func TestDecide_RingUniqueStoreFails(t *testing.T) {
	w := city(t)
	w.Policy.RingUnique = true
	w.Bindings = failing{w.Bindings.(bindings), "d.test"}
	got := line(decide(t, request(t, "INVITE sip:299@10.0.0.1"), source("192.0.2.66:5060"), w))
	if want := "unknown: answer 500 (store_failed): store is down"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// P-48: who has rung a phone once is no PBX afterwards, and the proxy no open
// relay; but both ends reach each other.
func TestDecide_RingUniqueDialog(t *testing.T) {
	const stranger = "192.0.2.66:5060"
	tests := []struct {
		name, from, req string
		unique          bool
		want            string
	}{
		{"stranger to the phone's alias", stranger, "BYE sip:401@192.168.1.10 trusted alias", true, "phone: along its dialog (in_dialog)"},
		{"phone to the stranger", "198.51.100.1:40001", "BYE sip:x@192.0.2.66 trusted", true, "phone: along its dialog (in_dialog)"},
		{"stranger to anywhere", stranger, "BYE sip:victim@192.0.2.99 trusted", true, "phone: answer 404 (foreign_target)"},
		{"stranger to a next Route of its own choice", stranger, "BYE sip:401@192.168.1.10 trusted route=sip:192.0.2.99;lr", true,
			"phone: answer 404 (foreign_target)"},
		{"a PBX that no tenant has any more", stranger, "BYE sip:401@192.168.1.10 trusted", false, "unknown: along its dialog (in_dialog)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := city(t)
			w.Policy.RingUnique = tt.unique
			req := request(t, tt.req)
			req.Peer = source(stranger).Addr
			if got := line(decide(t, req, source(tt.from), w)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}
