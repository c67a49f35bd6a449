package peertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority issues certificates and is what those who believe in them trust.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string // of its own certificate
}

// authority returns one that nobody else knows.
func (s *site) authority() *authority {
	s.t.Helper()
	a := &authority{t: s.t, pool: x509.NewCertPool(), file: filepath.Join(s.t.TempDir(), "ca.pem")}
	a.key = newKey(s.t)
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert = a.sign(template, template, a.key)
	a.pool.AddCert(a.cert)
	writePEM(s.t, a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign returns a certificate for a key.
func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber = new(big.Int).SetUint64(serial.Add(1))
	template.Subject.CommonName = fmt.Sprint("peertest ", template.SerialNumber)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// identity is a certificate with its key, and the files that have them.
type identity struct {
	tls.Certificate
	certFile, keyFile string
}

// issue makes a certificate for a host, and writes it to the files of a
// directory.
func (a *authority) issue(host netip.Addr, dir string) identity {
	a.t.Helper()
	key := newKey(a.t)
	cert := a.sign(&x509.Certificate{IPAddresses: []net.IP{host.AsSlice()}}, a.cert, key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	id := identity{
		tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"),
	}
	writePEM(a.t, id.certFile, "CERTIFICATE", cert.Raw)
	writePEM(a.t, id.keyFile, "PRIVATE KEY", pkcs8)
	return id
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
