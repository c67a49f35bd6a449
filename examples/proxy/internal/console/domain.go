package console

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

func domainOperations() []operation {
	return []operation{
		{
			name: "domain add", args: "DOMAIN [SETID]", least: 1, most: 2, setup: plain((*session).addDomain),
			synopsis: "serve a domain with the PBXes of a set, or change its set",
			details: `
Without SETID a domain that is there keeps its set, and a new one gets its own:
the number of its row; it is refused if that is the set of another domain, of a
PBX or of the configuration file. The set is written to the column setid and to
setid= in attrs, for OpenSIPS. Other attributes stay.`,
		},
		{
			name: "domain list", setup: plain((*session).listDomains),
			synopsis: "show all domains with their sets, and what is wrong with them",
		},
		{
			name: "domain rm", args: "[-force] DOMAIN", least: 1, most: 1,
			synopsis: "serve a domain no longer",
			details:  "\nIt is refused while phones are registered in the domain.",
			setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
				force := flags.Bool("force", false, "remove it though phones are registered")
				return func(ctx context.Context, s *session) error { return s.removeDomain(ctx, *force) }
			},
		},
	}
}

// readTenants reads the tables domain and dispatcher at one moment.
func (s *session) readTenants(ctx context.Context) (rows *mysqltenant.Rows, err error) {
	loader, err := mysqltenant.New(ctx, s.db, mysqltenant.Config{})
	if err != nil {
		return nil, hint(err)
	}
	err = s.transact(ctx, func(tx *sql.Tx) error {
		rows, err = loader.ReadTx(ctx, tx)
		return err
	})
	return rows, err
}

// hint tells what helps against missing tables.
func hint(err error) error {
	if errors.Is(err, mysqltenant.ErrSchema) || errors.Is(err, mysqldisp.ErrSchema) || errors.Is(err, mysqlloc.ErrSchema) {
		return fmt.Errorf("%w; proxy db init makes what is missing", err)
	}
	return err
}

// parseSetID reads the number of a set. 0 is none: in the column setid it says
// that there is no set.
func parseSetID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, usage(fmt.Errorf("%q is not the number of a set, want one from 1 to 2147483647", text))
	}
	return int(n), nil
}

func parseDomain(text string) (string, error) {
	domain, err := location.CanonicalDomain(text)
	if err != nil {
		return "", usage(err)
	}
	return domain, nil
}

// addition is what a command that adds something prints of it.
type addition struct {
	ID     int64  `json:"id"`
	SetID  int    `json:"setid"`
	Result string `json:"result"` // "added" or "updated"
}

// addDomain adds a domain or changes it.
func (s *session) addDomain(ctx context.Context) error {
	name, err := parseDomain(s.args[0])
	if err != nil {
		return err
	}
	set := 0 // none given
	if len(s.args) == 2 {
		if set, err = parseSetID(s.args[1]); err != nil {
			return err
		}
	}
	t, err := s.table(ctx, "domain")
	if err != nil {
		return err
	}
	var done addition
	err = s.editDomains(ctx, func(tx *sql.Tx, domains []mysqltenant.Domain) error {
		done, err = s.putDomain(ctx, tx, t, domains, name, set)
		return err
	})
	if err != nil {
		return fmt.Errorf("domain %s: %w", name, err)
	}
	if err := s.noteDomain(ctx, done.ID); err != nil {
		return err
	}
	return s.out.print(struct {
		Domain string `json:"domain"`
		addition
	}{name, done}, func(w io.Writer) {
		fmt.Fprintf(w, "domain %s: set %d, id %d, %s\n", name, done.SetID, done.ID, done.Result)
	})
}

// editDomains is edit for the table domain, with all that is in it.
func (s *session) editDomains(ctx context.Context, f func(tx *sql.Tx, domains []mysqltenant.Domain) error) error {
	loader, err := mysqltenant.New(ctx, s.db, mysqltenant.Config{})
	if err != nil {
		return hint(err)
	}
	return s.edit(ctx, "domain", func(tx *sql.Tx) error {
		rows, err := loader.ReadTx(ctx, tx)
		if err != nil {
			return err
		}
		return f(tx, rows.Domains())
	})
}

// putDomain writes the set of a domain to its row, a new one if there is none.
// If set is 0, it is that of the row or, without one, the row's number.
func (s *session) putDomain(ctx context.Context, tx *sql.Tx, t *table, domains []mysqltenant.Domain, name string, set int) (addition, error) {
	done := addition{Result: "updated"}
	var row mysqltenant.Domain
	if rows := named(domains, name); len(rows) > 0 {
		row = rows[0]
	} else {
		id, err := t.insert(ctx, tx, assignment{"domain", name})
		if err != nil {
			return done, err
		}
		row, done.Result = mysqltenant.Domain{ID: id, LeftOut: true}, "added"
	}
	done.ID, done.SetID = row.ID, set
	switch {
	case set != 0:
	case !row.LeftOut:
		done.SetID = row.SetID
	default: // for want of a set
		done.SetID = int(row.ID)
		switch owner, err := s.ownerOf(ctx, tx, done.SetID, domains); {
		case err != nil:
			return done, err
		case owner != "":
			return done, fmt.Errorf("%w: its own set would be %d, which is that of %s: say which one it gets", ErrRefused, done.SetID, owner)
		}
	}
	return done, t.update(ctx, tx, row.ID,
		assignment{"setid", done.SetID},
		assignment{"attrs", mysqltenant.SetAttr(row.Attrs, "setid", strconv.Itoa(done.SetID))},
		assignment{"last_modified", time.Now().Format(time.DateTime)}) // in local time, as OpenSIPS has it
}

// ownerOf says whose a set is: a domain's, or that of a PBX whose domain may be
// yet to come, of the database or the configuration file; "" if it is nobody's.
func (s *session) ownerOf(ctx context.Context, tx *sql.Tx, set int, domains []mysqltenant.Domain) (string, error) {
	for _, d := range domains {
		if d.SetID == set && !d.LeftOut {
			return d.Name, nil
		}
	}
	if slices.ContainsFunc(s.cfg.Tenants, func(t config.Tenant) bool { return t.SetID == set }) {
		return "the configuration file", nil
	}
	entries, err := s.entriesTx(ctx, tx)
	for _, e := range entries {
		if e.Destination.SetID == set {
			return cell(e.Destination.URI), nil
		}
	}
	return "", err
}

// named returns the rows of a domain, the one that counts first.
func named(domains []mysqltenant.Domain, name string) []mysqltenant.Domain {
	rows := slices.DeleteFunc(slices.Clone(domains), func(d mysqltenant.Domain) bool { return d.Name != name })
	slices.SortStableFunc(rows, func(a, b mysqltenant.Domain) int {
		switch {
		case a.LeftOut == b.LeftOut:
			return 0
		case a.LeftOut:
			return 1
		}
		return -1
	})
	return rows
}

// noteDomain notes what is wrong with a row of the table domain.
func (s *session) noteDomain(ctx context.Context, id int64) error {
	rows, err := s.readTenants(ctx)
	if err != nil {
		return err
	}
	for _, d := range rows.Domains() {
		if d.ID == id {
			for _, err := range d.Problems {
				s.note("%v", err)
			}
		}
	}
	return nil
}

// domainView is a row of the table domain as it is shown.
type domainView struct {
	Domain   string   `json:"domain"`
	SetID    int      `json:"setid"`
	ID       int64    `json:"id"`
	Attrs    string   `json:"attrs"`
	Served   bool     `json:"served"`
	Problems []string `json:"problems"`
}

// listDomains shows all domains by their names.
func (s *session) listDomains(ctx context.Context) error {
	rows, err := s.readTenants(ctx)
	if err != nil {
		return err
	}
	views := []domainView{}
	for _, d := range rows.Domains() {
		views = append(views, domainView{d.Name, d.SetID, d.ID, d.Attrs, !d.LeftOut, texts(d.Problems)})
	}
	slices.SortStableFunc(views, func(a, b domainView) int { return strings.Compare(a.Domain, b.Domain) })
	return s.out.print(struct {
		Domains []domainView `json:"domains"`
	}{views}, func(w io.Writer) {
		fmt.Fprintln(w, "DOMAIN\tSETID\tID\tATTRS\tPROBLEMS")
		for _, v := range views {
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", cell(v.Domain), v.SetID, v.ID, cell(v.Attrs), cell(strings.Join(v.Problems, "; ")))
		}
	})
}

// removeDomain removes all rows of a domain.
func (s *session) removeDomain(ctx context.Context, force bool) error {
	name, err := parseDomain(s.args[0])
	if err != nil {
		return err
	}
	t, err := s.table(ctx, "domain")
	if err != nil {
		return err
	}
	live, err := s.liveBindings(ctx)
	if err != nil {
		return err
	}
	err = s.editDomains(ctx, func(tx *sql.Tx, domains []mysqltenant.Domain) error {
		rows := named(domains, name)
		switch {
		case len(rows) == 0:
			return errors.New("there is no such domain")
		case live[name] > 0 && !force:
			return fmt.Errorf("%w: it has live bindings (%d); -force removes it all the same", ErrRefused, live[name])
		}
		for _, d := range rows {
			if err := t.remove(ctx, tx, d.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("domain %s: %w", name, err)
	}
	if live[name] > 0 {
		s.note("its bindings (%d) stay until they expire", live[name])
	}
	return s.out.print(struct {
		Domain   string `json:"domain"`
		Result   string `json:"result"`
		Bindings int64  `json:"bindings"`
	}{name, "removed", live[name]}, func(w io.Writer) { fmt.Fprintf(w, "domain %s: removed\n", name) })
}

// liveBindings returns how many bindings are live, by canonical domain. Without
// a table location there are none.
func (s *session) liveBindings(ctx context.Context) (map[string]int64, error) {
	all, err := s.readSchema(ctx)
	if err != nil || all["location"] == nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx,
		"SELECT COALESCE(domain, ''), COUNT(*) FROM location WHERE expires = 0 OR expires > ? GROUP BY domain", time.Now().Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	live := map[string]int64{}
	for rows.Next() {
		var domain string
		var n int64
		if err := rows.Scan(&domain, &n); err != nil {
			return nil, err
		}
		if name, err := location.CanonicalDomain(domain); err == nil {
			domain = name
		}
		live[domain] += n
	}
	return live, rows.Err()
}
