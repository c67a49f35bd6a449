package locationtest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sipward/sipward/location"
)

// diff says in which fields got is not want, or "".
func diff(got, want []location.Binding) string {
	var sb strings.Builder
	if len(got) != len(want) {
		fmt.Fprintf(&sb, "got %d bindings, want %d\n", len(got), len(want))
		for _, b := range got {
			fmt.Fprintf(&sb, "  got  %s\n", brief(b))
		}
		for _, b := range want {
			fmt.Fprintf(&sb, "  want %s\n", brief(b))
		}
		return sb.String()
	}
	for i := range got {
		diffBinding(&sb, fmt.Sprintf("binding %d", i), got[i], want[i])
	}
	return sb.String()
}

func diffBinding(sb *strings.Builder, name string, got, want location.Binding) {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if a, b := g.Field(i).Interface(), w.Field(i).Interface(); !equal(a, b) {
			fmt.Fprintf(sb, "%s: %s: got %s, want %s\n", name, g.Type().Field(i).Name, show(a), show(b))
		}
	}
}

// equal compares values of one type; times may be in different locations.
func equal(a, b any) bool {
	if t, ok := a.(time.Time); ok {
		return t.Equal(b.(time.Time))
	}
	return a == b
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}

func diffEntries(got, want []location.Entry) string {
	var sb strings.Builder
	if len(got) != len(want) {
		fmt.Fprintf(&sb, "got %d entries, want %d\n", len(got), len(want))
		for _, e := range got {
			fmt.Fprintf(&sb, "  got  %q %s\n", e.AOR, brief(e.Binding))
		}
		for _, e := range want {
			fmt.Fprintf(&sb, "  want %q %s\n", e.AOR, brief(e.Binding))
		}
		return sb.String()
	}
	for i := range got {
		if got[i].AOR != want[i].AOR {
			fmt.Fprintf(&sb, "entry %d: AOR: got %q, want %q\n", i, got[i].AOR, want[i].AOR)
		}
		diffBinding(&sb, fmt.Sprintf("entry %d", i), got[i].Binding, want[i].Binding)
	}
	return sb.String()
}

// brief is what tells bindings of a test apart.
func brief(b location.Binding) string {
	return fmt.Sprintf("%.80q q=%d %s/%d updated %s expires %s instance %q",
		b.Contact, b.Q, b.CallID, b.CSeq, b.Updated.Format(time.TimeOnly), b.Expires.Format(time.TimeOnly), b.Instance)
}
