package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The environment variables that are read. An empty one counts as not set.
const (
	EnvConfig       = "SIPWARD_CONFIG"        // name of the file, if the command line has none
	EnvDatabase     = "SIPWARD_DATABASE"      // overrides the key database
	EnvDatabaseFile = "SIPWARD_DATABASE_FILE" // name of a file with what SIPWARD_DATABASE would have
	EnvSecret       = "SIPWARD_SECRET"        // overrides the key secret
)

// Load reads the configuration from the file at path. If path is empty, the
// file is the one that SIPWARD_CONFIG names, and if there is none either, the
// configuration is [Default] as changed by the environment. The environment is
// read by env, which is normally [os.Getenv]; it is empty if env is nil.
func Load(path string, env func(string) string) (*Config, error) {
	if path == "" && env != nil {
		path = env(EnvConfig)
	}
	if path == "" {
		return Parse(nil, "", env)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(data, path, env)
}

// Parse is [Load] for the text of a file. Its name appears in errors only.
func Parse(data []byte, name string, env func(string) string) (*Config, error) {
	c := Default()
	f := &faults{file: name, lines: map[string]int{}, env: map[string]string{}}
	d := &decoder{root: &c, faults: f}
	d.document(data)
	if env != nil {
		override(&c.Database, env(EnvDatabase), "database", EnvDatabase, f)
		databaseFile(&c.Database, env, f)
		override(&c.Secret, env(EnvSecret), "secret", EnvSecret, f)
	}
	(&validator{&c, f}).run()
	if err := f.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// override sets what a variable of the environment has a value for.
func override(dst *Secret, value, path, name string, f *faults) {
	if value != "" {
		*dst = Secret(value)
		f.env[path] = name
	}
}

// databaseFile sets the DSN to what the file has that a variable of the
// environment names, such as one of systemd's credentials.
func databaseFile(dsn *Secret, env func(string) string, f *faults) {
	name := env(EnvDatabaseFile)
	if name == "" {
		return
	}
	f.env["database"] = EnvDatabaseFile
	if env(EnvDatabase) != "" {
		f.add("database", "%s is set too", EnvDatabase)
		return
	}
	data, err := os.ReadFile(name)
	*dsn = Secret(strings.TrimSpace(string(data)))
	switch {
	case err != nil:
		f.add("database", "%v", err)
	case *dsn == "":
		f.add("database", "%s is empty", name)
	}
}

// document decodes the one document that data holds.
func (d *decoder) document(data []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // nothing but blanks and comments
		return
	case err != nil:
		d.faults.syntax(err)
		return
	}
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.faults.syntax(err)
	default:
		d.faults.addLine(more.Line, "", "more than one document")
	}
	switch root := doc.Content[0]; {
	case isNull(root):
	case root.Kind != yaml.MappingNode:
		d.faults.addLine(root.Line, "", "want keys, not %s", nodeKind(root))
	default:
		d.mapping("", root, reflect.ValueOf(d.root).Elem())
	}
}

// yamlLine is how the YAML library tells the line of a syntax error.
var yamlLine = regexp.MustCompile(`^line (\d+): `)

// syntax notes an error of the YAML library.
func (f *faults) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	f.addLine(line, "", "%s", text)
}
