package cache

import (
	"slices"
	"strings"
	"time"

	"github.com/sipward/sipward/location"
)

// live returns a copy of the live ones of bs, nil if there is none.
func live(bs []location.Binding, now time.Time) []location.Binding {
	n := countLive(bs, now)
	if n == 0 {
		return nil
	}
	return copyLive(bs, n, now)
}

func countLive(bs []location.Binding, now time.Time) (n int) {
	for i := range bs {
		if now.Before(bs[i].Expires) {
			n++
		}
	}
	return n
}

// copyLive copies the live ones of bs, of which there are n.
func copyLive(bs []location.Binding, n int, now time.Time) []location.Binding {
	out := make([]location.Binding, 0, n)
	for i := range bs {
		if now.Before(bs[i].Expires) {
			out = append(out, bs[i])
		}
	}
	return out
}

func sorted(bs []location.Binding) []location.Binding {
	slices.SortStableFunc(bs, location.Binding.Compare)
	return bs
}

// compact returns b with its texts in memory of their own. What comes with a
// change may be parts of a whole SIP message, which would stay as long as they
// do.
func compact(b location.Binding) location.Binding {
	texts := [...]*string{
		&b.Contact, &b.Path, &b.CallID, &b.Instance, &b.UserAgent, &b.Token, &b.Registrar, &b.Flow.Transport,
	}
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	var sb strings.Builder
	sb.Grow(size)
	for _, t := range texts {
		sb.WriteString(*t)
	}
	all := sb.String()
	for _, t := range texts {
		n := len(*t)
		*t, all = all[:n], all[n:]
	}
	return b
}
