package archtest

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport says which parts of the module a library package may import, each
// by its first path element. What is missing here has no place at the top.
var mayImport = map[string][]string{
	"location":   {"location", "internal"},
	"tenant":     {"tenant", "internal"},
	"dispatcher": {"dispatcher", "internal"},
	"registrar":  {"registrar", "location", "internal"},
	"natfix":     {"natfix", "location", "internal"},
	"acct":       {"acct", "internal"},
}

func TestImports_SomeNeedTheStandardLibraryOnly(t *testing.T) {
	all := allPackages(t)
	for _, name := range []string{"location", "tenant", "dispatcher", "acct"} {
		p := all[modulePath+"/"+name]
		if p == nil {
			continue
		}
		for _, dep := range p.Deps {
			if d := all[dep]; d == nil || !d.Standard {
				t.Errorf("%s depends on %s", name, dep)
			}
		}
	}
}

func TestImports_LibraryPackages(t *testing.T) {
	for _, p := range modulePackages(t) {
		if !isLibrary(p.rel()) {
			continue
		}
		for _, fault := range libraryImportFaults(p) {
			t.Errorf("%s %s", p.rel(), fault)
		}
	}
}

// libraryImportFaults returns what p must not import, or depend on.
func libraryImportFaults(p *goPackage) (faults []string) {
	allowed, known := mayImport[top(p.rel())]
	if !known {
		return []string{"is not in a known top-level directory"}
	}
	for _, imp := range p.Imports {
		rel := relative(imp)
		switch {
		case rel != "" && !slices.Contains(allowed, top(rel)):
			faults = append(faults, "imports its sibling "+rel)
		case isTestHelper(rel):
			faults = append(faults, "imports the test helper "+rel)
		case isDatabase(imp) && !strings.HasPrefix(path.Base(p.rel()), "mysql"):
			faults = append(faults, "imports "+imp+", which is for mysql packages")
		case slices.Contains([]string{"flag", "os/signal"}, imp):
			faults = append(faults, "imports "+imp+", which is for programs")
		}
	}
	for _, dep := range p.Deps {
		if isForPrograms(dep) {
			faults = append(faults, "depends on "+dep+", which is for programs")
		}
	}
	return faults
}

// isDatabase reports whether a package accesses SQL databases.
func isDatabase(importPath string) bool {
	for _, p := range []string{"database/sql", "github.com/jmoiron/sqlx", "github.com/go-sql-driver/mysql"} {
		if importPath == p || strings.HasPrefix(importPath, p+"/") {
			return true
		}
	}
	return false
}

// isForPrograms reports whether a package is metrics, configuration or DNS, which
// are for programs to choose.
func isForPrograms(importPath string) bool {
	return strings.Contains(importPath, "prometheus") || strings.Contains(importPath, "yaml") || strings.HasPrefix(importPath, "golang.org/x/net/")
}

func TestImports_InternalPackages(t *testing.T) {
	for _, p := range modulePackages(t) {
		if top(p.rel()) != "internal" || strings.HasPrefix(path.Base(p.rel()), "mysql") {
			continue
		}
		for _, imp := range p.Imports {
			if isDatabase(imp) {
				t.Errorf("%s imports %s, which is for mysql packages", p.rel(), imp)
			}
			if isTestHelper(relative(imp)) && !isTestHelper(p.rel()) {
				t.Errorf("%s imports the test helper %s", p.rel(), imp)
			}
		}
	}
}

// A program that imports testing has its flags and its weight.
func TestImports_TestingIsForTests(t *testing.T) {
	for _, p := range modulePackages(t) {
		if p.rel() == "location/locationtest" || top(p.rel()) == "internal" {
			continue
		}
		for _, imp := range p.Imports {
			if top(imp) == "testing" {
				t.Errorf("%s imports %s outside of tests", p.rel(), imp)
			}
		}
	}
}

func TestLibraryImportFaults(t *testing.T) {
	tests := []struct {
		rel, imp string
		want     int
	}{
		{"location", "context", 0},
		{"location/cache", modulePath + "/location", 0},
		{"registrar", modulePath + "/location", 0},
		{"registrar", modulePath + "/tenant", 1},
		{"location", modulePath + "/registrar", 1},
		{"location", modulePath + "/examples/proxy", 1},
		{"natfix", modulePath + "/internal/sipaddr", 0},
		{"natfix", modulePath + "/internal/simnet", 1},
		{"natfix", modulePath + "/internal/mysqltest", 1},
		{"location/mysqlloc", "database/sql", 0},
		{"location/mysqlloc", "github.com/jmoiron/sqlx", 0},
		{"location/cache", "database/sql/driver", 1},
		{"acct", "github.com/go-sql-driver/mysql", 1},
		{"dispatcher", "flag", 1},
		{"dispatcher", "os/signal", 1},
		{"dispatcher", "github.com/prometheus/client_golang/prometheus", 1},
		{"dispatcher", "go.yaml.in/yaml/v3", 1},
		{"util", "fmt", 1},
	}
	for _, tt := range tests {
		p := &goPackage{ImportPath: modulePath + "/" + tt.rel, Imports: []string{tt.imp}, Deps: []string{tt.imp}}
		if got := libraryImportFaults(p); len(got) != tt.want {
			t.Errorf("%s importing %s: %q, want %d faults", tt.rel, tt.imp, got, tt.want)
		}
	}
}
