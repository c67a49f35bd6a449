package main

import (
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/internal/programtest"
)

// dashboard is what the tests look at of deploy/grafana.json.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
			Datasource datasource
		}
	}
	Panels []panel
}

type datasource struct{ Type, UID string }

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Datasource  datasource
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

func loadDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rules is deploy/alerts.yml.
type rules struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Alert, Expr         string
	For                 time.Duration
	Labels, Annotations map[string]string
}

func loadRules(t *testing.T) (all []rule) {
	t.Helper()
	file, err := os.Open("deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var r rules
	dec := yaml.NewDecoder(file)
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Groups {
		if g.Name == "" {
			t.Error("a group has no name")
		}
		all = append(all, g.Rules...)
	}
	return all
}

// TestDeploy_Expressions: all that dashboard and alerts ask for is what a proxy
// that runs, and has served a call, really exports: metrics, labels and their
// values. P-47.
func TestDeploy_Expressions(t *testing.T) {
	d, alerts := loadDashboard(t), loadRules(t)
	yaml := withEverything(t)
	inWorld(t, yaml, func(w *world) {
		w.busy()
		all := scrape(w, w.proxy)
		check := func(where, expr, templates string) {
			q, err := parseQuery(expr)
			if err != nil {
				w.Errorf("%s: %v", where, err)
				return
			}
			if len(q.selectors) == 0 {
				w.Errorf("%s: %s asks for nothing", where, expr)
			}
			for _, fault := range q.check(all) {
				w.Errorf("%s: %s: %s", where, fault, expr)
			}
			for _, label := range templateLabels(templates) {
				if !q.yields(all, label) {
					w.Errorf("%s: {{%s}} will be empty: %s", where, label, expr)
				}
			}
		}
		for _, v := range d.Templating.List {
			for _, m := range regexp.MustCompile(`label_values\((\w+), instance\)`).FindAllStringSubmatch(string(v.Query), -1) {
				check("variable "+v.Name, m[1], "")
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				check("panel "+p.Title, target.Expr, target.LegendFormat)
			}
		}
		for _, r := range alerts {
			check("alert "+r.Alert, r.Expr, r.Annotations["summary"]+r.Annotations["description"])
		}
	})
}

// templateLabels returns the labels in the text of a legend or an annotation.
func templateLabels(text string) (labels []string) {
	for _, m := range regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}`).FindAllStringSubmatch(text, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

// yields reports whether the result of the expression has a label.
func (q query) yields(all exposition, label string) bool {
	if len(q.grouping) > 0 && !slices.Contains(q.grouping, "job") { // by; on keeps the labels of the left side
		return slices.Contains(q.grouping, label)
	}
	if label == "instance" {
		return true
	}
	f := all.family(q.selectors[0].metric)
	return f != nil && slices.Contains(f.labels(), label)
}

// TestDeploy_Dashboard: Grafana can load it, wherever that is.
func TestDeploy_Dashboard(t *testing.T) {
	d := loadDashboard(t)
	if d.UID != "sipward" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("uid %q, title %q, schema version %d", d.UID, d.Title, d.SchemaVersion)
	}
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type + " " + string(v.Query)
	}
	if variables["datasource"] != `datasource "prometheus"` || !strings.Contains(variables["instance"], `"label_values(`) {
		t.Errorf("variables %v", variables)
	}
	ids := map[int]bool{}
	rows, graphs := 0, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: number, place or title is missing, or there twice", p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows++
			continue
		}
		graphs++
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q: data source %q, %d targets", p.Title, p.Datasource.UID, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.RefID == "" || refs[target.RefID] || target.Expr == "" {
				t.Errorf("panel %q: a target without a name or an expression", p.Title)
			}
			refs[target.RefID] = true
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("panel %q does not follow the variable instance: %s", p.Title, target.Expr)
			}
		}
	}
	if rows < 3 || graphs < 10 {
		t.Errorf("%d rows with %d panels", rows, graphs)
	}
	for i, p := range d.Panels { // as Grafana would move them
		for _, o := range d.Panels[:i] {
			if p.GridPos.X < o.GridPos.X+o.GridPos.W && o.GridPos.X < p.GridPos.X+p.GridPos.W &&
				p.GridPos.Y < o.GridPos.Y+o.GridPos.H && o.GridPos.Y < p.GridPos.Y+p.GridPos.H {
				t.Errorf("panels %q and %q overlap", o.Title, p.Title)
			}
		}
	}
}

// TestDeploy_Alerts: each says how bad it is, and what to do.
func TestDeploy_Alerts(t *testing.T) {
	alerts := loadRules(t)
	if len(alerts) < 5 {
		t.Errorf("%d alerts", len(alerts))
	}
	names := map[string]bool{}
	for _, r := range alerts {
		if names[r.Alert] || !regexp.MustCompile(`^Sipward[A-Z]\w+$`).MatchString(r.Alert) {
			t.Errorf("alert %q: no good name, or there twice", r.Alert)
		}
		names[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks summary or description", r.Alert)
		}
		if !regexp.MustCompile(`[<>=]`).MatchString(r.Expr) {
			t.Errorf("%s fires always: %s", r.Alert, r.Expr)
		}
		if r.For == 0 {
			t.Errorf("%s has no for", r.Alert)
		}
	}
}

// TestDeploy_Files: what the files of deploy refer to is there.
func TestDeploy_Files(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Build   struct{ Context, Dockerfile string }
			Volumes []string
			Configs []struct{ Source string }
		}
		Configs, Volumes map[string]any
	}
	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	for name, v := range map[string]any{"compose.yaml": &compose, "prometheus.yml": &prometheus} {
		text, err := os.ReadFile(filepath.Join("deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	exists := func(path ...string) {
		if _, err := os.Stat(filepath.Join(append([]string{"deploy"}, path...)...)); err != nil {
			t.Error(err)
		}
	}
	for name, s := range compose.Services {
		if s.Build.Context != "" {
			exists(s.Build.Context, s.Build.Dockerfile)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				exists(from)
			} else if _, ok := compose.Volumes[from]; !ok {
				t.Errorf("%s: no volume %s", name, from)
			}
		}
		for _, c := range s.Configs {
			if compose.Configs[c.Source] == nil {
				t.Errorf("%s: no config %s", name, c.Source)
			}
		}
	}
	for _, f := range prometheus.RuleFiles {
		exists(f)
	}
	job := prometheus.ScrapeConfigs[0]
	if admin := config.Default().Admin.String(); job.JobName != "sipward" || job.StaticConfigs[0].Targets[0] != admin {
		t.Errorf("%+v, want the job sipward at %s", job, admin)
	}
}

// TestDeploy_Dockerfile: it builds this program, and has a user who is not root.
func TestDeploy_Dockerfile(t *testing.T) {
	text, err := os.ReadFile("deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	for _, want := range []string{fmt.Sprintf("FROM golang:%s AS build", version[1]), "CGO_ENABLED=0", "./examples/proxy", ":nonroot\n", "ENTRYPOINT ["} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %q", want)
		}
	}
}

// TestDeploy_Units: systemd has no objection to the units, and they have what the
// proxy speaks.
func TestDeploy_Units(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, lines := range map[string][]string{
		"sipward.service": {"Type=notify", "WatchdogSec=30", "TimeoutStartSec=infinity"},
		"sipward.socket":  {"ListenDatagram=127.0.0.1:5060", "ListenStream=127.0.0.1:5060"},
	} {
		text, err := os.ReadFile(filepath.Join("deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !strings.Contains(string(text), "\n"+line+"\n") {
				t.Errorf("%s lacks %s", name, line)
			}
		}
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/sipward", strconv.Quote(os.Args[0])))
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	tool := programtest.Need(t, "systemd-analyze")
	out, err := osexec.CommandContext(t.Context(), tool, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
