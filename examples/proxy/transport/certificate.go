package transport

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// Certificate is a certificate with its key, read from files that may be
// replaced while it is in use. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads a certificate, with those between it and its root
// behind it, and its key, both in PEM.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. Handshakes from then on get what they hold;
// open connections do not notice. If there is an error, such as a key that does
// not belong to the certificate, all stays as it was.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("transport: certificate %s: %w", c.certFile, err)
	}
	c.current.Store(&pair)
	return nil
}

// Get returns the certificate, to be the GetCertificate of a [tls.Config]. The
// error is nil, the argument is not used.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
