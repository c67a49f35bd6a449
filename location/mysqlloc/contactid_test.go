package mysqlloc_test

import (
	"slices"
	"testing"

	"github.com/sipward/sipward/location/mysqlloc"
)

// P-73: the id of a row that OpenSIPS wrote has the hash of the AOR, and
// nothing of the Call-ID.
func TestAORHash(t *testing.T) {
	tests := []struct {
		aor  string
		want uint32
	}{
		{"1000@pjsipsbc.vcloudpbx.com", 872859860},
		{"alice@example.com", 2920418261},
		{"1001@tenant-a.example", 3342893576},
		{"1001@tenant-b.example", 3365976331},
	}
	for _, tt := range tests {
		if got := mysqlloc.AORHash(tt.aor); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.aor, got, tt.want)
		}
	}
	const written = 3617797875662073346 // by OpenSIPS
	if got := uint64(mysqlloc.AORHash(tests[0].aor) & 0xffff); got != written>>46 {
		t.Errorf("got %d, the row has %d", got, uint64(written>>46))
	}
}

func TestNewContactID(t *testing.T) {
	const user, domain = "1000", "pjsipsbc.vcloudpbx.com"
	const hash = 51412
	tests := []struct {
		name    string
		taken   []uint64
		attempt int
		want    uint64 // 0 for any
	}{
		{name: "first of the AOR"},
		{name: "a rival was faster", attempt: 1},
		{name: "taken by another AOR", attempt: 5},
		{name: "beside one of OpenSIPS", taken: []uint64{3617797875662073346}, want: 3617797875662073347},
		{name: "after the highest label", taken: []uint64{hash<<46 | 7, hash<<46 | 9, hash<<46 | 3}, want: hash<<46 | 10},
		{name: "label over its end", taken: []uint64{hash<<46 | 0x3fff, hash << 46}, want: hash<<46 | 1},
		{name: "beside ids of another kind", taken: []uint64{1, 2, 1<<63 + 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mysqlloc.NewContactID(user, domain, tt.taken, tt.attempt)
			if got>>46 != hash {
				t.Errorf("%d has hash %d, want %d", got, got>>46, hash)
			}
			if slices.Contains(tt.taken, got) {
				t.Errorf("%d is taken", got)
			}
			if tt.want != 0 && got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if again := mysqlloc.NewContactID(user, domain, tt.taken, tt.attempt); again != got {
				t.Errorf("got %d, then %d", got, again)
			}
		})
	}
}

func TestNewContactID_EvadesOtherAOR(t *testing.T) {
	first := mysqlloc.NewContactID("1000", "a.example", nil, 0)
	if mysqlloc.NewContactID("1000", "a.example", nil, 3) == first {
		t.Error("the fourth attempt is the first one again")
	}
}

// No AOR may get into an endless loop.
func TestNewContactID_AllLabelsTaken(t *testing.T) {
	first := mysqlloc.NewContactID("1000", "a.example", nil, 0) &^ (1<<14 - 1)
	taken := make([]uint64, 1<<14)
	for i := range taken {
		taken[i] = first | uint64(i)
	}
	got := mysqlloc.NewContactID("1000", "a.example", taken, 0)
	if slices.Contains(taken, got) || got>>46 != first>>46 {
		t.Errorf("got %d", got)
	}
}

func BenchmarkNewContactID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		mysqlloc.NewContactID("1000", "pjsipsbc.vcloudpbx.com", nil, 0)
	}
}
