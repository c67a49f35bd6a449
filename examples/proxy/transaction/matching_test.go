package transaction_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipward/sipward/examples/proxy/sipmsg"
	"github.com/sipward/sipward/examples/proxy/transaction"
	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/internal/siptestx"
)

// RFC 3261 section 17.2.3: what makes two requests the same one, with a branch
// of this RFC and with one of RFC 2543.
func TestMatching(t *testing.T) {
	const modern = "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa"
	tests := []struct {
		name  string
		via   string
		field string // what differs
		new   bool
	}{
		{"the same", modern, "X: y", false},
		{"CSeq", modern, "CSeq: 2 OPTIONS", false},
		{"Call-ID", modern, "Call-ID: other", false},
		{"branch", modern, "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKb", true},
		{"sent-by", modern, "Via: SIP/2.0/UDP 198.51.100.7:5061;branch=z9hG4bKa", true},
		{"2543 the same", "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=1", "X: y", false},
		{"2543 no branch", "Via: SIP/2.0/UDP 198.51.100.7:5060", "X: y", false},
		{"2543 CSeq", "Via: SIP/2.0/UDP 198.51.100.7:5060", "CSeq: 2 OPTIONS", true},
		{"2543 Call-ID", "Via: SIP/2.0/UDP 198.51.100.7:5060", "Call-ID: other", true},
		{"2543 From tag", "Via: SIP/2.0/UDP 198.51.100.7:5060", "From: <sip:alice@a.example>;tag=other", true},
		{"2543 branch", "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=1", "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=2", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				w.answer(200)
				n := w.count()
				phone := siptestx.UDP(w, w.phone, 5060)
				text := phone.Request("OPTIONS", aliceCalls, tt.via)
				phone.Send(proxyAddr, text)
				phone.Send(proxyAddr, siptestx.Edit(text, tt.field))
				phone.Collect(time.Second)
				if isNew := *n == 2; isNew != tt.new {
					w.Errorf("%d requests, want the second to be new: %v", *n, tt.new)
				}
			})
		})
	}
}

// Behind NAT many have the same sent-by, so the address that a request comes from
// counts too; not its port, which a NAT or another connection changes.
func TestMatching_Source(t *testing.T) {
	run(t, func(w *world) {
		canceled := w.canceled()
		n := w.count()
		acks := 0
		w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
		phone, moved := siptestx.UDP(w, w.phone, 5060), siptestx.UDP(w, w.phone, 5062)
		stranger := siptestx.UDP(w, w.net.NewHost(netip.MustParseAddr("198.51.100.8")), 5060)
		invite := phone.Request("INVITE", aliceCalls, "Via: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bKa")
		cancel := strings.ReplaceAll(invite, "INVITE", "CANCEL")
		phone.Send(proxyAddr, invite)
		moved.Send(proxyAddr, invite)
		synctest.Wait()
		if *n != 1 {
			w.Errorf("%d requests, want one that was repeated", *n)
		}
		stranger.Send(proxyAddr, invite)
		synctest.Wait()
		if *n != 2 {
			w.Errorf("%d requests, want that of the stranger too", *n)
		}
		stranger.Send(proxyAddr, cancel)
		stranger.Status(200) // of its own
		stranger.Status(487)
		stranger.Send(proxyAddr, cancel)
		stranger.Status(200)
		phone.Silent(0)
		moved.Send(proxyAddr, cancel)
		moved.Status(200)
		moved.Send(proxyAddr, strings.ReplaceAll(invite, "INVITE", "ACK"))
		phone.Status(487)
		phone.Silent(time.Minute)
		if len(*canceled) != 2 || acks != 0 {
			w.Errorf("canceled %q, and %d ACKs are for a 2xx", *canceled, acks)
		}
	})
}

// RFC 2543: an ACK without a branch of RFC 3261 finds its INVITE.
func TestMatching_OldAck(t *testing.T) {
	for _, via := range []string{"Via: SIP/2.0/UDP 198.51.100.7:5060", "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=1"} {
		run(t, func(w *world) {
			acks := 0
			w.ack = func(transport.Flow, *sipmsg.Message) { acks++ }
			w.answer(486)
			phone := siptestx.UDP(w, w.phone, 5060)
			invite := phone.Request("INVITE", aliceCalls, via)
			phone.Send(proxyAddr, invite)
			phone.Send(proxyAddr, ackFor(invite, phone.Status(486)))
			phone.Silent(time.Minute)
			if acks != 0 {
				w.Errorf("%s: %d ACKs for a 2xx", via, acks)
			}
		})
	}
}

// R31: a request that has come on another way already is merged, as long as
// that one is known; inside a dialog nothing is.
func TestMerged(t *testing.T) {
	tests := []struct {
		name   string
		fields []string
		want   bool
	}{
		{"branch", nil, true},
		{"Request-URI alone", []string{"X: y"}, true},
		{"From tag", []string{"From: <sip:alice@a.example>;tag=other"}, false},
		{"Call-ID", []string{"Call-ID: other"}, false},
		{"CSeq", []string{"CSeq: 2 OPTIONS"}, false},
		{"in a dialog", []string{"To: <sip:401@a.example>;tag=to"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(w *world) {
				var got []bool
				w.request = func(tx *transaction.Server, m *sipmsg.Message) {
					got = append(got, tx.Merged)
					tx.Respond(200, m.Respond(200, "OK", "a"))
				}
				phone := siptestx.UDP(w, w.phone, 5060)
				text := phone.Request("OPTIONS", aliceCalls)
				again := func(branch string) {
					phone.Send(proxyAddr, siptestx.Edit(text, append(tt.fields, "Via: SIP/2.0/UDP 198.51.100.7;branch="+branch)...))
				}
				phone.Send(proxyAddr, text)
				phone.Collect(31 * time.Second)
				again("z9hG4bK1")
				phone.Collect(time.Minute)
				again("z9hG4bK2")
				phone.Collect(time.Second)
				if want := []bool{false, tt.want, false}; !slices.Equal(got, want) {
					w.Errorf("merged: %v, want %v", got, want)
				}
			})
		})
	}
}
