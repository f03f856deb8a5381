package tidemill_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/tidemill/tidemill"
)

// A program opens a database of its own, makes a view and follows its changes.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tidemill-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := tidemill.Open(ctx, tidemill.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	if _, err := db.Exec(ctx, `
		CREATE TABLE payments (id BIGINT PRIMARY KEY, account TEXT NOT NULL, amount NUMERIC(12,2) NOT NULL);
		CREATE MATERIALIZED VIEW balances AS
		  SELECT account, sum(amount) AS balance FROM payments GROUP BY account`); err != nil {
		log.Fatal(err)
	}
	sub, err := db.Subscribe(ctx, "balances")
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()

	tag, err := db.Exec(ctx, `INSERT INTO payments VALUES ($1, $2, $3)`, 1, "ann", "12.50")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tag)
	if _, err := db.Exec(ctx, `INSERT INTO payments VALUES (2, 'ann', 7.50)`); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		c, err := sub.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%+d %v\n", c.Weight, c.Row)
	}

	rows, err := db.Query(ctx, `SELECT account, balance FROM balances WHERE balance > $1`, 10)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var account, balance string
		if err := rows.Scan(&account, &balance); err != nil {
			log.Fatal(err)
		}
		fmt.Println(account, balance)
	}
	// Output:
	// INSERT 0 1
	// +1 [ann 12.50]
	// -1 [ann 12.50]
	// +1 [ann 20.00]
	// ann 20.00
}

// A program that was away goes on behind the last step it knows.
func ExampleDB_Subscribe() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tidemill-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := tidemill.Open(ctx, tidemill.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	exec := func(query string) {
		if _, err := db.Exec(ctx, query); err != nil {
			log.Fatal(err)
		}
	}
	exec(`CREATE TABLE stock (item TEXT PRIMARY KEY, n INT); INSERT INTO stock VALUES ('apple', 3), ('pear', 5)`)
	all, err := db.Subscribe(ctx, "stock", tidemill.Upsert("item"), tidemill.Progress())
	if err != nil {
		log.Fatal(err)
	}
	var step int64
	for {
		c, err := all.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if c.Progressed { // all up to here is known
			step = c.Step
			break
		}
		fmt.Println(c.State, c.Row)
	}
	all.Close()

	exec(`UPDATE stock SET n = 2 WHERE item = 'apple'; DELETE FROM stock WHERE item = 'pear'`)
	sub, err := db.Subscribe(ctx, "stock", tidemill.AsOf(step), tidemill.NoSnapshot(), tidemill.UpTo(step+1))
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for {
		c, err := sub.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%+d %v\n", c.Weight, c.Row)
	}
	// Output:
	// upsert [apple 3]
	// upsert [pear 5]
	// +1 [apple 2]
	// -1 [apple 3]
	// -1 [pear 5]
}
