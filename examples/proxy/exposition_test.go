package main

import (
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exposition is what /metrics shows.
type exposition map[string]*family

// family is a metric with all its series.
type family struct {
	help, kind string
	series     []series
}

type series struct {
	name   string // of a histogram with _bucket, _sum or _count
	labels map[string]string
	value  float64
}

// scrape reads /metrics.
func scrape(t testing.TB, p *Proxy) exposition {
	t.Helper()
	rec := httptest.NewRecorder()
	p.metrics.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		t.Fatalf("%d\n%s", rec.Code, rec.Body)
	}
	all := exposition{}
	label := regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	for line := range strings.Lines(rec.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			all[name] = &family{help: help}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			all[name].kind = kind
			continue
		}
		sp := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[sp+1:], 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		name, labels, _ := strings.Cut(line[:sp], "{")
		s := series{name, map[string]string{}, value}
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			s.labels[m[1]] = m[2]
		}
		f := all.family(name)
		if f == nil {
			t.Fatalf("%q has no type", line)
		}
		f.series = append(f.series, s)
	}
	return all
}

// family returns the metric that a series belongs to; nil if there is none.
func (e exposition) family(name string) *family {
	if f := e[name]; f != nil {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && e[base] != nil && e[base].kind != "gauge" && e[base].kind != "counter" {
			return e[base]
		}
	}
	return nil
}

// labels returns the names of the labels.
func (f *family) labels() []string {
	names := map[string]bool{}
	for _, s := range f.series {
		for name := range s.labels {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// values returns what a label is.
func (f *family) values(label string) []string {
	values := map[string]bool{}
	for _, s := range f.series {
		values[s.labels[label]] = true
	}
	return slices.Sorted(maps.Keys(values))
}

// value returns the value of the series with this name and labels, written as
// name{a="b"} with the labels in order, and without sipward_.
func (e exposition) value(t testing.TB, want string) float64 {
	t.Helper()
	name, _, _ := strings.Cut(want, "{")
	f := e.family("sipward_" + name)
	if f == nil {
		t.Fatalf("no metric %s", name)
	}
	for _, s := range f.series {
		if s.String() == "sipward_"+want {
			return s.value
		}
	}
	t.Fatalf("no series %s", want)
	return 0
}

func (s series) String() string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		labels = append(labels, name+"="+strconv.Quote(s.labels[name]))
	}
	if labels == nil {
		return s.name
	}
	return s.name + "{" + strings.Join(labels, ",") + "}"
}
