package peertest

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// heard is a message that a SIPp has sent, not before at, or received, not after at.
type heard struct {
	at time.Time
	*message
}

// heard returns all messages in the order in which they came and went. SIPp notes the
// time when it is done with one; so what was sent was sent after the one before.
func (r *sippRun) heard() (all []heard) {
	var before time.Time
	for part := range strings.SplitSeq(r.read("msg"), "-----------------------------------------------") {
		head, text, ok := strings.Cut(part, "\n\n")
		stamp, what, _ := strings.Cut(strings.TrimSpace(head), "\n")
		at, err := time.ParseInLocation("2006-01-02 15:04:05.000000", stamp, time.Local)
		if !ok || err != nil {
			continue
		}
		h := heard{at, parseMessage(text)}
		if strings.Contains(what, "sent") && !before.IsZero() {
			h.at = before
		}
		before = at
		all = append(all, h)
	}
	return all
}

// cdr is what a record says, but for its times.
type cdr struct {
	callID, fromTag, toTag, fromURI, toURI, code, reason, cause, end        string
	setid, domain, direction, source, destination, backend, from, to, noACK string
}

// times are those of a record.
type times struct {
	created, over time.Time // over is when it was answered, or was known not to be
	setup         int64
	seconds, ms   int64
}

// readRecords returns the records of a table by their Call-IDs.
func (d *database) readRecords(table string) (map[string]cdr, map[string]times) {
	d.t.Helper()
	durations := "duration, ms_duration"
	if table == "missed_calls" {
		durations = "0, 0"
	}
	found, err := d.db.QueryContext(d.t.Context(), `SELECT callid, from_tag, to_tag, from_uri, to_uri, sip_code, sip_reason, cause, end_reason, setid, domain,
		direction, src_ip, dst_ip, backend, user_agent, callee_agent, no_ack, CAST(created AS CHAR), CAST(time AS CHAR), setuptime, `+durations+` FROM `+table)
	if err != nil {
		d.t.Fatal(err)
	}
	defer found.Close()
	said, when := map[string]cdr{}, map[string]times{}
	for found.Next() {
		var c cdr
		var w times
		var created, over string
		if err := found.Scan(&c.callID, &c.fromTag, &c.toTag, &c.fromURI, &c.toURI, &c.code, &c.reason, &c.cause, &c.end, &c.setid, &c.domain,
			&c.direction, &c.source, &c.destination, &c.backend, &c.from, &c.to, &c.noACK, &created, &over, &w.setup, &w.seconds, &w.ms); err != nil {
			d.t.Fatal(err)
		}
		w.created, w.over = local(d.t, created), local(d.t, over)
		if _, twice := said[c.callID]; twice {
			d.t.Errorf("%s: %s is there twice", table, c.callID)
		}
		said[c.callID], when[c.callID] = c, w
	}
	if err := found.Err(); err != nil {
		d.t.Fatal(err)
	}
	return said, when
}

// local reads a DATETIME, which is in local time.
func local(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation(time.DateTime, text, time.Local)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// count returns how many rows a table has; -1 if it cannot be asked.
func (d *database) count(table string) (n int) {
	if err := d.db.QueryRowContext(d.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		return -1
	}
	return n
}

// truth is what both ends of a call know of it.
type truth struct {
	record    cdr
	invite    time.Time // when it was sent
	leastOver time.Time // between these two it was answered or refused
	mostOver  time.Time
	leastMS   int64
	mostMS    int64
}

// truths returns what the SIPps of a kind of calls have heard, by Call-ID. The callee
// may be none.
func (k *kind) truths(caller, callee *sippRun) map[string]*truth {
	type seen struct{ ok, ack, bye time.Time } // each when it was there for the first time
	all, ends := map[string]*truth{}, map[string]*[2]seen{}
	first := func(t *time.Time, at time.Time) {
		if t.IsZero() {
			*t = at
		}
	}
	for i, r := range []*sippRun{caller, callee} {
		if r == nil {
			continue
		}
		for _, h := range r.heard() {
			id := h.get("Call-ID")
			if ends[id] == nil {
				ends[id] = new([2]seen)
			}
			e := &ends[id][i]
			switch kind := h.kind(); {
			case kind == "INVITE" && i == 0:
				if all[id] == nil {
					all[id] = &truth{record: k.record(h), invite: h.at}
				}
			case kind == "200 INVITE":
				first(&e.ok, h.at)
			case kind == "ACK":
				first(&e.ack, h.at)
			case kind == "BYE":
				first(&e.bye, h.at)
			}
			if i == 0 && h.method() == "INVITE" && h.status() >= 200 {
				all[id].answered(h)
			}
		}
	}
	for id, t := range all {
		caller, callee := ends[id][0], ends[id][1]
		if t.record.code != "200" {
			t.leastOver = t.invite
			continue
		}
		t.leastOver = callee.ok
		if caller.ack.IsZero() {
			t.record.noACK = "1"
		}
		over := [2]time.Time{caller.bye, callee.bye}
		if k.cause == "lost" { // the ACK was its last sign of life
			over = [2]time.Time{caller.ack, callee.ack}
		}
		sent, received := over[0], over[1]
		if sent.After(received) {
			sent, received = received, sent
		}
		t.leastMS, t.mostMS = sent.Sub(caller.ok).Milliseconds(), received.Sub(callee.ok).Milliseconds()+1
	}
	return all
}

// record is that of a call that begins with an INVITE, as far as the INVITE tells.
func (k *kind) record(invite heard) cdr {
	c := cdr{
		callID: invite.get("Call-ID"), fromTag: param(invite.get("From"), "tag"), fromURI: uriOf(invite.get("From")), toURI: uriOf(invite.get("To")),
		cause: k.cause, end: k.end, setid: strconv.Itoa(10 * (k.set + 1)), domain: domain(k.set),
		direction: "to_phone", source: k.pbxEnd.at.Addr().String(), destination: k.phoneAt.Addr().String(), backend: k.pbxEnd.at.String(), from: "pbx", noACK: "0",
	}
	if k.outgoing() {
		c.direction, c.source, c.destination, c.from = "from_phone", c.destination, c.source, "phone"
	}
	return c
}

// answered notes a final answer to the INVITE; it is not the last one if that asks
// for credentials.
func (t *truth) answered(h heard) {
	t.record.code, t.record.toTag, t.record.to, t.mostOver = strconv.Itoa(h.status()), "", "", h.at
	t.record.reason = strings.TrimPrefix(h.first, "SIP/2.0 "+t.record.code+" ")
	if h.status() == 200 {
		t.record.toTag, t.record.to = param(h.get("To"), "tag"), h.get("User-Agent")
	}
}

// check compares the times of a record with the truth. Those in the tables are whole
// seconds.
func (t *truth) check(test *testing.T, w times) {
	test.Helper()
	within := func(what string, got, least, most time.Time) {
		if got.Before(least.Truncate(time.Second)) || got.After(most) {
			test.Errorf("%s: %s at %v, want %v to %v", t.record.callID, what, got, least, most)
		}
	}
	within("created", w.created, t.invite, t.mostOver)
	within("answered or over", w.over, t.leastOver, t.mostOver)
	if w.setup != int64(w.over.Sub(w.created)/time.Second) {
		test.Errorf("%s: setup time %d s, from %v to %v", t.record.callID, w.setup, w.created, w.over)
	}
	if w.ms < t.leastMS || w.ms > t.mostMS || w.seconds != (w.ms+999)/1000 {
		test.Errorf("%s: %d s, %d ms; want %d to %d ms", t.record.callID, w.seconds, w.ms, t.leastMS, t.mostMS)
	}
}

// kind is a kind of calls between a phone and a PBX.
type kind struct {
	name       string // the phone's user
	cause, end string
	story      story
	set        int            // number of the tenant
	dials      string         // of the PBX, if not the phone's Contact
	absent     bool           // the phone is gone
	phoneAt    netip.AddrPort // where the phone is, or was

	phoneEnd, pbxEnd *end
}

func (k *kind) outgoing() bool { return k.story[0].from == phone }
