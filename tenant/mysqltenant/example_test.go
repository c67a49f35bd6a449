package mysqltenant_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/sipward/sipward/tenant"
	"github.com/sipward/sipward/tenant/mysqltenant"
)

func Example() {
	ctx := context.Background()
	db, err := sql.Open("mysql", "sipward:secret@unix(/run/mysqld/mysqld.sock)/opensips")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	loader, err := mysqltenant.New(ctx, db, mysqltenant.Config{
		OnProblem: func(p mysqltenant.Problem) { log.Print(p) },
	})
	if err != nil {
		log.Fatal(err)
	}
	live, err := tenant.NewLive(ctx, loader, tenant.LiveConfig{})
	if err != nil {
		log.Fatal(err)
	}
	go live.Run(ctx) // loads and resolves names again every 30 seconds
	fmt.Println(live.Table().Domain("a.example"))
}

func ExampleProblem_String() {
	p := mysqltenant.Problem{Table: "domain", ID: 7, SetID: 10, Err: mysqltenant.ErrNoDestinations}
	fmt.Println(p)
	// Output:
	// domain: row 7: set 10: set has no destinations
}
