package locationtest

import (
	"errors"
	"time"

	"github.com/sipward/sipward/location"
)

var staleRules = []rule{
	{"StalePut", "A Put with the Call-ID of the binding that it would replace and a lower CSeq is ErrStale.", checkStalePut},
	{"Repeat", "A Put with an equal CSeq is a repeat and is applied again.", checkRepeat},
	{"OtherCallID", "CSeqs of different Call-IDs do not compare: a phone that restarts begins anew.", checkOtherCallID},
	{"StaleRemove", "Remove and Reset are stale if a binding that they would drop has the Change's Call-ID and a higher CSeq.", checkStaleRemove},
	{"StaleNot", "What a Change does not replace or drop does not make it stale, and neither do expired bindings.", checkStaleNot},
}

// wantStale applies c, which must be refused.
func (f *fixture) wantStale(aor location.AOR, c location.Change) {
	f.Helper()
	if err := f.store.Apply(f.Context(), aor, c); !errors.Is(err, location.ErrStale) {
		f.Errorf("got error %v, want ErrStale", err)
	}
}

func checkStalePut(f *fixture) {
	aor := f.aor("201", "a.example")
	byContact, byInstance, bySocket := f.device(), f.device(), f.device()
	byInstance.Instance = "<urn:uuid:1>"
	bySocket.UserAgent = "phone"
	for _, b := range []*location.Binding{&byContact, &byInstance, &bySocket} {
		b.CSeq = 10
		f.put(aor, b)
	}
	old := f.again(byContact)
	old.CSeq = 9
	f.wantStale(aor, location.Change{CallID: old.CallID, CSeq: 9, Put: []location.Binding{old}})
	old = f.again(byInstance)
	old.CSeq, old.Contact = 9, "sip:elsewhere@192.0.2.99"
	f.wantStale(aor, location.Change{CallID: old.CallID, CSeq: 9, Put: []location.Binding{old}})
	old = f.again(bySocket)
	old.CSeq, old.Contact = 1, "sip:elsewhere@192.0.2.99"
	f.wantStale(aor, location.Change{CallID: old.CallID, CSeq: 1, Put: []location.Binding{old}})
	f.want(aor, bySocket, byInstance, byContact)
}

func checkRepeat(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	f.put(aor, &b)
	f.put(aor, &b) // sets new times
	f.want(aor, b)
}

func checkOtherCallID(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	b.CSeq = 1000
	f.put(aor, &b)
	b.CallID, b.CSeq = "after-restart", 1
	f.put(aor, &b)
	f.want(aor, b)
	f.apply(aor, location.Change{CallID: "another", CSeq: 0, Reset: true})
	f.want(aor)
}

func checkStaleRemove(f *fixture) {
	aor := f.aor("201", "a.example")
	b := f.device()
	b.CSeq = 10
	f.put(aor, &b)
	f.wantStale(aor, location.Change{CallID: b.CallID, CSeq: 9, Remove: []location.Binding{b}})
	f.wantStale(aor, location.Change{CallID: b.CallID, CSeq: 9, Reset: true})
	f.want(aor, b)
	f.apply(aor, location.Change{CallID: b.CallID, CSeq: 10, Remove: []location.Binding{b}})
	f.want(aor)
	f.put(aor, &b)
	f.apply(aor, location.Change{CallID: b.CallID, CSeq: 10, Reset: true})
	f.want(aor)
}

func checkStaleNot(f *fixture) {
	aor := f.aor("201", "a.example")
	a, b := f.device(), f.device()
	a.CSeq = 10
	b.CallID, b.CSeq = a.CallID, 5 // another Contact of the same phone
	f.put(aor, &a, &b)
	f.want(aor, b, a)
	f.apply(aor, location.Change{CallID: a.CallID, CSeq: 5, Remove: []location.Binding{b}})
	f.want(aor, a)

	f.clock.Advance(time.Hour)
	a.CSeq = 1
	f.put(aor, &a)
	f.want(aor, a)
}
