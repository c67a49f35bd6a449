package config_test

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/dispatcher"
	"github.com/sipward/sipward/examples/proxy/internal/config"
)

const shippedFile = "../../proxy.yaml"

// equal compares configurations: netip has unexported fields, but its values
// can be compared.
var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

// parse is config.Parse for text that must be right.
func parse(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), "proxy.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDefault_IsValid(t *testing.T) {
	c := config.Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestParse_NothingIsDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "{}", "timers:\nlisten: ~\nlog: {level: }\n"} {
		if diff := cmp.Diff(config.Default(), parse(t, text), equal); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestShippedFile_IsDefault(t *testing.T) {
	if diff := cmp.Diff(config.Default(), parse(t, readFile(t, shippedFile)), equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// keys returns the lines of YAML with a key, each with the key only.
func keys(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if key, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(strings.TrimSpace(key), "-") {
			lines = append(lines, strings.TrimLeft(key, " "))
		}
	}
	return lines
}

func TestShippedFile_HasAllKeys(t *testing.T) {
	shipped := map[string]bool{}
	for _, key := range keys(readFile(t, shippedFile)) {
		shipped[strings.TrimLeft(key, "# ")] = true
	}
	for _, key := range keys(config.Default().String()) {
		if !shipped[key] {
			t.Errorf("%s is not in %s", key, shippedFile)
		}
	}
}

func TestShippedFile_ExampleOfTenants(t *testing.T) {
	_, example, ok := strings.Cut(readFile(t, shippedFile), "\n# tenants:\n")
	if !ok {
		t.Fatal("no example")
	}
	c := parse(t, "tenants:\n"+strings.ReplaceAll("\n"+example, "\n#", "\n"))
	want := []config.Tenant{
		{
			SetID:   10,
			Domains: []config.Domain{"tenant-a.test"},
			Destinations: []config.Destination{
				{
					URI: config.URI{Host: "10.0.1.10", Port: 5060, Transport: config.UDP}, Weight: 1,
					Sources: []netip.Prefix{netip.MustParsePrefix("10.0.1.11/32"), netip.MustParsePrefix("10.0.8.0/24")},
				},
				{URI: config.URI{Host: "pbx2.tenant-a.test", Transport: config.TCP}, Weight: 1},
			},
			Policy: c.Policy(0),
		},
		{
			SetID:        20,
			Domains:      []config.Domain{"tenant-b.test", "tenant-b.example"},
			Destinations: []config.Destination{{URI: config.URI{Host: "10.0.1.20", Port: 5060, Transport: config.UDP}, Weight: 1}},
			Policy: config.Policy{
				Register: config.RegisterPolicy{Contact: config.ContactPreserve},
				Lookup:   config.Lookup{Missing: 480, MissingOptions: config.Silent, Ambiguous: 404, Fork: config.ForkSerial},
				NAT:      c.NAT,
				Limits:   config.Limits{Registrations: 500, Calls: 60, CallRate: 10},
			},
		},
	}
	if diff := cmp.Diff(want, c.Tenants, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestContract(t *testing.T) {
	got := parse(t, readFile(t, "testdata/contract.yaml"))
	want := config.Default()
	want.Tenants = []config.Tenant{{
		SetID:   10,
		Domains: []config.Domain{"tenant-a.test"},
		Destinations: []config.Destination{{
			URI: config.URI{Host: "10.0.1.10", Port: 5060, Transport: config.UDP}, Weight: 1,
			Sources: []netip.Prefix{netip.MustParsePrefix("10.0.1.11/32"), netip.MustParsePrefix("10.0.8.0/24")},
		}},
		Policy: want.Policy(10),
	}}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each row sets something that is not the default.
func TestParse_Values(t *testing.T) {
	addrPort := netip.MustParseAddrPort
	tests := []struct {
		name string
		text string
		want func(*config.Config)
	}{
		{"listen", `listen: ["udp:10.0.0.1", "TCP:10.0.0.1:5070", "udp:[fd00::1]:5060", "udp:fd00::2", "tcp:[::ffff:10.0.0.2]:0"]`, func(c *config.Config) {
			c.Listen = []config.Listener{
				{config.UDP, addrPort("10.0.0.1:5060")}, {config.TCP, addrPort("10.0.0.1:5070")},
				{config.UDP, addrPort("[fd00::1]:5060")}, {config.UDP, addrPort("[fd00::2]:5060")},
				{config.TCP, addrPort("10.0.0.2:0")},
			}
		}},
		{"any free port twice", `listen: ["udp:10.0.0.1:0", "udp:10.0.0.1:0"]`, func(c *config.Config) {
			l := config.Listener{Transport: config.UDP, Addr: addrPort("10.0.0.1:0")}
			c.Listen = []config.Listener{l, l}
		}},
		{"advertise host", `advertise: "SIP.Proxy.test."`, func(c *config.Config) { c.Advertise = config.Advertise{Host: "sip.proxy.test"} }},
		{"advertise port", `advertise: "10.0.0.1:5070"`, func(c *config.Config) { c.Advertise = config.Advertise{Host: "10.0.0.1", Port: 5070} }},
		{"advertise IPv6", `advertise: "[FD00::1]:5070"`, func(c *config.Config) { c.Advertise = config.Advertise{Host: "fd00::1", Port: 5070} }},
		{"advertise example without wildcard", `advertise: "192.0.2.1"`, func(c *config.Config) { c.Advertise = config.Advertise{Host: "192.0.2.1"} }},
		{"admin off", `admin: ""`, func(c *config.Config) { c.Admin = netip.AddrPort{} }},
		{"secret", `secret: "0123456789abcdef"`, func(c *config.Config) { c.Secret = "0123456789abcdef" }},
		{"store", `store: memory`, func(c *config.Config) { c.Store = config.StoreMemory }},
		{"database", "database: root:pw@/db\ncache: {max_age: 1m, spool: /var/spool/x}", func(c *config.Config) {
			c.Database, c.Cache = "root:pw@/db", config.Cache{MaxAge: time.Minute, Spool: "/var/spool/x"}
		}},
		{"database and memory", "database: root:pw@/db\nstore: memory", func(c *config.Config) {
			c.Database, c.Store = "root:pw@/db", config.StoreMemory
		}},
		{"what is in the database", "database: root:pw@/db\ntenants: [{setid: 10, lookup: {missing: 480}}]", func(c *config.Config) {
			c.Database, c.Tenants = "root:pw@/db", []config.Tenant{{SetID: 10, Policy: c.Policy(10)}}
			c.Tenants[0].Lookup.Missing = 480
		}},
		{"reload never", `reload: 0s`, func(c *config.Config) { c.Reload = 0 }},
		{"lame_duck", `lame_duck: 10s`, func(c *config.Config) { c.LameDuck = 10 * time.Second }},
		{"drain", `drain: 0s`, func(c *config.Config) { c.Drain = 0 }},
		{"statuses", `lookup: {missing: 480, missing_options: silent, ambiguous: "603", fork: newest}`, func(c *config.Config) {
			c.Lookup = config.Lookup{Missing: 480, MissingOptions: config.Silent, Ambiguous: 603, Fork: config.ForkNewest}
		}},
		{"unknown_domain", `security: {unknown_domain: 403, rate: off}`, func(c *config.Config) { c.Security.UnknownDomain, c.Security.Rate = 403, false }},
		{"scanner", `security: {scanner: 404}`, func(c *config.Config) { c.Security.Scanner = 404 }},
		{"unknown_source", `security: {unknown_source: unique}`, func(c *config.Config) { c.Security.UnknownSource = config.SourceUnique }},
		{"rows are kept", `security: {keep: 0s}`, func(c *config.Config) { c.Security.Keep = 0 }},
		{"limits", `limits: {registrations: 100, calls: 20, call_rate: 5}`, func(c *config.Config) {
			c.Limits = config.Limits{Registrations: 100, Calls: 20, CallRate: 5}
		}},
		{"hairpins", "database: root:pw@/db\nlookup: {hairpin: on}\ntenants: [{setid: 10}, {setid: 20, lookup: {hairpin: off}}]", func(c *config.Config) {
			c.Database, c.Lookup.Hairpin = "root:pw@/db", true
			c.Tenants = []config.Tenant{{SetID: 10, Policy: c.Policy(10)}, {SetID: 20, Policy: c.Policy(20)}}
			c.Tenants[1].Lookup.Hairpin = false
		}},
		{"algorithm by number", `dispatcher: {algorithm: 4, probe: never, interval: 0s}`, func(c *config.Config) {
			c.Dispatcher.Algorithm, c.Dispatcher.Probe, c.Dispatcher.Interval = dispatcher.RoundRobin, config.ProbeNever, 0
		}},
		{"large requests", `dispatcher: {udp_mtu: 1300}`, func(c *config.Config) { c.Dispatcher.UDPMTU = 1300 }},
		{"who is alive", `dispatcher: {alive: [2xx, 404]}`, func(c *config.Config) { c.Dispatcher.Alive = []config.Reply{2, 404} }},
		{"algorithm 0", `dispatcher: {algorithm: 0}`, func(c *config.Config) { c.Dispatcher.Algorithm = dispatcher.HashCallID }},
		{"booleans", `acct: {to: off, failed: no}`, func(c *config.Config) { c.Acct.To, c.Acct.Failed = config.AcctOff, false }},
		{"calls in a file", "cache: {spool: /var/spool/x}\nacct: {to: json, file: /var/log/calls.json, file_mb: 1, file_keep: 7}", func(c *config.Config) {
			c.Cache.Spool = "/var/spool/x"
			c.Acct.To, c.Acct.File, c.Acct.FileMB, c.Acct.FileKeep = config.AcctJSON, "/var/log/calls.json", 1, 7
		}},
		{"metrics", `metrics: {tenants: [10, 20], destinations: off}`, func(c *config.Config) {
			c.Metrics = config.Metrics{Tenants: []int{10, 20}}
		}},
		{"mirror", `hep: {to: "Homer.test.:9060", id: 2001}`, func(c *config.Config) {
			c.HEP = config.HEP{To: config.Collector{Host: "homer.test", Port: 9060}, ID: 2001}
		}},
		{"mirror to IPv6", `hep: {to: "[FD00::1]:9060"}`, func(c *config.Config) { c.HEP.To = config.Collector{Host: "fd00::1", Port: 9060} }},
		{"log", `log: {level: debug, format: json}`, func(c *config.Config) { c.Log.Level, c.Log.Format = -4, config.LogJSON }},
		{"lines", `log: {calls: off, registrations: off}`, func(c *config.Config) { c.Log.Calls, c.Log.Registrations = false, false }},
		{"alias", "register: {default_expires: &x 2h, max_expires: *x}", func(c *config.Config) {
			c.Register.MaxExpires = 2 * c.Register.DefaultExpires
			c.Register.DefaultExpires = c.Register.MaxExpires
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := config.Default()
			tt.want(&want)
			got := parse(t, tt.text)
			if diff := cmp.Diff(want, got, equal); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want.Secret != "" || want.Database != "" {
				return // which are not printed
			}
			if diff := cmp.Diff(want, parse(t, got.String()), equal); diff != "" {
				t.Errorf("printed and read again (-want +got):\n%s", diff)
			}
		})
	}
}

// P-76: port, case and trailing dot do not make another domain.
func TestParse_P76_DomainsAreCanonical(t *testing.T) {
	c := parse(t, `tenants: [{setid: 1, domains: ["A.Test:5060", "b.test.", "10.0.0.1", "[FD00::1]"], destinations: [{uri: "sip:10.0.1.1"}]}]`)
	want := []config.Domain{"a.test", "b.test", "10.0.0.1", "fd00::1"}
	if diff := cmp.Diff(want, c.Tenants[0].Domains); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse_URI(t *testing.T) {
	tests := []struct {
		in   string
		want config.URI
		text string
	}{
		{"sip:10.0.1.10", config.URI{Host: "10.0.1.10", Port: 5060, Transport: config.UDP}, "sip:10.0.1.10:5060"},
		{"SIP:PBX.test.:5070;Transport=TCP", config.URI{Host: "pbx.test", Port: 5070, Transport: config.TCP}, "sip:pbx.test:5070;transport=tcp"},
		{"sip:PBX.test", config.URI{Host: "pbx.test", Transport: config.UDP}, "sip:pbx.test"},
		{"sip:pbx.test;transport=tls", config.URI{Host: "pbx.test", Transport: config.TLS}, "sip:pbx.test;transport=tls"},
		{"sip:[fd00::a];transport=tls", config.URI{Host: "fd00::a", Port: 5061, Transport: config.TLS}, "sip:[fd00::a]:5061;transport=tls"},
		{"sip:[fd00::a]:5080;transport=udp", config.URI{Host: "fd00::a", Port: 5080, Transport: config.UDP, Explicit: true}, "sip:[fd00::a]:5080;transport=udp"},
	}
	for _, tt := range tests {
		var got config.URI
		if err := got.UnmarshalText([]byte(tt.in)); err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got != tt.want || got.String() != tt.text {
			t.Errorf("%s: got %+v, %s; want %+v, %s", tt.in, got, got, tt.want, tt.text)
		}
	}
}

// A set starts from the rest of the file, wherever in it that stands.
func TestPolicy_SetInherits(t *testing.T) {
	c := parse(t, `
tenants:
  - {setid: 1, domains: [a.test], destinations: [{uri: "sip:10.0.1.1"}], lookup: {missing: 410}, nat: {ping_interval: 20s}, limits: {calls: 0}}
  - {setid: 2, domains: [b.test], destinations: [{uri: "sip:10.0.1.2"}], register: {contact: own}}
lookup: {missing: 480, fork: serial}
register: {contact: preserve, max_contacts: 3}
limits: {registrations: 100, calls: 20}
`)
	common := c.Policy(99)
	if want := (config.Policy{Register: c.Register.RegisterPolicy, Lookup: c.Lookup, NAT: c.NAT, Limits: c.Limits}); common != want {
		t.Errorf("a set that is not in the file: got %+v, want %+v", common, want)
	}
	first, second := common, common
	first.Lookup.Missing = 410
	first.NAT.PingInterval = 20e9
	first.Limits.Calls = 0
	second.Register.Contact = config.ContactOwn
	for id, want := range map[int]config.Policy{1: first, 2: second} {
		if got := c.Policy(id); got != want {
			t.Errorf("set %d: got %+v, want %+v", id, got, want)
		}
	}
}

func TestAdvertised(t *testing.T) {
	tests := []struct {
		advertise string
		listener  string
		host      string
		port      uint16
	}{
		{"", "udp:10.0.0.1:5070", "10.0.0.1", 5070},
		{"", "udp:[fd00::1]:5070", "fd00::1", 5070},
		{"proxy.test", "udp:10.0.0.1:5070", "proxy.test", 5070},
		{"proxy.test:5080", "udp:0.0.0.0:5070", "proxy.test", 5080},
	}
	for _, tt := range tests {
		c := parse(t, `{listen: ["`+tt.listener+`"], advertise: "`+tt.advertise+`"}`)
		if host, port := c.Advertised(c.Listen[0]); host != tt.host || port != tt.port {
			t.Errorf("%+v: got %s, %d", tt, host, port)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := file("first.yaml", "reload: 1s"), file("second.yaml", "reload: 2s")
	tests := []struct {
		name, path, env string
		want            string
	}{
		{"flag before environment", first, second, "1s"},
		{"environment", "", second, "2s"},
		{"neither", "", "", "30s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load(tt.path, environment{"SIPWARD_CONFIG": tt.env}.get)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Reload.String(); got != tt.want {
				t.Errorf("reload: got %s, want %s", got, tt.want)
			}
		})
	}
	if _, err := config.Load(filepath.Join(dir, "none.yaml"), nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("no file: %v", err)
	}
	if c, err := config.Load("", nil); err != nil || c.Secret != "" {
		t.Errorf("no environment: %v, %v", c, err)
	}
}

// environment stands in for that of the process.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

func TestParse_EnvironmentOverridesFile(t *testing.T) {
	env := environment{"SIPWARD_SECRET": "from the environment"}
	c, err := config.Parse([]byte(`secret: "from the file itself"`), "", env.get)
	if err != nil {
		t.Fatal(err)
	}
	if c.Secret != "from the environment" {
		t.Errorf("got %q", string(c.Secret))
	}
}

// P-54: the DSN may come from a file, such as one of systemd's credentials.
func TestParse_DatabaseFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("root:pw@/db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse([]byte("database: root@/other"), "", environment{"SIPWARD_DATABASE_FILE": file}.get)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database != "root:pw@/db" {
		t.Errorf("got %q", string(c.Database))
	}
}

func TestBindings(t *testing.T) {
	for text, want := range map[string]config.Store{
		"": config.StoreMemory, "database: u@/db": config.StoreCached,
		"database: u@/db\nstore: memory": config.StoreMemory, "database: u@/db\nstore: mysql": config.StoreMySQL,
	} {
		c := parse(t, text)
		if got := c.Bindings(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestCalls(t *testing.T) {
	for text, want := range map[string]config.AcctTo{
		"": config.AcctOff, "database: u@/db": config.AcctMySQL, "acct: {to: json}": config.AcctJSON,
		"database: u@/db\nacct: {to: off}": config.AcctOff, "database: u@/db\nacct: {to: json}": config.AcctJSON,
	} {
		c := parse(t, text)
		if got := c.Calls(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestSpoolDir(t *testing.T) {
	all := environment{"STATE_DIRECTORY": "/var/lib/sipward:/var/lib/other", "XDG_STATE_HOME": "/xdg", "HOME": "/home/sip"}
	tests := []struct {
		spool string
		unset []string
		want  string
	}{
		{"spool", nil, "spool"},
		{"", nil, "/var/lib/sipward"}, // of STATE_DIRECTORY
		{"", []string{"STATE_DIRECTORY"}, "/xdg/sipward"},
		{"", []string{"STATE_DIRECTORY", "XDG_STATE_HOME"}, "/home/sip/.local/state/sipward"},
		{"", []string{"STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"}, "/var/lib/sipward"},
	}
	for _, tt := range tests {
		env := maps.Clone(all)
		for _, name := range tt.unset {
			delete(env, name)
		}
		c := config.Config{Cache: config.Cache{Spool: tt.spool}}
		if got := c.SpoolDir(env.get); got != tt.want {
			t.Errorf("%q without %v: got %q, want %q", tt.spool, tt.unset, got, tt.want)
		}
	}
}

func TestChanged(t *testing.T) {
	const before = `{tenants: [{setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10"}]}], secret: sixteen characters}`
	for after, want := range map[string][]string{
		before: nil,
		`{listen: ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5061"], timers: {c: 1m}, register: {contact: preserve}, advertise: a.test}`: {
			"listen", "advertise", "secret", "timers.c", "register.contact", "tenants",
		},
	} {
		a, b := parse(t, before), parse(t, after)
		if diff := cmp.Diff(want, a.Changed(&b)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestReachable: a listener on all addresses is reached at loopback.
func TestReachable(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.1:5060", "192.0.2.1:5060"},
		{"[2001:db8::1]:5060", "[2001:db8::1]:5060"},
		{"0.0.0.0:5070", "127.0.0.1:5070"},
		{"[::]:5070", "[::1]:5070"},
	} {
		if got := config.Reachable(netip.MustParseAddrPort(tt.addr)).String(); got != tt.want {
			t.Errorf("%s is reached at %s, want %s", tt.addr, got, tt.want)
		}
	}
}
