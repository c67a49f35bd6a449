package transport_test

import (
	"testing"
	"testing/synctest"

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
	f.Fuzz(func(t *testing.T, data []byte, segment uint8) {
		synctest.Test(t, func(t *testing.T) {
			whole, cut := streamCalls(t, data, 1<<20), streamCalls(t, data, int(segment))
			if diff := cmp.Diff(whole, cut); diff != "" {
				t.Errorf("calls (-whole +cut):\n%s", diff)
			}
		})
	})
}

// streamCalls returns what the handler gets of a stream that ends after data.
func streamCalls(t *testing.T, data []byte, segment int) string {
	lab := newLab(t, transport.Config{Limits: transport.Limits{Message: 8 << 10}})
	defer lab.close()
	phone := lab.newHost("198.51.100.7")
	phone.SetSegmentSize(segment)
	c := lab.dial(phone, 0)
	c.Write(data)
	c.CloseWrite()
	synctest.Wait()
	return lab.log.summary()
}
