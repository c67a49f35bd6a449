package console

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sipward/sipward/acct/mysqlacct"
)

func verifyOperation() operation {
	return operation{
		name: "verify-cdr", args: "[-since DURATION]",
		synopsis: "check the records of calls for duplicates, gaps and wrong durations",
		details: `
It reads the tables acc and missed_calls and changes nothing. It fails if they
cannot be used, or if records are at fault; a gap in time may be a night.`,
		setup: func(flags *flag.FlagSet) func(context.Context, *session) error {
			since := flags.Duration("since", 0, "look only at records that are not older than `DURATION`, such as 24h")
			return func(ctx context.Context, s *session) error { return s.verifyRecords(ctx, *since) }
		},
	}
}

// verification is what the command prints.
type verification struct {
	Database string `json:"database"`
	OK       bool   `json:"ok"`
	*mysqlacct.Report
}

// verifyRecords checks the records of calls, all of them or those of the last
// time.
func (s *session) verifyRecords(ctx context.Context, last time.Duration) error {
	var since time.Time
	switch {
	case last < 0:
		return usage(fmt.Errorf("-since %v: want a time that has passed", last))
	case last > 0:
		since = time.Now().Add(-last)
	}
	r, err := mysqlacct.Verify(ctx, s.db, mysqlacct.Config{}, since)
	if err != nil {
		return err
	}
	v := verification{s.name, r.OK(), r}
	if err := s.out.print(v, v.print); err != nil {
		return err
	}
	if !v.OK {
		return errors.New("there are records at fault")
	}
	return nil
}

// print prints the verification as text.
func (v verification) print(w io.Writer) {
	for _, t := range []*mysqlacct.TableReport{&v.Acc, &v.Missed} {
		fmt.Fprintf(w, "%s: records: %d", t.Name, t.Rows)
		if t.Rows > 0 {
			fmt.Fprintf(w, ", from %s to %s", t.First.Format(time.DateTime), t.Last.Format(time.DateTime))
		}
		fmt.Fprintln(w)
		var results []string
		for _, r := range t.Results {
			results = append(results, fmt.Sprintf("%s %d", cell(r.Code), r.Rows))
		}
		if len(results) > 0 {
			fmt.Fprintln(w, "ok\tby status: "+strings.Join(results, ", "))
		}
		if len(t.Lacks) > 0 {
			fmt.Fprintf(w, "note\tit lacks %s; proxy db init makes what is missing\n", strings.Join(t.Lacks, ", "))
		}
		for _, g := range t.Gaps {
			fmt.Fprintf(w, "note\tno record for %v, from %s\n", g.Before.Sub(g.After), g.After.Format(time.DateTime))
		}
		printFaults(w, t.Incomplete, "without Call-ID, From tag, time or created")
		printFaults(w, t.Duplicates, "of a call that has another one")
		printFaults(w, t.Durations, "whose times and durations do not agree")
	}
}

// printFaults prints which rows are at fault, if there are any.
func printFaults(w io.Writer, f mysqlacct.Faults, what string) {
	if f.Rows == 0 {
		return
	}
	more := ""
	if n := f.Rows - int64(len(f.IDs)); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	ids := strings.Trim(fmt.Sprint(f.IDs), "[]")
	fmt.Fprintf(w, "error\trecords %s: %d, with the ids %s%s\n", what, f.Rows, ids, more)
}
