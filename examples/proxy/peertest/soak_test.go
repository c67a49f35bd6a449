package peertest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakTime is how long the proxy has everything to do at once.
func soakTime(t *testing.T) time.Duration {
	const byDefault = 45 * time.Second
	text := os.Getenv("SIPWARD_SOAK")
	if text == "" {
		return byDefault
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// soak is a proxy with everything that it may meet.
type soak struct {
	*testing.T
	*site
	ca     *authority
	proxy  *proxyProcess
	board  *asterisk // over UDP, with phones that have passwords
	trunk  *asterisk // over TLS, with the crowd and those who pass by
	crowd  *crowd
	phones map[string]*peer // by extension, one over each transport
	calls  int              // that were made
	passed atomic.Int64     // connections that were opened and closed
	thrown atomic.Int64     // datagrams that nobody wants
}

func newSoak(t *testing.T) *soak {
	s := newSite(t)
	w := &soak{T: t, site: s, ca: s.authority(), phones: map[string]*peer{}}
	c, secure := s.onStreams(w.ca, t.TempDir()), netip.AddrPortFrom(s.pbx(1).Addr(), 5061)
	c.tenants = []tenant{{}, {pbxes: []string{fmt.Sprintf("{uri: \"sip:%v;transport=tls\"}", secure)}}}
	c.lines = append(c.lines, "log: {level: info, format: text}", "timers: {t1: 100ms, t2: 800ms}",
		"acct: {to: json}", fmt.Sprintf("cache: {spool: %q}", t.TempDir()))
	w.proxy = s.start(c)
	w.board, w.trunk = s.asterisk("PBX", s.pbx(0)), s.secureBoard("trunk", secure, w.ca.issue(secure.Addr(), t.TempDir())).trusts()
	w.crowd = s.crowd(s.phone(10), domain(1))
	w.crowd.enter(100)
	for i, h := range []*peer{
		s.udp("phone", s.phone(0)), s.tcp("phone over TCP", s.phone(1)),
		s.connect("TLS", "phone over TLS", s.phone(2), w.ca), s.connect("WSS", "phone over WSS", s.phone(3), w.ca),
	} {
		h.shown = fmt.Sprintf("sip:x%d@%s;transport=%s", i, private, strings.ToLower(h.network))
		w.phones[fmt.Sprint(401+i)] = h
		h.register(fmt.Sprint(401+i), domain(0), "secret")
	}
	return w
}

// load has everybody do what they do for a time.
func (w *soak) load(d time.Duration) {
	w.Helper()
	done := make(chan struct{})
	var others sync.WaitGroup
	every := func(pause time.Duration, f func(i int)) {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(pause):
					f(i)
				}
			}
		})
	}
	every(5*time.Millisecond, w.throw)
	for range 4 {
		every(10*time.Millisecond, w.pass)
	}
	stop := w.crowd.work(50)
	for end := time.Now().Add(d); time.Now().Before(end); {
		for ext, h := range w.phones {
			w.call(ext, h)
		}
	}
	close(done)
	others.Wait()
	stop()
}

// call has a phone take and make calls of every kind.
func (w *soak) call(ext string, h *peer) {
	w.Helper()
	contact := w.board.contact(ext)
	converse(w.board.takes(contact, h))
	converse(w.board.takenFrom(h))
	w.board.rings(contact, h, h.contactOf(ext))
	w.board.misses(fmt.Sprintf("sip:499@%v", w.site.proxy()), 404)
	d := w.board.dial(contact)
	invite := h.expect("INVITE")
	h.reply(invite, 180)
	d.expect("180 INVITE")
	d.write("CANCEL", d.cseq, d.branch, nil)
	h.reply(h.expect("CANCEL"), 200)
	h.reply(invite, 487)
	d.expect("200 CANCEL")
	d.refusal()
	h.expect("ACK")
	w.calls += 5
}

// throw sends what nobody wants, from a socket of its own.
func (w *soak) throw(i int) {
	all := append(w.garbage(),
		hostile("OPTIONS", "sip:100@"+domain(0), "User-Agent: friendly-scanner"),
		hostile("INVITE", "sip:100@nowhere.test"),
		hostile("REGISTER", "sip:nowhere.test", "Contact: *", "Expires: 0"),
		hostile("CANCEL", "sip:401@"+domain(0)),
		hostile("ACK", "sip:401@"+domain(0)),
		hostile("BYE", "sip:401@"+domain(0), "Route: <sip:"+w.site.proxy().String()+";lr>"),
		hostile("OPTIONS", "sip:"+w.site.proxy().String(), strings.Repeat("X: y\r\n", 100)+"X: z"))
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.phone(20).Addr(), 0)), net.UDPAddrFromAddrPort(w.site.proxy()))
	if err != nil {
		w.Error(err)
		return
	}
	defer c.Close()
	io.WriteString(c, all[i%len(all)])
	w.thrown.Add(1)
}

// hostile is a request of somebody who is nobody's phone.
func hostile(method, uri string, fields ...string) string {
	n := serial.Add(1)
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKh%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:h@nowhere.test>;tag=h\r\nTo: <%s>;tag=h\r\nCall-ID: h%d\r\nCSeq: 1 %s\r\n", method, uri, n, uri, n, method) + rest("", fields)
}

// pass opens a connection, does something there, and goes: with leave, without, or
// when the proxy has enough of it.
func (w *soak) pass(i int) {
	to := w.site.proxy()
	switch i % 8 {
	case 3, 4:
		to = w.stream("TLS")
	case 5:
		to = w.stream("WS")
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.phone(21).Addr(), 0)), Timeout: patience}
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		w.Error(err)
		return
	}
	defer c.Close()
	defer w.passed.Add(1)
	c.SetDeadline(time.Now().Add(patience))
	c.(*net.TCPConn).SetLinger(0) // so that ports are free again at once
	register := w.passerBy(fmt.Sprint("p", i%10))
	switch i % 8 {
	case 0:
	case 1:
		io.WriteString(c, register[:len(register)/2])
	case 2:
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		io.Copy(io.Discard, c)
	case 3:
		secured := tls.Client(c, &tls.Config{RootCAs: w.ca.pool, ServerName: w.host(1).String()})
		io.WriteString(secured, register)
		readMessage(bufio.NewReader(secured))
	case 4, 5:
		io.WriteString(c, register) // without a handshake
		io.Copy(io.Discard, c)
	case 6:
		io.WriteString(c, register)
	case 7:
		io.WriteString(c, register)
		readMessage(bufio.NewReader(c))
	}
}

// passerBy is the REGISTER of somebody who does not stay.
func (w *soak) passerBy(user string) string {
	n := serial.Add(1)
	return fmt.Sprintf("REGISTER sip:%[1]s SIP/2.0\r\nVia: SIP/2.0/TCP %[2]s;branch=z9hG4bKp%[3]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[4]s@%[1]s>;tag=p\r\nTo: <sip:%[4]s@%[1]s>\r\nCall-ID: p%[3]d\r\nCSeq: 1 REGISTER\r\n"+
		"Contact: <sip:%[4]s@%[2]s;transport=tcp>\r\n", domain(1), private, n, user) + rest("", []string{"Expires: 600"})
}

// footprint is what a proxy has that does nothing.
type footprint struct{ goroutines, files, heap int }

// footprint waits until all that was begun has ended.
func (w *soak) footprint() (f footprint) {
	w.Helper()
	if !holds(2*time.Minute, func() bool {
		st := w.proxy.state()
		return st.Relay.Transactions.Clients+st.Relay.Transactions.Servers+st.Relay.Transactions.Timers == 0 &&
			st.Transport.Connections == 4 // three phones and the trunk
	}) {
		w.Errorf("the proxy does not come to rest: %+v", w.proxy.state())
	}
	for range 2 { // what is in a pool survives one collection
		w.get("/debug/pprof/heap?gc=1")
	}
	values := map[string]int{}
	for line := range strings.Lines(w.get("/metrics")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = int(v)
		}
	}
	return footprint{values["go_goroutines"], values["process_open_fds"], values["go_memstats_heap_alloc_bytes"]}
}

// get returns what the proxy tells its operator.
func (w *soak) get(path string) string {
	w.Helper()
	res, err := http.Get(fmt.Sprintf("http://%v%s", w.admin(), path))
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return string(body)
}

// Of all that a proxy does nothing stays behind: when it has had registrations and
// calls of every kind, connections that come and go and what nobody wants, it has as
// many goroutines and files, and as much memory, as after the first seconds.
func TestSoak(t *testing.T) {
	t.Parallel()
	w := newSoak(t)
	w.load(5 * time.Second)
	before := w.footprint()
	w.load(soakTime(t))
	after := w.footprint()
	t.Logf("%d calls, %d REGISTERs, %d connections, %d datagrams: from %+v to %+v",
		w.calls, w.crowd.answers, w.passed.Load(), w.thrown.Load(), before, after)
	const few = 8 // the connections of those who ask, and what runs at times
	if after.goroutines > before.goroutines+few {
		t.Errorf("%d goroutines were %d", after.goroutines, before.goroutines)
	}
	if after.files > before.files+few {
		t.Errorf("%d open files were %d", after.files, before.files)
	}
	if after.heap > before.heap+before.heap/4+2<<20 {
		t.Errorf("%d bytes of memory were %d", after.heap, before.heap)
	}
	w.crowd.mu.Lock()
	defer w.crowd.mu.Unlock()
	for _, f := range w.crowd.faults {
		t.Error(f)
	}
}
