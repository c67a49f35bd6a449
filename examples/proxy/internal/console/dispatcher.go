package console

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

func dispatcherOperations() []operation {
	return []operation{
		{
			name: "dispatcher add", least: 2, most: 2, setup: setupDestination,
			args:     "SETID URI [-weight N] [-priority N] [-socket S] [-description D] [-source IP-or-prefix]...",
			synopsis: "add a PBX to a set, or change it",
			details: `
A destination with this set, URI and socket that is there already is changed in
what flags say, and keeps the rest. The sources are where the PBX sends from
besides the host of URI; they are written to source_ip= in attrs.`,
		},
		{
			name: "dispatcher list", args: "[SETID]", most: 1, setup: plain((*session).listDestinations),
			synopsis: "show the PBXes of a set, or of all, and what is wrong with them",
		},
		{
			name: "dispatcher rm", args: "ID", least: 1, most: 1, setup: plain((*session).removeDestination),
			synopsis: "take the PBX with this number out of its set",
		},
		{
			name: "dispatcher set-state", args: "ID active|inactive", least: 2, most: 2, setup: plain((*session).setState),
			synopsis: "switch a PBX on or off",
			details:  "\nOne that is inactive gets no requests, but its own ones are still accepted.",
		},
	}
}

// destinationFlags are what the flags of dispatcher add say.
type destinationFlags struct {
	socket  string
	columns map[string]string // values of others that were given
	sources []string
}

func setupDestination(flags *flag.FlagSet) func(context.Context, *session) error {
	f := destinationFlags{columns: map[string]string{}}
	number := func(column string, least int64) func(string) error {
		return func(text string) error {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < least {
				return fmt.Errorf("want a number from %d to %d", least, math.MaxInt32)
			}
			f.columns[column] = strconv.FormatInt(n, 10)
			return nil
		}
	}
	flags.Func("weight", "share of the requests, `N`; 0: only when others have failed (1 unless given)", number("weight", 0))
	flags.Func("priority", "the highest is first, `N` (0 unless given)", number("priority", math.MinInt32))
	flags.Func("description", "`TEXT` for people", func(text string) error {
		f.columns["description"] = text
		return nil
	})
	flags.Func("socket", "local `SOCKET` to send from, transport:address:port", func(text string) error {
		var l config.Listener
		err := l.UnmarshalText([]byte(text))
		f.socket = l.String()
		return err
	})
	flags.Func("source", "`IP or prefix` that the PBX sends from, too; may be repeated", func(text string) error {
		source, err := mysqltenant.ParseSource(text)
		f.sources = append(f.sources, sourceText(source.Prefix))
		return err
	})
	return func(ctx context.Context, s *session) error { return s.addDestination(ctx, &f) }
}

// sourceText returns a source as it stands in attrs.
func sourceText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// row returns what the flags say, given the attrs that there are.
func (f *destinationFlags) row(attrs string) (row []assignment) {
	for _, column := range slices.Sorted(maps.Keys(f.columns)) {
		row = append(row, assignment{column, f.columns[column]})
	}
	if len(f.sources) > 0 {
		row = append(row, assignment{"attrs", mysqltenant.SetAttr(attrs, "source_ip", strings.Join(f.sources, ","))})
	}
	return row
}

// addDestination adds a destination or changes it.
func (s *session) addDestination(ctx context.Context, f *destinationFlags) error {
	set, err := parseSetID(s.args[0])
	if err != nil {
		return err
	}
	uri := s.args[1]
	var meant config.URI
	if err := meant.UnmarshalText([]byte(uri)); err != nil {
		return usage(err)
	}
	t, err := s.table(ctx, "dispatcher")
	if err != nil {
		return err
	}
	done := addition{SetID: set}
	err = s.editDestinations(ctx, func(tx *sql.Tx, all []mysqldisp.Entry) error {
		i := slices.IndexFunc(all, func(e mysqldisp.Entry) bool {
			return e.Destination.SetID == set && meaning(e.Destination.URI) == meant.Place() && e.Destination.Socket == f.socket
		})
		if i >= 0 {
			done.ID, done.Result, uri = all[i].ID, "updated", all[i].Destination.URI
			return t.update(ctx, tx, done.ID, f.row(all[i].Destination.Attrs)...)
		}
		row := append(f.row(""), assignment{"setid", set}, assignment{"destination", uri})
		if f.socket != "" {
			row = append(row, assignment{"socket", f.socket})
		}
		done.Result = "added"
		done.ID, err = t.insert(ctx, tx, row...)
		return err
	})
	if err != nil {
		return fmt.Errorf("destination %s: %w", uri, err)
	}
	return s.out.print(struct {
		addition
		URI string `json:"uri"`
	}{done, uri}, func(w io.Writer) {
		fmt.Fprintf(w, "destination %d: set %d, %s, %s\n", done.ID, set, uri, done.Result)
	})
}

// meaning returns what the URI of a row means, by which equal ones are found; the
// zero URI if it is one that only a table can have.
func meaning(uri string) (u config.URI) {
	_ = u.UnmarshalText([]byte(uri))
	return u.Place()
}

// editDestinations is edit for the table dispatcher, with all that is in it.
func (s *session) editDestinations(ctx context.Context, f func(tx *sql.Tx, all []mysqldisp.Entry) error) error {
	return s.edit(ctx, "dispatcher", func(tx *sql.Tx) error {
		all, err := s.entriesTx(ctx, tx)
		if err != nil {
			return err
		}
		return f(tx, all)
	})
}

// readDestinations returns all rows of the table dispatcher.
func (s *session) readDestinations(ctx context.Context) (all []mysqldisp.Entry, err error) {
	err = s.transact(ctx, func(tx *sql.Tx) error {
		all, err = s.entriesTx(ctx, tx)
		return err
	})
	return all, err
}

// entriesTx is readDestinations in a transaction.
func (s *session) entriesTx(ctx context.Context, tx *sql.Tx) ([]mysqldisp.Entry, error) {
	loader, err := mysqldisp.New(ctx, s.db, mysqldisp.Config{})
	if err != nil {
		return nil, hint(err)
	}
	return loader.EntriesTx(ctx, tx)
}

// destinationView is a row of the table dispatcher as it is shown.
type destinationView struct {
	ID          int64    `json:"id"`
	SetID       int      `json:"setid"`
	URI         string   `json:"uri"`
	State       string   `json:"state"`
	Weight      int      `json:"weight"`
	Priority    int      `json:"priority"`
	Socket      string   `json:"socket"`
	Attrs       string   `json:"attrs"`
	Description string   `json:"description"`
	Problems    []string `json:"problems"`
}

// listDestinations shows destinations by their sets.
func (s *session) listDestinations(ctx context.Context) error {
	only := 0 // no set has this number
	if len(s.args) > 0 {
		var err error
		if only, err = parseSetID(s.args[0]); err != nil {
			return err
		}
	}
	all, err := s.readDestinations(ctx)
	if err != nil {
		return err
	}
	views := []destinationView{}
	for _, e := range all {
		if d := e.Destination; only == 0 || d.SetID == only {
			views = append(views, destinationView{e.ID, d.SetID, d.URI, d.State.String(), d.Weight, d.Priority,
				d.Socket, d.Attrs, d.Description, texts(e.Problems)})
		}
	}
	slices.SortStableFunc(views, func(a, b destinationView) int { return cmp.Compare(a.SetID, b.SetID) })
	return s.out.print(struct {
		Destinations []destinationView `json:"destinations"`
	}{views}, func(w io.Writer) {
		fmt.Fprintln(w, "SETID\tID\tURI\tSTATE\tWEIGHT\tPRIORITY\tSOCKET\tATTRS\tDESCRIPTION\tPROBLEMS")
		for _, v := range views {
			fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", v.SetID, v.ID, cell(v.URI), v.State, v.Weight, v.Priority,
				cell(v.Socket), cell(v.Attrs), cell(v.Description), cell(strings.Join(v.Problems, "; ")))
		}
	})
}

// editDestination calls f with the row whose number is the first argument, and
// prints it with the result. What then is odd about its set is noted.
func (s *session) editDestination(ctx context.Context, result string, f func(tx *sql.Tx, t *table, id int64) error) error {
	id, err := strconv.ParseInt(s.args[0], 10, 64)
	if err != nil {
		return usage(fmt.Errorf("%q is not the number of a destination; proxy dispatcher list shows them", s.args[0]))
	}
	t, err := s.table(ctx, "dispatcher")
	if err != nil {
		return err
	}
	var found mysqldisp.Entry
	err = s.editDestinations(ctx, func(tx *sql.Tx, all []mysqldisp.Entry) error {
		i := slices.IndexFunc(all, func(e mysqldisp.Entry) bool { return e.ID == id })
		if i < 0 {
			return errors.New("there is no such destination")
		}
		found = all[i]
		return f(tx, t, id)
	})
	if err != nil {
		return fmt.Errorf("destination %d: %w", id, err)
	}
	d := found.Destination
	if err := s.noteSet(ctx, d.SetID); err != nil {
		return err
	}
	return s.out.print(struct {
		addition
		URI string `json:"uri"`
	}{addition{id, d.SetID, result}, d.URI}, func(w io.Writer) {
		fmt.Fprintf(w, "destination %d: set %d, %s, %s\n", id, d.SetID, cell(d.URI), result)
	})
}

// noteSet notes if no destination of a set can be selected.
func (s *session) noteSet(ctx context.Context, set int) error {
	o := newOverview(s.cfg)
	if err := s.loadDestinations(ctx, o); err != nil {
		return err
	}
	if o.set(set).Active == 0 {
		s.note("set %d has no active destination now", set)
	}
	return nil
}

func (s *session) removeDestination(ctx context.Context) error {
	return s.editDestination(ctx, "removed", func(tx *sql.Tx, t *table, id int64) error { return t.remove(ctx, tx, id) })
}

// setState writes a state, which is what an operator has decided: the proxy
// itself changes no state that is inactive.
func (s *session) setState(ctx context.Context) error {
	states := map[string]dispatcher.State{"active": dispatcher.Active, "inactive": dispatcher.Inactive}
	state, ok := states[s.args[1]]
	if !ok {
		return usage(fmt.Errorf("state %q, want active or inactive", s.args[1]))
	}
	return s.editDestination(ctx, s.args[1], func(tx *sql.Tx, t *table, id int64) error {
		return t.update(ctx, tx, id, assignment{"state", int(state)})
	})
}
