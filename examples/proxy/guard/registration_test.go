package guard_test

import (
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/guard"
)

// P-43: what of a REGISTER is a failure, and what is how things go.
func TestRegistered_Failures(t *testing.T) {
	const (
		challenge = `Digest realm="a.example", nonce="1764071234/0a6d", opaque="4f2a", qop="auth"`
		answer    = `Digest username="401",realm="x, nonce=y",nonce="1764071234/0a6d",cnonce="b64a",nc=00000001,response="5c27"`
	)
	stale := `Digest realm="a.example",nonce="1764079999/ffff",stale=TRUE`
	tests := []struct {
		name         string
		status       int
		credentials  string
		challenges   []string
		fail, proven bool
	}{
		{"challenge", 401, "", []string{challenge}, false, false},
		{"challenge of a proxy", 407, "", []string{challenge}, false, false},
		{"second challenge", 401, answer, []string{challenge}, true, true},
		{"second challenge of a proxy", 407, answer, []string{challenge}, true, true},
		{"stale nonce", 401, answer, []string{stale}, false, false},
		{"one of two stale", 401, answer, []string{challenge, stale}, false, false},
		{"nonce of nobody", 401, `Digest nonce="other"`, []string{challenge}, true, false},
		{"forbidden", 403, answer, nil, true, true},
		{"no such user", 404, "", nil, true, false},
		{"too brief", 423, answer, nil, false, false},
		{"PBX is down", 503, answer, nil, false, false},
		{"redirected", 302, answer, nil, false, false},
		{"no answer", 408, answer, nil, false, false},
		{"granted", 200, answer, nil, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, guard.Config{})
			src := udp("203.0.113.9:5060")
			w.Registered(src, guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
			got := w.Registered(src, guard.Registration{Status: tt.status, Credentials: tt.credentials, Challenges: tt.challenges}, w.now)
			want := guard.Failure{Report: tt.fail, Proven: tt.proven}
			if tt.fail {
				want.Attempts = 1
			}
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if got := w.Stats().Failures[guard.FailedRegistration] == 1; got != tt.fail {
				t.Errorf("counted: %v, want %v", got, tt.fail)
			}
		})
	}
}

// Who registers is forgiven, and not banned any more.
func TestRegistered_LiftsBan(t *testing.T) {
	w := newWorld(t, guard.Config{})
	src := udp("203.0.113.9:5060")
	w.fail(src, 10)
	w.banned(src)
	w.live[src] = true // registered before
	w.register(src)
	delete(w.live, src)
	if b, ok := w.Banned(src, w.now); ok {
		t.Errorf("still banned: %+v", b)
	}
	if n := len(w.events); n != 2 || !w.events[1].Lifted {
		t.Errorf("%v", w.events)
	}
	w.wait(2 * time.Hour) // the registration has ended
	w.fail(src, 9)
	w.register(src)
	w.wait(time.Hour)
	w.fail(src, 9)
	if b, ok := w.Banned(src, w.now); ok {
		t.Errorf("banned for failures before it registered: %+v", b)
	}
}

// A customer who forges the address of others does not make them known: the
// nonce in his credentials was sent to himself.
func TestRegistered_KnownNeedsProof(t *testing.T) {
	const challenge, answer = `Digest nonce="n1"`, `Digest nonce="n1",response="5c27"`
	src := udp("203.0.113.9:5060")
	tests := []struct {
		name        string
		challenged  guard.Source
		credentials string
		want        bool
	}{
		{"answers its challenge", src, answer, true},
		{"answers that of another", udp("203.0.113.10:5060"), answer, false},
		{"is not asked for credentials", udp("203.0.113.10:5060"), "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, guard.Config{})
			w.Registered(tt.challenged, guard.Registration{Status: 401, Challenges: []string{challenge}}, w.now)
			until := w.now.Add(time.Hour)
			w.Registered(src, guard.Registration{Status: 200, Credentials: tt.credentials, Until: until}, w.now)
			w.Observe(1e6, 0, w.now)
			if got := w.AdmitNew(src, "call", w.now) == guard.Served; got != tt.want {
				t.Errorf("known: %v, want %v", got, tt.want)
			}
		})
	}
}

// Only so many reports are made of an address, and of all.
func TestFailure_ReportsAreLimited(t *testing.T) {
	w := newWorld(t, guard.Config{})
	attempts := 0 // of the last report
	count := func(n int, src func(i int) guard.Source) (reports int) {
		for i := range n {
			if f := w.Failed(src(i), guard.Malformed, w.now); f.Report {
				reports++
				attempts = f.Attempts
			}
		}
		return reports
	}
	same := func(int) guard.Source { return udp("203.0.113.9:5060") }
	each := func(i int) guard.Source { return guard.Source{Addr: address(i), Transport: "udp"} }
	if got := count(1000, same); got != 20 || attempts != 1 {
		t.Errorf("%d reports of one address, the last of %d attempts; want 20, of one each", got, attempts)
	}
	if got := count(1000, each); got != 180 {
		t.Errorf("%d reports of many addresses, want what is left of 200", got)
	}
	w.wait(10 * time.Second)
	if got := count(10, same); got != 1 || attempts > 981 || attempts < 1 {
		t.Errorf("%d reports of one address 10 s later, of %d attempts; want 1, of 981 or less, as others may have taken their place", got, attempts)
	}
	w.wait(10 * time.Second)
	if got := count(1, same); got != 1 || attempts != 10 {
		t.Errorf("%d reports of one address 20 s later, of %d attempts; want 1, of 10", got, attempts)
	}
}
