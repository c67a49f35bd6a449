package location

import (
	"net/netip"
	"strings"
	"time"
	"unique"
)

// record is how Memory keeps a binding: 192 bytes and one string of all the
// texts that are the binding's own, where a [Binding] would take 272 bytes and
// a string for each. What many bindings have in common is in memory once.
//
// But for its links a record never changes. A refresh replaces it, so that
// readers can use a record after they have unlocked its shard.
type record struct {
	user   string            // of the AOR; the same memory in the shard's table and in all records of the AOR
	text   string            // the texts, one after the other
	ends   [texts - 1]uint32 // where in text each ends; the last one ends with it
	common unique.Handle[common]

	remote  netip.AddrPort
	expires int64 // microseconds since 1970, as is updated
	updated int64
	regID   int
	cseq    uint32
	methods Methods
	q       Q
	ownUser bool // Contact's user is the AOR's

	next      *record // another binding of the AOR; guarded by the shard
	byExpiry  links   // in the slot of the shard's expiryQueue; guarded by the shard
	byContact links   // in the contactIndex, and guarded by it
	byFlow    links   // in the flowIndex, and guarded by it
}

// The texts of a record, in their order.
const (
	textContact     = iota
	textContactUser // empty if ownUser, or if there is none
	textCallID
	textInstance
	textPath
	textToken
	texts
)

// common is what few different values of serve many bindings. Package unique
// keeps one copy of each for as long as a record refers to it.
type common struct {
	domain    string
	transport string
	local     netip.AddrPort
	userAgent string
	registrar string
}

// newRecord makes a record of b. The user must not be part of a larger string
// that the record would keep alive.
func newRecord(user, domain string, b *Binding) *record {
	other := contactUser(b.Contact)
	own := other == user
	if own {
		other = ""
	}
	r := &record{
		user: user,
		common: unique.Make(common{
			domain:    domain,
			transport: b.Flow.Transport,
			local:     b.Flow.Local,
			userAgent: b.UserAgent,
			registrar: b.Registrar,
		}),
		remote:  b.Flow.Remote,
		expires: micros(b.Expires),
		updated: micros(b.Updated),
		regID:   b.RegID,
		cseq:    b.CSeq,
		methods: b.Methods,
		q:       b.Q,
		ownUser: own,
	}
	r.setTexts([texts]string{
		textContact:     b.Contact,
		textContactUser: other,
		textCallID:      b.CallID,
		textInstance:    b.Instance,
		textPath:        b.Path,
		textToken:       b.Token,
	})
	return r
}

func (r *record) setTexts(parts [texts]string) {
	size := 0
	for i, p := range parts {
		size += len(p)
		if i < len(r.ends) {
			r.ends[i] = uint32(size)
		}
	}
	var sb strings.Builder
	sb.Grow(size)
	for _, p := range parts {
		sb.WriteString(p)
	}
	r.text = sb.String()
}

// get returns one of the texts.
func (r *record) get(i int) string {
	start, end := 0, len(r.text)
	if i > 0 {
		start = int(r.ends[i-1])
	}
	if i < len(r.ends) {
		end = int(r.ends[i])
	}
	return r.text[start:end]
}

// binding returns the binding that r was made of.
func (r *record) binding() Binding {
	c := r.common.Value()
	return Binding{
		Contact:   r.get(textContact),
		Flow:      r.flow(),
		Path:      r.get(textPath),
		Q:         r.q,
		CallID:    r.get(textCallID),
		CSeq:      r.cseq,
		Expires:   time.UnixMicro(r.expires).UTC(),
		Updated:   time.UnixMicro(r.updated).UTC(),
		Instance:  r.get(textInstance),
		RegID:     r.regID,
		Methods:   r.methods,
		UserAgent: c.userAgent,
		Token:     r.get(textToken),
		Registrar: c.registrar,
	}
}

// flow returns the flow of r's binding.
func (r *record) flow() Flow {
	c := r.common.Value()
	return Flow{Transport: c.transport, Remote: r.remote, Local: c.local}
}

// aor returns the AOR of r's binding.
func (r *record) aor() AOR { return AOR{r.user, r.common.Value().domain} }

func (r *record) entry() Entry { return Entry{r.aor(), r.binding()} }

// contact returns the key of r in the contactIndex; it is not valid if r is
// not to be found there.
func (r *record) contact() AOR {
	user := r.get(textContactUser)
	if user == "" {
		return AOR{}
	}
	return AOR{user, r.common.Value().domain}
}

// liveAt takes microseconds, as do all that deal with records.
func (r *record) liveAt(now int64) bool { return now < r.expires }

func micros(t time.Time) int64 { return t.UnixMicro() }

// contactUser returns the user of a Contact URI as that of an AOR, or "". If no
// AOR can have it then nobody will ask for it.
func contactUser(contact string) string {
	u, err := parseURI(contact)
	if err != nil {
		return ""
	}
	user, err := unescape(u.User)
	if err != nil {
		return ""
	}
	return user
}

// links make a record an element of a chain.
type links struct{ prev, next *record }

// chain is a doubly linked list of records. Which of a record's links it goes
// through is up to the func that all its methods take.
type chain struct{ head *record }

func (c *chain) add(r *record, of func(*record) *links) {
	*of(r) = links{next: c.head}
	if c.head != nil {
		of(c.head).prev = r
	}
	c.head = r
}

func (c *chain) remove(r *record, of func(*record) *links) {
	l := of(r)
	if l.prev != nil {
		of(l.prev).next = l.next
	} else {
		c.head = l.next
	}
	if l.next != nil {
		of(l.next).prev = l.prev
	}
	*l = links{}
}

func expiryLinks(r *record) *links  { return &r.byExpiry }
func contactLinks(r *record) *links { return &r.byContact }
