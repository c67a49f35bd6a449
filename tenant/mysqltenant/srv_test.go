package mysqltenant_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/tenant/mysqltenant"
)

func TestNameOf(t *testing.T) {
	for uri, want := range map[string]string{
		"sip:PBX.Example.":                      "_sip._udp.pbx.example",
		"sip:pbx.example;transport=UDP":         "_sip._udp.pbx.example",
		"sip:u@pbx.example;transport=tcp":       "_sip._tcp.pbx.example",
		"sip:pbx.example;transport=tls;lr":      "_sips._tcp.pbx.example",
		"sips:pbx.example":                      "_sips._tcp.pbx.example",
		"sips:pbx.example;transport=tcp":        "_sips._tcp.pbx.example",
		"sips:pbx.example;transport=udp":        "pbx.example", // which is nothing
		"sip:pbx.example;transport=wss":         "pbx.example",
		"sip:pbx.example:5060":                  "pbx.example",
		"sip:pbx.example:5070;transport=tls":    "pbx.example",
		"sip:10.0.1.10":                         "",
		"sips:[2001:db8::7]":                    "",
		"sip:::1":                               "",
		"pbx.example":                           "",
		"tel:1":                                 "",
		"sip:pbx_1.example;x=y;transport=tcp;z": "_sip._tcp.pbx_1.example",
	} {
		name, ok := mysqltenant.NameOf(uri)
		if ok != (want != "") || name.String() != want {
			t.Errorf("%s has the name %v, %t, want %q", uri, name, ok, want)
		}
	}
}

// records is a resolver whose answers a test changes: what a name has, separated by
// blanks, with the priority, weight, port and target of SRV records separated by
// slashes. A name that it does not have does not exist, "fail" fails, and "hang"
// takes all the time.
type records map[string]string

var errServer = errors.New("server failure")

func (r records) lookup(ctx context.Context, name string) ([]string, time.Duration, error) {
	value, ok := r[name]
	switch {
	case !ok:
		return nil, 0, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case value == "fail":
		return nil, 0, errServer
	case value == "hang":
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	var ttl time.Duration
	fields := strings.Fields(value)
	if len(fields) > 0 {
		if d, err := time.ParseDuration(fields[0]); err == nil {
			ttl, fields = d, fields[1:]
		}
	}
	return fields, ttl, nil
}

func (r records) LookupHost(ctx context.Context, host string) (addrs []netip.Addr, ttl time.Duration, err error) {
	fields, ttl, err := r.lookup(ctx, host)
	for _, f := range fields {
		addrs = append(addrs, netip.MustParseAddr(f))
	}
	return addrs, ttl, err
}

func (r records) LookupSRV(ctx context.Context, name string) (list []*net.SRV, ttl time.Duration, err error) {
	fields, ttl, err := r.lookup(ctx, name)
	for _, f := range fields {
		var s net.SRV
		if _, err := fmt.Sscanf(strings.ReplaceAll(f, "/", " "), "%d %d %d %s", &s.Priority, &s.Weight, &s.Port, &s.Target); err != nil {
			return nil, 0, err
		}
		list = append(list, &s)
	}
	return list, ttl, err
}

// resolving is a Names that is asked for one name, again and again.
type resolving struct {
	t *testing.T
	records
	names *mysqltenant.Names
}

func newResolving(t *testing.T) *resolving {
	r := records{}
	return &resolving{t, r, mysqltenant.NewNames(mysqltenant.NamesConfig{Resolver: r})}
}

// want checks where the UDP service of pbx.example leads, in order, and what is
// said of that: nothing if it is "".
func (r *resolving) want(said string, targets ...string) mysqltenant.Answer {
	r.t.Helper()
	name := mysqltenant.Name{Host: "pbx.example", Service: "_sip._udp"}
	a := r.names.Resolve(r.t.Context(), []mysqltenant.Name{name}, nil)[name]
	var got []string
	for _, x := range a.Targets {
		text := x.At(5060).String()
		if x.Host != "" {
			text = fmt.Sprintf("%d/%d/%s=%s", x.Priority, x.Weight, text, x.Host)
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(targets, got); diff != "" {
		r.t.Errorf("(-want +got):\n%s", diff)
	}
	if ok := said == "" && a.Err == nil || said != "" && errors.Is(a.Err, mysqltenant.ErrLookup) && strings.HasSuffix(a.Err.Error(), said); !ok {
		r.t.Errorf("error %v, want %q", a.Err, said)
	}
	return a
}

// SRV records say where a destination without port is, the lowest priority first;
// without any it has its addresses. P-32.
func TestNames_SRV(t *testing.T) {
	r := newResolving(t)
	r.records["pbx.example"] = "192.0.2.7"
	r.want("", "192.0.2.7:5060")
	r.records["_sip._udp.pbx.example"] = "20/0/5060/pbx3.example. 10/10/5070/PBX2.example. 10/60/5070/pbx1.example."
	r.records["pbx1.example"] = "192.0.2.1 2001:db8::1"
	r.records["pbx2.example"] = "::ffff:192.0.2.2"
	r.records["pbx3.example"] = "192.0.2.3"
	all := []string{"10/60/192.0.2.1:5070=pbx1.example", "10/60/[2001:db8::1]:5070=pbx1.example",
		"10/10/192.0.2.2:5070=pbx2.example", "20/0/192.0.2.3:5060=pbx3.example"}
	before := r.want("", all...)
	r.records["_sip._udp.pbx.example"] = "10/60/5070/pbx1.example. 10/10/5070/pbx2.example. 20/0/5060/pbx3.example."
	r.records["pbx1.example"] = "2001:db8::1 192.0.2.1"
	if after := r.want("", all...); &after.Targets[0] != &before.Targets[0] {
		t.Error("another order is no change")
	}
	r.records["_sip._udp.pbx.example"] = "10/60/5071/pbx1.example. 20/0/5071/pbx1.example."
	r.records["pbx1.example"] = "192.0.2.1"
	r.want("", "10/60/192.0.2.1:5071=pbx1.example")
	r.records["_sip._udp.pbx.example"] = ""
	r.want("", "192.0.2.7:5060")

	name := mysqltenant.Name{Host: "pbx.example"} // of one with a port
	r.records["_sip._udp.pbx.example"] = "fail"
	if a := r.names.Resolve(t.Context(), []mysqltenant.Name{name}, nil)[name]; a.Err != nil || len(a.Targets) != 1 {
		t.Errorf("got %+v", a)
	}
}

// Each part of what a name leads to keeps its last answer, and what a name that
// has SRV records has besides is never in place of them. P-32.
func TestNames_SRVFails(t *testing.T) {
	r := newResolving(t)
	r.records["pbx.example"] = "192.0.2.7"
	r.records["_sip._udp.pbx.example"] = "fail"
	r.want("pbx.example: its addresses count, though it may have SRV records: server failure", "192.0.2.7:5060")
	r.records["_sip._udp.pbx.example"] = "10/0/5070/pbx1.example. 20/0/5070/pbx2.example."
	r.records["pbx1.example"] = "192.0.2.1"
	r.records["pbx2.example"] = "fail"
	r.want("pbx2.example: server failure", "10/0/192.0.2.1:5070=pbx1.example")
	r.records["pbx2.example"] = "192.0.2.2"
	both := []string{"10/0/192.0.2.1:5070=pbx1.example", "20/0/192.0.2.2:5070=pbx2.example"}
	r.want("", both...)
	delete(r.records, "pbx2.example")
	r.want("pbx.example: pbx2.example, its last answer counts: lookup pbx2.example: no such host", both...)
	r.records["pbx1.example"] = "192.0.2.11"
	r.want("pbx2.example, its last answer counts: lookup pbx2.example: no such host", "10/0/192.0.2.11:5070=pbx1.example", "20/0/192.0.2.2:5070=pbx2.example")
	r.records["_sip._udp.pbx.example"] = "10/0/5071/pbx2.example."
	r.want("pbx2.example, its last answer counts: lookup pbx2.example: no such host", "10/0/192.0.2.2:5071=pbx2.example")

	r.records["_sip._udp.pbx.example"] = "fail"
	r.want("pbx.example, its last answer counts: server failure", "10/0/192.0.2.2:5071=pbx2.example")
	r.records["_sip._udp.pbx.example"] = "0/0/0/."
	r.want("its last answer counts: its SRV record says that it is not there", "10/0/192.0.2.2:5071=pbx2.example")
	delete(r.records, "_sip._udp.pbx.example")
	delete(r.records, "pbx.example")
	r.want("pbx.example, its last answer counts: lookup pbx.example: no such host", "10/0/192.0.2.2:5071=pbx2.example")
	r.records["pbx.example"] = "192.0.2.8"
	r.want("", "192.0.2.8:5060")
}

// Who knows no SRV records may not answer at all; the addresses are there then.
func TestNames_SRVHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResolving(t)
		r.records["_sip._udp.pbx.example"], r.records["pbx.example"] = "hang", "192.0.2.7"
		r.want("context deadline exceeded", "192.0.2.7:5060")
		r.records["_sip._udp.pbx.example"], r.records["pbx.example"] = "10/0/5070/pbx1.example.", "hang"
		r.records["pbx1.example"] = "192.0.2.1"
		began := time.Now()
		r.want("", "10/0/192.0.2.1:5070=pbx1.example")
		if took := time.Since(began); took > 0 {
			t.Errorf("it has waited %v for what does not matter", took)
		}
	})
}

// Of many records only so many are followed.
func TestNames_SRVMany(t *testing.T) {
	r := newResolving(t)
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf("%d/0/5070/pbx%d.example.", 100-i, i))
		r.records[fmt.Sprintf("pbx%d.example", i)] = fmt.Sprintf("192.0.2.%d", i)
	}
	r.records["_sip._udp.pbx.example"] = strings.Join(list, " ")
	var want []string
	for i := range 32 {
		want = append(want, fmt.Sprintf("%d/0/192.0.2.%d:5070=pbx%d.example", i+1, 99-i, 99-i))
	}
	r.want("", want...)
}

// However many addresses there are, so many places come of them and no more, each
// time the same.
func TestNames_ManyAddresses(t *testing.T) {
	r := newResolving(t)
	var addrs, want []string
	for i := range 4000 { // what fits into an answer
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}).String())
	}
	for _, a := range addrs[:64] {
		want = append(want, a+":5060")
	}
	r.records["pbx.example"] = strings.Join(addrs, " ")
	before := r.want("", want...)
	slices.Reverse(addrs)
	r.records["pbx.example"] = strings.Join(addrs, " ")
	if after := r.want("", want...); &after.Targets[0] != &before.Targets[0] {
		t.Error("another order is no change")
	}
	var srv []string
	for i := range 32 {
		srv = append(srv, fmt.Sprintf("10/0/%d/pbx.example.", 5060+i))
	}
	r.records["_sip._udp.pbx.example"] = strings.Join(srv, " ")
	for i, a := range want {
		want[i] = "10/0/" + a + "=pbx.example"
	}
	r.want("", want...)
}

// What is known to count still is not asked for, and the shortest time of all
// answers that make one counts for it.
func TestNames_TTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResolving(t)
		r.records["_sip._udp.pbx.example"], r.records["pbx1.example"] = "60s 10/0/5070/pbx1.example. 10/0/5070/pbx2.example.", "20s 192.0.2.1"
		r.records["pbx2.example"] = "192.0.2.2"
		if a := r.want("", "10/0/192.0.2.1:5070=pbx1.example", "10/0/192.0.2.2:5070=pbx2.example"); a.TTL != 20*time.Second || !a.Asked.Equal(time.Now()) {
			t.Errorf("got %+v", a)
		}
		name := mysqltenant.Name{Host: "pbx.example", Service: "_sip._udp"}
		for _, keep := range []bool{true, false} {
			r.records["pbx2.example"] = "fail"
			a := r.names.Resolve(t.Context(), []mysqltenant.Name{name}, func(a mysqltenant.Answer) bool { return keep })[name]
			if keep != (a.Err == nil) || keep != (a.TTL == 20*time.Second) || len(a.Targets) != 2 {
				t.Errorf("got %+v", a)
			}
		}
		delete(r.records, "_sip._udp.pbx.example")
		r.records["pbx.example"] = "5s 192.0.2.7"
		if a := r.want("", "192.0.2.7:5060"); a.TTL != 5*time.Second {
			t.Errorf("got %+v", a)
		}
	})
}

// The sources of a set have the ports of the records. P-32.
func TestLoader_LoadSRV(t *testing.T) {
	db := create(t)
	exec(t, db, "INSERT INTO dispatcher (id, setid, destination) VALUES (1, 10, 'sip:pbx.example'), (2, 20, 'sips:pbx.example'), (3, 30, 'sip:pbx.example:5080')")
	f := open(t, db, mysqltenant.Config{Resolver: records{
		"pbx.example": "192.0.2.7", "_sip._udp.pbx.example": "10/0/5070/pbx1.example. 20/0/5071/pbx1.example.", "pbx1.example": "192.0.2.1",
	}})
	got := f.load()
	for set, want := range map[int][]string{10: {"192.0.2.1:5070", "192.0.2.1:5071"}, 20: {"192.0.2.7:5061"}, 30: {"192.0.2.7:5080"}} {
		tn, ok := got.Set(set)
		if !ok || !slices.Equal(tn.Sources, sources(want...)) {
			t.Errorf("set %d: %v, want %v", set, tn.Sources, want)
		}
	}
	f.wantProblems()
}
