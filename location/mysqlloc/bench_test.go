package mysqlloc_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sipward/sipward/internal/mysqltest"
	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mysqlloc"
)

// phones is a table of one phone for each of n AORs, with all that the proxy
// stores of one.
type phones struct {
	store   *mysqlloc.Store
	changes []location.AORChange // the next REGISTER of each
	next    int
}

func newPhones(b *testing.B, n int) *phones {
	b.Helper()
	p := &phones{store: open(b, create(b, mysqltest.DB(b)), mysqlloc.Config{BranchFlags: "NAT"})}
	for i := range n {
		call := fmt.Sprintf("%032x", i)
		p.changes = append(p.changes, location.AORChange{
			AOR: aor(b, fmt.Sprint(1000+i%1000), fmt.Sprintf("t%d.example", i/1000)),
			Change: location.Change{CallID: call, CSeq: 1, Keep: 10, Put: []location.Binding{{
				Contact: fmt.Sprintf("sip:%d@10.0.0.1:5060;line=%08x", 1000+i%1000, i),
				Flow: location.Flow{
					Transport: "udp",
					Remote:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5060),
					Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
				},
				Q: location.QUnspecified, CallID: call, CSeq: 1, Methods: 7999,
				Updated: start, Expires: start.Add(time.Hour),
				UserAgent: "Vendor SIP-T46U 108.86.0.1",
				Token:     fmt.Sprintf("k%021d", i), Registrar: "sip:10.0.1.10:5060",
			}}},
		})
	}
	p.apply(b, p.changes)
	return p
}

// refresh returns the next n changes.
func (p *phones) refresh(n int) []location.AORChange {
	if p.next+n > len(p.changes) {
		p.next = 0
	}
	changes := p.changes[p.next : p.next+n]
	for i := range changes {
		c := &changes[i].Change
		c.CSeq++
		c.Put[0].CSeq = c.CSeq
		c.Put[0].Updated, c.Put[0].Expires = c.Put[0].Updated.Add(time.Minute), c.Put[0].Expires.Add(time.Minute)
	}
	p.next += n
	return changes
}

func (p *phones) apply(b *testing.B, changes []location.AORChange) {
	b.Helper()
	for i, err := range p.store.ApplyAll(b.Context(), changes) {
		if err != nil {
			b.Fatal(changes[i].AOR, err)
		}
	}
}

const benchPhones = 20_000

func BenchmarkApplyRefresh(b *testing.B) {
	p := newPhones(b, benchPhones)
	b.ReportAllocs()
	for b.Loop() {
		c := p.refresh(1)[0]
		if err := p.store.Apply(b.Context(), c.AOR, c.Change); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyAllRefresh has the price of one refresh among several in the
// unit ns/refresh.
func BenchmarkApplyAllRefresh(b *testing.B) {
	for _, n := range []int{8, 32, 128, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPhones(b, benchPhones)
			b.ReportAllocs()
			for b.Loop() {
				p.apply(b, p.refresh(n))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/refresh")
		})
	}
}
