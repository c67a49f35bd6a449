package main

import (
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/simnet"
)

// logged has the world begin again with a log that can be read.
func (w *world) logged(level slog.Level) *strings.Builder {
	w.Helper()
	lines := new(strings.Builder)
	w.log = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: level}))
	w.restart()
	return lines
}

// happened returns what the lines at level info say, without what differs from run
// to run, and forgets them.
func happened(lines *strings.Builder) (all []string) {
	synctest.Wait()
	for line := range strings.Lines(lines.String()) {
		if _, rest, ok := strings.Cut(strings.TrimSpace(line), " level=INFO msg="); ok {
			rest = regexp.MustCompile(` (id|call_id|contact|setup|user_agent)=("[^"]*"|\S+)`).ReplaceAllString(rest, "")
			all = append(all, regexp.MustCompile(`"(sip:[^;"]*);rid=[^"]*"`).ReplaceAllString(rest, "$1"))
		}
	}
	lines.Reset()
	return all
}

func wantLines(t testing.TB, lines *strings.Builder, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, happened(lines)); diff != "" {
		t.Errorf("lines at level info (-want +got):\n%s", diff)
	}
}

// TestLines: a phone that comes or goes is a line in the log, and none while it
// stays; a call is one when it is over, whether it has a record or not. P-78.
func TestLines(t *testing.T) {
	for name, yaml := range map[string]string{"no records": "", "records": "acct: {to: json}\ncache: {spool: %q}\n"} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(yaml, "%q", t.TempDir(), 1)
			inWorld(t, yaml+threeTenants, func(w *world) {
				lines := w.logged(slog.LevelInfo)
				ph := w.behind(simnet.Symmetric, "401", "a.test")
				uri := ph.at(w.a)
				from := w.bound("401", "a.test")[0].Flow.Remote.String()
				wantLines(t, lines, `"phone registered" aor=401@a.test src=`+from+` transport=udp expires=59m59s pbx=sip:10.0.1.10:5060`)
				for range 10 {
					ph.refresh(w.a)
				}
				wantLines(t, lines)

				l := &ledger{w: w}
				out := l.outgoing(ph, w.a)
				out.answer()
				time.Sleep(5 * time.Second)
				out.hangUp(out.callee)
				wantLines(t, lines, `call from=sip:401@a.test to=sip:402@a.test setid=10 domain=a.test direction=from_phone src=`+from+
					` dst=10.0.1.10:5060 cause=answered code=200 reason=OK duration=5s end=callee`)
				in := l.incoming(w.a, uri, ph)
				in.ring()
				in.refuse(486, acct.Busy)
				wantLines(t, lines, `call from=sip:402@10.0.1.10 to=sip:401@192.0.2.1 setid=10 domain=a.test direction=to_phone src=10.0.1.10:5060`+
					` dst=`+from+` cause=busy code=486 reason="Busy Here"`)

				ph.refresh(w.a, "Contact: *", "Expires: 0")
				wantLines(t, lines, `"phone unregistered" aor=401@a.test src=`+from+` transport=udp`)
			})
		})
	}
}

// TestLines_Off: none of them if the operator does not want them.
func TestLines_Off(t *testing.T) {
	inWorld(t, "log: {calls: off, registrations: off}"+threeTenants, func(w *world) {
		lines := w.logged(slog.LevelInfo)
		ph := w.public("401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		in.exchange(phoneIn, "BYE")
		wantLines(t, lines)
	})
}

// TestLines_Few: a call with all that can be in one is at most three lines, and at no
// level is there anything in the log that proves who somebody is. P-78.
func TestLines_Few(t *testing.T) {
	inWorld(t, threeBoxes, func(w *world) {
		lines := w.logged(slog.LevelDebug)
		ph := w.public("401", "a.test")
		first := ph.home()
		auth := `Proxy-Authorization: Digest username="401", realm="asterisk", nonce="SECRET", cnonce="SECRET", response="SECRET"`
		l := &ledger{w: w}
		l.dial(ph.side(), first.side(), ph.call("INVITE", "sip:402@a.test", "Call-ID: the-call")).refuse(407, acct.Rejected)
		first.host.BlackHole(true)
		d := l.sent(ph.side(), ph.call("INVITE", "sip:402@a.test", "Call-ID: the-call", "CSeq: 2 INVITE", auth, strings.Replace(auth, "Proxy-", "", 1)))
		time.Sleep(w.cfg.Timers.Branch)
		second, m := w.who("INVITE")
		second.Reply(m, 404, "pbx")
		second.Expect("ACK")
		ph.Send(ph.to, w.another("ACK", d.invite, "To: "+w.answer(ph.Peer, 404).Get("To")))
		synctest.Wait()
		info := 0
		for line := range strings.Lines(lines.String()) {
			if strings.Contains(line, "the-call") && !strings.Contains(line, "level=DEBUG") {
				info++
			}
			for _, secret := range []string{"SECRET", "981e24c2", "1795325083"} {
				if strings.Contains(line, secret) {
					t.Errorf("%s in %s", secret, line)
				}
			}
		}
		if info == 0 || info > 3 {
			t.Errorf("%d lines of a call\n%s", info, lines)
		}
	})
}

// TestCallLines: whoever calls in vain does not fill the disk; calls that were
// answered and those to phones have their line all the same.
func TestCallLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines strings.Builder
		sink := newCallLines(slog.New(slog.NewTextHandler(&lines, nil)))
		write := func(records ...acct.Record) (calls, said int) {
			t.Helper()
			lines.Reset()
			if err := sink.Write(t.Context(), records); err != nil {
				t.Error(err)
			}
			return strings.Count(lines.String(), "msg=call "), strings.Count(lines.String(), "more than are logged")
		}
		vain := make([]acct.Record, 5000)
		if calls, said := write(vain...); calls != 200 || said != 0 {
			t.Errorf("%d lines of 5000 calls, said %d times", calls, said)
		}
		for _, r := range []acct.Record{{Answered: time.Now()}, {Direction: acct.ToPhone}} {
			if calls, _ := write(r); calls != 1 {
				t.Errorf("no line of %+v", r)
			}
		}
		time.Sleep(time.Second)
		if calls, said := write(vain...); calls != 20 || said != 0 { // they were told with the one that was answered
			t.Errorf("%d lines a second later, said %d times", calls, said)
		}
		time.Sleep(time.Minute)
		if calls, said := write(vain[:100]...); calls != 100 || said != 1 || !strings.Contains(lines.String(), "count=4980") {
			t.Errorf("%d lines a minute later, said %d times", calls, said)
		}
	})
}
