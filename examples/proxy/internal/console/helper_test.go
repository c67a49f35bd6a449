package console_test

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/console"
	"github.com/sipward/sipward/internal/mysqltest"
)

// update has the tests write the golden files instead of comparing with them.
var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { mysqltest.Main(m) }

// password is that of the user by whom all tests reach their database. It must
// be nowhere (P-54).
const password = "s3cret'Pa55"

// site is a database with a configuration file that names it.
type site struct {
	t      testing.TB
	db     *sql.DB
	dir    string
	config string // the file
	socket string // of the server
	name   string // of the database, as it is shown
}

// newSite makes an empty database. Settings are lines of the configuration file.
func newSite(t testing.TB, settings ...string) *site {
	t.Helper()
	s := &site{t: t, db: mysqltest.DB(t), dir: t.TempDir()}
	var name string
	if err := s.db.QueryRowContext(t.Context(), "SELECT @@socket, DATABASE()").Scan(&s.socket, &name); err != nil {
		t.Fatal(err)
	}
	user := "op_" + name
	s.exec("CREATE USER " + user + "@localhost IDENTIFIED BY '" + strings.ReplaceAll(password, "'", "''") + "'")
	s.exec("GRANT ALL ON " + name + ".* TO " + user + "@localhost")
	s.name = s.socket + "/" + name
	dsn := fmt.Sprintf("%s:%s@unix(%s)/%s", user, password, s.socket, name)
	s.config = s.file("proxy.yaml", strings.Join(append(settings, fmt.Sprintf("database: %q", dsn)), "\n"))
	return s
}

// file writes a file and returns its path.
func (s *site) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.db.ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// value returns what a query says in one value.
func (s *site) value(query string) (value string) {
	s.t.Helper()
	if err := s.db.QueryRowContext(s.t.Context(), query).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return value
}

// run runs a command with the site's configuration.
func (s *site) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.runWith(append(args, "-config", s.config)...)
}

// runWith runs a command.
func (s *site) runWith(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs strings.Builder
	code = console.Run(s.t.Context(), append(console.Commands(), console.Version()), args, &out, &errs)
	if text := out.String() + errs.String(); strings.Contains(text, "s3cret") {
		s.t.Errorf("%q: the password is in\n%s", args, text)
	}
	// P-64: exactly one document, also where there is nothing but an error to say.
	if d := json.NewDecoder(strings.NewReader(out.String())); slices.Contains(args, "-json") {
		var document any
		if err := d.Decode(&document); err != nil {
			s.t.Errorf("%q: %v in\n%s", args, err, &out)
		} else if err := d.Decode(&document); err != io.EOF {
			s.t.Errorf("%q: more than a document:\n%s", args, &out)
		}
	}
	return code, out.String(), errs.String()
}

// do runs a command that must succeed and returns its output.
func (s *site) do(args ...string) string {
	s.t.Helper()
	code, stdout, stderr := s.run(args...)
	if code != console.ExitDone {
		s.t.Fatalf("proxy %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// transcript is what commands print, for a golden file.
type transcript struct {
	*site
	text strings.Builder
}

// play runs commands, one a line. A word of several is in quotes; a line that
// begins with "sql" is a statement.
func (tr *transcript) play(script string) {
	tr.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if statement, ok := strings.CutPrefix(line, "sql "); ok {
			tr.exec(statement)
			continue
		}
		words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1)
		for i := range words {
			words[i] = strings.ReplaceAll(strings.Trim(words[i], `"`), "DIR", tr.dir)
		}
		code, stdout, stderr := tr.run(words...)
		fmt.Fprintf(&tr.text, "$ proxy %s\n%s", line, stdout)
		for text := range strings.Lines(stderr) {
			fmt.Fprintf(&tr.text, "! %s", text)
		}
		fmt.Fprintf(&tr.text, "= %d\n\n", code)
	}
}

// volatile is what differs from run to run.
var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`answers in \d+\.\d ms`), "answers in N ms"},
	{regexp.MustCompile(`"latency_ms": [0-9.]+`), `"latency_ms": N`},
	{regexp.MustCompile(`\.\d+\.tmp`), ".N.tmp"},
	{regexp.MustCompile(`"created": "[^"]*"`), `"created": "TIME"`},
	{regexp.MustCompile(`("(?:first|last|after|before)": "[-0-9T:]{19})[^"]*"`), `${1}ZONE"`},
}

// compare compares what was printed with a golden file.
func (tr *transcript) compare(name string) {
	tr.t.Helper()
	version := tr.value("SELECT VERSION()")
	text := strings.NewReplacer(tr.name, "DATABASE", version, "VERSION", tr.dir, "DIR").Replace(tr.text.String())
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			tr.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		tr.t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		tr.t.Errorf("%s is not what is printed (go test -update writes it):\n%s", file, d)
	}
}
