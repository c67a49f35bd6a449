package mysqltenant

import (
	"fmt"
	"strconv"
	"strings"
)

// attrValues returns the values of an attribute. Operators separate attributes
// by semicolons, commas or blanks, and write lists with the latter two: what
// has no name belongs to the attribute before it, but not across a semicolon.
// "name=" has the value "", a bare name has none.
func attrValues(attrs, name string) (values []string) {
	attrs = strings.Join(strings.Fields(attrs), " ")
	attrs = strings.NewReplacer(" = ", "=", " =", "=", "= ", "=").Replace(attrs)
	for part := range strings.SplitSeq(attrs, ";") {
		key := ""
		for _, item := range strings.FieldsFunc(part, func(r rune) bool { return r == ',' || r == ' ' }) {
			value := item
			if k, v, ok := strings.Cut(item, "="); ok {
				key, value = k, v
			}
			if strings.EqualFold(key, name) {
				values = append(values, value)
			}
		}
	}
	return values
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
