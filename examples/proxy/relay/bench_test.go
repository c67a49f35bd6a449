package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// template is what a common phone sends; %M, %B and %I stand for the method,
// the branch and the Call-ID, %T for the To tag.
const template = "%M sip:401@a.example SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 10.1.1.7:5060;rport;branch=z9hG4bK%B\r\n" +
	"Max-Forwards: 70\r\n" +
	"From: \"Alice\" <sip:alice@a.example>;tag=8bc304b92838af08\r\n" +
	"To: <sip:401@a.example>%T\r\n" +
	"Call-ID: 72236446d3864c84-%I\r\n" +
	"CSeq: 4711 %M\r\n" +
	"Contact: <sip:alice@10.1.1.7:5060;ob>;expires=300\r\n" +
	"Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER, MESSAGE, NOTIFY\r\n" +
	"Supported: replaces, timer, outbound\r\n" +
	"User-Agent: Phone/1.2.3 (model 7)\r\n"

const sdp = "v=0\r\no=- 488677029 488677029 IN IP4 10.1.1.7\r\ns=Phone\r\nc=IN IP4 10.1.1.7\r\nt=0 0\r\n" +
	"m=audio 20802 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n"

// form is a template with everything but the numbers filled in.
type form struct{ parts []string }

func newForm(method, tag, body string) form {
	text := strings.NewReplacer("%M", method, "%T", tag).Replace(template) + body
	return form{strings.FieldsFunc(text, func(r rune) bool { return r == '%' })}
}

// send hands a request of the phone to the relay.
func (b *bench) send(f form, branch uint64) {
	b.text = b.text[:0]
	for i, part := range f.parts {
		switch {
		case i == 0:
		case part[0] == 'B':
			b.text = strconv.AppendUint(b.text, branch, 36)
			part = part[1:]
		default:
			b.text = strconv.AppendUint(b.text, b.calls, 36)
			part = part[1:]
		}
		b.text = append(b.text, part...)
	}
	b.receive(b.phone, b.text)
}

// answer hands the PBX's answer to the relay: the request with a status line.
func (b *bench) answer(status string) {
	b.text = append(append(b.text[:0], status...), b.wire.toPBX[bytes.IndexByte(b.wire.toPBX, '\n')+1:]...)
	b.receive(b.pbx, b.text)
}

const noBody = "Content-Length: 0\r\n\r\n"

func benchmarkTransaction(b *testing.B, method string) {
	bb := newBench(b, time.Millisecond)
	f := newForm(method, "", noBody)
	defer bb.run()()
	b.ReportAllocs()
	for b.Loop() {
		bb.calls++
		bb.send(f, bb.calls)
		bb.answer("SIP/2.0 200 OK\r\n")
	}
	if !bytes.HasPrefix(bb.wire.toPhone, []byte("SIP/2.0 200")) {
		b.Fatalf("the phone got\n%s", bb.wire.toPhone)
	}
}

// run lets timers fire until the function that it returns is called.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.relay.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// One REGISTER and its answer.
func BenchmarkRegister(b *testing.B) { benchmarkTransaction(b, "REGISTER") }

// One OPTIONS and its answer.
func BenchmarkOptions(b *testing.B) { benchmarkTransaction(b, "OPTIONS") }

// call is a function that makes a call: INVITE, 180, 200, ACK, BYE, 200.
func (b *bench) call() func() {
	invite := newForm("INVITE", "", fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp))
	ack, bye := newForm("ACK", ";tag=a", noBody), newForm("BYE", ";tag=a", noBody)
	return func() {
		b.calls++
		b.send(invite, b.calls)
		b.answer("SIP/2.0 180 Ringing\r\n")
		b.answer("SIP/2.0 200 OK\r\n")
		b.send(ack, b.calls+1<<40)
		b.send(bye, b.calls+1<<41)
		b.answer("SIP/2.0 200 OK\r\n")
	}
}

func BenchmarkCall(b *testing.B) {
	bb := newBench(b, time.Millisecond)
	call := bb.call()
	defer bb.run()()
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
	if !bytes.HasPrefix(bb.wire.toPhone, []byte("SIP/2.0 200")) || !bytes.Contains(bb.wire.toPhone, []byte("BYE")) {
		b.Fatalf("the phone got\n%s", bb.wire.toPhone)
	}
}

// R60: the memory that a call takes until its timers fire: 64*T1 for most.
// Nothing expires here, so it includes what is gone after T4.
func BenchmarkCall_Memory(b *testing.B) {
	bb := newBench(b, 0)
	call := bb.call()
	before := liveHeap()
	for b.Loop() {
		call()
	}
	b.StopTimer()
	b.ReportMetric(float64(liveHeap()-before)/float64(b.N), "B-live/call")
	runtime.KeepAlive(bb)
}

func liveHeap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
