package location

import "context"

// AORChange is a [Change] together with the AOR it is for.
type AORChange struct {
	AOR    AOR
	Change Change
}

// Batcher is an optional interface of stores that apply the changes of many AORs
// at less cost than one by one.
//
// ApplyAll does for each of changes what [Store.Apply] does, in no order, and
// returns an error for each, nil where it was done. No change harms another one.
// The AORs must differ: of several changes of one AOR the first is made and the
// others fail. Once ctx is done, or the store cannot go on, all changes that are
// not known to be made have that error; as with Apply, some may have been made.
//
// Do not look for it by [As] where a cache may be in between, which must see each
// change: ask the store itself.
type Batcher interface {
	ApplyAll(ctx context.Context, changes []AORChange) []error
}
