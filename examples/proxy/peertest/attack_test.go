package peertest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// attack is what comes from many hosts at once that want in, or to do harm.
type attack struct {
	s      *site
	phones []netip.Addr // whose addresses are forged, too
}

const (
	attackRate    = 5_000 // packets a second
	attackPackets = 10 * attackRate
	attackSources = 10_000
	attackID      = "attack-" // what all its Call-IDs begin with
)

// run sends all packets and returns for how long it has. On a machine that is too
// slow it goes on for a while longer, and then ends.
func (a *attack) run() (sent int, took time.Duration) {
	begin := time.Now()
	for sent < attackPackets && took < 2*attackPackets/attackRate*time.Second {
		// After a pause there are no more at once than in 20 ms.
		for due := min(int(took.Seconds()*attackRate), sent+attackRate/50, attackPackets); sent < due; sent++ {
			a.packet(sent)
		}
		time.Sleep(5 * time.Millisecond)
		took = time.Since(begin)
	}
	return sent, took
}

// packet sends the i-th packet, from a socket that lives no longer.
func (a *attack) packet(i int) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: a.source(i).AsSlice()})
	if err != nil {
		a.s.t.Error(err)
		return
	}
	defer c.Close()
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	p := threat{i, i / len(threats) % len(a.phones), from}
	text := p.registers() // half of all, as passwords are what most are after
	if i%2 == 1 {
		text = threats[i/2%len(threats)](a, p)
	}
	c.WriteToUDPAddrPort([]byte(text), a.s.proxy())
}

// source is the i-th address, all in networks of their own, where no site is; some
// are those of phones.
func (a *attack) source(i int) netip.Addr {
	if i%101 == 100 {
		return a.phones[i/101%len(a.phones)]
	}
	i %= attackSources
	return netip.AddrFrom4([4]byte{127, byte(2 + i%40), byte(i / 40), 7})
}

// threat is one packet.
type threat struct {
	i     int
	phone int // that it is about
	from  netip.AddrPort
}

// request returns one of the packet's, with its own Via, Call-ID and tag.
func (p threat) request(method, uri, to string, extra ...string) string {
	if p.i%3 == 0 {
		extra = append(extra, "User-Agent: "+[...]string{"Asterisk PBX", "Z 3.3", "eyeBeam"}[p.i/3%3])
	}
	contact := fmt.Sprintf("Contact: <sip:100@%v>", p.from)
	return fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]v;branch=z9hG4bK-%[4]d;rport\r\nMax-Forwards: 70\r\n"+
		"From: \"100\" <sip:100@%[3]v>;tag=%[4]d\r\nTo: %[5]s\r\nCall-ID: "+attackID+"%[4]d\r\nCSeq: 1 %[1]s\r\n",
		method, uri, p.from, p.i, to) + rest("", append(extra, contact))
}

// begins returns a request outside a dialog.
func (p threat) begins(method, uri string, extra ...string) string {
	return p.request(method, uri, "<"+uri+">", extra...)
}

// inside returns a request that claims to be in a dialog.
func (p threat) inside(method, uri string) string {
	return p.request(method, uri, fmt.Sprintf("<%s>;tag=guessed%d", uri, p.i))
}

// registers returns a REGISTER for a user that may be there.
func (p threat) registers(extra ...string) string {
	to := fmt.Sprintf("<sip:u%d@%s>", p.i%1000, domain(0))
	return p.request("REGISTER", "sip:"+domain(0), to, extra...)
}

// threats are the other kinds of packets, of which each comes as often.
var threats = []func(a *attack, p threat) string{
	func(a *attack, p threat) string {
		return p.registers(fmt.Sprintf(`Authorization: Digest username="u%d",realm="asterisk",nonce="%[1]d",uri="sip:%s",response="0"`, p.i%1000, domain(0)))
	},
	func(a *attack, p threat) string { return p.begins("INVITE", "sip:0044123@"+domain(0)) },
	func(a *attack, p threat) string {
		return p.begins("INVITE", fmt.Sprintf("sip:0044123@%v", a.s.proxy()))
	},
	func(a *attack, p threat) string {
		return p.begins("INVITE", fmt.Sprintf("sip:u%d@%v", p.phone, a.s.proxy()))
	},
	func(a *attack, p threat) string {
		return p.begins("OPTIONS", "sip:100@"+domain(0), "User-Agent: friendly-scanner")
	},
	func(a *attack, p threat) string {
		return p.begins("REGISTER", "sip:"+a.s.proxy().Addr().String(), "User-Agent: sipcli/v1.8")
	},
	func(a *attack, p threat) string { return p.begins("OPTIONS", "sip:100@"+a.s.proxy().Addr().String()) },
	func(a *attack, p threat) string { return p.begins("SUBSCRIBE", "sip:u3@"+domain(0), "Event: dialog") },
	func(a *attack, p threat) string { return p.begins("CANCEL", "sip:u3@"+domain(0)) },
	func(a *attack, p threat) string { return p.inside("BYE", a.contact(p)) },
	func(a *attack, p threat) string { return p.inside("INVITE", a.contact(p)) },
	func(a *attack, p threat) string { return p.inside("ACK", a.contact(p)) },
	func(a *attack, p threat) string { // an answer to what nobody asked
		_, head, _ := strings.Cut(p.begins("INVITE", "sip:u3@"+domain(0)), "\r\n")
		return "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP " + a.s.proxy().String() + ";branch=z9hG4bK1\r\n" + head
	},
	func(a *attack, p threat) string { // what is no SIP
		return strings.Replace(p.registers(), "CSeq: 1 ", "CSeq: -", 1)
	},
	func(a *attack, p threat) string { return p.begins("INVITE", "sip:u3@"+domain(0))[:100] },
}

// contact is that of some phone, where it really is.
func (a *attack) contact(p threat) string {
	return fmt.Sprintf("sip:u%d@%v", p.phone, a.s.phone(p.phone))
}
