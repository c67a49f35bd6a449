package transport_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// R51: the answer to a fault arrives, though the client sends on and the
// connection is closed with its bytes unread: a reset would destroy it.
func TestStream_FaultAnswerSurvives(t *testing.T) {
	layer := newLayer(t, transport.Config{Handler: &log{answer: true}})
	to := listen(t, layer, "tcp", "127.0.0.1:0")
	run(t, layer)
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := strings.Replace(request("MESSAGE", "a"), "Content-Length: 0\r\n", "", 1) + strings.Repeat("x", 500<<10)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "SIP/2.0 400 ") {
		t.Errorf("received %q, %v", b, err)
	}
}
