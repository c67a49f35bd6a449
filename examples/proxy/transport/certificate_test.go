package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// writePair writes a certificate and its key to files.
func writePair(t *testing.T, certFile, keyFile string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate that was renewed is taken by new connections and does not harm
// open ones. Files that are no good change nothing.
func TestCertificate_Reload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first, second := newCertificate(t, "first.example"), newCertificate(t, "second.example")
	writePair(t, certFile, keyFile, first)
	cert, err := transport.LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	layer := newLayer(t, transport.Config{
		Handler:   &handler{message: echo},
		ServerTLS: &tls.Config{GetCertificate: cert.Get},
	})
	to := listen(t, layer, "tls", "127.0.0.1:0")
	run(t, layer)
	dial := func(name string) *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", to.String(), &tls.Config{RootCAs: trusting(first, second), ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	old := dial("first.example")

	if err := os.WriteFile(keyFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cert.Reload(); err == nil {
		t.Error("nonsense was taken for a key")
	}
	dial("first.example")

	writePair(t, certFile, keyFile, second)
	if err := cert.Reload(); err != nil {
		t.Error(err)
	}
	dial("second.example")

	text := request("OPTIONS", "a")
	old.Write([]byte(text))
	buf := make([]byte, 2*len(text))
	if n, err := old.Read(buf); string(buf[:n]) != text {
		t.Errorf("over the old connection: %q, %v", buf[:n], err)
	}
}

func TestLoadCertificate_Faults(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	writePair(t, a+".pem", a+".key", newCertificate(t, "a.example"))
	writePair(t, b+".pem", b+".key", newCertificate(t, "b.example"))
	for _, files := range [][2]string{{a + ".pem", b + ".key"}, {a + ".key", a + ".pem"}, {a + ".pem", ""}, {dir, dir}} {
		if _, err := transport.LoadCertificate(files[0], files[1]); err == nil {
			t.Errorf("loaded %v", files)
		}
	}
}
