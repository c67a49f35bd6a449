package main

import (
	"fmt"
	"testing"
)

// TestConns_Bounded: of ever new users on a connection not all are remembered, but
// always the latest, and no other connection loses any.
func TestConns_Bounded(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		one, other := w.overTCP("401", "a.test"), w.overTCP("402", "a.test")
		one.at(w.a)
		other.at(w.a)
		churn, quiet := w.bound("401", "a.test")[0].Flow, w.bound("402", "a.test")[0].Flow
		f, ok := w.proxy.find(churn)
		g, found := w.proxy.find(quiet)
		if !ok || !found {
			t.Fatal("a phone has no connection")
		}
		for i := range 2 * maxOnConn {
			aor := someAOR(t, fmt.Sprint("user", i), "a.test")
			w.proxy.registeredOn(f, aor)
			if !w.proxy.conns.has(f, aor) {
				t.Fatalf("user %d is not there", i)
			}
		}
		if n := len(w.proxy.conns.aors[f.ID()]); n != maxOnConn {
			t.Errorf("%d users are remembered, want %d", n, maxOnConn)
		}
		if !w.proxy.conns.has(g, someAOR(t, "402", "a.test")) {
			t.Error("the other connection has lost its phone")
		}
	})
}
