package registrar

import (
	"cmp"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// Granted returns what the pair of req and its answer res changes, as of now.
// Def is how long a contact is asked for if req does not say. If res is no 2xx
// the error is ErrNotGranted, and a bad req gives one that wraps ErrMalformed.
//
// A contact that req asks to bind is found in res by its URI (RFC 3261 section
// 19.1.4), or by its instance and reg-id (RFC 5626). Then it lives as long as
// res says in its expires parameter, else in its Expires header field, be that
// longer or shorter than asked: PBXes raise what is too short.
//
// If res lists contacts but not that one, its grant is inferred, and never
// longer than asked: the only other contact of res, or the only one with the
// same user part, is taken for it, rewritten; else the shortest time that res
// names anywhere counts.
//
// If res lists no contact at all, the Expires header field decides, and
// without one nothing was bound. What was asked and not bound is removed, and
// so is what req asked to remove. Contacts of res that are not in req belong
// to other devices and are left alone.
func Granted(req *sip.Request, res *sip.Response, flow location.Flow, now time.Time, def time.Duration) (location.Change, error) {
	if !res.IsSuccess() {
		return location.Change{}, ErrNotGranted
	}
	g, _, err := parse(req, flow, now, def)
	if err != nil {
		return location.Change{}, err
	}
	c, _ := g.change(res, now, limits{})
	return c, nil
}

// limits bounds what is stored; zero values do not.
type limits struct {
	max  time.Duration
	keep int
}

// change returns what a 2xx changes and how many grants it had to infer.
func (g *Registration) change(res *sip.Response, now time.Time, lim limits) (c location.Change, guessed int) {
	c = location.Change{CallID: g.callID, CSeq: g.cseq, Reset: g.Star, Remove: g.Removed}
	if len(g.Asked) == 0 {
		return c, 0
	}
	a := readAnswer(res)
	c.Remove = c.Remove[:len(c.Remove):len(c.Remove)] // append must not write to g.Removed
	c.Put = make([]location.Binding, 0, len(g.Asked))
	for i := range g.Asked {
		b := g.Asked[i]
		life, inferred := a.grant(&b, g)
		if life <= 0 {
			c.Remove = append(c.Remove, b)
			continue
		}
		if inferred {
			guessed++
		}
		if lim.max > 0 {
			life = min(life, lim.max)
		}
		b.Updated, b.Expires = now, now.Add(life)
		c.Put = append(c.Put, b)
	}
	if len(c.Put) > 0 {
		c.Keep = lim.keep
	}
	return c, guessed
}

// answer is what a 2xx says about contacts.
type answer struct {
	listed   bool               // there is a Contact header field at all
	contacts []location.Contact // those that can be read
	expires  time.Duration      // of the header field
	general  bool               // there is a readable Expires header field

	others    []location.Contact // contacts that are not in the request
	separated bool               // others is known
}

func readAnswer(res *sip.Response) answer {
	var a answer
	var values []string
	for _, h := range res.Headers() {
		switch name := h.Name(); {
		case isContact(name):
			values = append(values, utf8Text(text(h)))
		case is(name, "Expires") && !a.general:
			a.expires, a.general = seconds(h.Value())
		}
	}
	a.listed = len(values) > 0
	var err error
	if a.contacts, err = location.ParseContacts(values); err == nil {
		return a
	}
	a.contacts = nil
	for i := range values { // a bad one does not hide the others
		if c, err := location.ParseContacts(values[i : i+1]); err == nil {
			a.contacts = append(a.contacts, c...)
		}
	}
	return a
}

// grant returns how long b, which g asks for, may live, and whether that had
// to be inferred.
func (a *answer) grant(b *location.Binding, g *Registration) (life time.Duration, inferred bool) {
	asked := b.Expires.Sub(b.Updated)
	switch i := a.find(b); {
	case i >= 0:
		if life, ok := a.life(a.contacts[i]); ok {
			return life, false
		}
		return asked, false
	case !a.listed && !a.general:
		return 0, false
	case !a.listed:
		return min(asked, a.expires), true
	}
	if c, ok := a.rewritten(b, g); ok {
		if life, ok := a.life(c); ok {
			return min(asked, life), true
		}
	}
	return min(asked, a.shortest(asked)), true
}

// life returns how long the answer grants c.
func (a *answer) life(c location.Contact) (life time.Duration, ok bool) {
	if value, has := c.Param("expires"); has {
		if life, ok = seconds(value); ok {
			return life, true
		}
	}
	return a.expires, a.general
}

// shortest returns the shortest time that the answer names, other than none
// at all, or def.
func (a *answer) shortest(def time.Duration) time.Duration {
	if a.general && a.expires > 0 {
		def = min(def, a.expires)
	}
	for _, c := range a.contacts {
		if life, ok := a.life(c); ok && life > 0 {
			def = min(def, life)
		}
	}
	return def
}

// find returns the index of the contact that is b, or -1.
func (a *answer) find(b *location.Binding) int {
	for i := range a.contacts {
		if location.EqualURI(a.contacts[i].URI, b.Contact) {
			return i
		}
	}
	for i := range a.contacts {
		c := &a.contacts[i]
		if b.Instance != "" && c.Instance() == b.Instance && c.RegID() == b.RegID {
			return i
		}
	}
	// Asterisk gives the address back that it has rewritten, but not the
	// transport parameter.
	for i := range a.contacts {
		if sameAddress(a.contacts[i].URI, b.Contact) {
			return i
		}
	}
	return -1
}

// rewritten returns the contact that can only be b, which was not found, under
// another URI.
func (a *answer) rewritten(b *location.Binding, g *Registration) (c location.Contact, ok bool) {
	a.findOthers(g)
	if len(a.others) == 1 {
		return a.others[0], true
	}
	user := userOf(b.Contact)
	for _, o := range a.others {
		if user == "" || userOf(o.URI) != user {
			continue
		}
		if ok {
			return location.Contact{}, false
		}
		c, ok = o, true
	}
	return c, ok
}

// findOthers finds the contacts that are not in the request.
func (a *answer) findOthers(g *Registration) {
	if a.separated {
		return
	}
	a.separated = true
	known := make([]bool, len(a.contacts))
	for _, list := range [...][]location.Binding{g.Asked, g.Removed} {
		for k := range list {
			if i := a.find(&list[k]); i >= 0 {
				known[i] = true
			}
		}
	}
	for i, c := range a.contacts {
		if !known[i] {
			a.others = append(a.others, c)
		}
	}
}

// sameAddress reports whether two URIs have the same user, host and port,
// whatever their parameters.
func sameAddress(a, b string) bool {
	u, errA := location.ParseURI(a)
	v, errB := location.ParseURI(b)
	const sipPort = 5060
	return errA == nil && errB == nil && u.User == v.User && strings.EqualFold(u.Host, v.Host) &&
		cmp.Or(u.Port, sipPort) == cmp.Or(v.Port, sipPort)
}

func userOf(uri string) string {
	u, _ := location.ParseURI(uri)
	return u.User
}
