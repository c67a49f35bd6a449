package config

import (
	"log/slog"

	"go.yaml.in/yaml/v3"
)

// String returns c as YAML, with all keys, but without its secrets. If there
// are none, [Parse] reads it back to c.
func (c Config) String() string {
	text, err := yaml.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// LogValue implements [slog.LogValuer]: a group of what tells one proxy from
// another, without secrets.
func (c Config) LogValue() slog.Value {
	listen := make([]string, len(c.Listen))
	for i, l := range c.Listen {
		listen[i] = l.String()
	}
	return slog.GroupValue(
		slog.Any("listen", listen),
		slog.String("advertise", c.Advertise.String()),
		slog.Any("admin", c.Admin),
		slog.String("database", c.Database.String()),
		slog.String("secret", c.Secret.String()),
		slog.String("store", string(c.Store)),
		slog.Int("tenants", len(c.Tenants)),
	)
}
