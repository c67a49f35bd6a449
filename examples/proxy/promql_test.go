package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// selector is a metric in an expression of PromQL.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

// query is what an expression asks for.
type query struct {
	selectors []selector
	grouping  []string // labels of by, on and the like
}

// parseQuery reads as much of PromQL as tells which metrics and labels it uses.
// What it does not know is an error, so that nothing is passed over.
func parseQuery(expr string) (query, error) {
	var q query
	tokens, err := tokensOf(expr)
	if err != nil {
		return q, err
	}
	depth := 0
	for i := 0; i < len(tokens); i++ {
		t, next := tokens[i], ""
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch {
		case t == "(":
			depth++
		case t == ")":
			if depth--; depth < 0 {
				return q, fmt.Errorf("a parenthesis too many in %s", expr)
			}
		case t == "[": // a range
			if i+2 >= len(tokens) || tokens[i+2] != "]" || len(q.selectors) == 0 {
				return q, fmt.Errorf("bad range in %s", expr)
			}
			i += 2
		case groups(t):
			list, n, err := listOf(tokens[i+1:])
			if err != nil {
				return q, fmt.Errorf("%s: %w in %s", t, err, expr)
			}
			q.grouping = append(q.grouping, list...)
			i += n
		case !isName(t), isOperator(t):
		case next == "(" || isAggregation(t) && groups(next):
			if !isFunction(t) && !isAggregation(t) {
				return q, fmt.Errorf("unknown function %s in %s", t, expr)
			}
		default:
			s := selector{metric: t}
			if next == "{" {
				var n int
				if s.matchers, n, err = matchersOf(tokens[i+1:]); err != nil {
					return q, fmt.Errorf("%s: %w in %s", t, err, expr)
				}
				i += n
			}
			q.selectors = append(q.selectors, s)
		}
	}
	if depth != 0 {
		return q, fmt.Errorf("a parenthesis is missing in %s", expr)
	}
	return q, nil
}

func tokensOf(expr string) (tokens []string, err error) {
	token := regexp.MustCompile(`^(?:[a-zA-Z_:][\w:]*|"(?:[^"\\]|\\.)*"|\$\w+|\d+(?:\.\d+)?(?:ms|[smhdwy])?|=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],])`)
	for rest := strings.TrimSpace(expr); rest != ""; rest = strings.TrimSpace(rest) {
		t := token.FindString(rest)
		if t == "" {
			return nil, fmt.Errorf("cannot read %q in %s", rest, expr)
		}
		tokens, rest = append(tokens, t), rest[len(t):]
	}
	return tokens, nil
}

// listOf reads names in parentheses, and returns how many tokens that is.
func listOf(tokens []string) (names []string, n int, err error) {
	end := slices.Index(tokens, ")")
	if end < 1 || tokens[0] != "(" {
		return nil, 0, fmt.Errorf("no list of labels")
	}
	for i, t := range tokens[1:end] {
		if i%2 == 0 != isName(t) || i%2 == 1 && t != "," {
			return nil, 0, fmt.Errorf("bad list of labels at %s", t)
		}
		if i%2 == 0 {
			names = append(names, t)
		}
	}
	return names, end + 1, nil
}

// matchersOf reads matchers in braces, and returns how many tokens that is.
func matchersOf(tokens []string) (ms []matcher, n int, err error) {
	end := slices.Index(tokens, "}")
	if end < 0 {
		return nil, 0, fmt.Errorf("no end of the matchers")
	}
	for i := 1; i < end; i += 4 {
		if i+2 >= end || !isName(tokens[i]) || !slices.Contains([]string{"=", "!=", "=~", "!~"}, tokens[i+1]) ||
			tokens[i+2][0] != '"' || i+3 < end && tokens[i+3] != "," {
			return nil, 0, fmt.Errorf("bad matcher at %s", tokens[i])
		}
		ms = append(ms, matcher{tokens[i], tokens[i+1], strings.Trim(tokens[i+2], `"`)})
	}
	return ms, end + 1, nil
}

func isName(t string) bool { return regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(t) }

func groups(t string) bool {
	return slices.Contains([]string{"by", "without", "on", "ignoring", "group_left", "group_right"}, t)
}

func isOperator(t string) bool { return slices.Contains([]string{"and", "or", "unless", "bool"}, t) }

func isAggregation(t string) bool {
	return slices.Contains([]string{"sum", "min", "max", "avg", "count", "topk", "bottomk"}, t)
}

func isFunction(t string) bool {
	return slices.Contains([]string{"rate", "increase", "time", "histogram_quantile"}, t)
}

// check returns what in the expression is not in the metrics, and what makes no
// sense of them.
func (q query) check(all exposition) (faults []string) {
	known := map[string]bool{"job": true, "instance": true} // Prometheus adds these
	for _, s := range q.selectors {
		f := all.family(s.metric)
		switch {
		case s.metric == "up": // Prometheus' own
		case f == nil || f.kind == "histogram" && all[s.metric] != nil:
			faults = append(faults, s.metric+" is not exported")
		default:
			for _, label := range f.labels() {
				known[label] = true
			}
			for _, m := range s.matchers {
				faults = append(faults, m.check(s.metric, f)...)
			}
		}
	}
	for _, label := range q.grouping {
		if !known[label] {
			faults = append(faults, "nothing has the label "+label)
		}
	}
	return faults
}

func (m matcher) check(metric string, f *family) (faults []string) {
	if m.label == "job" || m.label == "instance" {
		return nil
	}
	if !slices.Contains(f.labels(), m.label) {
		return []string{metric + " has no label " + m.label}
	}
	values := []string{m.value}
	if strings.HasSuffix(m.op, "~") {
		values = strings.Split(m.value, "|")
	}
	for _, v := range values {
		if !slices.Contains(f.values(m.label), v) {
			faults = append(faults, fmt.Sprintf("%s has no %s=%q", metric, m.label, v))
		}
	}
	return faults
}

// TestParseQuery: what is wrong with an expression is found. P-47.
func TestParseQuery(t *testing.T) {
	all := exposition{
		"a_total": {kind: "counter", series: []series{
			{name: "a_total", labels: map[string]string{"code": "200", "from": "pbx"}},
			{name: "a_total", labels: map[string]string{"code": "486", "from": "phone"}},
		}},
		"b_seconds": {kind: "histogram", series: []series{{name: "b_seconds_bucket", labels: map[string]string{"le": "1"}}}},
		"c":         {kind: "gauge", series: []series{{name: "c", labels: map[string]string{}}}},
	}
	tests := []struct{ expr, fault string }{
		{`sum by (from) (rate(a_total{code=~"200|486", job="x"}[5m])) / sum(c) > 0.5`, ""},
		{`sum(rate(a_total[$__rate_interval])) by (code)`, ""},
		{`histogram_quantile(0.95, sum by (le) (rate(b_seconds_bucket{instance=~"$instance"}[5m])))`, ""},
		{`time() - c > 900 and on (job, instance) increase(a_total{code!="200"}[15m]) > 0`, ""},
		{`up{job="x"} == 0`, ""},
		{`topk(10, max by (from) (a_total))`, ""},
		{`rate(b_total[5m])`, "b_total is not exported"},
		{`b_seconds`, "b_seconds is not exported"},
		{`a_total_sum`, "a_total_sum is not exported"},
		{`a_total{method="x"}`, "a_total has no label method"},
		{`a_total{code="404"}`, `a_total has no code="404"`},
		{`a_total{code!~"200|404"}`, `a_total has no code="404"`},
		{`sum by (to) (a_total)`, "nothing has the label to"},
		{`sum by (le) (a_total)`, "nothing has the label le"},
		{`ratio(a_total[5m])`, "unknown function ratio"},
		{`sum(a_total`, "a parenthesis is missing"},
		{`sum(a_total))`, "a parenthesis too many"},
		{`a_total{code="200"`, "no end of the matchers"},
		{`a_total{code}`, "bad matcher"},
		{`sum by from (a_total)`, "no list of labels"},
		{`rate(a_total[5m)`, "bad range"},
		{`a_total @ 5`, "cannot read"},
	}
	for _, tt := range tests {
		q, err := parseQuery(tt.expr)
		faults := q.check(all)
		if err != nil {
			faults = append(faults, err.Error())
		}
		if got := strings.Join(faults, "; "); tt.fault == "" && got != "" || !strings.Contains(got, tt.fault) {
			t.Errorf("%s: %q, want %q", tt.expr, got, tt.fault)
		}
	}
}
