package sipmsg_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

// seeds returns messages of all kinds to start from.
func seeds(t testing.TB) []string {
	all := []string{register, invite, answer, small, with("X: y\n z\n")}
	for _, tt := range tortureTests {
		all = append(all, torture(t, tt.file))
	}
	for _, tt := range viaForms {
		all = append(all, change(t, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", tt.value))
	}
	return all
}

// fields returns what must be the same before and after m is forwarded.
func fields(t testing.TB, m *sipmsg.Message) map[string]any {
	t.Helper()
	all := map[string]any{
		"Method": m.Method, "Status": m.Status, "Reason": m.Reason, "Call-ID": m.CallID, "CSeq": m.CSeq, "CSeqMethod": m.CSeqMethod,
		"FromTag": m.FromTag, "ToTag": m.ToTag, "body": m.Body(),
	}
	for k := sipmsg.Other + 1; k.String() != ""; k++ {
		switch k {
		case sipmsg.Via, sipmsg.MaxForwards, sipmsg.RecordRoute, sipmsg.Route, sipmsg.ContentLength:
		default:
			all[k.String()] = m.Values(k)
		}
	}
	return all
}

// checkForwarded forwards m, a request or a response that Parse accepts, and
// checks that what comes out is the same but for what a proxy changes.
func checkForwarded(t *testing.T, m *sipmsg.Message) {
	t.Helper()
	vias := m.Values(sipmsg.Via)
	var raw string
	if m.IsRequest() {
		m.Stamp(phone, true)
		raw = forwardString(m)
	} else {
		p := sipmsg.NewPatch(m)
		p.RemoveTopVia()
		raw = string(p.Bytes())
	}
	if len(raw) > 2*len(m.Raw)+200 { // R62
		t.Errorf("grown from %d to %d", len(m.Raw), len(raw))
	}
	got, err := sipmsg.Parse(raw)
	if !m.IsRequest() && len(vias) == 1 {
		return // it was for us, or its next Via is in the same list
	}
	if err != nil {
		if m.IsRequest() {
			t.Fatalf("%v in what was forwarded:\n%q", err, raw)
		}
		return // nobody checked the next Via
	}
	if diff := cmp.Diff(fields(t, m), fields(t, got)); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
	if !m.IsRequest() {
		if below := got.Values(sipmsg.Via); !slices.Equal(below[len(below)-len(vias)+1:], vias[1:]) {
			t.Errorf("Vias %q, before %q", below, vias)
		}
		return
	}
	if got.RequestURI != nextURI || top(got).Host != "203.0.113.5" || got.MaxForwards < 0 || got.MaxForwards > max(m.MaxForwards-1, 70) {
		t.Errorf("%s, Via %v, Max-Forwards %d", got.RequestURI, top(got), got.MaxForwards)
	}
	if below := got.Values(sipmsg.Via); len(below) != len(vias)+1 || !slices.Equal(below[2:], vias[1:]) ||
		!strings.Contains(below[1], ";received=198.51.100.7") || !strings.Contains(below[1], ";rport=40312") {
		t.Errorf("Vias %q, before %q", below, vias)
	}
	// The next one sees the sender as we did, but for what we noted.
	p := sipmsg.NewPatch(got)
	p.RemoveTopVia()
	back, err := sipmsg.Parse(string(p.Bytes()))
	if want := top(m); err != nil || top(back) != (via{want.Transport, want.Host, want.Port, want.Branch, true}) {
		t.Errorf("Via below ours %+v, %v, want %+v", top(back), err, want)
	}
}

// R62: nothing makes Parse panic, and what it accepts can be forwarded and
// read again.
func FuzzParse(f *testing.F) {
	for _, raw := range seeds(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := sipmsg.Parse(raw)
		if err != nil {
			if s := status(t, err); s != 400 && s != 505 && s != 513 {
				t.Errorf("status %d", s)
			}
			return
		}
		if len(m.Raw)-len(m.Body()) > 65000 || strings.Count(m.Raw, "\n") > 250 {
			return // no room for what we add
		}
		checkForwarded(t, m)
	})
}

// R51: a stream is cut the same however it comes, and a header is read by
// Parse as it was by Frame.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\r\n\r\n"+register+invite), []byte{1, 2, 3})
	f.Add([]byte(answer+"\n"+with("l:\n 0\n")), []byte{100})
	f.Add([]byte(change(f, "Content-Length: 0\n", "l: 3\nl: 4\n")), []byte{7})
	for _, tt := range tortureTests {
		f.Add([]byte(torture(f, tt.file)), []byte{50})
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		sizes := []int{}
		for _, c := range cuts {
			sizes = append(sizes, int(c))
		}
		want, wantRest, wantErr := frames(stream, len(stream))
		got, rest, err := frames(stream, append(sizes, 1)...)
		if !slices.Equal(got, want) || !bytes.Equal(rest, wantRest) || status(t, err) != status(t, wantErr) {
			t.Fatalf("%d messages, %q is left, %v; at once %d, %q, %v", len(got), rest, err, len(want), wantRest, wantErr)
		}
		for _, raw := range got {
			if m, err := sipmsg.Parse(raw); err == nil && m.Raw != raw {
				t.Errorf("Parse leaves %q of %q", raw[len(m.Raw):], raw)
			}
		}
	})
}

// R5: the answer to anything is one response, with the fields that an answer
// has and nothing else, whatever the request and the reasons are.
func FuzzRespond(f *testing.F) {
	for i, raw := range seeds(f) {
		f.Add(raw, hostile[i%len(hostile)], "tag", "value")
	}
	f.Fuzz(func(t *testing.T, raw, reason, tag, value string) {
		m, fault := sipmsg.Parse(raw)
		if !m.Answerable() {
			return
		}
		m.Stamp(phone, true)
		response := string(m.Respond(404, reason, tag, "X-Extra: "+value))
		seen := map[string]int{}
		for i, line := range headerLines(t, response) {
			name, _, ok := strings.Cut(line, ":")
			if i > 0 {
				seen[strings.ToLower(strings.TrimSpace(name))]++
			} else if !strings.HasPrefix(line, "SIP/2.0 404 ") {
				ok = false
			}
			if i > 0 && !ok {
				t.Errorf("line %q", line)
			}
		}
		if seen["x-extra"] != 1 || seen["content-length"] != 1 || seen["l"] > 0 {
			t.Errorf("fields %v", seen)
		}
		for name := range seen {
			switch name {
			case "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "x-extra", "content-length":
			default:
				t.Errorf("field %q", name)
			}
		}
		if fault != nil || !isToken(tag) {
			return
		}
		got, err := sipmsg.Parse(response)
		if err != nil {
			t.Fatalf("%v in\n%q", err, response)
		}
		if want := m.ToTag; got.Status != 404 || got.CallID != m.CallID || got.CSeq != m.CSeq || got.CSeqMethod != m.Method ||
			got.FromTag != m.FromTag || got.ToTag != want && (want != "" || got.ToTag != tag) ||
			got.Via.Branch != m.Via.Branch || len(got.Values(sipmsg.Via)) != len(m.Values(sipmsg.Via)) {
			t.Errorf("%+v to %+v", got, m)
		}
	})
}

func isToken(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == ""
}

// R5: whatever is put into a message, its fields stay the same ones.
func FuzzPatch(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, text)
	}
	f.Fuzz(func(t *testing.T, uri, value, line string) {
		if len(uri)+2*len(value)+len(line) > 60000 {
			return
		}
		m := mustParse(t, small)
		p := sipmsg.NewPatch(m)
		p.SetRequestURI("sip:" + uri)
		p.SetValue(index(t, m, sipmsg.Supported), value)
		p.Prepend(sipmsg.Path, "Path: "+line)
		p.ReplaceElements(sipmsg.Route, func(string) string { return "<sip:x>" + value })
		raw := string(p.Bytes())
		got, err := sipmsg.Parse(raw)
		if err != nil && strings.IndexByte(uri, '?') < 0 { // header fields in a URI are refused
			t.Fatalf("%v in\n%q", err, raw)
		}
		want := slices.Insert(names(t, m), 1, "Path")
		if have := names(t, got); !slices.Equal(have, want) || got.CallID != "c" || got.Body() != "" {
			t.Errorf("fields %q, want %q, in\n%q", have, want, raw)
		}
	})
}

// An address that is read can be written, and is read as the same again.
func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{
		`"A \"B\"" <sip:1@a;x>;y="z,;"`, "sip:1@a;x=y", "A B <tel:+49>", `"<", b`, "<sip:1@a>;;", "a, <b>;c", "*", `""<a>`, "< a >",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var elements []string
		for rest := s; rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			elements = append(elements, e)
		}
		joined := strings.Join(elements, ",")
		for _, want := range elements[:max(len(elements)-1, 0)] {
			var got string
			if got, joined = sipmsg.CutElement(joined); got != want {
				t.Errorf("element %q, joined %q", want, got)
			}
		}
		a, err := sipmsg.ParseNameAddr(s)
		if err != nil {
			return
		}
		if strings.HasSuffix(a.Params, ";") {
			t.Errorf("bare semicolon in %q", a.Params) // P-07
		}
		written := a.With(a.URI)
		b, err := sipmsg.ParseNameAddr(written)
		if err != nil || a != b {
			t.Errorf("%q: %+v, written %q: %+v, %v", s, a, written, b, err)
		}
		if first, rest := sipmsg.CutElement(written + ",<sip:x>"); strings.IndexByte(a.Display, ',') < 0 && (first != written || rest != "<sip:x>") {
			t.Errorf("%q in a list is %q and %q", written, first, rest)
		}
		for rest := a.Params; rest != ""; {
			var name string
			name, _, rest = sipmsg.CutParam(rest)
			if _, ok := sipmsg.Param(a.Params, name); name != "" && !ok {
				t.Errorf("no %q in %q", name, a.Params)
			}
		}
	})
}
