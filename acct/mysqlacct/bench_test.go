package mysqlacct_test

import (
	"testing"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/internal/mysqltest"
)

// BenchmarkWrite writes batches of 500 records, as a recorder that has a
// backlog does.
func BenchmarkWrite(b *testing.B) {
	s := open(b, create(b, mysqltest.DB(b)))
	n := 0
	for b.Loop() {
		records := make([]acct.Record, 500)
		for i := range records {
			n++
			records[i] = call(n)
		}
		write(b, s, records...)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
