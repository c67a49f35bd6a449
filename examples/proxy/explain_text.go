package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

var _ slog.LogValuer = (*explanation)(nil)

// LogValue implements [slog.LogValuer]. What the record of the log has besides,
// such as the Call-ID, is left out.
func (e *explanation) LogValue() slog.Value {
	var steps, targets, lost []string
	for _, v := range e.Evidence {
		steps = append(steps, v.String())
	}
	for i := range e.Targets {
		targets = append(targets, e.Targets[i].String())
	}
	for i := range e.NotTried {
		lost = append(lost, e.NotTried[i].String())
	}
	return slog.GroupValue(slog.String("text", e.Decision), slog.Any("evidence", steps), slog.Any("targets", targets),
		slog.Any("not_tried", lost), slog.String("answer", e.Answer.String()), slog.Any("notes", e.Notes))
}

// String returns e for people, in lines.
func (e *explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n  from %s to %s\n", e.Method, e.URI, e.From, e.To)
	fmt.Fprintf(&b, "source: %s\n", strings.TrimSuffix(e.Source+", "+e.Class, ", "))
	fmt.Fprintf(&b, "PBX there of: %s\n", e.candidates())
	for _, v := range e.Evidence {
		fmt.Fprintf(&b, "  %v\n", v)
	}
	fmt.Fprintf(&b, "decision: %s\n", e.Decision)
	for _, c := range e.Contacts {
		fmt.Fprintf(&b, "Contact: %s, which the PBX knows by the token %s\n", c.Contact, c.Token)
	}
	for i := range e.Targets {
		fmt.Fprintf(&b, "target %d: %s\n", e.Targets[i].Group, e.Targets[i].String())
		e.Targets[i].details(&b)
	}
	for i := range e.NotTried {
		fmt.Fprintf(&b, "not tried: %s\n", e.NotTried[i].String())
		e.NotTried[i].details(&b)
	}
	if len(e.Targets) > 0 {
		fmt.Fprintf(&b, "if none answers: %s\n", e.Otherwise)
	} else {
		fmt.Fprintf(&b, "answer: %s\n", e.Answer)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

// candidates names the sets of the candidates and their domains.
func (e *explanation) candidates() string {
	var all []string
	for _, c := range e.Candidates {
		all = append(all, fmt.Sprintf("set %d (%s)", c.SetID, strings.Join(c.Domains, ", ")))
	}
	if all == nil {
		return "no tenant"
	}
	return strings.Join(all, ", ")
}

// String returns v in one line, as [route.Step] does.
func (v evidence) String() string {
	sign := "-"
	if v.Used {
		sign = "+"
	}
	return sign + " " + v.Evidence + ": " + v.Verdict
}

// String returns w in one line.
func (w *way) String() string {
	switch {
	case w.To == "" && w.PBX != nil:
		return w.PBX.URI + ": " + w.Why
	case w.To == "":
		return w.RequestURI + ": " + w.Why
	case w.From == "":
		return w.To + " for " + w.RequestURI + ": " + w.Why
	}
	return w.To + " from " + w.From + " for " + w.RequestURI + ": " + w.Why
}

// details adds lines with what else there is to say of w.
func (w *way) details(b *strings.Builder) {
	if w.Fault != "" {
		fmt.Fprintf(b, "  impossible: %s\n", w.Fault)
	}
	if w.Route != "" {
		fmt.Fprintf(b, "  Route: %s\n", w.Route)
	}
	if v := w.Binding; v != nil {
		fmt.Fprintf(b, "  bound until %s", v.Expires.Format(time.RFC3339))
		if v.Q != nil {
			fmt.Fprintf(b, ", q %g", *v.Q)
		}
		if v.Registrar != "" {
			fmt.Fprintf(b, ", granted by %s", v.Registrar)
		}
		if v.UserAgent != "" {
			fmt.Fprintf(b, ", User-Agent %s", v.UserAgent)
		}
		fmt.Fprintln(b)
	}
	if v := w.PBX; v != nil {
		fmt.Fprintf(b, "  %s: weight %d, priority %d, ", v.URI, v.Weight, v.Priority)
		if v.Tier > 0 {
			fmt.Fprintf(b, "stand-in %d, ", v.Tier)
		}
		b.WriteString(v.State)
		if !v.Since.IsZero() {
			fmt.Fprintf(b, " since %s", v.Since.Format(time.RFC3339))
		}
		if v.Cause != "" {
			fmt.Fprintf(b, " (%s)", v.Cause)
		}
		if v.LatencyMS > 0 {
			fmt.Fprintf(b, ", answers in %g ms", v.LatencyMS)
		}
		fmt.Fprintf(b, ", %d calls, %d failures\n", v.Calls, v.Failures)
	}
}

// String returns a in one line. Nil is no answer.
func (a *answerView) String() string {
	if a == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%d %s", a.Status, a.Reason)
	for _, f := range a.Fields {
		s += ", " + f
	}
	return s
}
