// Package location keeps the contact bindings of SIP users.
//
// A [Store] maps an address of record ([AOR]) to the contacts ([Binding])
// where its user can be reached now. An AOR always carries a domain and no
// call looks up a bare user name, so extension 201 of one tenant can never
// be found through another tenant's request.
//
// [Memory] is a Store in memory. Other stores prove themselves with
// [github.com/sipward/sipward/location/locationtest]. The rules that all of
// them share are in [Change.Resolve] and [Binding.Compare], so that a new
// Store only has to keep data.
//
// The package also reads what registrations are made of: [ParseContacts],
// [ParseURI], [EqualURI], [ParseAllow] and [CanonicalDomain]. Their errors say
// what is malformed, for logs; only [ErrScheme] is there to be told apart.
package location

import (
	"context"
	"errors"
	"iter"
)

// ErrStale reports a [Change] that is older than what the store holds: same
// Call-ID, lower CSeq (RFC 3261 section 10.3 step 7). The store is unchanged.
var ErrStale = errors.New("location: stale change")

// Store keeps bindings. Implementations must pass [locationtest.Run]. They
// must be safe for concurrent use and must obey these rules:
//
//   - Lookup returns live bindings only, highest Q first, unspecified Q last,
//     then most recently updated first ([Binding.Compare]). A binding is live
//     while now is before its Expires. An AOR without live bindings is no
//     error: it returns nil, nil.
//   - Lookup returns all fields of a binding as they were put, except that a
//     store may cut times to the second, change their location, and round Q to
//     hundredths. A text that it cannot hold whole is an error of Apply: texts
//     are never cut off.
//   - Apply does what [Change] says. It is atomic for its AOR, touches no
//     other AOR, and a Lookup that starts after Apply returned nil sees it.
//   - Apply returns an error that wraps [ErrStale], and changes nothing, if
//     the Change is stale. It returns an error for the zero AOR.
//   - Neither call keeps or hands out memory shared with its caller.
//   - Both return promptly with ctx's error once ctx is done.
//
// [locationtest.Run]: https://pkg.go.dev/github.com/sipward/sipward/location/locationtest#Run
type Store interface {
	Lookup(ctx context.Context, aor AOR) ([]Binding, error)
	Apply(ctx context.Context, aor AOR, c Change) error
}

// Entry is a binding together with its AOR.
type Entry struct {
	AOR     AOR
	Binding Binding
}

// ContactFinder is an optional interface of stores that can find a phone by
// the user part of its Contact URI, for upstreams that call the Contact and
// not the extension. The argument is that user, unescaped, in the domain to
// look in.
//
// LookupContact returns the live bindings of the domain whose Contact has the
// user part contact.User(), of whichever AOR of the domain, ordered as Lookup
// orders and then by AOR. None is no error. A Contact that is no SIP or SIPS
// URI, or has no user that could be an AOR's, is never found.
type ContactFinder interface {
	LookupContact(ctx context.Context, contact AOR) ([]Entry, error)
}

// FlowFinder is an optional interface of stores that can tell whose phone is at
// the far end of a flow.
//
// HasFlow reports whether there is a live binding whose Flow has the Transport
// and the Remote of f, and whose AOR accept takes; a nil accept takes any. It
// asks accept for one binding after the other, in no order, and stops when it
// has its answer: there may be thousands on one flow. The store may be locked
// meanwhile, so that accept must neither block nor call the store.
type FlowFinder interface {
	HasFlow(ctx context.Context, f Flow, accept func(AOR) bool) (bool, error)
}

// Lister is an optional interface of stores that can enumerate their live
// bindings, for keepalives and exports. The sequence ends after a non-nil
// error. A binding that stays for as long as the enumeration takes comes
// exactly once; of a binding that is refreshed meanwhile, one state comes; no
// order is promised. The loop's body may call the store.
type Lister interface {
	All(ctx context.Context) iter.Seq2[Entry, error]
}

// Purger is an optional interface of stores whose expired bindings stay until
// they are swept. Purge drops at most limit of them and returns how many; less
// than limit means that none is left. No live binding is touched.
type Purger interface {
	Purge(ctx context.Context, limit int) (int, error)
}

// As returns the first store in s's chain that has the optional interface T.
// Stores that wrap another one must have an Unwrap() Store method.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	var zero T
	return zero, false
}
