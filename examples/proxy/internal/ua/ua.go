// Package ua has SIP phones and PBXes that are just clever enough to show what
// a proxy between them does: they register with digest authentication, call
// and are called, over UDP. They are for demonstrations and tests.
package ua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// resend is how often a request is repeated until there is an answer.
const resend = 500 * time.Millisecond

// Agent is a socket that sends and answers requests.
type Agent struct {
	conn   *net.UDPConn
	addr   netip.AddrPort
	answer func(m *sipmsg.Message) []string // responses to a request, in order
	serial atomic.Uint64

	mu      sync.Mutex
	waiting map[string]chan *sipmsg.Message // by branch
}

// listen opens an agent at addr. Port 0 is any. Answer gives the responses to
// each request that comes in; it is called in one goroutine.
func listen(addr netip.AddrPort, answer func(*sipmsg.Message) []string) (*Agent, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	a := &Agent{
		conn:    conn,
		addr:    conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		answer:  answer,
		waiting: map[string]chan *sipmsg.Message{},
	}
	return a, nil
}

// Addr returns where the agent listens and sends from.
func (a *Agent) Addr() netip.AddrPort { return a.addr }

// Run handles what arrives until ctx is done.
func (a *Agent) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { a.conn.Close() })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		m, err := sipmsg.Parse(string(buf[:n]))
		if err != nil {
			continue
		}
		if m.IsRequest() {
			for _, r := range a.answer(m) {
				a.conn.WriteToUDPAddrPort([]byte(r), from)
			}
			continue
		}
		a.mu.Lock()
		ch := a.waiting[m.Via.Branch]
		a.mu.Unlock()
		if ch != nil {
			ch <- m
		}
	}
}

// ErrNoAnswer reports a request that nobody answered in time.
var ErrNoAnswer = errors.New("ua: no answer")

// request sends one and returns its final answer. Text is the request without
// its Via and Content-Length.
func (a *Agent) request(ctx context.Context, to netip.AddrPort, startLine, headers, body string) (*sipmsg.Message, error) {
	branch := fmt.Sprintf("z9hG4bK%s-%d", strings.NewReplacer(".", "", ":", "").Replace(a.addr.String()), a.serial.Add(1))
	text := fmt.Sprintf("%s\r\nVia: SIP/2.0/UDP %s;branch=%s\r\nMax-Forwards: 70\r\n%sContent-Length: %d\r\n\r\n%s",
		startLine, a.addr, branch, headers, len(body), body)
	answers := make(chan *sipmsg.Message, 16)
	a.mu.Lock()
	a.waiting[branch] = answers
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, branch)
		a.mu.Unlock()
	}()
	ticker := time.NewTicker(resend)
	defer ticker.Stop()
	for provisional := false; ; {
		if !provisional {
			if _, err := a.conn.WriteToUDPAddrPort([]byte(text), to); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ErrNoAnswer
		case m := <-answers:
			if m.Status >= 200 {
				return m, nil
			}
			provisional = true
		case <-ticker.C:
		}
	}
}

// send sends what expects no answer, an ACK.
func (a *Agent) send(to netip.AddrPort, startLine, headers string) error {
	branch := fmt.Sprintf("z9hG4bKack%d", a.serial.Add(1))
	text := fmt.Sprintf("%s\r\nVia: SIP/2.0/UDP %s;branch=%s\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
		startLine, a.addr, branch, headers)
	_, err := a.conn.WriteToUDPAddrPort([]byte(text), to)
	return err
}

// respond returns a response to m.
func respond(m *sipmsg.Message, status int, reason, tag string, extra ...string) string {
	for i := range m.All(sipmsg.RecordRoute) {
		extra = append(extra, "Record-Route: "+m.Value(i))
	}
	return string(m.Respond(status, reason, tag, extra...))
}
