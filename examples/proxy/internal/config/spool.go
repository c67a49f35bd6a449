package config

import (
	"path/filepath"
	"strings"
)

// SpoolDir returns the directory for calls, and for registrations that the
// database does not have yet: that of the configuration, else the one that systemd
// gives a service for its state, else the user's directory for the state of
// programs (XDG base directory specification), or the machine's for who has no
// home. It need not exist. The environment is read by env, which is normally
// [os.Getenv].
func (c *Config) SpoolDir(env func(string) string) string {
	if c.Cache.Spool != "" {
		return c.Cache.Spool
	}
	// systemd separates several directories by colons.
	if dir, _, _ := strings.Cut(env("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) { // a relative one does not count
		return filepath.Join(dir, "sipward")
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "sipward")
	}
	return "/var/lib/sipward"
}
