package relay_test

import (
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/internal/siptestx"
)

// R62: whatever the parser accepts is forwarded as a message that it accepts as
// well, with one Via more, its body as it was, and not much longer; an answer
// to it comes back with the Vias of the request.
func FuzzForward(f *testing.F) {
	const head = " sip:401@a.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.7:5060;branch=z9hG4bKa\r\n"
	const tail = "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 "
	for _, more := range []string{
		"", "Max-Forwards: 0\r\n", "Max-Forwards: 1\r\n", "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx.y , SIP/2.0/TCP [::1]\r\n",
		"Route: <sip:192.0.2.1;lr>, <sip:x>\r\nX: y\r\nRoute: <sip:192.0.2.1>\r\n", "Route: <sip:strict>\r\n", "Route: \"a, b\" <sip:p;lr>,\r\n <sip:192.0.2.1>\r\n",
		"Record-Route: <sip:p;lr>\r\nProxy-Require: x\r\n", "Route: <sip:a b>\r\n", "Route: ,,\r\n", "Content-Length: 3\r\n",
	} {
		for _, method := range []string{"INVITE", "OPTIONS", "ACK", "CANCEL"} {
			f.Add(method + head + more + tail + method + "\r\n\r\nabc")
		}
	}
	f.Add("OPTIONS sip:192.0.2.1;lr SIP/2.0\r\nv: SIP/2.0/UDP h\r\nRoute: <sip:x?a=b>\r\n" + tail + "OPTIONS\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := sipmsg.Parse(text)
		if err != nil || !m.IsRequest() {
			return
		}
		b := newBench(t, 0)
		vias, body := viasOf(m), m.Body()
		b.receive(b.phone, []byte(text))
		if s := b.relay.Stats(); s.Panics != 0 {
			t.Fatal("panic")
		}
		if len(b.wire.toPhone) > 0 {
			if _, err := sipmsg.Parse(string(b.wire.toPhone)); err != nil {
				t.Fatalf("answered with %v in\n%s", err, b.wire.toPhone)
			}
		}
		if len(b.wire.toPBX) == 0 {
			return
		}
		out, err := sipmsg.Parse(string(b.wire.toPBX))
		if err != nil {
			t.Fatalf("forwarded with %v:\n%s", err, b.wire.toPBX)
		}
		if got := viasOf(out); len(got) != len(vias)+1 || out.Body() != body || len(out.Raw) > 2*len(m.Raw)+500 {
			t.Errorf("forwarded as\n%s", out.Raw)
		}
		if m.Method != "ACK" {
			b.comesBack(t, out, vias)
		}
	})
}

// comesBack has the PBX answer what was forwarded to it.
func (b *bench) comesBack(t *testing.T, out *sipmsg.Message, vias []string) {
	answer := siptestx.Message{Text: out.Raw}
	text := "SIP/2.0 200 OK\r\n" + strings.SplitN(answer.Text, "\r\n", 2)[1]
	if _, err := sipmsg.Parse(text); err != nil {
		return // a header field of a request that is none of a response
	}
	b.receive(b.pbx, []byte(text))
	got, err := sipmsg.Parse(string(b.wire.toPhone))
	if err != nil || got.Status != 200 || len(viasOf(got)) != len(vias) {
		t.Errorf("%v: the answer comes back as\n%s", err, b.wire.toPhone)
	}
}

// viasOf returns all Vias of a message.
func viasOf(m *sipmsg.Message) []string {
	var all []string
	for _, list := range m.Values(sipmsg.Via) {
		for rest := list; rest != ""; {
			var e string
			e, rest = sipmsg.CutElement(rest)
			all = append(all, e)
		}
	}
	return all
}
