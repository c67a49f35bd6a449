package mirror_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/locationtest"
	"github.com/sipward/sipward/location/mirror"
	"github.com/sipward/sipward/location/mysqlloc"
)

func TestMain(m *testing.M) { mysqltest.Main(m) }

// table returns a Config whose backend is the table location of db.
func table(t testing.TB, db *sql.DB, now func() time.Time) mirror.Config {
	t.Helper()
	if err := mysqlloc.Create(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	var opened []*mysqlloc.Store
	t.Cleanup(func() { // which is when the Store has been stopped
		for _, s := range opened {
			s.Close()
		}
	})
	connect := func(ctx context.Context) (location.Store, error) {
		s, err := mysqlloc.New(ctx, db, mysqlloc.Config{Now: now, TimeZone: time.UTC})
		if err == nil {
			opened = append(opened, s)
		}
		return s, err
	}
	return mirror.Config{Backend: connect, Now: now, Linger: -1}
}

func TestStore_OverMySQL(t *testing.T) {
	var cfg mirror.Config
	locationtest.Run(t, locationtest.Harness{
		New: func(t testing.TB, now func() time.Time) location.Store {
			cfg = table(t, mysqltest.DB(t), now)
			cfg.MaxAge = 1
			return start(t, cfg)
		},
		Reopen: func(t testing.TB, s location.Store) location.Store {
			s.(*running).stop()
			return start(t, cfg)
		},
	})
}

// TestStore_MySQLKilled (P-05): with the server killed in the middle, phones go
// on registering; when it is back, it has all of them.
func TestStore_MySQLKilled(t *testing.T) {
	server := mysqltest.New(t)
	db := server.DB(t)
	cfg := table(t, db, nil)
	cfg.Dir, cfg.Linger = t.TempDir(), 0
	s := start(t, cfg)
	const phones = 600
	for n := range phones {
		switch n {
		case phones / 3:
			server.Kill(t)
		case 2 * phones / 3:
			server.Start(t)
		}
		put(t, s.NoWait(), aorOf(t, fmt.Sprint(n)), phone(n%200, 1, time.Now()))
		if got := contacts(t, s.NoWait(), aorOf(t, fmt.Sprint(n))); len(got) != 1 {
			t.Fatalf("%d has %v", n, got)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for s.Stats().Pending > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", s.Stats())
		}
		time.Sleep(10 * time.Millisecond) // the server is a real one, and has its own clock
	}
	var rows int
	if err := db.QueryRow("SELECT COUNT(*) FROM location").Scan(&rows); err != nil || rows != phones {
		t.Errorf("%d rows, %v", rows, err)
	}
}
