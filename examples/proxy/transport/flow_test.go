package transport_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/transport"
	"github.com/sipward/sipward/location"
)

// The zero Flow is no path, and harmless.
func TestFlow_Zero(t *testing.T) {
	var f transport.Flow
	if f.Network() != "" || f.Local().IsValid() || f.Remote().IsValid() || f.Stream() || f.TLS() != nil || f.ID() != 0 || f.String() != "none" {
		t.Errorf("zero flow %v", f)
	}
	if f.Location() != (location.Flow{}) {
		t.Errorf("location %v", f.Location())
	}
	if err := f.Send([]byte("x")); err != transport.ErrClosed {
		t.Errorf("Send: %v", err)
	}
	f.Close()
	f.LogValue()
}

// R48: a UDP flow is a small value that equals any other to the same remote,
// and neither making it nor sending on it allocates.
func TestFlow_UDP(t *testing.T) {
	layer := newLayer(t, transport.Config{})
	local := listen(t, layer, "udp", "127.0.0.1:0")
	run(t, layer)
	phone := newPhone(t, "127.0.0.3:0")
	f, ok := layer.Find("udp", local, phone.addr())
	if !ok {
		t.Fatal("not found")
	}
	if size := unsafe.Sizeof(f); size > 48 {
		t.Errorf("a flow has %d bytes", size)
	}
	seen := map[transport.Flow]int{f: 1}
	g, _ := layer.Find("udp", local, phone.addr())
	if seen[g] != 1 || g != f {
		t.Errorf("%v is not %v", g, f)
	}
	if f.Network() != "udp" || f.Local() != local || f.Remote() != phone.addr() || f.Stream() || f.TLS() != nil {
		t.Errorf("flow %v", f)
	}
	want := location.Flow{Transport: "udp", Remote: phone.addr(), Local: local}
	if diff := cmp.Diff(want, f.Location(), cmp.Comparer(func(a, b location.Flow) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if got, want := f.String(), fmt.Sprintf("udp %v %v #%d", local, phone.addr(), f.ID()); got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if f.LogValue().Kind() != slog.KindString {
		t.Error("a flow is logged as something else than a string")
	}
	msg := []byte(request("OPTIONS", "a"))
	allocs := testing.AllocsPerRun(100, func() {
		f, _ := layer.Find("udp", local, phone.addr())
		f.Send(msg)
	})
	if allocs != 0 {
		t.Errorf("Find and Send allocate %v times", allocs)
	}
	f.Close() // does nothing
	if err := f.Send(msg); err != nil {
		t.Error(err)
	}
}

// All faults of a Config are reported at once.
func TestNew_Faults(t *testing.T) {
	_, err := transport.New(transport.Config{Readers: -1, Limits: transport.Limits{Idle: -1}})
	want := "transport: no Handler\ntransport: Readers is negative\ntransport: Limits.Idle is negative"
	if err == nil || err.Error() != want {
		t.Errorf("New: %v, want %s", err, want)
	}
}

func TestListen_Faults(t *testing.T) {
	layer := newLayer(t, transport.Config{})
	taken := listen(t, layer, "tcp", "127.0.0.1:0")
	run(t, layer)
	if err := layer.Listen(t.Context(), "sctp", taken); !errors.Is(err, transport.ErrNetwork) {
		t.Errorf("unknown network: %v", err)
	}
	if err := layer.Listen(t.Context(), "tcp", taken); err == nil {
		t.Error("one address twice")
	}
	if err := layer.Listen(t.Context(), "udp", none); err == nil {
		t.Error("no address")
	}
	if got := layer.Addrs("tcp"); len(got) != 1 {
		t.Errorf("listeners %v", got)
	}
}
