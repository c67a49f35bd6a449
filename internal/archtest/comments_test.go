package archtest

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// Every exported name of a library package is documented, every package is.
func TestDocComments(t *testing.T) {
	for _, p := range modulePackages(t) {
		files := p.parse(t, p.GoFiles)
		documented := len(files) == 0
		for _, f := range files {
			documented = documented || f.ast.Doc != nil
			if !isLibrary(p.rel()) {
				continue
			}
			for _, fault := range commentFaults(f) {
				t.Error(fault)
			}
		}
		if !documented {
			t.Errorf("package %s has no comment", p.rel())
		}
	}
}

// commentFaults returns the exported names of a file without a proper comment.
func commentFaults(f goFile) (faults []string) {
	check := func(n ast.Node, name string, doc *ast.CommentGroup) {
		if !ast.IsExported(name) {
			return
		}
		if text := doc.Text(); text == "" {
			faults = append(faults, fmt.Sprintf("%s: %s has no comment", f.at(n), name))
		} else if first, _, _ := strings.Cut(strings.Join(strings.Fields(text), " "), " "); strings.TrimRight(first, ",:") != name {
			faults = append(faults, fmt.Sprintf("%s: the comment of %s does not start with its name", f.at(n), name))
		}
	}
	for _, decl := range f.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiver(d)) {
				check(d, d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			grouped := d.Lparen.IsValid()
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					doc := s.Doc
					if !grouped {
						doc = d.Doc
					}
					check(s, s.Name.Name, doc)
				case *ast.ValueSpec:
					if !grouped {
						check(s, s.Names[0].Name, d.Doc)
					} else if d.Doc == nil && s.Doc == nil && s.Comment == nil && ast.IsExported(s.Names[0].Name) {
						// One comment above the group does for all.
						faults = append(faults, fmt.Sprintf("%s: %s has no comment", f.at(s), s.Names[0].Name))
					}
				}
			}
		}
	}
	return faults
}

// receiver returns the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func TestCommentFaults(t *testing.T) {
	tests := []struct {
		src  string
		want int
	}{
		{"// Get gets.\nfunc Get() {}", 0},
		{"func Get() {}", 1},
		{"// It gets.\nfunc Get() {}", 1},
		{"// Getter gets.\nfunc Get() {}", 1},
		{"func get() {}", 0},
		{"func (t *T) Get() {}", 1},
		{"func (t *Tree[K]) Get() {}", 1},
		{"func (t *tree[K, V]) Get() {}", 0},
		{"type T struct{}", 1},
		{"// T is one.\ntype T struct{}", 0},
		{"// Types.\ntype (\n// T is one.\nT int\nU int\n)", 1},
		{"// Max is 1.\nconst Max = 1", 0},
		{"const Max = 1", 1},
		{"const (\nMin = 0 // lowest\nMax = 1\n)", 1},
		{"// Bounds.\nconst (\nMin = 0\nMax = 1\n)", 0},
	}
	for _, tt := range tests {
		got := commentFaults(parseFile(t, "x.go", []byte("package x\n"+tt.src)))
		if len(got) != tt.want {
			t.Errorf("%s\n%q, want %d faults", tt.src, got, tt.want)
		}
	}
}
