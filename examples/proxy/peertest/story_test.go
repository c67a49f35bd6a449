package peertest

import (
	"fmt"
	"slices"
	"time"
)

// story is a ladder of messages between a phone and a PBX, as both see it:
//
//	story{
//		pbx.sends("INVITE"),
//		phone.answers(180),
//		phone.answers(200),
//		pbx.sends("ACK"),
//		phone.sends("BYE"),
//		pbx.answers(200),
//	}
//
// Each message is sent by one side and expected by the other. An answer is to
// the last request that has none, unless it says otherwise. What belongs to a
// dialog follows from the order, as do tags, numbers and routes.
type story []*step

// actor is a party of a story.
type actor int

const (
	phone actor = iota
	pbx
	proxy // for answers that are the proxy's own
)

func (a actor) String() string { return [...]string{"phone", "pbx", "proxy"}[a] }

// step is one message.
type step struct {
	from   actor
	method string // of the request, or of the one that is answered
	status int    // 0: a request

	fields  []string // more header fields
	body    string
	outside bool          // of any dialog
	strayed bool          // without Routes
	secret  string        // password to answer a challenge with
	expires int           // that the PBX grants
	pause   time.Duration // before it is sent

	out, in bool // the step is there for the sender, the receiver

	// Found out by compile.
	half    *step // the part that has left
	request *step // that is answered
	call    *thread
	cseq    int
	initial bool // begins its thread, perhaps once more after a challenge
	final   bool // has its final answer
	asked   int  // status of the challenge before it
}

// sends is a request.
func (a actor) sends(method string) *step {
	return &step{from: a, method: method, out: true, in: true, outside: method == "OPTIONS"}
}

// answers is a response to the last request of the other side.
func (a actor) answers(status int) *step {
	return &step{from: a, status: status, out: a != proxy, in: true}
}

// grants is an answer to REGISTER that grants so many seconds.
func (a actor) grants(seconds int) *step {
	s := a.answers(200).to("REGISTER")
	s.expires = seconds
	return s
}

// to says which request is answered.
func (s *step) to(method string) *step { s.method = method; return s }

// with adds header fields; the receiver must get them as they are.
func (s *step) with(fields ...string) *step { s.fields = append(s.fields, fields...); return s }

// sdp adds a body; the receiver must get it as it is.
func (s *step) sdp() *step {
	s.body = "v=0\no=- 488677029 488677029 IN IP4 192.168.1.10\ns=-\nc=IN IP4 192.168.1.10\nt=0 0\n" +
		"m=audio 20802 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=fmtp:101 0-16"
	return s.with("Content-Type: application/sdp")
}

// withoutDialog takes a request out of the call.
func (s *step) withoutDialog() *step { s.outside = true; return s }

// within puts an OPTIONS into the call.
func (s *step) within() *step { s.outside = false; return s }

// withoutRoute lets a request forget the route of its dialog.
func (s *step) withoutRoute() *step { s.strayed = true; return s }

// authorized answers the challenge that came before.
func (s *step) authorized(password string) *step { s.secret = password; return s }

// after lets time pass before a message is sent.
func (s *step) after(d time.Duration) *step { s.pause = d; return s }

// leaves and arrives are the two halves of a message that is overtaken by
// others. What never arrives ends at the proxy.
func leaves(s *step) *step { s.in = false; return s }

// arrives is the other half. What has never left is the proxy's.
func arrives(s *step) *step {
	other := *s
	other.out, other.in = false, true
	if !s.in {
		other.half = s
	}
	return &other
}

// thread is what shares a Call-ID: a call, a registration, or a request alone.
type thread struct {
	n         int
	caller    actor
	method    string // that began it
	confirmed bool   // by a 2xx
	refused   bool   // the last answer to its INVITE was neither 1xx nor 2xx
	challenge int    // the last 401 or 407
	cseq      [2]int // of each actor
	invite    [2]int // CSeq of the last INVITE of each actor
}

// compile finds out what belongs to what. It is to be called once.
func (st story) compile() error {
	var c compiler
	for i, s := range st {
		switch {
		case s.half != nil:
			h := s.half
			s.method, s.call, s.cseq, s.request, s.initial = h.method, h.call, h.cseq, h.request, h.initial
		case s.status == 0:
			c.begin(s)
		case !c.answer(s):
			return fmt.Errorf("step %d: %v: there is no such request", i, s)
		}
	}
	return nil
}

// compiler is the state of a story as far as it has been told.
type compiler struct {
	requests     []*step
	threads      int
	registration *thread
	call         *thread
}

// begin finds the thread of a request.
func (c *compiler) begin(s *step) {
	t := &c.call
	switch {
	case s.outside:
		t = new(*thread)
	case s.method == "REGISTER":
		t = &c.registration
	}
	if *t == nil {
		*t = &thread{n: c.threads, caller: s.from, method: s.method}
		c.threads++
	}
	s.call, s.asked = *t, (*t).challenge
	switch s.method {
	case "ACK", "CANCEL":
		s.cseq = s.call.invite[s.from]
		s.initial = s.method == "CANCEL" || s.call.refused
	default:
		s.call.cseq[s.from]++
		s.cseq = s.call.cseq[s.from]
		s.initial = s.method == s.call.method && s.from == s.call.caller && !s.call.confirmed
	}
	if s.method == "INVITE" {
		s.call.invite[s.from] = s.cseq
	}
	c.requests = append(c.requests, s)
}

// answer finds the request that s answers. It reports false if there is none.
func (c *compiler) answer(s *step) bool {
	for _, r := range slices.Backward(c.requests) {
		if r.method == "ACK" || r.from == s.from || s.method != "" && s.method != r.method || s.method == "" && r.final {
			continue
		}
		s.request, s.method, s.call, s.cseq = r, r.method, r.call, r.cseq
		r.final = r.final || s.status >= 200
		if r.method == s.call.method && r.method != "REGISTER" && s.status/100 == 2 {
			s.call.confirmed = true
		}
		if s.status == 401 || s.status == 407 {
			s.call.challenge = s.status
		}
		if r.method == "INVITE" && s.status >= 200 {
			s.call.refused = s.status >= 300
		}
		return true
	}
	return false
}

func (s *step) String() string {
	if s.status != 0 {
		return fmt.Sprintf("%v answers %d to %s", s.from, s.status, s.method)
	}
	return fmt.Sprintf("%v sends %s", s.from, s.method)
}
