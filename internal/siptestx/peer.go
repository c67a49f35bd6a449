package siptestx

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
)

// Peer is a phone or PBX with one socket. Its methods fail the test if the
// network or the proxy does not do what they need. They are for the goroutine
// of the test, within a [synctest] bubble.
type Peer struct {
	Addr netip.AddrPort // its own

	t     testing.TB
	send  func(text string, to netip.AddrPort) error
	close func() error
	inbox chan Message
	via   string // the transport
	seq   atomic.Int64
}

// inboxSize is more than any test leaves unread.
const inboxSize = 4096

// UDP returns a peer with a UDP socket on h. Port 0 is any free one.
func UDP(t testing.TB, h *simnet.Host, port uint16) *Peer {
	t.Helper()
	c, err := h.ListenPacket(netip.AddrPortFrom(h.Addr(), port))
	if err != nil {
		t.Fatal(err)
	}
	p := &Peer{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort(), t: t, inbox: make(chan Message, inboxSize), via: "UDP", close: c.Close}
	p.send = func(text string, to netip.AddrPort) error {
		_, err := c.WriteToUDPAddrPort([]byte(text), to)
		return err
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			p.inbox <- Message{string(buf[:n]), from, time.Now()}
		}
	}()
	return p
}

// Dial returns a peer with a TCP connection from h to an address.
func Dial(t testing.TB, h *simnet.Host, to netip.AddrPort) *Peer {
	t.Helper()
	c, err := h.Dial(context.Background(), netip.AddrPort{}, to)
	if err != nil {
		t.Fatal(err)
	}
	return Over(t, "TCP", c)
}

// Over returns a peer with a connection, whose transport its Vias name. What it
// writes is one message each; what it reads may be cut anywhere.
func Over(t testing.TB, via string, c net.Conn) *Peer {
	p := &Peer{Addr: c.LocalAddr().(*net.TCPAddr).AddrPort(), t: t, inbox: make(chan Message, inboxSize), via: via, close: c.Close}
	p.send = func(text string, _ netip.AddrPort) error {
		_, err := io.WriteString(c, text)
		return err
	}
	go p.readStream(c)
	return p
}

// Listener is a PBX that waits for TCP connections.
type Listener struct {
	Addr  netip.AddrPort
	t     testing.TB
	conns chan net.Conn
}

// Listen returns a listener on h.
func Listen(t testing.TB, h *simnet.Host, port uint16) *Listener {
	t.Helper()
	l, err := h.Listen(netip.AddrPortFrom(h.Addr(), port))
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, inboxSize)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return &Listener{netip.AddrPortFrom(h.Addr(), port), t, conns}
}

// Accept returns a peer that is the next connection.
func (l *Listener) Accept() *Peer {
	l.t.Helper()
	select {
	case c := <-l.conns:
		return Over(l.t, "TCP", c)
	case <-time.After(patience):
		l.t.Fatalf("nobody connects to %v", l.Addr)
	}
	return nil
}

// readStream cuts a stream into messages.
func (p *Peer) readStream(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		var head strings.Builder
		length := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
			if v, ok := strings.CutPrefix(line, "Content-Length:"); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		p.inbox <- Message{head.String() + string(body), c.RemoteAddr().(*net.TCPAddr).AddrPort(), time.Now()}
	}
}

// Close closes the socket.
func (p *Peer) Close() {
	p.t.Helper()
	if err := p.close(); err != nil {
		p.t.Fatal(err)
	}
}

// Send sends text to an address, or over the connection.
func (p *Peer) Send(to netip.AddrPort, text string) {
	p.t.Helper()
	if err := p.send(text, to); err != nil {
		p.t.Fatal(err)
	}
}

// Reply answers a request that p got with [Message.Reply].
func (p *Peer) Reply(m Message, status int, tag string, fields ...string) {
	p.t.Helper()
	p.Send(m.From, m.Reply(status, tag, fields...))
}

// patience is more than any timer of SIP.
const patience = 10 * time.Minute

// Next returns the next message.
func (p *Peer) Next() Message {
	p.t.Helper()
	select {
	case m := <-p.inbox:
		return m
	case <-time.After(patience):
		p.t.Fatalf("%v gets no message", p.Addr)
	}
	return Message{}
}

// Expect returns the next message, whose start line must begin with start:
// "INVITE" or "SIP/2.0 200".
func (p *Peer) Expect(start string) Message {
	p.t.Helper()
	m := p.Next()
	if !strings.HasPrefix(m.Start(), start) {
		p.t.Fatalf("%v gets\n%s\nwant %s", p.Addr, m.Text, start)
	}
	return m
}

// Status is Expect for a response.
func (p *Peer) Status(status int) Message {
	p.t.Helper()
	return p.Expect(fmt.Sprintf("SIP/2.0 %d ", status))
}

// Silent lets time pass, in which nothing must come. Afterwards everybody has
// done what is to be done.
func (p *Peer) Silent(d time.Duration) {
	p.t.Helper()
	if all := p.Collect(d); len(all) > 0 {
		p.t.Fatalf("%v gets\n%s\nwant nothing", p.Addr, all[0].Text)
	}
}

// Drain returns what has come and was not looked at, once everybody has done
// what is to be done.
func (p *Peer) Drain() []Message {
	synctest.Wait()
	return p.Poll()
}

// Poll is Drain without waiting, for a goroutine that plays a peer on its own.
func (p *Peer) Poll() []Message {
	var all []Message
	for {
		select {
		case m := <-p.inbox:
			all = append(all, m)
		default:
			return all
		}
	}
}

// Collect returns what comes in the next d.
func (p *Peer) Collect(d time.Duration) []Message {
	time.Sleep(d)
	return p.Drain()
}

// Starts returns the start lines of messages, one a line.
func Starts(all []Message) string {
	var b strings.Builder
	for _, m := range all {
		b.WriteString(m.Start() + "\n")
	}
	return b.String()
}

// Request writes a request of p with a branch and a Call-ID of its own. Fields
// are further header fields, or take the place of those of the same name:
// "Max-Forwards: 0"; without a value, "Max-Forwards:", they take it away. One
// that begins with a line end is the body.
func (p *Peer) Request(method, uri string, fields ...string) string {
	n := strconv.FormatInt(p.seq.Add(1), 10)
	lines := []string{
		method + " " + uri + " SIP/2.0",
		"Via: SIP/2.0/" + p.via + " " + p.Addr.String() + ";branch=z9hG4bK-" + n + "-" + strconv.Itoa(int(p.Addr.Port())),
		"Max-Forwards: 70",
		"From: <sip:alice@a.example>;tag=from" + n,
		"To: <" + uri + ">",
		"Call-ID: call" + n + "@" + p.Addr.Addr().String(),
		"CSeq: 1 " + method,
		"Contact: <sip:alice@" + p.Addr.String() + ">",
	}
	return Edit(strings.Join(lines, "\r\n")+"\r\n\r\n", fields...)
}

// Edit changes the header fields of a message without a body, as
// [Peer.Request] does, and gives it a Content-Length.
func Edit(text string, fields ...string) string {
	lines := strings.Split(Message{Text: text}.Without("Content-Length"), "\r\n")
	lines = lines[:len(lines)-2]
	taken := make(map[string]bool)
	var more []string
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		at := indexOf(lines, name)
		switch {
		case strings.HasPrefix(f, "\n") || at < 0 || taken[name]:
			more = append(more, f)
			continue // the next of this name is one more
		case value == "":
			lines = append(lines[:at], lines[at+1:]...)
		default:
			lines[at] = f
		}
		taken[name] = true
	}
	return finish(lines, more)
}

// indexOf returns the line of a header field, -1 if there is none.
func indexOf(lines []string, name string) int {
	for i, line := range lines[1:] {
		if n, _, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			return i + 1
		}
	}
	return -1
}
