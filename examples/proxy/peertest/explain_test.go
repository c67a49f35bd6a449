package peertest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The operator's command tells what the running proxy does with a call, and
// does nothing itself.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start(settings{tenants: tenants(2)})
	a, h := s.asterisk("PBX", s.pbx(0)), s.udp("phone", s.phone(0))
	h.register("401", domain(0), "secret")
	contact := a.contact("401")
	var got strings.Builder
	for _, tt := range []struct{ title, from, message string }{
		{"the PBX calls the phone", s.pbx(0).String(), "INVITE " + contact},
		{"the PBX of another tenant does", s.pbx(1).String(), "INVITE " + contact},
		{"the phone calls", s.phone(0).String(), "INVITE sip:9@" + domain(0)},
		{"a stranger does", s.stranger().String(), "INVITE sip:401@" + s.proxy().String()},
	} {
		code, stdout, stderr := command(t, "explain", "-config", p.config, "-from", tt.from, tt.message)
		fmt.Fprintf(&got, "# %s: %d\n%s%s\n", tt.title, code, stdout, stderr)
	}
	// An address that begins another one comes behind it.
	names := strings.NewReplacer(s.pbx(0).String(), "PBX-A", s.pbx(1).String(), "PBX-B", s.phone(0).String(), "PHONE",
		s.stranger().String(), "STRANGER", s.proxy().String(), "PROXY", s.phone(0).Addr().String(), "PHONE",
		s.proxy().Addr().String(), "PROXY", contact[strings.Index(contact, "rid=")+4:], "TOKEN")
	text := names.Replace(got.String())
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(`answers in [\d.e-]+ ms`).ReplaceAllString(text, "answers in N ms")
	golden, err := os.ReadFile(testdata(t, "explain.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a.rings(contact, h, h.contactOf("401"))
	p.silent(h)
}
