package location_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/sipward/sipward/location"
)

// PlainStore is a Store of one's own. It leaves all thinking to
// [location.Change.Resolve] and [location.Binding.Compare], and passes
// locationtest.Run.
type PlainStore struct {
	mu   sync.Mutex
	data map[location.AOR][]location.Binding
}

func (s *PlainStore) Lookup(ctx context.Context, aor location.AOR) ([]location.Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []location.Binding
	for _, b := range s.data[aor] {
		if time.Now().Before(b.Expires) {
			live = append(live, b)
		}
	}
	slices.SortStableFunc(live, location.Binding.Compare)
	return live, nil
}

func (s *PlainStore) Apply(ctx context.Context, aor location.AOR, c location.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !aor.IsValid() {
		return errors.New("plain store: zero AOR")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	effect, err := c.Resolve(s.data[aor], time.Now())
	if err != nil {
		return err
	}
	s.data[aor] = effect.Apply(s.data[aor])
	return nil
}

func Example_ownStore() {
	var store location.Store = &PlainStore{data: map[location.AOR][]location.Binding{}}

	bob, err := location.MakeAOR("bob", "a.example")
	if err != nil {
		log.Fatal(err)
	}
	put := func(contact string, cseq uint32) {
		err := store.Apply(context.Background(), bob, location.Change{Put: []location.Binding{{
			Contact: contact, CallID: "x", CSeq: cseq, Expires: time.Now().Add(time.Hour), Updated: time.Now(),
		}}})
		fmt.Println(err)
	}
	put("sip:bob@10.1.2.3", 7)
	put("sip:bob@10.1.2.3", 6)

	bs, err := store.Lookup(context.Background(), bob)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(bs), "binding with CSeq", bs[0].CSeq)
	// Output:
	// <nil>
	// location: stale change: stored CSeq is 7
	// 1 binding with CSeq 7
}
