package acct_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/acct"
)

// since returns the time of a test's bubble, which begins at midnight.
func since(d time.Duration) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(d)
}

// answered is the record of a call with invite and answer.
func answered(callID string, created, up, ended time.Duration, end acct.End) acct.Record {
	return acct.Record{
		CallID: callID, FromTag: "caller", ToTag: "callee", FromURI: "sip:201@a.example", ToURI: "sip:9@a.example",
		SetID: 10, Domain: "a.example", Source: phone, Destination: pbx1, CallerAgent: "Snom", CalleeAgent: "Asterisk",
		Code: 200, Reason: "OK", Cause: acct.Answered, End: end, NoACK: true,
		Created: since(created), Answered: since(up), Ended: since(ended),
	}
}

// failed is that of a call that nobody answered.
func failed(callID string, code int, reason string, cause acct.Cause, created, ended time.Duration) acct.Record {
	r := answered(callID, created, 0, ended, acct.Unanswered)
	r.ToTag, r.CalleeAgent, r.Answered, r.NoACK = "", "", time.Time{}, false
	r.Destination = netip.AddrPort{}
	r.Code, r.Reason, r.Cause = code, reason, cause
	return r
}

// with changes a record.
func with(r acct.Record, changes ...func(*acct.Record)) acct.Record {
	for _, f := range changes {
		f(&r)
	}
	return r
}

func rang(d time.Duration) func(*acct.Record) { return func(r *acct.Record) { r.Rang = since(d) } }
func to(uri string) func(*acct.Record)        { return func(r *acct.Record) { r.ToURI = uri } }
func ack(r *acct.Record)                      { r.NoACK = false }
func legs(n int) func(*acct.Record)           { return func(r *acct.Record) { r.Attempts = n } }
func to2(r *acct.Record)                      { r.Destination = pbx2 }
func lost(r *acct.Record)                     { r.Cause = acct.Lost }
func sleep(d time.Duration)                   { time.Sleep(d) }

// R7.1 to R7.4: what becomes of one call, whatever happens to it.
func TestRecorder(t *testing.T) {
	const s = time.Second
	toPBX := acct.Answer{ToTag: "callee", Code: 200, Reason: "OK", UserAgent: "Asterisk"}
	tests := []struct {
		name string
		call func(r *acct.Recorder)
		want []acct.Record
	}{
		{"caller hangs up", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			c.Leg(pbx1)
			sleep(1 * s)
			c.Progress()
			sleep(1 * s)
			c.Progress()
			c.Answer(toPBX)
			r.Ack(forth("a", "callee"))
			sleep(5070 * time.Millisecond)
			r.Bye(forth("a", "callee"))
			r.Bye(forth("a", "callee")) // nothing is counted twice
			r.Bye(back("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 2*s, 7070*time.Millisecond, acct.ByCaller), legs(1), rang(1*s), ack)}},
		{"callee hangs up", func(r *acct.Recorder) {
			up(r, "a")
			sleep(3 * s)
			r.Bye(back("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 0, 3*s, acct.ByCallee), ack)}},
		{"2xx never acknowledged", func(r *acct.Recorder) {
			r.Begin(invite("a")).Answer(answer("callee"))
			sleep(32 * s)
			r.Bye(back("a", "callee"))
		}, []acct.Record{answered("a", 0, 0, 32*s, acct.ByCallee)}},
		{"BYE overtakes the 2xx", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			sleep(1 * s)
			r.Bye(back("a", "callee"))
			sleep(1 * s)
			c.Answer(answer("callee"))
		}, []acct.Record{answered("a", 0, 2*s, 2*s, acct.ByCallee)}},
		{"caller ends early dialog by BYE", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			c.Progress()
			sleep(1 * s)
			r.Bye(forth("a", "early"))
			c.Fail(487, "Request Terminated")
		}, []acct.Record{with(failed("a", 487, "Request Terminated", acct.Canceled, 0, 1*s), rang(0))}},
		{"canceled", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			c.Leg(pbx2)
			c.Progress()
			sleep(4 * s)
			c.Cancel()
			sleep(1 * s)
			c.Fail(487, "Request Terminated")
		}, []acct.Record{with(failed("a", 487, "Request Terminated", acct.Canceled, 0, 5*s), legs(1), to2, rang(0))}},
		{"2xx crosses CANCEL", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			c.Cancel()
			c.Answer(answer("callee"))
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{answered("a", 0, 0, 1*s, acct.ByCaller)}},
		{"forked, one answers", func(r *acct.Recorder) { // R7.3
			c := r.Begin(invite("a"))
			c.Leg(pbx1)
			c.Leg(pbx2)
			c.Leg(phone)
			c.Answer(answer("callee"))
			c.Answer(answer("callee")) // repeated
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
			c.Answer(answer("callee"))
		}, []acct.Record{with(answered("a", 0, 0, 1*s, acct.ByCaller), legs(3))}},
		{"forked, two answer", func(r *acct.Recorder) { // R7.3: one for each dialog
			c := r.Begin(invite("a"))
			c.Leg(pbx1)
			c.Leg(pbx2)
			c.Answer(answer("callee"))
			r.Ack(forth("a", "callee"))
			sleep(1 * s)
			other := answer("other")
			other.Destination = pbx2
			c.Answer(other)
			r.Ack(forth("a", "other"))
			r.Bye(forth("a", "other"))
			c.Answer(other) // repeated
			sleep(1 * s)
			r.Bye(back("a", "callee"))
			c.Answer(other)
		}, []acct.Record{
			with(answered("a", 0, 1*s, 1*s, acct.ByCaller), legs(2), ack, to2, func(r *acct.Record) { r.ToTag = "other" }),
			with(answered("a", 0, 0, 2*s, acct.ByCallee), legs(2), ack),
		}},
		{"failover", func(r *acct.Recorder) { // R7.3
			c := r.Begin(invite("a"))
			c.Leg(pbx1)
			sleep(8 * s)
			c.Leg(pbx2)
			c.Answer(toPBX)
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 8*s, 9*s, acct.ByCaller), legs(2), to2)}},
		{"challenged, with credentials", func(r *acct.Recorder) { // P-22, R7.2
			r.Begin(invite("a")).Fail(401, "Unauthorized")
			sleep(20 * s)
			r.Begin(invite("a")).Fail(407, "Proxy Authentication Required")
			sleep(1 * s)
			r.Begin(invite("a")).Answer(answer("callee"))
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{answered("a", 0, 21*s, 22*s, acct.ByCaller)}},
		{"challenged, refused", func(r *acct.Recorder) {
			r.Begin(invite("a")).Fail(401, "Unauthorized")
			r.Begin(invite("a")).Fail(403, "Forbidden")
		}, []acct.Record{failed("a", 403, "Forbidden", acct.Rejected, 0, 0)}},
		{"challenged, canceled", func(r *acct.Recorder) {
			c := r.Begin(invite("a"))
			c.Cancel()
			c.Fail(401, "Unauthorized")
		}, nil},
		{"challenged only", func(r *acct.Recorder) {
			r.Begin(invite("a")).Fail(407, "Proxy Authentication Required")
			sleep(time.Minute)
		}, nil},
		{"challenged, much later with credentials", func(r *acct.Recorder) {
			r.Begin(invite("a")).Fail(407, "Proxy Authentication Required")
			sleep(time.Minute)
			r.Begin(invite("a")).Fail(404, "Not Found")
		}, []acct.Record{failed("a", 404, "Not Found", acct.Rejected, time.Minute, time.Minute)}},
		{"session interval too small", func(r *acct.Recorder) {
			r.Begin(invite("a")).Fail(422, "Session Interval Too Small")
			r.Begin(invite("a")).Answer(answer("callee"))
			r.Bye(forth("a", "callee"))
		}, []acct.Record{answered("a", 0, 0, 0, acct.ByCaller)}},
		{"session interval too small for the caller", func(r *acct.Recorder) {
			r.Begin(invite("a")).Fail(422, "Session Interval Too Small")
			sleep(time.Minute)
		}, []acct.Record{failed("a", 422, "Session Interval Too Small", acct.Rejected, 0, 0)}},
		{"PBX is a proxy", func(r *acct.Recorder) { // the INVITE comes by twice
			out := r.Begin(invite("a"))
			in := r.Begin(invite("a"))
			in.Fail(486, "Busy Here")
			sleep(1 * s)
			out.Answer(answer("voicemail"))
			sleep(1 * s)
			r.Bye(forth("a", "voicemail"))
		}, []acct.Record{with(answered("a", 0, 1*s, 2*s, acct.ByCaller), func(r *acct.Record) { r.ToTag = "voicemail" })}},
		{"PBX is a proxy, busy", func(r *acct.Recorder) {
			out := r.Begin(invite("a"))
			in := r.Begin(invite("a"))
			in.Fail(486, "Busy Here")
			out.Fail(486, "Busy Here")
		}, []acct.Record{failed("a", 486, "Busy Here", acct.Busy, 0, 0)}},
		{"the same in another tenant", func(r *acct.Recorder) {
			mine, theirs := invite("a"), invite("a")
			theirs.SetID = 20
			c := r.Begin(mine)
			r.Begin(theirs).Fail(486, "Busy Here")
			c.Answer(answer("callee"))
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{
			with(failed("a", 486, "Busy Here", acct.Busy, 0, 0), func(r *acct.Record) { r.SetID = 20 }),
			answered("a", 0, 0, 1*s, acct.ByCaller),
		}},
		{"the same in another tenant, and a proxy between them", func(r *acct.Recorder) { // so that all comes by twice
			theirs := invite("a")
			theirs.SetID = 20
			out, in := r.Begin(invite("a")), r.Begin(theirs)
			in.Answer(answer("callee"))
			out.Answer(answer("callee"))
			twice := func(f func(acct.Dialog), d acct.Dialog) { f(d); f(d) }
			twice(r.Ack, forth("a", "callee"))
			sleep(3 * time.Hour)
			twice(r.Alive, back("a", "callee"))
			sleep(3 * time.Hour)
			twice(func(d acct.Dialog) { r.Refresh(d, 10*time.Hour) }, forth("a", "callee"))
			sleep(3 * time.Hour)
			twice(r.Bye, back("a", "callee"))
		}, []acct.Record{
			with(answered("a", 0, 0, 9*time.Hour, acct.ByCallee), ack, func(r *acct.Record) { r.SetID = 20 }),
			with(answered("a", 0, 0, 9*time.Hour, acct.ByCallee), ack),
		}},
		{"Call-ID and tag used again while the call is up", func(r *acct.Recorder) {
			up(r, "a")
			for i := range 3 {
				sleep(1 * s)
				next := invite("a")
				next.ToURI = fmt.Sprintf("sip:%d@a.example", i)
				c := r.Begin(next)
				if i == 1 {
					c.Fail(486, "Busy Here")
					continue
				}
				c.Answer(answer(next.ToURI))
				r.Ack(forth("a", next.ToURI))
				r.Bye(forth("a", next.ToURI))
			}
			r.Bye(forth("a", "callee"))
		}, []acct.Record{
			with(answered("a", 1*s, 1*s, 1*s, acct.ByCaller), ack, to("sip:0@a.example"), func(r *acct.Record) { r.ToTag = r.ToURI }),
			with(failed("a", 486, "Busy Here", acct.Busy, 2*s, 2*s), to("sip:1@a.example")),
			with(answered("a", 3*s, 3*s, 3*s, acct.ByCaller), ack, to("sip:2@a.example"), func(r *acct.Record) { r.ToTag = r.ToURI }),
			with(answered("a", 0, 0, 3*s, acct.ByCaller), ack),
		}},
		{"INVITE that comes again when the call is up", func(r *acct.Recorder) { // and is answered as before
			up(r, "a")
			up(r, "a")
			sleep(1 * s)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 0, 1*s, acct.ByCaller), ack)}},
		{"holds and refreshes", func(r *acct.Recorder) { // R7.4
			up(r, "a")
			for range 10 {
				sleep(time.Hour)
				r.Alive(back("a", "callee"))
				r.Refresh(forth("a", "callee"), 0)
				r.Ack(forth("a", "callee"))
			}
			r.Bye(back("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 0, 10*time.Hour, acct.ByCallee), ack)}},
		{"lost BYE", func(r *acct.Recorder) { // R7.4: as far as anybody knows
			up(r, "a")
			sleep(time.Hour)
			r.Alive(forth("a", "callee"))
			sleep(4*time.Hour + s)
			r.Bye(forth("a", "callee")) // too late
		}, []acct.Record{with(answered("a", 0, 0, time.Hour, acct.Timeout), ack, lost)}},
		{"lost BYE with session timer", func(r *acct.Recorder) { // P-67
			a := answer("callee")
			a.SessionExpires = 30 * time.Minute
			r.Begin(invite("a")).Answer(a)
			r.Ack(forth("a", "callee"))
			sleep(15 * time.Minute)
			r.Refresh(back("a", "callee"), 30*time.Minute)
			sleep(45 * time.Minute)
		}, []acct.Record{with(answered("a", 0, 0, 15*time.Minute, acct.SessionExpired), ack, lost)}},
		{"session timer goes", func(r *acct.Recorder) {
			a := answer("callee")
			a.SessionExpires = 30 * time.Minute
			r.Begin(invite("a")).Answer(a)
			r.Ack(forth("a", "callee"))
			r.Refresh(back("a", "callee"), 0)
			sleep(3 * time.Hour)
			r.Bye(forth("a", "callee"))
		}, []acct.Record{with(answered("a", 0, 0, 3*time.Hour, acct.ByCaller), ack)}},
		{"session timer longer than the timeout", func(r *acct.Recorder) {
			a := answer("callee")
			a.SessionExpires = 24 * time.Hour
			r.Begin(invite("a")).Answer(a)
			sleep(5 * time.Hour)
		}, []acct.Record{with(answered("a", 0, 0, 0, acct.Timeout), lost)}},
		{"never a final response", func(r *acct.Recorder) {
			r.Begin(invite("a")).Progress()
			sleep(5 * time.Hour)
		}, []acct.Record{with(failed("a", 408, "Request Timeout", acct.TimedOut, 0, 0), rang(0), func(r *acct.Record) { r.End = acct.Timeout })}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, m := open(t, acct.Config{})
				stop := start(t, r)
				tt.call(r)
				synctest.Wait()
				if n := r.Stats().Open + r.Stats().Held; n != 0 {
					t.Errorf("%d calls are still open", n)
				}
				stop()
				if d := cmp.Diff(tt.want, m.all(), addrPorts(), cmpopts.IgnoreFields(acct.Record{}, "ID")); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func addrPorts() cmp.Option { return cmpopts.EquateComparable(netip.AddrPort{}) }

// P-40: what the final response says.
func TestRecorder_Cause(t *testing.T) {
	tests := []struct {
		code     int
		rang     bool
		canceled bool
		want     acct.Cause
		wantCode int
	}{
		{302, true, false, acct.Rejected, 302},
		{403, false, false, acct.Rejected, 403},
		{404, false, false, acct.Rejected, 404},
		{486, true, false, acct.Busy, 486},
		{600, true, false, acct.Busy, 600},
		{603, true, false, acct.Rejected, 603},
		{480, false, false, acct.NoAnswer, 480},
		{487, true, false, acct.NoAnswer, 487},
		{487, true, true, acct.Canceled, 487},
		{408, true, false, acct.NoAnswer, 408},
		{408, false, false, acct.TimedOut, 408},
		{0, false, false, acct.TimedOut, 408},
		{500, true, false, acct.Failed, 500},
		{503, false, false, acct.Failed, 503},
		{503, false, true, acct.Canceled, 503},
	}
	r, m := open(t, acct.Config{})
	for _, tt := range tests {
		c := r.Begin(invite("a"))
		if tt.rang {
			c.Progress()
		}
		if tt.canceled {
			c.Cancel()
		}
		c.Fail(tt.code, "Reason")
		c.Fail(486, "Busy Here") // which is one too many
	}
	shut(t, r)
	got := m.all()
	if len(got) != len(tests) {
		t.Fatalf("got %d records, want %d", len(got), len(tests))
	}
	for i, tt := range tests {
		if got[i].Cause != tt.want || got[i].Code != tt.wantCode || !got[i].Answered.IsZero() {
			t.Errorf("%+v: got %v, %d", tt, got[i].Cause, got[i].Code)
		}
	}
}

// P-40, R7.1: only those to phones are missed.
func TestRecord_Sides(t *testing.T) {
	from := with(failed("a", 486, "Busy Here", acct.Busy, 0, 0), to2)
	to := with(from, func(r *acct.Record) { r.Direction, r.Source, r.Destination = acct.ToPhone, pbx1, phone })
	if from.Missed() || !to.Missed() || from.PBX() != pbx2 || to.PBX() != pbx1 {
		t.Errorf("got %t, %t, %v, %v", from.Missed(), to.Missed(), from.PBX(), to.PBX())
	}
	if up := with(answered("a", 0, 0, 1, acct.ByCaller), func(r *acct.Record) { r.Direction = acct.ToPhone }); up.Missed() {
		t.Error("a call that was answered was missed")
	}
}

// R7.5: rounded up as it is billed, from milliseconds.
func TestRecord_Durations(t *testing.T) {
	tests := []struct {
		up, ended    time.Duration
		ms, seconds  int64
		setupSeconds float64
	}{
		{2 * time.Second, 2 * time.Second, 0, 0, 2},
		{2 * time.Second, 2*time.Second + 999*time.Microsecond, 0, 0, 2},
		{0, time.Millisecond, 1, 1, 0},
		{0, 5070 * time.Millisecond, 5070, 6, 0},
		{0, 71640 * time.Millisecond, 71640, 72, 0},
		{0, 72 * time.Second, 72000, 72, 0},
		{2 * time.Second, 1 * time.Second, 0, 0, 2}, // which cannot be
	}
	for _, tt := range tests {
		r := answered("a", 0, tt.up, tt.ended, acct.ByCaller)
		if r.Milliseconds() != tt.ms || r.Seconds() != tt.seconds || r.Setup().Seconds() != tt.setupSeconds {
			t.Errorf("%+v: got %d ms, %d s, setup %v", tt, r.Milliseconds(), r.Seconds(), r.Setup())
		}
	}
	var open acct.Record
	if open.Duration() != 0 || open.Setup() != 0 {
		t.Errorf("an open call: %v, %v", open.Duration(), open.Setup())
	}
}
