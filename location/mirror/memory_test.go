package mirror_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/location/mirror"
)

// message returns a text as long as a message can be, which begins with head, as
// somebody reads it who keeps only that.
func message(format string, args ...any) (head string) {
	head = fmt.Sprintf(format, args...)
	return (head + strings.Repeat("x", 60_000))[:len(head)]
}

// TestStore_KeepsNoMessages: of the messages whose AORs and Contacts it is told,
// nothing else stays in memory.
func TestStore_KeepsNoMessages(t *testing.T) {
	b := newBackend(nil)
	b.fail(errGone)
	s := start(t, mirror.Config{Backend: b.connect})
	for name, do := range map[string]func(t *testing.T, aor location.AOR){
		"asked for": func(t *testing.T, aor location.AOR) {
			done := make(chan struct{})
			if !s.Refresh(aor, func() { close(done) }) {
				t.Fatal("Refresh is busy")
			}
			<-done
		},
		"changed": func(t *testing.T, aor location.AOR) {
			for cseq := range 2 {
				b := phone(1, 1+cseq, time.Now())
				b.Contact, b.Instance = message("sip:a@10.0.0.1"), message("<urn:uuid:1>")
				put(t, s.NoWait(), aor, b)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 300
			before := heap()
			for i := range n {
				aor, err := location.ParseAOR(message("sip:%s-%d@a.example", strings.Fields(name)[0], i))
				if err != nil {
					t.Fatal(err)
				}
				do(t, aor)
			}
			if each := (heap() - before) / n; each > 10_000 {
				t.Errorf("%d bytes for each AOR", each)
			}
		})
	}
	runtime.KeepAlive(s)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
