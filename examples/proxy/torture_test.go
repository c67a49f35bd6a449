package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tortureDir has the messages of RFC 4475 and RFC 5118.
const tortureDir = "sipmsg/testdata"

// tortureWorld has the domains and PBXes that they name.
const tortureWorld = `
security: {unknown_domain: 403}
listen: ["udp:192.0.2.1:5060", "udp:[2001:db8::1]:5060"]
tenants:
  - setid: 10
    domains: [example.com, example.org, example.net, company.com, chair-dnrc.example.com, registrar.example.com]
    destinations: [{uri: "sip:10.0.1.10:5060"}]
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:[2001:db8::10]:5060"}]}
  - {setid: 30, domains: [c.test], destinations: [{uri: "sip:[2001:db8::c000:201]:5060"}]}
`

// What becomes of a message: its status, or one of these.
const (
	passed  = -1 // a PBX gets it
	ignored = 0
)

// tortureTests says what becomes of each message, as the RFC has it where it says so:
// of those that somebody sends who is no PBX, and of some if a PBX sends them. What is
// in the dialog of somebody else gets 481 here (P-48).
var tortureTests = []struct {
	files string
	pbx   bool
	want  int
}{
	{"rfc4475/ baddate cparam01 cparam02 dblreq esc01 esc02 inv2543 invut longreq lwsdisp mpart01 regaut01 regescrt sdp01 semiuri transports", false, passed},
	{"rfc5118/ ipv4-mapped-ipv6 ipv6-correct-abnf-2-colons ipv6-in-sdp mult-ip-in-sdp via-received-param-no-delim", false, passed},
	{"rfc4475/ badaspec badbranch baddn badinv01 clerr escruri insuf intmeth ltgtruri lwsruri lwsstart mcl01 mismatch01 mismatch02 multi01 ncl quotbal regbadct scalar02 trws unksm2", false, 400},
	{"rfc5118/ ipv6-bad ipv6-bug-abnf-3-colons", false, 400},
	{"rfc4475/ novelsc unkscm", false, 403}, // as security.unknown_domain says
	{"rfc4475/ novelsc unkscm", true, 416},
	{"rfc5118/ ipv6-good port-ambiguous port-unambiguous", false, 403}, // To has another domain
	{"rfc4475/ escnull", false, 404},                                   // who cannot exist
	{"rfc4475/ bext01", false, 420},
	{"rfc4475/ wsinv", false, 481},
	{"rfc5118/ mult-ip-in-header via-received-param-with-delim", false, 481},
	{"rfc4475/ zeromf", false, 483},
	{"rfc4475/ zeromf", true, 483},
	{"rfc4475/ badvers", false, 505},
	{"rfc4475/ bcast bigcode noreason scalarlg unreason", false, ignored},
}

// TestTorture: each message of RFC 4475 and RFC 5118 comes to what the RFC says, by
// the whole proxy.
func TestTorture(t *testing.T) {
	left := map[string]bool{}
	all, err := filepath.Glob(tortureDir + "/rfc*/*.dat")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, file := range all {
		left[file] = true
	}
	for _, tt := range tortureTests {
		names := strings.Fields(tt.files)
		for _, name := range names[1:] {
			file := filepath.Join(tortureDir, names[0], name+".dat")
			delete(left, file)
			t.Run(name+map[bool]string{true: " of a PBX"}[tt.pbx], func(t *testing.T) {
				inWorld(t, tortureWorld, func(w *world) { w.torture(file, tt.pbx, tt.want) })
			})
		}
	}
	if len(left) > 0 {
		t.Errorf("left out: %v", left)
	}
}

// torture sends a message, and sees what becomes of it.
func (w *world) torture(file string, fromPBX bool, want int) {
	w.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		w.Fatal(err)
	}
	boards := []*pbx{w.a, w.pbx("2001:db8::10", "b.test"), w.pbx("2001:db8::c000:201", "c.test")}
	sender := w.stranger()
	if fromPBX {
		sender = w.a.Peer
	}
	sender.Send(w.at, string(raw))
	time.Sleep(100 * time.Millisecond)
	got := ignored
	for _, m := range sender.Poll() {
		got = m.Status()
	}
	for _, p := range boards {
		for _, m := range p.Poll() {
			got = passed
			if body := m.Body(); !strings.Contains(string(raw), "\r\n\r\n"+body) || body == "" && strings.HasPrefix(m.Start(), "INVITE") {
				w.Errorf("its body is %q", body)
			}
		}
	}
	if got != want {
		w.Errorf("got %d, want %d", got, want)
	}
	time.Sleep(10 * time.Minute)
	sender.Drain()
	for _, p := range boards {
		p.Drain()
	}
}
