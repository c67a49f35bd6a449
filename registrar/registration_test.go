package registrar_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

var flow = location.Flow{
	Transport: "udp",
	Remote:    netip.MustParseAddrPort("198.51.100.7:49152"),
	Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
}

func newRegistrar(t testing.TB, cfg registrar.Config) *registrar.Registrar {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = location.NewMemory(location.MemoryConfig{Now: func() time.Time { return start }})
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start }
	}
	r, err := registrar.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lookup(t testing.TB, s location.Store, aor string) []location.Binding {
	t.Helper()
	a, err := location.ParseAOR(aor)
	if err != nil {
		t.Fatal(err)
	}
	bs, err := s.Lookup(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

// equateAddrs compares netip values, which go-cmp cannot look into.
func equateAddrs() cmp.Option {
	return cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
}

func TestNew_ReportsAllFaults(t *testing.T) {
	_, err := registrar.New(registrar.Config{DefaultExpires: -1, MaxExpires: -1, MaxContacts: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Store", "DefaultExpires", "MaxExpires", "MaxContacts"} {
		if !strings.Contains(err.Error(), "Config."+field+" ") {
			t.Errorf("error does not name %s: %v", field, err)
		}
	}
}

// TestBegin_KeepsWhatThePhoneSaid proves that all of a binding but its life
// comes from the request. P-73.
func TestBegin_KeepsWhatThePhoneSaid(t *testing.T) {
	text := register(
		"Contact: "+snom+`;q=0.75;expires=60;reg-id=3;`+instance+`;methods="INVITE, BYE"`,
		"Contact: "+linphone+";q=7;reg-id=3",
		"Path: <sip:edge2.test;lr>, <sip:edge1.test;lr>",
		"Path: <sip:edge0.test;lr>",
		"Expires: 300",
	)
	common := location.Binding{
		Flow: flow, Path: "<sip:edge2.test;lr>, <sip:edge1.test;lr>, <sip:edge0.test;lr>",
		CallID: "72236446d3864c84", CSeq: 42444, Updated: start, UserAgent: "baresip v1.0.0 (x86_64/linux)",
	}
	first, second := common, common
	first.Contact, first.Q, first.Expires = "sip:401@192.168.0.66:2048;line=x8kmhe6a", 750, start.Add(time.Minute)
	first.Instance, first.RegID = "<urn:uuid:20a220ed-91cb-e3a8-aa10-e850c3079534>", 3
	first.Methods = location.ParseAllow([]string{"INVITE,BYE"})
	second.Contact, second.Q, second.Expires = "sip:403@127.0.2.13;transport=udp", location.QUnspecified, start.Add(5*time.Minute)
	second.Methods = location.ParseAllow([]string{"INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,SUBSCRIBE,INFO,MESSAGE,REFER"})
	for parser, p := range parsers() {
		t.Run(parser, func(t *testing.T) {
			g, err := newRegistrar(t, registrar.Config{}).Begin(parse[*sip.Request](t, p, text), flow)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.AOR().String(); got != "402@tenant-a.test" {
				t.Errorf("AOR = %s", got)
			}
			if g.Star || g.Query || g.Removed != nil {
				t.Errorf("Star %t, Query %t, Removed %v", g.Star, g.Query, g.Removed)
			}
			if diff := cmp.Diff(g.Asked, []location.Binding{first, second}, equateAddrs()); diff != "" {
				t.Errorf("Asked: -got +want:\n%s", diff)
			}
		})
	}
}

func TestBegin_Shapes(t *testing.T) {
	tests := []struct {
		name           string
		lines          []string
		asked, removed int
		star, query    bool
	}{
		{"query", nil, 0, 0, false, true},
		{"star", []string{"Contact: *", "Expires: 0"}, 0, 0, true, false},
		{"bind", []string{"Contact: " + baresip}, 1, 0, false, false},
		{"remove", []string{"Contact: " + baresip + ";expires=0"}, 0, 1, false, false},
		{"both", []string{"Contact: " + baresip + ";expires=0," + linphone}, 1, 1, false, false},
		{"tel URI", []string{"Contact: <tel:+15551234>"}, 1, 0, false, false},
		{"display name in ISO 8859-1", []string{"Contact: \"B\xfcro\" " + baresip}, 1, 0, false, false},
	}
	for parser, p := range parsers() {
		for _, tt := range tests {
			t.Run(parser+"/"+tt.name, func(t *testing.T) {
				g, err := newRegistrar(t, registrar.Config{}).Begin(parse[*sip.Request](t, p, register(tt.lines...)), flow)
				if err != nil {
					t.Fatal(err)
				}
				if len(g.Asked) != tt.asked || len(g.Removed) != tt.removed || g.Star != tt.star || g.Query != tt.query {
					t.Errorf("asked %d, removed %d, star %t, query %t", len(g.Asked), len(g.Removed), g.Star, g.Query)
				}
			})
		}
	}
}

// without returns text without the header field of that name.
func without(text, name string) string {
	var kept []string
	for line := range strings.SplitSeq(text, "\r\n") {
		if !strings.HasPrefix(line, name+":") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\r\n")
}

// TestBegin_Malformed covers RFC 3261 section 10.3 step 6 and what smuggles a
// second meaning past one of two readers. P-02.
func TestBegin_Malformed(t *testing.T) {
	good := register("Contact: " + baresip)
	tests := []struct{ name, text string }{
		{"star without Expires", register("Contact: *")},
		{"star with other Expires", register("Contact: *", "Expires: 60")},
		{"star with malformed Expires", register("Contact: *", "Expires: x")},
		{"star with a contact", register("Contact: *", "Contact: "+baresip, "Expires: 0")},
		{"contact without host", register("Contact: <sip:402@>")},
		{"contact in ISO 8859-1", register("Contact: <sip:B\xfcro@phone.test>")},
		{"To in ISO 8859-1", strings.Replace(good, "To: <sip:402@", "To: <sip:B\xfcro@", 1)},
		{"no To", without(good, "To")},
		{"To without user", strings.Replace(good, "To: <sip:402@", "To: <sip:", 1)},
		{"To of another scheme", strings.Replace(good, "To: <sip:402@tenant-a.test>", "To: <tel:402>", 1)},
		{"no Call-ID", without(good, "Call-ID")},
		{"no CSeq", without(good, "CSeq")},
		{"CSeq of another method", strings.Replace(good, "42444 REGISTER", "42444 INVITE", 1)},
		{"two To", register("Contact: "+baresip, "t: <sip:403@tenant-a.test>")},
		{"two Call-ID", register("Contact: "+baresip, "i: other")},
		{"two Expires", register("Contact: "+baresip, "Expires: 60", "Expires: 0")},
		{"another method", strings.Replace(good, "REGISTER sip", "OPTIONS sip", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newRegistrar(t, registrar.Config{}).Begin(parse[*sip.Request](t, reduced(), tt.text), flow)
			if !errors.Is(err, registrar.ErrMalformed) {
				t.Errorf("err = %v, want ErrMalformed", err)
			}
		})
	}
}

func TestBegin_DisplayNameOfTo(t *testing.T) {
	for _, to := range []string{
		"B\xfcro <sip:402@tenant-a.test>", `"<sip:403@tenant-a.test>" <sip:402@tenant-a.test>`, "sip:402@TENANT-A.test:5060;x=1",
	} {
		text := strings.Replace(register(), "To: <sip:402@tenant-a.test>", "To: "+to, 1)
		g, err := newRegistrar(t, registrar.Config{}).Begin(parse[*sip.Request](t, reduced(), text), flow)
		if err != nil {
			t.Errorf("%q: %v", to, err)
		} else if got := g.AOR().String(); got != "402@tenant-a.test" {
			t.Errorf("%q: AOR = %s", to, got)
		}
	}
}

func TestBegin_CSeq(t *testing.T) {
	raw := sip.NewParser(sip.WithHeadersParsers(map[string]sip.HeaderParser{"via": sip.DefaultHeadersParser()["via"]}))
	tests := []struct {
		cseq string
		ok   bool
	}{
		{"1 REGISTER", true},
		{"1 \t REGISTER", true},
		{"1\tREGISTER", true},
		{"2147483647 REGISTER", true},
		{"2147483648 REGISTER", false},
		{"-1 REGISTER", false},
		{"x REGISTER", false},
		{"1 register", false},
		{"1", false},
		{"1 REGISTER x", false},
	}
	for _, tt := range tests {
		t.Run(tt.cseq, func(t *testing.T) {
			text := strings.Replace(register("Contact: "+baresip), "42444 REGISTER", tt.cseq, 1)
			_, err := newRegistrar(t, registrar.Config{}).Begin(parse[*sip.Request](t, raw, text), flow)
			if (err == nil) != tt.ok {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestBegin_OwnAOR(t *testing.T) {
	t.Run("value", func(t *testing.T) {
		r := newRegistrar(t, registrar.Config{AOR: func(req *sip.Request) (location.AOR, error) {
			return location.MakeAOR("x", req.Recipient.Host)
		}})
		g, err := r.Begin(parse[*sip.Request](t, reduced(), register("Contact: "+baresip)), flow)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.AOR().String(); got != "x@tenant-a.test" {
			t.Errorf("AOR = %s", got)
		}
	})
	t.Run("error", func(t *testing.T) {
		mine := errors.New("no such tenant")
		r := newRegistrar(t, registrar.Config{AOR: func(*sip.Request) (location.AOR, error) { return location.AOR{}, mine }})
		_, err := r.Begin(parse[*sip.Request](t, reduced(), register("Contact: "+baresip)), flow)
		if !errors.Is(err, mine) || errors.Is(err, registrar.ErrMalformed) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestChange(t *testing.T) {
	r := newRegistrar(t, registrar.Config{MaxExpires: 10 * time.Minute, MaxContacts: 3})
	g, err := r.Begin(parse[*sip.Request](t, reduced(), register("Contact: "+baresip)), flow)
	if err != nil {
		t.Fatal(err)
	}
	g.Asked[0].Token, g.Asked[0].Registrar = "402-7f3a", "sip:10.0.1.10"

	got, err := g.Change(parse[*sip.Response](t, reduced(), answer(200, "Contact: "+baresip+";expires=3600")))
	if err != nil {
		t.Fatal(err)
	}
	want := g.Asked[0]
	want.Expires = start.Add(10 * time.Minute)
	diff := cmp.Diff(got, location.Change{CallID: "72236446d3864c84", CSeq: 42444, Put: []location.Binding{want}, Keep: 3}, equateAddrs())
	if diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}

	if _, err := g.Change(parse[*sip.Response](t, reduced(), answer(401))); !errors.Is(err, registrar.ErrNotGranted) {
		t.Errorf("err = %v, want ErrNotGranted", err)
	}
}

// TestCommit goes through the life of a registration. P-02 P-03.
func TestCommit(t *testing.T) {
	now := start
	store := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return now }})
	r := newRegistrar(t, registrar.Config{Store: store, Now: func() time.Time { return now }})
	commit := func(cseq string, code int, req, res []string) {
		t.Helper()
		text := strings.Replace(register(req...), "42444", cseq, 1)
		g, err := r.Begin(parse[*sip.Request](t, reduced(), text), flow)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Commit(t.Context(), parse[*sip.Response](t, reduced(), answer(code, res...))); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		got := summary(location.Change{Put: lookup(t, store, "402@tenant-a.test")}, now)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
	}

	phone := []string{"Contact: " + baresip + ";expires=60"}
	commit("1", 401, phone, nil)
	expect()
	commit("2", 200, phone, phone)
	expect("put sip:402-0x55777cf2d400@127.0.2.12:5060 60")
	now = now.Add(30 * time.Second)
	for i, code := range []int{100, 401, 403, 404, 407, 408, 423, 480, 500, 503, 603} {
		commit("3", code, phone, phone)
		if i == 0 {
			continue
		}
		expect("put sip:402-0x55777cf2d400@127.0.2.12:5060 30")
	}
	commit("4", 200, phone, phone)
	expect("put sip:402-0x55777cf2d400@127.0.2.12:5060 60")
	commit("5", 200, []string{"Contact: " + baresip + ";expires=0"}, nil)
	expect()
	commit("6", 200, phone, phone)
	commit("7", 200, []string{"Contact: *", "Expires: 0"}, nil)
	expect()
}

// TestCommit_RepeatAndOvertaken proves that a retransmitted 200 is harmless,
// and that one that was overtaken changes nothing and may pass.
func TestCommit_RepeatAndOvertaken(t *testing.T) {
	var commits []registrar.Commit
	store := location.NewMemory(location.MemoryConfig{Now: func() time.Time { return start }})
	r := newRegistrar(t, registrar.Config{Store: store, Hooks: registrar.Hooks{
		Committed: func(c registrar.Commit) { commits = append(commits, c) },
	}})
	begin := func(cseq, contact string) *registrar.Registration {
		text := strings.Replace(register("Contact: "+contact), "42444", cseq, 1)
		g, err := r.Begin(parse[*sip.Request](t, reduced(), text), flow)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	old, newer := begin("1", baresip+";q=0.1"), begin("2", baresip+";q=0.2")
	res := parse[*sip.Response](t, reduced(), answer(200, "Contact: "+baresip+";expires=60"))
	for i, g := range []*registrar.Registration{newer, newer, old} {
		if err := g.Commit(t.Context(), res); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
	}
	bs := lookup(t, store, "402@tenant-a.test")
	if len(bs) != 1 || bs[0].Q != 200 || bs[0].CSeq != 2 {
		t.Errorf("stored %+v", bs)
	}
	if len(commits) != 3 || commits[0].Err != nil || commits[1].Err != nil || !errors.Is(commits[2].Err, location.ErrStale) {
		t.Errorf("hooks %+v", commits)
	}
}

// failing is a store that is down.
type failing struct{ err error }

func (f failing) Lookup(context.Context, location.AOR) ([]location.Binding, error) { return nil, f.err }

func (f failing) Apply(ctx context.Context, _ location.AOR, _ location.Change) error {
	if f.err == nil { // hang
		<-ctx.Done()
		return ctx.Err()
	}
	return f.err
}

func TestCommit_StoreFails(t *testing.T) {
	down := errors.New("database is down")
	tests := []struct {
		name     string
		store    failing
		failOpen bool
		want     error
	}{
		{"error", failing{down}, false, down},
		{"error, fail open", failing{down}, true, nil},
		{"hangs", failing{}, false, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told error
			var log strings.Builder
			r := newRegistrar(t, registrar.Config{
				Store: tt.store, FailOpen: tt.failOpen, CommitTimeout: time.Millisecond,
				Hooks:  registrar.Hooks{Committed: func(c registrar.Commit) { told = c.Err }},
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			g, err := r.Begin(parse[*sip.Request](t, reduced(), register("Contact: "+baresip)), flow)
			if err != nil {
				t.Fatal(err)
			}
			err = g.Commit(t.Context(), parse[*sip.Response](t, reduced(), answer(200, "Contact: "+baresip)))
			if !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if told == nil {
				t.Error("hook was not told")
			}
			if logged := log.Len() > 0; logged != tt.failOpen {
				t.Errorf("logged %t: only what is not returned may be", logged)
			}
		})
	}
}

func TestCommit_Hooks(t *testing.T) {
	var commits []registrar.Commit
	var codes []int
	r := newRegistrar(t, registrar.Config{Hooks: registrar.Hooks{
		Committed: func(c registrar.Commit) { commits = append(commits, c) },
		Rejected:  func(_ location.AOR, code int) { codes = append(codes, code) },
	}})
	for _, text := range []string{
		answer(100), answer(401), answer(403), answer(200, "Contact: "+baresip), answer(200, "Contact: <sip:x@10.0.0.1>"),
	} {
		g, err := r.Begin(parse[*sip.Request](t, reduced(), register("Contact: "+baresip)), flow)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Commit(t.Context(), parse[*sip.Response](t, reduced(), text)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(codes, []int{401, 403}); diff != "" {
		t.Errorf("Rejected: -got +want:\n%s", diff)
	}
	if len(commits) != 2 || commits[0].Guessed != 0 || commits[1].Guessed != 1 {
		t.Errorf("Committed: %+v", commits)
	}

	g, err := r.Begin(parse[*sip.Request](t, reduced(), register()), flow)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Commit(t.Context(), parse[*sip.Response](t, reduced(), answer(200))); err != nil {
		t.Fatal(err)
	}
	if len(commits) != 2 {
		t.Error("Committed was told of a query")
	}
}
