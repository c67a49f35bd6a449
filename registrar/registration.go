package registrar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// malformedExpires is how long contacts are asked for if Expires is no number;
// [location.Contact.Expires] does the same (RFC 3261 section 20.10).
const malformedExpires = time.Hour

// Registration is what one REGISTER asks. It holds nothing of the request it
// was made from. It is not safe for concurrent use.
type Registration struct {
	// Asked are the contacts to be bound, in the order of the request. Updated
	// is when Begin saw it, Expires as long after that as the phone asks for.
	// The caller may set Token and Registrar, which are stored as they are
	// at the time of Commit.
	Asked []location.Binding
	// Removed are the contacts to be removed (expires=0).
	Removed []location.Binding
	// Star tells that all contacts are to be removed ("Contact: *").
	Star bool
	// Query tells that the request has no Contact and changes nothing.
	Query bool

	r      *Registrar
	aor    location.AOR
	callID string
	cseq   uint32
}

// AOR returns the address of record that is registered.
func (g *Registration) AOR() location.AOR { return g.aor }

// Begin notes what req asks for. Call it before anything rewrites req. Flow is
// where req came from; the zero Flow is unknown. An error wraps ErrMalformed or
// is that of Config.AOR.
func (r *Registrar) Begin(req *sip.Request, flow location.Flow) (*Registration, error) {
	g, f, err := parse(req, flow, r.cfg.Now(), r.cfg.DefaultExpires)
	if err != nil {
		return nil, err
	}
	if r.cfg.AOR == nil {
		g.aor, err = aorOf(f.to)
	} else if g.aor, err = r.cfg.AOR(req); err != nil {
		err = fmt.Errorf("registrar: address of record: %w", err)
	}
	if err != nil {
		return nil, err
	}
	g.r = r
	return g, nil
}

// Change returns what res changes. It is the pure part of Commit and does not
// touch the store. If res is no 2xx, the error is ErrNotGranted.
func (g *Registration) Change(res *sip.Response) (location.Change, error) {
	if !res.IsSuccess() {
		return location.Change{}, ErrNotGranted
	}
	c, _ := g.change(res, g.r.cfg.Now(), g.r.cfg.limits())
	return c, nil
}

// Commit stores what res grants. It does nothing for provisional answers, and
// nothing but call the Rejected hook for final ones other than 2xx. Repeating
// it with a retransmitted answer is harmless.
//
// After an error the phone must not see the 2xx, since the store does not have
// it. A REGISTER that a newer one has overtaken ([location.ErrStale]) is no
// error: it changes nothing, and its answer may pass. Nor is a failed store
// with Config.FailOpen. Both are told to the Committed hook.
func (g *Registration) Commit(ctx context.Context, res *sip.Response) error {
	cfg := &g.r.cfg
	switch {
	case res.IsProvisional():
		return nil
	case !res.IsSuccess():
		if cfg.Hooks.Rejected != nil {
			cfg.Hooks.Rejected(g.aor, res.StatusCode)
		}
		return nil
	}
	c, guessed := g.change(res, cfg.Now(), cfg.limits())
	if !c.Reset && len(c.Remove) == 0 && len(c.Put) == 0 {
		return nil
	}
	if cfg.CommitTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.CommitTimeout)
		defer cancel()
	}
	start := time.Now()
	err := cfg.Store.Apply(ctx, g.aor, c)
	if cfg.Hooks.Committed != nil {
		cfg.Hooks.Committed(Commit{AOR: g.aor, Change: c, Guessed: guessed, Err: err, Took: time.Since(start)})
	}
	switch {
	case err == nil, errors.Is(err, location.ErrStale):
		return nil
	case cfg.FailOpen:
		cfg.Logger.ErrorContext(ctx, "binding not stored, answer passed on", "call_id", g.callID, "err", err)
		return nil
	}
	return fmt.Errorf("registrar: commit: %w", err)
}

// parse reads all of a REGISTER but its address of record.
func parse(req *sip.Request, flow location.Flow, now time.Time, def time.Duration) (*Registration, fields, error) {
	f, err := read(req.Headers())
	if err != nil {
		return nil, f, malformed(err)
	}
	switch {
	case req.Method != sip.REGISTER:
		return nil, f, malformed(fmt.Errorf("method %s", req.Method))
	case f.to == "":
		return nil, f, malformed(errors.New("no To"))
	case f.callID == "":
		return nil, f, malformed(errors.New("no Call-ID"))
	}
	g := &Registration{callID: f.callID}
	if g.cseq, err = parseCSeq(f.cseq, req.Method); err != nil {
		return nil, f, malformed(err)
	}
	contacts, err := location.ParseContacts(f.contacts)
	if err != nil {
		return nil, f, malformed(err)
	}
	if err := g.ask(contacts, f, flow, now, def); err != nil {
		return nil, f, malformed(err)
	}
	return g, f, nil
}

// ask sorts the contacts of a request by what is asked for them (RFC 3261
// sections 10.2.1 and 10.2.2).
func (g *Registration) ask(contacts []location.Contact, f fields, flow location.Flow, now time.Time, def time.Duration) error {
	g.Query = len(contacts) == 0
	header, headerOK := seconds(f.expires)
	switch {
	case f.expires == "":
		header = def
	case !headerOK:
		header = malformedExpires
	}
	for _, c := range contacts {
		if c.Star {
			if len(contacts) > 1 || !headerOK || header != 0 {
				return errors.New(`"Contact: *" with other contacts or without "Expires: 0"`)
			}
			g.Star = true
			return nil
		}
		if strings.Contains(c.URI, unreadable) {
			return fmt.Errorf("contact %q is not UTF-8", c.URI)
		}
		life := header
		if n, ok := c.Expires(); ok {
			life = time.Duration(n) * time.Second
		}
		b := binding(c, f)
		b.Flow, b.CallID, b.CSeq, b.Updated, b.Expires = flow, g.callID, g.cseq, now, now.Add(life)
		if life == 0 {
			g.Removed = append(g.Removed, b)
		} else {
			g.Asked = append(g.Asked, b)
		}
	}
	return nil
}

// binding returns what the request says about a contact but for its life.
func binding(c location.Contact, f fields) location.Binding {
	b := location.Binding{
		Contact:   c.URI,
		Path:      strings.Join(f.path, ", "),
		Q:         c.Q(),
		Methods:   location.ParseAllow(f.allow),
		Instance:  c.Instance(),
		UserAgent: f.userAgent,
	}
	if b.Instance != "" { // a reg-id means nothing without (RFC 5626 section 6)
		b.RegID = c.RegID()
	}
	if value, ok := c.Param("methods"); ok {
		b.Methods = location.ParseAllow([]string{value})
	}
	return b
}

// aorOf returns the address of record in the value of a To header field.
func aorOf(to string) (location.AOR, error) {
	c, err := location.ParseContacts([]string{utf8Text(to)}) // the same grammar
	if err != nil || len(c) != 1 || strings.Contains(c[0].URI, unreadable) {
		return location.AOR{}, malformed(fmt.Errorf("bad To %q", to))
	}
	aor, err := location.ParseAOR(c[0].URI)
	if err != nil {
		return location.AOR{}, malformed(err)
	}
	return aor, nil
}

func malformed(err error) error {
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
