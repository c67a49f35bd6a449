package transport_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// R51: the answer to a fault arrives, though the client sends on and the
// connection is closed with its bytes unread: a reset would destroy it.
func TestStream_FaultAnswerSurvives(t *testing.T) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			layer := newLayer(t, transport.Config{
				Handler:   &log{answer: true},
				ServerTLS: &tls.Config{Certificates: []tls.Certificate{newCertificate(t, "sip.a.example")}},
			})
			to := listen(t, layer, network, "127.0.0.1:0")
			run(t, layer)
			c, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if network == "tls" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			text := strings.Replace(request("MESSAGE", "a"), "Content-Length: 0\r\n", "", 1) + strings.Repeat("x", 500<<10)
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(b), "SIP/2.0 400 ") {
				t.Errorf("received %q, %v", b, err)
			}
		})
	}
}
