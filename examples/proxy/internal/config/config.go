// Package config reads the proxy's configuration: one YAML file, every key of
// it optional, and a few environment variables.
//
// Reading is strict. A key that is not known, a value that does not parse and
// a setting that makes no sense with another one are all errors, and all of
// them are reported at once, each as an [*Error] with its line and its path:
//
//	proxy.yaml:3: listen[1]: unknown transport "upd"
//	proxy.yaml:9: tenants[0].destinations[2].uri: "tel:1" is not a URI with the scheme sip
//
// What has been read is typed: addresses are [netip] values, durations are
// [time.Duration], and words are constants of this package. Nothing is
// ignored.
//
// A setting comes from the command line first, then from the environment, then
// from the file, then from [Default].
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/sipward/sipward/dispatcher"
)

// Config is the configuration of the proxy. Get one from [Load], [Parse] or
// [Default]; the zero Config is not usable. It prints without its secrets.
type Config struct {
	Listen    []Listener     `yaml:"listen"`         // at least one
	Advertise Advertise      `yaml:"advertise"`      // zero: every listener advertises its own address
	Admin     netip.AddrPort `yaml:"admin"`          // metrics, health and profiles; zero: off
	Database  Secret         `yaml:"database"`       // go-sql-driver DSN; empty: none
	Secret    Secret         `yaml:"secret"`         // see TokenKeys; empty: the machine's id stands in
	Former    []Secret       `yaml:"former_secrets"` // see TokenKeys
	Store     Store          `yaml:"store"`
	Cache     Cache          `yaml:"cache"`

	Reload     time.Duration `yaml:"reload"`    // how often the database's tenants are read again; 0: on SIGHUP only
	LameDuck   time.Duration `yaml:"lame_duck"` // how long the end is told beforehand by /readyz
	Drain      time.Duration `yaml:"drain"`     // how long the end waits for what is in progress; 0: not at all
	Timers     Timers        `yaml:"timers"`
	Register   Register      `yaml:"register"`
	Lookup     Lookup        `yaml:"lookup"`
	Dispatcher Dispatcher    `yaml:"dispatcher"`
	NAT        NAT           `yaml:"nat"`
	Security   Security      `yaml:"security"`
	Limits     Limits        `yaml:"limits"`
	Acct       Acct          `yaml:"acct"`
	TLS        TLSFiles      `yaml:"tls"`
	Metrics    Metrics       `yaml:"metrics"`
	HEP        HEP           `yaml:"hep"`
	Log        Log           `yaml:"log"`

	// Tenants are used beside those of the database. They stand last because
	// a set starts from what is configured for all sets.
	Tenants []Tenant `yaml:"tenants"`
}

// Cache is for [StoreCached].
type Cache struct {
	MaxAge time.Duration `yaml:"max_age"` // of what was read from the database until it is read again; 0: none
	Spool  string        `yaml:"spool"`   // directory; see SpoolDir
}

// Timers are those of RFC 3261 sections 16.6 and 17 that can be set.
type Timers struct {
	T1     time.Duration `yaml:"t1"`
	T2     time.Duration `yaml:"t2"`
	Branch time.Duration `yaml:"branch"` // no answer at all: next destination or 408
	C      time.Duration `yaml:"c"`      // no final answer; also bounds ringing
}

// Register says how REGISTER requests are relayed and what is kept of them.
type Register struct {
	RegisterPolicy `yaml:",inline"`
	DefaultExpires time.Duration `yaml:"default_expires"` // for an answer without any; whole seconds
	MaxExpires     time.Duration `yaml:"max_expires"`     // whole seconds; 0: as long as the PBX grants
	MaxContacts    int           `yaml:"max_contacts"`    // bindings kept for an AOR; 0: all
}

// RegisterPolicy is the part of [Register] that a set can have for itself.
type RegisterPolicy struct {
	Contact Contact `yaml:"contact"`
	Path    bool    `yaml:"path"` // insert a Path header field, RFC 3327
}

// Lookup says how requests of PBXes for phones are answered that reach none, how
// those are sent that reach several, and whether others than phones are reached.
type Lookup struct {
	Missing        Status `yaml:"missing"`         // nobody is registered
	MissingOptions Status `yaml:"missing_options"` // the same for OPTIONS
	Ambiguous      Status `yaml:"ambiguous"`       // it could be the phone of several tenants
	Fork           Fork   `yaml:"fork"`
	Hairpin        bool   `yaml:"hairpin"` // PBXes may call the domains of other tenants
}

// Dispatcher says how one PBX of a set is selected.
type Dispatcher struct {
	Algorithm  dispatcher.Algorithm `yaml:"algorithm"`
	Probe      Probe                `yaml:"probe"`
	Interval   time.Duration        `yaml:"interval"` // between probes; 0: no probes
	Timeout    time.Duration        `yaml:"timeout"`  // of a probe
	Alive      []Reply              `yaml:"alive"`    // to a probe, of a PBX that works; none: all but 408 and 5xx, and 501
	Fall       int                  `yaml:"fall"`     // failures in a row that take a destination down
	Rise       int                  `yaml:"rise"`     // successes in a row that bring it back
	AllDown    AllDown              `yaml:"all_down"`
	UDPMTU     int                  `yaml:"udp_mtu"`     // what is larger goes over TCP if it can; 0: all over UDP
	WriteState bool                 `yaml:"write_state"` // write states to the table dispatcher
	Webhook    WebURL               `yaml:"webhook"`     // gets what goes down and comes back; empty: nobody
}

// NAT says what is done for phones behind NAT beyond reaching them where their
// requests come from.
type NAT struct {
	SDP          SDP           `yaml:"sdp"`
	Ping         Ping          `yaml:"ping"`
	PingInterval time.Duration `yaml:"ping_interval"`
}

// Security says how strangers are met.
type Security struct {
	UnknownDomain Refusal        `yaml:"unknown_domain"`
	UnknownSource UnknownSource  `yaml:"unknown_source"`
	Scanner       Refusal        `yaml:"scanner"` // whose User-Agent says so
	Rate          bool           `yaml:"rate"`    // limit requests per source
	Trusted       []netip.Prefix `yaml:"trusted"` // never limited nor banned, as are all PBXes
	Keep          time.Duration  `yaml:"keep"`    // rows of who was turned away; 0: for ever
}

// Limits are what a set may have at most; 0 is any number.
type Limits struct {
	Registrations int `yaml:"registrations"` // users that are registered
	Calls         int `yaml:"calls"`         // at a time
	CallRate      int `yaml:"call_rate"`     // calls begun, a second
}

// Acct says where call records go.
type Acct struct {
	To            AcctTo        `yaml:"to"`
	Failed        bool          `yaml:"failed"`         // record calls that were not answered, too
	DialogTimeout time.Duration `yaml:"dialog_timeout"` // a call without BYE is closed then
	Dialogs       bool          `yaml:"dialogs"`        // open calls in the table dialog
	File          string        `yaml:"file"`           // JSON lines, beside the tables too; empty: for AcctJSON calls.json in the SpoolDir
	FileMB        int           `yaml:"file_mb"`        // size at which a new file is begun
	FileKeep      int           `yaml:"file_keep"`      // old files that are kept; 0: all
}

// TLSFiles names files in PEM: our certificate with those that vouch for it, its
// key, and the certificates that vouch for others.
type TLSFiles struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"` // whom PBXes over TLS must be known to; empty: whom the system trusts
}

// Metrics says what has metrics for itself.
type Metrics struct {
	Tenants      []int `yaml:"tenants"`      // sets, each once; the others are counted together; none: no counters by set
	Destinations bool  `yaml:"destinations"` // each PBX of each set
}

// HEP says who gets a copy of all messages, in packets of HEP version 3 over UDP.
type HEP struct {
	To  Collector `yaml:"to"`  // zero: nobody
	ID  int       `yaml:"id"`  // by which the collector knows this proxy; below 1<<32
	Key Secret    `yaml:"key"` // goes with each packet; at most 255 bytes
}

// Log says what is logged and how.
type Log struct {
	Level         slog.Level `yaml:"level"`
	Format        LogFormat  `yaml:"format"`
	Calls         bool       `yaml:"calls"`         // a line for each call
	Registrations bool       `yaml:"registrations"` // a line for each phone that comes or goes
}

// Tenant is a dispatcher set with the domains that it serves.
type Tenant struct {
	SetID        int           `yaml:"setid"`
	Domains      []Domain      `yaml:"domains"`      // the first is the primary one; none: all are in the database
	Destinations []Destination `yaml:"destinations"` // none: all are in the database
	Policy       `yaml:",inline"`
}

// Policy is what can differ from set to set. That of a [Tenant] is complete:
// what the tenant does not say itself it has from the rest of the file.
type Policy struct {
	Register RegisterPolicy `yaml:"register"`
	Lookup   Lookup         `yaml:"lookup"`
	NAT      NAT            `yaml:"nat"`
	Limits   Limits         `yaml:"limits"`
}

// Destination is a PBX of a set.
type Destination struct {
	URI      URI              `yaml:"uri"`
	Weight   int              `yaml:"weight"`   // 1 unless given; 0: only when all others have failed
	Priority int              `yaml:"priority"` // the highest is preferred
	State    dispatcher.State `yaml:"state"`    // its sources count whatever the state
	Sources  []netip.Prefix   `yaml:"sources"`  // where the PBX sends from besides the URI's host; any port
}

// Default returns the configuration that an empty file stands for. The caller
// owns it.
func Default() Config {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	sip := netip.AddrPortFrom(loopback, 5060)
	return Config{
		Listen:     []Listener{{UDP, sip}, {TCP, sip}},
		Admin:      netip.AddrPortFrom(loopback, 8060),
		Store:      StoreAuto,
		Reload:     30 * time.Second,
		Drain:      5 * time.Second,
		Timers:     Timers{T1: 500 * time.Millisecond, T2: 4 * time.Second, Branch: 8 * time.Second, C: 180 * time.Second},
		Register:   Register{RegisterPolicy: RegisterPolicy{Contact: ContactOwn}, DefaultExpires: time.Hour, MaxContacts: 10},
		Lookup:     Lookup{Missing: 404, MissingOptions: 404, Ambiguous: 404, Fork: ForkParallel},
		Dispatcher: Dispatcher{Algorithm: dispatcher.Affinity, Probe: ProbeAlways, Interval: 30 * time.Second, Timeout: 4 * time.Second, Fall: 2, Rise: 1, AllDown: AllDownTry},
		NAT:        NAT{SDP: SDPOff, Ping: PingOff, PingInterval: 25 * time.Second},
		Security:   Security{UnknownDomain: Drop, UnknownSource: SourceRefuse, Rate: true, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Keep: 90 * 24 * time.Hour},
		Acct:       Acct{To: AcctAuto, Failed: true, DialogTimeout: 4 * time.Hour, Dialogs: true, FileMB: 100},
		Metrics:    Metrics{Destinations: true},
		Log:        Log{Level: slog.LevelInfo, Format: LogAuto, Calls: true, Registrations: true},
	}
}

// Policy returns what holds for a set: that of its tenant, or what is
// configured for all if the set is not in the file. It searches the tenants, so
// it is for starting up and not for each request.
func (c *Config) Policy(setID int) Policy {
	for _, t := range c.Tenants {
		if t.SetID == setID {
			return t.Policy
		}
	}
	return c.Common()
}

// Common returns what holds for sets that say nothing themselves.
func (c *Config) Common() Policy {
	return Policy{Register: c.Register.RegisterPolicy, Lookup: c.Lookup, NAT: c.NAT, Limits: c.Limits}
}

// inherit gives t what it starts from before its keys are read.
func (t *Tenant) inherit(c *Config) { t.Policy = c.Common() }

// inherit gives d what it starts from before its keys are read.
func (d *Destination) inherit(*Config) { d.Weight = 1 }

// Advertised returns the host and port by which l is known to others: in Via,
// Record-Route and Path. An IPv6 address has no brackets.
func (c *Config) Advertised(l Listener) (host string, port uint16) {
	host, port = c.Advertise.Host, c.Advertise.Port
	if host == "" {
		host = l.Addr.Addr().String()
	}
	if port == 0 {
		port = l.Addr.Port()
	}
	return host, port
}
