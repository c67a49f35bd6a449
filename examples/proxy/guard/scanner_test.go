package guard_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/guard"
)

func TestIsScanner(t *testing.T) {
	tests := []struct {
		userAgent string
		want      bool
	}{
		{"friendly-scanner", true},
		{"Friendly-Scanner", true},
		{"SIPVicious/0.3.3", true},
		{"sipcli/v1.8", true},
		{"Nmap NSE", true},
		{"sundayddr", true},
		{"pplsip", true},
		{"sip-scan", true},
		{"VaxSIPUserAgent/3.1", true},
		{"x" + strings.Repeat(" ", 200) + "sipcli", true},
		{"x" + strings.Repeat(" ", 300) + "sipcli", false}, // too far
		{"", false},
		{"sipcl", false},
		{"friendly scanner", false},
		{"Yealink SIP-T46S 66.84.0.15", false},
		{"snomD785/10.1.127.10", false},
		{"Asterisk PBX 20.5.0", false},
		{"FPBX-16.0.40(18.16.0)", false},
		{"sipsak 0.9.7", false}, // an administrator's
		{"baresip v3.10.0 (x86_64/linux)", false},
		{"\xff\xfe\x00", false},
	}
	w := newWorld(t, guard.Config{})
	for _, tt := range tests {
		if got := w.IsScanner(tt.userAgent, ""); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.userAgent, got, tt.want)
		}
	}
	for display, want := range map[string]bool{"sipvicious": true, "SIPVicious": true, "iwar": true, "Tiwari": false, "sipviciou": false, "": false} {
		if got := w.IsScanner("Yealink SIP-T46S 66.84.0.15", display); got != want {
			t.Errorf("from %q: %v, want %v", display, got, want)
		}
	}
	w = newWorld(t, guard.Config{Scanners: []string{" Evil ", ""}})
	for text, want := range map[string]bool{"evilbot": true, "sipcli": false, "": false} {
		if got := w.IsScanner(text, ""); got != want {
			t.Errorf("own names: %q: %v, want %v", text, got, want)
		}
	}
	if w = newWorld(t, guard.Config{Scanners: []string{}}); w.IsScanner("sipcli", "sipcli") {
		t.Error("without names there are scanners")
	}
}

func FuzzIsScanner(f *testing.F) {
	f.Add("friendly-scanner", "")
	f.Add("SIPVicious", "vici")
	f.Add("\xff", "\xc3\x84")
	f.Fuzz(func(t *testing.T, text, name string) {
		g, err := guard.New(guard.Config{Scanners: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		lower := func(s string) string {
			b := []byte(s)
			for i, c := range b {
				if 'A' <= c && c <= 'Z' {
					b[i] |= 0x20
				}
			}
			return string(b)
		}
		name = strings.TrimSpace(name)
		text = text[:min(len(text), 256)]
		want := name != "" && strings.Contains(lower(text), lower(name))
		if got := g.IsScanner(text, ""); got != want {
			t.Errorf("%q in %q: %v, want %v", name, text, got, want)
		}
	})
}
