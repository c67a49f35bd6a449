package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/config"
)

const (
	hiddenSecret   = "correct horse battery staple"
	hiddenDatabase = "opensips:hunter2@tcp(127.0.0.1:3306)/opensips"
)

// P-78: no way of printing shows a secret.
func TestConfig_PrintsWithoutSecrets(t *testing.T) {
	c := config.Default()
	c.Secret, c.Database = hiddenSecret, hiddenDatabase
	c.Former = []config.Secret{hiddenSecret}

	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("start", "config", c, "pointer", &c, "secret", c.Secret, "struct", struct{ C config.Config }{c})
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"String":   c.String(),
		"slog":     logged.String(),
		"JSON":     string(encoded),
		"LogValue": c.LogValue().String(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts[verb] = fmt.Sprintf(verb, c)
		texts[verb+" of a pointer"] = fmt.Sprintf(verb, &c)
		texts[verb+" of a field"] = fmt.Sprintf(verb, c.Secret)
		texts[verb+" in a struct"] = fmt.Sprintf(verb, struct{ S config.Secret }{c.Secret})
	}
	for how, text := range texts {
		for _, hidden := range []string{"horse", "hunter2", fmt.Sprintf("%x", "horse"), fmt.Sprintf("%x", "hunter2")} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s shows %q:\n%s", how, hidden, text)
			}
		}
	}
}

func TestConfig_LogValue(t *testing.T) {
	c := config.Default()
	c.Secret = hiddenSecret
	var got bytes.Buffer
	log := slog.New(slog.NewTextHandler(&got, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("start", "config", c)
	want := `level=INFO msg=start config.listen="[udp:127.0.0.1:5060 tcp:127.0.0.1:5060]" config.advertise="" ` +
		`config.admin=127.0.0.1:8060 config.database="" config.secret=[redacted] config.store=auto config.tenants=0` + "\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTokenKeys(t *testing.T) {
	machine := func(id string) func() (string, error) { return func() (string, error) { return id, nil } }
	key := func(secret config.Secret, id string) [32]byte {
		t.Helper()
		c := config.Config{Secret: secret}
		keys, err := c.TokenKeys(machine(id))
		if err != nil || len(keys) != 1 {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		return keys[0]
	}
	if first, again := key("", "a"), key("", "a"); first != again {
		t.Error("a restart on the same machine changes the key")
	}
	if key("s", "a") != key("s", "b") {
		t.Error("another machine with the same secret has another key")
	}
	distinct := map[[32]byte]bool{key("", "a"): true, key("", "b"): true, key("a", ""): true, key("b", ""): true}
	if len(distinct) != 4 {
		t.Errorf("4 secrets and machines give %d keys", len(distinct))
	}
}

// A secret that was replaced has the key that it had.
func TestTokenKeys_Former(t *testing.T) {
	none := func() (string, error) { return "", errors.New("no id") }
	c := config.Config{Secret: "b", Former: []config.Secret{"a", "c"}}
	got, err := c.TokenKeys(none)
	if err != nil {
		t.Fatal(err)
	}
	var want [][32]byte
	for _, s := range []config.Secret{"b", "a", "c"} {
		keys, err := (&config.Config{Secret: s}).TokenKeys(none)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, keys...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTokenKeys_NoMachineID(t *testing.T) {
	want := errors.New("no id")
	c := config.Default()
	if _, err := c.TokenKeys(func() (string, error) { return "", want }); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestMachineID(t *testing.T) {
	const id, other = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"systemd", map[string]string{"etc/machine-id": id + "\n", "var/lib/dbus/machine-id": other}, id},
		{"D-Bus", map[string]string{"var/lib/dbus/machine-id": other + "\n"}, other},
		{"being installed", map[string]string{"etc/machine-id": "uninitialized\n", "var/lib/dbus/machine-id": other}, other},
		{"empty", map[string]string{"etc/machine-id": ""}, ""},
		{"none", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := config.MachineID(root)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
