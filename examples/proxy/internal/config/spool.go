package config

import (
	"errors"
	"path/filepath"
	"strings"
)

// SpoolDir returns the directory for calls, and for registrations that the
// database does not have yet: that of the configuration, else the one that systemd
// gives a service for its state, else the user's directory for the state of
// programs (XDG base directory specification). It need not exist. The environment is
// read by env, which is normally [os.Getenv].
func (c *Config) SpoolDir(env func(string) string) (string, error) {
	if c.Cache.Spool != "" {
		return c.Cache.Spool, nil
	}
	// systemd separates several directories by colons.
	if dir, _, _ := strings.Cut(env("STATE_DIRECTORY"), ":"); dir != "" {
		return dir, nil
	}
	if dir := env("XDG_STATE_HOME"); filepath.IsAbs(dir) { // a relative one does not count
		return filepath.Join(dir, "sipward"), nil
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "sipward"), nil
	}
	return "", errors.New("config: no directory for the spool: set cache.spool, or HOME")
}
