package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// everyCommand has arguments for each command on the database.
func everyCommand() map[string][]string {
	arguments := map[string]string{
		"domain add": "a.test", "domain rm": "a.test", "dispatcher add": "10 sip:10.0.1.10", "dispatcher rm": "1",
		"dispatcher set-state": "1 active", "location show": "401@a.test", "location rm": "401@a.test", "backup": "-", "restore": "none",
	}
	all := map[string][]string{}
	for _, c := range console.Commands() {
		if c.Name == "explain" || strings.HasPrefix(c.Name, "ban ") { // which need no database
			continue
		}
		all[c.Name] = strings.Fields(c.Name + " " + arguments[c.Name])
	}
	return all
}

// P-54: without a database, what is missing is named; a database that is not
// there or does not let us in is said to be so; no word of it is the password.
func TestDatabase_Missing(t *testing.T) {
	t.Setenv("SIPWARD_CONFIG", "")
	t.Setenv("SIPWARD_DATABASE", "")
	s := newSite(t)
	for _, tt := range []struct {
		name, config string
		code         int
		says         string
	}{
		{"no database", "", console.ExitUsage, "SIPWARD_DATABASE"},
		{"no DSN", `database: "s3cret"`, console.ExitUsage, ""},
		{"no database in it", `database: "op:s3cret@tcp(127.0.0.1:9)/"`, console.ExitUsage, ""},
		{"other fault", `{lisen: x, database: "op:s3cret@tcp(127.0.0.1:9)/sip"}`, console.ExitUsage, "lisen"},
		{"no server", `database: "op:s3cret@tcp(127.0.0.1:9)/sip"`, console.ExitFailed, "127.0.0.1:9"},
		{"no entry", fmt.Sprintf(`database: "op:s3cret@unix(%s)/sip"`, s.socket), console.ExitFailed, "denied"},
	} {
		file := s.file("missing.yaml", tt.config)
		for name, args := range everyCommand() {
			if name == "restore" && tt.code == console.ExitFailed {
				continue // which looks at the file first
			}
			code, stdout, stderr := s.runWith(append(args, "-config", file)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) {
				t.Errorf("%s, %s: exit code %d, want %d, and %q in\n%s", tt.name, name, code, tt.code, tt.says, stderr)
			}
			if stdout != "" && name != "db check" && name != "status" {
				t.Errorf("%s, %s: stdout is\n%s", tt.name, name, stdout)
			}
		}
	}
}

// P-64: what is wrong with a command's words is a document, too, wherever -json
// stands.
func TestUsage_JSON(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir()}
	for _, c := range append(console.Commands(), console.Version()) {
		for _, words := range []string{"-json -bogus", "-bogus -json", "-bogus --json", "1 2 3 4 -json"} {
			args := strings.Fields(c.Name + " " + words)
			code, stdout, stderr := s.runWith(args...)
			if code != console.ExitUsage || !strings.Contains(stdout, `"error": "`) || stderr == "" {
				t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
	}
}

// Help is for people.
func TestUsage_Help(t *testing.T) {
	t.Parallel()
	s := &site{t: t, dir: t.TempDir()}
	for _, c := range append(console.Commands(), console.Version()) {
		code, stdout, stderr := s.runWith(append(strings.Fields(c.Name), "-h")...)
		if code != console.ExitDone || stdout != "" || !strings.HasPrefix(stderr, "usage: proxy "+c.Name) {
			t.Errorf("%s: exit code %d, stdout %q, stderr\n%s", c.Name, code, stdout, stderr)
		}
	}
}

// The configuration comes from the flag, from SIPWARD_CONFIG or not at all, and
// the database from SIPWARD_DATABASE before all.
func TestDatabase_Environment(t *testing.T) {
	s := newSite(t)
	t.Setenv("SIPWARD_DATABASE", "")
	t.Setenv("SIPWARD_CONFIG", s.config)
	if code, _, stderr := s.runWith("db", "init"); code != console.ExitDone {
		t.Errorf("by SIPWARD_CONFIG: exit code %d: %s", code, stderr)
	}
	t.Setenv("SIPWARD_DATABASE", "op:s3cret@tcp(127.0.0.1:9)/sip")
	if code, _, stderr := s.run("db", "init"); code != console.ExitFailed || !strings.Contains(stderr, "127.0.0.1:9") {
		t.Errorf("by SIPWARD_DATABASE: exit code %d: %s", code, stderr)
	}
}

// admin is a running proxy, as far as commands see it.
func admin(t *testing.T, handlers map[string]http.HandlerFunc) (setting string) {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, h)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return "admin: " + server.Listener.Addr().String()
}

// A running proxy forgets what an operator has removed.
func TestLocationRm_Forgets(t *testing.T) {
	t.Parallel()
	var forgotten []string
	s := newSite(t, admin(t, map[string]http.HandlerFunc{"POST /location/forget": func(_ http.ResponseWriter, r *http.Request) {
		forgotten = append(forgotten, r.URL.Query().Get("aor"))
	}}))
	s.do("db", "init")
	s.exec("INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (1, 'a b&c', 'a.test', 'sip:x', 0)")
	if code, _, stderr := s.run("location", "rm", "a%20b&c@a.test"); code != console.ExitDone || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if len(forgotten) != 1 || forgotten[0] != "a%20b&c@a.test" {
		t.Errorf("forgotten is %q", forgotten)
	}

	broken := newSite(t, admin(t, nil))
	broken.do("db", "init")
	broken.exec("INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (1, '401', 'a.test', 'sip:x', 0)")
	if code, _, stderr := broken.run("location", "rm", "401@a.test"); code != console.ExitDone || !strings.Contains(stderr, "404 page not found") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	off := newSite(t, `admin: ""`)
	off.do("db", "init")
	off.exec("INSERT INTO location (contact_id, username, domain, contact, expires) VALUES (1, '401', 'a.test', 'sip:x', 0)")
	if code, _, stderr := off.run("location", "rm", "401@a.test"); code != console.ExitDone || !strings.Contains(stderr, "no admin address") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}

// The status tells of a running proxy, and does so without the database, too.
func TestStatus_Proxy(t *testing.T) {
	t.Parallel()
	ready := http.StatusOK
	setting := admin(t, map[string]http.HandlerFunc{
		"GET /readyz": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(ready)
			fmt.Fprintln(w, "database: down")
		},
		"GET /debug/state": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"tenants": 3}`) },
	})
	s := newSite(t, setting, `tenants: [{setid: 40, domains: [file.test], destinations: [{uri: "sip:10.0.1.40"}, {uri: "sip:10.0.1.41", state: 1}]}]`)
	s.do("db", "init")
	wants := func(code int, args []string, wants ...string) {
		t.Helper()
		got, stdout, stderr := s.run(args...)
		if got != code {
			t.Errorf("exit code %d, want %d: %s", got, code, stderr)
		}
		for _, want := range wants {
			if !strings.Contains(stdout, want) {
				t.Errorf("there is no %q in\n%s", want, stdout)
			}
		}
	}
	wants(console.ExitDone, []string{"status"}, ": ready\n", `{"tenants": 3}`, "40     1 of 2        0         file.test 0")
	ready = http.StatusServiceUnavailable
	wants(console.ExitDone, []string{"status"}, ": not ready: database: down\n")
	wants(console.ExitDone, []string{"status", "-json"}, `"ready": false`, `"tenants": 3`, `"answer": "database: down"`)
	s.exec("DROP TABLE domain")
	wants(console.ExitFailed, []string{"status", "-json"}, `"error": "`, `"tenants": 3`, `"file.test": 0`)
}

// More bindings than are read at once are one document.
func TestLocationList_Many(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("db", "init")
	s.exec("INSERT INTO location (contact_id, username, domain, contact, received, expires) SELECT seq, seq, 'a.test', CONCAT('sip:', seq, '@192.0.2.7'), IF(seq % 100 = 0, 'nonsense', NULL), 0 FROM seq_1_to_2500")
	code, stdout, stderr := s.run("location", "list", "-json")
	if n := strings.Count(stdout, `"aor"`); code != console.ExitDone || n != 2475 {
		t.Errorf("exit code %d, %d bindings", code, n)
	}
	if n := strings.Count(stderr, "\n"); n != 11 || !strings.Contains(stderr, "15 more rows of location cannot be read") {
		t.Errorf("stderr is\n%s", stderr)
	}
}
