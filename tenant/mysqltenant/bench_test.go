package mysqltenant_test

import (
	"testing"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

// A thousand tenants with two PBXes each.
func BenchmarkLoader_Load(b *testing.B) {
	db := create(b)
	exec(b, db, "INSERT INTO domain (domain, setid, attrs) SELECT CONCAT('d', seq, '.example'), seq, CONCAT('setid=', seq) FROM seq_1_to_1000")
	exec(b, db, "INSERT INTO dispatcher (setid, destination, attrs) SELECT seq DIV 2, CONCAT('sip:10.0.', seq DIV 250, '.', seq MOD 250, ':5060'), 'source_ip=192.0.2.7' FROM seq_2_to_2001")
	f := open(b, db, mysqltenant.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if ts, err := f.Load(b.Context()); err != nil || len(ts) != 1000 || len(f.problems) > 0 {
			b.Fatal(len(ts), err, f.problems)
		}
	}
}
