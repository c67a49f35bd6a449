package dispatcher_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sipward/sipward/dispatcher"
)

const setID = 10

// pbx returns a destination of setID; the name becomes the host of its URI.
func pbx(name string, weight int) dispatcher.Destination {
	return dispatcher.Destination{SetID: setID, URI: "sip:" + name, Weight: weight}
}

// weighted returns up to 52 destinations: a, b, c and so on.
func weighted(weights ...int) []dispatcher.Destination {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var dst []dispatcher.Destination
	for i, w := range weights {
		dst = append(dst, pbx(letters[i:i+1], w))
	}
	return dst
}

func newDispatcher(t testing.TB, p dispatcher.Policy, dst []dispatcher.Destination) *dispatcher.Dispatcher {
	t.Helper()
	d := dispatcher.New(dispatcher.Config{Policy: p})
	update(t, d, dst)
	return d
}

func update(t testing.TB, d *dispatcher.Dispatcher, dst []dispatcher.Destination) {
	t.Helper()
	if err := d.Update(dst); err != nil {
		t.Fatal(err)
	}
}

// order returns the names of the selected destinations, joined.
func order(t testing.TB, d *dispatcher.Dispatcher, key string) string {
	t.Helper()
	dst, err := d.Select(setID, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return names(dst)
}

// choice returns the destination that is selected first.
func choice(t testing.TB, d *dispatcher.Dispatcher, key string) dispatcher.Destination {
	t.Helper()
	var buf [8]dispatcher.Destination
	dst, err := d.Select(setID, key, buf[:0])
	if err != nil {
		t.Fatal(err)
	}
	return dst[0]
}

// first returns the name of the first one selected.
func first(t testing.TB, d *dispatcher.Dispatcher, key string) string {
	t.Helper()
	return strings.TrimPrefix(choice(t, d, key).URI, "sip:")
}

func names(dst []dispatcher.Destination) string {
	var b strings.Builder
	for i, d := range dst {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.TrimPrefix(d.URI, "sip:"))
	}
	return b.String()
}

// aors returns n different AORs of a tenant.
func aors(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("%d@tenant-a.test", 1000+i)
	}
	return s
}

// without returns a copy of dst without the destination with a name.
func without(dst []dispatcher.Destination, name string) []dispatcher.Destination {
	return slices.DeleteFunc(slices.Clone(dst), func(d dispatcher.Destination) bool {
		return d.URI == "sip:"+name
	})
}

// changed returns a copy of dst with one destination changed.
func changed(dst []dispatcher.Destination, i int, change func(*dispatcher.Destination)) []dispatcher.Destination {
	dst = slices.Clone(dst)
	change(&dst[i])
	return dst
}
