package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is one fault of a configuration. The errors of [Load], [Parse] and
// [Config.Validate] join all faults that were found.
type Error struct {
	File    string // as given to Load or Parse; empty if it is not about a file
	Line    int    // of the key or the list element at fault; 0 if there is none
	Path    string // "tenants[0].destinations[2].uri"; empty if it is about the file as a whole
	Message string // never holds a secret
}

// Error returns "file:line: path: message" without the parts that are empty.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.File, "config"))
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}

// faults gathers the faults of one configuration.
type faults struct {
	file  string
	lines map[string]int    // where a path was read
	env   map[string]string // the variable that a path was read from, if not from the file
	list  []*Error
}

// add notes a fault at path.
func (f *faults) add(path, format string, args ...any) {
	if name, ok := f.env[path]; ok {
		f.list = append(f.list, &Error{Path: name, Message: fmt.Sprintf(format, args...)})
		return
	}
	f.addLine(f.line(path), path, format, args...)
}

// addLine is add for what has no line in f.lines.
func (f *faults) addLine(line int, path, format string, args ...any) {
	f.list = append(f.list, &Error{File: f.file, Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// has reports whether there is a fault at path already.
func (f *faults) has(path string) bool {
	return slices.ContainsFunc(f.list, func(e *Error) bool { return e.Path == path })
}

// covers reports whether there is a fault at path already, or at what path is
// in, so that what follows from it need not be reported.
func (f *faults) covers(path string) bool {
	for ; path != ""; path = parent(path) {
		if f.has(path) {
			return true
		}
	}
	return false
}

// given reports whether the value at path is not a default or inherited. Of a
// configuration that was not read it is not known, so everything is.
func (f *faults) given(path string) bool {
	if f.lines == nil {
		return true
	}
	_, inFile := f.lines[path]
	_, inEnv := f.env[path]
	return inFile || inEnv
}

// line returns the line of path or, if it is not in the file, of what it would
// be in.
func (f *faults) line(path string) int {
	for ; path != ""; path = parent(path) {
		if line, ok := f.lines[path]; ok {
			return line
		}
	}
	return 0
}

// err joins the faults in the order of their lines, those without a line last.
func (f *faults) err() error {
	slices.SortStableFunc(f.list, func(a, b *Error) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	errs := make([]error, len(f.list))
	for i, e := range f.list {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// join returns the path of a key in the mapping at path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// parent returns the path of what path is in, or "".
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// index returns the path of an element of the list at path.
func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
