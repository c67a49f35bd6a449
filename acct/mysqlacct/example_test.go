package mysqlacct_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/sipward/sipward/acct"
	"github.com/sipward/sipward/acct/mysqlacct"
)

func Example() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "sipward:secret@unix(/run/mysqld/mysqld.sock)/opensips")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	sink, err := mysqlacct.New(ctx, db, mysqlacct.Config{Failed: true})
	if err != nil {
		log.Fatal(err)
	}
	recorder, err := acct.Open(acct.Config{
		Dir:   "/var/lib/sipward/acct", // so that the database may be away
		Sinks: map[string]acct.Sink{"mysql": sink},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer recorder.Close(ctx)
	if err := recorder.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// A name that is not plainly a table's never gets into a statement.
func ExampleNew_table() {
	db, err := sql.Open("mysql", "/opensips") // which does not connect yet
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_, err = mysqlacct.New(context.Background(), db, mysqlacct.Config{Table: "acc; DROP TABLE acc"})
	fmt.Println(err)
	// Output:
	// mysqlacct: table "acc; DROP TABLE acc": not a name of letters, digits and underscores
}
