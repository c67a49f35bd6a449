package transport_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/simnet"
)

// R51, R49, R45: how a stream is cut into messages, whatever the segments.
func TestStream_Framing(t *testing.T) {
	a, b := request("OPTIONS", "a"), request("ACK", "b")
	noLength := strings.Replace(a, "Content-Length: 0\r\n", "", 1)
	tests := []struct {
		name, send string
		calls      []string
		pongs      string
		closed     bool
	}{
		{"one", a, []string{"message a"}, "", false},
		{"several", a + b + a, []string{"message a", "message b", "message a"}, "", false},
		{"part", a[:50], nil, "", false},
		{"blank lines between", "\r\n" + a + "\r\n" + b, []string{"message a", "message b"}, "", false},
		{"ping", "\r\n\r\n", nil, "\r\n", false},
		{"ping before a message", "\r\n\r\n" + a, []string{"message a"}, "\r\n", false},
		{"pong", "\r\n", nil, "", false},
		{"largest", long("big", 64<<10), []string{"message big"}, "", false},
		{"too large", long("big", 64<<10+1), []string{"fault: sipmsg: message too large", "closed: sipmsg: message too large"}, "513", true},
		{"endless header", noLength[:len(noLength)-4] + "\r\nX: " + strings.Repeat("x", 64<<10),
			[]string{"fault: sipmsg: header too large", "closed: sipmsg: header too large"}, "513", true},
		{"no Content-Length", noLength + b,
			[]string{"fault: sipmsg: no Content-Length on a stream", "closed: sipmsg: no Content-Length on a stream"}, "400", true},
		{"two Content-Lengths", strings.Replace(a, "Max", "Content-Length: 7\r\nMax", 1) + b,
			[]string{"fault: sipmsg: Content-Length", "closed: sipmsg: Content-Length"}, "400", true},
		{"fault in a message", b + strings.Replace(a, "CSeq: 1", "CSeq: x", 1) + b,
			[]string{"message b", "fault: sipmsg: CSeq", "closed: sipmsg: CSeq"}, "400", true},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", []string{"closed: transport: not SIP"}, "", true},
		{"TLS", "\x16\x03\x01", []string{"closed: transport: not SIP"}, "", true},
		{"garbage later", a + "hello\r\n", []string{"message a", "closed: transport: not SIP"}, "", true},
	}
	for _, segment := range []int{1, 7, 1460} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/%d", tt.name, segment), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lab := newLab(t, transport.Config{})
					lab.log.answer = true
					phone := lab.newHost("198.51.100.7")
					phone.SetSegmentSize(segment)
					c := lab.dial(phone, 5060)
					c.Write([]byte(tt.send))
					got, closed := c.received()
					if status, ok := strings.CutPrefix(got, "SIP/2.0 "); ok {
						got = status[:3]
					}
					if got != tt.pongs || closed != tt.closed {
						t.Errorf("client received %q, closed %v; want %q, %v", got, closed, tt.pongs, tt.closed)
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

// A flow of a stream has the addresses of the connection, answers go back on
// it, and its end is told once.
func TestStream_Flow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		c := lab.dial(lab.newHost("198.51.100.7"), 5070)
		c.send(request("REGISTER", "a"))
		f := lab.log.all()[0].Flow
		if f.Network() != "tcp" || f.Local() != tcp || f.Remote() != c.addr() || !f.Stream() || f.TLS() != nil {
			t.Errorf("flow %v", f)
		}
		if f != lab.flow(c) {
			t.Errorf("found %v, want %v", lab.flow(c), f)
		}
		for _, s := range []string{"one", "two"} {
			if err := f.Send([]byte(s)); err != nil {
				t.Error(err)
			}
		}
		if got, _ := c.received(); got != "onetwo" {
			t.Errorf("client received %q", got)
		}
		f.Send([]byte("three"))
		f.Close()
		f.Close()
		if got, closed := c.received(); got != "three" || !closed {
			t.Errorf("client received %q, closed %v", got, closed)
		}
		if err := f.Send([]byte("four")); err != transport.ErrClosed {
			t.Errorf("Send after Close: %v", err)
		}
		lab.expect("message a", "closed: transport: closed")
	})
}

// R20, RFC 3261 section 18: what is pipelined behind the message in which the
// handler closes the flow is not handled any more.
func TestStream_CloseInHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		lab := newLab(t, transport.Config{Handler: &handler{
			message: func(f transport.Flow, m *sipmsg.Message) {
				calls = append(calls, m.CallID)
				f.Send([]byte("bye"))
				f.Close()
			},
			closed: func(f transport.Flow, err error) { calls = append(calls, err.Error()) },
		}})
		c := lab.dial(lab.newHost("198.51.100.7"), 0)
		c.send(request("OPTIONS", "a") + request("OPTIONS", "b"))
		if got, closed := c.received(); got != "bye" || !closed {
			t.Errorf("client received %q, closed %v", got, closed)
		}
		if diff := cmp.Diff([]string{"a", "transport: closed"}, calls); diff != "" {
			t.Error(diff)
		}
	})
}

// R49: what time a peer may take.
func TestStream_Timeouts(t *testing.T) {
	limits := transport.Limits{FirstMessage: 10 * time.Second, Slow: 20 * time.Second, Idle: time.Minute}
	msg := request("OPTIONS", "a")
	type step struct {
		send string
		wait time.Duration // then
	}
	tests := []struct {
		name  string
		steps []step
		want  []string
		after time.Duration // from connecting to the end
	}{
		{"says nothing", nil,
			[]string{"closed: transport: slow sender"}, 10 * time.Second},
		{"keepalives are no first message", []step{{"\r\n\r\n", 6 * time.Second}, {"\r\n\r\n", 0}},
			[]string{"closed: transport: slow sender"}, 10 * time.Second},
		{"first message not complete", []step{{msg[:9], 6 * time.Second}, {msg[9:99], 0}},
			[]string{"closed: transport: slow sender"}, 10 * time.Second},
		{"later message byte by byte", []step{{msg + msg[:1], 8 * time.Second}, {msg[1:2], 8 * time.Second}, {msg[2:3], 0}},
			[]string{"message a", "closed: transport: slow sender"}, 20 * time.Second},
		{"idle", []step{{msg, 0}},
			[]string{"message a", "closed: transport: idle stream"}, time.Minute},
		{"keepalives are not idle", []step{{msg, 59 * time.Second}, {"\r\n\r\n", 59 * time.Second}, {"\r\n\r\n", 0}},
			[]string{"message a", "closed: transport: idle stream"}, 178 * time.Second},
		{"slow is over with the message", []step{{msg + msg[:1], 19 * time.Second}, {msg[1:] + msg[:1], 19 * time.Second}, {msg[1:], 0}},
			[]string{"message a", "message a", "message a", "closed: transport: idle stream"}, 98 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(t, transport.Config{Limits: limits})
				c := lab.dial(lab.newHost("198.51.100.7"), 0)
				start := time.Now()
				for _, s := range tt.steps {
					c.send(s.send)
					time.Sleep(s.wait)
				}
				time.Sleep(tt.after - time.Since(start) - time.Nanosecond)
				lab.expect(tt.want[:len(tt.want)-1]...)
				time.Sleep(time.Nanosecond)
				lab.expect(tt.want...)
				if _, closed := c.received(); !closed {
					t.Error("connection is open")
				}
			})
		})
	}
}

// R53, R49: a peer that takes nothing is given up, without anybody waiting
// for it.
func TestStream_PeerTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{Limits: transport.Limits{Write: 5 * time.Second, Queue: 1 << 20}})
		f := lab.flow(lab.dial(lab.newHost("198.51.100.7"), 0))
		if err := f.Send(make([]byte, 100<<10)); err != nil { // more than the network holds
			t.Fatal(err)
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		lab.expect()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := lab.layer.Stats(); s.WriteErrors != 1 || s.SendErrors != 1 || s.Sent != 0 || s.Connections != 0 {
			t.Errorf("stats %+v", s)
		}
		if got := lab.log.summary(); !strings.HasPrefix(got, "closed: transport: peer takes nothing: ") {
			t.Errorf("calls %q", got)
		}
	})
}

// A full queue closes the stream instead of growing or blocking.
func TestStream_Overflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{Limits: transport.Limits{Queue: 200 << 10}})
		f := lab.flow(lab.dial(lab.newHost("198.51.100.7"), 0))
		for range 2 {
			if err := f.Send(make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the writer has taken it and is blocked
		}
		if err := f.Send([]byte("x")); err != transport.ErrOverflow {
			t.Errorf("Send: %v, want ErrOverflow", err)
		}
		if err := f.Send([]byte("x")); err != transport.ErrClosed {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		lab.expect("closed: transport: send queue is full")
		if s := lab.layer.Stats(); s.Overflows != 1 || s.SendErrors != 4 || s.WriteErrors != 0 || s.Connections != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// R49: connections over a limit are closed at once, and room is made by each
// that ends.
func TestStream_ConnectionLimits(t *testing.T) {
	tests := []struct {
		name   string
		limits transport.Limits
		from   []string
		open   []bool
	}{
		{"total", transport.Limits{Connections: 2},
			[]string{"198.51.100.1", "198.51.100.2", "198.51.100.3"}, []bool{true, true, false}},
		{"per IP", transport.Limits{PerIP: 2},
			[]string{"198.51.100.1", "198.51.100.1", "198.51.100.1", "198.51.100.2"}, []bool{true, true, false, true}},
		{"per IPv6 site", transport.Limits{PerIP: 2},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3", "2001:db8:1:1::1"}, []bool{true, true, false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := newLab(t, transport.Config{Limits: tt.limits})
				hosts := make(map[string]*simnet.Host)
				connect := func(from string) (*client, bool) {
					if hosts[from] == nil {
						hosts[from] = lab.newHost(from)
					}
					c := lab.dial(hosts[from], 0)
					_, closed := c.received()
					return c, !closed
				}
				var first *client
				for i, from := range tt.from {
					c, open := connect(from)
					if open != tt.open[i] {
						t.Errorf("connection %d from %s open: %v", i, from, open)
					}
					if i == 0 {
						first = c
					}
				}
				first.Close()
				synctest.Wait()
				if _, open := connect(tt.from[0]); !open {
					t.Error("no room after a connection ended")
				}
				s := lab.layer.Stats()
				if s.Refused+s.RefusedIP != 1 || s.Accepted != uint64(len(tt.from)) || s.Connections != s.Accepted-1 {
					t.Errorf("stats %+v", s)
				}
				lab.expect("closed: EOF") // nothing of those that were refused
			})
		})
	}
}

// R49: a thousand clients that never finish a request do not keep another one
// from being answered, and are gone in time.
func TestStream_Slowloris(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{Handler: &handler{
			message: func(f transport.Flow, m *sipmsg.Message) { f.Send([]byte(m.CallID)) },
		}})
		slow := lab.newHost("198.51.100.7")
		for range 1000 {
			lab.dial(slow, 0).send("REGISTER sip:a.exam")
		}
		c := lab.dial(lab.newHost("198.51.100.8"), 0)
		c.send(request("OPTIONS", "good"))
		if got, _ := c.received(); got != "good" {
			t.Errorf("received %q", got)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := lab.layer.Stats(); s.Connections != 1 || s.Slow != 1000 {
			t.Errorf("%d connections, %d slow", s.Connections, s.Slow)
		}
	})
}

// The peer's closing comes behind its last message.
func TestStream_PeerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newLab(t, transport.Config{})
		c := lab.dial(lab.newHost("198.51.100.7"), 0)
		c.Write([]byte(request("OPTIONS", "a") + request("OPTIONS", "b") + "OPT"))
		c.Close()
		lab.expect("message a", "message b", "closed: EOF")
		if _, ok := lab.layer.Find("tcp", tcp, c.addr()); ok {
			t.Error("the closed stream is found")
		}
	})
}
