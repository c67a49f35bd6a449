package sipmsg_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// tortureTests are the messages of RFC 4475 and RFC 5118, what these want a
// proxy to do, and what Parse says: 0 if it accepts the message, which then
// must be forwarded intact. Drop tells that there is no answer.
var tortureTests = []struct {
	file   string
	rfc    string
	status int
	drop   bool
}{
	// RFC 4475 section 3.1.1: valid
	{"rfc4475/wsinv.dat", "accept", 0, false},
	{"rfc4475/intmeth.dat", "accept; we refuse its escaped control characters, as all others (R5)", 400, false},
	{"rfc4475/esc01.dat", "accept", 0, false},
	{"rfc4475/escnull.dat", "accept", 0, false},
	{"rfc4475/esc02.dat", "accept: escapes mean nothing in a method and a field name", 0, false},
	{"rfc4475/lwsdisp.dat", "accept", 0, false},
	{"rfc4475/longreq.dat", "accept", 0, false},
	{"rfc4475/dblreq.dat", "accept the first, ignore what follows in the datagram", 0, false},
	{"rfc4475/semiuri.dat", "accept", 0, false},
	{"rfc4475/transports.dat", "accept", 0, false},
	{"rfc4475/mpart01.dat", "accept", 0, false},
	{"rfc4475/unreason.dat", "accept", 0, true},
	{"rfc4475/noreason.dat", "accept", 0, true},
	// section 3.1.2: invalid
	{"rfc4475/badinv01.dat", "400", 400, false},
	{"rfc4475/clerr.dat", "400", 400, false},
	{"rfc4475/ncl.dat", "400", 400, false},
	{"rfc4475/scalar02.dat", "400", 400, false},
	{"rfc4475/scalarlg.dat", "discard", 400, true},
	{"rfc4475/quotbal.dat", "400", 400, false},
	{"rfc4475/ltgtruri.dat", "400, or ignore the brackets", 400, false},
	{"rfc4475/lwsruri.dat", "400", 400, false},
	{"rfc4475/lwsstart.dat", "400, or ignore the blanks", 400, false},
	{"rfc4475/trws.dat", "400, or ignore the blanks", 400, false},
	{"rfc4475/escruri.dat", "400", 400, false},
	{"rfc4475/baddate.dat", "400, or ignore the Date, which is no proxy's business", 0, false},
	{"rfc4475/regbadct.dat", "400 by the registrar", 0, false},
	{"rfc4475/badaspec.dat", "400, or ignore the blanks", 400, false},
	{"rfc4475/baddn.dat", "400, or take the whole for the display name; the file lacks the empty line", 400, false},
	{"rfc4475/badvers.dat", "505", 505, false},
	{"rfc4475/mismatch01.dat", "400", 400, false},
	{"rfc4475/mismatch02.dat", "400 or 501", 400, false},
	{"rfc4475/bigcode.dat", "discard", 400, true},
	// section 3.2: transactions
	{"rfc4475/badbranch.dat", "400, or match as RFC 2543 does", 400, false},
	// section 3.3: application
	{"rfc4475/insuf.dat", "400", 400, false},
	{"rfc4475/unkscm.dat", "416 by routing", 0, false},
	{"rfc4475/novelsc.dat", "416 by routing", 0, false},
	{"rfc4475/unksm2.dat", "400 by the registrar", 0, false},
	{"rfc4475/bext01.dat", "420 by the relay", 0, false},
	{"rfc4475/invut.dat", "415 by the callee", 0, false},
	{"rfc4475/regaut01.dat", "401 by the registrar", 0, false},
	{"rfc4475/multi01.dat", "400", 400, false},
	{"rfc4475/mcl01.dat", "400", 400, false},
	{"rfc4475/bcast.dat", "discard, because nobody waits for it: the transaction layer", 0, true},
	{"rfc4475/zeromf.dat", "483 by the relay", 0, false},
	{"rfc4475/cparam01.dat", "accept", 0, false},
	{"rfc4475/cparam02.dat", "accept", 0, false},
	{"rfc4475/regescrt.dat", "accept", 0, false},
	{"rfc4475/sdp01.dat", "406 by the callee", 0, false},
	// section 3.4: RFC 2543
	{"rfc4475/inv2543.dat", "accept", 0, false},

	// RFC 5118 section 4 (R52)
	{"rfc5118/ipv6-good.dat", "accept", 0, false},
	{"rfc5118/ipv6-bad.dat", "400 by routing, which reads the Request-URI", 0, false},
	{"rfc5118/port-ambiguous.dat", "accept: it is an address without a port", 0, false},
	{"rfc5118/port-unambiguous.dat", "accept", 0, false},
	{"rfc5118/via-received-param-with-delim.dat", "accept", 0, false},
	{"rfc5118/via-received-param-no-delim.dat", "accept", 0, false},
	{"rfc5118/ipv6-in-sdp.dat", "accept", 0, false},
	{"rfc5118/mult-ip-in-header.dat", "accept", 0, false},
	{"rfc5118/mult-ip-in-sdp.dat", "accept", 0, false},
	{"rfc5118/ipv4-mapped-ipv6.dat", "accept", 0, false},
	{"rfc5118/ipv6-correct-abnf-2-colons.dat", "accept", 0, false},
	{"rfc5118/ipv6-bug-abnf-3-colons.dat", "up to routing, which reads the Request-URI", 0, false},
}

func torture(t testing.TB, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTorture(t *testing.T) {
	for _, tt := range tortureTests {
		t.Run(strings.TrimSuffix(tt.file, ".dat"), func(t *testing.T) {
			raw := torture(t, tt.file)
			m, err := sipmsg.Parse(raw)
			if got := status(t, err); got != tt.status || m.Answerable() == tt.drop {
				t.Fatalf("%v, answerable %v, want status %d, drop %v; the RFC: %s", err, m.Answerable(), tt.status, tt.drop, tt.rfc)
			}
			switch {
			case m.Answerable():
				m.Stamp(phone, true)
				answer := headerLines(t, string(m.Respond(max(tt.status, 400), "Bad Request", "t")))
				if !strings.Contains(strings.Join(answer, "\n"), ";received=198.51.100.7") {
					t.Errorf("answer %q", answer)
				}
			case err == nil:
				p := sipmsg.NewPatch(m)
				p.RemoveTopVia()
				p.Bytes()
			}
			if err != nil || !m.IsRequest() {
				return
			}
			checkForwarded(t, m)
		})
	}
}

// Nothing in the directories is left out.
func TestTorture_Complete(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "rfc*", "*.dat"))
	if err != nil || len(files) != len(tortureTests) {
		t.Errorf("%d files, %d tests, %v", len(files), len(tortureTests), err)
	}
}

// What the difficult valid messages say.
func TestTorture_Read(t *testing.T) {
	m := mustParse(t, torture(t, "rfc4475/wsinv.dat"))
	if m.CSeq != 9 || m.CSeqMethod != "INVITE" || m.MaxForwards != 68 || m.FromTag != "98asjd8" || m.ToTag != "1918181833n" ||
		top(m) != (via{"UDP", "192.0.2.2", 5060, "390skdjuw", false}) || len(m.Values(sipmsg.Via)) != 2 || len(m.Body()) != 150 {
		t.Errorf("wsinv: %+v", m)
	}
	m = mustParse(t, torture(t, "rfc4475/dblreq.dat"))
	if m.Method != "REGISTER" || m.Body() != "" || strings.Contains(forwardString(m), "INVITE") {
		t.Errorf("dblreq: %s", m.Raw)
	}
	m = mustParse(t, torture(t, "rfc4475/esc02.dat"))
	if m.Method != "RE%47IST%45R" || len(m.Values(sipmsg.Contact)) != 2 {
		t.Errorf("esc02: %+v", m)
	}
	m = mustParse(t, torture(t, "rfc4475/baddn.dat")+"\r\n")
	if a, err := sipmsg.ParseNameAddr(m.Get(sipmsg.From)); err != nil || a.Display != "Bell, Alexander" {
		t.Errorf("baddn: %+v, %v", a, err)
	}
	m = mustParse(t, torture(t, "rfc4475/unreason.dat"))
	if m.Reason != "= 2**3 * 5**2 но сто девяносто девять - простое" {
		t.Errorf("unreason: %q", m.Reason)
	}
	m = mustParse(t, torture(t, "rfc4475/mpart01.dat"))
	if len(m.Body()) != 553 || !strings.Contains(m.Body(), "\x00") {
		t.Errorf("mpart01: a body of %d", len(m.Body()))
	}
	m = mustParse(t, torture(t, "rfc5118/ipv4-mapped-ipv6.dat"))
	if top(m) != (via{"UDP", "::ffff:192.0.2.10", 19823, "z9hG4bKbh19", false}) {
		t.Errorf("ipv4-mapped-ipv6: %+v", m.Via)
	}
}
