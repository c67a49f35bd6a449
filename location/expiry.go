package location

import "container/heap"

// slotWidth is the time that the bindings in one slot of an expiryQueue expire
// in, in microseconds. It trades how long an expired binding may stay for the
// number of slots: an hour has 225.
const slotWidth = 16_000_000

// expiryQueue finds expired records without a look at others. Records that
// expire at about the same time share a slot; adding, moving and removing one
// is cheap because a refresh moves it to a slot that mostly exists. The slots
// are in a heap, so that the clock may jump by any length in either direction.
// A slot is gone with its last record.
type expiryQueue struct {
	slots map[int64]*slot // by number
	order slotHeap        // the earliest first
}

type slot struct {
	number  int64 // expires/slotWidth, of all records in it
	index   int   // in order
	records chain
}

func (q *expiryQueue) init() { q.slots = map[int64]*slot{} }

func slotNumber(t int64) int64 { return t / slotWidth }

func (q *expiryQueue) add(r *record) {
	n := slotNumber(r.expires)
	sl := q.slots[n]
	if sl == nil {
		sl = &slot{number: n}
		q.slots[n] = sl
		heap.Push(&q.order, sl)
	}
	sl.records.add(r, expiryLinks)
}

func (q *expiryQueue) remove(r *record) {
	sl := q.slots[slotNumber(r.expires)]
	sl.records.remove(r, expiryLinks)
	if sl.records.head == nil {
		delete(q.slots, sl.number)
		heap.Remove(&q.order, sl.index)
	}
}

// firstBefore returns a record of a slot that has wholly expired, or nil.
func (q *expiryQueue) firstBefore(now int64) *record {
	if len(q.order) == 0 || q.order[0].number >= slotNumber(now) {
		return nil
	}
	return q.order[0].records.head
}

// slotAt returns the first record of the slot that now is in, or nil.
func (q *expiryQueue) slotAt(now int64) *record {
	if sl := q.slots[slotNumber(now)]; sl != nil {
		return sl.records.head
	}
	return nil
}

// slotHeap implements [heap.Interface].
type slotHeap []*slot

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i].number < h[j].number }

func (h slotHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *slotHeap) Push(x any) {
	sl := x.(*slot)
	sl.index = len(*h)
	*h = append(*h, sl)
}

func (h *slotHeap) Pop() any {
	old := *h
	sl := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return sl
}
