package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads YAML nodes into a [Config]. The YAML library could do that
// itself, but it stops at some faults, tells no path, and gives a type that
// reads itself no way to say which line it did not like.
//
// It takes time and memory in proportion to the file as long as no alias is
// used: the types that it reads into are finite, so a node that contains
// itself does no harm.
type decoder struct {
	root   *Config
	faults *faults
}

// heir is a type that starts from what the file has said before.
type heir interface{ inherit(*Config) }

// value reads n into v. If n is at fault, v stays as it is.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	parse := scalarParser(v.Addr().Interface())
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		d.faults.add(path, "tags such as %s are not supported", n.Tag)
	case parse != nil && n.Kind == yaml.ScalarNode:
		if err := parse(n.Value); err != nil {
			d.faults.add(path, "%v", err)
		}
	case parse == nil && v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		d.list(path, n, v)
	case parse == nil && v.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		d.mapping(path, n, v)
	default:
		d.faults.add(path, "want %s, not %s", wantedKind(parse != nil, v), nodeKind(n))
	}
}

// list replaces v by the elements of n. One at fault is there as a zero value,
// so that the indices are those of the file.
func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	v.SetZero()
	for i, item := range n.Content {
		elem := reflect.New(v.Type().Elem())
		if h, ok := elem.Interface().(heir); ok {
			h.inherit(d.root)
		}
		p := index(path, i)
		d.faults.lines[p] = item.Line
		if isNull(item) {
			d.faults.add(p, "no value")
		} else {
			d.value(p, item, elem.Elem())
		}
		v.Set(reflect.Append(v, elem.Elem()))
	}
}

// mapping reads the keys of n into the fields of v, in the order of the fields.
// A key without a value keeps its default.
func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	fields := fieldsOf(v)
	values := make(map[string]*yaml.Node, len(fields))
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		p := joinKey(path, key)
		known := slices.ContainsFunc(fields, func(f field) bool { return f.name == key.Value })
		switch {
		case !known || key.Kind != yaml.ScalarNode:
			d.faults.addLine(key.Line, p, "unknown key")
		case values[key.Value] != nil:
			d.faults.addLine(key.Line, p, "given twice, first in line %d", d.faults.lines[p])
		default:
			d.faults.lines[p] = key.Line
			values[key.Value] = n.Content[i+1]
		}
	}
	for _, f := range fields {
		if n := values[f.name]; n != nil && !isNull(n) {
			d.value(join(path, f.name), n, f.value)
		}
	}
}

// field is a key that a mapping may have.
type field struct {
	name  string
	value reflect.Value
}

// fieldsOf returns the fields of a struct, those of embedded ones included.
func fieldsOf(v reflect.Value) []field {
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			fields = append(fields, fieldsOf(v.Field(i))...)
			continue
		}
		fields = append(fields, field{f.Tag.Get("yaml"), v.Field(i)})
	}
	return fields
}

// joinKey is join for a key as it is in the file, where it can be anything.
func joinKey(path string, key *yaml.Node) string {
	name := key.Value
	if key.Kind != yaml.ScalarNode {
		name = "(" + nodeKind(key) + ")"
	} else if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		name = strconv.Quote(name)
	}
	return join(path, name)
}

// isNull reports whether n is a key's missing value, as written or as "null".
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle == 0 && n.Tag == "!!null"
}

func wantedKind(scalar bool, v reflect.Value) string {
	switch {
	case scalar:
		return "a single value"
	case v.Kind() == reflect.Slice:
		return "a list"
	default:
		return "keys"
	}
}

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "keys"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a single value"
	}
}
