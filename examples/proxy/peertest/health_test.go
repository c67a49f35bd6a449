package peertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
)

// box is a PBX that answers all requests with a status.
type box struct {
	*peer

	// Guarded by the peer.
	status   int // 0: it is dead
	probes   int
	probedBy netip.AddrPort // the last time
}

// box returns a PBX that works.
func (s *site) box(i int) *box {
	s.t.Helper()
	b := &box{peer: s.udp(fmt.Sprint("PBX ", i), s.pbx(i)), status: 200}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.auto = b.serve
	return b
}

// serve answers. The peer is locked meanwhile.
func (b *box) serve(m *message) bool {
	switch {
	case m.status() != 0 || m.method() != "OPTIONS":
		return false
	case b.status != 0:
		b.reply(m, b.status)
	}
	b.probes++
	b.probedBy = m.from
	return true
}

// says makes b answer with a status from now on, 0 for not at all.
func (b *box) says(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// probed returns how often it was, and from where.
func (b *box) probed() (times int, from netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probes, b.probedBy
}

// again waits for so many more probes.
func (b *box) again(probes int) {
	b.t.Helper()
	before, _ := b.probed()
	eventually(b.t, b.name+" is probed", func() bool {
		now, _ := b.probed()
		return now >= before+probes
	})
}

// hook is a server that is told by the proxy what becomes of PBXes.
func hook(t *testing.T) (url string, told chan map[string]any) {
	told = make(chan map[string]any, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event map[string]any
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Errorf("webhook: %v", err)
		}
		told <- event
	}))
	t.Cleanup(server.Close)
	return server.URL, told
}

// wantState waits until a row of the table dispatcher has a state.
func (d *database) wantState(id, want int) {
	d.t.Helper()
	got := -1
	eventually(d.t, fmt.Sprintf("row %d has state %d", id, want), func() bool {
		if err := d.db.QueryRowContext(d.t.Context(), "SELECT state FROM dispatcher WHERE id = ?", id).Scan(&got); err != nil {
			d.t.Fatal(err)
		}
		return got == want
	})
}

// A PBX that dies is found out by probes, from the socket that its row names,
// and told to the webhook and the table, but not over what an operator has set.
// From then on it costs no call, until it answers as it should (P-34, P-35).
func TestHealth(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	url, told := hook(t)
	second := netip.AddrPortFrom(s.proxy().Addr(), 5070)
	d.exec("INSERT INTO domain (domain, setid) VALUES (?, 10)", domain(0))
	d.exec(`INSERT INTO dispatcher (id, setid, destination, socket, state, probe_mode) VALUES
		(1, 10, ?, NULL, 0, 0), (2, 10, ?, ?, 0, 1), (3, 10, ?, NULL, 1, 1)`,
		"sip:"+s.pbx(0).String(), "sip:"+s.pbx(1).String(), "udp:"+second.String(), "sip:"+s.pbx(2).String())
	boxes := [3]*box{s.box(0), s.box(1), s.box(2)}
	p := s.start(settings{tenants: []tenant{}, listen: []string{"udp:" + second.String()}, lines: append(d.lines(), "reload: 0s",
		fmt.Sprintf("dispatcher: {interval: 1s, timeout: 1s, all_down: refuse, write_state: on, alive: [2xx], webhook: %q}", url))})
	h := s.udp("phone", s.phone(0))
	wantTold := func(i int, to string) {
		t.Helper()
		from := map[string]string{"probing": "active", "active": "probing"}[to]
		if got := <-told; got["uri"] != fmt.Sprint("sip:", s.pbx(i)) || got["setid"] != 10.0 || got["from"] != from || got["to"] != to {
			t.Errorf("the webhook is told %v, want that PBX %d is %s", got, i, to)
		}
	}
	uses := func(b *box, n int) {
		t.Helper()
		for i := range n {
			h.dialog("sip:9@"+domain(0), fmt.Sprintf("sip:%d@%s", 400+i, domain(0))).request("MESSAGE")
			b.reply(b.expect("MESSAGE"), 200)
			h.expect("200 MESSAGE")
		}
	}
	boxes[0].again(2)
	boxes[1].again(2)
	for i, want := range []netip.AddrPort{s.proxy(), second, {}} {
		if _, from := boxes[i].probed(); from != want {
			t.Errorf("PBX %d is probed from %v, want %v", i, from, want)
		}
	}

	boxes[0].says(0)
	wantTold(0, "probing")
	d.wantState(1, 2)
	uses(boxes[1], 20)
	boxes[0].says(404)
	boxes[0].again(2)
	uses(boxes[1], 5)
	if got := p.state().Relay.Failovers; got != 0 {
		t.Errorf("%d requests were sent to the dead one first", got)
	}
	boxes[0].says(200)
	wantTold(0, "active")
	d.wantState(1, 0)

	d.command("dispatcher", "set-state", "2", "inactive") // and the proxy does not know yet
	boxes[1].says(503)
	wantTold(1, "probing")
	uses(boxes[0], 20)
	boxes[0].says(0)
	wantTold(0, "probing")
	d.wantState(1, 2)
	d.wantState(2, 1)
	h.dialog("sip:9@"+domain(0), "sip:401@"+domain(0)).request("MESSAGE")
	if m := h.expect("503 MESSAGE"); m.get("Retry-After") == "" {
		t.Errorf("no Retry-After when all are down:\n%s", m)
	}
	p.silent(h, boxes[0].peer, boxes[1].peer, boxes[2].peer)
}

// With probe: table, whom the column probe_mode of its row has left out is probed
// only when requests have found it dead.
func TestHealth_ProbeMode(t *testing.T) {
	t.Parallel()
	s, d := newSite(t), newDatabase(t)
	d.exec("INSERT INTO domain (domain, setid) VALUES (?, 10), (?, 20)", domain(0), domain(1))
	d.exec("INSERT INTO dispatcher (setid, destination, probe_mode) VALUES (10, ?, 0), (20, ?, 1)", "sip:"+s.pbx(0).String(), "sip:"+s.pbx(1).String())
	quiet, other := s.box(0), s.box(1)
	p := s.start(settings{tenants: []tenant{}, lines: append(d.lines(), "dispatcher: {probe: table, interval: 1s, timeout: 1s, fall: 1, all_down: refuse}")})
	h := s.udp("phone", s.phone(0))
	ask := func(status int) {
		t.Helper()
		h.dialog("sip:9@"+domain(0), "sip:401@"+domain(0)).request("MESSAGE")
		quiet.reply(quiet.expect("MESSAGE"), status)
		h.expect(fmt.Sprint(status, " MESSAGE"))
	}
	other.again(3)
	if n, _ := quiet.probed(); n != 0 {
		t.Errorf("PBX 0 is probed %d times", n)
	}
	ask(200)
	ask(503)
	quiet.again(1)
	eventually(t, "it is back", func() bool { return strings.Contains(p.errors.String(), "PBX is back") })
	ask(200)
}

// A PBX that an operator switches off drains: it gets no new requests, its calls go
// on and end, and what it asks for itself is served. Weight 0 does the same, but it
// still stands in for the others.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	for _, tt := range []struct {
		name, change, back string
		standsIn           bool
	}{
		{"inactive", "state = 1", "state = 0", false},
		{"weight 0", "weight = '0'", "weight = '1'", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, d := newSite(t), databaseOn(t, server)
			d.exec("INSERT INTO domain (domain, setid) VALUES (?, 10)", domain(0))
			d.exec("INSERT INTO dispatcher (id, setid, destination, priority) VALUES (1, 10, ?, 9), (2, 10, ?, 0)",
				"sip:"+s.pbx(0).String(), "sip:"+s.pbx(1).String())
			p := s.start(settings{tenants: []tenant{}, lines: append(d.lines(), "reload: 0s", "timers: {branch: 1s}",
				"dispatcher: {probe: never, algorithm: priority, all_down: refuse}")})
			first, second, h := s.asterisk("first", s.pbx(0)), s.asterisk("second", s.pbx(1)), s.udp("phone", s.phone(0))
			asks := func(a *asterisk) {
				t.Helper()
				h.dialog("sip:9@"+domain(0), "sip:402@"+domain(0)).request("MESSAGE")
				a.reply(a.expect("MESSAGE"), 200)
				h.expect("200 MESSAGE")
			}
			set := func(what string) {
				t.Helper()
				d.exec("UPDATE dispatcher SET " + what + " WHERE id = 1")
				p.loads(1, syscall.SIGHUP)
			}
			h.register("401", domain(0), "secret")
			contact := first.contact("401")
			in, atPhone := first.takes(contact, h)
			out, atPBX := first.takenFrom(h)
			asks(first)

			set(tt.change)
			asks(second)
			converse(in, atPhone)
			converse(out, atPBX)
			first.rings(contact, h, h.contactOf("401"))
			second.close()
			if tt.standsIn {
				asks(first)
			} else {
				h.dialog("sip:9@"+domain(0), "sip:402@"+domain(0)).request("MESSAGE")
				h.expect("503 MESSAGE")
			}
			set(tt.back)
			asks(first)
			p.silent(h, first.peer)
		})
	}
}
