package acct_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
)

// A program that was killed goes on where it was: a call that was up ends with
// its BYE, whatever happened to it before; one that rang is closed.
func TestJournal_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r, m := open(t, acct.Config{Dir: dir})
		halt := run(t, r)
		m.fail(errAway)
		const s = time.Second

		up(r, "up")
		up(r, "over")
		up(r, "lost")
		ring := map[string]*acct.Call{}
		for _, id := range []string{"ringing", "early", "revived by ACK", "revived by BYE", "repeated", "challenged"} {
			ring[id] = r.Begin(invite(id))
		}
		ring["challenged"].Fail(401, "Unauthorized")
		timed := answer("callee")
		timed.SessionExpires = 30 * time.Minute
		r.Begin(invite("timed")).Answer(timed)
		r.Begin(invite("no ack")).Answer(answer("callee"))
		sleep(10 * s)
		r.Bye(forth("over", "callee"))
		synctest.Wait()
		copied := copyDir(t, dir)
		halt() // as far as this test goes; what it does now the next one does not see

		r, m = open(t, acct.Config{Dir: copied})
		stop := start(t, r)
		synctest.Wait()
		if got, want := outline(m.all()), "over answered caller"; got != want {
			t.Errorf("after the start: got %s, want %s", got, want)
		}
		r.Alive(forth("early", "callee")) // a PRACK, say
		r.Refresh(forth("early", "callee"), time.Hour)
		r.Ack(forth("revived by ACK", "callee"))
		r.Bye(back("revived by BYE", "callee"))
		again := r.Begin(invite("repeated"))
		sleep(10 * s)
		again.Answer(answer("callee"))
		r.Bye(back("repeated", "callee"))
		r.Bye(back("revived by ACK", "callee"))
		r.Begin(invite("challenged")).Fail(404, "Not Found")
		sleep(time.Hour)
		r.Bye(back("up", "callee"))
		r.Bye(forth("no ack", "callee"))
		sleep(4 * time.Hour)
		stop()
		want := "challenged rejected, early timed_out restarted, lost lost timeout, no ack answered caller, over answered caller, repeated answered callee, " +
			"revived by ACK answered callee, revived by BYE answered callee, ringing timed_out restarted, " +
			"timed lost session_expired, up answered callee"
		if got := outline(m.all()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, rec := range m.all() {
			switch rec.CallID {
			case "up":
				want := with(answered("up", 0, 0, time.Hour+20*s, acct.ByCallee), ack, func(r *acct.Record) { r.ID = rec.ID })
				if d := cmp.Diff(want, rec, addrPorts()); d != "" {
					t.Error(d)
				}
			case "repeated":
				if !rec.Created.Equal(since(0)) || rec.Setup() != 20*s {
					t.Errorf("repeated: created %v, setup %v", rec.Created, rec.Setup())
				}
			}
		}
	})
}

// record has calls of all kinds, in a journal of one segment, and returns it.
func record(t *testing.T) []byte {
	dir := t.TempDir()
	r, m := open(t, acct.Config{Dir: dir})
	m.fail(errAway)
	up(r, "a")
	c := r.Begin(invite("b"))
	r.Bye(forth("a", "callee"))
	r.Begin(invite("c")).Fail(401, "Unauthorized")
	c.Fail(486, "Busy Here")
	up(r, "d")
	r.Begin(invite("e"))
	if !acct.Flush(r) {
		t.Fatal("not written")
	}
	names := segments(t, dir)
	if len(names) != 1 {
		t.Fatalf("got segments %q", names)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// reopen opens a journal with this segment, and returns the calls that are
// open and those that are over.
func reopen(t testing.TB, segment []byte) (open, over map[string]int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0000000000000001.calls"), segment, 0o600); err != nil {
		t.Fatal(err)
	}
	m := new(memory)
	r, err := acct.Open(acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"memory": m}})
	if err != nil {
		t.Fatal(err)
	}
	open, over = map[string]int{}, map[string]int{}
	for c := range r.Calls() {
		open[c.CallID]++
	}
	// What comes now must not be hidden by what was there.
	up(r, "new")
	r.Bye(forth("new", "callee"))
	shut(t, r)
	for _, rec := range m.all() {
		over[rec.CallID]++
	}
	if over["new"] != 1 {
		t.Fatalf("the new call has %d records", over["new"])
	}
	delete(over, "new")
	return open, over
}

// A journal that ends anywhere, in the middle of an entry too, has what was
// written before: each call is open, over, or has not begun.
func TestJournal_TornAnywhere(t *testing.T) {
	data := record(t)
	stage := map[string]int{} // of each call: 0 unknown, 1 open, 2 over
	for n := range len(data) + 1 {
		open, over := reopen(t, data[:n])
		for id, before := range stage {
			now := open[id] + 2*over[id]
			if now > 2 || now < before && id != "c" {
				t.Fatalf("%d bytes: call %s was in stage %d, is in %d", n, id, before, now)
			}
		}
		for id := range open {
			stage[id] = 1
		}
		for id := range over {
			stage[id] = 2
		}
	}
	open, over := reopen(t, data)
	if d := cmp.Diff(map[string]int{"d": 1, "e": 1}, open); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int{"a": 1, "b": 1}, over); d != "" {
		t.Error(d)
	}
}

// A byte that a disk has changed costs what comes after it in its segment, and
// never yields something else.
func TestJournal_DamagedAnywhere(t *testing.T) {
	data := record(t)
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		open, over := reopen(t, damaged)
		for _, ids := range []map[string]int{open, over} {
			for id, n := range ids {
				if n != 1 || !strings.Contains("abcde", id) {
					t.Fatalf("byte %d: call %q is there %d times", i, id, n)
				}
			}
		}
	}
}

// Segments go when nothing in them is needed, and calls that are open outlive
// those that they began in.
func TestJournal_Cleans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r, m := open(t, acct.Config{Dir: dir})
		acct.SetSegmentSize(r, 4<<10)
		halt := run(t, r)
		for i := range 10 {
			up(r, fmt.Sprint("long ", i))
		}
		ringing := r.Begin(invite("ringing"))
		for i := range 2000 {
			id := fmt.Sprint(i)
			up(r, id)
			r.Bye(back(id, "callee"))
			if i%10 == 0 {
				sleep(time.Second)
			}
		}
		sleep(time.Second)
		if n := len(segments(t, dir)); n > 20 {
			t.Errorf("got %d segments", n)
		}
		if s := r.Stats(); s.Bytes > 100<<10 || s.Lost != 0 {
			t.Errorf("got %+v", s)
		}
		if n := len(m.all()); n != 2000 {
			t.Errorf("got %d records, want 2000", n)
		}
		ringing.Answer(answer("callee"))
		synctest.Wait()
		copied := copyDir(t, dir)
		halt()

		r, m = open(t, acct.Config{Dir: copied})
		for i := range 10 {
			r.Bye(forth(fmt.Sprint("long ", i), "callee"))
		}
		r.Bye(forth("ringing", "callee"))
		shut(t, r)
		if n := len(m.all()); n != 11 {
			t.Errorf("got %d records, want 11: %s", n, outline(m.all()))
		}
	})
}

// A disk that fails keeps nobody from being recorded; when it is back, so is
// the journal.
func TestJournal_DiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "acct")
		r, m := open(t, acct.Config{Dir: dir})
		acct.SetRoom(r, 40<<10)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		halt := run(t, r)
		up(r, "first")
		for i := range 1000 {
			up(r, fmt.Sprint(i))
			r.Bye(forth(fmt.Sprint(i), "callee"))
			synctest.Wait()
		}
		if n := len(m.all()); n != 1000 {
			t.Errorf("got %d records, want 1000", n)
		}
		if s := r.Stats(); s.Bytes > 40<<10 || s.Lost == 0 {
			t.Errorf("got %+v", s)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sleep(2 * time.Second)
		up(r, "last")
		synctest.Wait()
		copied := copyDir(t, dir)
		halt()

		r, m = open(t, acct.Config{Dir: copied})
		r.Bye(forth("last", "callee"))
		shut(t, r)
		if got := outline(m.all()); !strings.HasSuffix(got, "last answered caller") {
			t.Errorf("got %s", got)
		}
	})
}

// Killed at any moment, again and again, each call has one record (P-22, R7.6).
// A sink that knows a record by its ID may get it twice.
func TestJournal_KilledAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 400
		rnd := rand.New(rand.NewPCG(1, 2))
		dir, m := t.TempDir(), new(memory)
		var r *acct.Recorder
		var halt func()
		begin := func() {
			r, _ = open(t, acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"memory": m}})
			acct.SetSegmentSize(r, 8<<10)
			halt = run(t, r)
		}
		begin()
		var live []string
		for i := 0; i < calls || len(live) > 0; i++ {
			if i < calls {
				id := fmt.Sprint(i)
				live = append(live, id)
				up(r, id)
				synctest.Wait()
			}
			if i%3 == 0 || i >= calls {
				n := rnd.IntN(len(live))
				r.Bye(forth(live[n], "callee"))
				live = append(live[:n], live[n+1:]...)
			}
			if rnd.IntN(4) > 0 {
				synctest.Wait() // or the kill comes before the BYE is written
			}
			if rnd.IntN(10) == 0 {
				sleep(time.Second) // segments go
				synctest.Wait()
			}
			if i%7 == 0 {
				dir = copyDir(t, dir)
				halt()
				begin()
			}
		}
		sleep(5 * time.Hour) // for what a kill has left open
		halt()
		shut(t, r)
		ids := map[string]int{}
		for _, rec := range m.all() {
			ids[rec.CallID]++
		}
		if len(ids) != calls || len(m.all()) != calls {
			t.Errorf("%d records of %d calls, want one of each of %d", len(m.all()), len(ids), calls)
		}
	})
}
