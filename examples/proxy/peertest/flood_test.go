package peertest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An attack from 10,000 addresses, among them those of the phones, costs no call
// and no registration; a phone that is new gets in; and what the attack leaves
// behind has bounds. P-44 P-45 P-56.
//
// It is not run beside other tests, as it keeps the machine busy.
func TestFlood(t *testing.T) {
	const phones = 20
	s := newSite(t)
	p := s.prepare(exposed("log: {level: info, format: text}"))
	p.binary = released
	p.run()
	tr := s.traffic(phones)
	a := &attack{s: s}
	for _, ph := range tr.phones {
		a.phones = append(a.phones, ph.addr.Addr())
	}
	before := strings.Count(p.errors.String(), "\n")
	stop := tr.run(15)
	newcomers := make([]*station, 5)
	for i := range newcomers {
		ph := s.phoneStation(fmt.Sprint("n", i), s.phone(phones+i))
		tr.begin(func() error {
			time.Sleep(time.Duration(3+i) * time.Second) // until the attack has taken what it can
			return ph.signOn()
		})
		newcomers[i] = ph
	}
	sent, took := a.run()
	stop()
	began := tr.finish()
	tr.phones = append(tr.phones, newcomers...)
	for i := range tr.phones { // all are still there
		tr.begin(func() error { return tr.callsIn(i) })
	}
	tr.finish()
	t.Logf("%d packets in %v, beside %d calls and registrations", sent, took, began)
	if sent < attackSources {
		t.Errorf("the attack had %d packets only", sent)
	}

	// Strangers may begin 1,000 requests at once and 500 a second, see guard.
	allowed := 1000 + 500*int(took/time.Second+1)
	for _, ph := range tr.phones {
		if got := ph.ofAttack(); len(got) > 0 {
			t.Errorf("%s got %v of the attack", ph.name, got)
		}
	}
	got := tr.pbx.ofAttack()
	for kind := range got {
		if kind != "REGISTER" && kind != "INVITE" && kind != "SUBSCRIBE" && kind != "ACK" {
			t.Errorf("the PBX got %v of the attack", got)
		}
	}
	if n := got["REGISTER"] + got["INVITE"] + got["SUBSCRIBE"]; n == 0 || n > allowed {
		t.Errorf("the PBX got %v of the attack, want %d requests at most", got, allowed)
	}
	st := p.state()
	if st.Bindings != len(tr.phones) || st.Guard.Earned > 0 || st.Guard.OverStrangers == 0 || st.Guard.Overloaded > 0 {
		t.Errorf("%d phones, guard: %+v", st.Bindings, st.Guard)
	}
	// A call has three transactions and a registration two, on either side.
	if tx := st.Relay.Transactions; tx.Servers+tx.Clients > 2*allowed+6*began {
		t.Errorf("transactions: %+v, of %d requests of the attack", tx, allowed)
	}
	if heap := p.metric("go_memstats_heap_alloc_bytes"); heap > 200<<20 {
		t.Errorf("the heap has %v bytes", heap)
	}
	// Of strangers 200 lines at once and 20 a second are written, see guard, and as
	// many of their calls; of the others one for each call.
	if lines := strings.Count(p.errors.String(), "\n") - before; lines > 2*(250+20*int(took/time.Second+1))+began {
		t.Errorf("%d lines in the log", lines)
	}
}

// metric returns a metric that has no labels.
func (p *proxyProcess) metric(name string) float64 {
	p.t.Helper()
	_, text := p.get("/metrics")
	_, value, _ := strings.Cut(text, "\n"+name+" ")
	value, _, _ = strings.Cut(value, "\n")
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		p.t.Errorf("metric %s: %v", name, err)
	}
	return v
}
