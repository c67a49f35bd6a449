package natfix_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

const via = "SIP/2.0/UDP 192.168.0.66:2048;branch=z9hG4bK1"

func TestNeedsAlias(t *testing.T) {
	tests := []struct {
		uri, transport string
		want           bool
	}{
		{"sip:401@198.51.100.7:49152", "udp", false},
		{"sip:401@198.51.100.7:49152;transport=UDP", "udp", false},
		{"sip:401@198.51.100.7:49152;transport=tcp", "tcp", false},
		{"sip:401@198.51.100.7:49152", "tcp", true},
		{"sip:401@198.51.100.7:49152;transport=ws", "wss", true},
		{"sip:401@198.51.100.7:5060;transport=tcp", "tcp", true},
		{"sip:401@192.168.0.66:2048", "udp", true},
		{"sip:401@198.51.100.7", "udp", true},
		{"sip:df7jal23ls0d.invalid;transport=ws", "ws", true},
		{"tel:+15551234", "udp", false},
	}
	for _, tt := range tests {
		f := flow
		f.Transport = tt.transport
		if got := natfix.NeedsAlias(tt.uri, f); got != tt.want {
			t.Errorf("NeedsAlias(%q) over %s = %t", tt.uri, tt.transport, got)
		}
	}
}

// contacts returns the Contact header field values of a message.
func contacts(msg sip.Message) []string {
	var out []string
	for _, name := range []string{"contact", "m"} {
		for _, h := range msg.GetHeaders(name) {
			out = append(out, h.Value())
		}
	}
	return out
}

// TestFixContact keeps everything of a Contact but the URI's end. R5.2, P-24.
func TestFixContact(t *testing.T) {
	a := newAliaser(t, secret)
	alias := func(uri string) string {
		out, ok := a.Append(nil, uri, flow)
		if !ok {
			t.Fatalf("cannot alias %s", uri)
		}
		return string(out)
	}
	const public = "<sip:401@198.51.100.7:49152>"
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"private", []string{"Contact: <sip:401@192.168.0.66:2048>"}, []string{"<" + alias("sip:401@192.168.0.66:2048") + ">"}},
		{
			"parameters", []string{"Contact: <sip:401@192.168.0.66:2048;line=x8kmhe6a;ob>;reg-id=1;+sip.instance=\"<urn:uuid:1>\""},
			[]string{"<" + alias("sip:401@192.168.0.66:2048;line=x8kmhe6a;ob") + ">;reg-id=1;+sip.instance=\"<urn:uuid:1>\""},
		},
		{"no user", []string{"Contact: <sip:192.168.0.66:2048>"}, []string{"<" + alias("sip:192.168.0.66:2048") + ">"}},
		{"public", []string{"Contact: " + public}, []string{public}},
		{"several headers", []string{"Contact: " + public, "Contact: <sip:1@10.0.0.1>"}, []string{public, "<" + alias("sip:1@10.0.0.1") + ">"}},
		{"star", []string{"Contact: *"}, []string{"*"}},
		{"none", nil, nil},
	}
	for name, p := range parsers() {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				req := parse[*sip.Request](t, p, invite(via, "", tt.lines...))
				before := req.String()
				changed := a.FixContact(req, flow)
				if diff := cmp.Diff(contacts(req), tt.want); diff != "" {
					t.Errorf("-got +want:\n%s", diff)
				}
				if changed != (req.String() != before) {
					t.Errorf("changed = %t", changed)
				}
			})
		}
	}
}

// TestFixContact_Text has what sipgo's own header table cannot keep.
func TestFixContact_Text(t *testing.T) {
	a := newAliaser(t, secret)
	out, _ := a.Append(nil, "sip:1@10.0.0.1", flow)
	aliased := string(out)
	tests := []struct{ name, in, want string }{
		{"display name", `"O, <sip:1@10.0.0.1> \"K\";x" <sip:1@10.0.0.1> ;x="<sip:1@10.0.0.1>,"`, `"O, <sip:1@10.0.0.1> \"K\";x" <` + aliased + `> ;x="<sip:1@10.0.0.1>,"`},
		{"list", "<sip:1@10.0.0.1>;q=1 , <sip:2@198.51.100.7:49152>,sip:1@10.0.0.1;q=0.1", "<" + aliased + ">;q=1 , <sip:2@198.51.100.7:49152>,<" + aliased + ">;q=0.1"},
		{"without brackets", "sip:1@10.0.0.1", "<" + aliased + ">"},
		{"blanks", " \tsip:1@10.0.0.1 \t;x", " \t<" + aliased + "> \t;x"},
		{"tel", "<tel:1>, <sip:1@10.0.0.1>", "<tel:1>, <" + aliased + ">"},
		{"empty elements", ",,<sip:1@10.0.0.1>,", ",,<" + aliased + ">,"},
		{"bracket without end", "<sip:1@10.0.0.1", "<sip:1@10.0.0.1"},
		{"quote without end", `"<sip:1@10.0.0.1>`, `"<sip:1@10.0.0.1>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := sip.NewRequest(sip.INVITE, sip.Uri{Host: "a.test"})
			req.AppendHeader(sip.NewHeader("Contact", tt.in))
			changed := a.FixContact(req, flow)
			if got := contacts(req)[0]; got != tt.want || changed != (tt.in != tt.want) {
				t.Errorf("got  %s, %t\nwant %s", got, changed, tt.want)
			}
		})
	}
}

// TestFixContact_Parsed proves that what Contact returns agrees with the text,
// whether it was called before or after.
func TestFixContact_Parsed(t *testing.T) {
	a := newAliaser(t, secret)
	for name, p := range parsers() {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/early=", early), func(t *testing.T) {
				req := parse[*sip.Request](t, p, invite(via, "", "Contact: <sip:401@192.168.0.66:2048;ob>"))
				if early {
					req.Contact()
				}
				if !a.FixContact(req, flow) {
					t.Fatal("unchanged")
				}
				parsed := req.Contact().Value()
				if text := contacts(req)[0]; parsed != text || !strings.Contains(parsed, ";ob;alias=") {
					t.Errorf("parsed %s, text %s", parsed, text)
				}
			})
		}
	}
}

// TestFixContact_Messages says which messages are touched. P-20 P-21 P-26.
func TestFixContact_Messages(t *testing.T) {
	a := newAliaser(t, secret)
	request := func(method sip.RequestMethod) sip.Message {
		return sip.NewRequest(method, sip.Uri{Host: "a.test"})
	}
	response := func(code int, method sip.RequestMethod) sip.Message {
		res := sip.NewResponse(code, "")
		res.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
		return res
	}
	tests := []struct {
		name string
		msg  sip.Message
		want bool
	}{
		{"INVITE", request(sip.INVITE), true},
		{"UPDATE", request(sip.UPDATE), true},
		{"SUBSCRIBE", request(sip.SUBSCRIBE), true},
		{"NOTIFY", request(sip.NOTIFY), true},
		{"REFER", request(sip.REFER), true},
		{"REGISTER", request(sip.REGISTER), false},
		{"OPTIONS", request(sip.OPTIONS), false},
		{"ACK", request(sip.ACK), false},
		{"100 INVITE", response(100, sip.INVITE), false},
		{"180 INVITE", response(180, sip.INVITE), true},
		{"200 INVITE", response(200, sip.INVITE), true},
		{"202 REFER", response(202, sip.REFER), true},
		{"302 INVITE", response(302, sip.INVITE), false},
		{"485 INVITE", response(485, sip.INVITE), false},
		{"200 REGISTER", response(200, sip.REGISTER), false},
		{"200 OPTIONS", response(200, sip.OPTIONS), false},
		{"200 without CSeq", sip.NewResponse(200, ""), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.msg.AppendHeader(sip.NewHeader("Contact", "<sip:401@192.168.0.66:2048>"))
			if got := a.FixContact(tt.msg, flow); got != tt.want {
				t.Errorf("changed = %t", got)
			}
		})
	}
	t.Run("unknown flow", func(t *testing.T) {
		msg := request(sip.INVITE)
		msg.AppendHeader(sip.NewHeader("Contact", "<sip:401@192.168.0.66:2048>"))
		if a.FixContact(msg, location.Flow{}) || contacts(msg)[0] != "<sip:401@192.168.0.66:2048>" {
			t.Errorf("got %v", contacts(msg))
		}
	})
}

// TestFixVia sends answers back to where the request came from. P-08.
func TestFixVia(t *testing.T) {
	tests := []struct{ name, via, src, want string }{
		{
			"phone asks for nothing", "SIP/2.0/UDP 192.168.0.66:2048;branch=z9hG4bK1", "198.51.100.7:49152",
			"SIP/2.0/UDP 192.168.0.66:2048;branch=z9hG4bK1;received=198.51.100.7;rport=49152",
		},
		{
			"rport", "SIP/2.0/UDP 192.168.0.66:2048;rport;branch=z9hG4bK1", "198.51.100.7:49152",
			"SIP/2.0/UDP 192.168.0.66:2048;rport=49152;branch=z9hG4bK1;received=198.51.100.7",
		},
		{
			"lies", "SIP/2.0/UDP 192.168.0.66:2048;received=203.0.113.1;rport=1;branch=z9hG4bK1;RECEIVED=203.0.113.2;RPort=2", "198.51.100.7:49152",
			"SIP/2.0/UDP 192.168.0.66:2048;received=198.51.100.7;rport=49152;branch=z9hG4bK1",
		},
		{
			"upper case", "SIP/2.0/UDP 192.168.0.66:2048;RPORT;branch=z9hG4bK1", "198.51.100.7:49152",
			"SIP/2.0/UDP 192.168.0.66:2048;rport=49152;branch=z9hG4bK1;received=198.51.100.7",
		},
		{
			"IPv6", "SIP/2.0/UDP [fd00::1]:5062;branch=z9hG4bK1", "[2001:db8::7]:49152",
			"SIP/2.0/UDP [fd00::1]:5062;branch=z9hG4bK1;received=2001:db8::7;rport=49152",
		},
		{
			"mapped IPv4", "SIP/2.0/UDP 192.168.0.66;branch=z9hG4bK1", "[::ffff:198.51.100.7]:49152",
			"SIP/2.0/UDP 192.168.0.66;branch=z9hG4bK1;received=198.51.100.7;rport=49152",
		},
	}
	for name, p := range parsers() {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				const second = "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0"
				req := parse[*sip.Request](t, p, invite(tt.via, "", second))
				natfix.FixVia(req, netip.MustParseAddrPort(tt.src))
				text := req.String()
				if !strings.Contains(text, "\r\nVia: "+tt.want+"\r\n") || !strings.Contains(text, second+"\r\n") {
					t.Errorf("got\n%s", text)
				}
			})
		}
	}
	t.Run("no Via", func(t *testing.T) {
		natfix.FixVia(sip.NewRequest(sip.INVITE, sip.Uri{Host: "a.test"}), public)
	})
}

// TestFixVia_Answer proves that sipgo sends answers there. P-08.
func TestFixVia_Answer(t *testing.T) {
	req := parse[*sip.Request](t, sip.NewParser(), invite(via, ""))
	req.SetSource(public.String())
	natfix.FixVia(req, public)
	res := sip.NewResponseFromRequest(req, 401, "Unauthorized", nil)
	if got := res.Destination(); got != public.String() {
		t.Errorf("the answer goes to %s", got)
	}
	if got := res.Via().Value(); !strings.Contains(got, "received=198.51.100.7") || !strings.Contains(got, "rport=49152") {
		t.Errorf("Via: %s", got)
	}
}

func FuzzFixContact(f *testing.F) {
	f.Add(`"a\"<b" <sip:1@10.0.0.1;x?y=z>;p="<q>", sip:2@h , <tel:3>,*`)
	f.Add("sip:1@10.0.0.1;expires=5")
	f.Add(`"`)
	f.Add("<sip:1@10.0.0.1")
	a := newAliaser(f, secret)
	f.Fuzz(func(t *testing.T, value string) {
		if _, err := location.ParseContacts([]string{value}); err != nil {
			return
		}
		before, _ := location.ParseContacts([]string{value})
		req := sip.NewRequest(sip.INVITE, sip.Uri{Host: "a.test"})
		req.AppendHeader(sip.NewHeader("Contact", value))
		a.FixContact(req, flow)
		after, err := location.ParseContacts(contacts(req))
		if err != nil || len(after) != len(before) {
			t.Fatalf("%q became %q, %v", value, contacts(req), err)
		}
		for i := range after {
			got, uri, err := a.Parse(after[i].URI)
			if err == nil && got != flow || uri != before[i].URI || after[i].Params != before[i].Params {
				t.Errorf("%+v became %+v, %v", before[i], after[i], err)
			}
		}
	})
}

func BenchmarkFixContact(b *testing.B) {
	a := newAliaser(b, secret)
	for name, p := range parsers() {
		b.Run(name, func(b *testing.B) {
			req := parse[*sip.Request](b, p, invite(via, "", "Contact: <sip:401@192.168.0.66:2048;ob>"))
			b.ReportAllocs()
			for b.Loop() {
				if !a.FixContact(req.Clone(), flow) {
					b.Fatal("unchanged")
				}
			}
		})
	}
}
