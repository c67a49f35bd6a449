package sipmsg_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
)

func TestParseNameAddr(t *testing.T) {
	tests := []struct {
		in   string
		ok   bool
		want sipmsg.NameAddr
	}{
		{"<sip:1@a>", true, sipmsg.NameAddr{URI: "sip:1@a"}},
		{" \t<sip:1@a;x=y?h=v>\t;Z=1 ; w ", true, sipmsg.NameAddr{URI: "sip:1@a;x=y?h=v", Params: ";Z=1 ; w"}},
		{`"A" <sip:1@a>`, true, sipmsg.NameAddr{Display: `"A"`, URI: "sip:1@a"}},
		{`"A"<sip:1@a>;x`, true, sipmsg.NameAddr{Display: `"A"`, URI: "sip:1@a", Params: ";x"}},
		{`""<sip:1@a>`, true, sipmsg.NameAddr{Display: `""`, URI: "sip:1@a"}},
		{`"a \"<sip:x>\" \\" <sip:1@a>`, true, sipmsg.NameAddr{Display: `"a \"<sip:x>\" \\"`, URI: "sip:1@a"}},
		{"A  B. C <sip:1@a>", true, sipmsg.NameAddr{Display: "A  B. C", URI: "sip:1@a"}},
		{"Bell, Alexander <sip:1@a>", true, sipmsg.NameAddr{Display: "Bell, Alexander", URI: "sip:1@a"}},
		{"<sip:a,b@a>", true, sipmsg.NameAddr{URI: "sip:a,b@a"}},
		{"<sip:1@[::1]:5060>;x=[::2]", true, sipmsg.NameAddr{URI: "sip:1@[::1]:5060", Params: ";x=[::2]"}}, // R52
		{"<tel:+49>", true, sipmsg.NameAddr{URI: "tel:+49"}},
		{"sip:1@a", true, sipmsg.NameAddr{URI: "sip:1@a"}},
		{"sip:1@a;x=y;z", true, sipmsg.NameAddr{URI: "sip:1@a", Params: ";x=y;z"}},
		{"sip:1@[::1] ; x = y", true, sipmsg.NameAddr{URI: "sip:1@[::1]", Params: "; x = y"}},
		{"*", true, sipmsg.NameAddr{URI: "*"}},
		{`<sip:1@a>;x="a, b;c>"`, true, sipmsg.NameAddr{URI: "sip:1@a", Params: `;x="a, b;c>"`}},
		// P-07: no bare semicolons at the end.
		{"<sip:1@a>;", true, sipmsg.NameAddr{URI: "sip:1@a"}},
		{"<sip:1@a>;x; ;", true, sipmsg.NameAddr{URI: "sip:1@a", Params: ";x"}},
		{`<sip:1@a>;x=";";`, true, sipmsg.NameAddr{URI: "sip:1@a", Params: `;x=";"`}},
		{"sip:1@a;", true, sipmsg.NameAddr{URI: "sip:1@a"}},

		{"", false, sipmsg.NameAddr{}},
		{" \t", false, sipmsg.NameAddr{}},
		{"<>", false, sipmsg.NameAddr{}},
		{`"A"`, false, sipmsg.NameAddr{}},
		{`"A" sip:1@a`, false, sipmsg.NameAddr{}},
		{"A sip:1@a", false, sipmsg.NameAddr{}},
		{`"A <sip:1@a>`, false, sipmsg.NameAddr{}},
		{`"A\" <sip:1@a>`, false, sipmsg.NameAddr{}},
		{`"A" B <sip:1@a>`, false, sipmsg.NameAddr{}},
		{`A "B" <sip:1@a>`, false, sipmsg.NameAddr{}},
		{`A "<sip:x>" <sip:1@a>`, false, sipmsg.NameAddr{}},
		{`"A "B" C" <sip:1@a>`, false, sipmsg.NameAddr{}},
		{"<sip:1@a", false, sipmsg.NameAddr{}},
		{"sip:1@a>", false, sipmsg.NameAddr{}},
		{"< sip:1@a >", false, sipmsg.NameAddr{}},
		{"<sip:1 2@a>", false, sipmsg.NameAddr{}},
		{"<sip:<1@a>>", false, sipmsg.NameAddr{}},
		{`<sip:"1"@a>`, false, sipmsg.NameAddr{}},
		{"<sip:1@a>x", false, sipmsg.NameAddr{}},
		{"<sip:1@a> x;y", false, sipmsg.NameAddr{}},
		{"<sip:1@a>, <sip:2@a>", false, sipmsg.NameAddr{}},
		{"<sip:1@a>;x, <sip:2@a>", false, sipmsg.NameAddr{}},
		{"<sip:1@a>;x=<;y", false, sipmsg.NameAddr{}}, // CutElement would look for a >
		{`<sip:1@a>;x="y`, false, sipmsg.NameAddr{}},
		{`<sip:1@a>;x="y", "z`, false, sipmsg.NameAddr{}},
		{"sip:1@a, sip:2@a", false, sipmsg.NameAddr{}},
		{"sip:1@a,sip:2@a", false, sipmsg.NameAddr{}},
		{"sip:1@a;x,sip:2@a", false, sipmsg.NameAddr{}},
		{"sip:1@a?x=y", false, sipmsg.NameAddr{}},
		{";x", false, sipmsg.NameAddr{}},
	}
	for _, tt := range tests {
		got, err := sipmsg.ParseNameAddr(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != tt.ok {
			t.Errorf("%q: %v (-want +got):\n%s", tt.in, err, diff)
		}
	}
}

func TestNameAddr_With(t *testing.T) {
	for in, want := range map[string]string{
		`"A B"<sip:1@a;x>;y=z`: `"A B" <sip:n>;y=z`,
		"A <sip:1@a>":          "A <sip:n>",
		"sip:1@a;expires=60":   "<sip:n>;expires=60",
		"<sip:1@a>;":           "<sip:n>", // P-07
	} {
		a, err := sipmsg.ParseNameAddr(in)
		if got := a.With("sip:n"); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestCutElement(t *testing.T) {
	tests := []struct {
		list string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{" a , b,c ", []string{"a", "b", "c"}},
		{"<sip:a,b>,<sip:c>", []string{"<sip:a,b>", "<sip:c>"}},
		{`"x, y" <sip:a>;z="p,q" , sip:b`, []string{`"x, y" <sip:a>;z="p,q"`, "sip:b"}},
		{`"x\", y" <sip:a>,b`, []string{`"x\", y" <sip:a>`, "b"}},
		{`<sip:"a,b>,c`, []string{`<sip:"a,b>`, "c"}}, // a quote in brackets is none
		{`"<", b`, []string{`"<"`, "b"}},
		{"a,,b", []string{"a", "", "b"}},
		{`a,"b,c`, []string{"a", `"b,c`}},
		{"a,<b,c", []string{"a", "<b,c"}},
		{"a,", []string{"a"}},
		{",a", []string{"", "a"}},
		{"*", []string{"*"}},
		{"Digest a=\"b,c\", d", []string{`Digest a="b,c"`, "d"}},
	}
	for _, tt := range tests {
		var got []string
		for rest := tt.list; rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			got = append(got, e)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.list, diff)
		}
	}
}

func TestCutParam(t *testing.T) {
	var got []string
	for rest := `; a=1;b ; c = "x;y=\"z" ;;=v;d=1=2; `; rest != ""; {
		var name, value string
		name, value, rest = sipmsg.CutParam(rest)
		got = append(got, name+"|"+value)
	}
	want := []string{"a|1", "b|", `c|"x;y=\"z"`, "|v", "d|1=2", "|"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Display names as long as a header may be take no more than linear time.
func TestCutElement_Long(t *testing.T) {
	for _, s := range []string{strings.Repeat(`"`, 60001), strings.Repeat("<", 60000) + ",", strings.Repeat(`"",`, 20000), strings.Repeat(`\",`, 20000)} {
		for rest := s; rest != ""; {
			_, rest = sipmsg.CutElement(rest)
		}
		sipmsg.Param(s, "x")
		if _, err := sipmsg.ParseNameAddr(s); err == nil {
			t.Errorf("%.20q is an address", s)
		}
	}
}
