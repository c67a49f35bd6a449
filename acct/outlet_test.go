package acct_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/acct"
)

// calls has n calls begin and end, with Call-IDs from first on.
func calls(r *acct.Recorder, first, n int) {
	for i := first; i < first+n; i++ {
		r.Begin(invite(fmt.Sprintf("%06d", i))).Fail(486, "Busy Here")
	}
}

// inOrder checks that there are the records of n calls from first on.
func inOrder(t *testing.T, got []acct.Record, first, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("got %d records, want %d", len(got), n)
	}
	for i, r := range got {
		if want := fmt.Sprintf("%06d", first+i); r.CallID != want {
			t.Fatalf("record %d is of call %s, want %s", i, r.CallID, want)
		}
	}
}

// R7.6: a database that is away for an hour holds up nobody, costs no record,
// and is no reason to hammer at it. It does not matter if the program starts
// again meanwhile.
func TestOutlet_DatabaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hour = 3600
		dir := t.TempDir()
		file, db := new(memory), new(memory)
		cfg := acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"file": file, "db": db}}
		r, _ := open(t, cfg)
		acct.SetSegmentSize(r, 64<<10)
		halt := run(t, r)
		calls(r, 0, 10)
		synctest.Wait()
		db.fail(errAway)
		for i := range hour {
			calls(r, 10+5*i, 5)
			sleep(time.Second)
			if i == hour/2 {
				halt()
				shutFails(t, r)
				r, _ = open(t, cfg)
				acct.SetSegmentSize(r, 64<<10)
				halt = run(t, r)
			}
		}
		inOrder(t, file.all(), 0, 10+5*hour)
		inOrder(t, db.all(), 0, 10)
		s := r.Stats().Sinks["db"]
		if s.Queued != 5*hour || s.Failures > 200 || s.Dropped != 0 {
			t.Errorf("got %+v", s)
		}
		db.fail(nil)
		sleep(time.Minute)
		inOrder(t, db.all(), 0, 10+5*hour)
		sleep(10 * time.Second)
		calls(r, 10+5*hour, 1)
		synctest.Wait()
		if s := r.Stats().Sinks; s["db"].Spooled != 5*hour || s["db"].Written != 5*hour+1 || s["file"].Spooled != 0 {
			t.Errorf("of those that have waited: %+v", s)
		}
		if s := r.Stats(); s.Bytes > 1<<20 || s.Sinks["db"].Queued != 0 {
			t.Errorf("afterwards: %+v", s)
		}
		halt()
		shut(t, r)
		if file.again+db.again > 0 {
			t.Errorf("%d and %d records came twice", file.again, db.again)
		}
	})
}

// shutFails closes r, which cannot write its records.
func shutFails(t *testing.T, r *acct.Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "records not written to db") {
		t.Errorf("got error %v", err)
	}
}

// Beyond MaxBytes the oldest records go, and are counted for the sink that has
// not had them. Calls that are open stay.
func TestOutlet_Drops(t *testing.T) {
	for _, disk := range []bool{false, true} {
		t.Run(fmt.Sprint("disk=", disk), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file, db := new(memory), new(memory)
				cfg := acct.Config{Sinks: map[string]acct.Sink{"file": file, "db": db}, MaxBytes: 64 << 10}
				if disk {
					cfg.Dir = t.TempDir()
				}
				r, _ := open(t, cfg)
				acct.SetSegmentSize(r, 8<<10)
				halt := run(t, r)
				up(r, "long")
				db.fail(errAway)
				for i := range 1000 {
					calls(r, i, 1)
					sleep(time.Second)
				}
				inOrder(t, file.all(), 0, 1000)
				db.fail(nil)
				sleep(time.Minute)
				got := db.all()
				if n := len(got); n < 50 || n > 500 {
					t.Errorf("got %d records", n)
				}
				inOrder(t, got, 1000-len(got), len(got))
				s := r.Stats().Sinks
				if s["db"].Dropped != uint64(1000-len(got)) || s["file"].Dropped != 0 || s["db"].Queued != 0 {
					t.Errorf("got %+v", s)
				}
				if disk { // the call has outlived its segment
					synctest.Wait()
					copied := copyDir(t, cfg.Dir)
					halt()
					cfg.Dir = copied
					r, _ = open(t, cfg)
					halt = run(t, r)
				}
				r.Bye(forth("long", "callee"))
				synctest.Wait()
				if all := file.all(); all[len(all)-1].CallID != "long" {
					t.Errorf("the long call has no record")
				}
				halt()
				shut(t, r)
			})
		})
	}
}

// What a disk loses of a queue is counted, and the rest of it goes on.
func TestOutlet_DiskLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r, m := open(t, acct.Config{Dir: dir})
		acct.SetSegmentSize(r, 8<<10)
		halt := run(t, r)
		m.fail(errAway)
		for i := range 200 {
			calls(r, i, 1)
			synctest.Wait()
		}
		names := segments(t, dir)
		if err := os.Remove(names[1]); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(names[3])
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(names[3], data, 0o600); err != nil {
			t.Fatal(err)
		}
		m.fail(nil)
		sleep(time.Minute)
		s := r.Stats().Sinks["memory"]
		if n := uint64(len(m.all())); s.Queued != 0 || s.Written != n || s.Dropped != 200-n || n < 100 || n > 190 {
			t.Errorf("%d records, got %+v", n, s)
		}
		if last := m.all()[len(m.all())-1].CallID; last != "000199" {
			t.Errorf("the last record is of %s", last)
		}
		halt()
		shut(t, r)
	})
}

// One record that a sink will not have costs nobody else's.
func TestOutlet_Rejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := open(t, acct.Config{})
		m.err = func(records []acct.Record) error {
			for _, rec := range records {
				if rec.CallID == "000042" {
					return fmt.Errorf("column x: %w", acct.ErrRejected)
				}
			}
			return nil
		}
		calls(r, 0, 1000)
		stop := start(t, r)
		sleep(time.Hour)
		if s := r.Stats().Sinks["memory"]; s.Rejected != 1 || s.Written != 999 || s.Queued != 0 {
			t.Errorf("got %+v", s)
		}
		stop()
		if len(m.all()) != 999 {
			t.Errorf("got %d records", len(m.all()))
		}
	})
}

// A sink with a new name gets what is new; one that is there no longer holds
// nothing up.
func TestOutlet_SinksChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b, c := new(memory), new(memory), new(memory)
		a.fail(errAway)
		r, _ := open(t, acct.Config{Dir: dir, Sinks: map[string]acct.Sink{"a": a, "b": b}})
		acct.SetSegmentSize(r, 4<<10)
		halt := run(t, r)
		calls(r, 0, 100)
		sleep(time.Second)
		copied := copyDir(t, dir)
		halt()

		r, _ = open(t, acct.Config{Dir: copied, Sinks: map[string]acct.Sink{"b": b, "c": c}})
		acct.SetSegmentSize(r, 4<<10)
		stop := start(t, r)
		for i := range 100 {
			calls(r, 100+i, 1)
			sleep(time.Second)
		}
		if s := r.Stats(); s.Bytes > 20<<10 {
			t.Errorf("got %+v", s)
		}
		stop()
		inOrder(t, b.all(), 0, 200)
		inOrder(t, c.all(), 100, 100)
	})
}

// A record is one line of the log, and says nothing of what there was not.
func TestSlog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "time" || a.Key == "id" {
				return slog.Attr{}
			}
			return a
		}})
		r, _ := open(t, acct.Config{Sinks: map[string]acct.Sink{"log": acct.NewSlog(slog.New(h))}})
		c := r.Begin(invite("a\nb"))
		sleep(time.Second)
		c.Answer(answer("callee"))
		sleep(2500 * time.Millisecond)
		r.Bye(back("a\nb", "callee"))
		refused := invite("c")
		refused.Source = netip.AddrPort{}
		r.Begin(refused).Fail(404, "Not Found")
		shut(t, r)
		want := `level=INFO msg=call call_id="a\nb" from=sip:201@a.example to=sip:9@a.example setid=10 domain=a.example ` +
			`direction=from_phone src=203.0.113.5:40123 dst=10.0.1.10:5060 cause=answered code=200 reason=OK ` +
			`setup=1s duration=2.5s end=callee no_ack=true` + "\n" +
			`level=INFO msg=call call_id=c from=sip:201@a.example to=sip:9@a.example setid=10 domain=a.example ` +
			`direction=from_phone cause=rejected code=404 reason="Not Found" setup=0s` + "\n"
		if got := b.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
