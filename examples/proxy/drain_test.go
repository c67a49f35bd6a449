package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// terminate begins the end of the proxy, as SIGTERM does. What it returns is closed
// when that is over.
func (w *world) terminate() <-chan struct{} {
	stop, over := w.stop, make(chan struct{})
	w.stop = func() { <-over }
	go func() {
		defer close(over)
		stop()
	}()
	synctest.Wait()
	return over
}

// ring has the PBX call the phone, which rings.
func (w *world) ring(p *pbx, uri string, ph *phone) (invite string, atPhone siptestx.Message) {
	w.Helper()
	invite = p.ask("INVITE", uri)
	atPhone = ph.Expect("INVITE")
	ph.Reply(atPhone, 180, "phone")
	w.answer(p.Peer, 180)
	return invite, atPhone
}

// ready returns the status of /readyz, and what it says.
func (w *world) ready() (int, string) {
	rec := httptest.NewRecorder()
	w.proxy.serveReady(rec, nil)
	return rec.Code, rec.Body.String()
}

// isOver reports whether a proxy that was told to end has done so.
func isOver(over <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-over:
		return true
	default:
		return false
	}
}

// TestDrain: while a call rings, a proxy that is to end serves everything but what
// begins something new, and calls in progress; then it ends. The next one goes on
// with the calls. R61, P-18.
func TestDrain(t *testing.T) {
	inWorld(t, "drain: 1m"+threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		_, m := w.ring(w.a, uri, ph)
		w.proxy.listening.Store(true) // as Run does
		if code, text := w.ready(); code != 200 {
			t.Errorf("%d\n%s", code, text)
		}
		over := w.terminate()
		if code, text := w.ready(); code != 503 || !strings.Contains(text, "listeners: not ready: 2, draining, 2 transactions are open\n") {
			t.Errorf("%d\n%s", code, text)
		}

		for _, method := range []string{"INVITE", "SUBSCRIBE"} {
			if got := w.a.refused(503, method, uri); got.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After in\n%s", method, got.Text)
			}
		}
		for _, to := range []string{"", ";tag=none"} { // a REGISTER is in no dialog, whatever it says
			ph.ask(ph.registerText("To: <" + ph.aor() + ">" + to))
			if got := ph.Status(503); got.Get("Retry-After") == "" {
				t.Errorf("no Retry-After in\n%s", got.Text)
			}
		}
		for _, method := range []string{"OPTIONS", "MESSAGE", "NOTIFY"} {
			w.a.reaches(ph, method, uri)
		}
		conversation(in, phoneIn)

		if isOver(over) {
			t.Fatal("it has ended while a call rings")
		}
		ph.Reply(m, 486, "phone")
		ph.Expect("ACK")
		got := w.answer(w.a.Peer, 486)
		if isOver(over) {
			t.Fatal("it has ended before the ACK")
		}
		w.a.Send(w.at, siptestx.Edit(w.another("ACK", w.a.request("INVITE", uri), "To: "+got.Get("To")),
			"Via: "+got.Get("Via"), "Call-ID: "+got.Get("Call-ID"), "CSeq: "+strings.Replace(got.Get("CSeq"), "INVITE", "ACK", 1)))
		<-over
		w.start()
		conversation(in, phoneIn)
	})
}

// TestDrain_LameDuck: a proxy that is to end tells so before it turns anybody away.
func TestDrain_LameDuck(t *testing.T) {
	inWorld(t, "lame_duck: 10s\ndrain: 1m"+threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		w.proxy.listening.Store(true) // as Run does
		over := w.terminate()
		if code, text := w.ready(); code != 503 || !strings.Contains(text, "listeners: not ready: 2, stopping, ") {
			t.Errorf("%d\n%s", code, text)
		}
		w.a.reaches(ph, "INVITE", uri)
		ph.refresh(w.a)
		time.Sleep(9 * time.Second)
		invite, m := w.ring(w.a, uri, ph)
		time.Sleep(2 * time.Second)
		w.a.refused(503, "INVITE", uri)
		if isOver(over) {
			t.Fatal("it has ended while a call rings")
		}
		ph.Reply(m, 486, "phone")
		ph.Expect("ACK")
		got := w.answer(w.a.Peer, 486)
		w.a.Send(w.at, w.another("ACK", invite, "To: "+got.Get("To")))
		<-over
		w.start()
	})
}

// TestDrain_Limit: what is open when the time is over is given up, and nothing
// that only waits for retransmissions takes time.
func TestDrain_Limit(t *testing.T) {
	for name, tt := range map[string]struct {
		drain   string
		ringing bool
		want    time.Duration
	}{
		"at once":      {"0s", true, 0},
		"limit":        {"3s", true, 3 * time.Second},
		"nothing open": {"1m", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, "drain: "+tt.drain+threeTenants, func(w *world) {
				ph := w.behind(simnet.PortRestricted, "401", "a.test")
				uri := ph.at(w.a)
				w.a.reaches(ph, "INVITE", uri)
				w.a.reaches(ph, "MESSAGE", uri)
				if tt.ringing {
					w.ring(w.a, uri, ph)
				}
				start := time.Now()
				<-w.terminate()
				if got := time.Since(start); got != tt.want {
					t.Errorf("it takes %v, want %v", got, tt.want)
				}
				w.start()
			})
		})
	}
}
