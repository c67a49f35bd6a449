package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	modulePath = "github.com/sipward/sipward"
	// root is the module's directory: tests run in that of their package.
	root = "../.."
)

// goPackage is what the rules need of the output of go list.
type goPackage struct {
	ImportPath  string
	Dir         string
	Standard    bool
	GoFiles     []string
	TestGoFiles []string
	// XTestGoFiles are those of package x_test.
	XTestGoFiles []string
	Imports      []string // of GoFiles
	Deps         []string // Imports and theirs, and so on
}

// rel returns the package's path in the module, such as "location/cache".
func (p *goPackage) rel() string { return relative(p.ImportPath) }

// relative returns the path in the module of a package of it; empty for others.
func relative(importPath string) string {
	rel, ok := strings.CutPrefix(importPath, modulePath+"/")
	if !ok {
		return ""
	}
	return rel
}

// top returns the first element of a path in the module.
func top(rel string) string {
	first, _, _ := strings.Cut(rel, "/")
	return first
}

// isLibrary reports whether users of the module can import the package.
func isLibrary(rel string) bool {
	return rel != "" && top(rel) != "internal" && top(rel) != "examples"
}

// isTestHelper reports whether only tests may import the package.
func isTestHelper(rel string) bool {
	return top(rel) == "internal" && (strings.HasSuffix(rel, "test") ||
		slices.Contains([]string{"internal/simnet", "internal/siptestx"}, rel))
}

// goList returns all packages of the module and all that they depend on.
var goList = sync.OnceValues(func() (map[string]*goPackage, error) {
	cmd := exec.Command("go", "list", "-e", "-deps",
		"-json=ImportPath,Dir,Standard,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	packages := make(map[string]*goPackage)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(goPackage)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		packages[p.ImportPath] = p
	}
})

// allPackages returns the result of goList.
func allPackages(t *testing.T) map[string]*goPackage {
	t.Helper()
	packages, err := goList()
	if err != nil {
		t.Fatal(err)
	}
	if packages[modulePath+"/location"] == nil {
		t.Fatal("package location was not found: these tests see nothing")
	}
	return packages
}

// modulePackages returns the packages of the module, sorted by path.
func modulePackages(t *testing.T) []*goPackage {
	t.Helper()
	var own []*goPackage
	for _, p := range allPackages(t) {
		if p.rel() != "" {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b *goPackage) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return own
}

// goFile is a parsed source file.
type goFile struct {
	name string // in the module
	fset *token.FileSet
	ast  *ast.File
}

// at returns where n is, for messages.
func (f goFile) at(n ast.Node) string {
	pos := f.fset.Position(n.Pos())
	pos.Filename, pos.Column = f.name, 0
	return pos.String()
}

// parseFile parses a file whose text is src.
func parseFile(t *testing.T, name string, src []byte) goFile {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return goFile{name, fset, file}
}

// parse parses some of the files of p.
func (p *goPackage) parse(t *testing.T, names []string) []goFile {
	t.Helper()
	var files []goFile
	for _, name := range names {
		src, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parseFile(t, p.rel()+"/"+name, src))
	}
	return files
}

// trackedFiles returns the names of the module's files under version control,
// and of those that are about to be.
func trackedFiles(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	// A deleted file is listed until its deletion is.
	return slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Lstat(filepath.Join(root, name))
		return err != nil || !info.Mode().IsRegular()
	})
}

// read returns the text of a file of the module.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
