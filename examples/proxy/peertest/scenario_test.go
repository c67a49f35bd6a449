package peertest

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// end is an actor of a story with its address, and what it calls itself.
type end struct {
	at       netip.AddrPort
	tcp      bool
	to       netip.AddrPort // where it sends to; zero: the proxy
	user     string         // a phone's is that of its AOR
	domain   string         // of the phone
	password string         // of the phone, which the PBX checks
	dials    string         // URI that it calls; a PBX calls what is registered in the story
	shown    string         // host:port in its Via and Contact, if not at
	contact  string         // URI of its Contact, if not user and shown
	times    int            // how often it plays; 0: once
	path     bool           // of a PBX, as with support_path=yes: keeps the Path of REGISTERs
	route    string         // that Path, which goes into what it sends to the phone
	preloads bool           // puts a Route to the proxy into every request, beside those of its dialog
}

// scenario writes the SIPp scenario for one side of a story.
type scenario struct {
	me   actor
	end  *end
	ends [2]*end
	b    strings.Builder
	vars []string // SIPp wants all of them to be used
	last *step    // the last message received
}

// render returns the scenario of one actor.
func render(st story, me actor, ends [2]*end) string {
	w := &scenario{me: me, end: ends[me], ends: ends}
	fmt.Fprintf(&w.b, "<?xml version=\"1.0\"?>\n<scenario name=\"%v\">\n", me)
	for i, s := range st {
		fmt.Fprintf(&w.b, "<!-- %v -->\n", s)
		switch {
		case s.from == me && s.out && s.status == 0:
			w.sendRequest(i, s)
		case s.from == me && s.out:
			w.sendAnswer(s)
		case s.from == me || !s.in || s.status != 0 && s.request.from != me:
			// not to be seen here
		case s.status == 0:
			w.receiveRequest(st, i, s)
		default:
			w.receiveAnswer(s)
		}
	}
	if len(w.vars) > 0 {
		fmt.Fprintf(&w.b, "<Reference variables=%q/>\n", strings.Join(w.vars, ","))
	}
	fmt.Fprint(&w.b, "</scenario>\n")
	return w.b.String()
}

// shown is the host and port of this side in headers.
func (w *scenario) shown() string { return cmp.Or(w.end.shown, w.end.at.String()) }

func (w *scenario) contact() string {
	if w.end.contact != "" {
		return w.end.contact
	}
	uri := "sip:" + w.end.user + "@" + w.shown()
	if w.end.tcp {
		uri += ";transport=tcp"
	}
	return uri
}

// aor is what this side calls itself in From.
func (w *scenario) aor() string {
	if w.me == phone {
		return "sip:" + w.end.user + "@" + w.end.domain
	}
	return "sip:" + w.end.user + "@" + w.end.at.Addr().String()
}

// dials is what this side calls.
func (w *scenario) dials() string { return cmp.Or(w.end.dials, "[$contact]") }

func (t *thread) callID() string {
	if t.n == 0 {
		return "[call_id]"
	}
	// SIPp takes a message to belong to the call after the slashes.
	return fmt.Sprintf("t%d///[call_id]", t.n)
}

// tag is that of an actor in the dialog.
func (t *thread) tag(a actor) string { return fmt.Sprintf("%v-%d", a, t.n) }

// variables for what the called side knows of the dialog from its beginning.
func (t *thread) local() string  { return fmt.Sprintf("local%d", t.n) }
func (t *thread) remote() string { return fmt.Sprintf("remote%d", t.n) }

// fromTo returns From and To of a request of this side.
func (w *scenario) fromTo(s *step) string {
	t := s.call
	from, to := "<"+w.aor()+">", "<"+w.dials()+">"
	switch {
	case t.method == "REGISTER":
		to = from
	case t.caller != w.me:
		from, to = "[$"+t.local()+"]", "[$"+t.remote()+"]"
	}
	text := fmt.Sprintf("From: %s;tag=%s\n", from, t.tag(w.me))
	switch {
	case s.method == "ACK" && s.initial:
		return text + "[last_To:]\n"
	case s.initial:
		return text + "To: " + to + "\n"
	}
	return text + fmt.Sprintf("To: %s;tag=%s\n", to, t.tag(1-w.me))
}

// requestURI returns that of a request of this side.
func (w *scenario) requestURI(s *step) string {
	switch {
	case s.method == "REGISTER":
		return "sip:" + w.end.domain
	case s.initial:
		return w.dials()
	}
	return "[next_url]"
}

// branch is that of the INVITE for what is part of its transaction.
func (w *scenario) branch(i int, s *step) string {
	if s.method == "INVITE" || s.initial && (s.method == "ACK" || s.method == "CANCEL") {
		return fmt.Sprintf("z9hG4bK-%v-[pid]-[call_number]-%d-INVITE-%d", w.me, s.call.n, s.cseq)
	}
	return fmt.Sprintf("z9hG4bK-%v-[pid]-[call_number]-%d", w.me, i)
}

func (w *scenario) sendRequest(i int, s *step) {
	via := fmt.Sprintf("Via: SIP/2.0/[transport] %s;branch=%s", w.shown(), w.branch(i, s))
	if w.me == pbx {
		via += ";rport" // as Asterisk does; the phone is one that does not
	}
	text := fmt.Sprintf("%s %s SIP/2.0\n%s\nMax-Forwards: 70\n", s.method, w.requestURI(s), via)
	text += w.fromTo(s)
	text += fmt.Sprintf("Call-ID: %s\nCSeq: %d %s\n", s.call.callID(), s.cseq, s.method)
	if !s.initial && !s.outside && !s.strayed {
		text += "[routes]\n"
	}
	if w.end.preloads && !s.strayed { // not next to the other Routes, as it happens with Asterisk
		text += "X-Between: Routes\nRoute: <sip:[remote_ip];lr>\n"
	}
	if w.end.route != "" && s.method != "ACK" { // in a dialog behind its Routes, in a CANCEL twice
		text += strings.Repeat("X-Between: Routes\nRoute: <"+w.end.route+">\n", map[string]int{"CANCEL": 1}[s.method]+1)
	}
	if s.method != "ACK" && s.method != "CANCEL" && s.method != "BYE" && !s.has("Contact") {
		text += "Contact: <" + w.contact() + ">\n"
	}
	if s.secret != "" {
		text += fmt.Sprintf("[authentication username=%s password=%s]\n", w.end.user, s.secret)
	}
	w.send(s, text)
	if s.method == "INVITE" {
		fmt.Fprint(&w.b, "<recv response=\"100\" optional=\"true\"/>\n")
	}
}

// challenge is what Asterisk sends, but for its random parts.
const challenge = `Digest realm="asterisk",nonce="1795325083/039e3ed80f221ea7a093d8a3d5b2e867",opaque="16d64c966998b490",algorithm=MD5,qop="auth"`

func (w *scenario) sendAnswer(s *step) {
	text := fmt.Sprintf("SIP/2.0 %d %s\n", s.status, reasons[s.status]) + w.answerHead(s)
	switch {
	case s.expires != 0:
		text += fmt.Sprintf("[last_Contact:];expires=%d\n", s.expires)
	case s.status == 401:
		text += "WWW-Authenticate: " + challenge + "\n"
	case s.status == 407:
		text += "Proxy-Authenticate: " + challenge + "\n"
	case s.status < 300 && s.method != "REGISTER" && s.method != "BYE" && s.method != "CANCEL" && s.method != "PRACK":
		text += "Contact: <" + w.contact() + ">\n"
	}
	w.send(s, text)
}

// answerHead returns what an answer has from its request: of the message just
// received, or as kept when that was not the last one.
func (w *scenario) answerHead(s *step) string {
	r := s.request
	tag := ""
	if r.initial {
		tag = ";tag=" + s.call.tag(w.me)
	}
	if w.last == r {
		head := "[last_Via:]\n[last_From:]\n[last_To:]" + tag + "\n[last_Call-ID:]\n[last_CSeq:]\n"
		if r.initial {
			head += "[last_Record-Route:]\n"
		}
		return head
	}
	head := fmt.Sprintf("[$%s]\nCall-ID: %s\nCSeq: %d %s\n", r.kept("via"), s.call.callID(), s.cseq, s.method)
	head += fmt.Sprintf("From:[$%s]\nTo:[$%s]%s\n", r.kept("from"), r.kept("to"), tag)
	if r.initial {
		head += fmt.Sprintf("Record-Route:[$%s]\n", r.kept("route"))
	}
	return head
}

// kept is the variable for a part of a request that is not answered at once.
func (s *step) kept(part string) string {
	return fmt.Sprintf("%s%d%s%d", part, s.call.n, s.method, s.cseq)
}

// send writes a message.
func (w *scenario) send(s *step, text string) {
	retrans := "" // until there is an answer, for which SIPp waits
	if s.status == 0 && s.method != "ACK" && s.in || s.method == "INVITE" && s.status/100 == 2 {
		retrans = ` retrans="500"`
	}
	for _, f := range s.fields {
		text += f + "\n"
	}
	if s.pause > 0 {
		fmt.Fprintf(&w.b, "<pause milliseconds=\"%d\"/>\n", s.pause.Milliseconds())
	}
	fmt.Fprintf(&w.b, "<send%s><![CDATA[\n%sUser-Agent: %v\nContent-Length: [len]\n\n%s\n]]></send>\n", retrans, text, w.me, s.body)
}

func (s *step) has(name string) bool {
	return slices.ContainsFunc(s.fields, func(f string) bool { return strings.HasPrefix(f, name+":") })
}

func (w *scenario) receiveRequest(st story, i int, s *step) {
	w.last = s
	if s.half != nil {
		w.last = s.half
	}
	actions := w.checks(s) + w.never("[[:cntrl:]]Route:") // P-29
	if w.me == phone || !s.initial && !s.outside {        // P-49: its own Contact, as it is
		actions += w.check("msg", "", "^"+s.method+" "+quote(w.contact())+" SIP/2.0")
	}
	if s.initial && s.method != "CANCEL" && s.method != "ACK" {
		actions += w.keep(s.call.local(), "hdr", "To", "<[^>]*>") + w.keep(s.call.remote(), "hdr", "From", "<[^>]*>")
	}
	if st.deferred(w.me, i) {
		actions += w.keepHead(s)
	}
	if s.method == "REGISTER" {
		actions += w.never("[[:cntrl:]]Record-Route:") // P-23
		if w.end.path {
			actions += w.check("hdr", "Supported", "path") + w.keep("path", "hdr", "Path", "sip:[^>]*") + "<log message=\"[$path]\"/>\n"
		}
		if !s.has("Contact") {
			actions += w.keep("contact", "hdr", "Contact", "sip:[^>]*") + "<log message=\"[$contact]\"/>\n"
		}
	}
	verify, then := w.verify(i, s)
	fmt.Fprintf(&w.b, "<recv request=%q%s>\n<action>\n%s</action>\n</recv>\n%s", s.method, w.routes(s), actions+verify, then)
}

// keepHead stores what answerHead needs later.
func (w *scenario) keepHead(s *step) string {
	actions := w.keep(s.kept("via"), "msg", "", "Via: [^[:cntrl:]]+([[:cntrl:]]+Via: [^[:cntrl:]]+)*") +
		w.keep(s.kept("from"), "hdr", "From", ".*") + w.keep(s.kept("to"), "hdr", "To", ".*")
	if s.initial {
		actions += w.keep(s.kept("route"), "hdr", "Record-Route", ".*")
	}
	return actions
}

// verify checks the answer to a challenge, if it should be right: in actions,
// and in what comes after the request. SIPp can do so for 401 only.
func (w *scenario) verify(i int, s *step) (actions, then string) {
	caller := w.ends[1-w.me]
	switch {
	case s.secret == "" || s.secret != caller.password:
		return "", ""
	case s.asked == 407:
		return w.check("hdr", "Proxy-Authorization", "^ *Digest username="), ""
	}
	return fmt.Sprintf("<verifyauth assign_to=\"auth%d\" username=%q password=%q/>\n", i, caller.user, caller.password),
		fmt.Sprintf("<nop next=\"ok%d\" test=\"auth%d\"/>\n<nop><action><error message=\"wrong digest\"/></action></nop>\n<label id=\"ok%d\"/>\n", i, i, i)
}

func (w *scenario) receiveAnswer(s *step) {
	w.last = s
	auth := ""
	if s.status == 401 || s.status == 407 {
		auth = ` auth="true"`
	}
	actions := w.checks(s)
	if w.me == phone && w.end.shown != "" { // P-08
		actions += w.check("hdr", "Via", "received="+quote(w.end.at.Addr().String()))
		actions += w.check("hdr", "Via", fmt.Sprintf("rport=%d", w.end.at.Port()))
	}
	if s.from != proxy { // the peer's own, and not one that the proxy has made up
		actions += w.check("hdr", "To", ";tag="+quote(s.call.tag(s.from)))
		actions += w.check("hdr", "User-Agent", quote(s.from.String()))
	}
	if s.method == "REGISTER" {
		actions += w.never("[[:cntrl:]]Record-Route:")
	}
	if s.expires != 0 { // P-21
		actions += w.check("hdr", "Contact", fmt.Sprintf("^ *<%s>;expires=%d *$", quote(w.contact()), s.expires))
	}
	fmt.Fprintf(&w.b, "<recv response=\"%d\"%s%s>\n<action>\n%s</action>\n</recv>\n", s.status, auth, w.routes(s), actions)
}

// routes lets SIPp take route set and target from what begins a dialog.
func (w *scenario) routes(s *step) string {
	r := s
	if s.status != 0 {
		r = s.request
	}
	if r.initial && (r.method == "INVITE" || r.method == "SUBSCRIBE") && s.status < 300 && s.from != proxy {
		return ` rrs="true"`
	}
	return ""
}

// deferred reports whether an actor gets something else between the request
// that is step i and an answer of its own to that.
func (st story) deferred(a actor, i int) bool {
	between := false
	for _, s := range st[i+1:] {
		if s.status != 0 && s.from == a && s.out && (s.request == st[i] || s.request == st[i].half) && between {
			return true
		}
		between = between || s.from != a && s.in
	}
	return false
}

// checks sees that what the sender has added is as it was.
func (w *scenario) checks(s *step) string {
	var actions string
	for _, f := range s.fields {
		name, value, _ := strings.Cut(f, ": ")
		if name != "Contact" {
			actions += w.check("hdr", name, "^ *"+quote(value)+" *$")
		}
	}
	if s.body != "" {
		actions += w.check("msg", "", strings.ReplaceAll(quote(s.body), "\n", "[[:cntrl:]]+"))
	}
	return actions
}

// check fails the scenario if a message does not match.
func (w *scenario) check(where, header, pattern string) string {
	return w.ereg(fmt.Sprintf("check%d", len(w.vars)), where, header, pattern, `check_it="true"`)
}

// never fails the scenario if a message matches.
func (w *scenario) never(pattern string) string {
	return w.ereg(fmt.Sprintf("check%d", len(w.vars)), "msg", "", pattern, `check_it_inverse="true"`)
}

// keep stores what matches in a variable.
func (w *scenario) keep(name, where, header, pattern string) string {
	return w.ereg(name, where, header, pattern, `check_it="false"`)
}

func (w *scenario) ereg(name, where, header, pattern, check string) string {
	if header != "" {
		header = fmt.Sprintf(" header=\"%s:\"", header)
	}
	if !slices.Contains(w.vars, name) {
		w.vars = append(w.vars, name)
	}
	return fmt.Sprintf("<ereg regexp=\"%s\" search_in=\"%s\"%s %s assign_to=\"%s\"/>\n",
		escapeXML.Replace(pattern), where, header, check, name)
}

// escapeXML knows the entities that SIPp knows.
var escapeXML = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// quote makes a POSIX pattern of a text.
func quote(text string) string { return regexp.QuoteMeta(text) }
