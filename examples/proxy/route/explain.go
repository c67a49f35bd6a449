package route

import (
	"fmt"
	"strings"

	"github.com/sipward/sipward/location"
)

// Step is one piece of evidence that [Explain] looked at.
type Step struct {
	Evidence string // "To tenant-a.test"
	Verdict  string // "a domain of this PBX"
	Used     bool   // whether it took the decision further
}

// String returns the step in one line: a plus if it was used, else a minus.
func (s Step) String() string {
	sign := '-'
	if s.Used {
		sign = '+'
	}
	return fmt.Sprintf("%c %s: %s", sign, s.Evidence, s.Verdict)
}

// Explanation returns the steps of the Trail and then the decision, each on a
// line of its own.
func (d *Decision) Explanation() string {
	var b strings.Builder
	for _, s := range d.Trail {
		b.WriteString(s.String() + "\n")
	}
	b.WriteString("= " + d.String() + "\n")
	return b.String()
}

// say notes a step. It costs nothing unless somebody wants to know: all its
// arguments exist already.
func (d *decider) say(used bool, what, value, verdict string) {
	if !d.explain {
		return
	}
	d.trail = append(d.trail, Step{Evidence: strings.TrimSuffix(what+" "+value, " "), Verdict: verdict, Used: used})
}

// sayAOR is say about how many bindings of aor there are.
func (d *decider) sayAOR(what string, aor location.AOR, bindings int) {
	if !d.explain {
		return
	}
	verdict := "nothing bound"
	if bindings > 0 {
		verdict = fmt.Sprintf("%d bound", bindings)
	}
	d.say(bindings > 0, what, aor.String(), verdict)
}

// saySource is say about where the request came from.
func (d *decider) saySource(used bool, verdict string) {
	if d.explain {
		d.say(used, "source", d.src.Addr.String(), verdict)
	}
}
