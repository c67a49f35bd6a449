package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/internal/simnet"
)

// TestReload: new tenants count at once, a faulty file does not, and a call in
// progress does not notice.
func TestReload(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		uri := ph.at(w.a)
		in, phoneIn := callIn(w.a, uri, ph)
		w.reload(threeTenants + `  - {setid: 40, domains: [d.test], destinations: [{uri: "sip:10.0.1.40:5060"}]}` + "\n")
		d := w.pbx("10.0.1.40", "d.test")
		added := w.public("401", "d.test")
		d.reaches(added, "INVITE", added.at(d))
		w.a.reaches(ph, "INVITE", uri)
		w.reload("tenants: [{setid: ten}]")
		d.reaches(added, "INVITE", d.contacts["401"][0])
		w.reload(strings.Replace(threeTenants, "10.0.1.20", "10.0.1.21", 1))
		d.ask("MESSAGE", d.contacts["401"][0]) // a stranger now
		w.quiet()
		w.a.reaches(ph, "INVITE", uri)
		conversation(in, phoneIn)
	})
}

// TestReload_Database: the same by SQL, by itself and on SIGHUP.
func TestReload_Database(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	dsn := server.Config(t, db).FormatDSN()
	yaml := fmt.Sprintf("database: %q\nstore: memory\n%s", dsn, threeTenants)
	for _, hangup := range []bool{false, true} {
		t.Run(fmt.Sprint("hangup ", hangup), func(t *testing.T) {
			emptyTables(t, db)
			change := func(w *world, statements ...string) {
				w.Helper()
				exec(w, db, statements...)
				if hangup {
					w.reload(yaml)
				} else {
					time.Sleep(33 * time.Second)
					synctest.Wait()
				}
			}
			inWorld(t, yaml, func(w *world) {
				ph := w.behind(simnet.PortRestricted, "401", "a.test")
				uri := ph.at(w.a)
				in, phoneIn := callIn(w.a, uri, ph)
				change(w, "INSERT INTO domain (domain, setid) VALUES ('d.test', 40)", "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.40')")
				d := w.pbx("10.0.1.40", "d.test")
				added := w.public("401", "d.test")
				d.reaches(added, "INVITE", added.at(d))
				inD, phoneD := callIn(d, d.contacts["401"][0], added)

				change(w, "INSERT INTO dispatcher (setid, destination) VALUES (40, 'sip:10.0.1.41')", "UPDATE domain SET domain = 'e.test'")
				w.pbx("10.0.1.41", "e.test")
				conversation(inD, phoneD)

				change(w, "DELETE FROM domain", "DELETE FROM dispatcher")
				d.ask("MESSAGE", d.contacts["401"][0]) // a stranger now
				w.quiet()
				w.a.reaches(ph, "INVITE", uri)
				conversation(in, phoneIn)
			})
		})
	}
}
