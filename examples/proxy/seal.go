package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/tenant"
)

// seal makes what the proxy writes into messages to know it again when it
// comes back, and that nobody else can make. It has no state but its key, so
// all of it outlives the process.
type seal struct {
	macs   sync.Pool // of *macState
	former *seal     // with the key before this one, which is known again; nil: none

	mu      sync.RWMutex
	domains map[string][domainSize]byte // the last results of domain
}

// macState is what one sum needs; pooled, since a hash.Hash makes its arguments
// escape.
type macState struct {
	hash hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// newSeal returns one that makes everything with key.
func newSeal(key [32]byte, former ...[32]byte) *seal {
	s := &seal{
		macs:    sync.Pool{New: func() any { return &macState{hash: hmac.New(sha256.New, key[:])} }},
		domains: map[string][domainSize]byte{},
	}
	if len(former) > 0 {
		s.former = newSeal(former[0], former[1:]...)
	}
	return s
}

var encoding = base64.RawURLEncoding

// sum authenticates a purpose and some texts.
func (s *seal) sum(purpose string, texts ...string) (sum [sha256.Size]byte) {
	mac := s.macs.Get().(*macState)
	defer s.macs.Put(mac)
	b := append(mac.text[:0], purpose...)
	for _, t := range texts { // with their lengths, so that no two lists are the same
		b = binary.BigEndian.AppendUint32(b, uint32(len(t)))
		b = append(b, t...)
	}
	mac.text = b
	mac.hash.Reset()
	mac.hash.Write(b)
	mac.hash.Sum(mac.sum[:0])
	return mac.sum
}

// token names a phone to its PBX. It is the same for the same phone, whatever
// NAT port it comes from, and tells nothing about it.
func (s *seal) token(aor location.AOR, b location.Binding) string {
	device, number := "c:"+b.Contact, ""
	if b.Instance != "" {
		device, number = "i:"+b.Instance, strconv.Itoa(b.RegID)
	}
	sum := s.sum("token", aor.User(), aor.Domain(), device, number)
	return encoding.EncodeToString(sum[:15])
}

// routeParam is the parameter of our Record-Route that proves a dialog.
const routeParam = "d"

const (
	proofSize  = 9 // of what authenticates a dialog
	domainSize = 6 // of what stands for a domain
)

// proof is what our Record-Route says of its dialog, so that requests in it are
// judged by how it began and not by what tenants and PBXes are now.
type proof struct {
	by     *seal            // with the key of which it was made
	pbx    netip.AddrPort   // the PBX
	domain [domainSize]byte // stands for the domain of the phone
}

// of reports whether the dialog is that of a phone of a domain.
func (p proof) of(domain string) bool { return p.by != nil && p.by.domain(domain) == p.domain }

// domainOf returns the domain of the phone if one of the tenants has it, else "".
func (p proof) domainOf(tenants []*tenant.Tenant) string {
	for _, tn := range tenants {
		if i := slices.IndexFunc(tn.Domains, p.of); i >= 0 {
			return tn.Domains[i]
		}
	}
	return ""
}

// keptDomains is far more than are served; phones may be left of others.
const keptDomains = 100_000

// domain returns what stands for a domain.
func (s *seal) domain(domain string) (short [domainSize]byte) {
	s.mu.RLock()
	short, ok := s.domains[domain]
	s.mu.RUnlock()
	if ok {
		return short
	}
	sum := s.sum("domain", domain)
	copy(short[:], sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.domains) == keptDomains {
		clear(s.domains)
	}
	s.domains[strings.Clone(domain)] = short
	return short
}

// routeParams returns the parameters for the Record-Route of a dialog between a
// PBX and a phone of a domain.
func (s *seal) routeParams(callID string, pbx netip.AddrPort, domain string) string {
	short := s.domain(domain)
	payload := append(pbx.Addr().Unmap().AsSlice(), byte(pbx.Port()>>8), byte(pbx.Port()))
	payload = append(payload, short[:]...)
	sum := s.dialog(callID, payload)
	return ";" + routeParam + "=" + encoding.EncodeToString(append(sum[:], payload...))
}

func (s *seal) dialog(callID string, payload []byte) (short [proofSize]byte) {
	sum := s.sum("dialog", callID, string(payload))
	copy(short[:], sum[:])
	return short
}

// proves returns what uri, of a Route, says of the dialog with this Call-ID, if
// we put it there.
func (s *seal) proves(uri, callID string) (p proof, ok bool) {
	_, rest, ok := strings.Cut(uri, ";"+routeParam+"=")
	if !ok {
		return p, false
	}
	value, _, _ := strings.Cut(rest, ";")
	b, err := encoding.DecodeString(value)
	if err != nil || len(b) < proofSize+2+domainSize {
		return p, false
	}
	payload := b[proofSize:]
	want := s.dialog(callID, payload)
	if subtle.ConstantTimeCompare(b[:proofSize], want[:]) != 1 {
		if s.former != nil {
			return s.former.proves(uri, callID)
		}
		return p, false
	}
	p.by = s
	address := payload[:len(payload)-domainSize-2]
	port := payload[len(address):]
	copy(p.domain[:], port[2:])
	if addr, ok := netip.AddrFromSlice(address); ok {
		p.pbx = netip.AddrPortFrom(addr, uint16(port[0])<<8|uint16(port[1]))
	}
	return p, true
}
