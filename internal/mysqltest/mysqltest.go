// Package mysqltest gives tests a MariaDB of their own: a server process with
// its data in a temporary directory, reached by a unix socket and by nothing
// else.
//
// Most tests need an empty database and share the server of their process:
//
//	func TestMain(m *testing.M) { mysqltest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		db := mysqltest.DB(t)
//		...
//	}
//
// Those that stop and kill the server have one for themselves by [New].
//
// Without an installed MariaDB the tests skip and name the missing program; if
// SIPWARD_REQUIRE_PEERS is 1, as for CI, they fail.
package mysqltest

import (
	"context"
	"database/sql"
	"os"
	"sync"
	"testing"

	"github.com/sipward/sipward/internal/programtest"
)

// programs are what a server is made with. Debian has them in
// mariadb-server-core and, what the second one calls, mariadb-client-core.
var programs = []string{"mariadbd", "mariadb-install-db", "my_print_defaults"}

// shared is the server of the process.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Main runs the tests and stops the shared server. It is for TestMain and does
// not return.
func Main(m *testing.M) {
	code := m.Run()
	if s := shared.server; s != nil {
		s.remove()
	}
	os.Exit(code)
}

// DB returns an empty database on the shared server, which is started for the
// first one. The pool is closed when the test ends.
func DB(t testing.TB) *sql.DB {
	t.Helper()
	need(t)
	shared.once.Do(func() { shared.server, shared.err = newServer() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.DB(t)
}

// AtOnce checks that several programs can create their tables in a database at
// once, as those do that are started together.
func AtOnce(t testing.TB, db *sql.DB, create func(context.Context, *sql.DB) error) {
	t.Helper()
	const programs = 8
	each := func(f func(context.Context, *sql.DB) error) {
		var wg sync.WaitGroup
		for range programs {
			wg.Go(func() {
				if err := f(t.Context(), db); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	db.SetMaxIdleConns(programs)
	each(func(ctx context.Context, db *sql.DB) error { // so that none is late who has to connect
		_, err := db.ExecContext(ctx, "DO SLEEP(0.05)")
		return err
	})
	each(create)
}

// need skips or fails the test if a program is missing.
func need(t testing.TB) {
	t.Helper()
	for _, name := range programs {
		programtest.Need(t, name)
	}
}
