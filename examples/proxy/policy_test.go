package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/location"
)

// TestRegister_NewContactOfASocket: a phone without an instance that comes from
// the same socket with another Contact is the same phone to its PBX; of two at
// once only one can be.
func TestRegister_NewContactOfASocket(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.fields = []string{"User-Agent: Snom"}
		uri := ph.at(w.a)
		ph.contact = strings.Replace(ph.contact, "x8kmhe6a", "restarted", 1)
		if again := ph.at(w.a); again != uri {
			t.Errorf("it was %s and is %s", uri, again)
		}
		if bs := w.bound("401", "a.test"); len(bs) != 1 || len(w.a.contacts["401"]) != 1 {
			t.Errorf("stored: %+v, at the PBX: %q", bs, w.a.contacts["401"])
		}
		w.a.reaches(ph, "INVITE", uri)
		m, got := ph.refresh(w.a, "Contact: <sip:1@"+ph.Addr.String()+">", "Contact: <sip:2@"+ph.Addr.String()+">")
		both := m.All("Contact")
		if uriOf(both[0]) != uri || uriOf(both[1]) == uri {
			t.Errorf("it was %s and is %q", uri, both)
		}
		if list := got.All("Contact"); len(list) != 2 || uriOf(list[0]) == uriOf(list[1]) {
			t.Errorf("the phone gets the Contacts %q", list)
		}
	})
}

// TestRegister_RemovesNoOther: a Contact that nobody knows is removed as itself,
// though another one came from the same socket.
func TestRegister_RemovesNoOther(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.fields = []string{"User-Agent: Snom"}
		uri := ph.at(w.a)
		ph.refresh(w.a, "Contact: <sip:of-an-older-day@"+ph.Addr.String()+">", "Expires: 0")
		if got := w.a.contacts["401"]; len(got) != 1 || got[0] != uri {
			t.Errorf("the PBX is left with %q", got)
		}
		w.a.reaches(ph, "MESSAGE", uri)
	})
}

// TestRegister_Expires: a provisional answer passes, and a grant may stand in
// the header field alone. P-04.
func TestRegister_Expires(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		m := w.a.Expect("REGISTER")
		w.a.Reply(m, 183, "pbx")
		ph.Status(183)
		if bs := w.bound("401", "a.test"); len(bs) > 0 {
			t.Errorf("stored: %+v", bs)
		}
		w.a.Reply(m, 200, "pbx", "Contact: "+m.Get("Contact"), "Expires: 120")
		if got := ph.Status(200); got.Get("Contact") != ph.contact || got.Get("Expires") != "120" {
			t.Errorf("the phone gets\n%s", got.Text)
		}
		if b := w.bound("401", "a.test")[0]; b.Expires.Sub(b.Updated) != 2*time.Minute {
			t.Errorf("stored: %+v", b)
		}
	})
}

// TestSet_Unavailable: without a PBX that may be used the phone is told to come
// back.
func TestSet_Unavailable(t *testing.T) {
	inWorld(t, `tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10", state: 1}]}]`, func(w *world) {
		ph := w.public("401", "a.test")
		ph.ask(ph.registerText())
		if got := ph.Status(503); got.Get("Retry-After") != "10" {
			t.Errorf("the phone gets\n%s", got.Text)
		}
		if n := w.proxy.view().Unavailable; n != 1 {
			t.Errorf("%d are counted", n)
		}
		w.a.refused(404, "INVITE", "sip:401@a.test") // it still is a source
	})
}

// TestTrunk: the OPTIONS of a PBX to the proxy itself is answered here.
func TestTrunk(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.a.ask("OPTIONS", "sip:192.0.2.1:5060", "Max-Forwards: 0")
		if got := w.a.Status(200); got.Get("Allow") != strings.TrimPrefix(allow, "Allow: ") || got.ToTag() == "" {
			t.Errorf("the PBX gets\n%s", got.Text)
		}
		w.stranger().Send(w.at, w.a.request("OPTIONS", "sip:192.0.2.1:5060")) // gets nothing
		w.a.Send(w.at, strings.Replace(w.a.request("OPTIONS", "sip:192.0.2.1"), "CSeq: 1 OPTIONS", "CSeq: 1 BYE", 1))
		w.a.Status(400)
	})
}

// TestListenerGone: a phone whose listener is not there any more is reached
// from another one, outside of dialogs and in them.
func TestListenerGone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.FullCone, "401", "a.test")
		uri := ph.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		b := w.bound("401", "a.test")[0]
		b.Flow.Local = netip.MustParseAddrPort("192.0.2.9:5060")
		if err := w.proxy.store.Apply(w.Context(), someAOR(t, "401", "a.test"), location.Change{Put: []location.Binding{b}}); err != nil {
			t.Fatal(err)
		}
		w.a.reaches(ph, "INVITE", uri)
		target, ok := w.proxy.alias.Append(nil, ph.uri(), b.Flow)
		if !ok || string(target) == in.target {
			t.Fatalf("the target is %s", target)
		}
		in.target = string(target)
		in.ack(phoneIn)
		conversation(in, phoneIn)
	})
}

// TestExpiry: a binding that has run out is not called, and does not stay in
// memory.
func TestExpiry(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		uri := ph.at(w.a)
		time.Sleep(3599*time.Second - time.Millisecond)
		w.a.reaches(ph, "MESSAGE", uri)
		time.Sleep(time.Millisecond)
		w.a.refused(404, "MESSAGE", uri)
		time.Sleep(2 * time.Second)
		if n := w.proxy.view().Bindings; n != 0 {
			t.Errorf("%d bindings are kept", n)
		}
	})
}

// TestOddUsers: the user of an AOR is written so that it comes back.
func TestOddUsers(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		for _, user := range []string{"+4930123", "a%40b", "a%3Bb", "o'neil", "*97", "a;phone-context=x", "a%20b"} {
			ph := w.public(user, "a.test")
			ph.contact = "<sip:x@" + ph.Addr.String() + ">"
			w.a.reaches(ph, "MESSAGE", ph.at(w.a))
		}
	})
}

// TestAffinity_Key: what a PBX is chosen by, for each algorithm, however it is
// written. P-76.
func TestAffinity_Key(t *testing.T) {
	m, err := sipmsg.Parse(strings.ReplaceAll(`INVITE sip:402@A.test:5060;transport=udp SIP/2.0
Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bK1
From: "x" <sip:401@a.TEST;user=phone>;tag=1
To: sip:403@a.test:5060
Call-ID: call
CSeq: 1 INVITE
Content-Length: 0

`, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	src := route.Source{Addr: netip.MustParseAddrPort("203.0.113.1:1024")}
	for algorithm, want := range map[string]string{
		"affinity": "401@a.test", "hash-callid": "call", "hash-from": "401@a.test", "hash-to": "403@a.test",
		"hash-ruri": "402@a.test", "round-robin": "", "random": "", "priority": "",
	} {
		st := stateOf(t, parseConfig(t, fmt.Sprintf("dispatcher: {algorithm: %s}%s", algorithm, threeTenants)), nil)
		if got := st.affinity(&route.Decision{AOR: someAOR(t, "401", "a.test")}, m, src); got != want {
			t.Errorf("%s: %q, want %q", algorithm, got, want)
		}
	}
}

// TestRun_ListenerTaken: what goes wrong later than the configuration is exit
// code 1.
func TestRun_ListenerTaken(t *testing.T) {
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "listen: [\"udp:%v\"]\nadmin: \"\"\nsecret: sixteen characters\n", taken.LocalAddr()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOGC", "100") // it stays as it is
	var stderr strings.Builder
	if code := run(t.Context(), []string{"-config", file}, &stderr, &stderr); code != exitFailed || !strings.Contains(stderr.String(), taken.LocalAddr().String()) {
		t.Errorf("exit code %d\n%s", code, &stderr)
	}
}
