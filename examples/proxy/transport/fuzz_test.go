package transport_test

import (
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/transport"
)

// R51: what a stream means does not depend on how it is cut into segments.
func FuzzStream_Segments(f *testing.F) {
	a := request("OPTIONS", "a")
	for _, s := range []string{
		a + "\r\n\r\n" + a[:40],
		"\r\n\r\n\r\n" + long("b", 5000) + a,
		a[:len(a)-2] + "X: 1\r\n\r\n",
		"OPTIONS sip:a SIP/2.0\r\nl: 4\r\n\r\n" + a,
		"GET / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01",
	} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(100))
	}
	fuzzSegments(f, "tcp", 8<<10)
}

// R50: the same for a WebSocket, handshake included.
func FuzzWebSocket_Segments(f *testing.F) {
	a := request("OPTIONS", "a")
	for _, s := range []string{
		textFrame(a) + textFrame("\r\n\r\n")[:3],
		clientFrame(ws.OpText, false, a[:9]) + clientFrame(ws.OpPing, true, "1") + clientFrame(ws.OpContinuation, true, a[9:]),
		clientFrame(ws.OpBinary, true, long("b", 500)) + clientFrame(ws.OpClose, true, "\x03\xe8"),
		"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04",
		clientFrame(ws.OpText, false, "") + clientFrame(ws.OpContinuation, true, long("b", 1100)),
		"\x81\x02\r\n",
	} {
		f.Add([]byte(upgradeRequest+s), uint8(1))
		f.Add([]byte(upgradeRequest+s), uint8(100))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nHost:\r\n\r\n"), uint8(7))
	fuzzSegments(f, "ws", 1<<10)
}

func fuzzSegments(f *testing.F, network string, largest int) {
	f.Fuzz(func(t *testing.T, data []byte, segment uint8) {
		synctest.Test(t, func(t *testing.T) {
			whole, cut := streamCalls(t, network, largest, data, 1<<20), streamCalls(t, network, largest, data, int(segment))
			if diff := cmp.Diff(whole, cut); diff != "" {
				t.Errorf("calls (-whole +cut):\n%s", diff)
			}
		})
	})
}

// streamCalls returns what the handler gets of a stream that ends after data.
func streamCalls(t *testing.T, network string, largest int, data []byte, segment int) string {
	lab := newLab(t, transport.Config{Limits: transport.Limits{Message: largest}})
	defer lab.close()
	if network != "tcp" {
		lab.listen(network)
	}
	phone := lab.newHost("198.51.100.7")
	phone.SetSegmentSize(segment)
	a := lab.connectRaw(network, phone, 0)
	a.Write(data)
	a.raw.CloseWrite()
	synctest.Wait()
	return lab.log.summary()
}
