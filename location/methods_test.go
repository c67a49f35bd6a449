package location_test

import (
	"testing"

	"github.com/sipward/sipward/location"
)

func TestParseAllow(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want location.Methods
	}{
		{"none", nil, 0},
		{"empty", []string{"", " , "}, 0},
		{"one", []string{"INVITE"}, 1},
		{"blanks", []string{" INVITE ,\tACK"}, 5},
		{"several fields", []string{"INVITE", "BYE"}, 9},
		{"case", []string{"invite"}, 16384},
		{"other", []string{"FOO, PUBLISH"}, 16384 + 8192},
		// All but UPDATE, REGISTER and PUBLISH, as a Snom phone has it.
		{"Snom", []string{"INVITE, ACK, CANCEL, BYE, REFER, OPTIONS, NOTIFY, SUBSCRIBE, PRACK, MESSAGE, INFO"}, 7999},
	}
	for _, tt := range tests {
		if got := location.ParseAllow(tt.in); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestMethods_Has(t *testing.T) {
	m := location.ParseAllow([]string{"INVITE, FOO"})
	for method, want := range map[string]bool{"INVITE": true, "BYE": false, "FOO": true, "BAR": true} {
		if got := m.Has(method); got != want {
			t.Errorf("%s: got %v", method, got)
		}
		if !location.Methods(0).Has(method) || !location.Methods(1<<32-1).Has(method) {
			t.Errorf("%s: not in the unknown or in the full set", method)
		}
	}
	if got, want := m.String(), "INVITE, other"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
