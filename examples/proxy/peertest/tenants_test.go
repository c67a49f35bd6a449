package peertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// extension is the phone of a tenant that has the extension 401 in all of them.
func (s *site) extension(i int) *end {
	return &end{at: s.phone(i), user: "401", domain: domain(i), password: "secret"}
}

// board is the PBX of a tenant.
func (s *site) board(i int) *end { return &end{at: s.pbx(i), user: "999"} }

// registers is a phone that registers with a password.
func registers() story {
	return story{
		phone.sends("REGISTER"),
		pbx.answers(401),
		phone.sends("REGISTER").authorized("secret"),
		pbx.grants(60),
	}
}

// answered is a call by the PBX that the phone takes and ends.
func answered() story {
	return story{
		pbx.sends("INVITE").sdp(),
		phone.answers(180),
		phone.answers(200).sdp(),
		pbx.sends("ACK"),
		phone.sends("BYE"),
		pbx.answers(200),
	}
}

// Three PBXes have an extension 401. Each calls the Contact that it was given,
// and its own phone rings, the others do not (P-12, P-13).
func TestThreeTenantsHaveTheSameExtension(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: tenants(3)})
	var contacts [3]string
	for i := range 3 {
		contacts[i] = s.play(registers(), s.extension(i), s.board(i))
	}
	p.wantBindings(3)
	for i := range 3 {
		var others []*peer
		for j := range 3 {
			if j != i {
				others = append(others, s.udp("phone of "+domain(j), s.phone(j)))
			}
		}
		b := s.board(i)
		b.dials = contacts[i]
		s.play(answered(), s.extension(i), b)
		for _, w := range others {
			w.wantNothing()
			w.close()
		}
	}
}

// Two customers share a PBX, in one set or each in a set of its own. It calls
// both by the address of the proxy. What tells them apart is looked at, and
// where nothing does none rings (P-12, P-13, P-16).
func TestTenantsShareAPBX(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		sets func(s *site) []tenant
	}{
		{"one set", func(*site) []tenant { return []tenant{{domains: []string{domain(0), domain(1)}}} }},
		{"two sets", func(s *site) []tenant {
			same := []string{fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(0))}
			return []tenant{{pbxes: same}, {pbxes: same}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			p := s.start(settings{tenants: tt.sets(s)})
			b := s.board(0)
			address := fmt.Sprintf("sip:401@%v", s.proxy())

			s.play(registers(), s.extension(1), b) // nobody has 401 at tenant-a yet
			s.rings(s.extension(1), s.board(0), address)
			s.gone(s.board(0), "sip:401@"+domain(0))
			s.rings(s.extension(1), s.board(0), "sip:401@"+domain(1))

			contact := s.play(registers(), s.extension(0), b)
			second := s.udp("phone of "+domain(1), s.phone(1))
			s.rings(s.extension(0), s.board(0), contact)
			s.rings(s.extension(0), s.board(0), "sip:401@"+domain(0))
			first := s.udp("phone of "+domain(0), s.phone(0))
			s.gone(s.board(0), address)
			if got := p.state().Decisions["ambiguous"]; got != 1 {
				t.Errorf("%d decisions were ambiguous, want 1", got)
			}
			p.silent(first, second)
		})
	}
}

// Domains with a PBX in common, and their users whom it cannot call by number, are
// known as soon as the proxy has started, to status, log and metrics (P-12).
func TestAmbiguityIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	for i, user := range []string{"401", "401", "402"} {
		d.inherit(user, domain(i%2), s.udp(fmt.Sprint("phone ", i), s.phone(i)))
	}
	p := s.start(settings{tenants: []tenant{{domains: []string{domain(0), domain(1)}}}, lines: d.lines()})
	eventually(t, "the metric is set", func() bool {
		_, metrics := p.get("/metrics")
		return strings.Contains(metrics, "\nsipward_ambiguous_users 1\n")
	})
	code, stdout, stderr := command(t, "status", "-json", "-config", p.config)
	var got struct {
		Proxy struct {
			State struct {
				Ambiguous struct {
					Domains  [][]string
					Examples []struct {
						User    string
						Domains []string
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	both := fmt.Sprint([]string{domain(0), domain(1)})
	if a := got.Proxy.State.Ambiguous; fmt.Sprint(a.Domains) != "["+both+"]" || fmt.Sprint(a.Examples) != "[{401 "+both+"}]" {
		t.Errorf("status has %+v", a)
	}
	if log := p.errors.String(); !strings.Contains(log, "domains with a PBX in common") || !strings.Contains(log, "users of several domains of a PBX") {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// However a phone writes its domain, it is that tenant's (P-76), and so is the
// address of the PBX, which is what the phone has in its list of calls.
func TestNamesOfATenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: tenants(2)})
	other := s.udp("other PBX", s.pbx(1))
	for _, host := range []string{"tenant-a.test:5060", "TENANT-A.Test", "tenant-a.test.", s.pbx(0).String(), s.pbx(0).Addr().String()} {
		e := s.extension(0)
		e.dials = "sip:9@" + host
		if strings.HasPrefix(strings.ToLower(host), "tenant") {
			e.domain = host
			s.play(registers(), e, s.board(0))
		}
		s.play(join(calls(phone, pbx), hangsUp(pbx, phone)), e, s.nameless(0))
	}
	p.wantBindings(1)
	p.silent(other)
}
