package peertest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peer is a SIP endpoint: it has a socket, and keeps what it receives until
// the test asks for it. Retransmissions are not kept.
type peer struct {
	t       *testing.T
	name    string
	addr    netip.AddrPort
	proxy   netip.AddrPort
	network string              // as Via names it
	shown   string              // URI of its Contact, if that is not where it is
	send    func(string)        // to the proxy
	close   func()              // its socket
	ended   chan struct{}       // closed when nothing can be received any more
	auto    func(*message) bool // answers some requests by itself

	mu    sync.Mutex
	news  chan struct{} // closed and made anew with each message
	inbox []*message
	seen  map[string]bool // transactions
}

// udp returns a peer with a UDP socket.
func (s *site) udp(name string, at netip.AddrPort) *peer {
	s.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		s.t.Fatal(err)
	}
	c.SetReadBuffer(1 << 20) // a host of its own would not be kept waiting by the others
	p := s.peer(name, at)
	p.send = func(text string) { c.WriteToUDPAddrPort([]byte(text), p.proxy) }
	p.start(c, func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			p.receive(string(buf[:n]), from, func(text string) { c.WriteToUDPAddrPort([]byte(text), from) })
		}
	})
	return p
}

// tcp returns a peer that is connected to the proxy.
func (s *site) tcp(name string, at netip.AddrPort) *peer {
	s.t.Helper()
	return s.over("TCP", name, at, s.dial(at, s.proxy()))
}

// dial connects an address to another one.
func (s *site) dial(at, to netip.AddrPort) *net.TCPConn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(at), Timeout: patience}
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		s.t.Fatal(err)
	}
	tcp := c.(*net.TCPConn)
	tcp.SetLinger(0) // so that its port is free at once
	return tcp
}

// over returns a peer with a connection to the proxy.
func (s *site) over(network, name string, at netip.AddrPort, c net.Conn) *peer {
	p := s.peer(name, at)
	p.network = network
	p.send = func(text string) { io.WriteString(c, text) }
	p.start(c, func() { p.read(c) })
	return p
}

// read receives what comes by a connection, until its end.
func (p *peer) read(c net.Conn) {
	for r := bufio.NewReader(c); ; {
		text, err := readMessage(r)
		if err != nil {
			return
		}
		p.receive(text, p.proxy, func(text string) { io.WriteString(c, text) })
	}
}

func (s *site) peer(name string, at netip.AddrPort) *peer {
	return &peer{t: s.t, name: name, addr: at, proxy: s.proxy(), network: "UDP", news: make(chan struct{}), seen: map[string]bool{}}
}

// start reads in the background until the test ends or close is called.
func (p *peer) start(c io.Closer, read func()) {
	p.ended = make(chan struct{})
	p.close = sync.OnceFunc(func() {
		c.Close()
		<-p.ended
	})
	p.t.Cleanup(p.close)
	go func() {
		defer close(p.ended)
		read()
	}()
}

// readMessage reads a message from a stream.
func readMessage(r *bufio.Reader) (string, error) {
	var head strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if head.Len() == 0 && strings.TrimSpace(line) == "" {
			continue // a ping
		}
		head.WriteString(line)
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "\r\n" {
			break
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return head.String() + string(body), err
}

// receive keeps a message, if nothing in the peer answers it.
func (p *peer) receive(text string, from netip.AddrPort, answer func(string)) {
	m := parseMessage(text)
	m.from, m.answer = from, answer
	p.mu.Lock()
	defer p.mu.Unlock()
	key := m.kind() + " " + m.get("Via") + m.get("To")
	if p.seen[key] && m.status() == 0 || p.auto != nil && p.auto(m) {
		return
	}
	p.seen[key] = true
	p.inbox = append(p.inbox, m)
	close(p.news)
	p.news = make(chan struct{})
}

// take removes the first message that matches from the inbox. If there is none
// it returns what is closed when another message comes.
func (p *peer) take(match func(*message) bool) (*message, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.inbox, match)
	if i < 0 {
		return nil, p.news
	}
	m := p.inbox[i]
	p.inbox = slices.Delete(p.inbox, i, i+1)
	return m, nil
}

// expect waits for a message of a kind, such as "INVITE", "200 INVITE" or "403".
func (p *peer) expect(kind string) *message {
	p.t.Helper()
	return p.await(kind, func(m *message) bool { return m.is(kind) })
}

// await waits for a message that matches, which is called what.
func (p *peer) await(what string, match func(*message) bool) *message {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		m, news := p.take(match)
		if m != nil {
			return m
		}
		select {
		case <-news:
		case <-timeout:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("%s: no %s within %v; it got %v", p.name, what, patience, p.inbox)
		}
	}
}

// wantNothing fails the test if the peer has received what it did not expect.
// A message that the peer sends to itself shows that nothing is on the way; a
// peer with a connection waits for the proxy to end.
func (p *peer) wantNothing() {
	p.t.Helper()
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.inbox {
		p.t.Errorf("%s got what was not meant for it:\n%s", p.name, m)
	}
}

// wantNoRequest is wantNothing for a peer that has sent what may be answered.
func (p *peer) wantNoRequest() {
	p.t.Helper()
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.inbox {
		if m.status() == 0 {
			p.t.Errorf("%s got a request that was not meant for it:\n%s", p.name, m)
		}
	}
}

// settle waits until everything that was sent to the peer is in its inbox.
func (p *peer) settle() {
	p.t.Helper()
	if p.network != "UDP" {
		<-p.ended
		return
	}
	c, err := net.Dial("udp", p.addr.String())
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "END sip:end SIP/2.0\r\n%s\r\nCSeq: 1 END\r\n\r\n", p.via())
	p.expect("END")
}

// reply answers a request.
func (p *peer) reply(m *message, status int, extra ...string) {
	body := ""
	if m.method() == "INVITE" && status/100 != 1 && status < 300 {
		body = p.sdp()
	}
	m.answer(m.reply(status, p.tag(), body, append(extra, "User-Agent: "+p.name)...))
}

// tag is the peer's in all of its dialogs.
func (p *peer) tag() string { return strings.ReplaceAll(p.name, " ", "-") }

// via returns a Via for a new transaction.
func (p *peer) via() string {
	return fmt.Sprintf("Via: SIP/2.0/%s %v;branch=z9hG4bK%d;rport", p.network, p.addr, serial.Add(1))
}

// sdp is what the peer offers and answers. Its port is discard.
func (p *peer) sdp() string {
	a := p.addr.Addr()
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %v\r\ns=-\r\nc=IN IP4 %v\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n", a, a)
}

// serial makes branches and Call-IDs unique.
var serial atomic.Uint64
