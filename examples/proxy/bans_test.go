package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/internal/console"
	"github.com/sipward/sipward/internal/mysqltest"
)

// TestBans_Commands: the commands of an operator at a real proxy, with each way
// that they can end. P-56.
func TestBans_Commands(t *testing.T) {
	t.Setenv("SIPWARD_DATABASE", "")
	p, err := newProxy(t.Context(), parseConfig(t, threeTenants), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	server := httptest.NewServer(p.routes())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "admin: %q\n", server.Listener.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		command string
		code    int
		says    string
	}{
		{"ban list -json", exitDone, "[]\n"},
		{"ban add 203.0.113.7/24 -reason flood", exitDone, "banned 203.0.113.0/24 until it is lifted\n"},
		{"ban add 2001:db8::7 -for 2h", exitDone, "banned 2001:db8::/64 until "},
		{"ban add 192.0.2.77 -for 1h", exitDone, "banned 192.0.2.77/32 until "},
		{"ban list", exitDone, "203.0.113.0/24  -                     -       flood\n"},
		{"ban add 10.0.1.10", console.ExitRefused, "trusted addresses cannot be banned"}, // a PBX
		{"ban add 10.0.0.0/8", console.ExitRefused, "trusted addresses cannot be banned"},
		{"ban add 127.0.0.1", console.ExitRefused, "trusted addresses cannot be banned"},
		{"ban add 0.0.0.0/0", exitUsage, "every address"},
		{"ban add pbx.test", exitUsage, `"pbx.test" is neither a prefix nor an address`},
		{"ban add fe80::1%eth0", exitUsage, "neither a prefix nor an address"},
		{"ban add ::ffff:192.0.2.1", exitUsage, "neither a prefix nor an address"},
		{"ban add 192.0.2.9 -reason " + strings.Repeat("x", 256), exitUsage, "the reason is too long"},
		{"ban rm 203.0.113.0/24", exitDone, "the ban of 203.0.113.0/24 is lifted\n"},
		{"ban rm 203.0.113.0/24", exitFailed, "no ban of 203.0.113.0/24 is in force"},
		{"ban rm 2001:db8::1", exitDone, "the ban of 2001:db8::/64 is lifted\n"},
		{"ban rm nonsense", exitUsage, "neither a prefix nor an address"},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append(strings.Fields(tt.command), "-config", file), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stdout.String()+stderr.String(), tt.says) {
			t.Errorf("%s: exit code %d\n%s%s", tt.command, code, &stdout, &stderr)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/bans?prefix=192.0.2.9", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site") // from a page in a browser
	rec := httptest.NewRecorder()
	p.routes().ServeHTTP(rec, r)
	if rec.Code != http.StatusForbidden {
		t.Errorf("from another site: %d %s", rec.Code, rec.Body)
	}
	for _, query := range []string{"for=soon", "for=-1h", "for=0s"} {
		rec := httptest.NewRecorder()
		p.routes().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/bans?prefix=192.0.2.9&"+query, nil))
		if rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

// ban has the proxy ban a prefix.
func (w *world) ban(prefix string) {
	w.Helper()
	rec := httptest.NewRecorder()
	w.proxy.serveBan(rec, httptest.NewRequest(http.MethodPost, "/bans?reason=test&prefix="+url.QueryEscape(prefix), nil))
	if rec.Code != http.StatusOK {
		w.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// banned returns the prefixes that are banned.
func (w *world) banned() (all []string) {
	for b := range w.proxy.guard.Bans(time.Now()) {
		all = append(all, b.Prefix.String())
	}
	return all
}

// TestBans_Served: who is banned by hand gets no answer until that is lifted, not
// even a phone that is registered; others are served.
func TestBans_Served(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, other := w.public("401", "a.test"), w.public("402", "a.test")
		ph.at(w.a)
		uri := other.at(w.a)
		w.ban(ph.Addr.Addr().String())
		ph.ask(ph.registerText())
		ph.Silent(10 * time.Second)
		w.quiet()
		w.a.reaches(other, "MESSAGE", uri)
		rec := httptest.NewRecorder()
		w.proxy.serveUnban(rec, httptest.NewRequest(http.MethodDelete, "/bans?prefix="+ph.Addr.Addr().String(), nil))
		if rec.Code != http.StatusOK || len(w.banned()) > 0 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		ph.refresh(w.a)
	})
}

// spooled is a configuration that needs a spool directory.
func spooled(dir string) string {
	return fmt.Sprintf("cache: {spool: %q}\nacct: {to: json}\n", dir) + threeTenants
}

// TestBans_Restart: bans outlive the proxy, those of networks that have become
// trusted do not, and what is no list of bans is no reason not to start. P-56.
func TestBans_Restart(t *testing.T) {
	dir := t.TempDir()
	inWorld(t, spooled(dir), func(w *world) {
		files, err := filepath.Glob(filepath.Join(dir, "bans", "*"))
		if len(files) > 0 || err != nil {
			t.Errorf("before the first minute: %v %v", files, err)
		}
		x := w.stranger()
		w.ban(x.Addr.Addr().String())
		w.restart()
		x.Send(w.at, x.Request("OPTIONS", "sip:a.test"))
		x.Silent(10 * time.Second)

		w.ban("198.51.100.0/24")
		time.Sleep(saveBans) // no end of the proxy is needed
		files, err = filepath.Glob(filepath.Join(dir, "bans", "*"))
		if len(files) != 1 || err != nil {
			t.Fatalf("after a minute: %v %v", files, err)
		}
		saved, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		w.stop()
		for text, want := range map[string][]string{
			string(saved): {"198.51.100.0/24", "203.0.113.1/32"},
			strings.Replace(string(saved), "198.51.100.0/24", "10.0.1.0/24", 1): {"203.0.113.1/32"}, // with a PBX
			"[{":        nil,
			`[{"a":1}]`: nil,
		} {
			if err := os.WriteFile(files[0], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			w.start()
			if d := cmp.Diff(want, w.banned()); d != "" {
				t.Errorf("%s\n%s", text, d)
			}
			w.stop()
		}
		if err := os.RemoveAll(filepath.Join(dir, "bans")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "bans"), nil, 0o600); err != nil { // no directory: nothing can be saved
			t.Fatal(err)
		}
		w.start()
		time.Sleep(2 * saveBans)
	})
}

// TestBans_Earned: how often a ban was earned is remembered over a restart.
func TestBans_Earned(t *testing.T) {
	inWorld(t, spooled(t.TempDir()), func(w *world) {
		src := guard.Source{Addr: netip.AddrPortFrom(w.outside(), 5060), Transport: "tcp"}
		for range 10 {
			w.proxy.guard.Failed(src, guard.Scanner, time.Now())
		}
		before := slices.Collect(w.proxy.guard.Bans(time.Now()))
		w.restart()
		after := slices.Collect(w.proxy.guard.Bans(time.Now()))
		if d := cmp.Diff(before, after, cmpopts.EquateComparable(netip.Prefix{})); d != "" || len(after) != 1 || after[0].Count != 1 {
			t.Errorf("%+v\n%s", after, d)
		}
	})
}

// TestBans_Rows: whoever becomes a PBX by a row of the table dispatcher, its address
// or one that it sends from, is not banned any more, and cannot be, from the next time
// that the rows are read; nor is it if it is taken out again. P-56.
func TestBans_Rows(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	createTables(t, db)
	yaml := fmt.Sprintf("database: %q\nstore: memory\nacct: {to: off}\n%s", server.Config(t, db).FormatDSN(), threeTenants)
	inWorld(t, yaml, func(w *world) {
		scan := func(from string) { // by which a stranger is banned
			for range 10 {
				w.proxy.guard.Failed(guard.Source{Addr: netip.MustParseAddrPort(from), Transport: "tcp"}, guard.Scanner, time.Now())
			}
		}
		wantBans := func(want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, w.banned()); diff != "" {
				t.Errorf("bans (-want +got):\n%s", diff)
			}
		}
		all := []string{"198.51.100.8/32", "198.51.100.9/32", "198.51.101.0/24"}
		w.ban(all[0])
		scan("198.51.100.9:5060")
		w.ban(all[2])
		wantBans(all...)
		exec(w, db, "INSERT INTO dispatcher (setid, destination, attrs) VALUES (10, 'sip:198.51.100.8:5060', 'source_ip=198.51.100.9,198.51.101.77')")
		w.reload(yaml)
		wantBans()
		scan("198.51.100.9:5060")
		wantBans()
		exec(w, db, "DELETE FROM dispatcher")
		w.reload(yaml)
		wantBans()
		scan("198.51.100.9:5060")
		wantBans(all[1])
	})
}
