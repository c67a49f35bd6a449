package mysqlloc_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

func Example() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "sipward:secret@unix(/run/mysqld/mysqld.sock)/opensips")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := mysqlloc.New(ctx, db, mysqlloc.Config{
		BranchFlags: "NAT",
		OnBadRow:    func(id uint64, err error) { log.Printf("location row %d: %v", id, err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	bob, err := location.ParseAOR("bob@a.example")
	if err != nil {
		log.Fatal(err)
	}
	bindings, err := store.Lookup(ctx, bob)
	fmt.Println(bindings, err)
}

// A name that is not plainly a table's never gets into a statement.
func ExampleNew_table() {
	db, err := sql.Open("mysql", "/opensips") // which does not connect yet
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_, err = mysqlloc.New(context.Background(), db, mysqlloc.Config{Table: "location; DROP TABLE location"})
	fmt.Println(err)
	// Output:
	// mysqlloc: table "location; DROP TABLE location": not a name of letters, digits and underscores
}
