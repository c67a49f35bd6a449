package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/sipward/sipward/examples/proxy/internal/config"
	"github.com/sipward/sipward/examples/proxy/transport"
)

// secure is what TLS needs: our certificate, and whom we believe.
type secure struct {
	cert   *transport.Certificate // nil: we have none
	client *tls.Config            // nil: what the system trusts
}

// newSecure reads the files that cfg names.
func newSecure(cfg config.TLSFiles) (secure, error) {
	var s secure
	var err error
	if cfg.Cert != "" {
		if s.cert, err = transport.LoadCertificate(cfg.Cert, cfg.Key); err != nil {
			return s, fmt.Errorf("tls: %w", err)
		}
	}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return s, fmt.Errorf("tls.ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return s, errors.New("tls.ca: " + cfg.CA + " has no certificate")
		}
		s.client = &tls.Config{RootCAs: roots}
	}
	return s, nil
}

// server returns what listeners use; nil without a certificate.
func (s *secure) server() *tls.Config {
	if s.cert == nil {
		return nil
	}
	return &tls.Config{GetCertificate: s.cert.Get}
}

// reload reads the certificate again. One that is at fault leaves the old one.
func (s *secure) reload() error {
	if s.cert == nil {
		return nil
	}
	return s.cert.Reload()
}

// serverName returns the name that the PBX at an address has to prove over TLS;
// none if it is known by its address.
func (p *Proxy) serverName(remote netip.AddrPort) string { return p.state.Load().serverNames[remote] }
