package route_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// oracle decides requests outside dialogs by going through everything there
// is, one filter after the other. It is slow and has no way to be clever.
type oracle struct {
	tenants []tenant.Tenant // sources are single addresses
	entries []location.Entry
	pending map[location.AOR]bool
	hairpin map[int]bool // by index of the tenant
	unique  bool
}

// query is a request in canonical words, which the oracle need not parse.
type query struct {
	method           string
	user, host       string
	port, rawPort    uint16 // with the default, and as it is written
	token            string
	hasToken         bool
	path, pathToken  string // user and token of a Path of ours; no user: none
	to, from, pai    string // hosts
	fromUser, toUser string
	src              netip.AddrPort
}

func (q query) String() string {
	return fmt.Sprintf("%s %s@%s:%d rid=%q/%t path=%s/%q to=%s@%s from=%s@%s pai=%s src=%s",
		q.method, q.user, q.host, q.port, q.token, q.hasToken, q.path, q.pathToken, q.toUser, q.to, q.fromUser, q.from, q.pai, q.src)
}

// serving returns the index of the tenant of a domain, or -1.
func (o *oracle) serving(domain string) int {
	return slices.IndexFunc(o.tenants, func(tn tenant.Tenant) bool { return slices.Contains(tn.Domains, domain) })
}

// sending returns the tenants whose PBX may send from src.
func (o *oracle) sending(src netip.AddrPort) (all []int) {
	var byPort []int
	for i, tn := range o.tenants {
		for _, s := range tn.Sources {
			if s.Prefix.Addr() != src.Addr() {
				continue
			}
			all = append(all, i)
			if s.Port == src.Port() {
				byPort = append(byPort, i)
			}
		}
	}
	if len(byPort) > 0 {
		all = byPort
	}
	return slices.Compact(all)
}

// domains returns the domains of some tenants.
func (o *oracle) domains(tenants []int) (ds []string) {
	for _, i := range tenants {
		ds = append(ds, o.tenants[i].Domains...)
	}
	return ds
}

// where returns the entries for which all of keep hold.
func (o *oracle) where(domains []string, keep func(e location.Entry) bool) (es []location.Entry) {
	for _, e := range o.entries {
		if slices.Contains(domains, e.AOR.Domain()) && keep(e) {
			es = append(es, e)
		}
	}
	return es
}

// registered reports whether the caller has a phone at the very source.
func (o *oracle) registered(q query, user, domain string) bool {
	return len(o.where([]string{domain}, func(e location.Entry) bool {
		return e.AOR.User() == user && e.Binding.Flow.Remote == q.src
	})) > 0
}

func (o *oracle) decide(q query) string {
	registered := o.serving(q.from) >= 0 && o.registered(q, q.fromUser, q.from)
	pbx := o.sending(q.src)
	var said string
	switch {
	case q.method == "REGISTER":
		said = o.register(q)
	case len(pbx) > 0 && !registered:
		return o.fromPBX(q, pbx)
	default:
		said = o.fromElsewhere(q)
	}
	if why, refused := strings.CutPrefix(said, "drop "); refused && registered {
		return "answer 404 " + why
	}
	return said
}

func (o *oracle) register(q query) string {
	switch to := o.serving(q.to); {
	case to < 0:
		return "drop unknown_domain"
	case q.host != q.to && !own(q.host, q.port):
		return "drop domain_mismatch"
	default:
		return o.toSet(q, to, q.toUser, q.to)
	}
}

func (o *oracle) toSet(q query, i int, user, domain string) string {
	if o.serving(domain) != i {
		return fmt.Sprintf("set %d", o.tenants[i].SetID)
	}
	return fmt.Sprintf("set %d for %s@%s registered %t", o.tenants[i].SetID, user, domain, o.registered(q, user, domain))
}

func (o *oracle) fromElsewhere(q query) string {
	if i := o.serving(q.host); i >= 0 {
		return o.toSet(q, i, q.fromUser, q.from)
	}
	if own(q.host, q.port) {
		return o.onlyUser(q)
	}
	addr, err := netip.ParseAddr(q.host)
	if err != nil {
		return "drop unknown_domain"
	}
	switch there := o.sending(netip.AddrPortFrom(addr, q.port)); {
	case len(there) == 0:
		return "drop unknown_domain"
	case len(there) == 1:
		return o.toSet(q, there[0], q.fromUser, q.from)
	case slices.Contains(there, o.serving(q.from)):
		return o.toSet(q, o.serving(q.from), q.fromUser, q.from)
	}
	return "drop ambiguous"
}

// onlyUser is for a stranger's request at the proxy's own address.
func (o *oracle) onlyUser(q query) string {
	if !o.unique || q.method != "INVITE" || q.user == "" || o.serving(q.to) >= 0 || o.serving(q.from) >= 0 {
		return "drop own_address"
	}
	var all []string
	for _, tn := range o.tenants {
		all = append(all, tn.Domains...)
	}
	es := o.where(all, func(e location.Entry) bool { return e.AOR.User() == q.user })
	with := es
	if q.hasToken {
		with = o.where(all, func(e location.Entry) bool {
			return e.AOR.User() == q.user && e.Binding.Token != "" && e.Binding.Token == q.token
		})
	}
	switch several := func(e location.Entry) bool { return e.AOR != es[0].AOR }; {
	case len(es) == 0:
		return "drop own_address"
	case slices.ContainsFunc(es, several):
		return "drop ambiguous"
	case len(with) == 0:
		return "drop unknown_token"
	}
	return o.phones(q, nil, "", with)
}

// foreign is for a PBX's request for a domain of others.
func (o *oracle) foreign(q query, pbx []int) string {
	for _, i := range pbx {
		if !o.hairpin[i] {
			return "answer 404 foreign_domain"
		}
	}
	set := o.tenants[o.serving(q.host)].SetID
	if q.user == "" {
		return fmt.Sprintf("set %d", set)
	}
	return fmt.Sprintf("set %d for %s@%s registered false", set, q.user, q.host)
}

func (o *oracle) fromPBX(q query, pbx []int) string {
	domains := o.domains(pbx)
	served := o.serving(q.host) >= 0
	foreign := served && !slices.Contains(domains, q.host)
	switch {
	case q.user == "" && foreign:
		return o.foreign(q, pbx)
	case q.user == "" && q.method == "OPTIONS":
		return "answer here 200 keepalive"
	case q.user == "" && own(q.host, q.port):
		return "answer 405 no_user"
	case q.user == "":
		return "answer 404 no_user"
	case q.hasToken:
		return o.phones(q, domains, "unknown_token", o.where(domains, func(e location.Entry) bool {
			return e.AOR.User() == q.user && e.Binding.Token != "" && e.Binding.Token == q.token
		}))
	case q.path != "":
		return o.byPath(q, domains)
	case foreign:
		return o.foreign(q, pbx)
	}
	scope := domains
	for _, named := range []string{q.pai, q.from, q.to, q.host} { // the last one wins
		if slices.Contains(domains, named) {
			scope = []string{named}
		}
	}
	byUser := func(e location.Entry) bool { return e.AOR.User() == q.user }
	byContact := func(e location.Entry) bool { return uri(e.Binding.Contact).User == q.user }
	if !served && !own(q.host, q.port) {
		atHost := o.where(scope, func(e location.Entry) bool {
			contact := uri(e.Binding.Contact)
			return (byUser(e) || byContact(e)) &&
				(contact.Host == q.host && cmpPort(contact.Port) == q.port || e.Binding.Flow.Remote.String() == fmt.Sprintf("%s:%d", q.host, q.port))
		})
		if _, err := netip.ParseAddr(q.host); len(atHost) > 0 || err != nil {
			return o.phones(q, scope, "unknown_domain", atHost)
		}
	}
	missing := "missing"
	if len(domains) == 0 {
		missing = "no_domain"
	}
	if es := o.where(scope, byUser); len(es) > 0 {
		return o.phones(q, scope, missing, es)
	}
	return o.phones(q, scope, missing, o.where(scope, byContact))
}

// byPath is for a request with a Path: the phones with its token or, of the users that
// have one, those that are called.
func (o *oracle) byPath(q query, domains []string) string {
	var es []location.Entry
	for _, domain := range domains {
		ofUser := o.where([]string{domain}, func(e location.Entry) bool { return e.AOR.User() == q.path })
		hasToken := func(e location.Entry) bool { return q.pathToken != "" && e.Binding.Token == q.pathToken }
		called := slices.IndexFunc(ofUser, func(e location.Entry) bool {
			contact := uri(e.Binding.Contact)
			return contact.User == q.user && contact.Host == q.host && contact.Port == q.rawPort
		})
		switch {
		case !slices.ContainsFunc(ofUser, hasToken):
		case called >= 0:
			es = append(es, ofUser[called])
		default:
			es = append(es, slices.DeleteFunc(ofUser, func(e location.Entry) bool { return !hasToken(e) })...)
		}
	}
	q.user = q.path
	return o.phones(q, domains, "unknown_token", es)
}

func cmpPort(port uint16) uint16 {
	if port == 0 {
		return 5060
	}
	return port
}

// phones is what becomes of a request that means the phones of es.
func (o *oracle) phones(q query, scope []string, missing string, es []location.Entry) string {
	for _, e := range es {
		if e.AOR != es[0].AOR {
			return "answer 404 ambiguous"
		}
	}
	if len(es) == 0 {
		for _, domain := range scope {
			if aor, err := location.MakeAOR(q.user, domain); err == nil && o.pending[aor] {
				return "wait " + aor.String()
			}
		}
		return "answer 404 " + missing
	}
	if q.method == "OPTIONS" {
		es = []location.Entry{slices.MaxFunc(es, func(a, b location.Entry) int { return a.Binding.Updated.Compare(b.Binding.Updated) })}
	}
	return "phones " + es[0].AOR.String() + " " + contacts(es)
}

func contacts(es []location.Entry) string {
	var cs []string
	for _, e := range es {
		cs = append(cs, e.Binding.Contact)
	}
	slices.Sort(cs)
	return strings.Join(cs, " ")
}

// inBrief is a decision in the oracle's words.
func inBrief(d route.Decision) string {
	switch d.Action {
	case route.ToPhones:
		var es []location.Entry
		for _, b := range d.Targets {
			es = append(es, location.Entry{AOR: d.AOR, Binding: b})
		}
		return "phones " + d.AOR.String() + " " + contacts(es)
	case route.ToSet:
		if !d.AOR.IsValid() {
			return fmt.Sprintf("set %d", d.Set)
		}
		return fmt.Sprintf("set %d for %s registered %t", d.Set, d.AOR, d.Registered)
	case route.Wait:
		return "wait " + d.AOR.String()
	case route.Drop:
		return "drop " + d.Reason.String()
	}
	return fmt.Sprintf("%s %d %s", d.Action, d.Status, d.Reason)
}
