package console

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

func importOperation() operation {
	return operation{
		name: "import endpoint-locations", args: "[-dry-run]",
		synopsis: "take over the registrations of the older table endpoint_locations",
		details: `
Live rows become bindings, if their domain is served and their user is not
registered yet: what is there is never written over. The rows stay as they are.`,
		setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
			dry := flags.Bool("dry-run", false, "say what would happen, and change nothing")
			return func(ctx context.Context, s *session) error { return s.importEndpoints(ctx, *dry) }
		},
	}
}

// endpoint is a row of endpoint_locations. Anything may be NULL in a table that
// somebody has made by hand.
type endpoint struct {
	aor, ip, port, contact sql.NullString
	expires                sql.NullFloat64 // Unix time
}

// What becomes of a row.
const (
	imported = "imported"
	skipped  = "skipped" // the user is registered
	expired  = "expired"
	refused  = "refused" // it makes no sense, or its domain is not served
)

// importReport is what the command prints.
type importReport struct {
	DryRun   bool        `json:"dry_run"`
	Imported int         `json:"imported"`
	Skipped  int         `json:"skipped"`
	Expired  int         `json:"expired"`
	Refused  int         `json:"refused"`
	Rows     []importRow `json:"rows"` // those that were not imported and have not expired
}

type importRow struct {
	AOR    string `json:"aor"`
	Result string `json:"result"`
	Reason string `json:"reason"`
}

// importEndpoints makes bindings of the rows of endpoint_locations.
func (s *session) importEndpoints(ctx context.Context, dry bool) error {
	rows, err := s.readTenants(ctx)
	if err != nil {
		return err
	}
	served := map[string]bool{}
	for _, d := range rows.Domains() {
		served[d.Name] = served[d.Name] || !d.LeftOut
	}
	store, err := s.openStore(ctx, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	i := importer{store: store, served: served, now: time.Now(), report: importReport{DryRun: dry, Rows: []importRow{}}}
	if err := s.eachEndpoint(ctx, func(e endpoint) error { return i.take(ctx, e) }); err != nil {
		return err
	}
	if i.report.Imported > 0 && !dry {
		s.note("a running proxy may see them only when it has started again")
	}
	return s.out.print(i.report, i.report.print)
}

// eachEndpoint calls f with each row of the table.
func (s *session) eachEndpoint(ctx context.Context, f func(endpoint) error) error {
	// The table has times in the zone that its writer's connections had, which is
	// that of ours.
	rows, err := s.db.QueryContext(ctx,
		"SELECT aor, contact_ip, contact_port, contact_uri, UNIX_TIMESTAMP(expires) FROM endpoint_locations ORDER BY aor")
	const noSuchTable = 1146
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == noSuchTable {
		return errors.New("there is no table endpoint_locations")
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e endpoint
		if err := rows.Scan(&e.aor, &e.ip, &e.port, &e.contact, &e.expires); err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// importer takes rows one by one.
type importer struct {
	store  *mysqlloc.Store
	served map[string]bool // domains
	now    time.Time
	report importReport
}

// take makes a binding of a row, or notes why it does not.
func (i *importer) take(ctx context.Context, e endpoint) error {
	aor, b, err := e.binding(i.now)
	switch {
	case err != nil:
		i.leave(e, refused, err.Error())
		return nil
	case !i.now.Before(b.Expires):
		i.report.Expired++
		return nil
	case !i.served[aor.Domain()]:
		i.leave(e, refused, fmt.Sprintf("the domain %s is not served", aor.Domain()))
		return nil
	}
	// Whoever has registered since then knows better.
	there, err := i.store.Lookup(ctx, aor)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		i.leave(e, skipped, "registered already")
		return nil
	}
	if !i.report.DryRun {
		err = i.store.Apply(ctx, aor, location.Change{Put: []location.Binding{b}})
	}
	switch {
	case errors.Is(err, mysqlloc.ErrValue):
		i.leave(e, refused, oneLine(err))
		return nil
	case err != nil:
		return err
	}
	i.report.Imported++
	return nil
}

// leave notes that a row is left alone.
func (i *importer) leave(e endpoint, result, reason string) {
	if result == skipped {
		i.report.Skipped++
	} else {
		i.report.Refused++
	}
	i.report.Rows = append(i.report.Rows, importRow{e.aor.String, result, reason})
}

// binding returns what a row means.
func (e *endpoint) binding(now time.Time) (location.AOR, location.Binding, error) {
	none := func(format string, args ...any) (location.AOR, location.Binding, error) {
		return location.AOR{}, location.Binding{}, fmt.Errorf(format, args...)
	}
	aor, err := location.ParseAOR(e.aor.String)
	if err != nil {
		return none("aor: %w", err)
	}
	contact, err := location.ParseURI(e.contact.String)
	if err != nil {
		return none("contact_uri: %w", err)
	}
	ip, err := netip.ParseAddr(strings.Trim(e.ip.String, "[]"))
	if err != nil || ip.Zone() != "" {
		return none("contact_ip: %q is no address", e.ip.String)
	}
	port, err := strconv.ParseUint(e.port.String, 10, 16)
	if err != nil || port == 0 {
		return none("contact_port: %q is no port", e.port.String)
	}
	if e.expires.Float64 <= 0 {
		return none("expires: no time")
	}
	transport, ok := contact.Param("transport")
	switch transport = strings.ToLower(transport); {
	case !ok:
		transport = "udp"
	case !slices.Contains([]string{"udp", "tcp", "tls", "ws", "wss"}, transport):
		return none("contact_uri: unknown transport %q", transport)
	}
	return aor, location.Binding{
		Contact: e.contact.String,
		Flow:    location.Flow{Transport: transport, Remote: netip.AddrPortFrom(ip.Unmap(), uint16(port))},
		Q:       location.QUnspecified,
		CallID:  "endpoint_locations", // no phone's: its next REGISTER is never stale
		CSeq:    1,
		Expires: time.Unix(int64(e.expires.Float64), 0),
		Updated: now,
	}, nil
}

// print prints the report as text.
func (r *importReport) print(w io.Writer) {
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", cell(row.AOR), row.Result, cell(row.Reason))
	}
	verb := imported
	if r.DryRun {
		verb = "would be imported"
	}
	fmt.Fprintf(w, "%d %s, %d %s, %d %s, %d %s\n", r.Imported, verb, r.Skipped, skipped, r.Expired, expired, r.Refused, refused)
}
