package console

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

func schemaOperations() []operation {
	return []operation{
		{
			name: "db init", setup: plain((*session).initialize),
			synopsis: "make the tables, columns and indexes that the database lacks",
			details: `
It adds to what is there and alters none of it, so it can be used again, and on
the database of an OpenSIPS 3.6. The new column setid of domain gets the sets
that attrs have. It refuses tables of another version.`,
		},
		{
			name: "db check", setup: plain((*session).check),
			synopsis: "say whether the proxy can use the database, and what is odd about it",
			details: `
It reads everything and changes nothing. It fails if the database cannot be
reached or used; warnings and notes are no failure.`,
		},
	}
}

// made is something that db init has made.
type made struct {
	Kind  string `json:"kind"` // "table", "version", "column" or "index"
	Table string `json:"table"`
	Name  string `json:"name,omitempty"` // of the column or index, or the version
}

func (a made) String() string {
	if a.Name == "" {
		return a.Kind + " " + a.Table
	}
	return a.Kind + " " + a.Name + " of " + a.Table
}

// initialize makes what is missing.
func (s *session) initialize(ctx context.Context) error {
	before, err := s.readSchema(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts() {
		if t := before[p.table]; t != nil && t.version != 0 && t.version != p.version {
			return fmt.Errorf("%w: %s has version %d, want %d; nothing was changed", ErrRefused, p.table, t.version, p.version)
		}
	}
	for _, p := range parts() {
		if p.create == nil {
			continue
		}
		if err := p.create(ctx, s.db); err != nil {
			return err
		}
	}
	after, err := s.readSchema(ctx)
	if err != nil {
		return err
	}
	added := difference(before, after)
	err = s.out.print(struct {
		Database string `json:"database"`
		Added    []made `json:"added"`
	}{s.name, added}, func(w io.Writer) {
		for _, a := range added {
			fmt.Fprintln(w, "added", a)
		}
		if len(added) == 0 {
			fmt.Fprintln(w, "nothing is missing")
		}
	})
	if err != nil {
		return err
	}
	for _, p := range parts() {
		if err := p.check(ctx, s.db); err != nil {
			return fmt.Errorf("the proxy cannot use this database: %w", err)
		}
	}
	return nil
}

// difference returns what is in after and not in before. Of a table that is new
// nothing more is said.
func difference(before, after schema) []made {
	added := []made{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		old, t := before[name], after[name]
		if old == nil {
			added = append(added, made{Kind: "table", Table: name})
			continue
		}
		if old.version != t.version {
			added = append(added, made{"version", name, strconv.Itoa(t.version)})
		}
		for _, c := range t.columns {
			if old.column(c.name) == nil {
				added = append(added, made{"column", name, c.name})
			}
		}
		for _, index := range slices.Sorted(maps.Keys(t.indexes)) {
			if old.indexes[index] == nil {
				added = append(added, made{"index", name, index})
			}
		}
	}
	return added
}
