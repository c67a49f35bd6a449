package peertest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/mysqltest"
)

// The operator's commands are the program's, on a database of its environment:
// from nothing to a backup that is restored, with each exit code. That they do
// what they say is proved where they are.
func TestConsole(t *testing.T) {
	t.Parallel()
	server := mysqltest.New(t)
	db := server.DB(t)
	cfg := server.Config(t, db)
	cfg.User, cfg.Passwd = "op", "s3cret" // P-54: not the user that runs the program
	for _, statement := range []string{
		"CREATE USER op@localhost IDENTIFIED BY 's3cret'",
		"GRANT ALL ON " + cfg.DBName + ".* TO op@localhost",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "proxy.yaml")
	if err := os.WriteFile(file, []byte("admin: \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup")
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // to be found in it
		stderr string
	}{
		{"db check", 1, "there is no table version", "cannot use"},
		{"db init", 0, "added table location", ""},
		{"db check -json", 0, `"usable": true`, ""},
		{"domain add a.test 10", 0, "set 10", "no destinations"},
		{"dispatcher add 10 sip:10.0.1.10:5060 -weight 2", 0, "destination 1", ""},
		{"dispatcher set-state 1 inactive", 0, "inactive", "no active destination"},
		{"dispatcher list -json", 0, `"weight": 2`, ""},
		{"status -json", 0, `"a.test": 0`, ""},
		{"location list -json", 0, "[", ""},
		{"location rm 401@a.test", 1, "", "no such binding"},
		{"domain rm b.test", 1, "", "no such domain"},
		{"import endpoint-locations", 1, "", "endpoint_locations"},
		{"backup " + backup, 0, "domain", ""},
		{"restore " + backup, 3, "", "refused"},
		{"restore -force -dry-run " + backup, 0, "nothing was changed", ""},
		{"restore -force " + backup, 0, "domain", ""},
		{"domain list", 0, "a.test", ""},
		{"dispatcher rm 1", 0, "removed", "no active destination"},
		{"domain rm a.test -json", 0, `"removed"`, ""},
		{"domain rm", 2, "", "DOMAIN"},
		{"domain remove a.test", 2, "", "proxy domain rm"},
		{"help restore", 0, "", "-dry-run"},
	} {
		words := append(strings.Fields(tt.args), "-config", file)
		if words[0] == "help" {
			words = strings.Fields(tt.args)
		}
		p := launch(t, dir, []string{"SIPWARD_CONFIG=", "SIPWARD_DATABASE=" + cfg.FormatDSN()}, proxyBinary(t), words...)
		code, ok := p.wait(2 * patience)
		if !ok || code != tt.code {
			t.Errorf("%s: exit code %d, in time: %v; want %d", tt.args, code, ok, tt.code)
		}
		stdout, stderr := p.out.String(), p.errors.String()
		if !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" {
			t.Errorf("%s: stdout is %q, want %q in it", tt.args, stdout, tt.stdout)
		}
		if !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
			t.Errorf("%s: stderr is %q, want %q in it", tt.args, stderr, tt.stderr)
		}
		if strings.Contains(stdout+stderr, cfg.Passwd) {
			t.Errorf("%s: the password is in %q or %q", tt.args, stdout, stderr)
		}
		if strings.Contains(tt.args, "-json") && !json.Valid([]byte(stdout)) {
			t.Errorf("%s: not a JSON document: %q", tt.args, stdout)
		}
	}
	if code, stdout, stderr := command(t, "status"); code != 2 || stdout != "" || !strings.Contains(stderr, "SIPWARD_DATABASE") {
		t.Errorf("without a database: exit code %d, %q, %q", code, stdout, stderr)
	}
}
