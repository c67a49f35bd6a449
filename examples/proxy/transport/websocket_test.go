package transport_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// R50: how the frames of a WebSocket make messages, whatever the segments.
func TestWebSocket_Framing(t *testing.T) {
	a, b := request("OPTIONS", "a"), request("ACK", "b")
	latin1 := strings.Replace(a, "<sip:201", "M\xfcller <sip:201", 1)
	noLength := strings.Replace(a, "Content-Length: 0\r\n", "", 1)
	binary := func(s string) string { return clientFrame(ws.OpBinary, true, s) }
	first := func(s string) string { return clientFrame(ws.OpText, false, s) }
	more := func(s string) string { return clientFrame(ws.OpContinuation, false, s) }
	last := func(s string) string { return clientFrame(ws.OpContinuation, true, s) }
	control := func(op ws.OpCode, s string) string { return clientFrame(op, true, s) }
	violation := func(what string) []string { return []string{"closed: transport: WebSocket: " + what} }
	tests := []struct {
		name, send string
		calls      []string
		answer     string
		closed     bool
	}{
		{"text", textFrame(a), []string{"message a"}, "", false},
		{"binary", binary(latin1), []string{"message a"}, "", false},
		{"several", textFrame(a) + binary(b) + textFrame(a), []string{"message a", "message b", "message a"}, "", false},
		{"part", textFrame(a)[:50], nil, "", false},
		{"no Content-Length", textFrame(noLength), []string{"message a"}, "", false},
		{"leading CRLF", textFrame("\r\n" + a), []string{"message a"}, "", false},
		{"fragments", first(a[:9]) + more("") + more(a[9:99]) + last(a[99:]) + textFrame(b), []string{"message a", "message b"}, "", false},
		{"control frames between fragments", first(a[:9]) + control(ws.OpPing, "1") + last(a[9:]) + control(ws.OpPing, ""),
			[]string{"message a"}, "[pong 1][pong ]", false},
		{"pong that nobody asked for", control(ws.OpPong, "x"), nil, "", false},
		{"empty", textFrame("") + binary("") + first("") + last("") + textFrame(a), []string{"message a"}, "", false},
		{"CRLF", textFrame("\r\n"), nil, "", false},
		{"CRLFCRLF", textFrame("\r\n\r\n") + binary("\r\n\r\n"), nil, "\r\n\r\n", false},
		{"largest", textFrame(long("big", 8<<10)), []string{"message big"}, "", false},
		{"largest in fragments", first(long("big", 8<<10)[:5000]) + last(long("big", 8<<10)[5000:]), []string{"message big"}, "", false},
		{"close", textFrame(a) + control(ws.OpClose, "\x03\xe8bye") + textFrame(b), []string{"message a", "closed: EOF"}, "[close 1000]", true},
		{"close without a code", control(ws.OpClose, ""), []string{"closed: EOF"}, "[close 1000]", true},
		{"close between fragments", first(a) + control(ws.OpClose, ""), []string{"closed: EOF"}, "[close 1000]", true},

		{"too large", textFrame(long("big", 8<<10+1)),
			[]string{"fault: sipmsg: message too large", "closed: sipmsg: message too large"}, "513[close 1009]", true},
		{"too large in fragments", first(long("big", 8<<10)) + last("x"),
			[]string{"fault: sipmsg: message too large", "closed: sipmsg: message too large"}, "513[close 1009]", true},
		{"huge frame", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04" + textFrame(long("big", 8<<10))[8:] + "xxxxx",
			[]string{"fault: sipmsg: message too large", "closed: sipmsg: message too large"}, "513[close 1009]", true},
		{"fault in a message", textFrame(strings.Replace(a, "CSeq: 1", "CSeq: x", 1)) + textFrame(b),
			[]string{"fault: sipmsg: CSeq", "closed: sipmsg: CSeq"}, "400[close 1008]", true},
		{"no SIP", textFrame("hello"), []string{"closed: transport: not SIP"}, "[close 1008]", true},
		{"text that is none", textFrame(latin1), violation("text is not UTF-8"), "[close 1007]", true},
		{"no mask", "\x81\x02\r\n", violation("frames from client to server must be masked"), "[close 1002]", true},
		{"reserved bit", "\xc1" + textFrame(a)[1:], violation("non-zero rsv bits with no extension negotiated"), "[close 1002]", true},
		{"reserved code", clientFrame(3, true, ""), violation("use of reserved op code"), "[close 1002]", true},
		{"long ping", control(ws.OpPing, strings.Repeat("x", 126)), violation("control frame payload limit exceeded"), "[close 1002]", true},
		{"ping in fragments", clientFrame(ws.OpPing, false, ""), violation("control frame is not final"), "[close 1002]", true},
		{"continuation of nothing", last(a), violation("unexpected continuation data frame"), "[close 1002]", true},
		{"message in a message", first(a) + textFrame(b), violation("unexpected non-continuation data frame"), "[close 1002]", true},
		{"length with sign", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04",
			violation("header error: the most significant bit must be 0"), "[close 1002]", true},
	}
	for _, segment := range []int{1, 7, 1460} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%d", tt.name, segment), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lab := newFullLab(t, transport.Config{Limits: transport.Limits{Message: 8 << 10}})
					lab.log.answer = true
					phone := lab.newHost("198.51.100.7")
					phone.SetSegmentSize(segment)
					c := lab.connect("ws", phone, 5060)
					c.Write([]byte(tt.send))
					got, closed := c.received()
					if status, ok := strings.CutPrefix(got, "SIP/2.0 "); ok {
						got = status[:3] + status[strings.LastIndex(status, "["):]
					}
					if got != tt.answer || closed != tt.closed {
						t.Errorf("client received %q, closed %v; want %q, %v", got, closed, tt.answer, tt.closed)
					}
					if closed {
						c.Close() // or else the layer waits for it a moment
					}
					lab.expect(tt.calls...)
				})
			})
		}
	}
}

// RFC 7118 section 5: what is UTF-8 goes out as text, anything else as binary,
// each message in one frame of whatever size.
func TestWebSocket_Send(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{})
		a := lab.connect("wss", lab.newHost("198.51.100.7"), 0)
		f, _ := lab.layer.Find("wss", none, a.addr())
		for _, text := range []string{"x", strings.Repeat("x", 125), strings.Repeat("x", 126), "Müller", strings.Repeat("x", 1<<16)} {
			f.Send([]byte(text))
			if got, _ := a.received(); got != text {
				t.Errorf("sent %d bytes, received %q", len(text), got)
			}
		}
		f.Send([]byte("M\xfcller"))
		if got, _ := a.received(); got != "[binary M\xfcller]" {
			t.Errorf("received %q", got)
		}
	})
}

// A client that pings and pings and reads no answer is closed, and costs no
// more than its queue.
func TestWebSocket_PingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{Queue: 1 << 10}})
		a := lab.connect("ws", lab.newHost("198.51.100.7"), 0)
		ping, sent := []byte(clientFrame(ws.OpPing, true, strings.Repeat("x", 125))), 0
		for {
			if _, err := a.Write(ping); err != nil {
				break
			}
			sent += len(ping)
			synctest.Wait()
		}
		if s := lab.layer.Stats(); s.Overflows != 1 || s.Connections != 0 || sent > 100<<10 { // the network holds 64 KiB
			t.Errorf("%d bytes, stats %+v", sent, s)
		}
	})
}

// R50, RFC 6455 section 7: we close with a frame that says so, behind all that
// was sent, and wait for the peer a moment.
func TestWebSocket_Close(t *testing.T) {
	for _, network := range []string{"ws", "wss"} {
		for _, by := range []string{"Flow.Close", "end of Run"} {
			t.Run(network+" "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lab := newFullLab(t, transport.Config{})
					a := lab.connect(network, lab.newHost("198.51.100.7"), 0)
					f, _ := lab.layer.Find(network, none, a.addr())
					f.Send([]byte("bye"))
					start := time.Now()
					if by == "Flow.Close" {
						f.Close()
					} else {
						lab.stop()
					}
					lab.expect("closed: transport: closed")
					if got, closed := a.received(); got != "bye[close 1001]" || !closed {
						t.Errorf("client received %q, closed %v", got, closed)
					}
					time.Sleep(500 * time.Millisecond)
					synctest.Wait()
					if s := lab.layer.Stats(); s.Connections != 0 || time.Since(start) > time.Second {
						t.Errorf("stats %+v after %v", s, time.Since(start))
					}
				})
			})
		}
	}
}

// R49: a message in fragments has no more time than one in one piece, whatever
// is between them.
func TestWebSocket_SlowFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{Slow: 10 * time.Second}})
		a := lab.connect("ws", lab.newHost("198.51.100.7"), 0)
		a.send(request("OPTIONS", "a"))
		io.WriteString(a.Conn, clientFrame(ws.OpText, false, "OPTIONS sip:"))
		for range 9 {
			time.Sleep(time.Second)
			io.WriteString(a.Conn, clientFrame(ws.OpContinuation, false, "x")+clientFrame(ws.OpPing, true, ""))
		}
		lab.expect("message a")
		time.Sleep(time.Second)
		lab.expect("message a", "closed: transport: slow sender")
	})
}

// R49: control frames keep a WebSocket from being idle, but are no first
// message.
func TestWebSocket_Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{Limits: transport.Limits{Idle: time.Minute}})
		phone := lab.newHost("198.51.100.7")
		mute, a := lab.connect("ws", phone, 0), lab.connect("ws", phone, 0)
		a.send(request("OPTIONS", "a"))
		for range 3 {
			time.Sleep(59 * time.Second)
			mute.Write([]byte(clientFrame(ws.OpPing, true, "")))
			io.WriteString(a.Conn, clientFrame(ws.OpPong, true, ""))
		}
		lab.expect("message a", "closed: transport: slow sender")
		time.Sleep(time.Minute)
		lab.expect("message a", "closed: transport: slow sender", "closed: transport: idle stream")
	})
}

// RFC 6455 section 4.2, RFC 7118 section 4: which handshakes are taken.
func TestWebSocket_Handshake(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(upgradeRequest, old, new, 1) }
	tests := []struct {
		name, request string
		status        string // none: no answer
	}{
		{"good", upgradeRequest, "101"},
		{"several protocols", with("Protocol: sip", "Protocol: xmpp, sip"), "101"},
		{"several protocol fields", with("Sec-WebSocket-Protocol: sip", "sec-websocket-protocol: xmpp\r\nSec-WebSocket-Protocol: sip"), "101"},
		{"no origin", with("Origin: https://a.example\r\n", ""), "101"},
		{"a long cookie", with("Origin", "Cookie: "+strings.Repeat("x", 15<<10)+"\r\nOrigin"), "101"},
		{"other path", with("GET /", "GET /sip?x=1"), "101"},
		{"no protocol", with("Sec-WebSocket-Protocol: sip\r\n", ""), "400"},
		{"other protocol", with("Protocol: sip", "Protocol: sips"), "400"},
		{"foreign origin", with("https://a.example", "https://b.example"), "403"},
		{"POST", with("GET", "POST"), "405"},
		{"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), "505"},
		{"no upgrade", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "400"},
		{"no host", with("Host: a.example\r\n", ""), "400"},
		{"no key", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400"},
		{"old version", with("Version: 13", "Version: 8"), "426"},
		{"request without end", with("Origin", "Cookie: "+strings.Repeat("x", 16<<10)+"\r\nOrigin"), ""},
		{"SIP", request("OPTIONS", "a"), ""},
		{"nonsense", "\r\n\r\n", ""},
	}
	for _, segment := range []int{1, 1460} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%d", tt.name, segment), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lab := newFullLab(t, transport.Config{
						Origin: func(origin string) bool { return origin == "https://a.example" },
					})
					phone := lab.newHost("198.51.100.7")
					phone.SetSegmentSize(segment)
					a := lab.connectRaw("ws", phone, 0)
					a.Write([]byte(tt.request))
					got, closed := a.bytes()
					a.Close() // or else the layer waits for it a moment
					synctest.Wait()
					status, _, _ := strings.Cut(strings.TrimPrefix(got, "HTTP/1.1 "), " ")
					good := tt.status == "101"
					if status != tt.status || closed == good || strings.Contains(got, "Sec-WebSocket-Protocol: sip\r\n") != good {
						t.Errorf("client received %q, closed %v; want status %s", got, closed, tt.status)
					}
					if s := lab.layer.Stats(); (s.Handshakes == 0) != good || s.Connections != 0 {
						t.Errorf("stats %+v", s)
					}
				})
			})
		}
	}
}

// R33: a panic in a handshake costs one connection.
func TestWebSocket_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{Origin: func(string) bool { panic("oops") }})
		phone := lab.newHost("198.51.100.7")
		a := lab.connectRaw("ws", phone, 0)
		io.WriteString(a, upgradeRequest)
		if got, closed := a.bytes(); got != "" || !closed {
			t.Errorf("received %q, closed %v", got, closed)
		}
		lab.connect("tcp", phone, 0).send(request("OPTIONS", "a"))
		lab.expect("closed: transport: panic", "message a")
		if s := lab.layer.Stats(); s.Panics != 1 || s.Connections != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Who sends messages right behind the handshake, without waiting for its
// answer, gets it first.
func TestWebSocket_Pipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{})
		lab.log.answer = true
		a := lab.connectRaw("ws", lab.newHost("198.51.100.7"), 0)
		a.Write([]byte(upgradeRequest + textFrame(request("OPTIONS", "a")) + clientFrame(ws.OpPing, true, "x")))
		got, _ := a.bytes()
		answer, frames, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.Contains(answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") || unframe(frames) != "[pong x]" {
			t.Errorf("received %q", got)
		}
		lab.expect("message a")
	})
}

// Before its handshake is over, a connection is no flow: what is sent to its
// address must not get in between.
func TestWebSocket_NotFoundBeforeHandshake(t *testing.T) {
	for _, network := range []string{"tls", "ws", "wss"} {
		synctest.Test(t, func(t *testing.T) {
			lab := newFullLab(t, transport.Config{})
			a := lab.connectRaw(network, lab.newHost("198.51.100.7"), 0)
			for _, local := range []netip.AddrPort{none, netip.AddrPortFrom(tcp.Addr(), streams[network])} {
				if f, ok := lab.layer.Find(network, local, a.addr()); ok {
					t.Errorf("found %v", f)
				}
			}
			if network == "tls" {
				return // Dial makes another connection
			}
			if f, err := lab.layer.Dial(network, none, a.addr()); err == nil {
				t.Errorf("dialed %v", f)
			}
		})
	}
}

// R42: nobody but a client opens a WebSocket; one that is there is used.
func TestWebSocket_Dial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newFullLab(t, transport.Config{})
		a := lab.connect("ws", lab.newHost("198.51.100.7"), 0)
		found, _ := lab.layer.Find("ws", none, a.addr())
		f, err := lab.layer.Dial("ws", none, a.addr())
		if err != nil || f != found {
			t.Errorf("dialed %v, %v; want %v", f, err, found)
		}
		a.Close()
		synctest.Wait()
		_, err = lab.layer.Dial("ws", none, a.addr())
		if diff := cmp.Diff(`transport: unknown network "ws": only a client opens it`, fmt.Sprint(err)); diff != "" {
			t.Error(diff)
		}
	})
}
