package config

import (
	"math"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	// minSecret is the least number of characters of a secret.
	minSecret = 16

	// maxBranch is when RFC 3261 section 17.1 gives up an unanswered request
	// by itself (64*T1).
	maxBranch = 32 * time.Second

	// maxHEPKey is more than collectors know.
	maxHEPKey = 255

	// minTimerC is far below what RFC 3261 section 16.6 wants, which is more
	// than three minutes, because it also bounds ringing.
	minTimerC = time.Second

	// maxCallRate is more than a proxy can handle.
	maxCallRate = 1_000_000
)

// Validate reports what is wrong with c, all faults joined. [Load] and [Parse]
// have done it already; it is for a Config put together by other means.
func (c *Config) Validate() error {
	f := &faults{}
	(&validator{c, f}).run()
	return f.err()
}

// validator checks what no value can check for itself. Values that were at
// fault when they were read are zero or have their default, and are passed
// over.
type validator struct {
	*Config
	faults *faults
}

func (v *validator) run() {
	v.secrets()
	v.storage()
	v.records()
	v.probes()
	v.listeners()
	v.advertised()
	v.certificate()
	v.durations()
	v.numbers()
	v.limits("limits", v.Limits)
	v.sets()
	v.metrics()
	v.mirror()
}

// fault reports a fault unless it follows from one that is known already.
func (v *validator) fault(path, format string, args ...any) {
	if !v.faults.covers(path) {
		v.faults.add(path, format, args...)
	}
}

func (v *validator) secrets() {
	if n := utf8.RuneCountInString(string(v.Secret)); n > 0 && n < minSecret {
		v.fault("secret", "too short, want at least %d characters", minSecret)
	}
	for i, s := range v.Former {
		if utf8.RuneCountInString(string(s)) < minSecret {
			v.fault(index("former_secrets", i), "too short, want at least %d characters", minSecret)
		}
	}
}

// certificate checks that listeners for TLS have a certificate, and that it has a
// key.
func (v *validator) certificate() {
	if (v.TLS.Cert == "") != (v.TLS.Key == "") {
		v.fault("tls", "want both cert and key, or neither")
	}
	for i, l := range v.Listen {
		if (l.Transport == TLS || l.Transport == WSS) && v.TLS.Cert == "" {
			v.fault(index("listen", i), "%v needs tls.cert and tls.key", l)
		}
	}
}

// storage checks that what needs a database has one.
func (v *validator) storage() {
	if v.Database == "" && (v.Store == StoreMySQL || v.Store == StoreCached) {
		v.fault("store", "%q needs a database, and there is none", v.Store)
		return
	}
	kept := v.Bindings()
	for _, key := range []struct {
		path string
		used bool
	}{
		{"cache.max_age", v.Cache.MaxAge != 0 && kept != StoreCached},
		{"cache.spool", v.Cache.Spool != "" && kept == StoreMemory && v.Calls() == AcctOff},
	} {
		if key.used {
			v.fault(key.path, "has no effect: the store is %s and not %s", kept, StoreCached)
		}
	}
}

// records checks where call records go.
func (v *validator) records() {
	if v.Database == "" && v.Acct.To == AcctMySQL {
		v.fault("acct.to", "%q needs a database, and there is none", v.Acct.To)
	}
	if v.Acct.File != "" && v.Calls() == AcctOff {
		v.fault("acct.file", "has no effect: calls are recorded nowhere, as to is %s", v.Acct.To)
	}
}

// probes checks that there is a table which says what is probed.
func (v *validator) probes() {
	if v.Database == "" && v.Dispatcher.Probe == ProbeTable {
		v.fault("dispatcher.probe", "%q needs a database, and there is none", v.Dispatcher.Probe)
	}
}

func (v *validator) listeners() {
	if len(v.Listen) == 0 {
		v.fault("listen", "no listener")
	}
	type port struct {
		stream bool
		addr   netip.AddrPort
	}
	taken := map[port]string{}
	take := func(path string, stream bool, addr netip.AddrPort) {
		if addr.Port() == 0 { // none, or any that is free
			return
		}
		if first, ok := taken[port{stream, addr}]; ok {
			v.fault(path, "%v is taken by %s", addr, first)
			return
		}
		taken[port{stream, addr}] = path
	}
	for i, l := range v.Listen {
		path := index("listen", i)
		if l.Addr.Addr().IsMulticast() {
			v.fault(path, "%v is a multicast address", l.Addr.Addr())
		}
		take(path, l.Transport.stream(), l.Addr)
	}
	take("admin", true, v.Admin)
}

// advertised checks that others are told an address where the proxy can be
// reached.
func (v *validator) advertised() {
	for i, l := range v.Listen {
		switch path := index("listen", i); {
		case !l.wildcard():
		case v.Advertise.Host == "" && !v.faults.has("advertise"):
			v.fault(path, "%v is every address of the machine: advertise must say which one others use", l.Addr.Addr())
		case isPlaceholder(v.Advertise.Host):
			v.fault("advertise", "%q is a placeholder, and %s has no address of its own", v.Advertise.Host, path)
		}
	}
}

func (v *validator) durations() {
	const ms = time.Millisecond
	for _, d := range []struct {
		path       string
		value, min time.Duration
	}{
		{"cache.max_age", v.Cache.MaxAge, 0},
		{"reload", v.Reload, 0},
		{"lame_duck", v.LameDuck, 0},
		{"drain", v.Drain, 0},
		{"timers.t1", v.Timers.T1, ms},
		{"timers.t2", v.Timers.T2, ms},
		{"timers.branch", v.Timers.Branch, ms},
		{"timers.c", v.Timers.C, minTimerC},
		{"register.default_expires", v.Register.DefaultExpires, time.Second},
		{"register.max_expires", v.Register.MaxExpires, 0},
		{"dispatcher.interval", v.Dispatcher.Interval, 0},
		{"dispatcher.timeout", v.Dispatcher.Timeout, ms},
		{"nat.ping_interval", v.NAT.PingInterval, time.Second},
		{"security.keep", v.Security.Keep, 0},
		{"acct.dialog_timeout", v.Acct.DialogTimeout, time.Second},
	} {
		if d.value < d.min {
			v.fault(d.path, "%v is less than %v", d.value, d.min)
		}
	}
	if t := v.Timers; t.T2 < t.T1 && !v.faults.has("timers.t1") {
		v.fault("timers.t2", "%v is less than t1, which is %v", t.T2, t.T1)
	}
	if v.Timers.Branch >= maxBranch {
		v.fault("timers.branch", "%v is not less than %v", v.Timers.Branch, maxBranch)
	}
	v.expires()
}

// expires checks what ends up in an Expires header field (RFC 3261 section
// 20.19).
func (v *validator) expires() {
	r := v.Register
	for _, d := range []struct {
		path  string
		value time.Duration
	}{
		{"register.default_expires", r.DefaultExpires},
		{"register.max_expires", r.MaxExpires},
	} {
		if d.value%time.Second != 0 || d.value/time.Second > math.MaxUint32 {
			v.fault(d.path, "%v is not a whole number of seconds below 2^32", d.value)
		}
	}
	if r.MaxExpires > 0 && r.MaxExpires < r.DefaultExpires && !v.faults.has("register.default_expires") {
		v.fault("register.max_expires", "%v is less than default_expires, which is %v", r.MaxExpires, r.DefaultExpires)
	}
}

func (v *validator) numbers() {
	for _, n := range []struct {
		path       string
		value, min int
	}{
		{"register.max_contacts", v.Register.MaxContacts, 0},
		{"acct.file_mb", v.Acct.FileMB, 1},
		{"acct.file_keep", v.Acct.FileKeep, 0},
		{"dispatcher.fall", v.Dispatcher.Fall, 1},
		{"dispatcher.rise", v.Dispatcher.Rise, 1},
		{"dispatcher.udp_mtu", v.Dispatcher.UDPMTU, 0},
	} {
		if n.value < n.min {
			v.fault(n.path, "%d is less than %d", n.value, n.min)
		}
	}
	if v.Dispatcher.UDPMTU > 0 && !slices.ContainsFunc(v.Listen, func(l Listener) bool { return l.Transport == TCP }) {
		v.fault("dispatcher.udp_mtu", "needs a listener for tcp, where a PBX sends what follows in a dialog")
	}
}

// limits checks what is not inherited.
func (v *validator) limits(path string, l Limits) {
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"registrations", l.Registrations, math.MaxInt32},
		{"calls", l.Calls, math.MaxInt32},
		{"call_rate", l.CallRate, maxCallRate},
	} {
		if p := join(path, n.key); (n.value < 0 || n.value > n.max) && v.faults.given(p) {
			v.fault(p, "%d is not between 0 and %d", n.value, n.max)
		}
	}
}

func (v *validator) sets() {
	ids, domains := map[int]string{}, map[Domain]string{}
	for i, t := range v.Tenants {
		path := index("tenants", i)
		v.setID(path, t, ids)
		if len(t.Domains) == 0 && v.Database == "" {
			v.fault(join(path, "domains"), "no domain")
		}
		for j, domain := range t.Domains {
			p := index(join(path, "domains"), j)
			if first, ok := domains[domain]; ok {
				v.fault(p, "%q is there already, as %s", domain, first)
			} else if domain != "" {
				domains[domain] = p
			}
		}
		v.destinations(join(path, "destinations"), t.Destinations)
		if p, d := join(path, "nat.ping_interval"), t.NAT.PingInterval; d < time.Second && v.faults.given(p) {
			v.fault(p, "%v is less than %v", d, time.Second)
		}
		v.limits(join(path, "limits"), t.Limits)
	}
}

// metrics checks that each set is named once.
func (v *validator) metrics() {
	seen := map[int]bool{}
	for i, set := range v.Metrics.Tenants {
		path := index("metrics.tenants", i)
		switch {
		case set < 1:
			v.fault(path, "want the setid of a tenant")
		case seen[set]:
			v.fault(path, "%d is there twice", set)
		}
		seen[set] = true
	}
}

// mirror checks what goes into each packet of HEP, and that there are any.
func (v *validator) mirror() {
	h := v.HEP
	if h.ID < 0 || int64(h.ID) > math.MaxUint32 {
		v.fault("hep.id", "%d is not between 0 and %d", h.ID, int64(math.MaxUint32))
	}
	if len(h.Key) > maxHEPKey {
		v.fault("hep.key", "too long, want at most %d bytes", maxHEPKey)
	}
	for _, key := range []struct {
		path string
		used bool
	}{
		{"hep.id", h.ID != 0},
		{"hep.key", h.Key != ""},
	} {
		if key.used && h.To == (Collector{}) && !v.faults.has("hep.to") {
			v.fault(key.path, "has no effect: there is no hep.to")
		}
	}
}

func (v *validator) setID(path string, t Tenant, ids map[int]string) {
	p := join(path, "setid")
	first, taken := ids[t.SetID]
	switch {
	case t.SetID < 1:
		v.fault(p, "want a number from 1")
	case taken:
		v.fault(p, "%d is that of %s already", t.SetID, first)
	default:
		ids[t.SetID] = path
	}
}

func (v *validator) destinations(path string, list []Destination) {
	if len(list) == 0 && v.Database == "" {
		v.fault(path, "no destination")
	}
	seen := map[URI]string{}
	for i, d := range list {
		p := index(path, i)
		first, dup := seen[d.URI.Place()]
		switch {
		case d.URI.Host == "":
			v.fault(join(p, "uri"), "want one, such as sip:10.0.1.10:5060")
		case dup:
			v.fault(join(p, "uri"), "%v is there already, as %s", d.URI.Place(), first)
		default:
			seen[d.URI.Place()] = join(p, "uri")
		}
		if d.Weight < 0 || d.Weight > math.MaxInt32 {
			v.fault(join(p, "weight"), "%d is not between 0 and %d", d.Weight, math.MaxInt32)
		}
	}
}
