package sipmsg_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// viaForms are values of Via fields, sane and not (R3). Top is what the first
// element says, status what it is refused with.
var viaForms = []struct {
	value  string
	status int
	top    via
}{
	{"SIP/2.0/UDP a.test", 0, via{"UDP", "a.test", 5060, "", false}},
	{"SIP/2.0/UDP a.test:5070;branch=z9hG4bKa", 0, via{"UDP", "a.test", 5070, "z9hG4bKa", false}},
	{"SIP/2.0/TCP a:5060, SIP/2.0/UDP b;branch=z9hG4bKb", 0, via{"TCP", "a", 5060, "", false}},
	{"SIP/2.0/TCP a;branch=z9hG4bKa,SIP/2.0/UDP b;branch=z9hG4bKb,SIP/2.0/UDP c", 0, via{"TCP", "a", 5060, "z9hG4bKa", false}},
	{"SIP / 2.0 / UDP a ; branch = x", 0, via{"UDP", "a", 5060, "x", false}},
	{"SIP\n /\n 2.0\n /\n UDP\n a\n :\n 5070\n ;\n branch\n =\n x\n ,\n SIP/2.0/UDP b", 0, via{"UDP", "a", 5070, "x", false}},
	{"sip/2.0/udp A.Test;BRANCH=z9hG4bKa;RPort", 0, via{"udp", "A.Test", 5060, "z9hG4bKa", true}},
	{"SIP/2.0/UDP a\t:\t5070", 0, via{"UDP", "a", 5070, "", false}},
	{`SIP/2.0/UDP a;comment="a b";branch=x`, 0, via{"UDP", "a", 5060, "x", false}},
	{`SIP/2.0/UDP a;x="1,2;3\"4<";branch=y, SIP/2.0/UDP b`, 0, via{"UDP", "a", 5060, "y", false}},
	{`SIP/2.0/UDP a;x="" ;branch=y`, 0, via{"UDP", "a", 5060, "y", false}},
	{"SIP/2.0/UDP a;x=<;branch=y,SIP/2.0/UDP b", 0, via{"UDP", "a", 5060, "y", false}},
	{"SIP/2.0/UDP a;x=1;x=2;ttl=1;maddr=224.0.0.1;keep;alias", 0, via{"UDP", "a", 5060, "", false}},
	{"SIP/2.0/UDP a;branch=z9hG4bKa=/@:+", 0, via{"UDP", "a", 5060, "z9hG4bKa=/@:+", false}},
	{"SIP/2.0/UDP a:", 0, via{"UDP", "a", 5060, "", false}},
	{"SIP/2.0/TLS a", 0, via{"TLS", "a", 5061, "", false}},
	{"SIP/2.0/TLS-SCTP a", 0, via{"TLS-SCTP", "a", 5060, "", false}},
	{"SIP/2.0/ws df7jal23ls0d.invalid;branch=x", 0, via{"ws", "df7jal23ls0d.invalid", 80, "x", false}},
	{"SIP/2.0/WSS df7jal23ls0d.invalid;branch=x;rport", 0, via{"WSS", "df7jal23ls0d.invalid", 443, "x", true}},
	{"SIP/2.0/UDP my_host-1.test.;rport=7;received=1.2.3.4", 0, via{"UDP", "my_host-1.test.", 5060, "", true}},

	// R52
	{"SIP/2.0/UDP [::1]", 0, via{"UDP", "::1", 5060, "", false}},
	{"SIP/2.0/UDP [2001:DB8::9:1]:5070;branch=x", 0, via{"UDP", "2001:DB8::9:1", 5070, "x", false}},
	{"SIP/2.0/UDP [2001:db8::1] : 5070 ;rport", 0, via{"UDP", "2001:db8::1", 5070, "", true}},
	{"SIP/2.0/UDP [::ffff:192.0.2.1]:5070", 0, via{"UDP", "::ffff:192.0.2.1", 5070, "", false}},
	{"SIP/2.0/UDP [::1];received=2001:db8::1;branch=x", 0, via{"UDP", "::1", 5060, "x", false}},
	{"SIP/2.0/UDP [::1];received=[2001:db8::1];branch=x", 0, via{"UDP", "::1", 5060, "x", false}},
	{"SIP/2.0/UDP ::1", 400, via{}},
	{"SIP/2.0/UDP 2001:db8::1;branch=x", 400, via{}},
	{"SIP/2.0/UDP [::1", 400, via{}},
	{"SIP/2.0/UDP [::1]5060", 400, via{}},
	{"SIP/2.0/UDP [::1%25eth0]", 400, via{}},
	{"SIP/2.0/UDP [fe80::1%eth0]", 400, via{}},
	{"SIP/2.0/UDP [192.0.2.1]", 400, via{}},
	{"SIP/2.0/UDP [a.test]", 400, via{}},
	{"SIP/2.0/UDP [:::1]", 400, via{}},
	{"SIP/2.0/UDP []", 400, via{}},

	{"", 400, via{}},
	{"SIP/2.0/UDP", 400, via{}},
	{"SIP/2.0/UDP ", 400, via{}},
	{"SIP/2.0/UDP ;branch=x", 400, via{}},
	{"SIP/2.0/UDP :5060", 400, via{}},
	{"SIP/2.0 a", 400, via{}},
	{"SIP/2.0/ a", 400, via{}},
	{"SIP/2.0/U@P a", 400, via{}},
	{"SIP/2.0/UDPa", 400, via{}},
	{"SIP/3.0/UDP a", 400, via{}},
	{"HTTP/2.0/UDP a", 400, via{}},
	{"SIP/2.0/UDP a:xx", 400, via{}},
	{"SIP/2.0/UDP a:0", 400, via{}},
	{"SIP/2.0/UDP a:65536", 400, via{}},
	{"SIP/2.0/UDP a:99999999999999999999", 400, via{}},
	{"SIP/2.0/UDP a:-1", 400, via{}},
	{"SIP/2.0/UDP a b", 400, via{}},
	{"SIP/2.0/UDP a@b", 400, via{}},
	{"SIP/2.0/UDP \"a\"", 400, via{}},
	{"SIP/2.0/UDP <a>", 400, via{}},
	{"SIP/2.0/UDP a (comment)", 400, via{}},
	{"SIP/2.0/UDP ä.test", 400, via{}},
	{"SIP/2.0/UDP a;", 400, via{}},
	{"SIP/2.0/UDP a;;branch=x", 400, via{}},
	{"SIP/2.0/UDP a;=x", 400, via{}},
	{"SIP/2.0/UDP a;b c=x", 400, via{}},
	{`SIP/2.0/UDP a;"b"=x`, 400, via{}},
	{`SIP/2.0/UDP a;x="b`, 400, via{}},
	{`SIP/2.0/UDP a;x="b\", SIP/2.0/UDP b`, 400, via{}},
	{`SIP/2.0/UDP a;x="b"c`, 400, via{}},
	{`SIP/2.0/UDP a;x=b"c"`, 400, via{}},
	{"SIP/2.0/UDP a;branch=", 400, via{}},
	{"SIP/2.0/UDP a;branch", 400, via{}},
	{"SIP/2.0/UDP a;branch=x y", 400, via{}},
	{`SIP/2.0/UDP a;branch="x"`, 400, via{}},
	{"SIP/2.0/UDP a;branch=z9hG4bK", 400, via{}},
	{"SIP/2.0/UDP a;branch=Z9HG4BK", 400, via{}},
	{"SIP/2.0/UDP a;branch=x;branch=y", 400, via{}},
	{"SIP/2.0/UDP a;rport;RPORT=1", 400, via{}},
	{"SIP/2.0/UDP a;received=1.1.1.1;received=2.2.2.2", 400, via{}},
	{", SIP/2.0/UDP a", 400, via{}},
	{"SIP/2.0/UDP a,", 400, via{}},
	{"SIP/2.0/UDP a, ,SIP/2.0/UDP b", 400, via{}},
	{"SIP/2.0/UDP a,SIP/2.0/UDP b,", 400, via{}},
}

// via is what a [sipmsg.TopVia] says, with the port filled in.
type via struct {
	Transport, Host string
	Port            uint16
	Branch          string
	RPort           bool
}

func top(m *sipmsg.Message) via { return viaOf(m.Via) }

func viaOf(v sipmsg.TopVia) via {
	host, port := v.SentBy()
	return via{v.Transport, host, port, v.Branch, v.RPort}
}

// R3, R6, R52, P-76, P-82: on top of a request, each form is read right and
// forwarded intact, or refused. It is refused with an answer.
func TestVia_Top(t *testing.T) {
	for _, tt := range viaForms {
		raw := change(t, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", tt.value)
		m, err := sipmsg.Parse(raw)
		if status(t, err) != tt.status || !m.Answerable() {
			t.Errorf("%q: %v, answerable %v, want status %d", tt.value, err, m.Answerable(), tt.status)
			continue
		}
		answer := string(m.Respond(400, "Bad Request", "t"))
		if !strings.Contains(answer, "\r\nVia: "+lines(tt.value)+"\r\n") {
			t.Errorf("%q: answer\n%s", tt.value, answer)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(tt.top, top(m)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.value, diff)
		}
		if out := forwardString(m); !strings.Contains(out, "\r\n"+ownVia+"\r\nVia: "+lines(tt.value)+"\r\n") {
			t.Errorf("%q is not forwarded intact:\n%s", tt.value, out)
		}
	}
}

// A Via below the topmost is read as that is.
func TestParseVia(t *testing.T) {
	for _, tt := range viaForms {
		m, err := sipmsg.Parse(change(t, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", tt.value))
		if value := m.Get(sipmsg.Via); !strings.Contains(value, ",") {
			v, ok := sipmsg.ParseVia(value)
			if ok != (err == nil) || ok && viaOf(v) != tt.top {
				t.Errorf("%q: %+v, %v", value, v, ok)
			}
		}
	}
}

// R3: Vias below our own come back intact, in fields of their own and in one
// list with ours.
func TestVia_Below(t *testing.T) {
	for _, tt := range viaForms {
		value := lines(tt.value)
		for _, sep := range []string{"\r\nVia: ", "\r\nv:", ",", " ,\r\n "} {
			list := strings.HasPrefix(strings.TrimSpace(sep), ",")
			raw := strings.Replace(with(""), "OPTIONS sip:a.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa",
				"SIP/2.0 200 OK\r\n"+ownVia+sep+value, 1)
			m, err := sipmsg.Parse(raw)
			if err != nil {
				// Elements without anything in them, or that swallow what
				// follows, cannot be told apart.
				if !list || tt.status == 0 {
					t.Errorf("%q after %q: %v", value, sep, err)
				}
				continue
			}
			p := sipmsg.NewPatch(m)
			p.RemoveTopVia()
			want := "SIP/2.0 200 OK" + sep + value + raw[strings.Index(raw, "\r\nFrom"):]
			if list {
				want = "SIP/2.0 200 OK\r\nVia: " + strings.TrimLeft(value, " ") + raw[strings.Index(raw, "\r\nFrom"):]
			}
			if got := string(p.Bytes()); got != want {
				t.Errorf("%q after %q: got\n%s\nwant\n%s", value, sep, got, want)
			}
		}
	}
}

func TestVia_RemoveTopAll(t *testing.T) {
	raw := strings.Replace(answer, "Via: SIP/2.0/UDP 192.168.178.45:5060", "Via: SIP/2.0/TCP [::1]:5061;branch=x ,\r\n\tSIP/2.0/UDP 192.168.178.45:5060", 1)
	for _, want := range []string{"203.0.113.5", "::1", "192.168.178.45"} {
		m := mustParse(t, raw)
		if m.Via.Host != want {
			t.Fatalf("top Via %q, want %q", m.Via.Host, want)
		}
		p := sipmsg.NewPatch(m)
		p.RemoveTopVia()
		raw = string(p.Bytes())
	}
	if m, err := sipmsg.Parse(raw); status(t, err) != 400 || m.Has(sipmsg.Via) {
		t.Errorf("a Via is left, or none is no fault: %v", err)
	}
}

// R43, R52: received and rport tell where a request came from, whatever its
// sender claims.
func TestStamp(t *testing.T) {
	const v4, v6 = "198.51.100.7:40312", "[2001:db8::9:255]:40312"
	tests := []struct {
		via   string
		src   string
		force bool
		want  string
	}{
		// nothing to tell
		{"SIP/2.0/UDP 198.51.100.7", v4, false, "SIP/2.0/UDP 198.51.100.7"},
		{"SIP/2.0/UDP 198.51.100.7:9;branch=x", v4, false, "SIP/2.0/UDP 198.51.100.7:9;branch=x"},
		{"SIP/2.0/UDP 198.51.100.7", "[::ffff:198.51.100.7]:1", false, "SIP/2.0/UDP 198.51.100.7"},
		{"SIP/2.0/UDP [::ffff:198.51.100.7]", v4, false, "SIP/2.0/UDP [::ffff:198.51.100.7]"},
		{"SIP/2.0/UDP [2001:DB8:0::9:255]", v6, false, "SIP/2.0/UDP [2001:DB8:0::9:255]"},
		{"SIP/2.0/UDP [fe80::1]", "[fe80::1%eth0]:1", false, "SIP/2.0/UDP [fe80::1]"},
		// another host, or a name
		{"SIP/2.0/UDP 10.0.0.1", v4, false, "SIP/2.0/UDP 10.0.0.1;received=198.51.100.7"},
		{"SIP/2.0/UDP a.test;branch=x", v4, false, "SIP/2.0/UDP a.test;branch=x;received=198.51.100.7"},
		{"SIP/2.0/UDP a.test", v6, false, "SIP/2.0/UDP a.test;received=2001:db8::9:255"},
		{"SIP/2.0/UDP [::1]", v6, false, "SIP/2.0/UDP [::1];received=2001:db8::9:255"},
		{"SIP/2.0/UDP [fe80::2]", "[fe80::1%eth0]:1", false, "SIP/2.0/UDP [fe80::2];received=fe80::1"},
		{"SIP/2.0/UDP a.test", "[::ffff:198.51.100.7]:1", false, "SIP/2.0/UDP a.test;received=198.51.100.7"},
		// asked for
		{"SIP/2.0/UDP 10.0.0.1;rport;branch=x", v4, false, "SIP/2.0/UDP 10.0.0.1;rport=40312;branch=x;received=198.51.100.7"},
		{"SIP/2.0/UDP 198.51.100.7;RPORT", v4, false, "SIP/2.0/UDP 198.51.100.7;rport=40312;received=198.51.100.7"},
		{"SIP/2.0/UDP [::1];rport", v6, false, "SIP/2.0/UDP [::1];rport=40312;received=2001:db8::9:255"},
		// claimed
		{"SIP/2.0/UDP 198.51.100.7;received=1.2.3.4", v4, false, "SIP/2.0/UDP 198.51.100.7;received=198.51.100.7"},
		{"SIP/2.0/UDP 198.51.100.7;Received = 1.2.3.4 ;x", v4, false, "SIP/2.0/UDP 198.51.100.7;received=198.51.100.7;x"},
		{"SIP/2.0/UDP a;received", v4, false, "SIP/2.0/UDP a;received=198.51.100.7"},
		{"SIP/2.0/UDP a;rport=1;received=1.2.3.4;x", v4, false, "SIP/2.0/UDP a;rport=40312;received=198.51.100.7;x"},
		{"SIP/2.0/UDP a;received=1.2.3.4;x;rport=1", v4, false, "SIP/2.0/UDP a;received=198.51.100.7;x;rport=40312"},
		{"SIP/2.0/UDP a;received=[::2];rport=1", v6, false, "SIP/2.0/UDP a;received=2001:db8::9:255;rport=40312"},
		{`SIP/2.0/UDP a;x=";received=1.2.3.4;rport=1"`, v4, false, `SIP/2.0/UDP a;x=";received=1.2.3.4;rport=1";received=198.51.100.7`},
		// not asked for
		{"SIP/2.0/UDP 198.51.100.7", v4, true, "SIP/2.0/UDP 198.51.100.7;received=198.51.100.7;rport=40312"},
		{"SIP/2.0/UDP a;rport", v4, true, "SIP/2.0/UDP a;rport=40312;received=198.51.100.7"},
		// in a list, with blanks and folds
		{"SIP/2.0/UDP a ,SIP/2.0/UDP b;rport", v4, true, "SIP/2.0/UDP a;received=198.51.100.7;rport=40312 ,SIP/2.0/UDP b;rport"},
		{"SIP/2.0/UDP a\n ;rport\n ,\n SIP/2.0/UDP b", v4, false, "SIP/2.0/UDP a\n ;rport=40312;received=198.51.100.7\n ,\n SIP/2.0/UDP b"},
	}
	for _, tt := range tests {
		m := mustParse(t, change(t, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", tt.via))
		src := netip.MustParseAddrPort(tt.src)
		m.Stamp(phone, !tt.force) // the second call counts
		m.Stamp(src, tt.force)
		if m.Source != src {
			t.Errorf("%s: Source %v, want %v", tt.via, m.Source, src)
		}
		want := "\r\nVia: " + lines(tt.want) + "\r\n"
		for what, out := range map[string]string{
			"forwarded": forwardString(m),
			"answer":    string(m.Respond(200, "OK", "t")),
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s from %s, force %v: no %q in %s\n%s", tt.via, tt.src, tt.force, want, what, out)
			}
		}
		if got := mustParse(t, forwardString(m)); !strings.Contains(got.Raw, want) || top(got).Host != "203.0.113.5" {
			t.Errorf("%s: cannot be read again:\n%s", tt.via, got.Raw)
		}
	}
}

// A request without a Via is not answered, and stamping it does no harm.
func TestStamp_NoVia(t *testing.T) {
	m, err := sipmsg.Parse(change(t, "Via:", "X:"))
	if err == nil {
		t.Fatal("accepted")
	}
	m.Stamp(phone, true)
	if got := string(m.Respond(400, "Bad Request", "t")); strings.Contains(got, "received") {
		t.Errorf("answer\n%s", got)
	}
}
