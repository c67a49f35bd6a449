package peertest

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// inherited is how many bindings an OpenSIPS has left.
const inherited = 200_000

// heritage is a site with a database that an OpenSIPS has filled: two tenants
// with the same extensions, whose phones have the same users in their Contacts,
// and a place of its own for each of them. The phones of the first tenant come
// first in the table. Each tenant has a PBX, and they share a third one.
type heritage struct {
	*site
	db     *database
	boards [3]*asterisk
	phones map[int]*peer
}

func newHeritage(t *testing.T) *heritage {
	t.Helper()
	e := &heritage{site: newSite(t), db: newDatabase(t), phones: map[int]*peer{}}
	for i := range e.boards {
		e.boards[i] = e.asterisk(fmt.Sprint("PBX ", i), e.pbx(i))
	}
	// The shortest form that OpenSIPS has ever used: no URI in received, no
	// socket, no q, and NULL where it may be.
	first := e.place(0)
	a := first.Addr().As4()
	e.db.exec(fmt.Sprintf(`INSERT INTO location
		(contact_id, username, domain, contact, received, expires, q, callid, cseq, last_modified, cflags)
		SELECT (seq MOD 2 << 40) + (seq + 1 << 14), 100000 + seq DIV 2, IF(seq MOD 2 = 0, ?, ?),
			CONCAT('sip:x', seq DIV 2, '@192.168.1.10:5060;line=', seq),
			CONCAT('%d.%d.%d.', %d + seq DIV 20000, ':', %d + seq MOD 20000),
			UNIX_TIMESTAMP() + 3600, -1, CONCAT('call-', seq), 1, NOW(), 'NAT'
		FROM seq_0_to_%d`, a[0], a[1], a[2], a[3], first.Port(), inherited-1), domain(0), domain(1))
	return e
}

// twins adds two extensions of the first tenant, with the same user in their
// Contacts: one at the beginning of the table, one at its end.
func (e *heritage) twins() (twins [2]*peer) {
	e.t.Helper()
	for i := range twins {
		twins[i] = e.udp(fmt.Sprint("twin ", i), e.phone(1+i))
		user := fmt.Sprint("twin", i)
		e.db.inherit(user, domain(0), twins[i])
		e.db.exec("UPDATE location SET contact_id = ?, contact = 'sip:twin@192.168.1.10' WHERE username = ?",
			[]uint64{1, 1 << 60}[i], user)
	}
	return twins
}

// heir returns the proxy that takes over.
func (e *heritage) heir() *proxyProcess {
	e.t.Helper()
	sets := tenants(2)
	for i := range sets {
		sets[i].lines = preserve
		for _, n := range []int{i, 2} {
			sets[i].pbxes = append(sets[i].pbxes, fmt.Sprintf("{uri: \"sip:%v\"}", e.pbx(n)))
		}
	}
	return e.prepare(settings{tenants: sets, lines: append(e.db.lines(), quiet)})
}

// place is where the n-th phone is.
func (e *heritage) place(n int) netip.AddrPort {
	return netip.AddrPortFrom(e.host(100+n/20_000), uint16(10_000+n%20_000))
}

// switchOn lets the n-th phone be there. It is busy.
func (e *heritage) switchOn(n int) {
	e.t.Helper()
	h := e.udp(fmt.Sprint("phone ", n), e.place(n))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.auto = func(m *message) bool {
		if m.method() == "INVITE" {
			h.reply(m, 486)
		}
		return m.method() == "ACK"
	}
	e.phones[n] = h
}

// byUser and byContact are URIs that a PBX calls the n-th phone by.
func (e *heritage) byUser(n int) string    { return fmt.Sprintf("sip:%d@%v", 100_000+n/2, e.proxy()) }
func (e *heritage) byContact(n int) string { return fmt.Sprintf("sip:x%d@%v", n/2, e.proxy()) }

// call lets its PBX call the n-th phone, and returns the status of the answer.
// No other phone must ring.
func (e *heritage) call(n int, uri string) (status int) {
	e.t.Helper()
	status = e.boards[n%2].dial(uri).refusal()
	if status == 486 {
		want := fmt.Sprintf("sip:x%d@192.168.1.10:5060;line=%d", n/2, n)
		if m := e.phones[n].expect("INVITE"); m.uri() != want {
			e.t.Errorf("phone %d is called as %s, want %s", n, m.uri(), want)
		}
	}
	return status
}

// The proxy takes over from an OpenSIPS with many phones. While it knows only
// some of them, it does not say of the others that they are missing, and calls
// none that it takes for the only one that can be meant.
func TestStartWithManyRows(t *testing.T) {
	t.Parallel()
	e := newHeritage(t)
	twins := e.twins()
	const last = inherited - 1
	var on []int
	for n := 0; n < inherited; n += inherited / 8 {
		on = append(on, n, n+1) // with the same extension
	}
	for _, n := range on {
		e.switchOn(n)
	}
	twin := fmt.Sprintf("sip:twin@%v", e.proxy())
	p := e.heir()
	p.complains = true // about the table being locked
	p.boot()
	eventually(t, "some rows are read", func() bool { return p.state().Location.Rows > 0 })
	unlock := e.db.lock()
	read := p.state().Location.Rows
	if status, text := p.readyz(); status != 503 {
		t.Errorf("/readyz says %d and\n%s", status, text)
	}
	if status := e.call(0, e.byUser(0)); status != 486 {
		t.Errorf("call to a phone that is known: %d, want 486", status)
	}
	unsure := []*dialog{
		e.boards[1].dial(e.byUser(last)), e.boards[1].dial(e.byContact(last)), // not known
		e.boards[2].dial(e.byUser(0)), e.boards[2].dial(e.byContact(0)), // one of two is known
		e.boards[0].dial(twin),
	}
	for _, d := range unsure {
		if status := d.refusal(); status != 503 {
			t.Errorf("call to %s by %s: %d, want 503", d.target, d.p.name, status)
		}
	}
	newcomer := e.udp("newcomer", e.phone(0))
	newcomer.register("401", domain(0), "secret")
	e.boards[0].rings("sip:401@"+domain(0), newcomer, newcomer.contactOf("401"))
	unlock()

	calls := 0
	ready := holds(4*patience, func() bool {
		n := on[calls%len(on)]
		calls++
		if status := e.call(n, e.byUser(n)); status != 486 && status != 503 {
			t.Errorf("call to phone %d while phones are read: %d", n, status)
		}
		status, _ := p.readyz()
		return status == 200
	})
	if !ready {
		t.Fatal("not all phones are ever read")
	}
	t.Logf("%d rows were read before the table was locked, and then %d calls were made until all were", read, calls)

	for _, n := range on {
		for _, uri := range []string{e.byUser(n), e.byContact(n)} {
			if status := e.call(n, uri); status != 486 {
				t.Errorf("call to %s at PBX %d: %d, want 486", uri, n%2, status)
			}
		}
	}
	e.boards[0].misses(fmt.Sprintf("sip:99999@%v", e.proxy()), 404)
	e.boards[0].misses("sip:100000@"+domain(1), 404)
	e.boards[2].misses(e.byUser(0), 404)
	e.boards[2].misses(e.byContact(0), 404)
	e.boards[0].misses(twin, 404)
	p.wantBindings(inherited + 3)
	p.wantMemory(inherited)
	for _, h := range e.phones {
		h.wantNothing()
	}
	for _, h := range twins {
		h.wantNothing()
	}
}

// wantMemory fails the test if the process has ever needed more memory than so
// many bindings explain.
func (p *proxyProcess) wantMemory(bindings int) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(text)
	if peak == nil {
		p.t.Fatalf("no VmHWM in\n%s", text)
	}
	kB, err := strconv.Atoi(string(peak[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	limit := 50_000 + 2*bindings // 2 kB each, what the collector leaves included
	if raceEnabled {
		limit *= 4
	}
	if kB > limit {
		p.t.Errorf("peak of memory: %d kB, want at most %d kB", kB, limit)
	}
	p.t.Logf("peak of memory: %d kB", kB)
}
