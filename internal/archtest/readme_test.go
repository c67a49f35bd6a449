package archtest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readmeCommands are the commands that README.md may show, each with what
// proves that it works: a test, or a script that runs it.
var readmeCommands = map[string]string{
	"go run ./examples/proxy demo":                                         "TestREADMECommands",
	"go run ./examples/proxy -config examples/proxy/proxy.yaml -check":     "TestREADMECommands",
	"export SIPWARD_DATABASE='user:password@tcp(127.0.0.1:3306)/opensips'": "TestREADME_Database",
	"go run ./examples/proxy db init":                                      "TestREADME_Database",
	"go run ./examples/proxy domain add tenant-a.example 10":               "TestREADME_Database",
	"go run ./examples/proxy dispatcher add 10 sip:10.0.1.10:5060":         "TestREADME_Database",
	"go run ./examples/proxy db check":                                     "TestREADME_Database",
	"make test":                                                            ".ci/run",
}

// readmeImports are what README.md's blocks without imports may use.
var readmeImports = []string{
	"context", "errors", "fmt", "io", "iter", "log", "log/slog", "net", "net/netip", "os", "strings", "testing", "time",
	"github.com/emiago/sipgo",
	"github.com/emiago/sipgo/sip",
	modulePath + "/location",
	modulePath + "/location/locationtest",
	modulePath + "/tenant",
	modulePath + "/dispatcher",
	modulePath + "/registrar",
	modulePath + "/natfix",
}

func TestReadme_CodeCompiles(t *testing.T) {
	dir := t.TempDir()
	moduleDir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	// The files are added to the module as an overlay: nothing is written to it.
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	var packages []string
	for i, b := range codeBlocks(read(t, "README.md"), "go") {
		src, err := completeFile(b.text)
		if err != nil {
			t.Errorf("README.md:%d: %v", b.line, err)
			continue
		}
		// The names have the compiler's messages tell where in README.md to look.
		pkg, name := fmt.Sprintf("readme%d", i), fmt.Sprintf("README_line_%d.go", b.line)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, src, 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(moduleDir, pkg, name)] = file
		packages = append(packages, "./"+pkg)
	}
	if len(packages) == 0 {
		return
	}
	index := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(index, text, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay=" + index, "-o=" + os.DevNull}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go build of the blocks of README.md: %v\n%s", err, out)
	}
}

func TestReadme_CommandsAreTested(t *testing.T) {
	functions := testFunctions(t)
	for _, b := range codeBlocks(read(t, "README.md"), "sh") {
		for _, command := range commands(b.text) {
			proof, known := readmeCommands[command]
			switch {
			case !known:
				t.Errorf("README.md:%d: no test is known to run %q", b.line, command)
			case strings.HasPrefix(proof, "Test") && !slices.Contains(functions, proof):
				t.Errorf("README.md:%d: %s, which should run %q, does not exist", b.line, proof, command)
			case strings.HasPrefix(proof, ".") && !strings.Contains(read(t, proof), command):
				t.Errorf("README.md:%d: %s does not run %q", b.line, proof, command)
			}
		}
	}
}

// block is a fenced block of code.
type block struct {
	line int // of its first line of code
	text string
}

// codeBlocks returns the blocks of a language in a Markdown text.
func codeBlocks(markdown, language string) (blocks []block) {
	var inside bool
	for i, line := range strings.SplitAfter(markdown, "\n") {
		switch fence := strings.TrimSpace(line); {
		case inside && fence == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		case fence == "```"+language:
			inside = true
			blocks = append(blocks, block{line: i + 2})
		}
	}
	return blocks
}

// commands returns the commands of a block of shell code, without prompts,
// comments and line breaks.
func commands(text string) (all []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// completeFile makes a file of a block: either it is one, or it consists of
// declarations, perhaps below imports.
func completeFile(text string) ([]byte, error) {
	if file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly); err == nil && file.Name != nil {
		return []byte(text), nil
	}
	text = "\n" + text
	file, err := parser.ParseFile(token.NewFileSet(), "", "package readme"+text, 0)
	if err != nil {
		return nil, fmt.Errorf("the block is neither a file nor declarations: %w", err)
	}
	var imports strings.Builder
	if len(file.Imports) == 0 {
		for _, path := range readmeImports {
			if uses(file, path[strings.LastIndex(path, "/")+1:]) {
				fmt.Fprintf(&imports, "; import %q", path)
			}
		}
	}
	return []byte("package readme" + imports.String() + text), nil
}

// uses reports whether a file has a selector on name.
func uses(file *ast.File, name string) (found bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				found = true
			}
		}
		return !found
	})
	return found
}

func TestReadmeParsing(t *testing.T) {
	const readme = "# Title\n```sh\n$ go run ./x \\\n    demo   # try it\n\n# note\nmake test\n```\n" +
		"text\n```go\nfunc f() { fmt.Println() }\n```\n```\nplain\n```\n"
	blocks := codeBlocks(readme, "sh")
	if len(blocks) != 1 || blocks[0].line != 3 {
		t.Fatalf("blocks = %+v, want one at line 3", blocks)
	}
	if got, want := commands(blocks[0].text), []string{"go run ./x demo", "make test"}; !slices.Equal(got, want) {
		t.Errorf("commands = %q, want %q", got, want)
	}

	blocks = codeBlocks(readme, "go")
	if len(blocks) != 1 {
		t.Fatalf("blocks = %+v, want one", blocks)
	}
	src, err := completeFile(blocks[0].text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(src), "package readme; import \"fmt\"\nfunc f() { fmt.Println() }\n"; got != want {
		t.Errorf("file = %q, want %q", got, want)
	}
	if _, err := completeFile("x := 1\n"); err == nil {
		t.Error("statements were taken for a file")
	}
}
