package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/config"
)

// set is a tenant with one thing changed or added.
func set(change string) string {
	base := map[string]string{"setid": "10", "domains": "[a.test]", "destinations": `[{uri: "sip:10.0.1.10"}]`}
	key, value, _ := strings.Cut(change, ": ")
	base[key] = value
	var b strings.Builder
	for _, k := range []string{"setid", "domains", "destinations", "register", "lookup", "nat", "limits"} {
		if base[k] != "" {
			b.WriteString(", " + k + ": " + base[k])
		}
	}
	return "{" + strings.TrimPrefix(b.String(), ", ") + "}"
}

func tenants(sets ...string) string { return "tenants: [" + strings.Join(sets, ", ") + "]" }

// destination is the file with one destination.
func destination(text string) string { return tenants(set("destinations: [" + text + "]")) }

func TestParse_Faults(t *testing.T) {
	tests := []struct {
		in, want string
	}{
		// The YAML itself.
		{"listen: [", "f:1: did not find expected node content"},
		{"a: 1\nb: 2: 3", "f:2: mapping values are not allowed in this context"},
		{"{}\n---\n{}\n", "f:2: more than one document"},
		{"- a", "f:1: want keys, not a list"},
		{"proxy", "f:1: want keys, not a single value"},

		// Keys and kinds.
		{"lisen: []", "f:1: lisen: unknown key"},
		{"timers:\n  t1: 1s\n  t3: 1s", "f:3: timers.t3: unknown key"},
		{`"a b": 1`, `f:1: "a b": unknown key`},
		{"? [a]\n: 1", "f:1: (a list): unknown key"},
		{"Listen: []", "f:1: Listen: unknown key"},
		{"<<: {reload: 1s}", `f:1: "<<": unknown key`},
		{"reload: 1s\nreload: 2s", "f:2: reload: given twice, first in line 1"},
		{"timers: 5s", "f:1: timers: want keys, not a single value"},
		{"listen: udp:127.0.0.1", "f:1: listen: want a list, not a single value"},
		{"reload: [30s]", "f:1: reload: want a single value, not a list"},
		{"listen:\n  - udp:127.0.0.1\n  - {udp: 5060}", "f:3: listen[1]: want a single value, not keys"},
		{"listen: [~]", "f:1: listen[0]: no value"},
		{"listen: &a [*a]", "f:1: listen[0]: want a single value, not a list"},
		{"reload: !!str 30s", "f:1: reload: tags such as !!str are not supported"},
		{tenants("&a {setid: 1}", "3"), `f:1: tenants[1]: want keys, not a single value
f:1: tenants[0].domains: no domain
f:1: tenants[0].destinations: no destination`},

		// Single values.
		{"reload: 30", `f:1: reload: "30" is not a duration such as 30s, 500ms or 1h`},
		{"security: {rate: maybe}", `f:1: security.rate: "maybe" is neither on nor off`},
		{"dispatcher: {fall: two}", `f:1: dispatcher.fall: "two" is not a whole number`},
		{"log: {level: loud}", `f:1: log.level: "loud" is not one of debug, info, warn, error`},
		{"log: {format: xml}", `f:1: log.format: "xml" is not one of auto, text, json`},
		{"store: redis", `f:1: store: "redis" is not one of auto, memory, mysql, cached`},
		{"register: {contact: mine}", `f:1: register.contact: "mine" is not one of own, preserve`},
		{"lookup: {fork: all}", `f:1: lookup.fork: "all" is not one of parallel, serial, newest`},
		{"dispatcher: {probe: down}", `f:1: dispatcher.probe: "down" is not one of always, table, never`},
		{"dispatcher: {probe: table}", `f:1: dispatcher.probe: "table" needs a database, and there is none`},
		{"dispatcher: {algorithm: 5}", `f:1: dispatcher.algorithm: unknown algorithm "5", want one of affinity, round-robin, hash-callid, hash-from, hash-to, hash-ruri, random, priority, least-calls, least-latency`},
		{"dispatcher: {alive: [200, 1xx, 7xx, ok, 2x, 199, 700]}", `f:1: dispatcher.alive[1]: "1xx" is neither a status from 200 to 699 nor a class such as 2xx
f:1: dispatcher.alive[2]: "7xx" is neither a status from 200 to 699 nor a class such as 2xx
f:1: dispatcher.alive[3]: "ok" is neither a status from 200 to 699 nor a class such as 2xx
f:1: dispatcher.alive[4]: "2x" is neither a status from 200 to 699 nor a class such as 2xx
f:1: dispatcher.alive[5]: "199" is neither a status from 200 to 699 nor a class such as 2xx
f:1: dispatcher.alive[6]: "700" is neither a status from 200 to 699 nor a class such as 2xx`},
		{"dispatcher: {all_down: wait}", `f:1: dispatcher.all_down: "wait" is not one of try, refuse`},
		{"dispatcher: {webhook: 'ftp://a/b'}", `f:1: dispatcher.webhook: "ftp://a/b" is not a URL that begins with http:// or https://`},
		{"dispatcher: {webhook: 'http://'}", `f:1: dispatcher.webhook: "http://" is not a URL that begins with http:// or https://`},
		{`listen: ["tls:127.0.0.1", "ws:127.0.0.1", "wss:127.0.0.1"]`, "f:1: listen[0]: tls:127.0.0.1:5061 needs tls.cert and tls.key\nf:1: listen[2]: wss:127.0.0.1:443 needs tls.cert and tls.key"},
		{"tls: {cert: a.pem}", `f:1: tls: want both cert and key, or neither`},
		{"nat: {sdp: on}", `f:1: nat.sdp: "on" is not one of off, auto, force`},
		{"metrics: {tenants: [10, 0, 10, x], destinations: 2}", `f:1: metrics.tenants[3]: "x" is not a whole number
f:1: metrics.destinations: "2" is neither on nor off
f:1: metrics.tenants[1]: want the setid of a tenant
f:1: metrics.tenants[2]: 10 is there twice`},
		{"nat: {ping: on}", `f:1: nat.ping: "on" is not one of off, options, crlf`},
		{"acct: {to: file}", `f:1: acct.to: "file" is not one of auto, mysql, json, off`},
		{"security: {unknown_source: on}", `f:1: security.unknown_source: "on" is not one of refuse, unique`},
		{"lookup: {hairpin: always}", `f:1: lookup.hairpin: "always" is neither on nor off`},
		{"security: {scanner: silent}", `f:1: security.scanner: "silent" is not one of drop, 403, 404`},
		{"security: {unknown_domain: 405}", `f:1: security.unknown_domain: "405" is not one of drop, 403, 404`},

		// P-15: never a success for a phone that is not there.
		{"lookup: {missing_options: 200}", `f:1: lookup.missing_options: "200" is neither a status from 400 to 699 nor silent`},
		{"lookup: {missing: 700}", `f:1: lookup.missing: "700" is neither a status from 400 to 699 nor silent`},
		{"lookup: {ambiguous: drop}", `f:1: lookup.ambiguous: "drop" is neither a status from 400 to 699 nor silent`},

		// Listeners.
		{`listen: ["upd:127.0.0.1:5060"]`, `f:1: listen[0]: unknown transport "upd"`},
		{`listen: ["5060"]`, `f:1: listen[0]: "5060" is not transport:address`},
		{`listen: ["127.0.0.1:5060"]`, `f:1: listen[0]: unknown transport "127.0.0.1"`},
		{`listen: ["udp:localhost:5060"]`, `f:1: listen[0]: "localhost" is not an IP address`},
		{`listen: ["udp::5060"]`, `f:1: listen[0]: "" is not an IP address`},
		{`listen: ["udp:127.0.0.1:65536"]`, `f:1: listen[0]: "65536" is not a port`},
		{`listen: ["udp:127.0.0.1:"]`, `f:1: listen[0]: "udp:127.0.0.1:": no port behind the colon`},
		{`listen: ["udp:[::1]:"]`, `f:1: listen[0]: "udp:[::1]:": no port behind the colon`},
		{`listen: ["udp:[127.0.0.1]:5060"]`, `f:1: listen[0]: "udp:[127.0.0.1]:5060": brackets are for an IPv6 address`},
		{`listen: ["udp:::1%]"]`, `f:1: listen[0]: "::1%]" is not an IP address`},
		{`listen: ["udp:224.0.0.1"]`, `f:1: listen[0]: 224.0.0.1 is a multicast address`},
		{`listen: []`, `f:1: listen: no listener`},

		// P-58: found before the second bind fails.
		{`listen: ["udp:127.0.0.1", "tcp:127.0.0.1", "udp:127.0.0.1:5060"]`, `f:1: listen[2]: 127.0.0.1:5060 is taken by listen[0]`},
		{"listen: [\"tcp:127.0.0.1:8060\"]\n", `f: admin: 127.0.0.1:8060 is taken by listen[0]`},
		{"listen: [\"tls:10.0.0.1:443\", \"wss:10.0.0.1\"]", `f:1: listen[1]: 10.0.0.1:443 is taken by listen[0]
f:1: listen[0]: tls:10.0.0.1:443 needs tls.cert and tls.key`},
		{"admin: 8060", `f:1: admin: "8060" is not an IP address with a port`},
		{"admin: localhost:8060", `f:1: admin: "localhost:8060" is not an IP address with a port`},

		// P-68: a wildcard listener needs a name that others can use.
		{`listen: ["udp:127.0.0.1", "udp:0.0.0.0:5070"]`, `f:1: listen[1]: 0.0.0.0 is every address of the machine: advertise must say which one others use`},
		{`listen: ["udp:[::]:5070"]`, `f:1: listen[0]: :: is every address of the machine: advertise must say which one others use`},
		{`listen: ["udp:[::%eth0]:5070"]`, `f:1: listen[0]: ::%eth0 is every address of the machine: advertise must say which one others use`},
		{"advertise: 0.0.0.0", `f:1: advertise: 0.0.0.0 is no address of a host`},
		{`advertise: "[::]:5060"`, `f:1: advertise: :: is no address of a host`},
		{"advertise: 203.0.113.5\nlisten: [\"udp:0.0.0.0\"]", `f:1: advertise: "203.0.113.5" is a placeholder, and listen[0] has no address of its own`},
		{"advertise: sip.example.com\nlisten: [\"udp:0.0.0.0\"]", `f:1: advertise: "sip.example.com" is a placeholder, and listen[0] has no address of its own`},
		{"advertise: YOUR-PUBLIC-IP\nlisten: [\"udp:0.0.0.0\"]", `f:1: advertise: "your-public-ip" is a placeholder, and listen[0] has no address of its own`},
		{"advertise: <public address>\nlisten: [\"udp:0.0.0.0\"]", `f:1: advertise: "<public address>" is not a host: character not allowed in host`},
		{"advertise: ${PUBLIC_IP}", `f:1: advertise: "${PUBLIC_IP}" is not a host: character not allowed in host`},
		{"advertise: proxy.test:0", `f:1: advertise: "0" is not a port`},
		{`advertise: ":5060"`, `f:1: advertise: "" is not a host: no host`},

		// Numbers and durations.
		{"reload: -1s", `f:1: reload: -1s is less than 0s`},
		{"lame_duck: -1s", `f:1: lame_duck: -1s is less than 0s`},
		{"drain: -1s", `f:1: drain: -1s is less than 0s`},
		{"timers: {t1: 0s}", `f:1: timers.t1: 0s is less than 1ms`},
		{"timers: {t1: 1s, t2: 500ms}", `f:1: timers.t2: 500ms is less than t1, which is 1s`},
		{"timers: {branch: 32s}", `f:1: timers.branch: 32s is not less than 32s`},
		{"timers: {branch: -1s}", `f:1: timers.branch: -1s is less than 1ms`},
		{"timers: {c: 500ms}", `f:1: timers.c: 500ms is less than 1s`},
		{"register: {default_expires: 0s}", `f:1: register.default_expires: 0s is less than 1s`},
		{"register: {default_expires: 1500ms}", `f:1: register.default_expires: 1.5s is not a whole number of seconds below 2^32`},
		{"register: {max_expires: 2000000h}", `f:1: register.max_expires: 2000000h0m0s is not a whole number of seconds below 2^32`},
		{"register: {max_expires: 10m}", `f:1: register.max_expires: 10m0s is less than default_expires, which is 1h0m0s`},
		{"register: {max_contacts: -1}", `f:1: register.max_contacts: -1 is less than 0`},
		{"dispatcher: {interval: -1s}", `f:1: dispatcher.interval: -1s is less than 0s`},
		{"dispatcher: {timeout: 0s}", `f:1: dispatcher.timeout: 0s is less than 1ms`},
		{"dispatcher: {udp_mtu: -1}", "f:1: dispatcher.udp_mtu: -1 is less than 0"},
		{"{listen: ['udp:127.0.0.1', 'tls:127.0.0.1'], tls: {cert: c, key: k}, dispatcher: {udp_mtu: 1300}}",
			"f:1: dispatcher.udp_mtu: needs a listener for tcp, where a PBX sends what follows in a dialog"},
		{"dispatcher: {fall: 0, rise: 0}", "f:1: dispatcher.fall: 0 is less than 1\nf:1: dispatcher.rise: 0 is less than 1"},
		{"nat: {ping_interval: 0s}", `f:1: nat.ping_interval: 0s is less than 1s`},
		{"limits: {registrations: -1, calls: many, call_rate: 1000001}", `f:1: limits.calls: "many" is not a whole number
f:1: limits.registrations: -1 is not between 0 and 2147483647
f:1: limits.call_rate: 1000001 is not between 0 and 1000000`},
		{"security: {keep: -1h}", `f:1: security.keep: -1h0m0s is less than 0s`},
		{"acct: {dialog_timeout: 0s}", `f:1: acct.dialog_timeout: 0s is less than 1s`},
		{"acct: {file_mb: 0, file_keep: -1}", "f:1: acct.file_mb: 0 is less than 1\nf:1: acct.file_keep: -1 is less than 0"},

		// The store.
		{"store: mysql", `f:1: store: "mysql" needs a database, and there is none`},
		{"store: cached\ncache: {max_age: 1m}", `f:1: store: "cached" needs a database, and there is none`},
		{"cache: {max_age: -1s}\ndatabase: root:pw@/db", `f:1: cache.max_age: -1s is less than 0s`},
		{"cache: {max_age: 1m, spool: /x}", "f:1: cache.max_age: has no effect: the store is memory and not cached\nf:1: cache.spool: has no effect: the store is memory and not cached"},
		{"cache: {max_age: 1m}\ndatabase: root:pw@/db\nstore: mysql", "f:1: cache.max_age: has no effect: the store is mysql and not cached"},

		// Call records.
		{"acct: {to: mysql}", `f:1: acct.to: "mysql" needs a database, and there is none`},
		{"acct: {file: /x}", `f:1: acct.file: has no effect: calls are recorded nowhere, as to is auto`},
		{"acct: {to: off, file: /x}\ndatabase: root:pw@/db", `f:1: acct.file: has no effect: calls are recorded nowhere, as to is off`},

		// The mirror.
		{"hep: {to: homer.test}", `f:1: hep.to: "homer.test" has no port`},
		{"hep: {to: ':9060', key: {a: b}}", "f:1: hep.to: \"\" is not a host: no host\nf:1: hep.key: want a single value, not keys"},
		{"hep: {to: '0.0.0.0:9060', id: 1}", `f:1: hep.to: 0.0.0.0 is no address of a host`},
		{"hep: {to: 'homer.test:9060', id: -1}", `f:1: hep.id: -1 is not between 0 and 4294967295`},
		{"hep: {to: 'homer.test:9060', id: 4294967296, key: " + strings.Repeat("k", 256) + "}", "f:1: hep.id: 4294967296 is not between 0 and 4294967295\nf:1: hep.key: too long, want at most 255 bytes"},
		{"hep: {id: 1}\n", `f:1: hep.id: has no effect: there is no hep.to`},
		{"hep:\n  id: 7\n  key: k", "f:2: hep.id: has no effect: there is no hep.to\nf:3: hep.key: has no effect: there is no hep.to"},

		// Sets.
		{tenants(set("setid: ")), `f:1: tenants[0].setid: want a number from 1`},
		{tenants(set("setid: 0")), `f:1: tenants[0].setid: want a number from 1`},
		{tenants(set("setid: ten")), `f:1: tenants[0].setid: "ten" is not a whole number`},
		{tenants(set("setid: 10"), set("domains: [b.test]")), `f:1: tenants[1].setid: 10 is that of tenants[0] already`},
		{tenants(set("domains: ")), `f:1: tenants[0].domains: no domain`},
		{tenants(set("domains: []")), `f:1: tenants[0].domains: no domain`},
		{tenants(set("domains: [a b]")), `f:1: tenants[0].domains[0]: "a b" is not a host: character not allowed in host`},
		{tenants(set("domains: ['*']")), `f:1: tenants[0].domains[0]: "*" is not a host: character not allowed in host`},
		{tenants(set("domains: ['']")), `f:1: tenants[0].domains[0]: "" is not a host: no host`},
		{tenants(set("register: {max_contacts: 1}")), `f:1: tenants[0].register.max_contacts: unknown key`},
		{tenants(set("lookup: {missing: 99}")), `f:1: tenants[0].lookup.missing: "99" is neither a status from 400 to 699 nor silent`},
		{"limits: {calls: -1}\n" + tenants(set("limits: {registrations: -2}")), "f:1: limits.calls: -1 is not between 0 and 2147483647\nf:2: tenants[0].limits.registrations: -2 is not between 0 and 2147483647"},
		{tenants(set("nat: {ping_interval: 1ms}")), `f:1: tenants[0].nat.ping_interval: 1ms is less than 1s`},

		// P-76: these are the same domain.
		{tenants(set("setid: 10"), set("setid: 20")), `f:1: tenants[1].domains[0]: "a.test" is there already, as tenants[0].domains[0]`},
		{tenants(set("domains: [a.test, 'A.TEST.:5060']")), `f:1: tenants[0].domains[1]: "a.test" is there already, as tenants[0].domains[0]`},

		// Destinations.
		{destination(""), `f:1: tenants[0].destinations: no destination`},
		{destination("{weight: 1}"), `f:1: tenants[0].destinations[0].uri: want one, such as sip:10.0.1.10:5060`},
		{destination("{uri: 'tel:1'}"), `f:1: tenants[0].destinations[0].uri: "tel:1" is not a URI with the scheme sip`},
		{destination("{uri: 10.0.1.10}"), `f:1: tenants[0].destinations[0].uri: "10.0.1.10" is not a URI with the scheme sip`},
		{destination("{uri: 'sips:10.0.1.10'}"), `f:1: tenants[0].destinations[0].uri: "sips:10.0.1.10" is not a URI with the scheme sip`},
		{destination("{uri: 'sip:10.0.1.10:x'}"), `f:1: tenants[0].destinations[0].uri: "sip:10.0.1.10:x" is not a URI: port is not a number`},
		{destination("{uri: 'sip:401@10.0.1.10'}"), `f:1: tenants[0].destinations[0].uri: a destination has no user`},
		{destination("{uri: 'sip:10.0.1.10?a=b'}"), `f:1: tenants[0].destinations[0].uri: a destination has no headers`},
		{destination("{uri: 'sip:10.0.1.10;lr'}"), `f:1: tenants[0].destinations[0].uri: parameters "lr", want none but transport`},
		{destination("{uri: 'sip:10.0.1.10;transport=tcp;lr'}"), `f:1: tenants[0].destinations[0].uri: parameters "transport=tcp;lr", want none but transport`},
		{destination("{uri: 'sip:10.0.1.10;transport=sctp'}"), `f:1: tenants[0].destinations[0].uri: unknown transport "sctp"`},
		{destination("{uri: 'sip:10.0.1.10;transport=ws'}"), `f:1: tenants[0].destinations[0].uri: transport "ws" is not for a PBX`},
		{destination("{uri: 'sip:0.0.0.0'}"), `f:1: tenants[0].destinations[0].uri: 0.0.0.0 is no address of a host`},
		{destination("{uri: 'sip:10.0.1.10'}, {uri: 'sip:10.0.1.10:5060;transport=UDP'}"), `f:1: tenants[0].destinations[1].uri: sip:10.0.1.10:5060 is there already, as tenants[0].destinations[0].uri`},
		{destination("{uri: 'sip:a.test', weight: -1}"), `f:1: tenants[0].destinations[0].weight: -1 is not between 0 and 2147483647`},
		{destination("{uri: 'sip:a.test', weight: 0.5}"), `f:1: tenants[0].destinations[0].weight: "0.5" is not a whole number`},
		{destination("{uri: 'sip:a.test', state: 3}"), `f:1: tenants[0].destinations[0].state: "3" is not one of 0 (active), 1 (inactive), 2 (probing)`},

		// P-63: addresses are compared as numbers, never as text.
		{destination("{uri: 'sip:a.test', sources: [10.0.1]}"), `f:1: tenants[0].destinations[0].sources[0]: "10.0.1" is neither an IP address nor a prefix`},
		{destination("{uri: 'sip:a.test', sources: [010.0.1.10]}"), `f:1: tenants[0].destinations[0].sources[0]: "010.0.1.10" is neither an IP address nor a prefix`},
		{destination("{uri: 'sip:a.test', sources: [10.0.0.0/33]}"), `f:1: tenants[0].destinations[0].sources[0]: "10.0.0.0/33" is neither an IP address nor a prefix`},
		{destination("{uri: 'sip:a.test', sources: [10.0.8.1/24]}"), `f:1: tenants[0].destinations[0].sources[0]: "10.0.8.1/24" has bits behind the prefix, want 10.0.8.0/24 or 10.0.8.1`},
		{destination("{uri: 'sip:a.test', sources: [0.0.0.0/0]}"), `f:1: tenants[0].destinations[0].sources[0]: "0.0.0.0/0" is every address there is`},
		{destination("{uri: 'sip:a.test', sources: [pbx.test]}"), `f:1: tenants[0].destinations[0].sources[0]: "pbx.test" is neither an IP address nor a prefix`},

		// Secrets are not printed.
		{"secret: short", `f:1: secret: too short, want at least 16 characters`},
		{`former_secrets: [sixteen characters, short]`, `f:1: former_secrets[1]: too short, want at least 16 characters`},
		{"secret: {a: b}", `f:1: secret: want a single value, not keys`},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) { wantFault(t, tt.in, nil, tt.want) })
	}
}

// P-54: a fault of the environment names the variable.
func TestParse_FaultsOfEnvironment(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in   string
		env  environment
		want string
	}{
		{"secret: also short\nreload: 1", environment{"SIPWARD_SECRET": "short"}, `f:2: reload: "1" is not a duration such as 30s, 500ms or 1h
config: SIPWARD_SECRET: too short, want at least 16 characters`},
		{"", environment{"SIPWARD_DATABASE": "root:pw@/db", "SIPWARD_DATABASE_FILE": empty}, `config: SIPWARD_DATABASE_FILE: SIPWARD_DATABASE is set too`},
		{"", environment{"SIPWARD_DATABASE_FILE": empty}, `config: SIPWARD_DATABASE_FILE: ` + empty + ` is empty`},
		{"", environment{"SIPWARD_DATABASE_FILE": empty + "er"}, `config: SIPWARD_DATABASE_FILE: open ` + empty + `er: no such file or directory`},
	}
	for _, tt := range tests {
		wantFault(t, tt.in, tt.env, tt.want)
	}
}

func wantFault(t *testing.T, in string, env environment, want string) {
	t.Helper()
	c, err := config.Parse([]byte(in), "f", env.get)
	if err == nil {
		t.Fatalf("got no error, want %s", want)
	}
	if c != nil {
		t.Error("got a configuration and an error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// All faults of a file are reported at once, in the order of its lines.
func TestParse_ReportsAllFaults(t *testing.T) {
	_, err := config.Parse([]byte(readFile(t, filepath.Join("testdata", "faults.yaml"))), "faults.yaml", nil)
	if err == nil {
		t.Fatal("no error")
	}
	golden := filepath.Join("testdata", "faults.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, golden), err.Error()+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestError_Fields(t *testing.T) {
	_, err := config.Parse([]byte("\nreload: 1\n"), "proxy.yaml", nil)
	fault, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	want := &config.Error{File: "proxy.yaml", Line: 2, Path: "reload", Message: `"1" is not a duration such as 30s, 500ms or 1h`}
	if diff := cmp.Diff(want, fault); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	c := config.Default()
	c.Timers.T1 = -1
	c.Tenants = []config.Tenant{{SetID: 1}}
	want := `config: timers.t1: -1ns is less than 1ms
config: tenants[0].domains: no domain
config: tenants[0].destinations: no destination
config: tenants[0].nat.ping_interval: 0s is less than 1s`
	if diff := cmp.Diff(want, c.Validate().Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
