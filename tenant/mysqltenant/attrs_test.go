package mysqltenant_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

func TestSetAttr(t *testing.T) {
	tests := []struct{ attrs, want string }{
		{"", "setid=20"},
		{" ; ", "setid=20"},
		{"setid=10", "setid=20"},
		{"SETID = 10", "setid=20"},
		{"setid", "setid;setid=20"}, // which has no value
		{"fleet=domain", "fleet=domain;setid=20"},
		{"fleet=domain;", "fleet=domain;setid=20"},
		{"setid=10;fleet=domain", "fleet=domain;setid=20"},
		{"fleet=domain,setid=10 x=1 y", "fleet=domain,x=1,y;setid=20"},
		{"setid=10,11;setid=12; a = b  c", " a = b  c;setid=20"},
		{"source_ip=192.0.2.7,192.0.2.8 setid=10", "source_ip=192.0.2.7,192.0.2.8;setid=20"},
		{"resetid=5", "resetid=5;setid=20"},
	}
	for _, tt := range tests {
		got := mysqltenant.SetAttr(tt.attrs, "setid", "20")
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.attrs, got, tt.want)
		}
		if again := mysqltenant.SetAttr(got, "setid", "20"); again != got {
			t.Errorf("%q: set twice it is %q", got, again)
		}
	}
}

// What was set is what a load finds, and nothing else has changed for it.
func FuzzSetAttr(f *testing.F) {
	f.Add("setid=10;fleet=domain", "fleet")
	f.Add("a=1,2 setid=10,11 b", "a")
	f.Fuzz(func(t *testing.T, attrs, other string) {
		got := mysqltenant.SetAttr(attrs, "setid", "20")
		if values := mysqltenant.AttrValues(got, "setid"); !slices.Equal(values, []string{"20"}) {
			t.Errorf("%q: %q has setid %q", attrs, got, values)
		}
		if strings.EqualFold(other, "setid") {
			return
		}
		before, after := mysqltenant.AttrValues(attrs, other), mysqltenant.AttrValues(got, other)
		if !slices.Equal(before, after) {
			t.Errorf("%q: %q had %q, and has %q in %q", attrs, other, before, after, got)
		}
	})
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":    "192.0.2.7/32",
		"10.0.8.0/24":  "10.0.8.0/24",
		"2001:db8::7":  "2001:db8::7/128",
		"192.0.2.7:80": "",
		"pbx.example":  "",
		"fe80::1%eth0": "",
		"0.0.0.0/0":    "",
		"":             "",
	} {
		s, err := mysqltenant.ParseSource(text)
		switch {
		case want == "" && !errors.Is(err, mysqltenant.ErrBadSource):
			t.Errorf("%q: got %v, %v, want ErrBadSource", text, s, err)
		case want != "" && (err != nil || s.Prefix.String() != want || s.Port != 0):
			t.Errorf("%q: got %v, %v, want %s", text, s, err, want)
		}
	}
}
