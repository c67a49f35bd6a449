package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// A library package keeps no state of its own and leaves logging, output and
// the end of the process to the program. A conformance suite is a test, with
// its tables in variables.
func TestPurity(t *testing.T) {
	for _, p := range modulePackages(t) {
		if !isLibrary(p.rel()) || strings.HasSuffix(p.rel(), "test") {
			continue
		}
		for _, f := range p.parse(t, p.GoFiles) {
			for _, fault := range purityFaults(f) {
				t.Error(fault)
			}
		}
	}
}

// purityFaults returns what a library package must not have.
func purityFaults(f goFile) (faults []string) {
	fault := func(n ast.Node, format string, args ...any) {
		faults = append(faults, f.at(n)+": "+fmt.Sprintf(format, args...))
	}
	for _, imp := range f.ast.Imports {
		if p, _ := strconv.Unquote(imp.Path.Value); p == "log" {
			fault(imp, "imports log; take a *slog.Logger")
		}
	}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				fault(d, "has an init function")
			}
		case *ast.GenDecl:
			for _, name := range stateVariables(d) {
				fault(name, "package variable %s; only errors, embedded files and interface checks are allowed", name.Name)
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if name := callee(call); name == "os.Exit" || name == "print" || name == "println" || strings.HasPrefix(name, "fmt.Print") {
				fault(call, "calls %s", name)
			}
		}
		return true
	})
	return faults
}

// stateVariables returns the names that d declares and a library must not.
func stateVariables(d *ast.GenDecl) (names []*ast.Ident) {
	if d.Tok != token.VAR {
		return nil
	}
	for _, spec := range d.Specs {
		spec := spec.(*ast.ValueSpec)
		if isEmbedded(d.Doc) || isEmbedded(spec.Doc) {
			continue
		}
		for i, name := range spec.Names {
			if name.Name == "_" || i < len(spec.Values) && isSentinel(name.Name, spec.Values[i]) {
				continue
			}
			names = append(names, name)
		}
	}
	return names
}

// isSentinel reports whether a variable is an error for comparison: a new one
// or that of another package.
func isSentinel(name string, value ast.Expr) bool {
	if !strings.HasPrefix(name, "Err") && !strings.HasPrefix(name, "err") {
		return false
	}
	switch v := value.(type) {
	case *ast.CallExpr:
		made := callee(v)
		return made == "errors.New" || made == "fmt.Errorf"
	case *ast.SelectorExpr:
		return strings.HasPrefix(v.Sel.Name, "Err")
	}
	return false
}

// isEmbedded reports whether a go:embed directive is above a declaration.
func isEmbedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// callee returns what a call calls, such as "fmt.Print"; empty if it is more
// complicated. No file here renames an import of the standard library.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}

func TestPurityFaults(t *testing.T) {
	tests := []struct {
		src  string
		want int
	}{
		{`var ErrStale = errors.New("x: stale")`, 0},
		{`var ( ErrA = errors.New("x: a"); errB = fmt.Errorf("x: %w", ErrA) )`, 0},
		{`var ErrNoSource = sipaddr.ErrNoSource`, 0},
		{`var ErrCount = 1`, 1},
		{`var ErrLater error`, 1},
		{`var _ io.Reader = (*T)(nil)`, 0},
		{"//go:embed schema.sql\nvar Schema string", 0},
		{`var table = map[string]int{}`, 1},
		{`var a, b int`, 2},
		{`const a = 1`, 0},
		{`func init() {}`, 1},
		{`func (T) init() {}`, 0},
		{`import "log"`, 1},
		{`import "log/slog"`, 0},
		{`func f() { fmt.Println(); fmt.Fprintln(w); os.Exit(1); println() }`, 3},
		{`func f() { var state int; g(state) }`, 0},
	}
	for _, tt := range tests {
		got := purityFaults(parseFile(t, "x.go", []byte("package x\n"+tt.src)))
		if len(got) != tt.want {
			t.Errorf("%s\n%q, want %d faults", tt.src, got, tt.want)
		}
	}
}
