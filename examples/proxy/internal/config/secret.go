package config

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
)

// Secret is a text that must not be seen. Every way of printing it, by fmt,
// slog or an encoder, gives "[redacted]", or nothing if it is empty. Convert
// it to string where the text itself is needed.
type Secret string

const redacted = "[redacted]"

// String returns "[redacted]", or "" if s is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format implements [fmt.Formatter] for all verbs, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText implements [encoding.TextMarshaler].
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// TokenKeys returns the keys for the tokens and aliases that the proxy writes
// into messages: the one to write with, and those of the former secrets, which
// are read still. The first is derived from Secret or, if that is empty, from
// what machineID returns, so that calls survive a restart of the proxy. The error
// is that of machineID; the caller may then use a random key, with which they
// do not. See [MachineID].
func (c *Config) TokenKeys(machineID func() (string, error)) (keys [][32]byte, err error) {
	from, salt := string(c.Secret), "secret"
	if from == "" {
		if from, err = machineID(); err != nil {
			return nil, err
		}
		salt = "machine"
	}
	keys = append(keys, tokenKey(from, salt))
	for _, s := range c.Former {
		keys = append(keys, tokenKey(string(s), "secret"))
	}
	return keys, nil
}

// tokenKey derives a key. The machine's id is known to more programs than this one,
// so it must not be used as it is: see machine-id(5).
func tokenKey(from, salt string) [32]byte {
	k, err := hkdf.Key(sha256.New, []byte(from), []byte(salt), "sipward token key", 32)
	if err != nil {
		panic(err) // no hash is too short for 32 bytes
	}
	return [32]byte(k)
}

// MachineID returns the id that systemd or D-Bus have given the machine. The
// root is that of the file system, normally os.DirFS("/"). Containers often
// have no such id.
//
// Every local user can read the id, and machines cloned from one image may
// share it: whoever cannot live with that configures a Secret.
func MachineID(root fs.FS) (string, error) {
	for _, name := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		data, err := fs.ReadFile(root, name)
		id := strings.TrimSpace(string(data))
		// While a machine is being installed, the file is empty or has a word.
		if err == nil && len(id) == 32 && strings.Trim(id, "0123456789abcdef") == "" {
			return id, nil
		}
	}
	return "", errors.New("config: machine has no id: set " + EnvSecret + " or the key secret")
}
