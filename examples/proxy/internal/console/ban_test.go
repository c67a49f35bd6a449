package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/internal/console"
)

// TestBan_Golden: what the proxy is asked, and what is printed of its answers.
func TestBan_Golden(t *testing.T) {
	var tr *transcript
	answers := map[string]struct {
		status int
		body   string
	}{
		"GET":                    {200, `[{"prefix":"192.0.2.1/32","until":"2026-03-14T12:00:00+01:00","reason":"failed_registration","count":2},{"prefix":"198.51.100.0/24","reason":"a\u001b[2J"},{"prefix":"2001:db8::/64","reason":""}]`},
		"POST 192.0.2.1":         {200, `{"prefix":"192.0.2.1/32","until":"2026-03-14T12:00:00Z","reason":"by hand"}`},
		"POST 2001:db8::1":       {200, `{"prefix":"2001:db8::/64","reason":"<spam>"}`},
		"POST 10.0.1.10":         {409, "ban 10.0.1.10/32: guard: trusted addresses cannot be banned\n"},
		"POST pbx":               {400, "\"pbx\" is neither a prefix nor an address\n"},
		"POST 192.0.2.9":         {507, "ban 192.0.2.9/32: guard: too many bans\n"},
		"DELETE 192.0.2.1":       {200, `{"prefix":"192.0.2.1/32","reason":""}`},
		"DELETE 192.0.2.2":       {404, "no ban of 192.0.2.2/32 is in force\n"},
		"DELETE another server":  {404, "404 page not found\n"},
		"DELETE another program": {200, "hello"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(&tr.text, "? %s %s\n", r.Method, r.URL)
		a := answers[strings.TrimSpace(r.Method+" "+r.URL.Query().Get("prefix"))]
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	}))
	defer server.Close()
	tr = &transcript{site: newSite(t, fmt.Sprintf("admin: %q", server.Listener.Addr()))}
	tr.play(`
		ban list
		ban list -json
		ban add 192.0.2.1 -for 90m
		ban add 2001:db8::1 -reason <spam>
		ban add 2001:db8::1 -json
		ban add 10.0.1.10
		ban add 10.0.1.10 -json
		ban add pbx
		ban add 192.0.2.9
		ban rm 192.0.2.1
		ban rm 192.0.2.1 -json
		ban rm 192.0.2.2
		ban rm "another server"
		ban rm "another program"
	`)
	text := strings.ReplaceAll(tr.text.String(), server.Listener.Addr().String(), "ADMIN")
	tr.text.Reset()
	tr.text.WriteString(text)
	tr.compare("ban")
}

// TestBan_NoDatabase: the commands do without one, but not without a proxy.
func TestBan_NoDatabase(t *testing.T) {
	t.Setenv("SIPWARD_DATABASE", "")
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, []byte("admin: 127.0.0.1:9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ban list", "ban add 192.0.2.1", "ban rm 192.0.2.1"} {
		var out, errs strings.Builder
		code := console.Run(t.Context(), console.Commands(), append(strings.Fields(command), "-config", file), &out, &errs)
		if code != console.ExitFailed || !strings.Contains(errs.String(), "no proxy answers at 127.0.0.1:9") {
			t.Errorf("%s: exit code %d\n%s", command, code, &errs)
		}
	}
}
