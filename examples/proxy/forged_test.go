package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sipward/sipward/examples/proxy/guard"
	"github.com/sipward/sipward/examples/proxy/route"
	"github.com/sipward/sipward/internal/simnet"
	"github.com/sipward/sipward/internal/siptestx"
	"github.com/sipward/sipward/natfix"
)

// inDialogMethods are those that a dialog has, but for the ACK.
func inDialogMethods() []string {
	return []string{"INVITE", "BYE", "UPDATE", "INFO", "PRACK", "MESSAGE", "REFER", "NOTIFY", "OPTIONS", "SUBSCRIBE"}
}

// TestForged_InDialog: without the proof that the dialog is ours nothing goes
// anywhere, whoever asks, and an ACK is not even answered. P-48.
func TestForged_InDialog(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.FullCone, "401", "a.test")
		p, _ := callIn(w.a, ph.at(w.a), ph)
		proof := strings.TrimPrefix(w.proxy.seal.routeParams(p.callID, w.a.Addr, "a.test"), ";d=")
		routes := []string{
			"",
			"Route: <sip:192.0.2.1:5060;lr>",
			"Route: <sip:192.0.2.1:5060;lr;d=>",
			"Route: <sip:192.0.2.1:5060;lr" + w.proxy.seal.routeParams("another call", w.a.Addr, "a.test") + ">",
			"Route: <sip:192.0.2.1:5060;lr;d=" + proof[:len(proof)-1] + ">",
			"Route: <sip:192.0.2.1:5060;lr;d=" + proof + "A>",
			"Route: <sip:10.0.1.10:5060;lr>",
			"Route: <sip:10.0.1.10:5060;lr;d=" + proof + ">", // the proof, but not our Route
			"Route: <sip:192.0.2.1:5060;lr>, <sip:10.0.1.20;lr>",
		}
		for _, from := range []*siptestx.Peer{w.stranger(), w.b.Peer, w.a.Peer, ph.Peer} {
			for i, r := range routes {
				for _, method := range append(inDialogMethods(), "ACK") {
					fields := []string{"To: <sip:401@a.test>;tag=x", "Call-ID: " + fmt.Sprint("forged-", i, method, from.Addr)}
					if i >= 4 {
						fields[1] = "Call-ID: " + p.callID
					}
					if r != "" {
						fields = append(fields, r)
					}
					text := from.Request(method, p.target, append(fields, fmt.Sprintf("CSeq: %d %s", 99000+i, method))...)
					w.rejected(from, text, 481)
				}
			}
		}
	})
}

// rejected sends a text of a peer, which must be answered with status, if it is
// no ACK, and must get to nobody.
func (w *world) rejected(from *siptestx.Peer, text string, status int) {
	w.Helper()
	from.Send(w.at, text)
	if !strings.HasPrefix(text, "ACK ") {
		got := w.answer(from, status)
		if strings.HasPrefix(text, "INVITE ") {
			from.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
		}
	}
	w.quiet()
}

// TestForged_Alias: an alias that was changed, or made with another key, makes
// a dialog that is proved go nowhere. P-48.
func TestForged_Alias(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, victim := w.behind(simnet.FullCone, "401", "a.test"), w.behind(simnet.FullCone, "401", "b.test")
		p, _ := callIn(w.a, ph.at(w.a), ph)
		victim.at(w.b)
		foreign, err := natfix.NewAliaser([]byte("another key, also of sixteen"))
		if err != nil {
			t.Fatal(err)
		}
		made, _ := foreign.Append(nil, victim.uri(), w.bound("401", "b.test")[0].Flow)
		last := len(p.target) - 1
		for _, target := range []string{p.target[:last-5] + "AAAAA" + p.target[last:], string(made)} {
			for _, method := range append(inDialogMethods(), "ACK") {
				p.target = target
				w.rejected(w.a.Peer, p.text(method), 481)
			}
			w.rejected(w.a.Peer, siptestx.Edit(p.text("ACK"), "Route:"), 0)
		}
	})
}

// TestForged_NoOpenRelay: a phone in a dialog of its own reaches PBXs only.
func TestForged_NoOpenRelay(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, victim := w.behind(simnet.FullCone, "401", "a.test"), w.stranger()
		caller, _ := callOut(ph, w.a)
		for _, target := range []string{"sip:x@" + victim.Addr.String(), "sip:x@elsewhere.test", "sip:401@192.0.2.1:5060"} {
			caller.target = target
			w.rejected(ph.Peer, caller.text("MESSAGE"), 404)
		}
		caller.target = "sip:10.0.1.10:5060"
		caller.routes = append(caller.routes, "<sip:"+victim.Addr.String()+";lr>")
		w.rejected(ph.Peer, caller.text("MESSAGE"), 404)
	})
}

// TestStranger_RingsNobody: who is no PBX does not get to a phone, however it
// calls it and whoever it says it is. P-14.
func TestStranger_RingsNobody(t *testing.T) {
	for name, yaml := range map[string]string{"drop": "", "403": "security: {unknown_domain: 403}"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, yaml+threeTenants, func(w *world) {
				ph, x := w.behind(simnet.FullCone, "401", "a.test"), w.stranger()
				registered := ph.at(w.a)
				before := w.decided(route.OwnAddress) + w.decided(route.UnknownDomain)
				sent := 0
				for _, method := range outOfDialog() {
					for _, uri := range []string{"sip:401@192.0.2.1", "sip:401@192.0.2.1:5060", registered, ph.uri(),
						"sip:401@" + w.bound("401", "a.test")[0].Flow.Remote.String()} {
						text := x.Request(method, uri, "From: <sip:402@10.0.1.10>;tag=1", "To: <sip:401@a.test>", "Contact: <sip:asterisk@10.0.1.10:5060>")
						sent++
						if name == "403" {
							w.rejected(x, text, 403)
							continue
						}
						x.Send(w.at, text)
						w.quiet()
					}
				}
				if got := w.decided(route.OwnAddress) + w.decided(route.UnknownDomain) - before; got != uint64(sent) {
					t.Errorf("%d are counted, want %d", got, sent)
				}
			})
		})
	}
}

// TestRegistered_IsTold: a phone that is registered is no stranger: what leads nowhere
// is answered, and counts for nothing against it. P-59.
func TestRegistered_IsTold(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.FullCone, "401", "a.test")
		ph.at(w.a)
		for uri, status := range map[string]int{"sip:402@elsewhere.test": 404, "sip:402@192.0.2.1": 404, "tel:+15551234": 416} {
			for _, method := range []string{"INVITE", "MESSAGE", "OPTIONS"} {
				w.rejected(ph.Peer, ph.call(method, uri), status)
			}
		}
		if n := w.proxy.view().Guard.Failures[guard.UnknownDomain]; n != 0 {
			t.Errorf("%d failures are counted", n)
		}
	})
}

// TestStranger_ReachesThePBX: what a stranger wants of a tenant's domain is up
// to its PBX, and comes back as the PBX says. P-16.
func TestStranger_ReachesThePBX(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, x := w.behind(simnet.FullCone, "401", "a.test"), w.stranger()
		ph.at(w.a)
		for _, method := range outOfDialog() {
			text := x.Request(method, "sip:401@A.test")
			x.Send(w.at, text)
			w.a.Reply(w.a.Expect(method), 401, "pbx", challenge)
			got := w.answer(x, 401)
			if method == "INVITE" {
				w.a.Expect("ACK")
				x.Send(w.at, w.another("ACK", text, "To: "+got.Get("To")))
			}
		}
	})
}

// TestACK_WithoutRoute: an ACK to a 2xx that lacks our Route, or has only the
// one from the phone's settings, follows its 2xx; nothing else does. P-24.
func TestACK_WithoutRoute(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.behind(simnet.Symmetric, "401", "a.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		out, pbxOut := callOut(ph, w.a)
		for _, routes := range [][]string{nil, {"<sip:192.0.2.1:5060;lr>"}} {
			in.routes, out.routes = routes, routes
			in.ack(phoneIn)
			out.ack(pbxOut)
		}
		out.callID = "another"
		w.rejected(ph.Peer, out.text("ACK"), 0)
		x := w.stranger()
		x.Send(w.at, strings.Replace(in.text("ACK"), in.callID, "guessed", 1))
		w.quiet()
	})
}

// TestForged_RemovedPBX: when its tenant is gone, a PBX still reaches the phone of
// its call and ends that, and is reached; and even so no phone of anybody else.
// P-13 P-48.
func TestForged_RemovedPBX(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, other := w.public("401", "a.test"), w.public("401", "b.test")
		in, phoneIn := callIn(w.a, ph.at(w.a), ph)
		out, pbxOut := callOut(ph, w.a)
		other.register(w.b)
		w.reload(strings.Replace(threeTenants, `  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:10.0.1.10:5060"}]}`+"\n", "", 1))
		w.a.ask("INVITE", "sip:401@192.0.2.1") // it is nobody now
		w.quiet()
		target := in.target
		in.target = "sip:401@" + other.Addr.String()
		w.rejected(w.a.Peer, in.text("BYE"), 404)
		in.target = target
		in.exchange(phoneIn, "INFO")
		phoneIn.exchange(in, "BYE")
		pbxOut.exchange(out, "BYE")
	})
}

// TestNamedPBX: a PBX that has a name in its Contact is reached by it, in the
// dialog and for call-backs. P-24.
func TestNamedPBX(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		w.reconfigure(zone{"pbx.a.test": {"10.0.1.10"}}, `
tenants:
  - {setid: 10, domains: [a.test], destinations: [{uri: "sip:pbx.a.test"}, {uri: "sip:pbx.elsewhere.test:5080", state: 1}]}
`)
		ph := w.behind(simnet.PortRestricted, "401", "a.test")
		ph.at(w.a)
		caller, callee := ph.side(), w.a.side()
		callee.contact = "sip:asterisk@pbx.a.test:5060"
		caller.dial(callee, ph.call("INVITE", "sip:402@a.test"))
		conversation(caller, callee)
		ph.ask(ph.call("MESSAGE", "sip:402@PBX.a.test"))
		w.a.Reply(w.a.Expect("MESSAGE"), 200, "pbx")
		ph.Status(200)
		for _, target := range []string{"sip:x@pbx.elsewhere.test", "sip:x@pbx.b.test"} { // another port, another name
			caller.target = target
			w.rejected(ph.Peer, caller.text("BYE"), 404)
		}
		caller.target = "sip:x@pbx.elsewhere.test:5080" // it has no address
		w.rejected(ph.Peer, caller.text("BYE"), 503)
	})
}

// TestForged_OtherTenantsPhone: a PBX in a dialog of its own does not get to
// the phone of another tenant, neither by its address nor by an alias that is
// authentic: the NAT may have given the address to somebody else meanwhile. P-13.
func TestForged_OtherTenantsPhone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, victim := w.behind(simnet.FullCone, "401", "a.test"), w.behind(simnet.FullCone, "401", "b.test")
		victim.contact = strings.Replace(victim.contact, "x8kmhe6a", "victim", 1) // else it is the Contact of ph, too
		p, _ := callIn(w.a, ph.at(w.a), ph)
		victim.at(w.b)
		flow := w.bound("401", "b.test")[0].Flow
		alias, _ := w.proxy.alias.Append(nil, victim.uri(), flow)
		own, routes := p.target, p.routes
		for _, target := range []string{"sip:401@" + flow.Remote.String(), string(alias)} {
			for _, method := range append(inDialogMethods(), "ACK") {
				p.target = target
				w.rejected(w.a.Peer, p.text(method), 404)
			}
		}
		p.target, p.routes = own, append(p.routes, "<sip:"+flow.Remote.String()+";lr>")
		w.rejected(w.a.Peer, p.text("NOTIFY"), 404)
		p.routes = routes
		w.a.Send(w.at, p.text("INFO")) // its own phone is still there
		ph.Reply(ph.Expect("INFO"), 200, "callee")
		w.answer(w.a.Peer, 200)
	})
}

// TestForged_PhoneToOtherTenantsPhone: a phone in a dialog of its own does not get
// to the phone of another tenant, neither by an alias that is authentic nor behind
// the address of a PBX, where a dialog may go. P-13.
func TestForged_PhoneToOtherTenantsPhone(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph, victim := w.behind(simnet.FullCone, "401", "a.test"), w.behind(simnet.FullCone, "401", "b.test")
		indoors := w.phoneFrom(w.b.host, siptestx.UDP(w, w.b.host, 5070), "402", "b.test")
		caller, callee := callOut(ph, w.a)
		victim.at(w.b)
		indoors.register(w.b)
		own, routes := caller.target, caller.routes
		alias, _ := w.proxy.alias.Append(nil, victim.uri(), w.bound("401", "b.test")[0].Flow)
		for _, target := range []string{string(alias), "sip:402@" + indoors.Addr.String()} {
			for _, method := range append(inDialogMethods(), "ACK") {
				caller.target = target
				w.rejected(ph.Peer, caller.text(method), 404)
			}
		}
		caller.target, caller.routes = own, append(routes, "<sip:"+indoors.Addr.String()+";lr>")
		w.rejected(ph.Peer, caller.text("NOTIFY"), 404)
		caller.routes = routes
		caller.exchange(callee, "INFO")
	})
}

// TestDialog_PBXIsRegistered: a PBX that is a phone of another tenant, as a trunk,
// is reached by its own phones all the same.
func TestDialog_PBXIsRegistered(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		trunk := w.phoneFrom(w.a.host, w.a.Peer, "trunk", "b.test")
		trunk.ask(trunk.registerText())
		w.b.grant()
		trunk.Status(200)
		conversation(callOut(w.behind(simnet.FullCone, "401", "a.test"), w.a))
	})
}

// TestForged_Branch: a phone with the Via of another tenant's, which behind NAT is
// easily the same, neither cancels its call nor gets its answers.
func TestForged_Branch(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		thief, victim := w.behind(simnet.FullCone, "401", "a.test"), w.behind(simnet.FullCone, "401", "b.test")
		const via = "Via: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK-"
		thief.ask(thief.registerText(via + "1"))
		w.a.challenge()
		thief.Status(401)
		victim.ask(victim.registerText(via + "1"))
		w.b.challenge()
		victim.Status(401)

		invite := victim.ask(victim.call("INVITE", "sip:402@b.test", via+"2"))
		m := w.b.Expect("INVITE")
		w.b.Reply(m, 180, "pbx")
		victim.Status(180)
		w.rejected(thief.Peer, thief.text("CANCEL", "sip:402@b.test", via+"2"), 481)
		w.b.Reply(m, 486, "pbx")
		w.b.Expect("ACK")
		victim.ask(w.another("ACK", invite, "To: "+victim.Status(486).Get("To")))
	})
}

// TestDialog_AccountsInTwoTenants: a phone with an account in two tenants, both
// on one socket, is reached in the calls of either.
func TestDialog_AccountsInTwoTenants(t *testing.T) {
	inWorld(t, threeTenants, func(w *world) {
		ph := w.public("401", "a.test")
		second := *ph
		second.domain, second.callID = "b.test", "second-account"
		second.register(w.b)
		p, _ := callIn(w.a, ph.at(w.a), ph)
		w.a.Send(w.at, p.text("INFO"))
		ph.Reply(ph.Expect("INFO"), 200, "callee")
		w.answer(w.a.Peer, 200)
	})
}
