package acct_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/acct"
)

// memory is a sink that keeps what it gets, each ID once.
type memory struct {
	mu      sync.Mutex
	records []acct.Record
	seen    map[string]bool
	again   int                         // records that came more than once
	err     func(r []acct.Record) error // fails a write, before it
}

var errAway = errors.New("database is away")

func (m *memory) Write(_ context.Context, records []acct.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		if err := m.err(records); err != nil {
			return err
		}
	}
	for _, r := range records {
		if m.seen[r.ID] {
			m.again++
			continue
		}
		if m.seen == nil {
			m.seen = map[string]bool{}
		}
		m.seen[r.ID] = true
		m.records = append(m.records, r)
	}
	return nil
}

// fail has each write fail with err from now on; nil lets them succeed.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = func([]acct.Record) error { return err }
}

func (m *memory) all() []acct.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// open returns a recorder with one sink if cfg has none.
func open(t testing.TB, cfg acct.Config) (*acct.Recorder, *memory) {
	t.Helper()
	m := new(memory)
	if cfg.Sinks == nil {
		cfg.Sinks = map[string]acct.Sink{"memory": m}
	}
	r, err := acct.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// start runs r until stop is called, which closes it too.
func start(t testing.TB, r *acct.Recorder) (stop func()) {
	t.Helper()
	halt := run(t, r)
	return func() {
		t.Helper()
		halt()
		shut(t, r)
	}
}

// run runs r until halt is called.
func run(t testing.TB, r *acct.Recorder) (halt func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// shut closes r, which must succeed.
func shut(t testing.TB, r *acct.Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

var (
	phone = netip.MustParseAddrPort("203.0.113.5:40123")
	pbx1  = netip.MustParseAddrPort("10.0.1.10:5060")
	pbx2  = netip.MustParseAddrPort("10.0.1.11:5060")
)

// invite returns the INVITE of a call that its Call-ID tells from others.
func invite(callID string) acct.Invite {
	return acct.Invite{
		CallID: callID, FromTag: "caller", FromURI: "sip:201@a.example", ToURI: "sip:9@a.example",
		UserAgent: "Snom", SetID: 10, Domain: "a.example", Direction: acct.FromPhone, Source: phone,
	}
}

func answer(tag string) acct.Answer {
	return acct.Answer{ToTag: tag, Code: 200, Reason: "OK", UserAgent: "Asterisk", Destination: pbx1}
}

// forth and back are the dialog as caller and callee name it.
func forth(callID, tag string) acct.Dialog {
	return acct.Dialog{CallID: callID, FromTag: "caller", ToTag: tag}
}
func back(callID, tag string) acct.Dialog {
	return acct.Dialog{CallID: callID, FromTag: tag, ToTag: "caller"}
}

// up has a call answered, with its ACK.
func up(r *acct.Recorder, callID string) {
	r.Begin(invite(callID)).Answer(answer("callee"))
	r.Ack(forth(callID, "callee"))
}

// copyDir returns a copy of a journal as it is: what a killed program leaves.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// segments returns the names of the segments in a directory.
func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.calls"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// outline returns of each record the Call-ID, the cause and the end.
func outline(records []acct.Record) string {
	var all []string
	for _, r := range records {
		text := r.CallID + " " + r.Cause.String()
		if r.End != acct.Unanswered {
			text += " " + r.End.String()
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
