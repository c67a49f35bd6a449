package registrar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// TestGranted is the rule of what a 2xx grants. P-02 P-03 P-04 P-73.
func TestGranted(t *testing.T) {
	const (
		uri    = "sip:402-0x55777cf2d400@127.0.2.12:5060"
		other  = "Contact: <sip:402@198.51.100.9:5080>;expires=17"
		mapped = "<sip:402-0x55777cf2d400@10.0.0.1:5060;x-ast-orig-host=127.0.2.12:5060>"
	)
	type lines = []string
	tests := []struct {
		name     string
		req, res lines
		want     []string
	}{
		// The contact is in the answer.
		{"Asterisk grants a second less", lines{"Contact: " + baresip + ";expires=60;" + instance}, lines{"Contact: " + baresip + ";expires=59"}, lines{"put " + uri + " 59"}},
		{"Asterisk raises what is too short", lines{"Contact: " + baresip + ";expires=10"}, lines{"Contact: " + baresip + ";expires=60"}, lines{"put " + uri + " 60"}},
		{"Asterisk cuts what is too long", lines{"Contact: " + baresip, "Expires: 86400"}, lines{"Contact: " + baresip + ";expires=3600"}, lines{"put " + uri + " 3600"}},
		{"the parameter beats the header", lines{"Contact: " + baresip, "Expires: 60"}, lines{"Contact: " + baresip + ";expires=59", "Expires: 60"}, lines{"put " + uri + " 59"}},
		{"the header alone, shorter", lines{"Contact: " + baresip, "Expires: 3600"}, lines{"Contact: " + baresip, "Expires: 120"}, lines{"put " + uri + " 120"}},
		{"the header alone, longer", lines{"Contact: " + baresip, "Expires: 60"}, lines{"Contact: " + baresip, "Expires: 120"}, lines{"put " + uri + " 120"}},
		{"listed without any time, as asked", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: " + baresip}, lines{"put " + uri + " 300"}},
		{"nobody names a time, the default", lines{"Contact: " + baresip}, lines{"Contact: " + baresip}, lines{"put " + uri + " 1800"}},
		{"granted zero", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: " + baresip + ";expires=0"}, lines{"remove " + uri}},
		{"malformed grant, the header counts", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: " + baresip + ";expires=soon", "Expires: 30"}, lines{"put " + uri + " 30"}},
		{"malformed grant, as asked", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: " + baresip + ";expires=-1"}, lines{"put " + uri + " 300"}},
		{"grant beyond 32 bits", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: " + baresip + ";expires=99999999999"}, lines{"put " + uri + " 4.294967295e+09"}},
		{"malformed question means 3600", lines{"Contact: " + baresip + ";expires=abc", "Expires: 0"}, lines{"Contact: " + baresip}, lines{"put " + uri + " 3600"}},
		{"malformed header in the question means 3600", lines{"Contact: " + baresip, "Expires: abc"}, lines{"Contact: " + baresip}, lines{"put " + uri + " 3600"}},
		{"202 is a 2xx", lines{"Contact: " + baresip + ";expires=60"}, lines{"Contact: " + baresip + ";expires=60"}, lines{"put " + uri + " 60"}},

		// It is in the answer, spelled otherwise (RFC 3261 section 19.1.4).
		{"host in other case", lines{"Contact: <sip:401@PHONE.test>;expires=60"}, lines{"Contact: <sip:401@phone.TEST>;expires=50"}, lines{"put sip:401@PHONE.test 50"}},
		{"user escaped", lines{"Contact: <sip:%34%301@phone.test>;expires=60"}, lines{"Contact: <sip:401@phone.test>;expires=50"}, lines{"put sip:%34%301@phone.test 50"}},
		{"a parameter dropped", lines{"Contact: " + snom + ";expires=60"}, lines{"Contact: <sip:401@192.168.0.66:2048>;expires=90"}, lines{"put sip:401@192.168.0.66:2048;line=x8kmhe6a 90"}},
		{"Asterisk drops the transport and adds the port", lines{"Contact: " + linphone + ";expires=60"}, lines{"Contact: <sip:403@127.0.2.13:5060>;expires=90"}, lines{"put sip:403@127.0.2.13;transport=udp 90"}},
		{"quoted display name, blanks, upper case", lines{`Contact: "O, \"K\"" ` + baresip + " ; EXPIRES = 60"}, lines{"Contact: " + baresip + ";Expires=55"}, lines{"put " + uri + " 55"}},
		{"without brackets", lines{"Contact: sip:401@192.168.0.66:2048;expires=60"}, lines{"Contact: sip:401@192.168.0.66:2048;expires=55"}, lines{"put sip:401@192.168.0.66:2048 55"}},
		{"instance and reg-id under another URI", lines{"Contact: " + baresip + ";reg-id=1;expires=60;" + instance}, lines{"Contact: <sip:gruu@pbx.test>;reg-id=2;expires=10;" + instance, "Contact: <sip:gruu@pbx.test>;reg-id=1;expires=90;" + instance}, lines{"put " + uri + " 90"}},

		// The contact was rewritten.
		{"one asked, one granted", lines{"Contact: " + baresip + ";expires=3600"}, lines{"Contact: <sip:s@10.0.0.1:5060>;expires=60"}, lines{"put " + uri + " 60"}},
		{"one asked, one granted longer: not more than asked", lines{"Contact: " + baresip + ";expires=60"}, lines{"Contact: " + mapped + ";expires=3600"}, lines{"put " + uri + " 60"}},
		{"among other devices, same user", lines{"Contact: " + baresip + ";expires=3600"}, lines{other, "Contact: " + mapped + ";expires=60", "Contact: <sip:402@198.51.100.8>;expires=5"}, lines{"put " + uri + " 60"}},
		{"cannot be told apart, the shortest counts", lines{"Contact: " + snom + ";expires=3600"}, lines{"Contact: <sip:401@10.0.0.1:5060>;expires=300, <sip:401@10.0.0.1:5061>;expires=60", "Expires: 120"}, lines{"put sip:401@192.168.0.66:2048;line=x8kmhe6a 60"}},
		{"cannot be told apart, the header counts", lines{"Contact: " + snom + ";expires=3600"}, lines{"Contact: <sip:a@10.0.0.1>, <sip:b@10.0.0.1>", "Expires: 120"}, lines{"put sip:401@192.168.0.66:2048;line=x8kmhe6a 120"}},
		{"cannot be told apart, no time at all", lines{"Contact: " + snom + ";expires=300"}, lines{"Contact: <sip:a@10.0.0.1>, <sip:b@10.0.0.1>"}, lines{"put sip:401@192.168.0.66:2048;line=x8kmhe6a 300"}},
		{"a vanishing other device does not take us along", lines{"Contact: " + snom + ";expires=300"}, lines{"Contact: <sip:a@10.0.0.1>;expires=0, <sip:b@10.0.0.1>;expires=40"}, lines{"put sip:401@192.168.0.66:2048;line=x8kmhe6a 40"}},
		{"unreadable, as asked", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: <sip:402@>;expires=60"}, lines{"put " + uri + " 300"}},
		{"one unreadable does not hide the other", lines{"Contact: " + baresip + ";expires=300"}, lines{"Contact: <sip:402@>;expires=10", "Contact: " + baresip + ";expires=90"}, lines{"put " + uri + " 90"}},

		// No contact in the answer.
		{"refresh that upstream did not keep", lines{"Contact: " + baresip + ";expires=60"}, nil, lines{"remove " + uri}},
		{"no contact but a time", lines{"Contact: " + baresip + ";expires=3600"}, lines{"Expires: 120"}, lines{"put " + uri + " 120"}},
		{"no contact but a longer time", lines{"Contact: " + baresip + ";expires=60"}, lines{"Expires: 3600"}, lines{"put " + uri + " 60"}},
		{"no contact and no time left", lines{"Contact: " + baresip + ";expires=60"}, lines{"Expires: 0"}, lines{"remove " + uri}},

		// De-registration.
		{"Asterisk omits the removed contact", lines{"Contact: " + baresip + ";expires=0"}, nil, lines{"remove " + uri}},
		{"by header", lines{"Contact: " + baresip, "Expires: 0"}, nil, lines{"remove " + uri}},
		{"other devices stay", lines{"Contact: " + baresip + ";expires=0"}, lines{other}, lines{"remove " + uri}},
		{"the parameter beats Expires: 0", lines{"Contact: " + baresip + ";expires=60", "Expires: 0"}, lines{"Contact: " + baresip + ";expires=60"}, lines{"put " + uri + " 60"}},
		{"star", lines{"Contact: *", "Expires: 0"}, nil, lines{"reset"}},
		{"star, answered with a contact", lines{"Contact: *", "Expires: 0"}, lines{other}, lines{"reset"}},

		// Several contacts.
		{"two stored, one removed", lines{"Contact: <sip:1@a.test>;expires=60, <sip:2@a.test>;expires=0", "Contact: <sip:3@a.test>", "Expires: 90"}, lines{"Contact: <sip:3@a.test>;expires=89, <sip:1@a.test>;expires=59"}, lines{"remove sip:2@a.test", "put sip:1@a.test 59", "put sip:3@a.test 89"}},
		{"one of two granted", lines{"Contact: <sip:1@a.test>;expires=60, <sip:2@a.test>;expires=60"}, lines{"Contact: <sip:1@a.test>;expires=59, <sip:2@a.test>;expires=0"}, lines{"remove sip:2@a.test", "put sip:1@a.test 59"}},
		{"old address removed, new one put", lines{"Contact: <sip:401@192.168.0.66:2048>;expires=0", "Contact: <sip:401@192.168.0.66:2050>;expires=60"}, lines{"Contact: <sip:401@192.168.0.66:2050>;expires=59"}, lines{"remove sip:401@192.168.0.66:2048", "put sip:401@192.168.0.66:2050 59"}},
		{"other devices are not ours", lines{"Contact: " + baresip + ";expires=60"}, lines{other, "Contact: " + baresip + ";expires=59", "Contact: <sip:402@198.51.100.8>;expires=5"}, lines{"put " + uri + " 59"}},

		// Compact form, and a query.
		{"compact names", lines{"m: " + baresip + ";expires=60"}, lines{"m: " + baresip + ";expires=59"}, lines{"put " + uri + " 59"}},
		{"query", nil, lines{other}, nil},
	}
	for parser, p := range parsers() {
		t.Run(parser, func(t *testing.T) {
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					req := parse[*sip.Request](t, p, register(tt.req...))
					res := parse[*sip.Response](t, p, answer(200, tt.res...))
					got, err := registrar.Granted(req, res, location.Flow{}, start, 30*time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(summary(got, start), tt.want); diff != "" {
						t.Errorf("-got +want:\n%s", diff)
					}
				})
			}
		})
	}
}

// TestGranted_OtherAnswersChangeNothing proves that only a 2xx does. P-72 P-75.
func TestGranted_OtherAnswersChangeNothing(t *testing.T) {
	req := parse[*sip.Request](t, reduced(), register("Contact: "+baresip))
	for _, code := range []int{100, 183, 302, 401, 403, 404, 407, 408, 423, 480, 500, 503, 603} {
		res := parse[*sip.Response](t, reduced(), answer(code, "Contact: "+baresip+";expires=60"))
		got, err := registrar.Granted(req, res, location.Flow{}, start, time.Hour)
		if !errors.Is(err, registrar.ErrNotGranted) {
			t.Errorf("%d: err = %v, want ErrNotGranted", code, err)
		}
		if diff := cmp.Diff(got, location.Change{}); diff != "" {
			t.Errorf("%d: -got +want:\n%s", code, diff)
		}
	}
}

func TestGranted_Malformed(t *testing.T) {
	req := parse[*sip.Request](t, reduced(), register("Contact: *", "Expires: 60"))
	res := parse[*sip.Response](t, reduced(), answer(200))
	if _, err := registrar.Granted(req, res, location.Flow{}, start, time.Hour); !errors.Is(err, registrar.ErrMalformed) {
		t.Errorf("err = %v, want ErrMalformed", err)
	}
}
