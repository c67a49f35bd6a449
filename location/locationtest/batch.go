package locationtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
)

// batchRules pass if the store is no Batcher.
var batchRules = []rule{
	{"Batch", "ApplyAll does for each AOR what Apply does, and nothing to others.", checkBatch},
	{"BatchStale", "A stale change fails as a whole, and alone: the others of its batch are made.", checkBatchStale},
	{"BatchDuplicate", "Of several changes of one AOR the first is made and the others fail, as does one of the zero AOR.", checkBatchDuplicate},
	{"BatchUsers", "ApplyAll takes no AOR for another one.", checkBatchUsers},
	{"BatchHostileText", "Any text is kept whole, as it came, or its change alone is refused.", checkBatchHostileText},
	{"BatchContext", "ApplyAll returns ctx's error for each change once ctx is done, and has then made none.", checkBatchContext},
	{"BatchBreak", "If the backend fails then each change has an error.", checkBatchBreak},
	{"BatchTogether", "Batches with the same AORs come one after the other for each of them, as other changes do.", checkBatchTogether},
	{"BatchModel", "After any history of batches the store has what a plain map has.", checkBatchModel},
}

// batchAORs are more than a store may do at a time.
const batchAORs = 300

// batcher returns the store as one. It is not looked for behind a wrapper,
// which might have to see each change.
func (f *fixture) batcher() (location.Batcher, bool) {
	b, ok := f.store.(location.Batcher)
	return b, ok
}

// applyAll applies changes. None must fail but for those with their index in
// but.
func (f *fixture) applyAll(changes []location.AORChange, but ...int) []error {
	f.Helper()
	b, _ := f.batcher()
	errs := b.ApplyAll(f.Context(), changes)
	if len(errs) != len(changes) {
		f.Fatalf("got %d errors for %d changes", len(errs), len(changes))
	}
	for i, err := range errs {
		if failed := err != nil; failed != slices.Contains(but, i) {
			f.Fatalf("change %d, of %q: got error %v", i, changes[i].AOR, err)
		}
	}
	return errs
}

// putChange is that of a REGISTER with bs.
func putChange(aor location.AOR, bs ...location.Binding) location.AORChange {
	return location.AORChange{AOR: aor, Change: location.Change{CallID: bs[0].CallID, CSeq: bs[0].CSeq, Put: bs}}
}

// populate gives n AORs a binding each, in one batch.
func (f *fixture) populate(n int) (aors []location.AOR, bs []location.Binding) {
	f.Helper()
	var changes []location.AORChange
	for i := range n {
		aor, b := f.aor(fmt.Sprint(n-i), fmt.Sprintf("t%d.example", i%7)), f.device()
		b.CSeq = 10
		aors, bs = append(aors, aor), append(bs, b)
		changes = append(changes, putChange(aor, b))
	}
	f.applyAll(changes)
	return aors, bs
}

func checkBatch(f *fixture) {
	if _, ok := f.batcher(); !ok {
		return
	}
	other, kept := f.aor("other", "t1.example"), f.device()
	f.put(other, &kept)
	aors, bs := f.populate(batchAORs)
	f.clock.Advance(time.Second)
	var changes []location.AORChange
	want := make([][]location.Binding, len(aors))
	for i, aor := range aors {
		next, added := f.again(bs[i]), f.device()
		added.Q = 500 // goes first
		change := putChange(aor, next)
		switch i % 5 {
		case 0:
			want[i] = []location.Binding{next}
		case 1:
			change = putChange(aor, added)
			want[i] = []location.Binding{added, bs[i]}
		case 2:
			change = putChange(aor, added, next)
			want[i] = []location.Binding{added, next}
		case 3:
			change = location.AORChange{AOR: aor, Change: location.Change{CallID: "x", Remove: bs[i : i+1]}}
		case 4:
			change.Change.Reset, change.Change.Put = true, []location.Binding{added}
			want[i] = []location.Binding{added}
		}
		changes = append(changes, change)
	}
	f.applyAll(changes)
	for i, aor := range aors {
		f.want(aor, want[i]...)
	}
	f.want(other, kept)
	f.applyAll(nil)
}

func checkBatchStale(f *fixture) {
	if _, ok := f.batcher(); !ok {
		return
	}
	const stale = 77
	aors, bs := f.populate(batchAORs)
	var changes []location.AORChange
	for i := range aors {
		next := f.again(bs[i])
		changes = append(changes, putChange(aors[i], next))
		if i != stale {
			bs[i] = next
		}
	}
	late := bs[stale]
	late.CSeq--
	changes[stale] = putChange(aors[stale], f.device(), late)
	if errs := f.applyAll(changes, stale); !errors.Is(errs[stale], location.ErrStale) {
		f.Errorf("got error %v, want ErrStale", errs[stale])
	}
	for i, aor := range aors {
		f.want(aor, bs[i])
	}
}

func checkBatchDuplicate(f *fixture) {
	if _, ok := f.batcher(); !ok {
		return
	}
	aor, other := f.aor("201", "a.example"), f.aor("201", "b.example")
	a, b, c := f.device(), f.device(), f.device()
	f.applyAll([]location.AORChange{
		putChange(aor, a), putChange(location.AOR{}, c), putChange(other, b), putChange(aor, c), putChange(location.AOR{}, c),
	}, 1, 3, 4)
	f.want(aor, a)
	f.want(other, b)
}

func checkBatchUsers(f *fixture) {
	if _, ok := f.batcher(); !ok {
		return
	}
	aors := f.likeAORs()
	bs := make([]location.Binding, len(aors))
	for i := range bs {
		bs[i] = f.device()
	}
	for range 2 {
		var changes []location.AORChange
		for i, aor := range aors {
			bs[i] = f.again(bs[i])
			changes = append(changes, putChange(aor, bs[i]))
		}
		f.applyAll(changes)
		for i, aor := range aors {
			f.want(aor, bs[i])
		}
	}
	var resets []location.AORChange
	for i := 0; i < len(aors); i += 2 {
		resets = append(resets, location.AORChange{AOR: aors[i], Change: location.Change{CallID: "x", Reset: true}})
	}
	f.applyAll(resets)
	for i, aor := range aors {
		f.want(aor, bs[i:i+i%2]...)
	}
}

func checkBatchHostileText(f *fixture) {
	b, ok := f.batcher()
	if !ok {
		return
	}
	long := strings.Repeat("0123456789", 30)
	texts := append(slices.Clone(hostileTexts), long)
	var changes []location.AORChange
	var bs []location.Binding
	for i, text := range texts {
		b := f.device()
		b.Contact = "sip:" + text + "@192.0.2.7"
		b.Path, b.CallID, b.Instance, b.UserAgent, b.Token, b.Registrar = text, text, text, text, text, text
		bs = append(bs, b)
		changes = append(changes, putChange(f.aor(fmt.Sprint(text, i), "a.example"), b))
	}
	for range 2 { // they come, and they are replaced
		for i, err := range b.ApplyAll(f.Context(), changes) {
			var want []location.Binding
			if err == nil {
				want = append(want, bs[i])
			} else if texts[i] != long {
				f.Errorf("%q: %v", texts[i], err)
			}
			f.want(changes[i].AOR, want...)
		}
	}
}

func checkBatchContext(f *fixture) {
	b, ok := f.batcher()
	if !ok {
		return
	}
	aors, bs := f.populate(10)
	var changes []location.AORChange
	for i, aor := range aors {
		changes = append(changes, putChange(aor, f.again(bs[i])))
	}
	for i, err := range b.ApplyAll(done(), changes) {
		if !errors.Is(err, context.Canceled) {
			f.Errorf("change %d: got %v, want %v", i, err, context.Canceled)
		}
	}
	for i, aor := range aors {
		f.want(aor, bs[i])
	}
}

func checkBatchBreak(f *fixture) {
	b, ok := f.batcher()
	if !ok || f.harness.Break == nil {
		return
	}
	aors, bs := f.populate(batchAORs)
	var changes []location.AORChange
	for i, aor := range aors {
		bs[i] = f.again(bs[i])
		changes = append(changes, putChange(aor, bs[i]))
	}
	repair := f.harness.Break(f.T, f.store)
	for i, err := range b.ApplyAll(f.Context(), changes) {
		if err == nil {
			f.Errorf("change %d: no error", i)
		}
	}
	repair()
	f.applyAll(changes)
	for i, aor := range aors {
		f.want(aor, bs[i])
	}
}

// Each change gives both bindings of its AOR one CSeq.
func checkBatchTogether(f *fixture) {
	batcher, ok := f.batcher()
	if !ok {
		return
	}
	const n, aors = 12, 40
	var changes []location.AORChange
	for i := range aors {
		a, b := f.device(), f.device()
		b.CallID = a.CallID
		changes = append(changes, putChange(f.aor(fmt.Sprint(i), "a.example"), a, b))
	}
	f.together(n, func(i int) error {
		// No two batches have the same AORs in the same order.
		order := rand.New(rand.NewPCG(uint64(i), 1)).Perm(aors)
		var mine []location.AORChange
		for _, k := range order[:aors-i%3] {
			a, b := changes[k].Change.Put[0], changes[k].Change.Put[1]
			a.CSeq, b.CSeq = uint32(i+1), uint32(i+1)
			mine = append(mine, putChange(changes[k].AOR, a, b))
		}
		for k, err := range batcher.ApplyAll(f.Context(), mine) {
			if err != nil && !errors.Is(err, location.ErrStale) {
				return err
			}
			bs, err := f.store.Lookup(f.Context(), mine[k].AOR)
			if err != nil {
				return err
			}
			if len(bs) != 2 || bs[0].CSeq != bs[1].CSeq || bs[0].CSeq < uint32(i+1) {
				return fmt.Errorf("CSeq %d was applied, and now there is %v", i+1, bs)
			}
		}
		return nil
	})
}

func checkBatchModel(f *fixture) {
	if _, ok := f.batcher(); !ok {
		return
	}
	for seed := range uint64(3) {
		f.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			g := generator{newFixture(t, f.harness), rand.New(rand.NewPCG(seed, 2))}
			g.runBatches(60)
		})
	}
}

func (g generator) runBatches(steps int) {
	b, _ := g.batcher()
	m := model{}
	aors := g.aors(len(modelUsers))
	var history []string
	for range steps {
		g.advance()
		var changes []location.AORChange
		for _, i := range g.Perm(len(aors))[:1+g.IntN(len(aors))] {
			c := location.AORChange{AOR: aors[i], Change: g.change()}
			changes = append(changes, c)
			history = append(history, fmt.Sprintf("ApplyAll(... %q, %s)", c.AOR, describe(c.Change)))
		}
		for i, err := range b.ApplyAll(g.Context(), changes) {
			g.compare(m, changes[i].AOR, changes[i].Change, err, history)
		}
		g.compareAll(m, aors, history)
	}
}
