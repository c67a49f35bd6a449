package registrar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// start is the time in tests.
var start = time.Date(2026, 11, 22, 5, 24, 43, 0, time.UTC)

// Contacts as phones send them.
const (
	baresip  = "<sip:402-0x55777cf2d400@127.0.2.12:5060>"
	instance = `+sip.instance="<urn:uuid:20a220ed-91cb-e3a8-aa10-e850c3079534>"`
	linphone = "<sip:403@127.0.2.13;transport=udp>"
	snom     = "<sip:401@192.168.0.66:2048;line=x8kmhe6a>"
)

// register returns the REGISTER of baresip with lines in place of its Contact.
func register(lines ...string) string {
	return message("REGISTER sip:tenant-a.test SIP/2.0", append([]string{
		"Via: SIP/2.0/UDP 127.0.2.12:5060;branch=z9hG4bK7bf3241ecae2d1b3;rport",
		"Max-Forwards: 70",
		"To: <sip:402@tenant-a.test>",
		`From: "a402" <sip:402@tenant-a.test>;tag=8bc304b92838af08`,
		"Call-ID: 72236446d3864c84",
		"CSeq: 42444 REGISTER",
		"User-Agent: baresip v1.0.0 (x86_64/linux)",
		"Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,SUBSCRIBE,INFO,MESSAGE,REFER",
	}, lines...))
}

// answer returns what Asterisk answers to it, with lines in place of its
// Contact.
func answer(code int, lines ...string) string {
	return message(fmt.Sprintf("SIP/2.0 %d Reason", code), append([]string{
		"Via: SIP/2.0/UDP 127.0.2.12:5060;rport=5060;received=127.0.2.12;branch=z9hG4bK7bf3241ecae2d1b3",
		"Call-ID: 72236446d3864c84",
		`From: "a402" <sip:402@tenant-a.test>;tag=8bc304b92838af08`,
		"To: <sip:402@tenant-a.test>;tag=z9hG4bKad5.07e278fbab3df6a50f6b109e8a4925d6.0",
		"CSeq: 42444 REGISTER",
		"Date: Sun, 22 Nov 2026 05:24:43 GMT",
		"Server: Asterisk-a",
	}, lines...))
}

func message(start string, lines []string) string {
	return start + "\r\n" + strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n"
}

// reduced returns a parser that leaves most headers as text, Contact, To and
// From among them.
func reduced() *sip.Parser {
	all := sip.DefaultHeadersParser()
	table := map[string]sip.HeaderParser{}
	for _, name := range []string{"via", "v", "max-forwards", "content-length", "l", "route", "record-route", "cseq", "call-id", "i"} {
		table[name] = all[name]
	}
	return sip.NewParser(sip.WithHeadersParsers(table))
}

// parsers returns those that every rule is tested with.
func parsers() map[string]*sip.Parser {
	return map[string]*sip.Parser{"default": sip.NewParser(), "reduced": reduced()}
}

func parse[M sip.Message](t testing.TB, p *sip.Parser, text string) M {
	t.Helper()
	msg, err := p.ParseSIP([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	m, ok := msg.(M)
	if !ok {
		t.Fatalf("not a %T:\n%s", m, text)
	}
	return m
}

// summary tells a change in words, one line for each part.
func summary(c location.Change, now time.Time) []string {
	var out []string
	if c.Reset {
		out = append(out, "reset")
	}
	for _, b := range c.Remove {
		out = append(out, "remove "+b.Contact)
	}
	for _, b := range c.Put {
		out = append(out, fmt.Sprintf("put %s %v", b.Contact, b.Expires.Sub(now).Round(time.Second).Seconds()))
	}
	return out
}
