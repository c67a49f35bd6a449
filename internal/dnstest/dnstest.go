// Package dnstest is a small DNS server for tests.
package dnstest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server is a DNS server on the loopback interface, over UDP and TCP. It is safe for
// concurrent use.
type Server struct {
	addr string

	mu      sync.Mutex
	records map[string][]record // by lower-case name
	failing map[string]bool
	asked   map[string]int
}

// record is an A, AAAA or SRV record.
type record struct {
	ttl  uint32
	body dnsmessage.ResourceBody
}

// New returns a server without records, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{addr: l.Addr().String(), records: map[string][]record{}, failing: map[string]bool{}, asked: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() { s.packets(pc) })
	wg.Go(func() { s.streams(l) })
	t.Cleanup(func() {
		_, _ = pc.Close(), l.Close()
		wg.Wait()
	})
	return s
}

// Dial connects to the server, whatever the address is.
func (s *Server) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, s.addr)
}

// Set replaces the records of a name. Each is an address, or "SRV" with priority,
// weight, port and target, after its TTL in seconds: "60 10.0.1.10". It panics on
// any other.
func (s *Server) Set(name string, records ...string) {
	var list []record
	for _, text := range records {
		list = append(list, parse(text))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name], s.failing[name] = list, false
}

// Fail lets the server fail for a name.
func (s *Server) Fail(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing[name] = true
}

// Asked returns how many questions there were for a name.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func parse(text string) (r record) {
	var srv dnsmessage.SRVResource
	var target string
	if _, err := fmt.Sscanf(text, "%d SRV %d %d %d %s", &r.ttl, &srv.Priority, &srv.Weight, &srv.Port, &target); err == nil {
		srv.Target = dnsmessage.MustNewName(target + ".")
		r.body = &srv
		return r
	}
	var addr netip.Addr
	if _, err := fmt.Sscanf(text, "%d %s", &r.ttl, &target); err == nil {
		addr = netip.MustParseAddr(target)
	}
	if addr.Is4() {
		r.body = &dnsmessage.AResource{A: addr.As4()}
	} else {
		r.body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
	}
	return r
}

func (s *Server) packets(pc net.PacketConn) {
	b := make([]byte, 512)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		if answer := s.answer(b[:n], 512); answer != nil {
			_, _ = pc.WriteTo(answer, from)
		}
	}
}

func (s *Server) streams(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var length uint16
		if binary.Read(c, binary.BigEndian, &length) == nil {
			b := make([]byte, length)
			if _, err := io.ReadFull(c, b); err == nil {
				answer := s.answer(b, 65535)
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}
		_ = c.Close()
	}
}

// answer answers a query; with nothing but its truth if the answer is too long.
func (s *Server) answer(query []byte, limit int) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name]++
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	list, known := s.records[name]
	switch {
	case s.failing[name]:
		m.RCode = dnsmessage.RCodeServerFailure
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, r := range list {
		rh := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: r.ttl}
		if typeOf(r.body) == q.Type && m.RCode == dnsmessage.RCodeSuccess {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: rh, Body: r.body})
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	if len(b) > limit {
		m.Answers, m.Truncated = nil, true
		b, _ = m.Pack()
	}
	return b
}

func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	}
	return dnsmessage.TypeSRV
}
