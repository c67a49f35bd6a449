package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/examples/proxy/internal/seclog"
	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
)

// TestSecurityRows: who fails to register and who knocks in vain is in the tables,
// with the address that the request came from, and of a flood a part, which stands for the rest. A
// registration that succeeds after its challenge is not there. P-43 P-83.
func TestSecurityRows(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	if err := seclog.Create(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf("database: %q\nstore: memory\nacct: {to: off}\n%s", server.Config(t, db).FormatDSN(), threeTenants)
	inWorld(t, yaml, func(w *world) {
		w.behind(simnet.PortRestricted, "400", "a.test").at(w.a)
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		refused := func(status int, fields ...string) {
			ph.ask(ph.registerText(fields...))
			w.a.Reply(w.a.Expect("REGISTER"), status, "pbx", challenge)
			ph.Status(status)
		}
		refused(401)
		refused(401, `Authorization: Digest username="401", realm="asterisk", nonce="1795325083/039e", response="0"`, "User-Agent: phone/1")
		refused(403, "Expires: 60")
		refused(404, "Expires: soon")
		x := w.stranger()
		x.Send(w.at, siptestx.Edit(x.Request("INVITE", "sip:100@x.test"), "User-Agent: dialer"))
		time.Sleep(time.Minute) // there is no answer
		s := siptestx.Dial(w, w.net.NewHost(w.outside()), w.at)
		s.Send(w.at, siptestx.Edit(s.Request("OPTIONS", "sip:a.test"), "User-Agent: friendly-scanner"))
		time.Sleep(time.Minute)
		if st := w.proxy.view().Seclog; *st != (seclog.Stats{Written: 5}) {
			t.Errorf("%+v", *st)
		}
		x.Send(w.at, "OPTIONS sip:a.test SIP/2.0\r\n\r\n")
		y := w.stranger()
		for range 300 {
			y.Send(w.at, y.Request("INVITE", "sip:100@x.test"))
		}
		time.Sleep(time.Minute)
		if n := w.proxy.view().Seclog.Written; n < 7 || n > 50 {
			t.Errorf("a flood of 300 has made %d rows", n)
		}
		y.Send(w.at, y.Request("INVITE", "sip:100@x.test"))
		time.Sleep(time.Minute)
	})
	wantRows(t, db, "SELECT SUM(attempts) FROM door_knock_attempts WHERE source_ip = '203.0.113.5'", "201") // all that the limit of an address lets in
	wantRows(t, db, "SELECT CONCAT_WS(' ', username, domain, source_ip, COALESCE(user_agent, '-'), response_code, COALESCE(response_reason, '-'), COALESCE(expires_header, '-')) FROM failed_registrations ORDER BY id",
		"401 a.test 203.0.113.2 phone/1 401 Unauthorized 3600",
		"401 a.test 203.0.113.2 - 403 - 60",
		"401 a.test 203.0.113.2 - 404 Not Found -")
	wantRows(t, db, "SELECT CONCAT_WS(' ', COALESCE(domain, '-'), source_ip, source_port, COALESCE(user_agent, '-'), method, COALESCE(request_uri, '-'), reason) FROM door_knock_attempts WHERE source_ip <> '203.0.113.5' ORDER BY id",
		"x.test 203.0.113.3 5060 dialer INVITE sip:100@x.test domain_not_found",
		"a.test 203.0.113.4 49152 friendly-scanner OPTIONS sip:a.test scanner_detected",
		"- 203.0.113.3 5060 -  - malformed")
}
