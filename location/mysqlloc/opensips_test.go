package mysqlloc_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// phoneRow is a row as OpenSIPS 3.6 writes it.
const phoneRow = `INSERT INTO location (contact_id, username, domain, contact, received, path, expires, q, callid, cseq,
		last_modified, flags, cflags, user_agent, socket, methods, sip_instance, kv_store, attr)
	VALUES (3617797875662073346, '1000', 'pjsipsbc.vcloudpbx.com', 'sip:1000@192.168.1.40:51234;line=x1',
		'sip:203.0.113.7:51234', NULL, 1773493200, 1.00, '60f86b69b228-zd4egelytysk', 2,
		'2026-03-14 12:00:00', 0, 'NAT', 'snomD785/10.1', 'udp:198.51.100.1:5060', 7999,
		'<urn:uuid:7cc7d6ee-1f24-4b0f-9d2c-000413aabbcc>', '{"site":"hq","n":3}', 'a=b')`

func phoneBinding() location.Binding {
	return location.Binding{
		Contact: "sip:1000@192.168.1.40:51234;line=x1",
		Flow: location.Flow{
			Transport: "udp",
			Remote:    netip.MustParseAddrPort("203.0.113.7:51234"),
			Local:     netip.MustParseAddrPort("198.51.100.1:5060"),
		},
		Q: 1000, CallID: "60f86b69b228-zd4egelytysk", CSeq: 2,
		Expires: start.Add(time.Hour), Updated: start,
		Instance: "<urn:uuid:7cc7d6ee-1f24-4b0f-9d2c-000413aabbcc>", Methods: 7999, UserAgent: "snomD785/10.1",
	}
}

var equalTimes = cmp.Options{cmpopts.EquateApproxTime(0), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

func TestStore_ReadsOpenSIPSRows(t *testing.T) {
	tests := []struct {
		name string
		set  string // what the row has instead
		want func(*location.Binding)
	}{
		{"as is", "n = n", func(*location.Binding) {}},
		{"received with transport", "received = 'sip:203.0.113.7:51234;transport=TLS', socket = 'tls:198.51.100.1:5061'", func(b *location.Binding) {
			b.Flow.Transport, b.Flow.Local = "tls", netip.MustParseAddrPort("198.51.100.1:5061")
		}},
		// P-06: rows of old versions have no URI there.
		{"received without URI", "received = '203.0.113.7:51234'", func(*location.Binding) {}},
		{"received without URI, IPv6", "received = '[2001:db8::7]:51234'", func(b *location.Binding) {
			b.Flow.Remote = netip.MustParseAddrPort("[2001:db8::7]:51234")
		}},
		{"received with IPv6", "received = 'sip:[2001:db8::7]:51234;transport=udp'", func(b *location.Binding) {
			b.Flow.Remote = netip.MustParseAddrPort("[2001:db8::7]:51234")
		}},
		{"received without port", "received = 'sip:203.0.113.7'", func(b *location.Binding) {
			b.Flow.Remote = netip.MustParseAddrPort("203.0.113.7:5060")
		}},
		{"no received", "received = NULL", func(b *location.Binding) { b.Flow.Remote = netip.AddrPort{} }},
		{"no socket", "socket = NULL", func(b *location.Binding) { b.Flow.Local = netip.AddrPort{} }},
		{"advertised socket", "socket = 'tcp:sip.example.com:5060'", func(b *location.Binding) {
			b.Flow.Transport, b.Flow.Local = "tcp", netip.AddrPort{}
		}},
		{"socket of all addresses", "socket = 'udp:0.0.0.0:5060'", func(b *location.Binding) {
			b.Flow.Local = netip.MustParseAddrPort("0.0.0.0:5060")
		}},
		{"no q", "q = -1.00", func(b *location.Binding) { b.Q = location.QUnspecified }},
		{"q in hundredths", "q = 0.33", func(b *location.Binding) { b.Q = 330 }},
		{"lowest q", "q = 0.00", func(b *location.Binding) { b.Q = 0 }},
		{"all methods", "methods = NULL", func(b *location.Binding) { b.Methods = 0 }},
		{"all methods by bits", "methods = -1", func(b *location.Binding) { b.Methods = 0 }},
		{"permanent", "expires = 0", func(b *location.Binding) { b.Expires = time.Unix(1<<32-1, 0) }},
		{"defaults", "callid = DEFAULT(callid), cseq = DEFAULT(cseq), user_agent = ''", func(b *location.Binding) {
			b.CallID, b.CSeq, b.UserAgent = "Default-Call-ID", 13, ""
		}},
		{"no values", "kv_store = NULL, sip_instance = NULL, attr = NULL, cflags = NULL, path = NULL", func(b *location.Binding) {
			b.Instance = ""
		}},
		{"other flags", "cflags = 'NAT SIP_PING', flags = 4", func(*location.Binding) {}},
		{"path", "path = '<sip:a.example;lr>,<sip:b.example;lr>'", func(b *location.Binding) {
			b.Path = "<sip:a.example;lr>,<sip:b.example;lr>"
		}},
		{"id with all bits", "contact_id = 9223372036854775813", func(*location.Binding) {}}, // P-01
		{"domain in capitals", "domain = 'PJSIPSBC.vcloudpbx.COM'", func(*location.Binding) {}},
		{"not a date", "last_modified = DEFAULT(last_modified)", func(b *location.Binding) {
			b.Updated = time.Date(1900, 1, 1, 0, 0, 1, 0, time.UTC)
		}},
	}
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	exec(t, db, "ALTER TABLE location ADD n INT")
	s := open(t, db, mysqlloc.Config{OnBadRow: func(id uint64, err error) { t.Errorf("row %d: %v", id, err) }})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, db, "DELETE FROM location")
			exec(t, db, phoneRow)
			exec(t, db, "UPDATE location SET "+tt.set)
			want := phoneBinding()
			tt.want(&want)
			phone := aor(t, "1000", "pjsipsbc.vcloudpbx.com")
			if d := cmp.Diff([]location.Binding{want}, lookup(t, s, phone), equalTimes); d != "" {
				t.Error(d)
			}
			for e, err := range s.All(t.Context()) {
				if err != nil || e.AOR != phone {
					t.Errorf("All: %v, %v", e, err)
				}
			}
		})
	}
}

// A refresh of OpenSIPS's row is an update of that row. What the store has no
// value for stays, and so do columns that it does not know.
func TestStore_RefreshKeepsForeignValues(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	exec(t, db, phoneRow)
	exec(t, db, "UPDATE location SET flags = 4, site = 'there', sip_instance = NULL")
	s := open(t, db, mysqlloc.Config{BranchFlags: "OTHER"})
	b := phoneBinding()
	b.CSeq, b.Flow.Transport, b.Token, b.RegID, b.Registrar = 3, "tcp", "t1", 2, "sip:10.0.1.10:5060"
	b.Q, b.Methods, b.Expires = location.QUnspecified, 0, start.Add(2*time.Hour)
	put(t, s, aor(t, "1000", "pjsipsbc.vcloudpbx.com"), b)

	for name, want := range map[string]string{
		"contact_id":    "3617797875662073346",
		"received":      "sip:203.0.113.7:51234;transport=tcp",
		"socket":        "tcp:198.51.100.1:5060",
		"q":             "-1.00",
		"cseq":          "3",
		"methods":       "NULL",
		"expires":       "1773496800",
		"flags":         "4",
		"cflags":        "NAT",
		"attr":          "a=b",
		"site":          "there",
		"last_modified": "2026-03-14 12:00:00",
		"sip_instance":  "<urn:uuid:7cc7d6ee-1f24-4b0f-9d2c-000413aabbcc>",
		"kv_store":      `{"n":3,"sipward_reg_id":2,"sipward_registrar":"sip:10.0.1.10:5060","sipward_token":"t1","site":"hq"}`,
	} {
		if got := column(t, db, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if d := cmp.Diff([]location.Binding{b}, lookup(t, s, aor(t, "1000", "pjsipsbc.vcloudpbx.com")), equalTimes); d != "" {
		t.Error(d)
	}
}

// So it is when nothing but the times and the CSeq has changed, which is done
// without a transaction. Should another program write between the read and the
// update, then that is not lost.
func TestStore_PlainRefreshKeepsForeignValues(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	exec(t, db, phoneRow)
	now := start
	race := func() {}
	s := open(t, db, mysqlloc.Config{Now: func() time.Time { race(); return now }})
	b := phoneBinding()
	refresh := func(kv string) {
		t.Helper()
		b.CSeq++
		b.Expires = b.Expires.Add(time.Minute)
		put(t, s, aor(t, "1000", "pjsipsbc.vcloudpbx.com"), b)
		if got := column(t, db, "kv_store"); got != kv {
			t.Errorf("kv_store: got %s, want %s", got, kv)
		}
		if got := column(t, db, "contact_id"); got != "3617797875662073346" {
			t.Errorf("contact_id: got %s", got)
		}
	}
	refresh(`{"n":3,"site":"hq"}`)
	race = func() { // the store asks for the time when it has read the row
		race = func() {}
		exec(t, db, `UPDATE location SET kv_store = '{"n":4}'`)
	}
	refresh(`{"n":4}`)
	if d := cmp.Diff([]location.Binding{b}, lookup(t, s, aor(t, "1000", "pjsipsbc.vcloudpbx.com")), equalTimes); d != "" {
		t.Error(d)
	}
}

// OpenSIPS must be able to load what we write.
func TestStore_WritesWhatOpenSIPSReads(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, db, mysqlloc.Config{TimeZone: zone, BranchFlags: "NAT"})
	b := phoneBinding()
	b.Flow = location.Flow{
		Transport: "wss",
		Remote:    netip.MustParseAddrPort("[2001:db8::7]:49152"),
		Local:     netip.MustParseAddrPort("[2001:db8::1]:443"),
	}
	b.Instance, b.Q = "", 335
	phone := aor(t, "1000", "2001:db8::2")
	put(t, s, phone, b)
	for name, want := range map[string]string{
		"username":         "1000",
		"domain":           "[2001:db8::2]",
		"received":         "sip:[2001:db8::7]:49152;transport=wss",
		"socket":           "wss:[2001:db8::1]:443",
		"contact_id >> 46": fmt.Sprint(mysqlloc.AORHash("1000@[2001:db8::2]") & 0xffff),
		"q":                "0.34",
		"last_modified":    "2026-03-14 13:00:00",
		"cflags":           "NAT",
		"flags":            "0",
		"sip_instance":     "NULL",
		"path":             "NULL",
		"kv_store":         "NULL",
		"attr":             "NULL",
	} {
		if got := column(t, db, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	b.Q = 340
	if d := cmp.Diff([]location.Binding{b}, lookup(t, s, phone), equalTimes); d != "" {
		t.Error(d)
	}
}

// badRows cannot be read, each for a reason that the error names.
var badRows = map[string]string{ // by what is set in phoneRow
	"domain = NULL":             "domain",
	"domain = ''":               "domain",
	"domain = 'two words'":      "domain",
	"username = ''":             "user",
	"received = 'sip:a.b:5060'": "received",
	"received = '203.0.113'":    "received",
	"kv_store = '{\"a\":'":      "kv_store",
	"kv_store = '[1]'":          "kv_store",
	"contact = ''":              "contact",
}

// One bad row never stops a load (P-06), and is never a tenant's.
func TestStore_SkipsBadRows(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	reported := map[uint64]error{}
	s := open(t, db, mysqlloc.Config{OnBadRow: func(id uint64, err error) { reported[id] = err }})
	wants := map[uint64]string{}
	for set, want := range badRows {
		id := uint64(len(wants) + 100)
		exec(t, db, phoneRow)
		exec(t, db, "UPDATE location SET contact_id = ?, "+set+" WHERE contact_id = 3617797875662073346", id)
		wants[id] = want
	}
	good := aor(t, "bob", "a.example")
	put(t, s, good, binding("sip:bob@192.0.2.7"))
	put(t, s, aor(t, "eve", "a.example"), binding("sip:eve@192.0.2.8"))

	n := 0
	for _, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("All: got %d bindings, want 2", n)
	}
	for id, want := range wants {
		if err := reported[id]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("row %d: reported %v, want an error about %s", id, err, want)
		}
	}

	// The AOR that has some of them can be used, and a reset removes them.
	phone := aor(t, "1000", "pjsipsbc.vcloudpbx.com")
	put(t, s, phone, binding("sip:1000@192.0.2.9"))
	if n := len(lookup(t, s, phone)); n != 1 {
		t.Errorf("got %d bindings, want 1", n)
	}
	before := count(t, db)
	if err := s.Apply(t.Context(), phone, location.Change{Reset: true}); err != nil {
		t.Fatal(err)
	}
	if after := count(t, db); before-after != 6 {
		t.Errorf("the reset removed %d rows, want the binding and 5 bad ones", before-after)
	}
}

func count(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM location").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// P-73: an id is a number of a row, and nothing is read out of it.
func TestStore_IDsAreOpaque(t *testing.T) {
	db := create(t, mysqltest.DB(t))
	s := open(t, db, mysqlloc.Config{})
	bob, eve := aor(t, "bob", "a.example"), aor(t, "eve", "b.example")
	put(t, s, bob, binding("sip:bob@192.0.2.7"))
	exec(t, db, "UPDATE location SET contact_id = 9223372036854775813") // nobody's hash
	put(t, s, eve, binding("sip:eve@192.0.2.8"))
	again := binding("sip:bob@192.0.2.7")
	again.CSeq = 2
	put(t, s, bob, again, binding("sip:other@192.0.2.9"))
	if n := count(t, db); n != 3 {
		t.Errorf("got %d rows, want 3", n)
	}
	exec(t, db, "DELETE FROM location WHERE contact_id = 9223372036854775813")
	if n := len(lookup(t, s, bob)); n != 1 {
		t.Errorf("bob has %d bindings, want 1", n)
	}
	if n := len(lookup(t, s, eve)); n != 1 {
		t.Errorf("eve has %d bindings, want 1", n)
	}
}

// A table in an old character set works for all that it can hold, and refuses
// the rest.
func TestStore_Latin1(t *testing.T) {
	db := mysqltest.DB(t)
	createOpenSIPS(t, db)
	exec(t, db, "ALTER TABLE location CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
	s := open(t, db, mysqlloc.Config{})
	bob := aor(t, "bön", "a.example")
	b := binding("sip:bob@192.0.2.7")
	b.UserAgent = "Bürotelefon"
	put(t, s, bob, b)
	if d := cmp.Diff([]location.Binding{b}, lookup(t, s, bob), equalTimes); d != "" {
		t.Error(d)
	}
	b.UserAgent, b.CSeq = "\u260e", 2
	if err := s.Apply(t.Context(), bob, location.Change{Put: []location.Binding{b}}); !errors.Is(err, mysqlloc.ErrValue) {
		t.Errorf("got error %v, want ErrValue", err)
	}
	if bs, err := s.Lookup(t.Context(), aor(t, "\u260e", "a.example")); err != nil || len(bs) > 0 {
		t.Errorf("a user that cannot be in the table: got %v, %v", bs, err)
	}
	fill(t, db, 2000)
	for _, query := range mysqlloc.Queries() {
		wantIndex(t, db, query)
	}
}
