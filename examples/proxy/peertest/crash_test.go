package peertest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// three is a tenant with three PBXes, each preferred to those behind it, and the
// file that gets the records of calls. Params are those of their URIs.
func (s *site) three(params string) (c settings, records string) {
	records = filepath.Join(s.t.TempDir(), "calls.json")
	var pbxes []string
	for i := range 3 {
		pbxes = append(pbxes, fmt.Sprintf("{uri: \"sip:%v%s\", priority: %d}", s.pbx(i), params, 3-i))
	}
	return settings{
		tenants: []tenant{{pbxes: pbxes}},
		lines: []string{"timers: {branch: 1s}", "dispatcher: {probe: never, algorithm: priority, fall: 5}",
			fmt.Sprintf("acct: {to: json, file: %q}", records), fmt.Sprintf("cache: {spool: %q}", s.t.TempDir())},
	}, records
}

// wantTaken waits for the record of the only call there was: who took it, at which
// attempt, and its status.
func (s *site) wantTaken(records string, by, attempts, code int) {
	s.t.Helper()
	var text []byte
	eventually(s.t, "there is a record", func() bool {
		text, _ = os.ReadFile(records) // none yet
		return strings.HasSuffix(string(text), "\n")
	})
	var got struct {
		Destination    string
		Attempts, Code int
	}
	if err := json.Unmarshal(text, &got); err != nil { // two of them are none
		s.t.Fatalf("%v in\n%s", err, text)
	}
	if got.Destination != s.pbx(by).String() || got.Attempts != attempts || got.Code != code {
		s.t.Errorf("the record has %+v, want PBX %d, %d attempts, %d", got, by, attempts, code)
	}
}

// A call that finds a PBX dead and another one out of service is taken by the third,
// within the time that is given to each, and by nobody else. Its record says by
// whom (P-34).
func TestThirdPBXTakesTheCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, records := s.three("")
	p := s.start(c)
	dead := s.udp("black hole", s.pbx(0))
	s.answers(s.pbx(1), 503)
	began := time.Now()
	s.play(join(calls(phone, pbx), hangsUp(pbx, phone)), s.caller(0), s.nameless(2))
	if took := time.Since(began); took < time.Second || took > patience/2 {
		t.Errorf("it took %v", took)
	}
	s.wantTaken(records, 2, 3, 200)
	dead.expect("INVITE")
	p.silent(dead)
}

// A PBX that dies when it has asked for a password leaves the phone to the next one,
// which asks again. It is registered once, and there it calls (P-34, P-36).
func TestPBXDiesInREGISTER(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, _ := s.three("")
	c.lines[1] = "dispatcher: {probe: never, algorithm: priority, fall: 2}"
	p := s.start(c)
	first, second, third := s.asterisk("first", s.pbx(0)), s.asterisk("second", s.pbx(1)), s.udp("third", s.pbx(2))
	h := s.udp("phone", s.phone(0))
	d := h.registration("401", domain(0))
	contact := "Contact: <" + h.contactOf("401") + ">"
	d.request("REGISTER", contact)
	challenge := d.expect("401 REGISTER")
	first.close()
	began := time.Now()
	d.request("REGISTER", contact, d.credentials(challenge, "secret"))
	d.request("REGISTER", contact, d.credentials(d.expect("401 REGISTER"), "secret"))
	d.expect("200 REGISTER")
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	p.wantBindings(1)
	second.rings(second.contact("401"), h, h.contactOf("401"))
	call := h.call("sip:9@"+domain(0), "sip:401@"+domain(0))
	second.reply(second.expect("INVITE"), 486)
	call.refused(call.expect("486 INVITE"))
	second.expect("ACK")
	p.silent(third, h)
}

// A PBX that dies before it has said that it rings loses its call to the next one,
// at once. If it has, nobody else is called: its callee has seen the call (P-27, P-34).
func TestPBXDiesInINVITE(t *testing.T) {
	t.Parallel()
	for _, status := range []int{100, 180} {
		t.Run(fmt.Sprint("after ", status), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c, records := s.three(";transport=tcp")
			p := s.start(c)
			first, second := s.listens(0), s.listens(1)
			h := s.udp("phone", s.phone(0))
			call := h.call("sip:9@"+domain(0), "sip:401@"+domain(0))
			one := first()
			one.reply(one.expect("INVITE"), status)
			if status == 180 {
				h.expect("180 INVITE")
				one.close()
				if got := call.refusal(); got != 480 {
					t.Errorf("the phone gets %d", got)
				}
				s.wantTaken(records, 0, 1, 480)
				if n := p.state().Relay.Failovers; n != 0 {
					t.Errorf("%d more PBXes were tried", n)
				}
				return
			}
			h.expect("100 INVITE")
			one.close()
			two := second()
			atPBX := two.accept(two.expect("INVITE"), "sip:"+two.addr.String()+";transport=tcp")
			call.expect("200 INVITE")
			call.ack()
			two.expect("ACK")
			atPBX.request("BYE")
			h.reply(h.expect("BYE"), 200)
			two.expect("200 BYE")
			s.wantTaken(records, 1, 2, 200)
		})
	}
}

// listens opens the port of a PBX over TCP. What it returns waits for the proxy to
// connect.
func (s *site) listens(i int) (accept func() *peer) {
	s.t.Helper()
	l, err := net.Listen("tcp", s.pbx(i).String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	return func() *peer {
		s.t.Helper()
		c, err := l.Accept()
		if err != nil {
			s.t.Fatal(err)
		}
		return s.over("TCP", fmt.Sprint("PBX ", i), s.pbx(i), c)
	}
}
