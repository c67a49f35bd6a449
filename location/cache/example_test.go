package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/cache"
)

func Example() {
	database := location.NewMemory(location.MemoryConfig{}) // in the place of a slow one
	store, err := cache.New(database, cache.Config{
		MaxAge:   30 * time.Second, // other programs use the database too
		StaleFor: 10 * time.Minute, // and it may fail
	})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := location.MakeAOR("bob", "a.example")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for range 3 {
		if _, err := store.Lookup(ctx, bob); err != nil {
			log.Fatal(err)
		}
	}
	put := location.Binding{Contact: "sip:bob@192.0.2.7", Updated: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := store.Apply(ctx, bob, location.Change{Put: []location.Binding{put}}); err != nil {
		log.Fatal(err)
	}
	bindings, err := store.Lookup(ctx, bob)
	if err != nil {
		log.Fatal(err)
	}
	stats := store.Stats()
	fmt.Println(bindings[0].Contact, stats.Hits+stats.NegativeHits, "of", 4, "from the cache")
	// Output: sip:bob@192.0.2.7 3 of 4 from the cache
}
