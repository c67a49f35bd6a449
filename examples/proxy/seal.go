package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strconv"
	"strings"
	"sync"

	"github.com/sipward/sipward/location"
)

// seal makes what the proxy writes into messages to know it again when it
// comes back, and that nobody else can make. It has no state but its key, so
// all of it outlives the process.
type seal struct{ macs sync.Pool }

func newSeal(key [32]byte) *seal {
	return &seal{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key[:]) }}}
}

var encoding = base64.RawURLEncoding

// sum authenticates a purpose and some texts.
func (s *seal) sum(purpose string, texts ...string) (sum [sha256.Size]byte) {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(purpose))
	for _, t := range texts { // with their lengths, so that no two lists are the same
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(t)))
		mac.Write(n[:])
		mac.Write([]byte(t))
	}
	mac.Sum(sum[:0])
	return sum
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

// routeParams returns the parameters for the Record-Route of a dialog.
func (s *seal) routeParams(callID string) string {
	return ";" + routeParam + "=" + s.dialog(callID)
}

func (s *seal) dialog(callID string) string {
	sum := s.sum("dialog", callID)
	return encoding.EncodeToString(sum[:9])
}

// proves reports whether uri, of a Route, is one that we put into the dialog
// with this Call-ID.
func (s *seal) proves(uri, callID string) bool {
	_, rest, ok := strings.Cut(uri, ";"+routeParam+"=")
	if !ok {
		return false
	}
	value, _, _ := strings.Cut(rest, ";")
	return subtle.ConstantTimeCompare([]byte(value), []byte(s.dialog(callID))) == 1
}
