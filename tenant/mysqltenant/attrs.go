package mysqltenant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// attrValues returns the values of an attribute. Operators separate attributes
// by semicolons, commas or blanks, and write lists with the latter two: what
// has no name belongs to the attribute before it, but not across a semicolon.
// "name=" has the value "", a bare name has none.
func attrValues(attrs, name string) (values []string) {
	for part := range strings.SplitSeq(attrs, ";") {
		for _, item := range attrItems(part) {
			if item.is(name) {
				values = append(values, item.value)
			}
		}
	}
	return values
}

// attrItem is a value of an attribute.
type attrItem struct{ text, name, value string }

func (i attrItem) is(name string) bool { return strings.EqualFold(i.name, name) }

// attrItems returns the values in a part of attrs without semicolons.
func attrItems(part string) (items []attrItem) {
	part = strings.Join(strings.Fields(part), " ")
	part = strings.NewReplacer(" = ", "=", " =", "=", "= ", "=").Replace(part)
	name := ""
	for _, text := range strings.FieldsFunc(part, func(r rune) bool { return r == ',' || r == ' ' }) {
		value := text
		if k, v, ok := strings.Cut(text, "="); ok {
			name, value = k, v
		}
		items = append(items, attrItem{text, name, value})
	}
	return items
}

// SetAttr returns attrs with a value for an attribute in place of all those
// that it has, at the end and set off by a semicolon, as OpenSIPS has them.
// Other attributes stay; what is between semicolons and does not have the
// attribute stays as it is written. The value must have no semicolon, and no
// comma or blank unless it is a list.
func SetAttr(attrs, name, value string) string {
	var parts []string
	for part := range strings.SplitSeq(attrs, ";") {
		if items := attrItems(part); slices.ContainsFunc(items, func(i attrItem) bool { return i.is(name) }) {
			part = joinOthers(items, name)
		}
		if strings.TrimSpace(part) != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(append(parts, name+"="+value), ";")
}

// joinOthers returns the text of all items but those of an attribute.
func joinOthers(items []attrItem, name string) string {
	var texts []string
	for _, i := range items {
		if !i.is(name) {
			texts = append(texts, i.text)
		}
	}
	return strings.Join(texts, ",")
}

// attrSet returns the set that the attrs of a domain name; ok tells if they
// name any.
func attrSet(attrs string) (set int, ok bool, err error) {
	for _, value := range attrValues(attrs, "setid") {
		n, err := parseSet(value)
		switch {
		case err != nil:
			return 0, true, fmt.Errorf("attrs: %w", err)
		case ok && n != set:
			return 0, true, fmt.Errorf("attrs: setid is %d and %d", set, n)
		}
		set, ok = n, true
	}
	return set, ok, nil
}

// parseSet returns a set id, which the column can hold.
func parseSet(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("setid %q is not a number of a set", s)
	}
	return int(n), nil
}
