package archtest

import (
	"regexp"
	"testing"
)

// Comments of tests name the pitfalls that they guard against, P-01 to P-84,
// so that one can search for them.
func TestPitfallTags(t *testing.T) {
	for _, p := range modulePackages(t) {
		for _, f := range append(p.parse(t, p.TestGoFiles), p.parse(t, p.XTestGoFiles)...) {
			for _, group := range f.ast.Comments {
				for _, comment := range group.List {
					for _, tag := range malformedTags(comment.Text) {
						t.Errorf("%s: no pitfall is called %q", f.at(comment), tag)
					}
				}
			}
		}
	}
}

// malformedTags returns what looks like the tag of a pitfall and is none.
func malformedTags(comment string) (tags []string) {
	looksLikeTag := regexp.MustCompile(`\bP-\w+`)
	tag := regexp.MustCompile(`^P-(0[1-9]|[1-7][0-9]|8[0-4])$`)
	for _, s := range looksLikeTag.FindAllString(comment, -1) {
		if !tag.MatchString(s) && regexp.MustCompile(`[0-9n]`).MatchString(s) {
			tags = append(tags, s)
		}
	}
	return tags
}

func TestMalformedTags(t *testing.T) {
	tests := []struct {
		comment string
		want    int
	}{
		{"P-01, P-84 and (P-70)", 0},
		{"P-00 P-85 P-1 P-012 P-nn", 5},
		{"P-Asserted-Identity, a header field", 0},
	}
	for _, tt := range tests {
		if got := malformedTags(tt.comment); len(got) != tt.want {
			t.Errorf("%s: %q, want %d", tt.comment, got, tt.want)
		}
	}
}
