package acct_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/sipward/sipward/acct"
)

// A call beyond MaxCalls has its one record too.
func TestRecorder_MaxCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := open(t, acct.Config{MaxCalls: 2})
		stop := start(t, r)
		up(r, "a")
		up(r, "b")

		r.Begin(invite("c")).Fail(486, "Busy Here")
		r.Begin(invite("d")).Fail(401, "Unauthorized")
		c := r.Begin(invite("e"))
		c.Answer(answer("callee"))
		c.Answer(answer("callee"))
		r.Ack(forth("e", "callee"))
		r.Bye(forth("e", "callee"))
		c.Answer(answer("other")) // a fork that there is no room for either
		synctest.Wait()
		if got, want := outline(m.all()), "c busy, e lost unfollowed, e lost unfollowed"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if s := r.Stats(); s.Open != 2 || s.Unfollowed != 2 || s.Recorded[acct.Lost] != 2 {
			t.Errorf("got %+v", s)
		}

		r.Bye(forth("a", "callee"))
		up(r, "f")
		r.Bye(forth("f", "callee"))
		r.Bye(forth("b", "callee"))
		stop()
		if got := outline(m.all()); !strings.Contains(got, "a answered caller, b answered caller, c") || !strings.Contains(got, "f answered caller") {
			t.Errorf("got %s", got)
		}
	})
}

// Whoever begins calls without credentials takes no room from others.
func TestRecorder_MaxHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := open(t, acct.Config{MaxCalls: 8})
		stop := start(t, r)
		for i := range 100 {
			r.Begin(invite(fmt.Sprint(i))).Fail(401, "Unauthorized")
		}
		if s := r.Stats(); s.Held != 2 || s.Open != 0 {
			t.Errorf("got %+v, want 2 held", s)
		}
		up(r, "99") // with credentials: a call as any other
		r.Bye(forth("99", "callee"))
		time.Sleep(time.Minute)
		if s := r.Stats(); s.Held != 0 || s.Open != 0 {
			t.Errorf("got %+v, want none", s)
		}
		stop()
		if got, want := outline(m.all()), "99 answered caller"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// P-70: texts of any length and content make a record, and calls stay apart
// whose identifiers differ after thousands of bytes only.
func TestRecorder_HostileTexts(t *testing.T) {
	long := strings.Repeat("\U0001F600'\x00\xff", 10_000)
	r, m := open(t, acct.Config{})
	for _, end := range []string{"1", "2"} {
		i := invite(long + end)
		i.FromTag, i.FromURI, i.ToURI, i.UserAgent, i.Domain = long, long, long, long, long
		c := r.Begin(i)
		c.Answer(acct.Answer{ToTag: long, Code: 200, Reason: long, UserAgent: long})
		r.Ack(acct.Dialog{CallID: long + end, FromTag: long, ToTag: long})
	}
	if n := r.Stats().Open; n != 2 {
		t.Fatalf("%d calls are open, want 2", n)
	}
	r.Bye(acct.Dialog{CallID: long + "2", FromTag: long, ToTag: long})
	r.Bye(acct.Dialog{CallID: long + "3", FromTag: long, ToTag: long})
	if n := r.Stats().Open; n != 1 {
		t.Fatalf("%d calls are open, want 1", n)
	}
	r.Begin(invite("b")).Fail(404, long)
	shut(t, r)
	for _, rec := range m.all() {
		for _, s := range []string{rec.CallID, rec.FromTag, rec.ToTag, rec.FromURI, rec.ToURI, rec.Domain, rec.CallerAgent, rec.CalleeAgent, rec.Reason} {
			if len(s) > 512 {
				t.Errorf("a text has %d bytes", len(s))
			}
		}
	}
	if rec := m.all()[1]; rec.Reason[:4] != "\U0001F600" || !utf8.ValidString(strings.ReplaceAll(rec.Reason, "\xff", "")) {
		t.Errorf("got reason %q", rec.Reason)
	}
}

// A proxy without accounting needs no other code.
func TestRecorder_Nil(t *testing.T) {
	var r *acct.Recorder
	c := r.Begin(invite("a"))
	c.Leg(pbx1)
	c.Progress()
	c.Cancel()
	c.Answer(answer("callee"))
	c.Fail(486, "Busy Here")
	d := forth("a", "callee")
	r.Ack(d)
	r.Alive(d)
	r.Refresh(d, time.Hour)
	r.Bye(d)
}

func TestOpen_Faults(t *testing.T) {
	_, err := acct.Open(acct.Config{Sinks: map[string]acct.Sink{"x": nil}, MaxBytes: -1})
	if err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), "MaxBytes") {
		t.Errorf("got error %v, want both faults", err)
	}
	if _, err := acct.Open(acct.Config{}); err == nil {
		t.Error("a recorder without sinks was made")
	}
}

// The journal of two recorders would be that of none.
func TestOpen_InUse(t *testing.T) {
	dir := t.TempDir()
	r, _ := open(t, acct.Config{Dir: dir})
	if _, err := acct.Open(acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"x": new(memory)}}); err == nil {
		t.Error("a directory was opened twice")
	}
	shut(t, r)
	r, _ = open(t, acct.Config{Dir: dir})
	shut(t, r)
}

func TestRecorder_Calls(t *testing.T) {
	r, _ := open(t, acct.Config{})
	up(r, "a")
	r.Begin(invite("b")).Progress()
	r.Begin(invite("c")).Fail(401, "Unauthorized")
	r.Begin(invite("d")).Answer(answer("callee"))
	got := map[string]acct.Record{}
	for rec := range r.Calls() {
		got[rec.CallID] = rec
	}
	if len(got) != 3 || got["a"].NoACK || got["a"].Answered.IsZero() || got["b"].Rang.IsZero() || !got["d"].NoACK {
		t.Errorf("got %+v", got)
	}
	for range r.Calls() {
		break
	}
	shut(t, r)
}

// What a journal cannot keep is recorded when the program ends.
func TestRecorder_CloseWithoutDir(t *testing.T) {
	r, m := open(t, acct.Config{})
	up(r, "a")
	r.Begin(invite("b"))
	r.Begin(invite("c")).Fail(401, "Unauthorized")
	shut(t, r)
	shut(t, r) // which changes nothing
	if got, want := outline(m.all()), "a lost stopped, b timed_out stopped"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A hostile phone answers with one tag after the other.
func TestRecorder_MaxForks(t *testing.T) {
	r, m := open(t, acct.Config{})
	c := r.Begin(invite("a"))
	for i := range 1000 {
		c.Answer(answer(fmt.Sprint(i)))
	}
	shut(t, r)
	if n, left := len(m.all()), r.Stats().Unrecorded; n != 17 || left != 983 {
		t.Errorf("got %d records and %d without, want 17 and 983", n, left)
	}
}

// A hostile phone calls with one Call-ID and tag for ever. Each call has a record,
// but few of them are followed, all of which are looked at with each request.
func TestRecorder_MaxAlike(t *testing.T) {
	r, m := open(t, acct.Config{})
	for i := range 1000 {
		tag := fmt.Sprint(i)
		r.Begin(invite("a")).Answer(answer(tag))
		r.Ack(forth("a", tag))
	}
	if s := r.Stats(); s.Open != 64 || s.Unfollowed != 1000-64 {
		t.Errorf("got %+v, want 64 followed and the others not", s)
	}
	for i := range 1000 {
		r.Bye(forth("a", fmt.Sprint(i)))
	}
	up(r, "a")
	r.Bye(forth("a", "callee"))
	shut(t, r)
	if s := r.Stats(); s.Open != 0 || s.Recorded[acct.Answered] != 65 || len(m.all()) != 1001 {
		t.Errorf("got %+v, %d records", s, len(m.all()))
	}
}
