package registrar_test

import (
	"context"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

// BenchmarkBeginCommit is the cost of one accepted refresh beyond parsing its
// messages and forwarding them.
func BenchmarkBeginCommit(b *testing.B) {
	stores := []struct {
		name  string
		store location.Store
	}{
		{"nostore", storeFunc(func(context.Context) error { return nil })},
		{"memory", location.NewMemory(location.MemoryConfig{})},
	}
	for name, p := range parsers() {
		for _, s := range stores {
			b.Run(name+"/"+s.name, func(b *testing.B) {
				r, err := registrar.New(registrar.Config{Store: s.store})
				if err != nil {
					b.Fatal(err)
				}
				req := parse[*sip.Request](b, p, register("Contact: "+baresip+";expires=60;"+instance))
				res := parse[*sip.Response](b, p, answer(200, "Contact: "+baresip+";expires=59"))
				ctx := b.Context()
				b.ReportAllocs()
				for b.Loop() {
					g, err := r.Begin(req, flow)
					if err != nil {
						b.Fatal(err)
					}
					if err := g.Commit(ctx, res); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
