package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAmbiguity: domains with a PBX in common, and their users whom it cannot call by
// number, are known before it does, by name, and only those. P-12.
func TestAmbiguity(t *testing.T) {
	inWorld(t, sharedPBX, func(w *world) {
		w.public("401", "a.test").at(w.a)
		second := w.public("401", "b.test")
		second.at(w.a)
		w.public("401", "b.test").at(w.a) // another phone of the same user
		w.public("401", "c.test").at(w.c) // of another PBX
		w.public("402", "a.test").at(w.a)
		w.public("403", "a.test").at(w.a)
		w.public("403", "d.test").at(w.a) // of the same set
		want := func(want ambiguity) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, *w.proxy.view().Ambiguous); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		}
		shared := [][]string{{"a.test", "d.test", "b.test"}, {"a.test", "d.test"}}
		want(ambiguity{shared, 0, []ambiguousUser{}}) // found when it was started
		time.Sleep(2 * time.Minute)
		want(ambiguity{shared, 2, []ambiguousUser{{"401", []string{"a.test", "b.test"}}, {"403", []string{"a.test", "d.test"}}}})
		w.reconfigure(nil, `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}
  - {setid: 20, domains: [b.test], destinations: [{uri: "sip:10.0.1.20:5060"}]}
  - {setid: 30, domains: [c.test, d.test], destinations: [{uri: "sip:10.0.1.30:5060"}]}
`)
		want(ambiguity{[][]string{{"c.test", "d.test"}}, 0, []ambiguousUser{}})
		w.reconfigure(nil, threeTenants)
		want(ambiguity{[][]string{}, 0, []ambiguousUser{}})
		w.reconfigure(nil, sharedPBX)
		want(ambiguity{shared, 2, []ambiguousUser{{"401", []string{"a.test", "b.test"}}, {"403", []string{"a.test", "d.test"}}}})
	})
}
