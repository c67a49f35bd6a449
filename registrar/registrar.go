// Package registrar commits registrations that an upstream PBX accepted.
//
// The PBX keeps the passwords and decides; this package only watches. What a
// REGISTER asks is noted when it arrives ([Registrar.Begin]), and what the 2xx
// grants is stored before the phone is told ([Registration.Commit]), so that
// a call that comes in a millisecond later finds the phone. Any other answer
// leaves the store as it was.
//
// [Registrar.Wrap] does both for a handler of any sipgo server. [Granted] is
// the rule itself, without state or I/O.
package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

var (
	// ErrMalformed reports a REGISTER that no registrar may accept. Answer it
	// with 400.
	ErrMalformed = errors.New("registrar: malformed REGISTER")
	// ErrNotGranted reports an answer that grants nothing, since it is no 2xx.
	ErrNotGranted = errors.New("registrar: not granted")
)

const (
	defaultExpires       = time.Hour
	defaultCommitTimeout = 2 * time.Second
)

// Config configures a [Registrar]. Only Store is required.
type Config struct {
	// Store keeps the bindings.
	Store location.Store
	// AOR maps a REGISTER to the address of record it registers; the To URI if
	// nil (RFC 3261 section 10.2). It must be safe for concurrent use. Its
	// error is returned by Begin, wrapped.
	AOR func(req *sip.Request) (location.AOR, error)
	// DefaultExpires is how long a binding is asked for if the request does not
	// say; 1h if 0.
	DefaultExpires time.Duration
	// MaxExpires caps how long a binding is stored; no cap if 0. The phone is
	// not told, so it should not be shorter than what the PBX grants.
	MaxExpires time.Duration
	// MaxContacts keeps the most recently registered contacts of an AOR only;
	// no limit if 0.
	MaxContacts int
	// CommitTimeout bounds a call of Store; 2s if 0, negative for no bound but
	// the caller's, for a store that never waits.
	CommitTimeout time.Duration
	// FailOpen lets the 2xx pass even if Store failed. By default the phone
	// gets a 500 and tries again: better no registration than one that cannot
	// be called.
	FailOpen bool
	// BaseContext is the parent of every call of Store that Wrap makes; its
	// values reach Store. context.Background if nil.
	BaseContext func() context.Context
	// Now is the clock of expiry; time.Now if nil.
	Now func() time.Time
	// Hooks are told what happened.
	Hooks Hooks
	// Logger gets what nobody else hears of: a failed commit of Wrap or with
	// FailOpen. It discards if nil.
	Logger *slog.Logger
}

// Hooks are called after the fact, in the goroutine of the answer, without
// locks held. They must not block. Each may be nil.
type Hooks struct {
	// Committed tells of a 2xx that changed bindings or failed to.
	Committed func(Commit)
	// Rejected tells of a final answer other than 2xx, challenges included.
	Rejected func(aor location.AOR, code int)
}

// Commit is what came of a 2xx. It must not be changed.
type Commit struct {
	AOR    location.AOR
	Change location.Change
	// Guessed counts the bindings put whose grant had to be inferred because
	// the answer does not list them as they were asked for.
	Guessed int
	// Err is what the Store returned; it wraps [location.ErrStale] if a newer
	// REGISTER was committed already.
	Err error
	// Took is the time that Store took.
	Took time.Duration
}

// Registrar commits registrations. It is safe for concurrent use.
type Registrar struct {
	cfg Config
}

// New returns a Registrar. It reports all faults of cfg, joined.
func New(cfg Config) (*Registrar, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.DefaultExpires == 0 {
		cfg.DefaultExpires = defaultExpires
	}
	if cfg.CommitTimeout == 0 {
		cfg.CommitTimeout = defaultCommitTimeout
	}
	if cfg.BaseContext == nil {
		cfg.BaseContext = context.Background
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registrar{cfg: cfg}, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Store == nil {
		errs = append(errs, errors.New("registrar: Config.Store is nil"))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"DefaultExpires", int64(c.DefaultExpires)},
		{"MaxExpires", int64(c.MaxExpires)},
		{"MaxContacts", int64(c.MaxContacts)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("registrar: Config.%s is negative", f.name))
		}
	}
	return errors.Join(errs...)
}

// limits returns the part of the configuration that the pure core needs.
func (c *Config) limits() limits {
	return limits{max: c.MaxExpires, keep: c.MaxContacts}
}
