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
// The AORs must all differ. Once ctx is done, or the store cannot go on, the rest
// gets that error, and it is not known whether some of it was done.
type Batcher interface {
	ApplyAll(ctx context.Context, changes []AORChange) []error
}
