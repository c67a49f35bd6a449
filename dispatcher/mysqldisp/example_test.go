package mysqldisp_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/dispatcher/mysqldisp"
)

func Example() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "sipward:secret@unix(/run/mysqld/mysqld.sock)/opensips")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	loader, err := mysqldisp.New(ctx, db, mysqldisp.Config{
		OnProblem: func(p mysqldisp.Problem) { log.Print(p) },
	})
	if err != nil {
		log.Fatal(err)
	}
	destinations, err := loader.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	d := dispatcher.New(dispatcher.Config{})
	if err := d.Update(destinations); err != nil {
		log.Fatal(err)
	}
	// When a PBX does not answer anymore:
	if _, err := loader.SetState(ctx, destinations[0], dispatcher.Probing); err != nil {
		log.Print(err)
	}
}

func ExampleProblem_String() {
	p := mysqldisp.Problem{Table: "dispatcher", ID: 7, SetID: 10, Err: mysqldisp.ErrDuplicate}
	fmt.Println(p)
	// Output:
	// dispatcher: row 7: set 10: destination is there already
}
