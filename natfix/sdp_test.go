package natfix_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/natfix"
)

const sdpType = "application/sdp"

// from returns the flow of a message from an address.
func from(transport, addr string) location.Flow {
	return location.Flow{Transport: transport, Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 49152)}
}

// body joins lines, each with its CRLF.
func body(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// offer returns the SDP of a phone with these lines below its origin.
func offer(lines ...string) string {
	return body(append([]string{"v=0", "o=- 3 1 IN IP4 192.168.0.66", "s=-"}, lines...)...)
}

// TestFixSDP has the addresses that are replaced and all that are not. P-19.
func TestFixSDP(t *testing.T) {
	const audio = "m=audio 40000 RTP/AVP 8 101"
	tests := []struct {
		name        string
		source      string
		in          []string
		auto, force []string // nil if they stay as they are
	}{
		{
			"of the session", "198.51.100.7",
			[]string{"c=IN IP4 192.168.0.66", "t=0 0", audio, "a=sendrecv"},
			[]string{"c=IN IP4 198.51.100.7", "t=0 0", audio, "a=sendrecv"},
			[]string{"c=IN IP4 198.51.100.7", "t=0 0", audio, "a=sendrecv"},
		},
		{
			"of each media", "198.51.100.7",
			[]string{"t=0 0", audio, "c=IN IP4 10.0.0.1", "a=sendrecv", "m=video 40002 RTP/AVP 96", "c=IN IP4 100.64.0.1"},
			[]string{"t=0 0", audio, "c=IN IP4 198.51.100.7", "a=sendrecv", "m=video 40002 RTP/AVP 96", "c=IN IP4 198.51.100.7"},
			[]string{"t=0 0", audio, "c=IN IP4 198.51.100.7", "a=sendrecv", "m=video 40002 RTP/AVP 96", "c=IN IP4 198.51.100.7"},
		},
		{
			"RTCP", "198.51.100.7",
			[]string{"c=IN IP4 203.0.113.9", audio, "a=rtcp:53020 IN IP4 192.168.0.66", "a=rtcp-mux"},
			[]string{"c=IN IP4 203.0.113.9", audio, "a=rtcp:53020 IN IP4 198.51.100.7", "a=rtcp-mux"},
			[]string{"c=IN IP4 198.51.100.7", audio, "a=rtcp:53020 IN IP4 198.51.100.7", "a=rtcp-mux"},
		},
		{
			"RTCP without address, and above the media", "198.51.100.7",
			[]string{"a=rtcp:1 IN IP4 10.0.0.1", audio, "a=rtcp:53020", "a=rtcp:53020 IN", "a=rtcp:", "a=rtcp-fb:* nack"},
			nil, nil,
		},
		{
			"IPv6", "2001:db8::7",
			[]string{"c=IN IP6 fd00::66", audio, "c=IN IP6 fe80::1"},
			[]string{"c=IN IP6 2001:db8::7", audio, "c=IN IP6 2001:db8::7"},
			[]string{"c=IN IP6 2001:db8::7", audio, "c=IN IP6 2001:db8::7"},
		},
		{
			"source mapped into IPv6", "::ffff:198.51.100.7",
			[]string{"c=IN IP4 192.168.0.66", audio},
			[]string{"c=IN IP4 198.51.100.7", audio},
			[]string{"c=IN IP4 198.51.100.7", audio},
		},
		{
			"source with a zone", "fe80::7%eth0",
			[]string{"c=IN IP6 fe80::66", audio},
			nil,
			[]string{"c=IN IP6 fe80::7", audio},
		},
		{
			"public", "198.51.100.7",
			[]string{"c=IN IP4 203.0.113.9", audio},
			nil,
			[]string{"c=IN IP4 198.51.100.7", audio},
		},
		{
			"private source", "10.1.0.1",
			[]string{"c=IN IP4 192.168.0.66", audio},
			nil,
			[]string{"c=IN IP4 10.1.0.1", audio},
		},
		{
			"TTL and blanks", "198.51.100.7",
			[]string{"c=IN IP4 10.0.0.1/127/3", audio, "c=IN IP4  10.0.0.1 "},
			[]string{"c=IN IP4 198.51.100.7/127/3", audio, "c=IN IP4  198.51.100.7 "},
			[]string{"c=IN IP4 198.51.100.7/127/3", audio, "c=IN IP4  198.51.100.7 "},
		},
		{
			"some media refused", "198.51.100.7",
			[]string{"c=IN IP4 10.0.0.1", "m=audio 0 RTP/AVP 8", "c=IN IP4 10.0.0.1", "a=rtcp:9 IN IP4 10.0.0.1", "m=image 40002/2 udptl t38", "c=IN IP4 10.0.0.1"},
			[]string{"c=IN IP4 198.51.100.7", "m=audio 0 RTP/AVP 8", "c=IN IP4 10.0.0.1", "a=rtcp:9 IN IP4 10.0.0.1", "m=image 40002/2 udptl t38", "c=IN IP4 198.51.100.7"},
			[]string{"c=IN IP4 198.51.100.7", "m=audio 0 RTP/AVP 8", "c=IN IP4 10.0.0.1", "a=rtcp:9 IN IP4 10.0.0.1", "m=image 40002/2 udptl t38", "c=IN IP4 198.51.100.7"},
		},
		{"all media refused", "198.51.100.7", []string{"c=IN IP4 10.0.0.1", "m=audio 0 RTP/AVP 8", "m=video 00/2 RTP/AVP 96"}, nil, nil},
		{"no media", "198.51.100.7", []string{"c=IN IP4 10.0.0.1", "t=0 0"}, nil, nil},
		{"no port", "198.51.100.7", []string{"c=IN IP4 10.0.0.1", "m=audio", "m=audio $ RTP/AVP 8", "m=audio 70000 RTP/AVP 8"}, nil, nil},
		{"on hold", "198.51.100.7", []string{"c=IN IP4 0.0.0.0", audio}, nil, nil},
		{"on hold, IPv6", "2001:db8::7", []string{"c=IN IP6 ::", audio, "c=IN IP6 ::ffff:0.0.0.0"}, nil, nil},
		{"multicast", "198.51.100.7", []string{"c=IN IP4 224.2.1.1/127", audio}, nil, nil},
		{"loopback", "198.51.100.7", []string{"c=IN IP4 127.0.0.1", audio}, nil, nil},
		{"name", "198.51.100.7", []string{"c=IN IP4 phone.test", audio, "c=IN IP4 phone.invalid"}, nil, nil},
		{"IPv4 heard over IPv6", "2001:db8::7", []string{"c=IN IP4 192.168.0.66", audio}, nil, nil},
		{"IPv6 heard over IPv4", "198.51.100.7", []string{"c=IN IP6 fd00::66", audio, "c=IN IP6 ::ffff:10.0.0.1"}, nil, nil},
		{"ICE", "198.51.100.7", []string{"c=IN IP4 192.168.0.66", "a=ice-ufrag:8hhY", audio}, nil, nil},
		{"ICE candidate", "198.51.100.7", []string{"c=IN IP4 192.168.0.66", audio, "a=candidate:1 1 UDP 2130706431 192.168.0.66 40000 typ host"}, nil, nil},
		{"malformed", "198.51.100.7", []string{
			audio, "c=", "c=IN", "c=IN IP4", "c=IN IP4 ", "c=IN IP4 /127", "c=IN IP4 10.0.0.256", "c=IN IP6 10.0.0.1",
			"c=IN IP5 10.0.0.1", "c=in ip4 10.0.0.1", "c=ATM NSAP 10.0.0.1", "c =IN IP4 10.0.0.1", " c=IN IP4 10.0.0.1", "C=IN IP4 10.0.0.1",
		}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flow, in := from("udp", tt.source), offer(tt.in...)
			check := func(policy natfix.SDPPolicy, lines []string) {
				t.Helper()
				want := in
				if lines != nil {
					want = offer(lines...)
				}
				got, changed := natfix.FixSDP(policy, flow, sdpType, in)
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("policy %d: -got +want:\n%s", policy, diff)
				}
				if changed != (want != in) {
					t.Errorf("policy %d: changed = %t", policy, changed)
				}
			}
			check(natfix.SDPOff, nil)
			check(natfix.SDPAuto, tt.auto)
			check(natfix.SDPForce, tt.force)
		})
	}
}

// TestFixSDP_LineEnds keeps what the phone ends its lines with. P-74.
func TestFixSDP_LineEnds(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"bare line feeds", "v=0\nc=IN IP4 10.0.0.1\nm=audio 4 RTP/AVP 0\n", "v=0\nc=IN IP4 198.51.100.7\nm=audio 4 RTP/AVP 0\n"},
		{"mixed", "v=0\r\nc=IN IP4 10.0.0.1\nm=audio 4 RTP/AVP 0\r\n\r\n", "v=0\r\nc=IN IP4 198.51.100.7\nm=audio 4 RTP/AVP 0\r\n\r\n"},
		{"none at the end", "v=0\nm=audio 4 RTP/AVP 0\r\nc=IN IP4 10.0.0.1", "v=0\nm=audio 4 RTP/AVP 0\r\nc=IN IP4 198.51.100.7"},
		{"carriage returns only", "v=0\rc=IN IP4 10.0.0.1\rm=audio 4 RTP/AVP 0\r", "v=0\rc=IN IP4 10.0.0.1\rm=audio 4 RTP/AVP 0\r"},
		{"not at the start", "\r\nv=0\nc=IN IP4 10.0.0.1\nm=audio 4 RTP/AVP 0\n", "\r\nv=0\nc=IN IP4 10.0.0.1\nm=audio 4 RTP/AVP 0\n"},
		{"bytes that are no text", "v=0\nm=audio 4 RTP/AVP 0\ni=\xff\x00\nc=IN IP4 10.0.0.1\n", "v=0\nm=audio 4 RTP/AVP 0\ni=\xff\x00\nc=IN IP4 198.51.100.7\n"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := natfix.FixSDP(natfix.SDPAuto, flow, sdpType, tt.in); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestFixSDP_Flow has the flows over which nothing is repaired.
func TestFixSDP_Flow(t *testing.T) {
	in := offer("c=IN IP4 192.168.0.66", "m=audio 40000 RTP/AVP 8")
	tests := map[string]bool{"udp": true, "tcp": true, "tls": true, "ws": false, "wss": false}
	for transport, want := range tests {
		if _, changed := natfix.FixSDP(natfix.SDPForce, from(transport, "198.51.100.7"), sdpType, in); changed != want {
			t.Errorf("%s: changed = %t", transport, changed)
		}
	}
	if _, changed := natfix.FixSDP(natfix.SDPForce, location.Flow{Transport: "udp"}, sdpType, in); changed {
		t.Error("changed without a source")
	}
	loopback := offer("c=IN IP4 127.0.0.1", "m=audio 40000 RTP/AVP 8")
	if _, changed := natfix.FixSDP(natfix.SDPForce, from("udp", "127.0.0.9"), sdpType, loopback); !changed {
		t.Error("loopback is not replaced by loopback")
	}
}

// TestFixSDP_ContentType has the bodies that are, or have in them, SDP.
func TestFixSDP_ContentType(t *testing.T) {
	var (
		in    = offer("c=IN IP4 192.168.0.66", "m=audio 40000 RTP/AVP 8")
		fixed = offer("c=IN IP4 198.51.100.7", "m=audio 40000 RTP/AVP 8")
		isup  = "\x01\x11\r\nc=IN IP4 10.0.0.1\n--\x00\r\n"
		pidf  = "<presence>\nc=IN IP4 10.0.0.1\n</presence>"
	)
	const (
		mixed = `multipart/mixed;boundary="b 1"`
		isSDP = "Content-Type: application/sdp\r\n"
	)
	tests := []struct{ name, contentType, in, want string }{
		{"parameters", "Application/SDP ; charset=utf-8", in, fixed},
		{"other type", "text/plain", in, in},
		{"longer type", "application/sdpx", in, in},
		{"none", "", in, in},
		{
			"with ISUP and PIDF", mixed,
			"preamble\r\n--b 1\r\n" + isSDP + "\r\n" + in + "\r\n--b 1\r\nContent-Type: application/isup\r\n\r\n" + isup + "\r\n--b 1\r\nContent-Type: application/pidf+xml\r\n\r\n" + pidf + "\r\n--b 1--\r\n",
			"preamble\r\n--b 1\r\n" + isSDP + "\r\n" + fixed + "\r\n--b 1\r\nContent-Type: application/isup\r\n\r\n" + isup + "\r\n--b 1\r\nContent-Type: application/pidf+xml\r\n\r\n" + pidf + "\r\n--b 1--\r\n",
		},
		{
			"last part, two of them", mixed,
			"--b 1\r\n\r\nc=IN IP4 10.0.0.1\r\n--b 1 \t\r\n" + isSDP + "\r\n" + in + "\r\n--b 1\r\ncontent-type:application/sdp;x=y\r\nContent-Length: 1\r\n\r\n" + in + "--b 1--\t",
			"--b 1\r\n\r\nc=IN IP4 10.0.0.1\r\n--b 1 \t\r\n" + isSDP + "\r\n" + fixed + "\r\n--b 1\r\ncontent-type:application/sdp;x=y\r\nContent-Length: 1\r\n\r\n" + fixed + "--b 1--\t",
		},
		{"bare line feeds", mixed, "--b 1\nContent-Type: application/sdp\n\n" + in + "--b 1--", "--b 1\nContent-Type: application/sdp\n\n" + fixed + "--b 1--"},
		{"ICE in one part", mixed,
			"--b 1\r\n" + isSDP + "\r\n" + in + "a=ice-ufrag:x\r\n--b 1\r\n" + isSDP + "\r\n" + in + "--b 1--",
			"--b 1\r\n" + isSDP + "\r\n" + in + "a=ice-ufrag:x\r\n--b 1\r\n" + isSDP + "\r\n" + fixed + "--b 1--"},
		{"cut short", mixed, "--b 1\r\n" + isSDP + "\r\n" + in, "--b 1\r\n" + isSDP + "\r\n" + in},
		{"delimiter of another", mixed, "--b 12\r\n" + isSDP + "\r\n" + in + "--b 12--", "--b 12\r\n" + isSDP + "\r\n" + in + "--b 12--"},
		{"after the end", mixed, "--b 1--\r\n" + isSDP + "\r\n" + in + "--b 1--", "--b 1--\r\n" + isSDP + "\r\n" + in + "--b 1--"},
		{"no header", mixed, "--b 1\r\n\r\n" + isSDP + "\r\n" + in + "--b 1--", "--b 1\r\n\r\n" + isSDP + "\r\n" + in + "--b 1--"},
		{"header only", mixed, "--b 1\r\n" + isSDP + "--b 1--", "--b 1\r\n" + isSDP + "--b 1--"},
		{"nested", mixed, "--b 1\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n" + isSDP + "\r\n" + in + "--c--\r\n--b 1--", "--b 1\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n" + isSDP + "\r\n" + in + "--c--\r\n--b 1--"},
		{"no boundary", "multipart/mixed", "--\r\n" + isSDP + "\r\n" + in + "----", "--\r\n" + isSDP + "\r\n" + in + "----"},
		{"malformed type", "multipart/mixed;boundary", "--b 1\r\n" + isSDP + "\r\n" + in + "--b 1--", "--b 1\r\n" + isSDP + "\r\n" + in + "--b 1--"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, changed := natfix.FixSDP(natfix.SDPAuto, flow, tt.contentType, tt.in)
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("-got +want:\n%s", diff)
			}
			if changed != (tt.in != tt.want) {
				t.Errorf("changed = %t", changed)
			}
		})
	}
}

// FuzzFixSDP proves of any body that only addresses change.
func FuzzFixSDP(f *testing.F) {
	sdp := offer("c=IN IP4 192.168.0.66", "m=audio 40000 RTP/AVP 8", "a=rtcp:40001 IN IP4 10.0.0.1", "m=video 0 RTP/AVP 96", "c=IN IP6 fd00::1")
	f.Add(sdpType, sdp, true, false)
	f.Add(sdpType, strings.ReplaceAll(sdp, "\r", ""), false, true)
	f.Add("multipart/mixed; boundary=x", "--x\r\nContent-Type: application/sdp\r\n\r\n"+sdp+"\r\n--x--\r\n", false, false)
	f.Add("multipart/mixed; boundary=", "--\n--\n", true, true)
	f.Fuzz(func(t *testing.T, contentType, in string, force, six bool) {
		policy, source := natfix.SDPAuto, from("udp", "198.51.100.7")
		if force {
			policy = natfix.SDPForce
		}
		if six {
			source = from("udp", "2001:db8::7")
		}
		if got, changed := natfix.FixSDP(natfix.SDPOff, source, contentType, in); got != in || changed {
			t.Fatalf("off changed it to %q", got)
		}
		got, changed := natfix.FixSDP(policy, source, contentType, in)
		if changed != (got != in) {
			t.Fatalf("changed = %t of %q", changed, got)
		}
		if again, changed := natfix.FixSDP(policy, source, contentType, got); changed {
			t.Fatalf("then changed again to %q", again)
		}
		before, after := strings.Split(in, "\n"), strings.Split(got, "\n")
		if len(before) != len(after) {
			t.Fatalf("%d lines became %d", len(before), len(after))
		}
		for i, old := range before {
			if old == after[i] {
				continue
			}
			if !strings.HasPrefix(old, "c=IN IP") && !strings.HasPrefix(old, "a=rtcp:") {
				t.Errorf("%q became %q", old, after[i])
			}
			head, rest, _ := strings.Cut(after[i], source.Remote.Addr().String())
			if !strings.HasPrefix(old, head) || !strings.HasSuffix(old, rest) || len(after[i])-len(old) > 36 {
				t.Errorf("%q became %q", old, after[i])
			}
		}
		if !force && natfix.SDPSigns([]byte(in)) == 0 && !strings.Contains(in, "a=rtcp:") && changed {
			t.Errorf("changed to %q without a private address", got)
		}
	})
}

func BenchmarkFixSDP(b *testing.B) {
	in := offer("c=IN IP4 192.168.0.66", "t=0 0", "m=audio 40000 RTP/AVP 8 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv")
	b.ReportAllocs()
	for b.Loop() {
		if _, changed := natfix.FixSDP(natfix.SDPAuto, flow, sdpType, in); !changed {
			b.Fatal("unchanged")
		}
	}
}
