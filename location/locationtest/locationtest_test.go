package locationtest_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
)

// backend is a database as small as can be: it has what a store would lose.
type backend struct {
	mu     sync.Mutex
	rows   map[location.AOR][]location.Binding
	broken bool
}

// mapStore is a right store on a backend unless it has a fault.
type mapStore struct {
	db    *backend
	now   func() time.Time
	fault string
}

var (
	errBroken    = errors.New("backend is broken")
	errDuplicate = errors.New("two changes of one AOR")
)

func (s *mapStore) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	switch {
	case ctx.Err() != nil && s.fault != "ignores ctx in Lookup":
		return nil, ctx.Err()
	case s.db.broken && s.fault == "a failure looks like no bindings":
		return nil, nil
	case s.db.broken:
		return nil, errBroken
	}
	stored := s.db.rows[s.key(aor)]
	if s.fault == "hands out its own memory" && len(stored) > 1 {
		slices.SortStableFunc(stored, location.Binding.Compare)
		return stored, nil
	}
	now := s.now()
	if s.fault == "a second too long" {
		now = now.Add(-time.Second)
	}
	var bs []location.Binding
	if s.fault == "empty but not nil" {
		bs = []location.Binding{}
	}
	for _, b := range stored {
		if now.Before(b.Expires) || s.fault == "never expires" {
			bs = append(bs, b)
		}
	}
	switch s.fault {
	case "no order":
	case "unspecified q is 1":
		slices.SortStableFunc(bs, func(a, b location.Binding) int { return cmp.Compare(uint16(b.Q), uint16(a.Q)) })
	case "oldest first":
		slices.SortStableFunc(bs, func(a, b location.Binding) int {
			return cmp.Or(cmp.Compare(b.Q, a.Q), a.Updated.Compare(b.Updated))
		})
	default:
		slices.SortStableFunc(bs, location.Binding.Compare)
	}
	return bs, nil
}

func (s *mapStore) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	switch {
	case ctx.Err() != nil && s.fault != "ignores ctx in Apply":
		return ctx.Err()
	case s.db.broken:
		return errBroken
	case !aor.IsValid() && s.fault != "takes the zero AOR":
		return errors.New("zero AOR")
	}
	key := s.key(aor)
	stored := s.db.rows[key]
	switch s.fault {
	case "keeps the caller's memory":
		if c.Reset = true; len(c.Put) > 1 {
			s.db.rows[key] = c.Put
			return nil
		}
	case "resets all of the domain":
		if c.Reset {
			clear(s.db.rows)
		}
	case "drops parts of a stale change":
		if c.Reset {
			s.db.rows[key] = nil
		}
	}
	s.alter(&c)
	effect, err := c.Resolve(stored, s.now())
	if err != nil {
		return err
	}
	after := effect.Apply(stored)
	if s.fault == "updates in place" {
		for _, w := range effect.Put {
			if w.Replaces >= 0 {
				i := slices.IndexFunc(after, func(b location.Binding) bool { return b.Contact == w.Binding.Contact })
				after[i].UserAgent = stored[w.Replaces].UserAgent
			}
		}
	}
	s.db.rows[key] = after
	return nil
}

// ApplyAll has faults of its own, and those of Apply.
func (s *mapStore) ApplyAll(ctx context.Context, changes []location.AORChange) []error {
	errs := make([]error, len(changes))
	seen := map[location.AOR]bool{}
	for i, c := range changes {
		switch {
		case s.fault == "ApplyAll ignores ctx":
			ctx = context.Background()
		case s.fault == "ApplyAll forgets the last one" && i > 0 && i == len(changes)-1,
			s.fault == "ApplyAll hides failures" && s.db.broken:
			continue
		case s.fault == "ApplyAll has no Reset":
			c.Change.Reset = false
		case s.fault == "ApplyAll has no Keep":
			c.Change.Keep = 0
		}
		if errs[i] = errDuplicate; !seen[c.AOR] || s.fault == "ApplyAll takes duplicates" {
			errs[i] = s.Apply(ctx, c.AOR, c.Change)
		}
		if errs[i] != nil && s.fault == "ApplyAll ends with an error" {
			break
		}
		seen[c.AOR] = true
	}
	return errs
}

// alter makes another Change of c for those faults that this is enough for.
func (s *mapStore) alter(c *location.Change) {
	c.Put = slices.Clone(c.Put)
	for i := range c.Put {
		p := &c.Put[i]
		switch s.fault {
		case "cuts texts":
			p.Contact, p.UserAgent = cut(p.Contact), cut(p.UserAgent)
		case "repeats are stale":
			p.CSeq--
		case "no CSeq check":
			p.CSeq += 1 << 20
		case "no user agent":
			p.UserAgent = ""
		case "loses the instance":
			p.Instance = ""
		case "loses reg-id":
			p.RegID = 0
		case "normalizes the Contact":
			p.Contact = strings.ToLower(p.Contact)
		}
	}
	switch s.fault {
	case "Keep is off by one":
		c.Keep = max(c.Keep-1, 0)
	case "no Keep":
		c.Keep = 0
	case "no Remove":
		c.Remove = nil
	case "no Reset":
		c.Reset = false
	case "Remove is never stale":
		c.CallID = "never used"
	}
}

func cut(s string) string { return s[:min(len(s), 255)] }

// key is the AOR that the store really keeps aor's bindings for.
func (s *mapStore) key(aor location.AOR) location.AOR {
	user, domain := aor.User(), aor.Domain()
	switch s.fault {
	case "no domain":
		domain = "any"
	case "users without case":
		user = strings.ToLower(user)
	case "users without blanks":
		user = strings.TrimRight(user, " ") + "."
	case "users are patterns":
		user = strings.ReplaceAll(user, "_", "0")
	default:
		return aor
	}
	a, err := location.MakeAOR(user, domain)
	if err != nil {
		panic(err)
	}
	return a
}

func harness(fault string) locationtest.Harness {
	return locationtest.Harness{
		New: func(_ testing.TB, now func() time.Time) location.Store {
			return &mapStore{&backend{rows: map[location.AOR][]location.Binding{}}, now, fault}
		},
		Reopen: func(_ testing.TB, s location.Store) location.Store {
			m := s.(*mapStore)
			if fault == "forgets" {
				return &mapStore{&backend{rows: map[location.AOR][]location.Binding{}}, m.now, fault}
			}
			return &mapStore{m.db, m.now, fault}
		},
		Break: func(_ testing.TB, s location.Store) func() {
			set := func(broken bool) {
				db := s.(*mapStore).db
				db.mu.Lock()
				defer db.mu.Unlock()
				db.broken = broken
			}
			set(true)
			return func() { set(false) }
		},
	}
}

// A store without optional interfaces but Batcher passes.
func TestRun(t *testing.T) { locationtest.Run(t, harness("")) }

// A store behind a wrapper passes, with its optional interfaces.
func TestRun_Wrapped(t *testing.T) {
	locationtest.Run(t, locationtest.Harness{
		New: func(_ testing.TB, now func() time.Time) location.Store {
			m := location.NewMemory(location.MemoryConfig{Now: now})
			return location.Observe(m, func(context.Context, string, time.Duration, error) {})
		},
	})
}

// faultVar tells a child of TestRun_FindsFaults which fault to have.
const faultVar = "LOCATIONTEST_FAULT"

func TestFaultyStore(t *testing.T) {
	if fault := os.Getenv(faultVar); fault != "" {
		locationtest.Run(t, harness(fault))
	}
}

// TestRun_FindsFaults runs the suite on stores with one fault each, in child
// processes, because there the suite must fail.
func TestRun_FindsFaults(t *testing.T) {
	tests := []struct{ fault, rule string }{
		{"ignores ctx in Lookup", "Context"},
		{"ignores ctx in Apply", "Context"},
		{"a failure looks like no bindings", "Break"},
		{"forgets", "Reopen"},
		{"hands out its own memory", "Ownership"},
		{"keeps the caller's memory", "Ownership"},
		{"a second too long", "Expiry"},
		{"never expires", "Expiry"},
		{"empty but not nil", "Empty"},
		{"no order", "Order"},
		{"unspecified q is 1", "Order"},
		{"oldest first", "Order"},
		{"takes the zero AOR", "ZeroAOR"},
		{"resets all of the domain", "Domains"},
		{"drops parts of a stale change", "AllOrNothing"},
		{"updates in place", "Refresh"},
		{"cuts texts", "HostileText"},
		{"repeats are stale", "Repeat"},
		{"no CSeq check", "StalePut"},
		{"no user agent", "SameSocket"},
		{"loses the instance", "SameInstance"},
		{"loses reg-id", "NotSame"},
		{"loses reg-id", "Fields"},
		{"normalizes the Contact", "EquivalentContact"},
		{"Keep is off by one", "Keep"},
		{"no Keep", "KeepTogether"},
		{"no Remove", "Remove"},
		{"no Remove", "Model"},
		{"no Reset", "Reset"},
		{"Remove is never stale", "StaleRemove"},
		{"no domain", "Domains"},
		{"users without case", "Users"},
		{"users without blanks", "Users"},
		{"users are patterns", "Users"},
		{"ApplyAll forgets the last one", "Batch"},
		{"ApplyAll has no Reset", "Batch"},
		{"ApplyAll has no Keep", "BatchModel"},
		{"ApplyAll takes duplicates", "BatchDuplicate"},
		{"ApplyAll ignores ctx", "BatchContext"},
		{"ApplyAll ends with an error", "BatchStale"},
		{"ApplyAll hides failures", "BatchBreak"},
		{"no CSeq check", "BatchStale"},
		{"cuts texts", "BatchHostileText"},
		{"users without case", "BatchUsers"},
		{"drops parts of a stale change", "BatchModel"},
	}
	for _, tt := range tests {
		t.Run(tt.fault+"/"+tt.rule, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultyStore$/^"+tt.rule+"$")
			cmd.Env = append(os.Environ(), faultVar+"="+tt.fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFaultyStore/"+tt.rule) || !strings.Contains(string(out), "the rule: ") {
				t.Errorf("rule %s did not find it: error %v, output:\n%s", tt.rule, err, out)
			}
		})
	}
}
