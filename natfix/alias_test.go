package natfix_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

var secret = []byte("0123456789abcdef")

func newAliaser(t testing.TB, secret []byte) *natfix.Aliaser {
	t.Helper()
	a, err := natfix.NewAliaser(secret)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNewAliaser_ShortSecret(t *testing.T) {
	for n := range 16 {
		if _, err := natfix.NewAliaser(make([]byte, n)); !errors.Is(err, natfix.ErrSecret) {
			t.Errorf("%d bytes: err = %v, want ErrSecret", n, err)
		}
	}
}

func TestNewAliaser_CopiesTheSecret(t *testing.T) {
	mine := append([]byte(nil), secret...)
	a := newAliaser(t, mine)
	clear(mine)
	uri, _ := a.Append(nil, "sip:401@10.0.0.1", flow)
	if _, _, err := newAliaser(t, secret).Parse(string(uri)); err != nil {
		t.Error(err)
	}
}

// P-48: after a secret was replaced, what was made with it counts until it is
// forgotten.
func TestAliaser_FormerSecrets(t *testing.T) {
	first, second := []byte("the first of three"), []byte("the second of three")
	uri, _ := newAliaser(t, first).Append(nil, "sip:401@10.0.0.1", flow)
	now, err := natfix.NewAliaser(secret, second, first)
	if err != nil {
		t.Fatal(err)
	}
	if got, rest, err := now.Parse(string(uri)); got != flow || rest != "sip:401@10.0.0.1" || err != nil {
		t.Errorf("%v, %s, %v", got, rest, err)
	}
	mine, _ := now.Append(nil, "sip:401@10.0.0.1", flow)
	if _, _, err := newAliaser(t, secret).Parse(string(mine)); err != nil {
		t.Errorf("made with another secret than the present one: %v", err)
	}
	later, _ := natfix.NewAliaser(secret, second)
	if _, _, err := later.Parse(string(uri)); !errors.Is(err, natfix.ErrForged) {
		t.Errorf("err = %v, want ErrForged", err)
	}
	if _, err := natfix.NewAliaser(secret, first, secret[:15]); !errors.Is(err, natfix.ErrSecret) {
		t.Errorf("err = %v, want ErrSecret", err)
	}
}

// TestAliaser_Place checks where the parameter goes, and that taking it out
// leaves the URI as it was.
func TestAliaser_Place(t *testing.T) {
	tests := []struct{ name, before, after string }{
		{"plain", "sip:401@10.0.0.1:5060", ""},
		{"parameters", "sip:401@10.0.0.1;line=x8kmhe6a;ob", ""},
		{"headers", "sip:401@10.0.0.1", "?Replaces=a%40b%3Bx&b=c"},
		{"parameters and headers", "sips:401@phone.test;transport=tcp", "?a=b"},
		{"empty headers", "sip:401@10.0.0.1", "?"},
		{"no user", "sip:10.0.0.1:5060", ""},
		{"no user, IPv6", "sip:[2001:db8::1]:5060;lr", "?a=b"},
		{"user with what ends other parts", "sip:4;alias=x?b=1@10.0.0.1", ""},
		{"user parameters", "sip:+1555;phone-context=x.test@10.0.0.1;user=phone", ""},
		{"trailing semicolon", "sip:401@10.0.0.1;", ""},
		{"alias of another proxy", "sip:401@10.0.0.1;alias=10.0.0.1~5060~1", ""},
		{"scheme in upper case", "SIP:401@10.0.0.1", ""},
	}
	a := newAliaser(t, secret)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, ok := a.Append([]byte("x"), tt.before+tt.after, flow)
			if !ok {
				t.Fatal("not appended")
			}
			uri, ok := strings.CutPrefix(string(out), "x")
			if !ok {
				t.Fatalf("dst was overwritten: %s", out)
			}
			rest, _ := strings.CutPrefix(uri, tt.before)
			rest, found := strings.CutPrefix(rest, ";alias=")
			value, isEnd := strings.CutSuffix(rest, tt.after)
			if !found || !isEnd || strings.ContainsAny(value, ";?=@") {
				t.Fatalf("got %s", uri)
			}
			if len(value) > 32 {
				t.Errorf("alias has %d characters", len(value))
			}
			got, orig, err := a.Parse(uri)
			if err != nil || got != flow || orig != tt.before+tt.after {
				t.Errorf("Parse = %+v, %q, %v", got, orig, err)
			}
		})
	}
}

func TestAliaser_Flows(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("198.51.100.7:49152"), netip.MustParseAddrPort("[2001:db8::7]:49152")
	listen4, listen6 := netip.MustParseAddrPort("0.0.0.0:5060"), netip.MustParseAddrPort("[::]:5061")
	a := newAliaser(t, secret)
	for _, transport := range []string{"udp", "tcp", "tls", "ws", "wss"} {
		for _, remote := range []netip.AddrPort{v4, v6} {
			for _, local := range []netip.AddrPort{{}, listen4, listen6} {
				want := location.Flow{Transport: transport, Remote: remote, Local: local}
				uri, ok := a.Append(nil, "sip:401@10.0.0.1", want)
				if !ok {
					t.Fatalf("%+v: not appended", want)
				}
				if got, _, err := a.Parse(string(uri)); err != nil || got != want {
					t.Errorf("%+v became %+v, %v", want, got, err)
				}
			}
		}
	}
	t.Run("mapped IPv4", func(t *testing.T) {
		uri, _ := a.Append(nil, "sip:401@10.0.0.1", location.Flow{Transport: "udp", Remote: netip.MustParseAddrPort("[::ffff:198.51.100.7]:49152")})
		if got, _, err := a.Parse(string(uri)); err != nil || got.Remote != v4 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestAliaser_CannotAppend(t *testing.T) {
	zone := netip.MustParseAddrPort("[fe80::1%eth0]:5060")
	tests := []struct {
		name, uri string
		flow      location.Flow
	}{
		{"tel", "tel:+15551234", flow},
		{"star", "*", flow},
		{"empty", "", flow},
		{"zero flow", "sip:401@10.0.0.1", location.Flow{}},
		{"unknown transport", "sip:401@10.0.0.1", location.Flow{Transport: "sctp", Remote: public}},
		{"upper case transport", "sip:401@10.0.0.1", location.Flow{Transport: "UDP", Remote: public}},
		{"remote with a zone", "sip:401@10.0.0.1", location.Flow{Transport: "udp", Remote: zone}},
		{"listener with a zone", "sip:401@10.0.0.1", location.Flow{Transport: "udp", Remote: public, Local: zone}},
	}
	a := newAliaser(t, secret)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if out, ok := a.Append([]byte("x"), tt.uri, tt.flow); ok || string(out) != "x"+tt.uri {
				t.Errorf("Append = %q, %t", out, ok)
			}
		})
	}
}

// TestAliaser_Restart proves that an alias needs no state. P-18 P-51.
func TestAliaser_Restart(t *testing.T) {
	uri, _ := newAliaser(t, secret).Append(nil, "sip:401@10.0.0.1:5060", flow)
	got, rest, err := newAliaser(t, secret).Parse(string(uri))
	if err != nil || got != flow || rest != "sip:401@10.0.0.1:5060" {
		t.Errorf("Parse = %+v, %q, %v", got, rest, err)
	}
}

// TestAliaser_SurvivesTheWay proves that what others may do to a URI leaves the
// alias good: RFC 3261 section 19.1.4 and what Asterisk does.
func TestAliaser_SurvivesTheWay(t *testing.T) {
	a := newAliaser(t, secret)
	out, _ := a.Append(nil, "sip:401@phone.test;ob", flow)
	_, alias, _ := strings.Cut(string(out), ";alias=")
	tests := []struct{ name, uri, rest string }{
		{"host in other case", "SIP:401@PHONE.test;ob;alias=" + alias, "SIP:401@PHONE.test;ob"},
		{"parameter name in other case", "sip:401@phone.test;ob;ALIAS=" + alias, "sip:401@phone.test;ob"},
		{"another order", "sip:401@phone.test;alias=" + alias + ";ob;transport=ws?a=b", "sip:401@phone.test;ob;transport=ws?a=b"},
		{"another host", "sip:401@192.0.2.1:5060;alias=" + alias, "sip:401@192.0.2.1:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, rest, err := a.Parse(tt.uri); err != nil || got != flow || rest != tt.rest {
				t.Errorf("Parse = %+v, %q, %v", got, rest, err)
			}
		})
	}
}

func TestAliaser_NoAlias(t *testing.T) {
	a := newAliaser(t, secret)
	for _, uri := range []string{
		"", "sip:401@10.0.0.1", "sip:401@10.0.0.1;alias", "sip:401@10.0.0.1;alias=", "sip:401@10.0.0.1;xalias=abc",
		"sip:401@10.0.0.1;alias=10.0.0.1~5060~1", "sip:401@10.0.0.1?x=;alias=abcd", "sip:a;alias=abcd@10.0.0.1", "tel:1;alias=abcd",
		"sip:401@10.0.0.1;alias=" + strings.Repeat("A", 100), "sip:401@10.0.0.1;alias=AAAA",
	} {
		if got, rest, err := a.Parse(uri); !errors.Is(err, natfix.ErrNoAlias) || rest != uri || got != (location.Flow{}) {
			t.Errorf("Parse(%q) = %+v, %q, %v, want ErrNoAlias", uri, got, rest, err)
		}
	}
}

// TestAliaser_Forged changes every character of an alias. P-48.
func TestAliaser_Forged(t *testing.T) {
	a := newAliaser(t, secret)
	const prefix = "sip:401@10.0.0.1;alias="
	out, _ := a.Append(nil, "sip:401@10.0.0.1", flow)
	good := string(out)
	forged := 0
	for i := len(prefix); i < len(good); i++ {
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			bad := good[:i] + string(c) + good[i+1:]
			if bad == good {
				continue
			}
			got, rest, err := a.Parse(bad)
			if err == nil || got != (location.Flow{}) || rest != bad {
				t.Fatalf("Parse(%q) = %+v, %q, %v", bad, got, rest, err)
			}
			if errors.Is(err, natfix.ErrForged) {
				forged++
			}
		}
	}
	if forged == 0 {
		t.Error("never ErrForged")
	}
	if _, _, err := newAliaser(t, []byte("another secret of ours")).Parse(good); !errors.Is(err, natfix.ErrForged) {
		t.Errorf("with another secret: %v, want ErrForged", err)
	}
	if _, _, err := a.Parse(good[:len(good)-4]); err == nil {
		t.Error("took a shortened alias")
	}
}

func TestAliaser_Concurrent(t *testing.T) {
	a := newAliaser(t, secret)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			mine := flow
			mine.Remote = netip.AddrPortFrom(public.Addr(), uint16(1000+i))
			for range 500 {
				uri, _ := a.Append(nil, "sip:401@10.0.0.1", mine)
				if got, _, err := a.Parse(string(uri)); err != nil || got != mine {
					t.Errorf("Parse = %+v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzAliaser(f *testing.F) {
	for _, uri := range []string{"sip:401@10.0.0.1:5060;a=b?c=d", "sip:a;alias=b?@[::1];", "sips:x@y;alias=AAAA", "sip:?;alias=", "tel:1"} {
		f.Add(uri, byte(0), []byte{198, 51, 100, 7}, uint16(5060), []byte{})
	}
	f.Add("sip:401@10.0.0.1", byte(4), make([]byte, 16), uint16(1), make([]byte, 16))
	transports := []string{"udp", "tcp", "tls", "ws", "wss", "sctp"}
	a := newAliaser(f, secret)
	f.Fuzz(func(t *testing.T, uri string, transport byte, remote []byte, port uint16, local []byte) {
		if flow, rest, err := a.Parse(uri); err != nil && (rest != uri || flow != (location.Flow{})) {
			t.Fatalf("Parse(%q) = %+v, %q, %v", uri, flow, rest, err)
		}
		want := location.Flow{Transport: transports[int(transport)%len(transports)]}
		if addr, ok := netip.AddrFromSlice(remote); ok {
			want.Remote = netip.AddrPortFrom(addr.Unmap(), port)
		}
		if addr, ok := netip.AddrFromSlice(local); ok {
			want.Local = netip.AddrPortFrom(addr.Unmap(), port)
		}
		out, ok := a.Append(nil, uri, want)
		if !ok {
			if string(out) != uri {
				t.Fatalf("Append changed %q to %q", uri, out)
			}
			return
		}
		got, rest, err := a.Parse(string(out))
		if diff := cmp.Diff(got, want, equateAddrs()); err != nil || rest != uri || diff != "" {
			t.Errorf("%q became %q, %v\n%s", uri, rest, err, diff)
		}
	})
}

func BenchmarkAliaser(b *testing.B) {
	a := newAliaser(b, secret)
	const uri = "sip:401@192.168.0.66:2048;line=x8kmhe6a"
	b.Run("Append", func(b *testing.B) {
		buf := make([]byte, 0, 200)
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = a.Append(buf[:0], uri, flow)
		}
	})
	b.Run("Parse", func(b *testing.B) {
		out, _ := a.Append(nil, uri, flow)
		aliased := string(out)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := a.Parse(aliased); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("NeedsAlias", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !natfix.NeedsAlias(uri, flow) {
				b.Fatal("needs none")
			}
		}
	})
}
