package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// TestProtect_Scanner: who calls himself by a scanner's name gets no answer, and
// a PBX that does, or a phone with a similar name, does. P-45 P-61.
func TestProtect_Scanner(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		x := w.stranger()
		for _, agent := range []string{"friendly-scanner", "SIPVicious 1.0", "sipcli/v1.8"} {
			x.Send(w.at, siptestx.Edit(x.Request("OPTIONS", "sip:100@a.test"), "User-Agent: "+agent))
			x.Send(w.at, siptestx.Edit(x.Request("REGISTER", "sip:a.test"), "User-Agent: "+agent))
		}
		x.Send(w.at, siptestx.Edit(x.Request("OPTIONS", "sip:100@a.test"), `From: "sipvicious"<sip:100@1.1.1.1>;tag=1`, "User-Agent: Yealink"))
		w.quiet()
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		w.a.reaches(ph, "INVITE", uri, "User-Agent: friendly-scanner")
		if st := w.proxy.view().Guard; st.Failures[guard.Scanner] != 7 {
			t.Errorf("%+v", st)
		}
	})
}

// TestProtect_ScannerAnswer: he is told what the operator wants him to be, each time
// anew, and an ACK nothing. P-45.
func TestProtect_ScannerAnswer(t *testing.T) {
	inWorld(t, "security: {scanner: 403}"+threeTenants, func(w *world) {
		x := w.stranger()
		agent := "User-Agent: friendly-scanner"
		for _, method := range []string{"OPTIONS", "REGISTER", "INVITE"} {
			text := siptestx.Edit(x.Request(method, "sip:100@a.test"), agent)
			if said := w.explain(x.Addr, text); !strings.Contains(said, "scanner, whose requests get 403\n") {
				t.Error(said)
			}
			for range 2 {
				x.Send(w.at, text)
				x.Status(403)
			}
			x.Send(w.at, w.another("ACK", text))
		}
		if s := w.proxy.relay.Stats().Transactions; s.Servers != 0 {
			t.Errorf("kept: %+v", s)
		}
		ph := w.public("401", "a.test")
		w.a.reaches(ph, "INVITE", ph.at(w.a), agent)
		w.reload(threeTenants)
		x.Send(w.at, siptestx.Edit(x.Request("OPTIONS", "sip:100@a.test"), agent))
		w.quiet()
	})
}

// TestProtect_Flood: a flood from forged addresses, among them those of the phone
// and of its PBX, keeps nobody from registering, calling and being called.
// P-44 P-45.
func TestProtect_Flood(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		w.a.reaches(ph, "INVITE", uri)
		x := w.stranger()
		for range 20 {
			for range 500 { // at once, which no phone does
				x.Send(w.at, x.Request("INVITE", "sip:401@192.0.2.1"))
			}
			synctest.Wait()
			w.a.reaches(ph, "MESSAGE", uri)
			ph.refresh(w.a)
			caller, callee := callOut(ph, w.a)
			caller.exchange(callee, "BYE")
			time.Sleep(100 * time.Millisecond)
		}
		if st := w.proxy.guard.Stats(); st.OverAddress == 0 {
			t.Errorf("nothing was limited: %+v", st)
		}
		x.Drain()
	})
}

// TestProtect_Connections: who opens connections without end uses up neither the
// time for handshakes nor what others have of connections. P-44 P-45.
func TestProtect_Connections(t *testing.T) {
	cert, key := certificate(t)
	inWorld(t, fmt.Sprintf(streamsYAML, cert, key), func(w *world) {
		ph := w.public("401", "a.test")
		ph.at(w.a)               // so its address is known
		var flood []*simnet.Host // five networks
		for i := range 10 {
			flood = append(flood, w.net.NewHost(netip.AddrFrom4([4]byte{198, 51, byte(i / 2), byte(1 + i)})))
		}
		var dials sync.WaitGroup
		for i := range 3000 {
			dials.Go(func() {
				c, err := flood[i%len(flood)].Dial(w.Context(), noAddr, listenerOf("tls"))
				if err != nil {
					w.Error(err)
					return
				}
				io.Copy(io.Discard, c) // until the proxy has enough of it
				c.Close()
			})
			if i%100 == 0 { // no more wait for Accept
				time.Sleep(2 * time.Millisecond)
			}
		}
		defer dials.Wait()
		time.Sleep(10 * time.Millisecond)
		if st := w.proxy.transport.Stats(); st.Accepted > 2100 || st.Unwanted != 3000-st.Accepted {
			t.Errorf("%d of the flood were let in, %d not", st.Accepted, st.Unwanted)
		}
		pbx := w.over("tls", w.a.host, 0, "pbx", "a.test")
		pbx.ask(pbx.call("OPTIONS", "sip:192.0.2.1"))
		pbx.Status(200)
		other := w.over("tls", ph.host, 0, "402", "a.test")
		other.at(w.a)
		pbx.Close()
		other.Close()
		if st := w.proxy.guard.Stats(); st.ConnectionsOverAll < 900 || st.ConnectionsOverNetwork != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestProtect_Overload: when the proxy has more to do than it can, what strangers begin
// gets 503 and a Retry-After and goes no further, and phones, PBXes and dialogs go on.
func TestProtect_Overload(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, x := w.behind(simnet.PortRestricted, "401", "a.test"), w.stranger()
		uri := ph.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		w.proxy.guard.Observe(1_000_000, 0, time.Now())
		for _, method := range []string{"INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE"} {
			text := x.Request(method, "sip:402@a.test")
			x.Send(w.at, text)
			got := x.Status(503)
			if got.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After in\n%s", method, got.Text)
			}
			if method == "INVITE" {
				x.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
			}
		}
		if s := w.proxy.relay.Stats().Transactions; s.Open != 0 {
			t.Errorf("kept: %+v", s)
		}
		w.a.reaches(ph, "INVITE", uri)
		ph.refresh(w.a)
		out, pbxOut := callOut(ph, w.a)
		conversation(in, phoneIn)
		out.exchange(pbxOut, "BYE")
		if w.proxy.guard.AdmitNew(guard.Source{Addr: x.Addr, Transport: "udp"}, "a call", time.Now()) != guard.Overloaded {
			t.Error("it was over before all that was tried")
		}
		time.Sleep(6 * time.Second)
		x.Send(w.at, x.Request("OPTIONS", "sip:402@a.test"))
		w.a.Reply(w.a.Expect("OPTIONS"), 404, "pbx")
		x.Status(404)
	})
}

// TestProtect_BruteForce: who guesses passwords from an address that is proven to
// be his is banned, and comes back; that of a phone that works is not, nor that
// of a PBX. P-43 P-44 P-56.
func TestProtect_BruteForce(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		good := w.overTCP("401", "a.test")
		uri := good.at(w.a)
		bad := w.overTCP("402", "a.test")
		guess := func() bool {
			bad.ask(bad.registerText())
			time.Sleep(10 * time.Millisecond)
			m := w.a.Poll()
			if len(m) == 0 {
				return false
			}
			w.a.Reply(m[0], 401, "pbx", `WWW-Authenticate: Digest realm="a", nonce="n1"`)
			bad.Status(401)
			bad.ask(bad.registerText(`Authorization: Digest username="402", realm="a", nonce="n1", uri="sip:a.test", response="0"`))
			time.Sleep(10 * time.Millisecond)
			m = w.a.Poll()
			if len(m) == 0 {
				return false
			}
			w.a.Reply(m[0], 401, "pbx", `WWW-Authenticate: Digest realm="a", nonce="n2"`)
			bad.Status(401)
			return true
		}
		tries := 0
		for tries < 50 && guess() {
			tries++
		}
		if tries == 0 || tries == 50 {
			t.Errorf("%d guesses were served", tries)
		}
		w.a.reaches(good, "INVITE", uri)
	})
}
